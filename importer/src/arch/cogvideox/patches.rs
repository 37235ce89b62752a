//! `CogVideoXPatchEmbed` and its inverse at the end of the network.

use dmdx_graph::{Dim, Op, ValueId};

use super::config::{CogVideoXConfig, Positions};
use crate::arch::adaptive::unpatchify;
use crate::arch::scope::{Conv, Scope};
use crate::error::Result;

/// Frames (in patches), rows and columns of the grid of patches.
pub(super) type Grid = [Dim; 3];

/// `video [b, frames, c, H, W]` and `text [b, s, d]` → `[b, s + f*h*w, width]`: text first, then one token per patch.
pub(super) fn patch_embed(
    m: &mut Scope<'_>,
    net: &CogVideoXConfig,
    video: ValueId,
    text: ValueId,
    grid: &Grid,
) -> Result<ValueId> {
    let text = m.linear("text_proj", text, net.width(), true)?;
    let mut image = match net.patch_size_t {
        None => flat_patches(m, net, video, grid)?,
        Some(frames) => deep_patches(m, net, video, grid, frames)?,
    };
    if net.positions == Positions::Sincos {
        let [frames, height, width] = grid.clone();
        let table = Op::SincosTable3d {
            dim: net.width(),
            frames,
            height,
            width,
            spatial_scale: net.spatial_interpolation_scale,
            temporal_scale: net.temporal_interpolation_scale,
        };
        // The reference also adds zeros to the text.
        let table = m.op(table, &[])?;
        image = m.add(image, table)?;
    }
    let x = m.concat(1, &[text, image])?;
    if net.positions == Positions::RotaryAndTable {
        let table = m.param("pos_embedding", &[1, net.table_rows(), net.width()])?;
        return m.add(x, table);
    }
    Ok(x)
}

/// Patches of single frames, by a convolution.
fn flat_patches(m: &mut Scope<'_>, net: &CogVideoXConfig, video: ValueId, grid: &Grid) -> Result<ValueId> {
    let dims = m.shape(video).0;
    let x = m.reshape(video, [dims[0].times(&dims[1]), dims[2].clone(), dims[3].clone(), dims[4].clone()])?;
    let x = m.conv2d("proj", x, net.width(), Conv::patches(net.patch_size, net.patch_bias))?;
    let x = m.flatten_image(x)?;
    m.reshape(x, [dims[0].clone(), tokens_of(grid), net.width().into()])
}

/// Patches of `frames` frames each, by a linear layer, which always has a bias. Elements of a patch are ordered by channel,
/// frame, row, column.
fn deep_patches(m: &mut Scope<'_>, net: &CogVideoXConfig, video: ValueId, grid: &Grid, frames: usize) -> Result<ValueId> {
    let dims = m.shape(video).0;
    let [f, h, w] = grid;
    let (patch, channels, count) = (net.patch_size, net.in_channels, dims[0].times(f));
    let x = m.reshape(video, [count.clone(), frames.into(), channels.into(), dims[3].times(&dims[4])])?;
    let x = m.permute(x, &[0, 2, 1, 3])?;
    let x = m.reshape(x, [count, (channels * frames).into(), h.clone(), patch.into(), w.clone(), patch.into()])?;
    let x = m.permute(x, &[0, 2, 4, 1, 3, 5])?;
    let x = m.reshape(x, [dims[0].clone(), tokens_of(grid), (channels * frames * patch * patch).into()])?;
    m.linear("proj", x, net.width(), true)
}

/// Number of patches.
pub(super) fn tokens_of([f, h, w]: &Grid) -> Dim {
    f.times(h).times(w)
}

/// `x [b, f*h*w, c'*frames*patch*patch]` → `[b, f*frames, c', h*patch, w*patch]`.
pub(super) fn unpatchify_video(m: &mut Scope<'_>, net: &CogVideoXConfig, x: ValueId, grid: &Grid) -> Result<ValueId> {
    let [f, h, w] = grid;
    let (batch, elements) = (m.dim(x, 0), m.dim(x, 2));
    let (channels, frames, count) = (net.out_channels, net.patch_size_t.unwrap_or(1), m.dim(x, 0).times(f));
    let mut x = m.reshape(x, [count.clone(), h.times(w), elements])?;
    x = unpatchify(m, x, [h, w], net.patch_size, false)?;
    let (rows, columns) = (m.dim(x, 2), m.dim(x, 3));
    if frames > 1 {
        x = m.reshape(x, [count, channels.into(), frames.into(), rows.times(&columns)])?;
        x = m.permute(x, &[0, 2, 1, 3])?;
    }
    m.reshape(x, [batch, f.scaled(frames), channels.into(), rows, columns])
}
