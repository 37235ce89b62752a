//! The result type of every operation.

use crate::ir::{DType, Dim, Op, Shape, Type};

type Inferred = Result<Type, String>;

/// Result type of `op` on inputs of these types; the error says what does not fit.
///
/// # Errors
/// When the number, types or shapes of the inputs do not fit the operation.
pub fn infer(op: &Op, inputs: &[&Type]) -> Inferred {
    let (least, most) = arity(op);
    if inputs.len() < least || inputs.len() > most {
        return Err(format!("it has {} inputs, {least} to {most} are possible", inputs.len()));
    }
    for (i, input) in inputs.iter().enumerate() {
        let ids = matches!((op, i), (Op::Embedding, 0) | (Op::PoolToken { .. }, 1));
        let shapes_only = matches!(
            op,
            Op::Reshape { .. } | Op::Permute { .. } | Op::Concat { .. } | Op::Slice { .. } | Op::Expand { .. } | Op::Cast { .. }
        );
        if !shapes_only && input.dtype.is_float() == ids {
            return Err(format!("input {i} has type {input}, {} is needed", if ids { "integers" } else { "floats" }));
        }
    }
    if let Op::SincosTable3d { dim, frames, height, width, spatial_scale, temporal_scale } = op {
        if !(*spatial_scale > 0.0 && *temporal_scale > 0.0) {
            return Err("the scales must be positive".into());
        }
        return sincos_table(*dim, [frames, height, width]);
    }
    let x = inputs[0];
    let same = || Ok(x.clone());
    match op {
        // Has no input, done above.
        Op::SincosTable3d { .. } => same(),
        Op::Linear => linear(inputs),
        Op::MatMul { transpose_a, transpose_b } => mat_mul(x, inputs[1], *transpose_a, *transpose_b),
        Op::Embedding => {
            let [_, width] = dims::<2>(inputs[1])?;
            let mut shape = x.shape.0.clone();
            shape.push(width.clone());
            Ok(Type { dtype: inputs[1].dtype, shape: Shape(shape) })
        }
        Op::Conv2d { stride, padding, dilation, groups } => conv(inputs, *stride, padding, *dilation, *groups),
        Op::Conv3d { stride, padding, dilation, groups } => conv(inputs, *stride, padding, *dilation, *groups),
        Op::MaxPool2d { kernel, stride, padding } | Op::AvgPool2d { kernel, stride, padding, .. } => {
            pool(x, *kernel, *stride, *padding)
        }
        Op::GroupNorm { groups, .. } => {
            let channels = x.shape.0.get(1).ok_or("x needs at least two dimensions")?;
            expect(inputs[1], std::slice::from_ref(channels), "weight")?;
            expect(inputs[2], std::slice::from_ref(channels), "bias")?;
            channels.exact_div(*groups).map_err(|_| format!("{channels} channels do not divide into {groups} groups"))?;
            same()
        }
        Op::LayerNorm { .. } | Op::RmsNorm { .. } => {
            let channels = last(x)?;
            for (input, name) in inputs[1..].iter().zip(["weight", "bias"]) {
                expect(input, std::slice::from_ref(channels), name)?;
            }
            same()
        }
        Op::Sdpa { causal, .. } => sdpa(inputs, *causal),
        Op::RelPos2d { height, width } => rel_pos(inputs, *height, *width),
        Op::Rope { .. } => {
            let &[.., tokens, width] = &x.shape.0.iter().collect::<Vec<_>>()[..] else {
                return Err(format!("{} has not two dimensions", x.shape));
            };
            width.exact_div(2).map_err(|_| format!("the width {width} is not even"))?;
            for (table, name) in inputs[1..].iter().zip(["cos", "sin"]) {
                expect(table, &[tokens.clone(), width.clone()], name)?;
            }
            same()
        }
        Op::BucketBias { max_distance, bidirectional, length } => {
            let [buckets, heads] = dims::<2>(x)?;
            let exact = known(buckets)? / if *bidirectional { 4 } else { 2 };
            if exact == 0 || *max_distance <= exact {
                return Err(format!("{buckets} buckets do not reach beyond the distance {max_distance}"));
            }
            let shape = vec![Dim::constant(1), heads.clone(), length.clone(), length.clone()];
            Ok(Type { dtype: x.dtype, shape: Shape(shape) })
        }
        Op::CropTable { side, height, width } => {
            let [_, _, channels] = dims::<3>(x)?;
            let rows = side.checked_mul(*side).ok_or("the table is too large")?;
            expect(x, &[Dim::constant(1), Dim::constant(rows), channels.clone()], "table")?;
            if [height, width].iter().any(|size| size.known().is_some_and(|size| size > *side)) {
                return Err(format!("{height} by {width} is not inside a table of side {side}"));
            }
            Ok(Type { dtype: x.dtype, shape: Shape(vec![Dim::constant(1), height.times(width), channels.clone()]) })
        }
        Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. } => same(),
        Op::Geglu => {
            let half = last(x)?.exact_div(2).map_err(|e| e.to_string())?;
            Ok(with_axis(x, x.shape.rank() - 1, half))
        }
        Op::Softmax { axis } => axis_of(x, *axis).and_then(|_| same()),
        Op::Add | Op::Sub | Op::Mul | Op::Div => {
            if x.dtype != inputs[1].dtype {
                return Err(format!("types {x} and {} differ", inputs[1]));
            }
            Ok(Type { dtype: x.dtype, shape: broadcast(&x.shape.0, &inputs[1].shape.0)? })
        }
        Op::Reshape { shape } => {
            if shape.elements() == x.shape.elements() {
                Ok(Type { dtype: x.dtype, shape: shape.clone() })
            } else {
                Err(format!("{} has not as many elements as {shape}", x.shape))
            }
        }
        Op::Permute { axes } => {
            let mut sorted = axes.clone();
            sorted.sort_unstable();
            if sorted != (0..x.shape.rank()).collect::<Vec<_>>() {
                return Err(format!("{axes:?} does not reorder the dimensions of {}", x.shape));
            }
            Ok(Type { dtype: x.dtype, shape: Shape(axes.iter().map(|&a| x.shape.0[a].clone()).collect()) })
        }
        Op::Concat { axis } => concat(inputs, *axis),
        Op::Slice { axis, start, length } => {
            let dim = axis_of(x, *axis)?;
            if let (Some(size), Some(start), Some(length)) = (dim.known(), start.known(), length.known())
                && start.checked_add(length).is_none_or(|end| end > size)
            {
                return Err(format!("{length} elements from {start} are not in {}", x.shape));
            }
            Ok(with_axis(x, *axis, length.clone()))
        }
        Op::Pad { pads, .. } => {
            if pads.len() != x.shape.rank() {
                return Err(format!("{} paddings are given for {}", pads.len(), x.shape));
            }
            let dims = x.shape.0.iter().zip(pads).map(|(dim, [a, b])| dim.plus(&Dim::constant(*a)).plus(&Dim::constant(*b)));
            Ok(Type { dtype: x.dtype, shape: Shape(dims.collect()) })
        }
        Op::Expand { shape } => {
            if broadcast(&x.shape.0, &shape.0)? != *shape {
                return Err(format!("{} does not broadcast to {shape}", x.shape));
            }
            Ok(Type { dtype: x.dtype, shape: shape.clone() })
        }
        Op::WindowPartition { window } => {
            let [batch, height, width, channels] = dims::<4>(x)?;
            let (height, width) = (known(height)?, known(width)?);
            if *window == 0 {
                return Err("the window is empty".into());
            }
            let count = height.div_ceil(*window).checked_mul(width.div_ceil(*window)).ok_or("there are too many windows")?;
            Ok(Type {
                dtype: x.dtype,
                shape: Shape(vec![batch.scaled(count), (*window).into(), (*window).into(), channels.clone()]),
            })
        }
        Op::WindowMerge { window, height, width } => {
            let [batch, rows, columns, channels] = dims::<4>(x)?;
            if *window == 0 || !rows.is(*window) || !columns.is(*window) {
                return Err(format!("{} is not made of windows of side {window}", x.shape));
            }
            let count = height.div_ceil(*window).checked_mul(width.div_ceil(*window)).ok_or("there are too many windows")?;
            let batch = batch.exact_div(count).map_err(|e| e.to_string())?;
            Ok(Type { dtype: x.dtype, shape: Shape(vec![batch, (*height).into(), (*width).into(), channels.clone()]) })
        }
        Op::UpNearest { factor } => {
            let [n, c, h, w] = dims::<4>(x)?;
            Ok(Type { dtype: x.dtype, shape: Shape(vec![n.clone(), c.clone(), h.scaled(*factor), w.scaled(*factor)]) })
        }
        Op::Resize { height, width, .. } => {
            let [n, c, rows, columns] = dims::<4>(x)?;
            if [rows, columns, height, width].iter().any(|size| size.is(0)) {
                return Err(format!("{} cannot be resized to {height} by {width}", x.shape));
            }
            Ok(Type { dtype: x.dtype, shape: Shape(vec![n.clone(), c.clone(), height.clone(), width.clone()]) })
        }
        Op::TimestepEmbed { dim, .. } => {
            let [n] = dims::<1>(x)?;
            if dim % 2 != 0 || *dim == 0 {
                return Err(format!("the width {dim} is not even"));
            }
            Ok(Type { dtype: DType::F32, shape: Shape(vec![n.clone(), (*dim).into()]) })
        }
        Op::PoolToken { .. } => {
            let [batch, tokens, width] = dims::<3>(x)?;
            expect(inputs[1], &[batch.clone(), tokens.clone()], "ids")?;
            Ok(Type { dtype: x.dtype, shape: Shape(vec![batch.clone(), width.clone()]) })
        }
        Op::Reduce { axes, keep_dims, .. } => {
            if axes.iter().any(|&axis| axis >= x.shape.rank()) || !axes.is_sorted_by(|a, b| a < b) {
                return Err(format!("axes {axes:?} are not ascending axes of {}", x.shape));
            }
            let dims = x.shape.0.iter().enumerate().filter_map(|(i, dim)| match (axes.contains(&i), keep_dims) {
                (true, false) => None,
                (true, true) => Some(Dim::constant(1)),
                (false, _) => Some(dim.clone()),
            });
            Ok(Type { dtype: x.dtype, shape: Shape(dims.collect()) })
        }
        Op::Cast { dtype } => Ok(Type { dtype: *dtype, shape: x.shape.clone() }),
    }
}

