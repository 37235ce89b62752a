//! The networks as graphs, so that they run where every other network does: the exact teacher and a small perceptron.

use dmdx_graph::{Dim, Graph, GraphError, Op, Shape, Type, ValueId, Weight};
use dmdx_train::diffusion::Ports;
use dmdx_train::discriminator::{FeatureShape, Tap};
use dmdx_train::session::Draws;

use crate::expressed::TABLES;
use crate::mixture::{DEVIATION, centres, weight};

/// What all of them call their inputs and their result. They are told a thousand times the time.
pub const PORTS: Ports = Ports { sample: "x", time: "time", output: "velocity", buffers: &TABLES };

/// Marks of the perceptron's hidden layers, where heads look.
const LAYERS: [&str; 3] = ["layers.0", "layers.1", "layers.2"];

fn constant(graph: &mut Graph, name: &str, shape: &[usize], values: &[f64]) -> Result<ValueId, GraphError> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let weight = Weight::from_f32(&values, shape.to_vec()).map_err(|reason| GraphError::Weight { name: name.into(), reason })?;
    graph.param(name, shape, Some(weight))
}

/// A graph with its two inputs, the time in `[b, 1]` from 0 to 1, and the batch.
fn begun(name: &str) -> Result<(Graph, ValueId, ValueId, Dim), GraphError> {
    let mut graph = Graph::new(name);
    let batch = graph.symbol("batch", "points", 1);
    let x = graph.input(PORTS.sample, Type::f32(Shape(vec![batch.clone(), Dim::constant(2)])))?;
    let told = graph.input(PORTS.time, Type::f32(Shape(vec![batch.clone()])))?;
    let column = graph.push(Op::Reshape { shape: Shape(vec![batch.clone(), Dim::constant(1)]) }, &[told], "time")?;
    let time = graph.push(Op::Affine { mul: 1e-3, add: 0.0 }, &[column], "time")?;
    Ok((graph, x, time, batch))
}

/// The velocity of the mixture on the straight path, without error.
///
/// Component `k` at time `t` is `N((1-t) mu_k, S I)` with `S = (1-t)² s² + t²`; with the posterior `r` over components and
/// `m = sum r_k mu_k`, `E[eps] - E[x0] = (t - (1-t) s²) / S (x - (1-t) m) - m`.
///
/// # Errors
/// None, unless an operation changes what it takes.
pub fn exact() -> Result<Graph, GraphError> {
    let (mut graph, x, t, _) = begun("exact")?;
    let variance = DEVIATION * DEVIATION;
    let rows: Vec<f64> = centres().into_iter().flatten().collect();
    let columns: Vec<f64> = (0..2).flat_map(|axis| centres().map(|centre| centre[axis])).collect();
    let halves = centres().map(|[x, y]| (x * x + y * y) / 2.0);
    let logarithms: [f64; 8] = std::array::from_fn(|mode| weight(mode).ln());
    let towards = constant(&mut graph, "centres", &[8, 2], &rows)?;
    let back = constant(&mut graph, "centres_transposed", &[2, 8], &columns)?;
    let halves = constant(&mut graph, "half_squares", &[8], &halves)?;
    let logarithms = constant(&mut graph, "log_weights", &[8], &logarithms)?;
    let mut push = |op: Op, inputs: &[ValueId]| graph.push(op, inputs, "exact");
    let signal = push(Op::Affine { mul: -1.0, add: 1.0 }, &[t])?;
    let signal_squared = push(Op::Mul, &[signal, signal])?;
    let of_data = push(Op::Affine { mul: variance, add: 0.0 }, &[signal_squared])?;
    let of_noise = push(Op::Mul, &[t, t])?;
    let spread = push(Op::Add, &[of_data, of_noise])?;
    // The posterior: |x|² is the same for all components.
    let products = push(Op::Linear, &[x, towards])?;
    let products = push(Op::Mul, &[products, signal])?;
    let lengths = push(Op::Mul, &[signal_squared, halves])?;
    let difference = push(Op::Sub, &[products, lengths])?;
    let scaled = push(Op::Div, &[difference, spread])?;
    let logits = push(Op::Add, &[scaled, logarithms])?;
    let posterior = push(Op::Softmax { axis: 1 }, &[logits])?;
    let mean = push(Op::Linear, &[posterior, back])?;
    let damped = push(Op::Affine { mul: variance, add: 0.0 }, &[signal])?;
    let numerator = push(Op::Sub, &[t, damped])?;
    let factor = push(Op::Div, &[numerator, spread])?;
    let carried = push(Op::Mul, &[mean, signal])?;
    let centred = push(Op::Sub, &[x, carried])?;
    let moved = push(Op::Mul, &[centred, factor])?;
    let velocity = push(Op::Sub, &[moved, mean])?;
    graph.output(PORTS.output, velocity)?;
    Ok(graph)
}

