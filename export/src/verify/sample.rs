//! Seeded inputs for a graph: noise for activations, times for timesteps, ids for token inputs.

use std::collections::BTreeMap;

use dmdx_graph::error::RunError;
use dmdx_graph::interp::Tensor;
use dmdx_graph::ir::{Bindings, Symbol};
use dmdx_graph::{Graph, GraphError, ValueId};

use super::cost::multiplications;
use crate::error::Result;
use crate::uses::uses;

/// Largest size that a symbol gets unless the caller names one: the interpreter is exact, not fast.
const CAP: usize = 16;

/// Multiplications that one run may take where sizes allow it: some seconds.
const DEAREST: u64 = 20_000_000_000;

/// Times are drawn below this.
const TIMES: f64 = 1000.0;

/// Sizes that a caller knows better than the graph, by symbol.
pub type Sizes = BTreeMap<Symbol, usize>;

/// Two runs: the usual sizes for a batch of two, and other sizes for a batch of one, so that no size is baked in. `known`
/// replaces the graph's own idea of a usual size, which is capped at 16; sizes shrink further until a run is cheap enough.
pub fn run_sizes(graph: &Graph, known: &Sizes) -> Vec<Bindings> {
    let batch: Vec<Symbol> = graph.inputs().iter().filter_map(|(_, id)| leading_symbol(graph, *id)).collect();
    let of_batch = |mut run: Bindings, count: usize| {
        run.extend(batch.iter().map(|symbol| (symbol.clone(), count)));
        run
    };
    let usual = |symbol: &Symbol, usual: usize| known.get(symbol).copied().unwrap_or(usual.min(CAP)).max(1);
    let sizes = graph.symbols().iter().map(|(symbol, info)| (symbol.clone(), usual(symbol, info.usual)));
    let mut first = of_batch(sizes.collect(), 2);
    // A size that cannot be computed is reported where it is needed.
    while multiplications(graph, &first).is_ok_and(|cost| cost > DEAREST) {
        let sizes = first.iter_mut().filter(|(symbol, size)| !batch.contains(symbol) && **size > 1);
        let Some((_, largest)) = sizes.max_by_key(|(_, size)| **size) else { break };
        *largest /= 2;
    }
    // Sizes only shrink, because tables such as position embeddings bound them; every second one by less.
    let other = |(i, (symbol, size)): (usize, (&Symbol, &usize))| {
        (symbol.clone(), if *size == 1 { 1 } else { (size / 2 + i % 2).max(1) })
    };
    let second = of_batch(first.iter().enumerate().map(other).collect(), 1);
    vec![first, second]
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