/// Fewest and most inputs.
fn arity(op: &Op) -> (usize, usize) {
    match op {
        Op::SincosTable3d { .. } => (0, 0),
        Op::Linear | Op::Conv2d { .. } | Op::Conv3d { .. } => (2, 3),
        Op::MatMul { .. } | Op::Embedding | Op::Add | Op::Sub | Op::Mul | Op::Div | Op::PoolToken { .. } => (2, 2),
        Op::GroupNorm { .. } | Op::RelPos2d { .. } | Op::Rope { .. } => (3, 3),
        Op::LayerNorm { .. } => (1, 3),
        Op::RmsNorm { .. } => (1, 2),
        Op::Sdpa { .. } => (3, 4),
        Op::Concat { .. } => (1, usize::MAX),
        Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::BucketBias { .. }
        | Op::CropTable { .. }
        | Op::Resize { .. }
        | Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Geglu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::Reshape { .. }
        | Op::Permute { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Expand { .. }
        | Op::WindowPartition { .. }
        | Op::WindowMerge { .. }
        | Op::UpNearest { .. }
        | Op::TimestepEmbed { .. }
        | Op::Reduce { .. }
        | Op::Cast { .. } => (1, 1),
    }
}

fn dims<const N: usize>(ty: &Type) -> Result<&[Dim; N], String> {
    ty.shape.0.as_slice().try_into().map_err(|_| format!("{} has not {N} dimensions", ty.shape))
}

fn last(ty: &Type) -> Result<&Dim, String> {
    ty.shape.0.last().ok_or_else(|| "a scalar has no last dimension".into())
}

fn axis_of(ty: &Type, axis: usize) -> Result<&Dim, String> {
    ty.shape.0.get(axis).ok_or_else(|| format!("{} has no axis {axis}", ty.shape))
}

fn known(dim: &Dim) -> Result<usize, String> {
    dim.known().ok_or_else(|| format!("size {dim} must be known"))
}

fn with_axis(ty: &Type, axis: usize, dim: Dim) -> Type {
    let mut shape = ty.shape.clone();
    shape.0[axis] = dim;
    Type { dtype: ty.dtype, shape }
}

fn expect(ty: &Type, wanted: &[Dim], name: &str) -> Result<(), String> {
    if ty.shape.0 == wanted { Ok(()) } else { Err(format!("{name} is {}, {} is needed", ty.shape, Shape(wanted.to_vec()))) }
}

/// NumPy's rule; a symbol equals only itself.
fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Shape, String> {
    let rank = a.len().max(b.len());
    let one = Dim::constant(1);
    let at = |dims: &[Dim], i: usize| (i + dims.len()).checked_sub(rank).map_or(one.clone(), |j| dims[j].clone());
    let joined: Option<Vec<Dim>> = (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (x, y) if x == one => Some(y),
            (x, y) if y == one => Some(x),
            _ => None,
        })
        .collect();
    joined.map(Shape).ok_or_else(|| format!("{} and {} do not broadcast", Shape(a.to_vec()), Shape(b.to_vec())))
}

