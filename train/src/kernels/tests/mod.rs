//! Every kernel against a float64 reference written here: values directly, gradients by central differences.

#![allow(clippy::unwrap_used)]

mod harness;
mod reference;

use burn::backend::DispatchTensor;
use harness::{Case, bytes, leaf, plain, random};

use super::*;

/// Shapes of each kernel's operands: small ones, where every coordinate of the gradient is checked.
#[test]
fn activations_match_float64() {
    for shape in [&[1][..], &[5, 7], &[2, 3, 4, 5], &[3, 16_411]] {
        let spread = 4.0;
        Case::new("silu", &[shape]).spread(spread).check(|t| silu(&t[0]), |x| reference::map(&x[0], reference::silu));
        Case::new("gelu", &[shape]).spread(spread).check(|t| gelu(&t[0]), |x| reference::map(&x[0], reference::gelu));
        Case::new("gelu_tanh", &[shape])
            .spread(spread)
            .check(|t| gelu_tanh(&t[0]), |x| reference::map(&x[0], reference::gelu_tanh));
        Case::new("quick_gelu", &[shape])
            .spread(spread)
            .check(|t| quick_gelu(&t[0]), |x| reference::map(&x[0], |v| v / (1.0 + (-1.702 * v).exp())));
    }
}

#[test]
fn elementary_functions_are_accurate_over_their_range() {
    let mut worst = [0.0_f64; 2];
    for i in -87_000_i32..88_000 {
        let x = i as f32 * 1e-3;
        worst[0] = worst[0].max((f64::from(simd::exp(x)) / f64::from(x).exp() - 1.0).abs());
        if i.abs() < 10_000 {
            let exact = reference::normal_below(f64::from(x));
            worst[1] = worst[1].max((f64::from(simd::normal(x).0) / exact - 1.0).abs());
        }
    }
    assert!(worst[0] < 2e-7, "exp is off by {}", worst[0]);
    // The tail carries the rounding of its exponent, x²/2 < 50.
    assert!(worst[1] < 5e-6, "the normal distribution is off by {}", worst[1]);
    assert_eq!(simd::exp(f32::NEG_INFINITY), 0.0);
    assert_eq!(simd::exp(f32::INFINITY), f32::INFINITY);
    assert!(simd::exp(f32::NAN).is_nan() && simd::normal(f32::NAN).0.is_nan());
}

#[test]
fn geglu_softmax_and_upsample_match_float64() {
    for shape in [&[1, 2][..], &[3, 5, 14], &[257, 130]] {
        Case::new("geglu", &[shape]).spread(3.0).check(|t| geglu(&t[0]), |x| reference::geglu(&x[0], shape));
    }
    for shape in [&[1][..], &[4, 7], &[2, 3, 5, 19], &[300, 77]] {
        Case::new("softmax", &[shape])
            .spread(3.0)
            .check(|t| softmax(&t[0]), |x| reference::softmax(&x[0], *shape.last().unwrap()));
    }
    for shape in [&[1, 1, 1, 1][..], &[2, 3, 5, 4], &[2, 8, 33, 31]] {
        Case::new("upsample", &[shape]).check(|t| upsample_nearest2x(&t[0]), |x| reference::upsample(&x[0], shape[3]));
    }
}

#[test]
fn sums_and_products_broadcast_as_numpy_does() {
    let pairs: [(&[usize], &[usize]); 8] = [
        (&[3, 4], &[3, 4]),
        (&[2, 3, 4, 5], &[1, 3, 1, 1]),
        (&[2, 3, 4, 5], &[2, 3, 1, 1]),
        (&[5], &[2, 3, 5]),
        (&[4, 1, 5], &[1, 3, 1]),
        (&[2, 1, 3, 1], &[2, 4, 3, 6]),
        (&[1], &[7]),
        (&[40, 50, 9], &[50, 1]),
    ];
    for (a, b) in pairs {
        Case::new("add", &[a, b]).check(|t| add(&t[0], &t[1]), |x| reference::broadcast(x, a, b, |a, b| a + b));
        Case::new("mul", &[a, b]).check(|t| mul(&t[0], &t[1]), |x| reference::broadcast(x, a, b, |a, b| a * b));
    }
}

