//! Segment Anything as Meta published it (`sam_vit_b_01ec64.pth`): the same tensors under other names.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::recipe::{Recipe, count};

/// Modules under a dotted path, and what the file calls them there: path, present name, original name.
const MODULES: [(&str, &str, &str); 10] = [
    ("vision_encoder.", "patch_embed.projection.", "patch_embed.proj."),
    ("vision_encoder.", "neck.conv1.", "neck.0."),
    ("vision_encoder.", "neck.layer_norm1.", "neck.1."),
    ("vision_encoder.", "neck.conv2.", "neck.2."),
    ("vision_encoder.", "neck.layer_norm2.", "neck.3."),
    ("prompt_encoder.", "point_embed.", "point_embeddings."),
    ("mask_decoder.", "upscale_conv1.", "output_upscaling.0."),
    ("mask_decoder.", "upscale_layer_norm.", "output_upscaling.1."),
    ("mask_decoder.", "upscale_conv2.", "output_upscaling.3."),
    ("mask_decoder.", "transformer.layer_norm_final_attn.", "transformer.norm_final_attn."),
];

/// The depths of the perceptrons, whose layers the file numbers through.
#[derive(Clone, Debug)]
pub(super) struct SamNames {
    /// Hidden layers of the masks' perceptrons and of the scores'.
    hidden: [usize; 2],
}

impl SamNames {
    /// Reads them off the network's parameters.
    pub(super) fn of(params: &BTreeSet<&str>) -> Self {
        let hidden = |module: &str| count(params, |layer| format!("mask_decoder.{module}.layers.{layer}.weight"));
        Self { hidden: [hidden("output_hypernetworks_mlps.0"), hidden("iou_prediction_head")] }
    }

    /// Where the tensor of a parameter is.
    pub(super) fn recipe(&self, param: &str) -> Option<Recipe> {
        if param == "shared_image_embedding.positional_embedding" {
            return Some(Recipe::same("prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"));
        }
        let (half, module) = param.split_once('.')?;
        let file = match half {
            "vision_encoder" => "image_encoder",
            "prompt_encoder" | "mask_decoder" => half,
            _ => return None,
        };
        let known = MODULES.iter().filter(|(path, ..)| param.starts_with(path));
        let renamed = known.into_iter().find_map(|(_, new, old)| Some(format!("{old}{}", module.strip_prefix(new)?)));
        let module = renamed.unwrap_or_else(|| self.numbered(module));
        Some(Recipe::same(format!("{file}.{module}")))
    }

    /// Layers of the encoder and of the transformer, their norms, and the layers of a perceptron.
    fn numbered(&self, module: &str) -> String {
        let segments: Vec<&str> = module.split('.').collect();
        let layer = |kind: &str, rest: &[&str], hidden: usize| match (kind, rest) {
            ("proj_in", [end]) => Some(format!("layers.0.{end}")),
            ("layers", [number, end]) => Some(format!("layers.{}.{end}", number.parse::<usize>().ok()?.checked_add(1)?)),
            ("proj_out", [end]) => Some(format!("layers.{}.{end}", hidden + 1)),
            _ => None,
        };
        let perceptron = match segments.as_slice() {
            [mlps @ "output_hypernetworks_mlps", mask, kind, rest @ ..] => {
                layer(kind, rest, self.hidden[0]).map(|layer| format!("{mlps}.{mask}.{layer}"))
            }
            [head @ "iou_prediction_head", kind, rest @ ..] => {
                layer(kind, rest, self.hidden[1]).map(|layer| format!("{head}.{layer}"))
            }
            _ => None,
        };
        perceptron.unwrap_or_else(|| {
            let module = module.replace(".layer_norm", ".norm");
            match module.strip_prefix("layers.") {
                Some(rest) => format!("blocks.{rest}"),
                None => module,
            }
        })
    }
}

/// The present name of a module that no parameter has a tensor of.
pub(super) fn present(tensor: &str) -> Cow<'_, str> {
    let renames = [
        ("prompt_encoder.mask_downscaling.", "prompt_encoder.mask_embed."),
        ("prompt_encoder.point_embeddings.", "prompt_encoder.point_embed."),
        ("prompt_encoder.pe_layer.", "shared_image_embedding."),
    ];
    let renamed = renames.iter().find_map(|(old, new)| Some(format!("{new}{}", tensor.strip_prefix(old)?)));
    renamed.map_or(Cow::Borrowed(tensor), Cow::Owned)
}
