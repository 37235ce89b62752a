//! Items 3 and 4: one network, expressed as eps, x0, v and flow through exact conversions in its graph, trains the same.
//!
//! Real networks of the zoo: the SDXL kind, which predicts noise, and the SD3 kind, which predicts velocities. The noise table
//! is the straight path's, time by time, so that both are told the same numbers; samples of the straight path are those of
//! the table times the ratio of their signal levels.
//!
//! Everything is compared by the relative L2 distance of whole tensors, gradients of a role over all of its parameters at
//! once: a parameter on its own may have a gradient that nearly cancels, of which float32 keeps fewer digits.
//! 1e-5 is a hundred roundings; seen are 1e-7 to 8e-6.

use std::path::Path;

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::{ImportOptions, import};
use dmdx_runtime::family;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, Process, Rollout, StepRule};
use dmdx_train::diffusion::{ConditionBatch, ConditionPair, Denoiser, Generator, Ports};
use dmdx_train::discriminator::{FeatureLayout, Features, HeadBias, HeadLayout, Heads, LatentDiscriminator, find_taps};
use dmdx_train::method::matching::{FakeDraws, GeneratorDraws, Scored, fake_step};
use dmdx_train::method::{adm, adp, dmd};
use dmdx_train::module::{GraphModule, ParameterGradients, Value};
use dmdx_train::recipe::{HeadOutput, HeadReduce};
use dmdx_train::session::Draws;
use dmdx_train::store::Parameters;

use crate::expressed::{TABLES, expressed, straight_table};
use crate::plane::SETTINGS;

const SAME: f64 = 1e-5;

/// A network of the zoo.
struct Kind {
    folder: &'static str,
    pipeline: &'static str,
    predicts: Parameterisation,
    latent: [usize; 4],
    layout: fn() -> FeatureLayout,
    taps: &'static [&'static str],
    buffers: &'static [&'static str],
}

const KINDS: [Kind; 2] = [
    Kind {
        folder: "unet_sdxl",
        pipeline: "StableDiffusionXLPipeline",
        predicts: Parameterisation::Epsilon,
        latent: [2, 4, 8, 8],
        layout: || FeatureLayout::ChannelsFirst,
        taps: &["down_blocks.1.resnets.1", "mid_block.resnets.1", "up_blocks.2.resnets.2"],
        buffers: &TABLES,
    },
    Kind {
        folder: "sd3_medium",
        pipeline: "StableDiffusion3Pipeline",
        predicts: Parameterisation::Flow,
        latent: [2, 16, 8, 8],
        layout: || FeatureLayout::Tokens(vec![4, 4]),
        taps: &["transformer_blocks.0", "transformer_blocks.2"],
        buffers: &["pos_embed.pos_embed", TABLES[0], TABLES[1], TABLES[2]],
    },
];

fn process(predicts: Parameterisation) -> Process {
    match predicts {
        Parameterisation::Flow => NoiseSchedule::flow().process(predicts).unwrap(),
        other => Process::with_table(other, straight_table(1000)),
    }
}

/// A network in one parameterisation, with everything that is trained beside it.
struct World {
    kind: &'static Kind,
    teacher: Denoiser,
    /// The network as it came.
    plain: Denoiser,
    generator: GraphModule,
    fake_score: GraphModule,
    discriminator: LatentDiscriminator,
    conditions: ConditionPair,
}

/// Numbers by name: the same for every parameterisation.
fn numbers(name: &str, shape: &[usize], scale: f64) -> Value {
    let values = Draws::new(4, name, 0).normal(shape).into_iter().map(|value| (f64::from(value) * scale) as f32);
    Value::float(values.collect(), shape, &Device::flex()).unwrap()
}

