//! Items 5, 6, 8 and 9: gradients with a closed form, on points of the plane.

use dmdx_runtime::process::{Level, NoiseSchedule, Parameterisation, Process};
use dmdx_train::diffusion::{ConditionBatch, Denoiser};
use dmdx_train::discriminator::{Decoder, FeatureShape, HeadBias, HeadLayout, Heads, PixelDiscriminator, PixelScaling, Tap};
use dmdx_train::method::matching::{GeneratorDraws, Scored};
use dmdx_train::method::{adm, adp, dmd};
use dmdx_train::module::{ParameterGradients, Trained};
use dmdx_train::recipe::{HeadOutput, HeadReduce, PixelInput};
use dmdx_train::session::Draws;

use burn::tensor::Device;
use dmdx_graph::{Dim, Graph, Op, Shape, Type, Weight};
use dmdx_runtime::manifest::VaeScaling;

use crate::plane::{
    SETTINGS, WIDTH, affine, close, denoiser, discriminator, floats, flow, perceptron, spread, unconditional, value, walk,
};

type Matrix = [[f64; 2]; 2];

fn times(a: Matrix, b: Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..2).map(|k| a[i][k] * b[k][j]).sum()))
}

fn transposed(a: Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

fn of_vector(a: Matrix, x: [f64; 2]) -> [f64; 2] {
    a.map(|row| row[0] * x[0] + row[1] * x[1])
}

fn mixed(a: f64, x: Matrix, b: f64, y: Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| a * x[i][j] + b * y[i][j]))
}

fn inverse([[a, b], [c, d]]: Matrix) -> Matrix {
    let determinant = a * d - b * c;
    [[d / determinant, -b / determinant], [-c / determinant, a / determinant]]
}

const IDENTITY: Matrix = [[1.0, 0.0], [0.0, 1.0]];

/// The process of SDXL with noise prediction, and the straight path, each at a time in its middle.
fn processes() -> [(Process, f64, f64); 2] {
    let table = NoiseSchedule::scaled_linear(0.00085, 0.012, 1000).process(Parameterisation::Epsilon).unwrap();
    [(table, 999.0, 430.0), (flow(), 1000.0, 0.55)]
}

/// The raw output of the exact denoiser of `N(mean, covariance)` at one time, an affine map of the noisy sample:
/// `x0 = mean + alpha S (alpha² S + sigma² I)^-1 (x - alpha mean)`.
fn exact_denoiser(process: &Process, time: f64, mean: [f64; 2], covariance: Matrix) -> Denoiser {
    let Level { alpha, sigma } = process.level(time).unwrap();
    let noisy = mixed(alpha * alpha, covariance, sigma * sigma, IDENTITY);
    let gain = mixed(alpha, times(covariance, inverse(noisy)), 0.0, IDENTITY);
    let start = of_vector(gain, mean);
    let offset: [f64; 2] = std::array::from_fn(|i| mean[i] - alpha * start[i]);
    // The raw output of which x0 = of_sample x + of_output o.
    let map = process.original(time).unwrap();
    let matrix = mixed(1.0 / map.of_output, gain, -map.of_sample / map.of_output, IDENTITY);
    denoiser(&affine(&matrix.concat(), &offset.map(|value| value / map.of_output)), process.clone())
}

/// A one-step student whose clean sample is `offset + gain z`.
fn affine_student(process: &Process, told: f64, offset: [f64; 2], gain: Matrix) -> Denoiser {
    let map = process.original(process.time_told(told).unwrap()).unwrap();
    let matrix = mixed(1.0 / map.of_output, gain, -map.of_sample / map.of_output, IDENTITY);
    denoiser(&affine(&matrix.concat(), &offset.map(|value| value / map.of_output)), process.clone())
}

/// Noises whose mean is zero and whose covariance is the identity, exactly, jointly for both: sigma points. Expectations of
/// everything up to second order in them are their means.
fn sigma_points() -> (Vec<f64>, Vec<f64>) {
    let (mut z, mut noise) = (Vec::new(), Vec::new());
    for axis in 0..4 {
        for sign in [-2.0, 2.0] {
            let point: [f64; 4] = std::array::from_fn(|i| if i == axis { sign } else { 0.0 });
            z.extend_from_slice(&point[..2]);
            noise.extend_from_slice(&point[2..]);
        }
    }
    (z, noise)
}

fn drawn(z: &[f64], noise: &[f64], columns: usize, time: f64) -> GeneratorDraws {
    let samples = z.len() / columns;
    GeneratorDraws {
        z: value(z, columns),
        fresh: Vec::new(),
        call: 0,
        times: vec![time; samples],
        noise: value(noise, columns),
        weights: vec![1.0; samples],
        student_weights: None,
    }
}

