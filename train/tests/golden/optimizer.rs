//! Item 12: AdamW whose first moment decays at once needs no first moment.

use burn::tensor::Device;
use dmdx_train::module::{AdamSettings, GraphModule, Trained, Value, parameter_gradients};
use dmdx_train::store::Parameters;

use crate::networks::PORTS;
use crate::plane::affine;

/// Twelve numbers that are exact in f32.
fn numbers(k: u32) -> Vec<f32> {
    (0..12).map(|j| ((j * 29 + k * 7) % 17) as f32 / 16.0 - 0.5).collect()
}

/// torch 2.9.1 on the CPU: `AdamW(lr=1e-3, betas=(0.0, 0.99), eps=1e-8, weight_decay=0.0, foreach=False)`, five steps from
/// `numbers(0)` on `numbers(t)` times 1, 0.1, 0.01, 0.001 and again; it keeps a first moment, which equals the gradient.
const TORCH: [u32; 12] = [
    0xbeff5885, 0x3e7ec549, 0xbd7e25bb, 0xbec104bf, 0x3ec0138b, 0x3d7bbd37, 0xbe803874, 0x3f008000, 0x3e3f897d, 0xbdfd897b,
    0xbee03208, 0x3ea07af6,
];

#[test]
fn no_first_moment_is_the_reference_with_one_bit_for_bit() {
    // The bias of an affine map: its gradient is whatever its output is weighted with.
    let start: Vec<f64> = numbers(0).into_iter().map(f64::from).collect();
    let module = GraphModule::new(&affine(&[0.0; 144], &start), &Device::flex(), true).unwrap();
    let settings = AdamSettings { rate: 1e-3, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 };
    let mut role = Trained::new(module, settings);
    for t in 1..=5 {
        let sizes = [1.0f32, 0.1, 0.01, 0.001];
        let gradient = numbers(t).into_iter().enumerate().map(|(j, value)| value * sizes[j % 4]).collect();
        let gradient = Value::float(gradient, &[1, 12], &Device::flex()).unwrap();
        let inputs = [
            (PORTS.sample, Value::float(vec![0.0; 12], &[1, 12], &Device::flex()).unwrap()),
            (PORTS.time, Value::float(vec![0.0], &[1], &Device::flex()).unwrap()),
        ];
        let loss = role.module.output(&inputs, PORTS.output).unwrap().times(&gradient).sum();
        let gradients = parameter_gradients(loss, &role.module);
        role.update(gradients);
    }
    let found: Vec<u32> = role.module.parameter("bias").unwrap().into_iter().map(f32::to_bits).collect();
    assert_eq!(found, TORCH, "{:?}", role.module.parameter("bias"));
}