/// A trained copy whose weights are a little off.
fn role(of: &Denoiser, phase: f64) -> GraphModule {
    let mut module = of.trainable_copy();
    for (name, (_, mut values)) in of.module.weights().unwrap() {
        if !of.ports.buffers.contains(&name.as_str()) {
            let factor = |i: usize| 1.0 + 0.05 * (0.37 * i as f64 + phase).sin();
            values.iter_mut().enumerate().for_each(|(i, value)| *value = (f64::from(*value) * factor(i)) as f32);
            module.set_parameter(&name, values).unwrap();
        }
    }
    module
}

impl World {
    fn new(kind: &'static Kind, predicts: Parameterisation) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/zoo").join(kind.folder);
        let names = family::of_class(kind.pipeline).unwrap().denoiser();
        let plain_graph = import(&path, &ImportOptions::default()).unwrap().parts[names.part].clone();
        let ports = Ports { buffers: kind.buffers, ..Ports::of(names) };
        let (inner, outer) = (process(kind.predicts), process(predicts));
        let graph = match predicts == kind.predicts {
            true => plain_graph.clone(),
            false => expressed(&plain_graph, &ports, [&inner, &outer], [1, 951]).unwrap(),
        };
        let denoiser = |graph: &Graph, process: Process| Denoiser {
            module: GraphModule::new(graph, &Device::flex(), false).unwrap(),
            process: process.into(),
            ports,
        };
        let teacher = denoiser(&graph, outer);
        let taps: Vec<String> = kind.taps.iter().map(|tap| tap.to_string()).collect();
        let layout = (kind.layout)();
        let taps = find_taps(&graph, &taps, &[(ports.sample, kind.latent.to_vec())], &layout, "taps").unwrap();
        let heads = HeadLayout { width: 16, groups: 4, min_size: 4, output: HeadOutput::Scalar };
        // Large logits satisfy some hinges. Where none is, fakes and reals, a short step apart, pull at a head almost alike,
        // and what is left of its gradient has three digits less.
        let mut draws = Draws::new(4, "heads", 0);
        let heads = Heads::new(&taps, heads, &mut draws, 40.0, HeadBias::Uniform, SETTINGS, &Device::flex()).unwrap();
        // Whatever the network is told besides the sample and the time; texts are five tokens long.
        let told = |prefix: &str| {
            let others = graph.inputs().iter().filter(|(name, _)| ![ports.sample, ports.time].contains(&&**name));
            let value = |(name, id): &(std::sync::Arc<str>, dmdx_graph::ValueId)| {
                let dims = graph.value(*id).ty.shape.0.iter().enumerate();
                let shape: Vec<usize> = dims.map(|(i, dim)| if i == 0 { 2 } else { dim.known().unwrap_or(5) }).collect();
                let place = if name.ends_with("time_ids") { name.to_string() } else { format!("{prefix} {name}") };
                (name.to_string(), numbers(&place, &shape, 1.0))
            };
            ConditionBatch::new(others.map(value).collect())
        };
        Self {
            kind,
            generator: role(&teacher, 1.0),
            fake_score: role(&teacher, 2.0),
            discriminator: LatentDiscriminator::new(&teacher, &graph, &taps, layout, heads).unwrap(),
            conditions: ConditionPair { conditional: told("with"), unconditional: told("without") },
            plain: denoiser(&plain_graph, inner),
            teacher,
        }
    }

    fn process(&self) -> &Process {
        self.teacher.process.coefficients()
    }

    /// Samples of a table's process, as this one's at the same told times.
    fn scaled(&self, x: &Value, told: &[f64], back: bool) -> Value {
        let table = process(Parameterisation::Epsilon);
        let alpha = |process: &Process, told: f64| process.level(process.time_told(told).unwrap()).unwrap().alpha;
        let factor = |&told: &f64| alpha(self.process(), told) / alpha(&table, told);
        let factors: Vec<f64> = told.iter().map(|told| if back { 1.0 / factor(told) } else { factor(told) }).collect();
        x.per_sample(&factors).unwrap()
    }

    fn times(&self, told: &[f64]) -> Vec<f64> {
        told.iter().map(|&told| self.process().time_told(told).unwrap()).collect()
    }

