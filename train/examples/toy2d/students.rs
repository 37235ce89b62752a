//! Students of the mixture's exact teacher, by the product's own steps of every method.

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_runtime::process::{NoiseSchedule, Parameterisation, Process, Rollout, StepRule};
use dmdx_train::TrainError;
use dmdx_train::diffusion::{ConditionBatch, ConditionPair, Denoiser, Generator};
use dmdx_train::discriminator::{FeatureLayout, HeadBias, HeadLayout, Heads, LatentDiscriminator};
use dmdx_train::method::heads::heads_step;
use dmdx_train::method::matching::{FakeDraws, GeneratorDraws, Scored, fake_step};
use dmdx_train::method::{OdePairs, adm, adp, dmd, reflow};
use dmdx_train::module::{AdamSettings, GraphModule, Trained, Value, parameter_gradients};
use dmdx_train::recipe::{HeadOutput, HeadReduce};
use dmdx_train::session::Draws;

use crate::expressed::{expressed, straight_table};
use crate::mixture;
use crate::networks::{self, PORTS};

/// How much is computed.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Iterations of the perceptron's own training, half of them at a tenth of the rate.
    pub backbone: u64,
    /// Iterations of every student's stage.
    pub iterations: u64,
    /// Points per iteration.
    pub batch: usize,
    /// Pairs of noise and what the teacher's ODE makes of it.
    pub pairs: usize,
    /// Steps of the teacher's ODE.
    pub steps: usize,
    /// Width of the perceptron and of the heads.
    pub width: usize,
}

/// Learning rates.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of the student.
    pub generator: f64,
    /// Of the fake score.
    pub fake: f64,
    /// Of the heads.
    pub heads: f64,
}

/// What the pre-training of a student is told beside its budget.
#[derive(Clone, Copy, Debug)]
pub struct Pretraining {
    /// λ₁ of the generator: below zero the student is pushed away from what the discriminator takes for real.
    pub lambda: f64,
    /// Whether times are uniform on the line instead of cubic.
    pub uniform_times: bool,
}

impl Default for Pretraining {
    fn default() -> Self {
        Self { lambda: 1.0, uniform_times: false }
    }
}

/// A student: its network and how it walks.
#[derive(Clone, Debug)]
pub struct Student {
    /// The network.
    pub module: GraphModule,
    /// One step from noise.
    pub walk: Generator,
}

/// Teacher, perceptron and pairs.
pub struct World {
    /// The exact velocity, or what it is expressed as.
    teacher: Denoiser,
    /// The perceptron in the same parameterisation: the discriminators' backbone, and where students and fake scores start.
    network: Denoiser,
    network_graph: Graph,
    pairs: (Value, Value),
    budget: Budget,
    device: Device,
}

impl World {
    /// The mixture's teacher, which predicts velocities, noise or `v`, and a perceptron that has learnt the velocity.
    ///
    /// # Errors
    /// When a network cannot be made.
    pub fn new(predicts: Parameterisation, perceptron: &Graph, budget: Budget) -> Result<Self, TrainError> {
        let device = Device::flex();
        let flow = NoiseSchedule::flow().process(Parameterisation::Flow)?;
        let exact = networks::exact().map_err(|error| TrainError::component("building the teacher", error))?;
        let (process, teacher_graph, network_graph) = match predicts {
            Parameterisation::Flow => (flow.clone(), exact.clone(), perceptron.clone()),
            other => {
                // Time 0 is left out: there is no noise there to speak of.
                let table = Process::with_table(other, straight_table(1000));
                let as_other = |graph: &Graph| expressed(graph, &PORTS, [&flow, &table], [1, 1000]);
                let graphs = (as_other(&exact)?, as_other(perceptron)?);
                (table, graphs.0, graphs.1)
            }
        };
        let denoiser = |graph: &Graph, process: &Process| {
            Ok::<_, TrainError>(Denoiser {
                module: GraphModule::new(graph, &device, false)?,
                process: process.clone().into(),
                ports: PORTS,
            })
        };
        // The pairs are the same whatever the teacher predicts: they are the straight path's.
        let times: Vec<f64> = flow.spaced(budget.steps)?.into_iter().map(|time| flow.network_time(time)).collect();
        let sampler = Generator::new(&denoiser(&exact, &flow)?, &Rollout::new(flow.clone(), &times, StepRule::Ode)?);
        let noise = Draws::new(0, "toy pairs", 0).normal(&[budget.pairs, 2]);
        let noise = Value::float(noise, &[budget.pairs, 2], &device)?;
        let data = sampler.sample(&noise, &unconditional(), None, &[])?;
        Ok(Self {
            teacher: denoiser(&teacher_graph, &process)?,
            network: denoiser(&network_graph, &process)?,
            network_graph,
            pairs: (data, noise),
            budget,
            device,
        })
    }

