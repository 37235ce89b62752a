//! Milliseconds of the fused kernels and of Burn's composition at the shapes of the digits problem.
//!
//! `cargo bench -p dmdx-train --bench kernels [-- FILTER]`; set RAYON_NUM_THREADS to choose the threads. Every line is
//! the least of 20 runs: forward without gradients, then forward and backward of all operands.

use std::hint::black_box;
use std::time::Instant;

use burn::backend::DispatchTensor;
use burn::tensor::activation::{gelu, silu, softmax};
use burn::tensor::module::{attention, conv2d, layer_norm, linear};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{Device, Distribution, Tensor};
use dmdx_train::kernels;

const RUNS: usize = 20;

fn least(mut work: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::INFINITY, f64::min)
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

/// Times `work` on operands made by `make`, without and with gradients.
fn time<T, const D: usize>(make: impl Fn(bool) -> T, work: impl Fn(&T) -> Tensor<D>) -> [f64; 2] {
    let (plain, tracked) = (make(false), make(true));
    let forward = least(|| drop(black_box(work(&plain))));
    let both = least(|| drop(black_box(work(&tracked).sum().backward())));
    [forward, both]
}

fn report(name: &str, ours: impl FnOnce() -> [f64; 2], burn: impl FnOnce() -> [f64; 2]) {
    if std::env::args().skip(1).filter(|a| !a.starts_with("--")).any(|filter| !name.contains(&filter)) {
        return;
    }
    let (ours, burn) = (ours(), burn());
    println!("{name:<40} ours {:8.3} {:8.3}   burn {:8.3} {:8.3}", ours[0], ours[1], burn[0], burn[1]);
}

fn wrap<const D: usize>(tensor: DispatchTensor) -> Tensor<D> {
    Tensor::from_dispatch(tensor)
}

fn leaf<const D: usize>(shape: [usize; D], tracked: bool) -> Tensor<D> {
    let device = Device::flex();
    let tensor = random(shape, &device);
    if tracked { tensor.autodiff().require_grad() } else { tensor }
}

fn convolution([b, i, size, o, k, stride, pad]: [usize; 7]) {
    let make = |tracked: bool| (leaf([b, i, size, size], tracked), leaf([o, i, k, k], tracked), leaf([o], tracked));
    let ours = |t: &(Tensor<4>, Tensor<4>, Tensor<1>)| {
        let (x, w, bias) = (t.0.clone().into_dispatch(), t.1.clone().into_dispatch(), t.2.clone().into_dispatch());
        wrap::<4>(kernels::conv2d(&x, &w, Some(&bias), [stride; 2], [pad; 4], [1, 1], 1))
    };
    let burn = |t: &(Tensor<4>, Tensor<4>, Tensor<1>)| {
        let options = ConvOptions::new([stride; 2], [pad; 2], [1, 1], 1);
        conv2d(t.0.clone(), t.1.clone(), Some(t.2.clone()), options)
    };
    let name = format!("conv {b}x{i}x{size}x{size} to {o}, kernel {k}, stride {stride}");
    report(&name, || time(make, ours), || time(make, burn));
}

fn normalisation([b, c, size, groups]: [usize; 4]) {
    let make = |tracked: bool| (leaf([b, c, size, size], tracked), leaf([c], tracked), leaf([c], tracked));
    let ours = |t: &(Tensor<4>, Tensor<1>, Tensor<1>)| {
        let (x, w, bias) = (t.0.clone().into_dispatch(), t.1.clone().into_dispatch(), t.2.clone().into_dispatch());
        wrap::<4>(kernels::group_norm(&x, &w, &bias, groups, 1e-5, true))
    };
    let burn = |t: &(Tensor<4>, Tensor<1>, Tensor<1>)| {
        let x = t.0.clone().reshape([b, groups, c / groups * size * size]);
        let centred = x.clone() - x.mean_dim(2);
        let variance = (centred.clone() * centred.clone()).mean_dim(2);
        let y = (centred / (variance + 1e-5).sqrt()).reshape([b, c, size, size]);
        silu(y * t.1.clone().reshape([1, c, 1, 1]) + t.2.clone().reshape([1, c, 1, 1]))
    };
    report(&format!("group norm {groups} + silu {b}x{c}x{size}x{size}"), || time(make, ours), || time(make, burn));
}