/// Item 5: between Gaussians, `alpha (mu_fake - mu_real) / sigma²` times alpha is on average the gradient of
/// KL(N_t(a, B Bᵀ) || N_t(m, S)) for the sample, and so for a and B: `alpha² R (a - m)` and `alpha² (R - Q) B`, where R and Q
/// are the inverse covariances of the noised real and fake distributions.
#[test]
fn distribution_matching_follows_the_divergence_of_gaussians() {
    let (m, s): ([f64; 2], Matrix) = ([0.7, -1.1], [[0.9, 0.3], [0.3, 0.5]]);
    let (a, b): ([f64; 2], Matrix) = ([-0.4, 0.6], [[0.8, -0.5], [0.2, 1.1]]);
    for (process, told, time) in processes() {
        let Level { alpha, sigma } = process.level(time).unwrap();
        let student = affine_student(&process, told, a, b);
        let fake = exact_denoiser(&process, time, a, times(b, transposed(b)));
        let teacher = exact_denoiser(&process, time, m, s);
        let (z, noise) = sigma_points();
        let module = student.module.trainable_copy();
        let walker = walk(&student, &[told]);
        let roles = Scored { generator: &module, student: &walker, fake_score: &fake.module, teacher: &teacher };
        let made = dmd::step::generator_step(&roles, &unconditional(), &drawn(&z, &noise, 2, time)).unwrap();

        let directions = floats(&made.direction.gradient);
        let weight = alpha * alpha / (sigma * sigma) / 8.0;
        let (mut of_a, mut of_b) = ([0.0; 2], [[0.0; 2]; 2]);
        for sample in 0..8 {
            for i in 0..2 {
                let unscaled = weight * directions[2 * sample + i] * made.direction.normaliser[sample];
                of_a[i] += unscaled;
                (0..2).for_each(|j| of_b[i][j] += unscaled * z[2 * sample + j]);
            }
        }
        let noised = |covariance: Matrix| inverse(mixed(alpha * alpha, covariance, sigma * sigma, IDENTITY));
        let (real, own) = (noised(s), noised(times(b, transposed(b))));
        let wanted = of_vector(real, [a[0] - m[0], a[1] - m[1]]).map(|value| alpha * alpha * value);
        close(&of_a, &wanted, 1e-5, "the gradient for a");
        let wanted = times(mixed(alpha * alpha, real, -alpha * alpha, own), b);
        close(&of_b.concat(), &wanted.concat(), 1e-5, "the gradient for B");

        // What reaches the student is that direction, over the number of elements, through its own map.
        let map = process.original(process.time_told(told).unwrap()).unwrap();
        let mut wanted = vec![0.0; 4];
        for sample in 0..8 {
            for i in 0..2 {
                (0..2).for_each(|j| wanted[2 * i + j] += map.of_output * directions[2 * sample + i] / 16.0 * z[2 * sample + j]);
            }
        }
        close(&floats(made.gradients.get("weight").unwrap()), &wanted, 1e-5, "the gradient of the student's matrix");
    }
}

/// The normaliser is a mean and not a sum: with every element there twice, each has the gradient that it had.
#[test]
fn distribution_matching_does_not_depend_on_the_number_of_elements() {
    // [[M, 0], [0, M]] and [c, c].
    let doubled = |matrix: [f64; 4]| {
        let mut made = vec![0.0; 16];
        for block in 0..2 {
            (0..4).for_each(|i| made[4 * (2 * block + i / 2) + 2 * block + i % 2] = matrix[i]);
        }
        made
    };
    let (own, fake, real) = ([0.4, -0.3, 0.2, 0.5], [0.3, 0.1, -0.2, 0.6], [-0.5, 0.2, 0.4, 0.1]);
    let offset = [0.3, -0.2];
    let twice = |values: &[f64]| values.chunks(2).flat_map(|pair| [pair, pair].concat()).collect::<Vec<_>>();
    let direction = |columns: usize| {
        let network = |matrix: [f64; 4]| match columns {
            2 => denoiser(&affine(&matrix, &offset), flow()),
            _ => denoiser(&affine(&doubled(matrix), &twice(&offset)), flow()),
        };
        let (student, fake, teacher) = (network(own), network(fake), network(real));
        let (z, noise) = (spread(6, 1), spread(6, 2));
        let (z, noise) = if columns == 2 { (z, noise) } else { (twice(&z), twice(&noise)) };
        let module = student.module.trainable_copy();
        let walker = walk(&student, &[1000.0]);
        let roles = Scored { generator: &module, student: &walker, fake_score: &fake.module, teacher: &teacher };
        floats(&dmd::step::generator_step(&roles, &unconditional(), &drawn(&z, &noise, columns, 0.5)).unwrap().direction.gradient)
    };
    close(&direction(4), &twice(&direction(2)), 1e-6, "the direction");
}

