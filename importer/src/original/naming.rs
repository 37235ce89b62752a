//! Which layout the tensors of a network have, and by it the tensor of every parameter.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use dmdx_graph::Weight;

use super::places::{BARE_TOKENS, TOKENS};
use super::recipe::Recipe;
use super::{joint, open_clip, sam, unet, vae};
use crate::arch::ArchGraphs;

/// The names of one network in one file.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    prefix: String,
    layout: Layout,
}

#[derive(Clone, Debug)]
enum Layout {
    /// The reference library's own names behind a prefix.
    Present,
    /// The same without the `text_model.` that they begin with.
    WithoutTextModel,
    Unet(unet::UnetNames),
    Vae(vae::VaeNames),
    OpenClip(open_clip::OpenClipNames),
    Joint(joint::JointNames),
    Sam(sam::SamNames),
}

/// Prefixes under which a network may lie in a file that is given with the configuration of one network, and a name
/// that shows the layout.
const LONE: [(&str, &[&str], &str); 10] = [
    ("UNet2DConditionModel", &["model.diffusion_model.", "diffusion_model.", ""], "input_blocks.0.0.weight"),
    ("SD3Transformer2DModel", &["model.diffusion_model.", "diffusion_model.", ""], "joint_blocks.0.x_block.attn.qkv.weight"),
    ("AutoencoderKL", &["first_stage_model.", "vae.", ""], "decoder.mid.block_1.norm1.weight"),
    (
        "CLIPText",
        &["conditioner.embedders.1.model.", "conditioner.embedders.0.model.", "cond_stage_model.model.", ""],
        "transformer.resblocks.0.ln_1.weight",
    ),
    ("CLIPVision", &[""], "visual.transformer.resblocks.0.ln_1.weight"),
    ("CLIPModel", &[""], "visual.transformer.resblocks.0.ln_1.weight"),
    ("CLIPText", &["conditioner.embedders.0.transformer.", "cond_stage_model.transformer."], TOKENS),
    ("CLIPText", &["conditioner.embedders.0.transformer.", "cond_stage_model.transformer.", ""], BARE_TOKENS),
    ("Sam", &[""], "image_encoder.patch_embed.proj.weight"),
    ("T5EncoderModel", &["text_encoders.t5xxl.transformer."], "encoder.final_layer_norm.weight"),
];

impl Naming {
    /// The layout of a file for a network, if it is not the reference library's own.
    pub(crate) fn detect(network: &ArchGraphs, tensors: &BTreeMap<String, Weight>) -> Option<Self> {
        let candidates = LONE.iter().filter(|(class, _, _)| network.class.starts_with(class));
        let mut found = candidates.flat_map(|(_, prefixes, name)| prefixes.iter().map(move |prefix| (*prefix, *name)));
        let (prefix, _) = found.find(|(prefix, name)| tensors.contains_key(&format!("{prefix}{name}")))?;
        Some(Self::at(prefix, network, tensors))
    }

    /// The layout of a network whose tensors begin with `prefix`.
    pub(crate) fn at(prefix: &str, network: &ArchGraphs, tensors: &BTreeMap<String, Weight>) -> Self {
        let params: BTreeSet<&str> = params(network).collect();
        let has = |name: &str| tensors.contains_key(&format!("{prefix}{name}"));
        let layout = match network.class.as_str() {
            "UNet2DConditionModel" if has("input_blocks.0.0.weight") => Layout::Unet(unet::UnetNames::of(&params)),
            "AutoencoderKL" if has("decoder.mid.block_1.norm1.weight") => Layout::Vae(vae::VaeNames::of(&params)),
            "SD3Transformer2DModel" if has("joint_blocks.0.x_block.attn.qkv.weight") => {
                Layout::Joint(joint::JointNames::of(&params))
            }
            class if class.starts_with("CLIP") && (has("positional_embedding") || has("visual.positional_embedding")) => {
                Layout::OpenClip(open_clip::OpenClipNames::of(class, &params, prefix))
            }
            class if class.starts_with("CLIPText") && has(BARE_TOKENS) => Layout::WithoutTextModel,
            class if class.starts_with("Sam") && has("image_encoder.patch_embed.proj.weight") => {
                Layout::Sam(sam::SamNames::of(&params))
            }
            _ => Layout::Present,
        };
        Self { prefix: prefix.into(), layout }
    }