    fn student(&self) -> Generator {
        Generator::new(&self.teacher, &Rollout::new(self.process().clone(), &STUDENT, StepRule::Ode).unwrap())
    }

    fn draws(&self, call: usize) -> GeneratorDraws {
        GeneratorDraws {
            z: self.scaled(&numbers("z", &self.kind.latent, 1.0), &[STUDENT[0]; 2], false),
            fresh: Vec::new(),
            call,
            times: self.times(&TOLD),
            noise: numbers("noise", &self.kind.latent, 1.0),
            weights: vec![2.5, 3.5],
            student_weights: None,
        }
    }
}

/// What the student is told.
const STUDENT: [f64; 2] = [900.0, 500.0];

/// t of both samples.
const TOLD: [f64; 2] = [640.0, 300.0];

/// Δt.
const STEP: f64 = 16.0;

/// Everything that must not depend on the parameterisation, by name.
type Found = Vec<(String, Vec<f64>)>;

fn put(found: &mut Found, name: &str, value: &Value) {
    found.push((name.to_string(), value.to_f32().unwrap().into_iter().map(f64::from).collect()));
}

fn put_features(found: &mut Found, name: &str, features: &Features) {
    let all = features.values().flat_map(|value| value.to_f32().unwrap()).map(f64::from);
    found.push((name.to_string(), all.collect()));
}

fn put_gradients(found: &mut Found, name: &str, gradients: &ParameterGradients) {
    let all: Vec<f64> = gradients.iter().flat_map(|(_, value)| value.to_f32().unwrap()).map(f64::from).collect();
    assert!(all.iter().any(|value| *value != 0.0), "{name}");
    found.push((name.to_string(), all));
}

/// Compares what all parameterisations found, and says by how much it differs at most.
fn agree(what: &str, kind: &Kind, all: &[Found]) {
    let mut worst = (0.0, String::new());
    for other in &all[1..] {
        assert_eq!(other.len(), all[0].len());
        for ((name, wanted), (_, found)) in all[0].iter().zip(other) {
            assert_eq!(wanted.len(), found.len(), "{name}");
            let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
            let error = norm(&mut found.iter().zip(wanted).map(|(a, b)| a - b)) / norm(&mut wanted.iter().copied());
            if error.is_nan() || error > worst.0 {
                worst = (error, name.clone());
            }
        }
    }
    eprintln!("{what} of {}: {:.1e} in {}", kind.folder, worst.0, worst.1);
    assert!(worst.0 <= SAME, "{what} of {}: {} differs by {:.1e}", kind.folder, worst.1, worst.0);
}

fn everywhere(what: &str, step: impl Fn(&World) -> Found) {
    for kind in &KINDS {
        let all = [Parameterisation::Epsilon, Parameterisation::VPrediction, Parameterisation::Flow];
        agree(what, kind, &all.map(|predicts| step(&World::new(kind, predicts))));
    }
}

fn adversarial_matching(world: &World, call: usize, gradient: adm::AdmGradient) -> Found {
    let options = adm::step::Options { dt: world.process().thousandths(STEP), gradient, reduce: HeadReduce::Mean };
    let (student, draws) = (world.student(), world.draws(call));
    let roles = adm::step::Roles {
        generator: &world.generator,
        student: &student,
        fake_score: &world.fake_score,
        teacher: &world.teacher,
        discriminator: &world.discriminator,
    };
    let made = adm::step::generator_step(&roles, &world.conditions, &draws, &options).unwrap();
    let judged = adm::step::discriminator_step(&roles, &world.conditions, &draws, &made, &options).unwrap();
    let mut found = Found::new();
    let later = TOLD.map(|told| told - STEP);
    put(&mut found, "x0", &made.x0_hat);
    put(&mut found, "x_t", &world.scaled(&made.x_t, &TOLD, true));
    put(&mut found, "x_fake", &world.scaled(&made.x_fake, &later, true));
    put(&mut found, "x_real", &world.scaled(&made.x_real, &later, true));
    put_features(&mut found, "logits", &made.logits);
    put_features(&mut found, "logits of real", &judged.logits_real);
    put(&mut found, "L_G", &made.loss);
    put(&mut found, "L_D", &judged.loss);
    put(&mut found, "dL_G/dx0", &made.grad_x0_hat);
    put_gradients(&mut found, "dL_G", &made.gradients);
    put_gradients(&mut found, "dL_D", &judged.gradients);
    found
}

