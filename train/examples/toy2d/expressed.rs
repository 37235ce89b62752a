//! One network expressed in another parameterisation: the exact conversion stands in its graph, around it.

use std::collections::BTreeMap;

use dmdx_graph::{DType, Def, Dim, Graph, Op, Shape, ValueId, Weight};
use dmdx_runtime::process::Process;
use dmdx_train::TrainError;
use dmdx_train::diffusion::Ports;

/// The tables of an expressed network, by time. They are constants: [`Ports::buffers`] of such a network.
pub const TABLES: [&str; 3] = ["expressed.scale", "expressed.of_sample", "expressed.of_output"];

/// A noise table on which time `t` has the signal-to-noise ratio of `t / 1000` on the straight path, for the times below
/// `count`: both processes tell a network the same number.
pub fn straight_table(count: usize) -> Vec<f64> {
    let signal = |index: usize| {
        let noise = index as f64 / 1000.0;
        (1.0 - noise).powi(2) / ((1.0 - noise).powi(2) + noise * noise)
    };
    (0..count).map(signal).collect()
}

/// `graph`, a network on the process `inner`, as a network on `outer`, for whole told times from `first` to before `end`.
///
/// At time `t` it is given `x` of the outer process and runs the inner network on `c x`, where `c` brings `x` to the inner
/// process's level; the inner raw output is turned into (x0, eps), and those into the outer raw output.
///
/// # Errors
/// When a time is not on both processes, or one of them says nothing about x0 or eps there.
pub fn expressed(
    graph: &Graph,
    ports: &Ports,
    [inner, outer]: [&Process; 2],
    [first, end]: [usize; 2],
) -> Result<Graph, TrainError> {
    let mut tables = [vec![0.0; end], vec![0.0; end], vec![0.0; end]];
    for told in first..end {
        let [inside, outside] = [inner.time_told(told as f64)?, outer.time_told(told as f64)?];
        let scale = inner.level(inside)?.alpha / outer.level(outside)?.alpha;
        let (x0, eps) = (inner.original(inside)?, inner.noise(inside)?);
        let (of_x0, of_eps) = outer.target(outside)?;
        let mixed = |x0: f64, eps: f64| of_x0 * x0 + of_eps * eps;
        let of_sample = scale * mixed(x0.of_sample, eps.of_sample);
        for (table, value) in tables.iter_mut().zip([scale, of_sample, mixed(x0.of_output, eps.of_output)]) {
            table[told] = value as f32;
        }
    }
    around(graph, ports, &tables).map_err(|error| TrainError::component(format!("expressing {}", graph.name()), error))
}

/// `a(t) x + b(t) graph(c(t) x)`.
fn around(graph: &Graph, ports: &Ports, tables: &[Vec<f32>; 3]) -> Result<Graph, dmdx_graph::GraphError> {
    let mut made = Graph::new(graph.name());
    for (symbol, info) in graph.symbols() {
        made.symbol(symbol, &info.meaning, info.usual);
    }
    let mut copies: BTreeMap<ValueId, ValueId> = BTreeMap::new();
    for (name, id) in graph.inputs() {
        copies.insert(*id, made.input(name, graph.value(*id).ty.clone())?);
    }
    for (name, param) in graph.params() {
        copies.insert(param.value, made.param(name, &param.shape, param.weight.clone())?);
    }
    let found = |name: &str| graph.inputs().iter().find(|(input, _)| &**input == name).map(|(_, id)| copies[id]);
    let (Some(sample), Some(time)) = (found(ports.sample), found(ports.time)) else { return Ok(made) };
    let [scale, of_sample, of_output] = factors(&mut made, (sample, time), tables)?;
    let scaled = made.push(Op::Mul, &[sample, scale], "expressed")?;
    copies.extend(graph.inputs().iter().filter(|(name, _)| &**name == ports.sample).map(|(_, id)| (*id, scaled)));
    for id in graph.order() {
        let value = graph.value(id);
        if let Def::Op { op, inputs } = &value.def {
            let inputs: Vec<ValueId> = inputs.iter().map(|input| copies[input]).collect();
            copies.insert(id, made.push(op.clone(), &inputs, &value.origin)?);
        }
    }
    for (path, id) in graph.marks() {
        made.mark(path, copies[id]);
    }
    for output in graph.outputs() {
        let own = made.push(Op::Mul, &[copies[&output.value], of_output], "expressed")?;
        let rest = made.push(Op::Mul, &[sample, of_sample], "expressed")?;
        let sum = made.push(Op::Add, &[own, rest], "expressed")?;
        made.output(&output.name, sum)?;
    }
    Ok(made)
}

/// The tables' entries at the times of a batch, as factors of its samples.
fn factors(
    graph: &mut Graph,
    (sample, time): (ValueId, ValueId),
    tables: &[Vec<f32>; 3],
) -> Result<[ValueId; 3], dmdx_graph::GraphError> {
    let dims = graph.value(sample).ty.shape.0.clone();
    let shape: Vec<Dim> = dims.iter().take(1).cloned().chain(dims.iter().skip(1).map(|_| Dim::constant(1))).collect();
    // Times are whole up to their rounding to f32.
    let nearest = graph.push(Op::Affine { mul: 1.0, add: 0.5 }, &[time], "expressed")?;
    let row = graph.push(Op::Cast { dtype: DType::I64 }, &[nearest], "expressed")?;
    let mut made = Vec::new();
    for (name, table) in TABLES.iter().zip(tables) {
        let sizes = [table.len(), 1];
        let weight = Weight::from_f32(table, sizes.to_vec())
            .map_err(|reason| dmdx_graph::GraphError::Weight { name: (*name).into(), reason })?;
        let table = graph.param(name, &sizes, Some(weight))?;
        let entries = graph.push(Op::Embedding, &[row, table], "expressed")?;
        made.push(graph.push(Op::Reshape { shape: Shape(shape.clone()) }, &[entries], "expressed")?);
    }
    Ok([made[0], made[1], made[2]])
}
