//! `UNet2DConditionModel` in the latent-diffusion layout: one flat list of input and of output blocks.

use std::collections::BTreeSet;

use super::recipe::count;

/// Where every level of the network begins in the flat lists.
#[derive(Clone, Debug)]
pub(super) struct UnetNames {
    down: Vec<Level>,
    up: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    /// Number of the first block in the flat list.
    first: usize,
    layers: usize,
    attends: bool,
}

impl UnetNames {
    /// Reads the levels off the network's parameters.
    pub(super) fn of(params: &BTreeSet<&str>) -> Self {
        // The first input block is the convolution before all levels; a downsampler is a block of its own.
        Self { down: levels(params, "down_blocks", 1, "downsamplers"), up: levels(params, "up_blocks", 0, "") }
    }

    /// The original name of a parameter.
    pub(super) fn original(&self, param: &str) -> Option<String> {
        let segments: Vec<&str> = param.split('.').collect();
        Some(match segments.as_slice() {
            ["time_embedding", linear, kind] => format!("time_embed.{}.{kind}", sequential(linear)?),
            ["class_embedding", "weight"] => "label_emb.weight".into(),
            ["add_embedding" | "class_embedding", linear, kind] => format!("label_emb.0.{}.{kind}", sequential(linear)?),
            ["conv_in", kind] => format!("input_blocks.0.0.{kind}"),
            ["conv_norm_out", kind] => format!("out.0.{kind}"),
            ["conv_out", kind] => format!("out.2.{kind}"),
            ["mid_block", "resnets", layer, tail @ ..] => {
                format!("middle_block.{}.{}", 2 * layer.parse::<usize>().ok()?, resnet(tail)?)
            }
            ["mid_block", "attentions", "0", tail @ ..] => format!("middle_block.1.{}", tail.join(".")),
            ["down_blocks", level, tail @ ..] => {
                let level = self.down.get(level.parse::<usize>().ok()?)?;
                match tail {
                    ["downsamplers", "0", "conv", kind] => format!("input_blocks.{}.0.op.{kind}", level.first + level.layers),
                    _ => format!("input_blocks.{}", level.block(tail)?),
                }
            }
            ["up_blocks", level, tail @ ..] => {
                let level = self.up.get(level.parse::<usize>().ok()?)?;
                match tail {
                    // The upsampler follows the attention in the level's last block.
                    ["upsamplers", "0", "conv", kind] => {
                        let place = 1 + usize::from(level.attends);
                        format!("output_blocks.{}.{place}.conv.{kind}", (level.first + level.layers).checked_sub(1)?)
                    }
                    _ => format!("output_blocks.{}", level.block(tail)?),
                }
            }
            _ => return None,
        })
    }
}

impl Level {
    fn block(&self, tail: &[&str]) -> Option<String> {
        Some(match tail {
            ["resnets", layer, tail @ ..] => format!("{}.0.{}", self.first + layer.parse::<usize>().ok()?, resnet(tail)?),
            ["attentions", layer, tail @ ..] => {
                format!("{}.1.{}", self.first + layer.parse::<usize>().ok()?, tail.join("."))
            }
            _ => return None,
        })
    }
}

fn levels(params: &BTreeSet<&str>, blocks: &str, first: usize, sampler: &str) -> Vec<Level> {
    let mut next = first;
    let count_levels = count(params, |level| format!("{blocks}.{level}.resnets.0.norm1.weight"));
    let level = |level: usize| {
        let layers = count(params, |layer| format!("{blocks}.{level}.resnets.{layer}.norm1.weight"));
        let attends = params.contains(format!("{blocks}.{level}.attentions.0.norm.weight").as_str());
        let found = Level { first: next, layers, attends };
        next += layers + usize::from(params.contains(format!("{blocks}.{level}.{sampler}.0.conv.weight").as_str()));
        found
    };
    (0..count_levels).map(level).collect()
}

/// The place of a linear layer in `Sequential(linear, SiLU, linear)`.
fn sequential(linear: &str) -> Option<usize> {
    match linear {
        "linear_1" => Some(0),
        "linear_2" => Some(2),
        _ => None,
    }
}

fn resnet(tail: &[&str]) -> Option<String> {
    let [module, kind] = tail else { return None };
    let module = match *module {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        _ => return None,
    };
    Some(format!("{module}.{kind}"))
}
