//! Operations that move, repeat or drop elements.

use ndarray::{ArrayD, Axis, IxDyn, Slice, concatenate};

use super::tensor::{elements, from_vec, sizes};
use crate::error::RunError;

type Floats = ArrayD<f64>;

/// NumPy's broadcasting of two shapes.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, RunError> {
    let rank = a.len().max(b.len());
    let at = |sizes: &[usize], i: usize| (i + sizes.len()).checked_sub(rank).map_or(1, |j| sizes[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(RunError::Broadcast { a: a.to_vec(), b: b.to_vec() }),
        })
        .collect()
}

/// The same elements in another shape.
pub(super) fn reshape<T: Clone>(x: &ArrayD<T>, sizes: &[usize]) -> Result<ArrayD<T>, RunError> {
    from_vec(x.iter().cloned().collect(), sizes)
}

/// Reorders dimensions.
pub(super) fn permute<T: Clone>(x: &ArrayD<T>, axes: &[usize]) -> Result<ArrayD<T>, RunError> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..x.ndim()) {
        return Err(RunError::Permute { axes: axes.to_vec(), shape: x.shape().to_vec() });
    }
    Ok(x.view().permuted_axes(IxDyn(axes)).as_standard_layout().into_owned())
}

/// Joins along one axis.
pub(super) fn concat<T: Clone>(parts: &[&ArrayD<T>], axis: usize) -> Result<ArrayD<T>, RunError> {
    if parts.iter().any(|part| axis >= part.ndim()) {
        return Err(RunError::NoAxisToJoin { axis });
    }
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    Ok(concatenate(Axis(axis), &views)?.as_standard_layout().into_owned())
}

/// `length` elements from `start` along one axis.
pub(super) fn slice<T: Clone>(x: &ArrayD<T>, axis: usize, start: usize, length: usize) -> Result<ArrayD<T>, RunError> {
    let end = start.checked_add(length);
    match (x.shape().get(axis), end) {
        (Some(&size), Some(end)) if end <= size => {
            Ok(x.slice_axis(Axis(axis), Slice::from(start..end)).as_standard_layout().into_owned())
        }
        _ => Err(RunError::Slice { length, start, axis, shape: x.shape().to_vec() }),
    }
}

/// Surrounds with a constant.
pub(super) fn pad(x: &Floats, pads: &[[usize; 2]], value: f64) -> Result<Floats, RunError> {
    if pads.len() != x.ndim() {
        return Err(RunError::Pads { pads: pads.len(), shape: x.shape().to_vec() });
    }
    let padded: Option<Vec<usize>> =
        x.shape().iter().zip(pads).map(|(size, [before, after])| size.checked_add(*before)?.checked_add(*after)).collect();
    let padded = padded.ok_or(RunError::PadOverflow)?;
    elements(&padded)?;
    let mut result = Floats::from_elem(&padded[..], value);
    result
        .slice_each_axis_mut(|axis| {
            let i = axis.axis.index();
            Slice::from(pads[i][0]..pads[i][0] + x.shape()[i])
        })
        .assign(x);
    Ok(result)
}

/// Repeats dimensions of size 1, or missing in front.
pub(super) fn expand<T: Clone>(x: &ArrayD<T>, sizes: &[usize]) -> Result<ArrayD<T>, RunError> {
    elements(sizes)?;
    let view = x.broadcast(sizes).ok_or_else(|| RunError::Expand { from: x.shape().to_vec(), to: sizes.to_vec() })?;
    Ok(view.as_standard_layout().into_owned())
}

/// `x [b, h, w, c]` → `[b*nh*nw, window, window, c]`, zero-padded below and to the right.
pub(super) fn window_partition(x: &Floats, window: usize) -> Result<Floats, RunError> {
    let [batch, height, width, channels] = sizes(x, "x")?;
    if window == 0 {
        return Err(RunError::EmptyWindow);
    }
    let (rows, columns) = (height.div_ceil(window), width.div_ceil(window));
    let padded = pad(x, &[[0, 0], [0, rows * window - height], [0, columns * window - width], [0, 0]], 0.0)?;
    let tiles = reshape(&padded, &[batch, rows, window, columns, window, channels])?;
    reshape(&permute(&tiles, &[0, 1, 3, 2, 4, 5])?, &[batch * rows * columns, window, window, channels])
}

/// `x [b*nh*nw, window, window, c]` → `[b, height, width, c]`, padding dropped.
pub(super) fn window_merge(x: &Floats, window: usize, height: usize, width: usize) -> Result<Floats, RunError> {
    let [count, rows, columns, channels] = sizes(x, "x")?;
    if window == 0 || rows != window || columns != window {
        return Err(RunError::NotWindows { shape: x.shape().to_vec(), window });
    }
    let (down, across) = (height.div_ceil(window), width.div_ceil(window));
    if down * across == 0 || count % (down * across) != 0 {
        return Err(RunError::Windows { count, height, width });
    }
    let batch = count / (down * across);
    let tiles = reshape(x, &[batch, down, across, window, window, channels])?;
    let padded = reshape(&permute(&tiles, &[0, 1, 3, 2, 4, 5])?, &[batch, down * window, across * window, channels])?;
    slice(&slice(&padded, 1, 0, height)?, 2, 0, width)
}

/// Repeats every element `factor` times down and across.
pub(super) fn up_nearest(x: &Floats, factor: usize) -> Result<Floats, RunError> {
    let [n, c, h, w] = sizes(x, "x")?;
    let repeated = expand(&reshape(x, &[n, c, h, 1, w, 1])?, &[n, c, h, factor, w, factor])?;
    reshape(&repeated, &[n, c, h * factor, w * factor])
}
