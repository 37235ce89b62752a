//! `AutoencoderKL` in the latent-diffusion layout: decoder levels counted from the lowest resolution's end, attention
//! by 1×1 convolutions.

use std::collections::BTreeSet;

use super::recipe::{Recipe, Transform, count};

/// The number of levels, from which the decoder's are counted down.
#[derive(Clone, Debug)]
pub(super) struct VaeNames {
    levels: usize,
}

impl VaeNames {
    /// Reads it off the network's parameters.
    pub(super) fn of(params: &BTreeSet<&str>) -> Self {
        Self { levels: count(params, |level| format!("decoder.up_blocks.{level}.resnets.0.norm1.weight")) }
    }

    /// Where the tensor of a parameter is.
    pub(super) fn recipe(&self, param: &str) -> Option<Recipe> {
        let Some((half, inner)) = param.split_once('.').filter(|(half, _)| matches!(*half, "encoder" | "decoder")) else {
            // `quant_conv` and `post_quant_conv`.
            return Some(Recipe::same(param));
        };
        let segments: Vec<&str> = inner.split('.').collect();
        let name = match segments.as_slice() {
            ["conv_in" | "conv_out", _] => inner.to_string(),
            ["conv_norm_out", kind] => format!("norm_out.{kind}"),
            ["mid_block", "attentions", "0", module @ .., kind] => {
                let module = match module {
                    ["group_norm"] => "norm",
                    ["to_q"] => "q",
                    ["to_k"] => "k",
                    ["to_v"] => "v",
                    ["to_out", "0"] => "proj_out",
                    _ => return None,
                };
                let transform = match (module, *kind) {
                    ("q" | "k" | "v" | "proj_out", "weight") => Transform::Pointwise,
                    _ => Transform::Same,
                };
                return Some(Recipe::with(format!("{half}.mid.attn_1.{module}.{kind}"), transform));
            }
            ["mid_block", "resnets", layer, tail @ ..] => {
                format!("mid.block_{}.{}", layer.parse::<usize>().ok()?.checked_add(1)?, resnet(tail))
            }
            ["down_blocks", level, "resnets", layer, tail @ ..] => format!("down.{level}.block.{layer}.{}", resnet(tail)),
            ["down_blocks", level, "downsamplers", "0", tail @ ..] => format!("down.{level}.downsample.{}", tail.join(".")),
            ["up_blocks", level, tail @ ..] => {
                let level = self.levels.checked_sub(level.parse::<usize>().ok()?)?.checked_sub(1)?;
                match tail {
                    ["resnets", layer, tail @ ..] => format!("up.{level}.block.{layer}.{}", resnet(tail)),
                    ["upsamplers", "0", tail @ ..] => format!("up.{level}.upsample.{}", tail.join(".")),
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(Recipe::same(format!("{half}.{name}")))
    }
}

fn resnet(tail: &[&str]) -> String {
    tail.join(".").replace("conv_shortcut", "nin_shortcut")
}