fn lines([rows, width]: [usize; 2]) {
    let make = |tracked: bool| (leaf([rows, width], tracked), leaf([width], tracked), leaf([width], tracked));
    let ours = |t: &(Tensor<2>, Tensor<1>, Tensor<1>)| {
        let (x, w, bias) = (t.0.clone().into_dispatch(), t.1.clone().into_dispatch(), t.2.clone().into_dispatch());
        wrap::<2>(kernels::layer_norm(&x, Some(&w), Some(&bias), 1e-6))
    };
    let burn = |t: &(Tensor<2>, Tensor<1>, Tensor<1>)| layer_norm(t.0.clone(), t.1.clone(), Some(t.2.clone()), 1e-6);
    report(&format!("layer norm {rows}x{width}"), || time(make, ours), || time(make, burn));
}

fn dense([rows, inputs, outputs]: [usize; 3]) {
    let make = |tracked: bool| (leaf([rows, inputs], tracked), leaf([outputs, inputs], tracked), leaf([outputs], tracked));
    let ours = |t: &(Tensor<2>, Tensor<2>, Tensor<1>)| {
        let (x, w, bias) = (t.0.clone().into_dispatch(), t.1.clone().into_dispatch(), t.2.clone().into_dispatch());
        wrap::<2>(kernels::linear(&x, &w, Some(&bias)))
    };
    let burn = |t: &(Tensor<2>, Tensor<2>, Tensor<1>)| linear(t.0.clone(), t.1.clone().transpose(), Some(t.2.clone()));
    report(&format!("linear {rows}x{inputs} to {outputs}"), || time(make, ours), || time(make, burn));
}

fn heads([b, h, s, t, d]: [usize; 5]) {
    type Operands = (Tensor<4>, Tensor<4>, Tensor<4>, Tensor<4>);
    let make = |tracked: bool| {
        (leaf([b, h, s, d], tracked), leaf([b, h, t, d], tracked), leaf([b, h, t, d], tracked), leaf([b, h, s, t], tracked))
    };
    let ours = |x: &Operands| {
        let [q, k, v, bias] = [&x.0, &x.1, &x.2, &x.3].map(|t| t.clone().into_dispatch());
        wrap::<4>(kernels::attention(&q, &k, &v, Some(&bias), 0.25, false))
    };
    let burn = |x: &Operands| {
        let options = AttentionModuleOptions { scale: Some(0.25), softcap: None, is_causal: false };
        attention(x.0.clone(), x.1.clone(), x.2.clone(), None, Some(x.3.clone()), options)
    };
    report(&format!("attention + bias {b}x{h}x{s}x{t}x{d}"), || time(make, ours), || time(make, burn));
}

fn elementwise() {
    type Pair = (&'static str, [usize; 2], fn(&DispatchTensor) -> DispatchTensor, fn(Tensor<2>) -> Tensor<2>);
    let cases: [Pair; 5] = [
        ("silu 2048x64", [2048, 64], kernels::silu, silu),
        ("silu 1024x1024", [1024, 1024], kernels::silu, silu),
        ("gelu 2560x1024", [2560, 1024], kernels::gelu, gelu),
        ("softmax 8192x256", [8192, 256], kernels::softmax, |x| softmax(x, 1)),
        ("geglu 512x512", [512, 512], kernels::geglu, |x| x.clone().slice([0..512, 0..256]) * gelu(x.slice([0..512, 256..512]))),
    ];
    for (name, shape, ours, burn) in cases {
        let make = |tracked: bool| leaf(shape, tracked);
        let fused = |x: &Tensor<2>| wrap::<2>(ours(&x.clone().into_dispatch()));
        report(name, || time(make, fused), || time(make, |x: &Tensor<2>| burn(x.clone())));
    }
}

fn main() {
    for sizes in [
        [32, 64, 8, 64, 3, 1, 1],
        [32, 32, 8, 32, 3, 1, 1],
        [32, 64, 4, 64, 3, 1, 1],
        [32, 64, 2, 64, 3, 1, 1],
        [32, 128, 4, 64, 3, 1, 1],
        [32, 4, 8, 32, 3, 1, 1],
        [32, 64, 16, 32, 3, 1, 1],
        [32, 32, 32, 32, 3, 1, 1],
        [32, 32, 32, 3, 3, 1, 1],
        [32, 64, 8, 64, 4, 2, 1],
        [32, 64, 8, 64, 1, 1, 0],
    ] {
        convolution(sizes);
    }
    for sizes in [[32, 64, 8, 32], [32, 64, 2, 32], [32, 32, 32, 16]] {
        normalisation(sizes);
    }
    for sizes in [[2048, 64], [4096, 640]] {
        lines(sizes);
    }
    for sizes in [[2048, 64, 192], [2048, 64, 128]] {
        dense(sizes);
    }
    for sizes in [[32, 4, 64, 64, 16], [288, 4, 9, 9, 16], [32, 4, 16, 16, 16], [4, 8, 256, 256, 64]] {
        heads(sizes);
    }
    elementwise();
}