fn linear(inputs: &[&Type]) -> Inferred {
    let [out, width] = dims::<2>(inputs[1])?;
    if last(inputs[0])? != width {
        return Err(format!("x is {}, weight is {}", inputs[0].shape, inputs[1].shape));
    }
    if let Some(bias) = inputs.get(2) {
        expect(bias, std::slice::from_ref(out), "bias")?;
    }
    Ok(with_axis(inputs[0], inputs[0].shape.rank() - 1, out.clone()))
}

fn mat_mul(a: &Type, b: &Type, transpose_a: bool, transpose_b: bool) -> Inferred {
    let split = |ty: &Type, transpose: bool| match ty.shape.0.as_slice() {
        [batch @ .., x, y] if transpose => Ok((batch.to_vec(), y.clone(), x.clone())),
        [batch @ .., x, y] => Ok((batch.to_vec(), x.clone(), y.clone())),
        _ => Err(format!("{} is not a matrix", ty.shape)),
    };
    let ((batch_a, m, k), (batch_b, k2, n)) = (split(a, transpose_a)?, split(b, transpose_b)?);
    if k != k2 {
        return Err(format!("inner sizes {k} and {k2} differ"));
    }
    let mut shape = broadcast(&batch_a, &batch_b)?;
    shape.0.extend([m, n]);
    Ok(Type { dtype: a.dtype, shape })
}