#[test]
fn adversarial_distribution_matching_is_the_same() {
    for call in 0..STUDENT.len() {
        everywhere("ADM", |world| adversarial_matching(world, call, adm::AdmGradient::Full));
    }
}

/// Past the fake score it is not: the raw output counts as a constant, and which number that is depends on the
/// parameterisation (distillation.md 3.4.1).
#[test]
fn past_the_fake_score_it_is_another_gradient() {
    let gradient = |predicts| {
        let found = adversarial_matching(&World::new(&KINDS[0], predicts), 0, adm::AdmGradient::DetachFake);
        found.into_iter().find(|(name, _)| name == "dL_G/dx0").unwrap().1
    };
    let (eps, v) = (gradient(Parameterisation::Epsilon), gradient(Parameterisation::VPrediction));
    let norm = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let difference: Vec<f64> = eps.iter().zip(&v).map(|(a, b)| a - b).collect();
    assert!(norm(&difference) > 0.01 * norm(&eps), "{} of {}", norm(&difference), norm(&eps));
}

#[test]
fn distribution_matching_distillation_is_the_same() {
    for call in 0..STUDENT.len() {
        everywhere("DMD", |world| {
            let student = world.student();
            let roles =
                Scored { generator: &world.generator, student: &student, fake_score: &world.fake_score, teacher: &world.teacher };
            let made = dmd::step::generator_step(&roles, &world.conditions, &world.draws(call)).unwrap();
            let mut found = Found::new();
            put(&mut found, "x0", &made.x0_hat);
            put(&mut found, "mu_fake", &made.direction.fake);
            put(&mut found, "mu_real", &made.direction.real);
            found.push(("normaliser".into(), made.direction.normaliser.clone()));
            put(&mut found, "direction", &made.direction.gradient);
            found.push(("L_G".into(), vec![made.loss]));
            put_gradients(&mut found, "dL_G", &made.gradients);
            found
        });
    }
}

/// The student's own raw output is a velocity on the line whatever the teacher predicts, so its network stays as it is; what
/// is expressed are the teacher's process and the backbone on it.
#[test]
fn adversarial_pretraining_is_the_same() {
    everywhere("ADP", |world| {
        let line = world.plain.with_process(process(Parameterisation::Epsilon).of_line_student(999.0).into());
        let generator = role(&world.plain, 1.0);
        let roles = adp::step::Roles {
            generator: &generator,
            line: &line,
            q: &world.teacher.process,
            latent: &world.discriminator,
            pixel: None,
        };
        let batch = adp::step::Batch {
            x_0: numbers("data", &world.kind.latent, 0.7),
            x_t: numbers("z", &world.kind.latent, 1.0),
            condition: world.conditions.conditional.clone(),
            real_pixels: None,
        };
        let draws = adp::step::Draws {
            u: vec![0.3, 0.8],
            time_fake: world.times(&TOLD),
            time_real: world.times(&TOLD),
            noise_fake: numbers("noise", &world.kind.latent, 1.0),
            noise_real: numbers("other noise", &world.kind.latent, 1.0),
        };
        let options = adp::step::Options { lambda_latent: 1.0, lambda_pixel: 0.0, mse_weight: 0.0, reduce: HeadReduce::Mean };
        let made = adp::step::generator_step(&roles, &batch, &draws, &options).unwrap();
        let judged = adp::step::discriminator_step(&roles, &batch, &draws, &made, &options).unwrap();
        let mut found = Found::new();
        put(&mut found, "x_t fake", &world.scaled(&made.x_t_fake, &TOLD, true));
        put(&mut found, "x_t real", &world.scaled(&judged.x_t_real, &TOLD, true));
        put_features(&mut found, "logits", &made.logits);
        put(&mut found, "L_G", &made.loss);
        put(&mut found, "L_D", &judged.loss);
        put_gradients(&mut found, "dL_G", &made.gradients);
        put_gradients(&mut found, "dL_D", &judged.gradients_latent);
        found
    });
}

