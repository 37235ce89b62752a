//! Positions of tokens: rotations, biases and tables. What depends on sizes that are known only when the model runs is
//! computed then.

use dmdx_graph::{DType, Dim, GraphError, Shape, tables};

use super::builder::{Builder, Entry};
use super::site::Site;
use crate::error::Result;
use crate::onnx::{attribute, element_type};

/// `x * cos + rotated(x) * sin`, where pairs or halves are split, negated and joined the other way round.
pub(crate) fn rope_by_parts(b: &mut Builder<'_>, site: Site<'_>, interleaved: bool) -> Result<String> {
    let (x, cos, sin) = (b.value(site.inputs[0])?, b.value(site.inputs[1])?, b.value(site.inputs[2])?);
    let shape = &site.ty.shape;
    let half = shape.0.last().cloned().unwrap_or_default().exact_div(2).map_err(GraphError::from)?;
    let rotated = if interleaved {
        let mut pairs = shape.clone();
        pairs.0.pop();
        pairs.0.extend([half, Dim::constant(2)]);
        let apart = b.reshape(&x, shape, &pairs)?;
        let turned = turn(b, &apart, &Dim::constant(1))?;
        b.reshape(&turned, &pairs, shape)?
    } else {
        turn(b, &x, &half)?
    };
    let kept = b.node("Mul", &[&x, &cos], vec![]);
    let turned = b.node("Mul", &[&rotated, &sin], vec![]);
    Ok(b.node("Add", &[&kept, &turned], vec![]))
}

/// `(a, b)` → `(-b, a)` along the last axis, `length` elements each.
fn turn(b: &mut Builder<'_>, x: &str, length: &Dim) -> Result<String> {
    let lengths = b.shape_vector(&[Entry::of(length), Entry::of(length)])?;
    let parts = b.node_with_outputs("Split", &[x, &lengths], 2);
    let negated = b.node("Neg", &[&parts[1]], vec![]);
    Ok(b.node("Concat", &[&negated, &parts[0]], vec![attribute::int("axis", -1)]))
}

/// The table's row of every pair's bucket, heads outermost.
pub(crate) fn bucket_bias(
    b: &mut Builder<'_>,
    site: Site<'_>,
    max_distance: usize,
    bidirectional: bool,
    length: &Dim,
) -> Result<String> {
    let table = b.value(site.inputs[0])?;
    // Inference has made sure that the number of buckets is known.
    let buckets = site.types[0].shape.0[0].known().unwrap_or_default();
    let pairs = match length.known() {
        Some(tokens) => {
            let rows = b.int_table(&tables::buckets(tokens, buckets, max_distance, bidirectional), &[tokens, tokens]);
            b.node("Gather", &[&table, &rows], vec![attribute::int("axis", 0)])
        }
        None => {
            let thresholds = thresholds(buckets, max_distance, bidirectional);
            let by_distance = bias_by_distance(b, &table, length, &thresholds, bidirectional)?;
            let tokens = b.size(length)?;
            let positions = range(b, &tokens);
            let (first, second) = (b.ints(&[0]), b.ints(&[1]));
            let keys = b.node("Unsqueeze", &[&positions, &first], vec![]);
            let queries = b.node("Unsqueeze", &[&positions, &second], vec![]);
            let distances = b.node("Sub", &[&keys, &queries], vec![]);
            let last = b.size(&length.offset(-1))?;
            let rows = b.node("Add", &[&distances, &last], vec![]);
            b.node("Gather", &[&by_distance, &rows], vec![attribute::int("axis", 0)])
        }
    };
    let heads = b.node("Transpose", &[&pairs], vec![attribute::ints("perm", [2, 0, 1])]);
    let outer = b.ints(&[0]);
    Ok(b.node("Unsqueeze", &[&heads, &outer], vec![]))
}

/// The distance from which a bucket after the first of its direction is in use. Counting them is exact, where logarithms of
/// engines differ in the last digit and with it in the bucket.
fn thresholds(buckets: usize, max_distance: usize, bidirectional: bool) -> Vec<f64> {
    let count = if bidirectional { buckets / 2 } else { buckets };
    let reached = |distance: usize, bucket: usize| {
        tables::bucket(-i64::try_from(distance).unwrap_or(i64::MAX), buckets, max_distance, bidirectional) >= bucket
    };
    let from = |bucket: usize| {
        let (mut below, mut at) = (0, max_distance);
        while at - below > 1 {
            let middle = below + (at - below) / 2;
            if reached(middle, bucket) { at = middle } else { below = middle }
        }
        at as f64
    };
    (1..count).map(from).collect()
}