/// A convolution over `N` dimensions; `padding` holds the sizes before each of them, then those after.
fn conv<const N: usize>(
    inputs: &[&Type],
    stride: [usize; N],
    padding: &[usize],
    dilation: [usize; N],
    groups: usize,
) -> Inferred {
    let (x, weight) = (&inputs[0].shape.0, &inputs[1].shape.0);
    let ([batch, channels, positions @ ..], [out, in_group, kernels @ ..]) = (x.as_slice(), weight.as_slice()) else {
        return Err(format!("x is {}, weight is {}", inputs[0].shape, inputs[1].shape));
    };
    if positions.len() != N || kernels.len() != N || padding.len() != 2 * N {
        return Err(format!("x is {}, weight is {}, {} dimensions are needed", inputs[0].shape, inputs[1].shape, N + 2));
    }
    if groups == 0 || stride.contains(&0) || dilation.contains(&0) {
        return Err("stride, dilation and groups must be positive".into());
    }
    if in_group.scaled(groups) != *channels || out.exact_div(groups).is_err() {
        return Err(format!("x is {}, weight is {}, groups is {groups}", inputs[0].shape, inputs[1].shape));
    }
    if let Some(bias) = inputs.get(2) {
        expect(bias, std::slice::from_ref(out), "bias")?;
    }
    let mut shape = vec![batch.clone(), out.clone()];
    for axis in 0..N {
        let reach = dilation[axis].checked_mul(known(&kernels[axis])?.max(1) - 1).and_then(|reach| reach.checked_add(1));
        let reach = reach.ok_or("the dilated kernel is too large")?;
        shape.push(windows(&positions[axis], reach, stride[axis], [padding[axis], padding[axis + N]])?);
    }
    Ok(Type { dtype: inputs[0].dtype, shape: Shape(shape) })
}

/// How many windows of `reach` fit on a padded axis.
fn windows(size: &Dim, reach: usize, stride: usize, padding: [usize; 2]) -> Result<Dim, String> {
    let padded = size.plus(&Dim::constant(padding[0])).plus(&Dim::constant(padding[1]));
    if padded.known().is_some_and(|padded| padded < reach) {
        return Err(format!("the kernel of {reach} is larger than the padded input of {padded}"));
    }
    let reach = i64::try_from(reach).map_err(|_| "the dilated kernel is too large")?;
    Ok(padded.offset(-reach).floor_div(stride).map_err(|e| e.to_string())?.offset(1))
}