/// Item 6: with a fake score `f(x) = M x` the gradient for the clean sample is `alpha (A I + B M)ᵀ` times that for x_fake, and
/// past the fake score it is `alpha A` times that; the teacher and the backbone keep none, and x_real has no past.
#[test]
fn adversarial_matching_differentiates_the_step_of_the_fake_score() {
    let matrix: Matrix = [[0.6, -1.3], [0.9, 0.4]];
    for (process, told, time) in processes() {
        let dt = process.thousandths(15.625);
        let student = denoiser(&perceptron(1), process.clone());
        let teacher = denoiser(&perceptron(2), process.clone());
        let fake = denoiser(&affine(&matrix.concat(), &[0.1, -0.2]), process.clone()).module.trainable_copy();
        let judge = discriminator(process.clone());
        let module = student.module.trainable_copy();
        let walker = walk(&student, &[told]);
        let (z, noise) = (spread(12, 3), spread(12, 4));
        for gradient in [adm::AdmGradient::Full, adm::AdmGradient::DetachFake] {
            let options = adm::step::Options { dt, gradient, reduce: HeadReduce::Mean };
            let roles = adm::step::Roles {
                generator: &module,
                student: &walker,
                fake_score: &fake,
                teacher: &teacher,
                discriminator: &judge,
            };
            let made = adm::step::generator_step(&roles, &unconditional(), &drawn(&z, &noise, 2, time), &options).unwrap();
            let alpha = process.level(time).unwrap().alpha;
            let step = process.step(time, time - dt).unwrap();
            let through = match gradient {
                adm::AdmGradient::Full => mixed(step.of_sample, IDENTITY, step.of_output, matrix),
                adm::AdmGradient::DetachFake => mixed(step.of_sample, IDENTITY, 0.0, IDENTITY),
            };
            let outer = floats(&made.grad_x_fake);
            let wanted = outer.chunks(2).flat_map(|g| of_vector(transposed(through), [g[0], g[1]]).map(|value| alpha * value));
            close(&floats(&made.grad_x0_hat), &wanted.collect::<Vec<_>>(), 1e-6, "the gradient for the clean sample");
            assert!(outer.iter().any(|value| value.abs() > 1e-4), "{outer:?}");

            assert!(!teacher.module.is_trainable() && !judge.backbone().is_trainable());
            let past = |role| ParameterGradients::take(role, &mut made.x_real.clone().sum().backward()).iter().count();
            assert_eq!([&module, &fake, &judge.heads.trained.module].map(past), [0, 0, 0]);
        }
    }
}

/// A picture of a point is twice the point, and its encoder one layer of a perceptron.
fn pixel_branch() -> (Decoder, PixelDiscriminator) {
    let mut decoder = Graph::new("decoder");
    let batch = decoder.symbol("batch", "points", 1);
    let points = Type::f32(Shape(vec![batch, Dim::constant(2)]));
    let z = decoder.input("z", points.clone()).unwrap();
    let picture = decoder.push(Op::Affine { mul: 2.0, add: 0.0 }, &[z], "decoder").unwrap();
    decoder.output("picture", picture).unwrap();
    let mut encoder = Graph::new("encoder");
    let batch = encoder.symbol("batch", "points", 1);
    let x = encoder.input("x", points).unwrap();
    let values: Vec<f32> = spread(2 * WIDTH, 9).into_iter().map(|value| value as f32).collect();
    let weight = encoder.param("weight", &[WIDTH, 2], Some(Weight::from_f32(&values, vec![WIDTH, 2]).unwrap())).unwrap();
    let hidden = encoder.push(Op::Linear, &[x, weight], "layer").unwrap();
    let hidden = encoder.push(Op::Silu, &[hidden], "layer").unwrap();
    let map = Shape([batch].into_iter().chain([1, 1, WIDTH].map(Dim::constant)).collect());
    let seen = encoder.push(Op::Reshape { shape: map }, &[hidden], "layer").unwrap();
    encoder.mark("layer", seen);
    encoder.output("features", seen).unwrap();
    let taps = [Tap { name: "layer".into(), mark: "layer".into(), shape: FeatureShape::Map([WIDTH, 1, 1]) }];
    let layout = HeadLayout { width: WIDTH, groups: 4, min_size: 1, output: HeadOutput::Scalar };
    let mut draws = Draws::new(12, "golden heads", 0);
    let heads = Heads::new(&taps, layout, &mut draws, 1.0, HeadBias::Uniform, SETTINGS, &Device::flex()).unwrap();
    let module = dmdx_train::module::GraphModule::new(&decoder, &Device::flex(), false).unwrap();
    let scaling = PixelScaling::of(PixelInput::MinusOneToOne);
    (Decoder::new(module, &VaeScaling::of(1.0), 0), PixelDiscriminator::new(&encoder, &taps, scaling, heads).unwrap())
}

