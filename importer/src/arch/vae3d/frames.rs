//! How many frames there are, how they are cut into batches, and operations along time on `[b, c, f, h, w]`.

use dmdx_graph::{Op, ValueId, ir::ReduceKind};

use super::config::TIME_LEVELS;
use crate::arch::scope::Scope;
use crate::error::{ImportError, Result};

/// What the released networks were trained on and generate.
pub(super) const DEFAULT_FRAMES: usize = 49;

/// Most frames of a video: a graph grows with their number.
pub(super) const MOST_FRAMES: usize = 1024;

/// Pixel frames that the encoder takes at once.
pub(super) const ENCODED_AT_ONCE: usize = 8;

/// Latent frames that the decoder takes at once.
pub(super) const DECODED_AT_ONCE: usize = 2;

/// Checks a number of pixel frames.
pub(super) fn checked(class: &str, frames: usize) -> Result<usize> {
    if (1..=MOST_FRAMES).contains(&frames) {
        return Ok(frames);
    }
    Err(ImportError::Frames { class: class.into(), frames, most: MOST_FRAMES })
}

/// Latent frames of a video.
pub(super) fn encoded(frames: usize) -> usize {
    frames.div_ceil(1 << TIME_LEVELS)
}

/// The shortest video of so many latent frames.
pub(crate) fn shortest_video(latent_frames: usize) -> usize {
    latent_frames.saturating_sub(1).saturating_mul(1 << TIME_LEVELS).saturating_add(1)
}

/// First frame and length of every batch: `at_once` frames each, and what remains goes to the first.
pub(super) fn batches(frames: usize, at_once: usize) -> Vec<(usize, usize)> {
    let count = (frames / at_once).max(1);
    let first = frames - (count - 1) * at_once;
    (0..count).map(|i| if i == 0 { (0, first) } else { (first + (i - 1) * at_once, at_once) }).collect()
}

/// Twice as many frames; a single one stays, and so does the first of an odd number.
pub(super) fn doubled(frames: usize) -> usize {
    match frames {
        1 => 1,
        odd if odd % 2 == 1 => 2 * odd - 1,
        even => 2 * even,
    }
}

/// Repeats frames until there are `wanted`; the first one stays single if that number is odd.
pub(super) fn stretch(m: &mut Scope<'_>, x: ValueId, wanted: usize) -> Result<ValueId> {
    let frames = m.size(x, 2);
    if frames == wanted {
        return Ok(x);
    }
    let apart = wanted % 2;
    with_first_apart(m, x, apart, |m, rest| {
        let (frames, times) = (frames - apart, (wanted - apart) / (frames - apart).max(1));
        let [batch, channels, height, width] = [0, 1, 3, 4].map(|axis| m.dim(rest, axis));
        let (volumes, area) = (batch.times(&channels), height.times(&width));
        let single = m.reshape(rest, [volumes.clone(), frames.into(), 1.into(), area.clone()])?;
        let repeated = m.expand(single, [volumes, frames.into(), times.into(), area])?;
        m.reshape(repeated, [batch, channels, (frames * times).into(), height, width])
    })
}

/// The mean of each pair of frames; of an odd number, the first one stays.
pub(super) fn halve(m: &mut Scope<'_>, x: ValueId) -> Result<ValueId> {
    let frames = m.size(x, 2);
    if frames == 1 {
        return Ok(x);
    }
    with_first_apart(m, x, frames % 2, |m, rest| {
        let pairs = frames / 2;
        let [batch, channels, height, width] = [0, 1, 3, 4].map(|axis| m.dim(rest, axis));
        let paired = m.reshape(rest, [batch.times(&channels), pairs.into(), 2.into(), height.times(&width)])?;
        let mean = m.op(Op::Reduce { kind: ReduceKind::Mean, axes: vec![2], keep_dims: false }, &[paired])?;
        m.reshape(mean, [batch, channels, pairs.into(), height, width])
    })
}

/// `body` of all frames, or with `apart` 1 of all but the first, which is put before its result.
fn with_first_apart(
    m: &mut Scope<'_>,
    x: ValueId,
    apart: usize,
    body: impl FnOnce(&mut Scope<'_>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    if apart == 0 {
        return body(m, x);
    }
    let frames = m.size(x, 2);
    let first = m.slice(x, 2, 0, 1)?;
    let rest = m.slice(x, 2, 1, frames - 1)?;
    let rest = body(m, rest)?;
    m.concat(2, &[first, rest])
}

/// `body` of every frame as a picture: `[b, c, f, h, w]` → `[b*f, c, h, w]` → `[b, c', f, h', w']`.
pub(super) fn each_frame(
    m: &mut Scope<'_>,
    x: ValueId,
    body: impl FnOnce(&mut Scope<'_>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    let [batch, channels, frames, height, width] = [0, 1, 2, 3, 4].map(|axis| m.dim(x, axis));
    let pictures = m.permute(x, &[0, 2, 1, 3, 4])?;
    let pictures = m.reshape(pictures, [batch.times(&frames), channels, height, width])?;
    let pictures = body(m, pictures)?;
    let [channels, height, width] = [1, 2, 3].map(|axis| m.dim(pictures, axis));
    let x = m.reshape(pictures, [batch, frames, channels, height, width])?;
    m.permute(x, &[0, 2, 1, 3, 4])
}