    /// The teacher's own samples, by the ODE: what no student has to be better than.
    pub fn teacher_points(&self) -> Result<Vec<f32>, TrainError> {
        Ok(self.pairs.0.to_f32()?)
    }

    fn process(&self) -> &Process {
        self.teacher.process.coefficients()
    }

    fn walk(&self, process: Process) -> Result<Generator, TrainError> {
        let latest = self.process().network_time(self.process().last_time());
        Ok(Generator::new(&self.network, &Rollout::new(process, &[latest], StepRule::Ode)?))
    }

    /// The perceptron as it is, taken for a one-step student.
    pub fn untrained(&self) -> Result<Student, TrainError> {
        Ok(Student { module: self.network.trainable_copy(), walk: self.walk(self.process().clone())? })
    }

    /// The perceptron on the line between noise and sample.
    fn on_line(&self) -> Result<(Student, Denoiser), TrainError> {
        let latest = self.process().network_time(self.process().last_time());
        let line = self.process().of_line_student(latest);
        let student = Student { module: self.network.trainable_copy(), walk: self.walk(line.clone())? };
        Ok((student, self.network.with_process(line.into())))
    }

    fn discriminator(&self, label: &str, rate: f64) -> Result<LatentDiscriminator, TrainError> {
        let taps = networks::taps(self.budget.width);
        let layout = HeadLayout { width: self.budget.width, groups: 8, min_size: 1, output: HeadOutput::Scalar };
        let mut draws = Draws::new(0, label, 0);
        let heads = Heads::new(&taps, layout, &mut draws, 0.1, HeadBias::Zero, settings(rate), &self.device)?;
        LatentDiscriminator::new(&self.network, &self.network_graph, &taps, FeatureLayout::ChannelsFirst, heads)
    }

    fn noise(&self, draws: &mut Draws) -> Result<Value, TrainError> {
        let shape = [self.budget.batch, 2];
        Ok(Value::float(draws.normal(&shape), &shape, &self.device)?)
    }

    fn batch(&self, draws: &mut Draws) -> Result<OdePairs, TrainError> {
        let rows = draws.integers(self.budget.batch, 0, self.budget.pairs as i64);
        let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
        let (x_0, x_t) = (self.pairs.0.pick(&rows)?, self.pairs.1.pick(&rows)?);
        Ok(OdePairs { x_0, x_t, condition: ConditionBatch::new(Vec::new()) })
    }

    /// A1: the straight line between the ends of the pairs.
    pub fn reflow(&self, rate: f64) -> Result<Student, TrainError> {
        let (student, line) = self.on_line()?;
        let mut generator = Trained::new(student.module, settings(rate));
        for index in 0..self.budget.iterations {
            let mut draws = Draws::new(0, "toy reflow", index);
            let batch = self.batch(&mut draws)?;
            let s = draws.uniform(self.budget.batch);
            let made = reflow::step::step(&reflow::step::Roles { generator: &generator.module, line: &line }, &batch, &s)?;
            generator.update(made.gradients);
        }
        Ok(Student { module: generator.module, walk: student.walk })
    }