/// The fake score's own loss is the mean square of its raw output, and so weighs times differently: for one sample,
/// L_v = L_eps / alpha² and L_flow = L_eps / (1 - t)², and so are the gradients.
#[test]
fn the_fake_scores_loss_weighs_times_by_its_parameterisation() {
    for kind in &KINDS {
        let found = [Parameterisation::Epsilon, Parameterisation::VPrediction, Parameterisation::Flow].map(|predicts| {
            let world = World::new(kind, predicts);
            let one = |value: &Value| value.rows(0, 1);
            let student = world.student();
            let draws = FakeDraws {
                z: one(&world.draws(0).z),
                call: None,
                fresh: Vec::new(),
                student_weights: None,
                times: world.times(&TOLD[..1]),
                noise: one(&numbers("noise", &kind.latent, 1.0)),
            };
            let roles =
                Scored { generator: &world.generator, student: &student, fake_score: &world.fake_score, teacher: &world.teacher };
            let made = fake_step(&roles, &world.conditions.pick(&[0]).unwrap(), &draws).unwrap();
            let alpha = world.process().level(draws.times[0]).unwrap().alpha;
            let weight = if predicts == Parameterisation::Epsilon { 1.0 } else { alpha * alpha };
            let mut found = Found::new();
            put(&mut found, "x0", &made.x0);
            put(&mut found, "L_f", &made.loss.scale(weight));
            put_gradients(&mut found, "dL_f", &made.gradients);
            let gradients = found.last_mut().unwrap();
            gradients.1.iter_mut().for_each(|value| *value *= weight);
            found
        });
        agree("the fake score", kind, &found);
    }
}

/// Item 3: guided raw outputs mean the same clean sample in every space, and other programs' forms are the same weight:
/// `x0 + (w - 1) (x0 - x0_neg)`, and `cond + (w - 1) (cond - uncond)`.
#[test]
fn guidance_is_the_same_in_every_space() {
    for kind in &KINDS {
        let spaces = [Parameterisation::Epsilon, Parameterisation::Sample, Parameterisation::VPrediction, Parameterisation::Flow];
        let found = spaces.map(|predicts| {
            let (world, weights) = (World::new(kind, predicts), [6.0, 8.0]);
            let times = world.times(&TOLD);
            let x = world.scaled(&numbers("x", &kind.latent, 1.0), &TOLD, false);
            let said = world.teacher.guided(&x, &times, &world.conditions, &weights).unwrap();
            let clean = |output: &Value| world.teacher.process.x0(output, &x, &times).unwrap();
            let less = weights.map(|weight| weight - 1.0);
            let (with, without) = (clean(&said.conditional), clean(&said.unconditional));
            let in_clean = with.plus(&with.minus(&without).per_sample(&less).unwrap());
            let difference = said.conditional.minus(&said.unconditional).per_sample(&less).unwrap();
            let mut found = Found::new();
            put(&mut found, "guided", &clean(&said.guided));
            put(&mut found, "guided among clean samples", &in_clean);
            put(&mut found, "guided by w - 1 from the conditional", &clean(&said.conditional.plus(&difference)));
            found
        });
        agree("guidance", kind, &found);
        let of_one: Vec<Found> = found[0].iter().map(|(_, values)| vec![("guided".to_string(), values.clone())]).collect();
        agree("the forms of guidance", kind, &of_one);
    }
}