fn pairs(samples: usize) -> adp::step::Batch {
    adp::step::Batch {
        x_0: value(&spread(2 * samples, 5), 2),
        x_t: value(&spread(2 * samples, 6), 2),
        condition: ConditionBatch::new(Vec::new()),
        real_pixels: None,
    }
}

/// Item 8, the regression test of the slip in the English equation 9: a step of the generator raises what each discriminator
/// says of its own output, whichever of the two it listens to, and both where it listens to both.
#[test]
fn a_step_raises_both_discriminators() {
    let (line, latent, (decoder, pixel)) = (denoiser(&perceptron(1), flow()), discriminator(flow()), pixel_branch());
    let q = &line.process;
    let batch = pairs(16);
    let times: Vec<f64> = (0..16).map(|i| (f64::from(i) + 0.5) / 16.0).collect();
    let draws = adp::step::Draws {
        u: times.iter().map(|&time| time as f32).collect(),
        time_fake: times.clone(),
        time_real: times,
        noise_fake: value(&spread(32, 7), 2),
        noise_real: value(&spread(32, 8), 2),
    };
    for (lambda_latent, lambda_pixel) in [(1.0, 0.0), (0.0, 1.0), (0.85, 0.15)] {
        let options = adp::step::Options { lambda_latent, lambda_pixel, mse_weight: 0.0, reduce: HeadReduce::Mean };
        let mut generator = Trained::new(line.module.trainable_copy(), SETTINGS);
        let said = |generator: &Trained| {
            let branch = Some((&decoder, &pixel));
            let roles = adp::step::Roles { generator: &generator.module, line: &line, q, latent: &latent, pixel: branch };
            let made = adp::step::generator_step(&roles, &batch, &draws, &options).unwrap();
            // The losses are minus the discriminators' means.
            let heard = [&made.loss_latent, made.loss_pixel.as_ref().unwrap()].map(|loss| -loss.scalar().unwrap());
            (heard, -made.loss.scalar().unwrap(), made.gradients)
        };
        let (before, both, gradients) = said(&generator);
        generator.update(gradients);
        let (after, both_after, _) = said(&generator);
        let raised: Vec<f64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        for (raised, lambda) in raised.iter().zip([lambda_latent, lambda_pixel]) {
            assert!(*raised > 1e-5 || lambda != 1.0, "({lambda_latent}, {lambda_pixel}): raised by {raised}");
        }
        assert!(both_after - both > 1e-5, "({lambda_latent}, {lambda_pixel}): {both} became {both_after}");
        let sum = lambda_latent * before[0] + lambda_pixel * before[1];
        assert!((sum - both).abs() < 1e-6, "{both} is not {sum}");
    }
}

/// Item 9: `t / T = 1 - u³`: 46.4 % beyond 0.9, a mean of three quarters, the noisy end and never the clean one.
#[test]
fn times_are_cubic() {
    const COUNT: usize = 4096;
    let (line, latent) = (denoiser(&perceptron(1), flow()), discriminator(flow()));
    let half = vec![0.5; COUNT];
    let seen = |u: Vec<f32>| {
        let noise = value(&vec![0.0; 2 * COUNT], 2);
        let draws = adp::step::Draws {
            u,
            time_fake: half.clone(),
            time_real: half.clone(),
            noise_fake: noise.clone(),
            noise_real: noise,
        };
        let roles = adp::step::Roles { generator: &line.module, line: &line, q: &line.process, latent: &latent, pixel: None };
        let options = adp::step::Options { lambda_latent: 1.0, lambda_pixel: 0.0, mse_weight: 0.0, reduce: HeadReduce::Mean };
        let made = adp::step::generator_step(&roles, &pairs(COUNT), &draws, &options).unwrap();
        assert!(made.s.iter().zip(&made.network_times).all(|(&s, &told)| (1000.0 * s - told).abs() < 1e-3));
        made.s
    };
    // Evenly spread: their shares are the distribution's to one in 4096.
    let s = seen((0..COUNT).map(|i| (i as f32 + 0.5) / COUNT as f32).collect());
    let beyond = s.iter().filter(|&&s| s > 0.9).count() as f64 / COUNT as f64;
    let mean = s.iter().map(|&s| f64::from(s)).sum::<f64>() / COUNT as f64;
    assert!((beyond - 0.464).abs() < 5e-4 && (mean - 0.75).abs() < 1e-5, "{beyond} beyond 0.9, {mean} on average");
    // The ends of what is drawn: 0 and the largest multiple of 2^-24 below 1.
    let mut u = vec![0.0; COUNT];
    u[1] = 1.0 - 1.0 / 16_777_216.0;
    let ends = seen(u);
    assert!(ends[0] == 1.0 && ends[1] > 0.0 && ends[1] < 1e-6, "{:?}", &ends[..2]);
}
