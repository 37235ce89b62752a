//! Small networks on points of the plane, or of any number of numbers.

use burn::tensor::Device;
use dmdx_graph::{Dim, Graph, Op, Shape, Type, Weight};
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, Process, Rollout, StepRule};
use dmdx_train::diffusion::{ConditionBatch, ConditionPair, Denoiser, Generator};
use dmdx_train::discriminator::{FeatureLayout, HeadBias, HeadLayout, Heads, LatentDiscriminator};
use dmdx_train::module::{AdamSettings, GraphModule, Value};
use dmdx_train::recipe::HeadOutput;
use dmdx_train::session::Draws;

use crate::networks::{self, PORTS};

pub const WIDTH: usize = 16;

pub const SETTINGS: AdamSettings = AdamSettings { rate: 1e-4, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 };

pub fn value(values: &[f64], columns: usize) -> Value {
    let shape = [values.len() / columns, columns];
    Value::float(values.iter().map(|&value| value as f32).collect(), &shape, &Device::flex()).unwrap()
}

pub fn floats(value: &Value) -> Vec<f64> {
    value.to_f32().unwrap().into_iter().map(f64::from).collect()
}

/// `M x + c`, whatever the time.
pub fn affine(matrix: &[f64], offset: &[f64]) -> Graph {
    let size = offset.len();
    let mut graph = Graph::new("affine");
    let batch = graph.symbol("batch", "points", 1);
    let x = graph.input(PORTS.sample, Type::f32(Shape(vec![batch.clone(), Dim::constant(size)]))).unwrap();
    graph.input(PORTS.time, Type::f32(Shape(vec![batch]))).unwrap();
    let mut constant = |name: &str, shape: &[usize], values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        graph.param(name, shape, Some(Weight::from_f32(&values, shape.to_vec()).unwrap())).unwrap()
    };
    let (weight, bias) = (constant("weight", &[size, size], matrix), constant("bias", &[size], offset));
    let y = graph.push(Op::Linear, &[x, weight, bias], "affine").unwrap();
    graph.output(PORTS.output, y).unwrap();
    graph
}

pub fn denoiser(graph: &Graph, process: Process) -> Denoiser {
    Denoiser { module: GraphModule::new(graph, &Device::flex(), false).unwrap(), process: process.into(), ports: PORTS }
}

pub fn flow() -> Process {
    NoiseSchedule::flow().process(Parameterisation::Flow).unwrap()
}

/// The perceptron of the toy with drawn weights.
pub fn perceptron(seed: u64) -> Graph {
    networks::perceptron(WIDTH, &mut Draws::new(seed, "golden", 0)).unwrap()
}

pub fn walk(denoiser: &Denoiser, told: &[f64]) -> Generator {
    let process = denoiser.process.coefficients().clone();
    Generator::new(denoiser, &Rollout::new(process, told, StepRule::Ode).unwrap())
}

pub fn heads(seed: u64) -> Heads {
    let layout = HeadLayout { width: WIDTH, groups: 4, min_size: 1, output: HeadOutput::Scalar };
    let mut draws = Draws::new(seed, "golden heads", 0);
    Heads::new(&networks::taps(WIDTH), layout, &mut draws, 1.0, HeadBias::Uniform, SETTINGS, &Device::flex()).unwrap()
}

/// Heads on a perceptron of its own.
pub fn discriminator(process: Process) -> LatentDiscriminator {
    let graph = perceptron(77);
    let taps = networks::taps(WIDTH);
    LatentDiscriminator::new(&denoiser(&graph, process), &graph, &taps, FeatureLayout::ChannelsFirst, heads(78)).unwrap()
}

pub fn unconditional() -> ConditionPair {
    let nothing = ConditionBatch::new(Vec::new());
    ConditionPair { conditional: nothing.clone(), unconditional: nothing }
}

/// Numbers that look random.
pub fn spread(count: usize, seed: u64) -> Vec<f64> {
    Draws::new(seed, "golden numbers", 0).normal(&[count]).into_iter().map(f64::from).collect()
}

pub fn close(found: &[f64], wanted: &[f64], within: f64, what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let size = wanted.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-300);
    let error = found.iter().zip(wanted).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt() / size;
    assert!(error <= within, "{what} differs by {error:.2e} of its size:\n{found:?}\n{wanted:?}");
}
