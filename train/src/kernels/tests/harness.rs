//! Runs a kernel tracked, untracked and with one tracked operand at a time, and compares it with a reference.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{AutodiffBackend, Dispatch, DispatchTensor};
use burn::tensor::Shape;

use crate::kernels::value::{Value, operands};

/// Makes the tensor of an operand from its position, values and shape.
type Make<'a> = dyn Fn(usize, &[f32], &[usize]) -> DispatchTensor + 'a;

/// Largest allowed error of a value or gradient, relative to the largest of the tensor: float32 sums of up to a
/// thousand terms stay a few times below.
const TOLERANCE: f64 = 1e-5;
/// What counts as the largest where a gradient cancels to less: operands and weights of the loss are of order 1.
const FLOOR: f64 = 0.1;

/// Deterministic values, uniform in -1..1.
pub fn random(shape: &[usize], seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..shape.iter().product()).map(|_| next()).collect()
}

pub fn plain(values: &[f32], shape: &[usize]) -> DispatchTensor {
    Value::from_vec(values.to_vec(), shape).into_dispatch()
}

pub fn leaf(values: &[f32], shape: &[usize]) -> DispatchTensor {
    Dispatch::float_set_require_grad(Dispatch::from_inner(plain(values, shape)), true)
}

pub fn reshape(tensor: &DispatchTensor, shape: &[usize]) -> DispatchTensor {
    Dispatch::float_reshape(tensor.clone(), Shape::from(shape.to_vec()))
}

pub fn floats(tensor: &DispatchTensor) -> Vec<f32> {
    let [value] = operands([Some(tensor)]).unwrap().values;
    value.unwrap().slice().to_vec()
}

pub fn bytes(tensor: &DispatchTensor) -> Vec<u8> {
    floats(tensor).iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Weights of the loss, the same for kernel and reference.
fn weights(count: usize) -> Vec<f32> {
    random(&[count], 77)
}

/// Gradients of `Σ weights · y`.
pub fn gradients(y: &DispatchTensor, leaves: &[&DispatchTensor]) -> Vec<Option<Vec<f32>>> {
    let shape = crate::kernels::composition::dims(y);
    let c = Dispatch::from_inner(plain(&weights(shape.iter().product()), &shape));
    let found = Dispatch::backward(Dispatch::float_sum(Dispatch::float_mul(y.clone(), c)));
    leaves.iter().map(|leaf| Dispatch::grad(leaf, &found).map(|g| floats(&g))).collect()
}

pub fn close(name: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{name}: length");
    let scale = expected.iter().fold(FLOOR, |m, v| m.max(v.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*a) - b).abs() / scale;
        assert!(error < tolerance, "{name}: element {i} is {a}, expected {b} (error {error:.1e} of the largest)");
    }
}

/// One kernel with operands of given shapes.
pub struct Case<'a> {
    name: &'a str,
    shapes: Vec<&'a [usize]>,
    spread: f32,
    composed: bool,
}

