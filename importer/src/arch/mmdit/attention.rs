//! `Attention` with `JointAttnProcessor2_0`: picture and text tokens, each projected by weights of its own, attend to all
//! of both.

use dmdx_graph::ValueId;

use super::config::NORM_EPS;
use crate::arch::scope::Scope;
use crate::error::Result;

/// The kind of one attention.
#[derive(Clone, Copy)]
pub(super) struct AttentionStyle {
    pub heads: usize,
    /// Queries and keys are normalised, each head for itself.
    pub qk_norm: bool,
}

/// Names of the projections and norms of one kind of tokens.
struct Names {
    projections: [&'static str; 3],
    norms: [&'static str; 2],
}

const IMAGE: Names = Names { projections: ["to_q", "to_k", "to_v"], norms: ["norm_q", "norm_k"] };
const TEXT: Names = Names { projections: ["add_q_proj", "add_k_proj", "add_v_proj"], norms: ["norm_added_q", "norm_added_k"] };

/// The picture tokens `x [b, n, c]` attend to themselves.
pub(super) fn self_attention(scope: &mut Scope<'_>, name: &str, x: ValueId, style: AttentionStyle) -> Result<ValueId> {
    let width = scope.size(x, 2);
    scope.module(name, |m| {
        let inputs = project(m, &IMAGE, x, style)?;
        let x = m.sdpa(&inputs, false)?;
        let x = m.merge_heads(x)?;
        m.linear("to_out.0", x, width, true)
    })
}

/// Picture tokens `image [b, n, c]` and text tokens `text [b, s, c]` attend to both; the last block's text is not projected
/// at the end, as nobody reads it.
pub(super) fn joint_attention(
    scope: &mut Scope<'_>,
    name: &str,
    [image, text]: [ValueId; 2],
    style: AttentionStyle,
    context_pre_only: bool,
) -> Result<[ValueId; 2]> {
    let width = scope.size(image, 2);
    let mut m = scope.child(name);
    let [image_tokens, text_tokens] = [m.dim(image, 1), m.dim(text, 1)];
    let (image, text) = (project(&mut m, &IMAGE, image, style)?, project(&mut m, &TEXT, text, style)?);
    let mut inputs = Vec::new();
    for pair in image.into_iter().zip(text) {
        inputs.push(m.concat(2, &[pair.0, pair.1])?);
    }
    let x = m.sdpa(&inputs, false)?;
    let x = m.merge_heads(x)?;
    let image = m.slice(x, 1, 0, image_tokens.clone())?;
    let mut text = m.slice(x, 1, image_tokens, text_tokens)?;
    if !context_pre_only {
        text = m.linear("to_add_out", text, width, true)?;
    }
    let image = m.linear("to_out.0", image, width, true)?;
    m.mark_self(image);
    scope.mark(&format!("{name}:1"), text);
    Ok([image, text])
}

/// Queries, keys and values `[b, heads, s, c/heads]`.
fn project(m: &mut Scope<'_>, names: &Names, x: ValueId, style: AttentionStyle) -> Result<[ValueId; 3]> {
    let width = m.size(x, 2);
    let mut parts = [x; 3];
    for (i, part) in parts.iter_mut().enumerate() {
        let projected = m.linear(names.projections[i], x, width, true)?;
        *part = m.split_heads(projected, style.heads)?;
        if let Some(norm) = names.norms.get(i).filter(|_| style.qk_norm) {
            *part = m.rms_norm(norm, *part, NORM_EPS)?;
        }
    }
    Ok(parts)
}
