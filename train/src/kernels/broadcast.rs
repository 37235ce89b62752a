//! Sums and products of two tensors with NumPy broadcasting, and the sums that undo a broadcast.

use rayon::prelude::*;

use super::elementwise::lines;

/// One axis of the common shape, with the step of each operand along it (0 where it is broadcast).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    size: usize,
    steps: [usize; 2],
}

/// How two operands combine: the common shape, and its axes merged where both operands allow it.
#[derive(Clone, Debug)]
pub(super) struct Broadcast {
    pub(super) shape: Vec<usize>,
    axes: Vec<Axis>,
}

/// The plan for two shapes, or `None` where they do not broadcast.
pub(super) fn plan(a: &[usize], b: &[usize]) -> Option<Broadcast> {
    let rank = a.len().max(b.len());
    let lift =
        |shape: &[usize]| -> Vec<usize> { std::iter::repeat_n(1, rank - shape.len()).chain(shape.iter().copied()).collect() };
    let (a, b) = (lift(a), lift(b));
    let mut shape = vec![0; rank];
    for (axis, size) in shape.iter_mut().enumerate() {
        *size = match (a[axis], b[axis]) {
            (m, n) if m == n => m,
            (1, n) => n,
            (m, 1) => m,
            _ => return None,
        };
    }
    let mut axes: Vec<Axis> = Vec::with_capacity(rank);
    let mut steps = [1, 1];
    // From the last axis outwards: an axis joins the one inside it where both operands step evenly over the pair.
    for axis in (0..rank).rev() {
        let sizes = [a[axis], b[axis]];
        let here = std::array::from_fn(|i| if sizes[i] == 1 { 0 } else { steps[i] });
        steps = std::array::from_fn(|i| steps[i] * sizes[i]);
        if shape[axis] == 1 {
            continue;
        }
        match axes.last_mut() {
            Some(last) if (0..2).all(|i| here[i] == last.steps[i] * last.size) => last.size *= shape[axis],
            _ => axes.push(Axis { size: shape[axis], steps: here }),
        }
    }
    axes.reverse();
    if axes.is_empty() {
        axes.push(Axis { size: 1, steps: [1, 1] });
    }
    Some(Broadcast { shape, axes })
}

impl Broadcast {
    /// Applies `f` to every pair.
    pub(super) fn apply(&self, a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
        let mut out = vec![0.0; self.shape.iter().product()];
        let Some((inner, outer)) = self.axes.split_last() else {
            return out;
        };
        if out.is_empty() {
            return out;
        }
        if outer.is_empty() && inner.steps == [1, 1] {
            const PIECE: usize = 1 << 15;
            out.par_chunks_mut(PIECE).zip(a.par_chunks(PIECE).zip(b.par_chunks(PIECE))).for_each(|(out, (a, b))| {
                for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                    *out = f(*a, *b);
                }
            });
            return out;
        }
        let count = lines(inner.size);
        out.par_chunks_mut(count * inner.size).enumerate().for_each(|(piece, out)| {
            for (i, line) in out.chunks_exact_mut(inner.size).enumerate() {
                let [a, b] = offsets(outer, piece * count + i).map_with([a, b]);
                match inner.steps {
                    [1, 1] => {
                        for ((out, a), b) in line.iter_mut().zip(a).zip(b) {
                            *out = f(*a, *b);
                        }
                    }
                    [1, _] => {
                        for (out, a) in line.iter_mut().zip(a) {
                            *out = f(*a, b[0]);
                        }
                    }
                    _ => {
                        for (out, b) in line.iter_mut().zip(b) {
                            *out = f(a[0], *b);
                        }
                    }
                }
            }
        });
        out
    }

    /// Sums a tensor of the common shape over the axes along which operand `which`, of `length` elements, repeats.
    pub(super) fn reduce(&self, values: &[f32], which: usize, length: usize) -> Vec<f32> {
        let mut out = vec![0.0; length];
        let Some((inner, outer)) = self.axes.split_last() else {
            return out;
        };
        if values.is_empty() {
            return out;
        }
        for (i, line) in values.chunks_exact(inner.size).enumerate() {
            let from = offsets(outer, i).0[which];
            if inner.steps[which] == 0 {
                out[from] += super::simd::sum(line);
            } else {
                for (slot, value) in out[from..].iter_mut().zip(line) {
                    *slot += value;
                }
            }
        }
        out
    }

    /// True if operand `which` has the common shape already.
    pub(super) fn whole(&self, which: usize) -> bool {
        self.axes.iter().all(|axis| axis.steps[which] != 0 || axis.size == 1)
    }
}

struct Offsets([usize; 2]);

impl Offsets {
    fn map_with<'a>(&self, operands: [&'a [f32]; 2]) -> [&'a [f32]; 2] {
        std::array::from_fn(|i| &operands[i][self.0[i]..])
    }
}

/// Where line `index` of the outer axes begins in both operands.
fn offsets(outer: &[Axis], mut index: usize) -> Offsets {
    let mut found = [0, 0];
    for axis in outer.iter().rev() {
        let position = index % axis.size;
        index /= axis.size;
        found[0] += position * axis.steps[0];
        found[1] += position * axis.steps[1];
    }
    Offsets(found)
}
