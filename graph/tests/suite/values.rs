//! Made-up weights and inputs, the same on every run.

use std::collections::BTreeMap;

use dmdx_graph::interp::{Run, Tensor};
use dmdx_graph::ir::Bindings;
use dmdx_graph::{Graph, Weight};

/// Numbers between -1 and 1 that depend on the name alone.
fn numbers(name: &str, count: usize) -> Vec<f64> {
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f64 / (1u64 << 23) as f64 - 1.0) as f32
    };
    (0..count).map(|_| f64::from(next())).collect()
}

/// Gives every parameter data, except those whose name starts with `absent`.
pub fn fill(graph: &mut Graph) {
    let wanted: Vec<_> = graph.params().iter().map(|(name, param)| (name.clone(), param.shape.clone())).collect();
    for (name, shape) in wanted.into_iter().filter(|(name, _)| !name.starts_with("absent")) {
        let values: Vec<f32> = numbers(&name, shape.iter().product()).into_iter().map(|v| v as f32).collect();
        graph.set_weight(&name, Weight::from_f32(&values, shape).unwrap()).unwrap();
    }
}

/// Inputs of the symbols' usual sizes.
pub fn inputs(graph: &Graph) -> BTreeMap<String, Tensor> {
    let bindings: Bindings = graph.symbols().iter().map(|(symbol, info)| (symbol.clone(), info.usual)).collect();
    let one = |(name, id): &(std::sync::Arc<str>, dmdx_graph::ValueId)| {
        let ty = &graph.value(*id).ty;
        let shape = ty.shape.eval(&bindings).unwrap();
        let values = numbers(name, shape.iter().product());
        let tensor = if ty.dtype.is_float() {
            Tensor::from_f64(values, &shape)
        } else {
            Tensor::from_i64(values.into_iter().map(|v| (v.abs() * 8.0) as i64).collect(), &shape)
        };
        (name.to_string(), tensor.unwrap())
    };
    graph.inputs().iter().map(one).collect()
}

/// Largest difference of outputs and marks, relative to each one's largest element; names must be the same.
pub fn difference(a: &Run, b: &Run) -> f64 {
    difference_from(f64::MIN_POSITIVE, a, b)
}

/// The same, with `smallest` in place of what is smaller still: where terms cancel, their rounding is all that is left.
pub fn difference_from(smallest: f64, a: &Run, b: &Run) -> f64 {
    assert_eq!(a.outputs.keys().collect::<Vec<_>>(), b.outputs.keys().collect::<Vec<_>>());
    assert_eq!(a.marks.keys().collect::<Vec<_>>(), b.marks.keys().collect::<Vec<_>>());
    let pairs = a.outputs.iter().chain(&a.marks).zip(b.outputs.iter().chain(&b.marks));
    let worst = pairs.map(|((name, x), (_, y))| {
        assert_eq!(x.shape(), y.shape(), "{name}");
        let (x, y) = (x.to_f64(), y.to_f64());
        let largest = x.iter().fold(smallest, |largest, v| largest.max(v.abs()));
        let differences =
            x.iter().zip(&y).map(|(x, y)| if x == y || x.is_nan() && y.is_nan() { 0.0 } else { (x - y).abs() / largest });
        differences.fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) })
    });
    worst.fold(0.0, f64::max)
}