/// A perceptron of three hidden layers with residual connections, told the time by 16 sines and cosines in every layer.
///
/// # Errors
/// As [`exact`].
pub fn perceptron(width: usize, draws: &mut Draws) -> Result<Graph, GraphError> {
    let (mut graph, x, time, batch) = begun("perceptron")?;
    // Angles up to 20 for the whole path; the slowest of eight frequencies is a hundredth of the fastest.
    let angle = graph.push(Op::Affine { mul: 20.0, add: 0.0 }, &[time], "time")?;
    let angle = graph.push(Op::Reshape { shape: Shape(vec![batch.clone()]) }, &[angle], "time")?;
    let waves = Op::TimestepEmbed { dim: 16, flip_sin_to_cos: false, freq_shift: 1.0, max_period: 100.0 };
    let waves = graph.push(waves, &[angle], "time")?;
    let mut hidden = None;
    for (index, mark) in LAYERS.iter().enumerate() {
        let (input, inputs) = hidden.map_or((x, 2), |hidden| (hidden, width));
        let own = linear(&mut graph, draws, &format!("{mark}.linear"), input, [width, inputs])?;
        let told = linear(&mut graph, draws, &format!("{mark}.time"), waves, [width, 16])?;
        let sum = graph.push(Op::Add, &[own, told], mark)?;
        let active = graph.push(Op::Silu, &[sum], mark)?;
        let next = match hidden {
            None => active,
            Some(hidden) => graph.push(Op::Add, &[hidden, active], mark)?,
        };
        // Heads see maps of one position.
        let map = Shape([batch.clone()].into_iter().chain([width, 1, 1].map(Dim::constant)).collect());
        let seen = graph.push(Op::Reshape { shape: map }, &[next], mark)?;
        graph.mark(LAYERS[index], seen);
        hidden = Some(next);
    }
    let velocity = linear(&mut graph, draws, "out", hidden.unwrap_or(x), [2, width])?;
    graph.output(PORTS.output, velocity)?;
    Ok(graph)
}

fn linear(
    graph: &mut Graph,
    draws: &mut Draws,
    name: &str,
    x: ValueId,
    [outputs, inputs]: [usize; 2],
) -> Result<ValueId, GraphError> {
    let bound = 1.0 / (inputs as f64).sqrt();
    let weights: Vec<f64> = draws.uniform(outputs * inputs).iter().map(|&u| (2.0 * f64::from(u) - 1.0) * bound).collect();
    let weight = constant(graph, &format!("{name}.weight"), &[outputs, inputs], &weights)?;
    let bias = constant(graph, &format!("{name}.bias"), &[outputs], &vec![0.0; outputs])?;
    graph.push(Op::Linear, &[x, weight, bias], name)
}

/// The perceptron's hidden layers as taps.
pub fn taps(width: usize) -> Vec<Tap> {
    let tap = |mark: &str| Tap { name: mark.into(), mark: mark.into(), shape: FeatureShape::Map([width, 1, 1]) };
    LAYERS.iter().map(|mark| tap(mark)).collect()
}