#[test]
fn normalisations_match_float64() {
    for (shape, groups) in [(&[2, 6, 3, 5][..], 3), (&[1, 4], 2), (&[3, 8, 2, 2], 8), (&[2, 32, 17], 4), (&[5, 64, 9, 9], 16)] {
        for activate in [false, true] {
            let channels = [shape[1]];
            Case::new("group_norm", &[shape, &channels, &channels]).check(
                |t| group_norm(&t[0], &t[1], &t[2], groups, 1e-5, activate),
                |x| reference::group_norm(x, shape, groups, 1e-5, activate),
            );
        }
    }
    for shape in [&[3, 7][..], &[2, 5, 16], &[1, 33], &[700, 65]] {
        let width = [*shape.last().unwrap()];
        Case::new("layer_norm", &[shape, &width, &width]).check(
            |t| layer_norm(&t[0], Some(&t[1]), Some(&t[2]), 1e-6),
            |x| reference::layer_norm(&x[0], Some(&x[1]), Some(&x[2]), width[0], 1e-6),
        );
        Case::new("layer_norm without parameters", &[shape])
            .check(|t| layer_norm(&t[0], None, None, 1e-6), |x| reference::layer_norm(&x[0], None, None, width[0], 1e-6));
        Case::new("rms_norm", &[shape, &width])
            .check(|t| rms_norm(&t[0], Some(&t[1]), 1e-6), |x| reference::rms_norm(&x[0], Some(&x[1]), width[0], 1e-6));
        Case::new("rms_norm without a weight", &[shape])
            .check(|t| rms_norm(&t[0], None, 1e-6), |x| reference::rms_norm(&x[0], None, width[0], 1e-6));
    }
}

#[test]
fn attention_matches_float64() {
    // batch, heads, queries, keys, width, value width
    for [b, h, s, t, d, e] in [[1, 1, 1, 1, 1, 1], [2, 3, 5, 7, 4, 6], [1, 2, 9, 9, 16, 16], [2, 2, 70, 45, 33, 40]] {
        let (q, k, v) = ([b, h, s, d], [b, h, t, d], [b, h, t, e]);
        let sizes = [b * h, s, t, d, e];
        for causal in [false, true] {
            Case::new("attention", &[&q, &k, &v]).check(
                |t| attention(&t[0], &t[1], &t[2], None, 0.4, causal),
                |x| reference::attention(x, None, sizes, 0.4, causal),
            );
        }
        for bias in [&[b, h, s, t][..], &[1, h, s, t], &[b, 1, 1, t], &[s, 1]] {
            let whole = [b, h, s, t];
            Case::new("attention with bias", &[&q, &k, &v, bias]).check(
                |t| attention(&t[0], &t[1], &t[2], Some(&t[3]), 0.4, false),
                |x| {
                    let zero = vec![0.0; b * h * s * t];
                    let full = reference::broadcast(&[zero, x[3].clone()], &whole, bias, |a, b| a + b);
                    reference::attention(x, Some(&full), sizes, 0.4, false)
                },
            );
        }
    }
}

#[test]
fn convolution_matches_float64() {
    // batch, inputs, height, width, outputs, kernel, stride, padding, dilation, groups
    type Sizes = ([usize; 5], [usize; 2], [usize; 2], [usize; 4], [usize; 2], usize);
    let cases: [Sizes; 12] = [
        ([1, 1, 1, 1, 1], [1, 1], [1, 1], [0; 4], [1, 1], 1),
        ([2, 3, 5, 6, 4], [3, 3], [1, 1], [1; 4], [1, 1], 1),
        ([3, 2, 4, 4, 9], [3, 3], [2, 2], [0, 0, 1, 1], [1, 1], 1),
        ([2, 4, 7, 5, 6], [3, 2], [2, 1], [1, 0, 2, 1], [1, 2], 2),
        ([2, 6, 8, 8, 6], [3, 3], [1, 1], [1; 4], [1, 1], 6),
        ([1, 2, 6, 6, 3], [4, 4], [2, 2], [1; 4], [1, 1], 1),
        ([2, 3, 5, 5, 2], [1, 1], [1, 1], [2; 4], [1, 1], 1),
        ([2, 3, 5, 5, 2], [1, 1], [3, 3], [0; 4], [1, 1], 1),
        ([1, 2, 9, 9, 3], [3, 3], [1, 1], [2; 4], [2, 2], 1),
        ([33, 5, 2, 2, 3], [3, 3], [1, 1], [1; 4], [1, 1], 1),
        ([2, 150, 6, 6, 128], [3, 3], [1, 1], [1; 4], [1, 1], 1),
        ([9, 130, 5, 5, 70], [3, 3], [2, 2], [1; 4], [1, 1], 1),
    ];
    for ([b, i, height, width, o], kernel, stride, padding, dilation, groups) in cases {
        let shapes = [&[b, i, height, width][..], &[o, i / groups, kernel[0], kernel[1]], &[o]];
        Case::new("conv2d", &shapes).check(
            |t| conv2d(&t[0], &t[1], Some(&t[2]), stride, padding, dilation, groups),
            |x| reference::conv2d(x, &shapes, stride, padding, dilation, groups),
        );
    }
}