    /// A4: adversarial distillation pre-training with the latent discriminator alone.
    pub fn adp(&self, rates: Rates, how: Pretraining) -> Result<Student, TrainError> {
        let (student, line) = self.on_line()?;
        let mut generator = Trained::new(student.module, settings(rates.generator));
        let mut latent = self.discriminator("toy heads of adp", rates.heads)?;
        let options =
            |lambda| adp::step::Options { lambda_latent: lambda, lambda_pixel: 0.0, mse_weight: 0.0, reduce: HeadReduce::Mean };
        for index in 0..self.budget.iterations {
            let mut draws = Draws::new(0, "toy adp", index);
            let OdePairs { x_0, x_t, condition } = self.batch(&mut draws)?;
            let batch = adp::step::Batch { x_0, x_t, condition, real_pixels: None };
            let mut u = draws.uniform(self.budget.batch);
            if how.uniform_times {
                // The line's time is 1 - u³.
                u.iter_mut().for_each(|u| *u = u.cbrt());
            }
            let times = self.noisy_times(&mut draws);
            let (noise_fake, noise_real) = (self.noise(&mut draws)?, self.noise(&mut draws)?);
            let draws = adp::step::Draws { u, time_fake: times.clone(), time_real: times, noise_fake, noise_real };
            let roles = adp::step::Roles {
                generator: &generator.module,
                line: &line,
                q: &self.teacher.process,
                latent: &latent,
                pixel: None,
            };
            let mut made = adp::step::generator_step(&roles, &batch, &draws, &options(how.lambda))?;
            let gradients = std::mem::take(&mut made.gradients);
            let judged = adp::step::discriminator_step(&roles, &batch, &draws, &made, &options(1.0))?;
            generator.update(gradients);
            latent.heads.trained.update(judged.gradients_latent);
        }
        Ok(Student { module: generator.module, walk: student.walk })
    }

    /// B1 or B4: adversarial distribution matching from `start`. With `swapped` the heads are told the opposite of the truth.
    pub fn adm(&self, start: &Student, rates: Rates, swapped: bool) -> Result<Student, TrainError> {
        let mut generator = Trained::new(start.module.clone(), settings(rates.generator));
        let mut fake_score = Trained::new(self.network.trainable_copy(), settings(rates.fake));
        let mut discriminator = self.discriminator("toy heads of adm", rates.heads)?;
        let dt = self.process().thousandths(1000.0 / 64.0);
        let options = adm::step::Options { dt, gradient: adm::AdmGradient::Full, reduce: HeadReduce::Mean };
        let conditions = unconditional();
        for index in 0..self.budget.iterations {
            let mut draws = Draws::new(0, "toy adm", index);
            self.fake_update(&generator, start, &mut fake_score, &mut draws)?;
            let drawn = self.generator_draws(&mut draws, dt)?;
            let roles = adm::step::Roles {
                generator: &generator.module,
                student: &start.walk,
                fake_score: &fake_score.module,
                teacher: &self.teacher,
                discriminator: &discriminator,
            };
            let mut made = adm::step::generator_step(&roles, &conditions, &drawn, &options)?;
            let gradients = std::mem::take(&mut made.gradients);
            let mut judged = adm::step::discriminator_step(&roles, &conditions, &drawn, &made, &options)?;
            if swapped {
                judged = heads_step(&discriminator, &judged.features_real, &made.features, options.reduce)?;
            }
            generator.update(gradients);
            discriminator.heads.trained.update(judged.gradients);
        }
        Ok(Student { module: generator.module, walk: start.walk.clone() })
    }

    /// B2 or B3: distribution matching distillation from `start`.
    pub fn dmd(&self, start: &Student, rates: Rates) -> Result<Student, TrainError> {
        let mut generator = Trained::new(start.module.clone(), settings(rates.generator));
        let mut fake_score = Trained::new(self.network.trainable_copy(), settings(rates.fake));
        let conditions = unconditional();
        for index in 0..self.budget.iterations {
            let mut draws = Draws::new(0, "toy dmd", index);
            self.fake_update(&generator, start, &mut fake_score, &mut draws)?;
            let drawn = self.generator_draws(&mut draws, 0.0)?;
            let roles = Scored {
                generator: &generator.module,
                student: &start.walk,
                fake_score: &fake_score.module,
                teacher: &self.teacher,
            };
            let made = dmd::step::generator_step(&roles, &conditions, &drawn)?;
            generator.update(made.gradients);
        }
        Ok(Student { module: generator.module, walk: start.walk.clone() })
    }

    /// All times but those without noise, where an expressed network says nothing.
    fn noisy_times(&self, draws: &mut Draws) -> Vec<f64> {
        let process = self.process();
        let low = process.thousandths(1.0);
        self.teacher.process.times_between(draws, self.budget.batch, low, process.last_time())
    }