fn pool(x: &Type, kernel: [usize; 2], stride: [usize; 2], padding: [usize; 4]) -> Inferred {
    let [batch, channels, height, width] = dims::<4>(x)?;
    if kernel.contains(&0) || stride.contains(&0) || (0..4).any(|side| padding[side] >= kernel[side % 2]) {
        return Err("kernel and stride must be positive, padding less than the kernel".into());
    }
    let rows = windows(height, kernel[0], stride[0], [padding[0], padding[2]])?;
    let columns = windows(width, kernel[1], stride[1], [padding[1], padding[3]])?;
    Ok(Type { dtype: x.dtype, shape: Shape(vec![batch.clone(), channels.clone(), rows, columns]) })
}

fn sincos_table(dim: usize, [frames, height, width]: [&Dim; 3]) -> Inferred {
    if dim == 0 || !dim.is_multiple_of(16) {
        return Err(format!("the width {dim} is not a multiple of 16"));
    }
    let rows = frames.times(height).times(width);
    Ok(Type { dtype: DType::F32, shape: Shape(vec![Dim::constant(1), rows, dim.into()]) })
}

fn sdpa(inputs: &[&Type], causal: bool) -> Inferred {
    let [batch, heads, queries, width] = dims::<4>(inputs[0])?;
    let [_, _, keys, _] = dims::<4>(inputs[1])?;
    let [_, _, _, value_width] = dims::<4>(inputs[2])?;
    expect(inputs[1], &[batch.clone(), heads.clone(), keys.clone(), width.clone()], "k")?;
    expect(inputs[2], &[batch.clone(), heads.clone(), keys.clone(), value_width.clone()], "v")?;
    if causal && queries != keys {
        return Err(format!("causal attention needs as many keys as queries, not {keys} and {queries}"));
    }
    if let Some(bias) = inputs.get(3) {
        let scores = [batch.clone(), heads.clone(), queries.clone(), keys.clone()];
        if broadcast(&bias.shape.0, &scores)?.0 != scores {
            return Err(format!("the bias {} does not broadcast to {}", bias.shape, Shape(scores.to_vec())));
        }
    }
    Ok(with_axis(inputs[0], 3, value_width.clone()))
}

fn rel_pos(inputs: &[&Type], height: usize, width: usize) -> Inferred {
    let [_, _, tokens, head_width] = dims::<4>(inputs[0])?;
    if height == 0 || width == 0 || height.checked_mul(width).is_none_or(|grid| !tokens.is(grid)) {
        return Err(format!("{tokens} tokens are not a grid of {height} by {width}"));
    }
    expect(inputs[1], &[(2 * height - 1).into(), head_width.clone()], "rel_h")?;
    expect(inputs[2], &[(2 * width - 1).into(), head_width.clone()], "rel_w")?;
    Ok(with_axis(inputs[0], 3, tokens.clone()))
}

fn concat(inputs: &[&Type], axis: usize) -> Inferred {
    let mut total = Dim::constant(0);
    for input in inputs {
        let dim = axis_of(input, axis)?;
        total = total.plus(dim);
        if with_axis(input, axis, Dim::constant(0)) != with_axis(inputs[0], axis, Dim::constant(0)) {
            return Err(format!("{} and {input} differ beside axis {axis}", inputs[0]));
        }
    }
    Ok(with_axis(inputs[0], axis, total))
}

#[cfg(test)]
mod tests {
    use super::infer;
    use crate::ir::{Op, Type};

    #[test]
    fn grids_beyond_the_machine_are_refused() {
        // The products of these sizes are 1 and 0 modulo 2^64.
        let windows = Type::f32([1usize, 1, 1, 1]);
        let merge = Op::WindowMerge { window: 1, height: usize::MAX, width: usize::MAX };
        assert!(infer(&merge, &[&windows]).is_err());
        let (height, width) = (1 << 33, 1 << 31);
        let tokens = Type::f32([1usize, 1, 0, 1]);
        let rows = |count: usize| Type::f32([2 * count - 1, 1]);
        assert!(infer(&Op::RelPos2d { height, width }, &[&tokens, &rows(height), &rows(width)]).is_err());
    }
}