#[test]
fn linear_matches_float64() {
    for (shape, outputs) in [(&[1, 1][..], 1), (&[3, 5], 4), (&[2, 3, 7], 40), (&[6], 3), (&[90, 1100], 33), (&[700, 20], 70)] {
        let inputs = *shape.last().unwrap();
        let shapes = [shape, &[outputs, inputs][..], &[outputs]];
        Case::new("linear", &shapes)
            .check(|t| linear(&t[0], &t[1], Some(&t[2])), |x| reference::linear(&x[0], &x[1], Some(&x[2]), inputs));
        Case::new("linear without bias", &shapes[..2])
            .check(|t| linear(&t[0], &t[1], None), |x| reference::linear(&x[0], &x[1], None, inputs));
    }
}

/// What other backends run is held against the same references.
#[test]
fn compositions_match_float64() {
    let shape = &[2, 3, 8][..];
    type Unary = (fn(DispatchTensor) -> DispatchTensor, fn(f64) -> f64);
    let curves: [Unary; 4] = [
        (composition::silu, reference::silu),
        (composition::gelu, reference::gelu),
        (composition::gelu_tanh, reference::gelu_tanh),
        (composition::quick_gelu, |v| v / (1.0 + (-1.702 * v).exp())),
    ];
    for (kernel, exact) in curves {
        Case::new("composed curve", &[shape]).composed().check(|t| kernel(t[0].clone()), |x| reference::map(&x[0], exact));
    }
    Case::new("composed geglu", &[shape])
        .composed()
        .check(|t| composition::geglu(t[0].clone()), |x| reference::geglu(&x[0], shape));
    Case::new("composed softmax", &[shape])
        .composed()
        .check(|t| composition::softmax(t[0].clone()), |x| reference::softmax(&x[0], 8));
    let image = &[2, 6, 3, 5][..];
    Case::new("composed group_norm", &[image, &[6], &[6]]).composed().check(
        |t| composition::group_norm(t[0].clone(), &t[1], &t[2], 3, 1e-5, true),
        |x| reference::group_norm(x, image, 3, 1e-5, true),
    );
    Case::new("composed layer_norm", &[shape, &[8], &[8]]).composed().check(
        |t| composition::layer_norm(t[0].clone(), Some(&t[1]), Some(&t[2]), 1e-5),
        |x| reference::layer_norm(&x[0], Some(&x[1]), Some(&x[2]), 8, 1e-5),
    );
    Case::new("composed rms_norm", &[shape, &[8]])
        .composed()
        .check(|t| composition::rms_norm(t[0].clone(), Some(&t[1]), 1e-5), |x| reference::rms_norm(&x[0], Some(&x[1]), 8, 1e-5));
    Case::new("composed attention", &[&[1, 2, 5, 3], &[1, 2, 6, 3], &[1, 2, 6, 4], &[1, 2, 5, 6]]).composed().check(
        |t| composition::attention(t[0].clone(), t[1].clone(), t[2].clone(), Some(t[3].clone()), 0.3, true),
        |x| reference::attention(x, Some(&x[3]), [2, 5, 6, 3, 4], 0.3, true),
    );
    let shapes = [&[2, 4, 5, 6][..], &[6, 2, 3, 3], &[6]];
    let window = window::Window {
        batch: 2,
        inputs: 4,
        height: 5,
        width: 6,
        outputs: 6,
        kernel: [3, 3],
        stride: [2, 2],
        padding: [0, 0, 1, 1],
        dilation: [1, 1],
        groups: 2,
    };
    Case::new("composed conv2d", &shapes).composed().check(
        |t| composition::conv2d(t[0].clone(), t[1].clone(), Some(t[2].clone()), &window),
        |x| reference::conv2d(x, &shapes, [2, 2], [0, 0, 1, 1], [1, 1], 2),
    );
    Case::new("composed linear", &[shape, &[5, 8], &[5]]).composed().check(
        |t| composition::linear(t[0].clone(), t[1].clone(), Some(&t[2])),
        |x| reference::linear(&x[0], &x[1], Some(&x[2]), 8),
    );
    Case::new("composed product", &[shape, &[3, 1]])
        .composed()
        .check(|t| composition::mul(t[0].clone(), t[1].clone()), |x| reference::broadcast(x, shape, &[3, 1], |a, b| a * b));
    Case::new("composed sum", &[&[8], shape])
        .composed()
        .check(|t| composition::add(t[0].clone(), t[1].clone()), |x| reference::broadcast(x, &[8], shape, |a, b| a + b));
    Case::new("composed upsample", &[image])
        .composed()
        .check(|t| composition::upsample_nearest2x(t[0].clone()), |x| reference::upsample(&x[0], 5));
}