    /// The layout in which LoRA files of other programs name a network's modules, for a network of any file.
    pub(crate) fn of_adapters(network: &str, params: &BTreeSet<&str>) -> Option<Self> {
        let layout = match network {
            "UNet2DConditionModel" => Layout::Unet(unet::UnetNames::of(params)),
            "SD3Transformer2DModel" => Layout::Joint(joint::JointNames::of(params)),
            _ => return None,
        };
        Some(Self { prefix: String::new(), layout })
    }

    /// Where the tensor of a parameter is; nothing when the layout has no place for the parameter.
    pub(crate) fn recipe(&self, param: &str) -> Option<Recipe> {
        // SD3's files leave out the projection of CLIP-L, which is not used as one there.
        let or_identity = param == "text_projection.weight" && self.prefix.starts_with("text_encoders.clip_l.");
        let mut recipe = match &self.layout {
            Layout::Present => Recipe { or_identity, ..Recipe::same(param) },
            Layout::WithoutTextModel => {
                Recipe { or_identity, ..Recipe::same(param.strip_prefix("text_model.").unwrap_or(param)) }
            }
            Layout::Unet(names) => Recipe::same(names.original(param)?),
            Layout::Vae(names) => names.recipe(param)?,
            Layout::OpenClip(names) => names.recipe(param)?,
            Layout::Joint(names) => names.recipe(param)?,
            Layout::Sam(names) => names.recipe(param)?,
        };
        recipe.tensor.insert_str(0, &self.prefix);
        Some(recipe)
    }

    /// What the names of all tensors of the network begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A tensor's name without the prefix; nothing when it belongs to another network.
    pub(crate) fn strip<'a>(&self, tensor: &'a str) -> Option<&'a str> {
        tensor.strip_prefix(&self.prefix)
    }

    /// The reference library's name of a tensor (without prefix) that no parameter asks for, as far as there is one.
    pub(crate) fn present<'a>(&self, tensor: &'a str) -> Cow<'a, str> {
        match &self.layout {
            Layout::WithoutTextModel => Cow::Owned(format!("text_model.{tensor}")),
            Layout::Sam(_) => sam::present(tensor),
            Layout::Present | Layout::Unet(_) | Layout::Vae(_) | Layout::OpenClip(_) | Layout::Joint(_) => Cow::Borrowed(tensor),
        }
    }

    /// Why a tensor (without prefix) is left out on purpose, if it is.
    pub(crate) fn ignored(&self, tensor: &str) -> Option<&'static str> {
        match &self.layout {
            Layout::OpenClip(names) => names.ignored(tensor),
            _ => None,
        }
    }

    /// What the user should know.
    pub(crate) fn note(&self) -> Option<String> {
        let layout = match &self.layout {
            Layout::Present => return None,
            Layout::Unet(_) | Layout::Vae(_) => "latent-diffusion",
            Layout::OpenClip(_) => "open_clip",
            Layout::Joint(_) => "SD3",
            Layout::Sam(_) => "Segment Anything",
            Layout::WithoutTextModel => return Some("the tensors have their names without `text_model.`".into()),
        };
        Some(format!("the tensors have the names of the original {layout} layout"))
    }
}

/// The names of all parameters of a network.
pub(crate) fn params(network: &ArchGraphs) -> impl Iterator<Item = &str> {
    network.parts.iter().flat_map(|(_, graph)| graph.params().keys()).map(|name| &**name)
}