    fn fake_update(
        &self,
        generator: &Trained,
        student: &Student,
        fake_score: &mut Trained,
        draws: &mut Draws,
    ) -> Result<(), TrainError> {
        let drawn = FakeDraws {
            z: self.noise(draws)?,
            call: None,
            fresh: Vec::new(),
            student_weights: None,
            times: self.noisy_times(draws),
            noise: self.noise(draws)?,
        };
        let roles = Scored {
            generator: &generator.module,
            student: &student.walk,
            fake_score: &fake_score.module,
            teacher: &self.teacher,
        };
        let made = fake_step(&roles, &unconditional(), &drawn)?;
        fake_score.update(made.gradients);
        Ok(())
    }

    fn generator_draws(&self, draws: &mut Draws, dt: f64) -> Result<GeneratorDraws, TrainError> {
        let process = self.process();
        let (low, high) = (process.thousandths(20.0) + dt, process.thousandths(980.0));
        Ok(GeneratorDraws {
            z: self.noise(draws)?,
            fresh: Vec::new(),
            call: 0,
            times: self.teacher.process.times_between(draws, self.budget.batch, low, high),
            noise: self.noise(draws)?,
            weights: vec![1.0; self.budget.batch],
            student_weights: None,
        })
    }

    /// Where a student sends these noises.
    pub fn points(&self, student: &Student, noises: &[f32]) -> Result<Vec<f32>, TrainError> {
        let walk = student.walk.with_module(student.module.frozen());
        let mut points = Vec::with_capacity(noises.len());
        for part in noises.chunks(8192) {
            let noise = Value::float(part.to_vec(), &[part.len() / 2, 2], &self.device)?;
            points.extend(walk.sample(&noise, &unconditional(), None, &[])?.to_f32()?);
        }
        Ok(points)
    }
}

/// Nothing is told but the time.
fn unconditional() -> ConditionPair {
    let nothing = ConditionBatch::new(Vec::new());
    ConditionPair { conditional: nothing.clone(), unconditional: nothing }
}

/// AdamW without a first moment, as the paper trains.
fn settings(rate: f64) -> AdamSettings {
    AdamSettings { rate, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.0 }
}

/// A perceptron that has learnt the mixture's velocity.
///
/// # Errors
/// When it cannot be made.
pub fn backbone(budget: &Budget) -> Result<Graph, TrainError> {
    let build = |error| TrainError::component("building the perceptron", error);
    let (device, mut draws) = (Device::flex(), Draws::new(0, "toy perceptron", 0));
    let mut graph = networks::perceptron(budget.width, &mut draws).map_err(build)?;
    let process = NoiseSchedule::flow().process(Parameterisation::Flow)?;
    let teacher = Denoiser {
        module: GraphModule::new(&networks::exact().map_err(build)?, &device, false)?,
        process: process.into(),
        ports: PORTS,
    };
    let mut trained = Trained::new(GraphModule::new(&graph, &device, true)?, settings(2e-3));
    let nothing = ConditionBatch::new(Vec::new());
    for index in 0..budget.backbone {
        if index == budget.backbone / 2 {
            trained = Trained::new(trained.module, settings(2e-4));
        }
        let mut draws = Draws::new(0, "toy perceptron", 1 + index);
        let shape = [budget.batch, 2];
        let x0 = Value::float(mixture::samples(&mut draws, budget.batch), &shape, &device)?;
        let times = teacher.process.any_times(&mut draws, budget.batch);
        let x = teacher.process.noised(&x0, &times, &Value::float(draws.normal(&shape), &shape, &device)?)?;
        // The mean of what it would be trained on otherwise, without its variance.
        let wanted = teacher.predict(&x, &times, &nothing)?;
        let said = teacher.with_module(trained.module.clone()).predict(&x, &times, &nothing)?;
        let gradients = parameter_gradients(said.minus(&wanted).square().mean(), &trained.module);
        trained.update(gradients);
    }
    for (name, (shape, values)) in trained.module.weights()? {
        let weight = dmdx_graph::Weight::from_f32(&values, shape)?;
        graph.set_weight(&name, weight).map_err(build)?;
    }
    Ok(graph)
}