impl<'a> Case<'a> {
    pub fn new(name: &'a str, shapes: &[&'a [usize]]) -> Self {
        Self { name, shapes: shapes.to_vec(), spread: 1.0, composed: false }
    }

    /// Operands are uniform in -spread..spread.
    pub fn spread(mut self, spread: f32) -> Self {
        self.spread = spread;
        self
    }

    /// Burn picks other operations of its own under autodiff: values agree to the tolerance, not to the byte.
    pub fn composed(mut self) -> Self {
        self.composed = true;
        self
    }

    pub fn check(&self, kernel: impl Fn(&[DispatchTensor]) -> DispatchTensor, reference: impl Fn(&[Vec<f64>]) -> Vec<f64>) {
        let label = format!("{} {:?}", self.name, self.shapes);
        let data: Vec<Vec<f32>> =
            (1..).zip(&self.shapes).map(|(seed, shape)| random(shape, seed).iter().map(|v| v * self.spread).collect()).collect();
        let exact: Vec<Vec<f64>> = data.iter().map(|d| d.iter().map(|v| f64::from(*v)).collect()).collect();
        let tensors = |make: &Make<'_>| -> Vec<DispatchTensor> {
            data.iter().zip(&self.shapes).enumerate().map(|(i, (d, s))| make(i, d, s)).collect()
        };
        let tracked = tensors(&|_, d, s| leaf(d, s));
        let y = kernel(&tracked);
        close(&label, &floats(&y), &reference(&exact), TOLERANCE);
        let untracked = kernel(&tensors(&|_, d, s| plain(d, s)));
        close(&label, &floats(&untracked), &reference(&exact), TOLERANCE);
        assert!(self.composed || bytes(&untracked) == bytes(&y), "{label}: tracking changes the result");

        let leaves: Vec<&DispatchTensor> = tracked.iter().collect();
        let all: Vec<Vec<f32>> = gradients(&y, &leaves).into_iter().map(|g| g.unwrap()).collect();
        let loss = |inputs: &[Vec<f64>]| -> f64 {
            let y = reference(inputs);
            y.iter().zip(weights(y.len())).map(|(y, c)| y * f64::from(c)).sum()
        };
        for (which, gradient) in all.iter().enumerate() {
            let label = format!("{label}: gradient of operand {which}");
            assert_eq!(gradient.len(), data[which].len(), "{label}");
            if data.iter().map(Vec::len).sum::<usize>() <= 700 {
                let expected: Vec<f64> = (0..gradient.len()).map(|i| slope(&loss, &exact, which, &[(i, 1.0)])).collect();
                close(&label, gradient, &expected, TOLERANCE);
            } else {
                probe(&label, gradient, |direction| slope(&loss, &exact, which, direction));
            }
            // Alone among constants an operand has the same gradient, and the constants have none.
            let mixed = tensors(&|i, d, s| if i == which { leaf(d, s) } else { plain(d, s) });
            let alone = gradients(&kernel(&mixed), &[&mixed[which]]);
            assert!(self.composed || alone[0].as_ref() == Some(gradient), "{label} alone");
            let frozen = tensors(&|i, d, s| if i == which { leaf(d, s) } else { Dispatch::from_inner(plain(d, s)) });
            let found = gradients(&kernel(&frozen), &frozen.iter().collect::<Vec<_>>());
            for (i, gradient) in found.iter().enumerate() {
                assert_eq!(gradient.is_some(), i == which, "{label}: a frozen operand has a gradient");
            }
        }
    }
}

/// Derivative of `loss` along a sparse direction of operand `which`, by central differences.
fn slope(loss: &dyn Fn(&[Vec<f64>]) -> f64, inputs: &[Vec<f64>], which: usize, direction: &[(usize, f64)]) -> f64 {
    const STEP: f64 = 1e-5;
    let shifted = |sign: f64| {
        let mut inputs = inputs.to_vec();
        for (i, weight) in direction {
            inputs[which][*i] += sign * STEP * weight;
        }
        loss(&inputs)
    };
    (shifted(1.0) - shifted(-1.0)) / (2.0 * STEP)
}

/// Compares a large gradient along four random directions of all coordinates and at eight single ones.
fn probe(label: &str, gradient: &[f32], slope: impl Fn(&[(usize, f64)]) -> f64) {
    let count = gradient.len();
    let largest = gradient.iter().fold(FLOOR, |m, v| m.max(f64::from(v.abs())));
    for seed in 0..4 {
        let direction: Vec<(usize, f64)> = random(&[count], 900 + seed).iter().map(|v| f64::from(*v)).enumerate().collect();
        let got: f64 = direction.iter().map(|(i, u)| u * f64::from(gradient[*i])).sum();
        let error = (got - slope(&direction)).abs() / (largest * (count as f64).sqrt());
        assert!(error < TOLERANCE, "{label}: along direction {seed} (error {error:.1e})");
    }
    for i in (0..8).map(|n| n * (count - 1) / 7) {
        let error = (f64::from(gradient[i]) - slope(&[(i, 1.0)])).abs() / largest;
        assert!(error < TOLERANCE, "{label}: element {i} (error {error:.1e})");
    }
}
