//! `SD3Transformer2DModel` in the layout of its publication: a picture and a text half per block, fused query, key and
//! value, and modulations whose shift comes before the scale where diffusers has it after.

use std::collections::BTreeSet;

use super::recipe::{Recipe, Transform, count};

/// The number of blocks: the last one's text half only feeds the attention.
#[derive(Clone, Debug)]
pub(super) struct JointNames {
    blocks: usize,
}

impl JointNames {
    /// Reads it off the network's parameters.
    pub(super) fn of(params: &BTreeSet<&str>) -> Self {
        Self { blocks: count(params, |block| format!("transformer_blocks.{block}.norm1.linear.weight")) }
    }

    /// Where the tensor of a parameter is.
    pub(super) fn recipe(&self, param: &str) -> Option<Recipe> {
        let segments: Vec<&str> = param.split('.').collect();
        Some(match segments.as_slice() {
            ["pos_embed", "pos_embed"] => Recipe::same("pos_embed"),
            ["pos_embed", "proj", kind] => Recipe::same(format!("x_embedder.proj.{kind}")),
            ["time_text_embed", embedder, linear, kind] => {
                let embedder = match *embedder {
                    "timestep_embedder" => "t_embedder",
                    "text_embedder" => "y_embedder",
                    _ => return None,
                };
                let place = match *linear {
                    "linear_1" => 0,
                    "linear_2" => 2,
                    _ => return None,
                };
                Recipe::same(format!("{embedder}.mlp.{place}.{kind}"))
            }
            ["context_embedder", _] => Recipe::same(param),
            ["norm_out", "linear", kind] => Recipe::with(format!("final_layer.adaLN_modulation.1.{kind}"), Transform::SwapHalves),
            ["proj_out", kind] => Recipe::same(format!("final_layer.linear.{kind}")),
            ["transformer_blocks", block, module @ .., kind] => {
                let last = block.parse::<usize>().ok()?.checked_add(1)? == self.blocks;
                let (tensor, transform) = block_module(module, last)?;
                Recipe::with(format!("joint_blocks.{block}.{tensor}.{kind}"), transform)
            }
            _ => return None,
        })
    }
}

fn block_module(module: &[&str], last: bool) -> Option<(String, Transform)> {
    let rows = |part| Transform::Rows { part, of: 3 };
    let same = |name: &str| (name.to_string(), Transform::Same);
    Some(match module {
        ["norm1", "linear"] => same("x_block.adaLN_modulation.1"),
        ["norm1_context", "linear"] => {
            let transform = if last { Transform::SwapHalves } else { Transform::Same };
            ("context_block.adaLN_modulation.1".into(), transform)
        }
        ["ff", tail @ ..] => same(&format!("x_block.mlp.{}", feed_forward(tail)?)),
        ["ff_context", tail @ ..] => same(&format!("context_block.mlp.{}", feed_forward(tail)?)),
        [attention @ ("attn" | "attn2"), inner @ ..] => match inner {
            ["to_q"] => (format!("x_block.{attention}.qkv"), rows(0)),
            ["to_k"] => (format!("x_block.{attention}.qkv"), rows(1)),
            ["to_v"] => (format!("x_block.{attention}.qkv"), rows(2)),
            ["add_q_proj"] => (format!("context_block.{attention}.qkv"), rows(0)),
            ["add_k_proj"] => (format!("context_block.{attention}.qkv"), rows(1)),
            ["add_v_proj"] => (format!("context_block.{attention}.qkv"), rows(2)),
            ["to_out", "0"] => same(&format!("x_block.{attention}.proj")),
            ["to_add_out"] => same(&format!("context_block.{attention}.proj")),
            ["norm_q"] => same(&format!("x_block.{attention}.ln_q")),
            ["norm_k"] => same(&format!("x_block.{attention}.ln_k")),
            ["norm_added_q"] => same(&format!("context_block.{attention}.ln_q")),
            ["norm_added_k"] => same(&format!("context_block.{attention}.ln_k")),
            _ => return None,
        },
        _ => return None,
    })
}

fn feed_forward(tail: &[&str]) -> Option<&'static str> {
    match tail {
        ["net", "0", "proj"] => Some("fc1"),
        ["net", "2"] => Some("fc2"),
        _ => None,
    }
}
