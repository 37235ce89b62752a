//! `JointTransformerBlock`: picture and text tokens attend to each other and are fed forward, each by its own weights.

use dmdx_graph::ValueId;

use super::attention::{AttentionStyle, joint_attention, self_attention};
use super::config::NORM_EPS;
use crate::arch::adaptive::{add_gated, feed_forward, modulate, modulation, plain_norm};
use crate::arch::scope::Scope;
use crate::error::Result;

/// The kind of one block.
#[derive(Clone, Copy)]
pub(super) struct BlockStyle {
    pub attention: AttentionStyle,
    /// The picture tokens also attend to themselves alone.
    pub dual_attention: bool,
    /// The last block: only the picture tokens go on.
    pub context_pre_only: bool,
}

/// `image [b, n, c]`, `text [b, s, c]` and the condition `time [b, c]` → both anew; the last block returns no text.
pub(super) fn joint_block(
    scope: &mut Scope<'_>,
    name: &str,
    [image, text]: [ValueId; 2],
    time: ValueId,
    style: BlockStyle,
) -> Result<(ValueId, Option<ValueId>)> {
    let mut block = scope.child(name);
    let m = &mut block;
    let image_norm = match style.dual_attention {
        true => dual_norm(m, "norm1", image, time)?,
        false => norm_zero(m, "norm1", image, time)?,
    };
    let (normed_text, text_norm) = match style.context_pre_only {
        true => (norm_continuous(m, "norm1_context", text, time)?, None),
        false => {
            let norm = norm_zero(m, "norm1_context", text, time)?;
            (norm.normed, Some(norm))
        }
    };
    let attended = joint_attention(m, "attn", [image_norm.normed, normed_text], style.attention, style.context_pre_only)?;

    let mut image = add_gated(m, image, image_norm.gate, attended[0])?;
    if let Some((normed, gate)) = image_norm.second {
        let attended = self_attention(m, "attn2", normed, style.attention)?;
        image = add_gated(m, image, gate, attended)?;
    }
    let image = fed_forward(m, ["norm2", "ff"], image, &image_norm)?;
    let text = match text_norm {
        Some(norm) => {
            let text = add_gated(m, text, norm.gate, attended[1])?;
            Some(fed_forward(m, ["norm2_context", "ff_context"], text, &norm)?)
        }
        None => None,
    };
    // The reference returns (text, image).
    if let Some(text) = text {
        m.mark_self(text);
    }
    scope.mark(&format!("{name}:1"), image);
    Ok((image, text))
}

/// What an adaptive norm gives.
struct AdaptiveNorm {
    normed: ValueId,
    gate: ValueId,
    /// Shift and scale before the feed-forward layer, and the gate after it.
    feed_forward: ([ValueId; 2], ValueId),
    /// The tokens for the second attention, and the gate after it.
    second: Option<(ValueId, ValueId)>,
}

/// `AdaLayerNormZero`.
fn norm_zero(scope: &mut Scope<'_>, name: &str, x: ValueId, time: ValueId) -> Result<AdaptiveNorm> {
    let width = scope.size(x, 2);
    let mut m = scope.child(name);
    let [shift, scale, gate, fed_shift, fed_scale, fed_gate] = modulation(&mut m, time, width)?;
    let x = plain_norm(&mut m, "norm", x, NORM_EPS)?;
    let normed = modulate(&mut m, x, [shift, scale])?;
    m.mark_self(normed);
    scope.mark(&format!("{name}:1"), gate);
    Ok(AdaptiveNorm { normed, gate, feed_forward: ([fed_shift, fed_scale], fed_gate), second: None })
}

/// `SD35AdaLayerNormZeroX`.
fn dual_norm(scope: &mut Scope<'_>, name: &str, x: ValueId, time: ValueId) -> Result<AdaptiveNorm> {
    let width = scope.size(x, 2);
    let mut m = scope.child(name);
    let [shift, scale, gate, fed_shift, fed_scale, fed_gate, shift_2, scale_2, gate_2] = modulation(&mut m, time, width)?;
    let x = plain_norm(&mut m, "norm", x, NORM_EPS)?;
    let normed = modulate(&mut m, x, [shift, scale])?;
    let normed_2 = modulate(&mut m, x, [shift_2, scale_2])?;
    m.mark_self(normed);
    scope.mark(&format!("{name}:1"), gate);
    Ok(AdaptiveNorm { normed, gate, feed_forward: ([fed_shift, fed_scale], fed_gate), second: Some((normed_2, gate_2)) })
}

/// `AdaLayerNormContinuous`, whose scale comes before its shift.
pub(super) fn norm_continuous(scope: &mut Scope<'_>, name: &str, x: ValueId, time: ValueId) -> Result<ValueId> {
    let width = scope.size(x, 2);
    scope.module(name, |m| {
        let [scale, shift] = modulation(m, time, width)?;
        let x = plain_norm(m, "norm", x, NORM_EPS)?;
        modulate(m, x, [shift, scale])
    })
}

/// The second half of a block for one kind of tokens.
fn fed_forward(m: &mut Scope<'_>, [norm_name, name]: [&str; 2], x: ValueId, norm: &AdaptiveNorm) -> Result<ValueId> {
    let (shift_scale, gate) = norm.feed_forward;
    let normed = plain_norm(m, norm_name, x, NORM_EPS)?;
    let normed = modulate(m, normed, shift_scale)?;
    let fed = feed_forward(m, name, normed, true)?;
    add_gated(m, x, gate, fed)
}