/// Rows of the table for the distances `1 - length ..= length - 1` of keys from queries.
fn bias_by_distance(b: &mut Builder<'_>, table: &str, length: &Dim, thresholds: &[f64], bidirectional: bool) -> Result<String> {
    let count = b.size(&length.scaled(2).offset(-1))?;
    let all = range(b, &count);
    let last = b.size(&length.offset(-1))?;
    let distances = b.node("Sub", &[&all, &last], vec![]);
    let distances = cast(b, &distances, DType::F32);
    let size = if bidirectional {
        b.node("Abs", &[&distances], vec![])
    } else {
        let before = b.node("Neg", &[&distances], vec![]);
        b.node("Relu", &[&before], vec![])
    };
    let (zero, one) = (b.scalar(0.0, DType::F32), b.scalar(1.0, DType::F32));
    let axis = b.ints(&[1]);
    let column = b.node("Unsqueeze", &[&size, &axis], vec![]);
    let below: Vec<f64> = thresholds.iter().map(|threshold| threshold - 1.0).collect();
    let below = b.floats(&below, DType::F32, &[1, thresholds.len()]);
    let past = b.node("Sub", &[&column, &below], vec![]);
    let past = b.node("Clip", &[&past, &zero, &one], vec![]);
    let mut bucket = b.node("ReduceSum", &[&past, &axis], vec![attribute::int("keepdims", 0)]);
    if bidirectional {
        let half = b.scalar((thresholds.len() + 1) as f64, DType::F32);
        let after = b.node("Clip", &[&distances, &zero, &one], vec![]);
        let after = b.node("Mul", &[&after, &half], vec![]);
        bucket = b.node("Add", &[&bucket, &after], vec![]);
    }
    let bucket = cast(b, &bucket, DType::I64);
    Ok(b.node("Gather", &[table, &bucket], vec![attribute::int("axis", 0)]))
}

/// The middle of a square table. Sizes beyond the table fail in the last Reshape.
pub(crate) fn crop_table(b: &mut Builder<'_>, site: Site<'_>, side: usize, height: &Dim, width: &Dim) -> Result<String> {
    let table = b.value(site.inputs[0])?;
    let channels = &site.ty.shape.0[2];
    let square = Shape(vec![Dim::constant(side), Dim::constant(side), channels.clone()]);
    let grid = b.reshape(&table, &site.types[0].shape, &square)?;
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for size in [height, width] {
        let length = b.size(size)?;
        let start = match size.known() {
            Some(known) => b.ints(&[(side.saturating_sub(known) / 2) as i64]),
            None => {
                let (whole, two) = (b.ints(&[side as i64]), b.ints(&[2]));
                let rest = b.node("Sub", &[&whole, &length], vec![]);
                b.node("Div", &[&rest, &two], vec![])
            }
        };
        ends.push(b.node("Add", &[&start, &length], vec![]));
        starts.push(start);
    }
    let join = |b: &mut Builder<'_>, parts: &[String]| {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        b.node("Concat", &parts, vec![attribute::int("axis", 0)])
    };
    let (starts, ends) = (join(b, &starts), join(b, &ends));
    let (axes, steps) = (b.ints(&[0, 1]), b.ints(&[1, 1]));
    let middle = b.node("Slice", &[&grid, &starts, &ends, &axes, &steps], vec![]);
    b.state(&middle, &Shape(vec![height.clone(), width.clone(), channels.clone()]));
    let entries: Vec<Entry<'_>> = site.ty.shape.0.iter().map(Entry::of).collect();
    let shape = b.shape_vector(&entries)?;
    Ok(b.node("Reshape", &[&middle, &shape], vec![]))
}

/// `0, 1, ..` as many as the vector of one integer `count` says.
pub(crate) fn range(b: &mut Builder<'_>, count: &str) -> String {
    let (axis, start, step) = (b.ints(&[0]), b.int_table(&[0], &[]), b.int_table(&[1], &[]));
    let count = b.node("Squeeze", &[count, &axis], vec![]);
    b.node("Range", &[&start, &count, &step], vec![])
}

pub(crate) fn cast(b: &mut Builder<'_>, x: &str, dtype: DType) -> String {
    b.node("Cast", &[x], vec![attribute::int("to", element_type(dtype) as i64)])
}
