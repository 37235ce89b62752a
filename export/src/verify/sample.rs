//! Seeded inputs for a graph: noise for activations, times for timesteps, ids for token inputs.

use std::collections::BTreeMap;

use dmdx_graph::error::RunError;
use dmdx_graph::interp::Tensor;
use dmdx_graph::ir::{Bindings, PoolRule, Symbol};
use dmdx_graph::{Def, Graph, GraphError, Op, ValueId};

use crate::error::Result;

/// Largest size that a symbol gets unless the caller names one: the interpreter is exact, not fast.
const CAP: usize = 16;

/// Times are drawn below this.
const TIMES: f64 = 1000.0;

/// Sizes that a caller knows better than the graph, by symbol.
pub type Sizes = BTreeMap<Symbol, usize>;

/// Three runs: the usual sizes, other sizes (so that no size is baked in), and the usual ones again with another batch.
/// `known` replaces the graph's own idea of a usual size, which is capped at 16.
pub fn run_sizes(graph: &Graph, known: &Sizes) -> Vec<Bindings> {
    let usual = |symbol: &Symbol, usual: usize| known.get(symbol).copied().unwrap_or(usual.min(CAP)).max(1);
    let sizes = |change: &dyn Fn(usize, usize) -> usize| -> Bindings {
        let each = graph.symbols().iter().enumerate();
        each.map(|(i, (symbol, info))| (symbol.clone(), change(i, usual(symbol, info.usual)))).collect()
    };
    // Sizes only shrink, because tables such as position embeddings bound them; every second one by less.
    let other = |i: usize, size: usize| if size == 1 { 1 } else { (size / 2 + i % 2).max(1) };
    let mut runs = vec![sizes(&|_, size| size), sizes(&other), sizes(&|_, size| size)];
    let batch: Vec<Symbol> = graph.inputs().iter().filter_map(|(_, id)| leading_symbol(graph, *id)).collect();
    for (run, count) in runs.iter_mut().zip([2, 1, 3]) {
        for symbol in &batch {
            run.insert(symbol.clone(), count);
        }
    }
    runs
}

/// The symbol that is the first dimension of an input: the batch.
fn leading_symbol(graph: &Graph, id: ValueId) -> Option<Symbol> {
    let (symbol, factor) = graph.value(id).ty.shape.0.first()?.as_scaled_symbol()?;
    (factor == 1).then(|| symbol.clone())
}

/// One value for every input of the graph; the same seed gives the same values.
///
/// # Errors
/// When `bindings` lacks a symbol.
pub(super) fn sample_inputs(graph: &Graph, bindings: &Bindings, seed: u64) -> Result<BTreeMap<String, Tensor>> {
    let mut inputs = BTreeMap::new();
    let users = graph.users();
    for (index, (name, id)) in graph.inputs().iter().enumerate() {
        let ty = &graph.value(*id).ty;
        let shape = ty.shape.eval(bindings).map_err(GraphError::from)?;
        let count: usize = shape.iter().product();
        let mut random = Random::new(seed.wrapping_mul(1000).wrapping_add(index as u64));
        let uses = uses(graph, &users, *id);
        let tensor = if !ty.dtype.is_float() {
            let limit = if uses.times { TIMES } else { uses.rows as f64 };
            let mut ids: Vec<i64> = (0..count).map(|_| (random.uniform() * limit) as i64).collect();
            // Every text gets its end token, somewhere.
            if let (Some(end), [_, tokens]) = (uses.end_token, shape.as_slice()) {
                ids.chunks_mut((*tokens).max(1)).for_each(|text| {
                    let place = (random.uniform() * text.len() as f64) as usize;
                    text[place] = end;
                });
            }
            Tensor::from_i64(ids, &shape)
        } else if uses.times {
            Tensor::from_f64((0..count).map(|_| (random.uniform() * TIMES).floor()).collect(), &shape)
        } else {
            Tensor::from_f32(&(0..count).map(|_| random.normal() as f32).collect::<Vec<_>>(), &shape)
        };
        let fail = |error: RunError| GraphError::Input { name: name.to_string(), reason: error.into() };
        inputs.insert(name.to_string(), tensor.map_err(fail)?);
    }
    Ok(inputs)
}

/// What an input is read as.
struct Uses {
    /// Rows of the smallest table that it indexes; two of a mask.
    rows: usize,
    /// The token that a pooling looks for.
    end_token: Option<i64>,
    /// Whether it ends up in a timestep embedding.
    times: bool,
}

fn uses(graph: &Graph, users: &BTreeMap<ValueId, Vec<ValueId>>, input: ValueId) -> Uses {
    let mut found = Uses { rows: 1 << 20, end_token: None, times: false };
    let mut stack = vec![input];
    while let Some(id) = stack.pop() {
        for &user in users.get(&id).into_iter().flatten() {
            let Def::Op { op, inputs } = &graph.value(user).def else { continue };
            match reading(op) {
                Reading::Rows if inputs[0] == id => {
                    let rows = graph.value(inputs[1]).ty.shape.0.first().and_then(|d| d.known());
                    found.rows = found.rows.min(rows.unwrap_or(1));
                }
                Reading::EndToken(end) if inputs[1] == id => found.end_token = Some(end),
                Reading::Times => found.times = true,
                // Integers that are calculated with are masks and labels.
                Reading::SameElements { floats: true } if !graph.value(id).ty.dtype.is_float() => {
                    found.rows = found.rows.min(2);
                    stack.push(user);
                }
                Reading::SameElements { .. } => stack.push(user),
                Reading::Rows | Reading::EndToken(_) | Reading::Values => {}
            }
        }
    }
    found
}

/// How an operation reads its input.
enum Reading {
    /// The first input as rows of the second.
    Rows,
    /// The second input as ids among which this one is looked for.
    EndToken(i64),
    /// As timesteps.
    Times,
    /// To pass its elements on, as floats or as they are.
    SameElements { floats: bool },
    /// As activations, to calculate with.
    Values,
}

fn reading(op: &Op) -> Reading {
    match op {
        Op::Embedding => Reading::Rows,
        Op::PoolToken { rule: PoolRule::FirstEqual(end) } => Reading::EndToken(*end),
        Op::TimestepEmbed { .. } => Reading::Times,
        Op::Cast { dtype } => Reading::SameElements { floats: dtype.is_float() },
        Op::Reshape { .. } | Op::Expand { .. } | Op::Permute { .. } => Reading::SameElements { floats: false },
        Op::PoolToken { rule: PoolRule::LargestId }
        | Op::Linear
        | Op::MatMul { .. }
        | Op::Conv2d { .. }
        | Op::Conv3d { .. }
        | Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::RmsNorm { .. }
        | Op::Sdpa { .. }
        | Op::RelPos2d { .. }
        | Op::Rope { .. }
        | Op::BucketBias { .. }
        | Op::CropTable { .. }
        | Op::SincosTable3d { .. }
        | Op::Relu
        | Op::Silu
        | Op::Gelu { .. }
        | Op::QuickGelu
        | Op::Geglu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Softmax { .. }
        | Op::Add
        | Op::Sub
        | Op::Mul
        | Op::Div
        | Op::Neg
        | Op::Exp
        | Op::Sqrt
        | Op::Sin
        | Op::Cos
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::WindowPartition { .. }
        | Op::WindowMerge { .. }
        | Op::UpNearest { .. }
        | Op::Resize { .. }
        | Op::Reduce { .. } => Reading::Values,
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014), and normal values by Box and Muller.
struct Random {
    state: u64,
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `0.0..1.0`.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
