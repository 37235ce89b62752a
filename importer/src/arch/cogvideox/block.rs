//! `CogVideoXBlock`: text and patches attend to each other as one sequence, with norms modulated for each of them.

use dmdx_graph::{Op, ValueId};

use crate::arch::adaptive::{add_gated, feed_forward, modulate, modulation};
use crate::arch::scope::Scope;
use crate::error::Result;

/// Fixed in `CogVideoXBlock` for the norms of queries and keys.
const QK_NORM_EPS: f64 = 1e-6;

/// What the blocks of one network have in common.
#[derive(Clone, Copy)]
pub(super) struct BlockStyle {
    pub heads: usize,
    pub attention_bias: bool,
    /// The feed-forward layer approximates GELU.
    pub gelu_tanh: bool,
    pub norm: NormStyle,
}

/// What all norms over the width of the tokens have in common.
#[derive(Clone, Copy)]
pub(super) struct NormStyle {
    /// They have a weight and a bias.
    pub affine: bool,
    pub eps: f64,
}

impl NormStyle {
    /// `torch.nn.LayerNorm`, applied to each of `values [.., c]` with the same parameters.
    pub(super) fn apply<const N: usize>(self, scope: &mut Scope<'_>, name: &str, values: [ValueId; N]) -> Result<[ValueId; N]> {
        let mut m = scope.child(name);
        let mut inputs = vec![values[0]];
        if self.affine {
            let width = m.size(values[0], 2);
            inputs.extend([m.param("weight", &[width])?, m.param("bias", &[width])?]);
        }
        let mut results = values;
        for result in &mut results {
            inputs[0] = *result;
            *result = m.op(Op::LayerNorm { eps: self.eps }, &inputs)?;
            // As a hook of the reference, which sees the last call.
            m.mark_self(*result);
        }
        Ok(results)
    }
}

/// Patches `image [b, n, c]`, `text [b, s, c]` and the condition `time [b, d]` → both anew. `rope` holds the cosines and
/// sines `[n, c/heads]` by which patches are rotated.
pub(super) fn block(
    scope: &mut Scope<'_>,
    name: &str,
    [image, text]: [ValueId; 2],
    time: ValueId,
    rope: Option<[ValueId; 2]>,
    style: BlockStyle,
) -> Result<[ValueId; 2]> {
    let mut m = scope.child(name);
    let norm = norm_zero(&mut m, "norm1", [image, text], time, style.norm)?;
    let attended = attention(&mut m, "attn1", norm.normed, rope, style)?;
    let image = add_gated(&mut m, image, norm.gates[0], attended[0])?;
    let text = add_gated(&mut m, text, norm.gates[1], attended[1])?;

    let norm = norm_zero(&mut m, "norm2", [image, text], time, style.norm)?;
    let joined = join(&mut m, norm.normed)?;
    let fed = feed_forward(&mut m, "ff", joined, style.gelu_tanh)?;
    let fed = split(&mut m, fed, [image, text])?;
    let image = add_gated(&mut m, image, norm.gates[0], fed[0])?;
    let text = add_gated(&mut m, text, norm.gates[1], fed[1])?;
    m.mark_self(image);
    scope.mark(&format!("{name}:1"), text);
    Ok([image, text])
}

/// Both kinds of tokens normalised, and the gates `[b, c]` for what becomes of them; patches first.
struct Normed {
    normed: [ValueId; 2],
    gates: [ValueId; 2],
}

/// `CogVideoXLayerNormZero`.
fn norm_zero(scope: &mut Scope<'_>, name: &str, values: [ValueId; 2], time: ValueId, style: NormStyle) -> Result<Normed> {
    let width = scope.size(values[0], 2);
    let mut m = scope.child(name);
    let [shift, scale, gate, text_shift, text_scale, text_gate] = modulation(&mut m, time, width)?;
    let [image, text] = style.apply(&mut m, "norm", values)?;
    let image = modulate(&mut m, image, [shift, scale])?;
    let text = modulate(&mut m, text, [text_shift, text_scale])?;
    m.mark_self(image);
    scope.mark(&format!("{name}:1"), text);
    Ok(Normed { normed: [image, text], gates: [gate, text_gate] })
}

/// `Attention` with `CogVideoXAttnProcessor2_0`.
fn attention(
    scope: &mut Scope<'_>,
    name: &str,
    values: [ValueId; 2],
    rope: Option<[ValueId; 2]>,
    style: BlockStyle,
) -> Result<[ValueId; 2]> {
    let width = scope.size(values[0], 2);
    let mut m = scope.child(name);
    let x = join(&mut m, values)?;
    let mut inputs = Vec::new();
    for (projection, norm) in [("to_q", Some("norm_q")), ("to_k", Some("norm_k")), ("to_v", None)] {
        let projected = m.linear(projection, x, width, style.attention_bias)?;
        let mut part = m.split_heads(projected, style.heads)?;
        if let Some(norm) = norm {
            part = m.layer_norm(norm, part, QK_NORM_EPS)?;
            if let Some(rope) = rope {
                part = rotate(&mut m, part, rope, values)?;
            }
        }
        inputs.push(part);
    }
    let x = m.sdpa(&inputs, false)?;
    let x = m.merge_heads(x)?;
    let x = m.linear("to_out.0", x, width, true)?;
    let [image, text] = split(&mut m, x, values)?;
    m.mark_self(image);
    scope.mark(&format!("{name}:1"), text);
    Ok([image, text])
}

/// Rotates the patches of `x [b, heads, s + n, d]` and leaves the text in front of them.
fn rotate(m: &mut Scope<'_>, x: ValueId, [cos, sin]: [ValueId; 2], like: [ValueId; 2]) -> Result<ValueId> {
    let [image, text] = like.map(|value| m.dim(value, 1));
    let front = m.slice(x, 2, 0, text.clone())?;
    let patches = m.slice(x, 2, text, image)?;
    let patches = m.op(Op::Rope { interleaved: true }, &[patches, cos, sin])?;
    m.concat(2, &[front, patches])
}

/// Text, then patches.
fn join(m: &mut Scope<'_>, [image, text]: [ValueId; 2]) -> Result<ValueId> {
    m.concat(1, &[text, image])
}

/// The inverse of [`join`], as many tokens each as `like` has.
fn split(m: &mut Scope<'_>, x: ValueId, like: [ValueId; 2]) -> Result<[ValueId; 2]> {
    let [image, text] = like.map(|value| m.dim(value, 1));
    Ok([m.slice(x, 1, text.clone(), image)?, m.slice(x, 1, 0, text)?])
}