#[test]
fn the_composed_optimiser_step_is_the_same() {
    let (w, g) = (random(&[500], 1), random(&[500], 2));
    let settings = (1e-3, 0.99, 1e-8, 0.01);
    let step = optimizer::Step { rate: settings.0, beta2: settings.1, epsilon: settings.2, bias_correction: settings.3 };
    let start = || plain(&random(&[500], 3).iter().map(|v| v.abs()).collect::<Vec<_>>(), &[500]);
    let composed = composition::adam(plain(&w, &[500]), plain(&g, &[500]), start(), &step);
    let fused =
        adam_without_momentum(plain(&w, &[500]), &plain(&g, &[500]), start(), settings.0, settings.1, settings.2, settings.3);
    for (a, b) in [(composed.0, fused.0), (composed.1, fused.1)] {
        let exact: Vec<f64> = harness::floats(&a).iter().map(|v| f64::from(*v)).collect();
        harness::close("adam", &harness::floats(&b), &exact, 1e-6);
    }
}

#[test]
fn the_optimiser_follows_adamw() {
    let (rate, beta2, epsilon) = (1e-3, 0.99_f64, 1e-8);
    let mut weight: Vec<f64> = random(&[40_000], 1).iter().map(|v| f64::from(*v)).collect();
    let mut average = vec![0.0_f64; weight.len()];
    let (mut w, mut v) = (plain(&random(&[40_000], 1), &[200, 200]), plain(&vec![0.0; 40_000], &[200, 200]));
    for t in 1..=5 {
        let g = random(&[40_000], 10 + t);
        let correction = 1.0 - beta2.powi(t as i32);
        for ((weight, average), g) in weight.iter_mut().zip(&mut average).zip(&g) {
            let g = f64::from(*g);
            *average = beta2 * *average + (1.0 - beta2) * g * g;
            *weight -= rate * g / ((*average / correction).sqrt() + epsilon);
        }
        (w, v) = adam_without_momentum(w, &plain(&g, &[200, 200]), v, rate, beta2, epsilon, correction);
    }
    harness::close("adam", &harness::floats(&w), &weight, 1e-6);
    harness::close("average", &harness::floats(&v), &average, 1e-6);
}

/// A weight that somebody else still holds is copied, not changed.
#[test]
fn the_optimiser_leaves_shared_memory_alone() {
    let values = random(&[100], 3);
    let w = plain(&values, &[100]);
    let kept = w.clone();
    let g = plain(&random(&[100], 4), &[100]);
    let (new, _) = adam_without_momentum(w, &g, plain(&[0.0; 100], &[100]), 0.1, 0.99, 1e-8, 0.01);
    assert_eq!(harness::floats(&kept), values);
    assert_ne!(harness::floats(&new), values);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let x = leaf(&random(&[9, 64, 13, 13], 1), &[9, 64, 13, 13]);
            let w = leaf(&random(&[64, 64, 3, 3], 2), &[64, 64, 3, 3]);
            let scale = leaf(&random(&[64], 3), &[64]);
            let y = conv2d(&x, &w, Some(&scale), [2, 2], [1; 4], [1, 1], 1);
            let y = group_norm(&y, &scale, &scale, 16, 1e-5, true);
            let m = leaf(&random(&[49, 49], 4), &[49, 49]);
            let y = harness::reshape(&y, &[9, 8, 8, 49]);
            let y = linear(&y, &m, None);
            let y = layer_norm(&y, None, None, 1e-5);
            let bias = leaf(&random(&[8, 8], 5), &[8, 8]);
            let y = attention(&y, &y, &y, Some(&bias), 0.2, false);
            let y = harness::reshape(&y, &[9, 1, 64, 49]);
            let y = gelu(&mul(&y, &harness::reshape(&m, &[49, 1, 49])));
            let gradients = harness::gradients(&y, &[&x, &w, &scale, &m]);
            let mut all = vec![bytes(&y)];
            all.extend(gradients.into_iter().map(|g| g.unwrap()).map(|g| g.iter().flat_map(|v| v.to_le_bytes()).collect()));
            all
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(run(threads) == one, "the bytes differ between 1 and {threads} threads");
    }
}
