//! A phase without networks: weights that follow random targets, with a second moment.

use std::path::Path;
use std::time::Duration;

use dmdx_train::TrainError;
use dmdx_train::method::sections;
use dmdx_train::recipe::{LoadedRecipe, Recipe};
use dmdx_train::report::Manifest;
use dmdx_train::session::logs::{LoggedPicture, Metrics};
use dmdx_train::session::{Draws, Interrupt, RunFolder};
use dmdx_train::store::{NamedRoles, Parameters, Role, StoredState};
use dmdx_train::trainer::{self, Finished, Glance, Phase, PhaseSlot, Seen};

use super::events;

pub const RECIPE: &str = r#"
[teacher]
path = "."
guidance = [1.0, 2.0]
[prompts]
list = ["one"]
[adp]
iterations = 23
lambda_pixel = 0.0
[adm]
iterations = 17
[checkpoint]
every = 5
keep = 2
[run]
sample_every = 7
"#;

pub fn recipe(overrides: &[&str]) -> Recipe {
    loaded(overrides).recipe
}

pub fn loaded(overrides: &[&str]) -> LoadedRecipe {
    let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
    LoadedRecipe::parse(RECIPE, Path::new("toy.toml"), &overrides, &sections()).unwrap()
}

pub struct Toy {
    pub name: &'static str,
    pub iterations: u64,
    pub pause: Duration,
    pub poison: Option<u64>,
    pub generator: ToyRole,
}

/// One tensor `w` and its second moment, on the host.
pub struct ToyRole {
    pub weights: Vec<f32>,
    pub moments: Vec<f32>,
    pub steps: u64,
}

/// Weights of the toy: enough for a checkpoint to take a while.
pub const WEIGHTS: usize = 50_000;

impl Toy {
    pub fn new(name: &'static str, iterations: u64, previous: Option<&StoredState>) -> Result<Self, TrainError> {
        let mut generator = ToyRole { weights: vec![0.0; WEIGHTS], moments: vec![0.0; WEIGHTS], steps: 0 };
        if let Some(state) = previous {
            state.load_weights("generator", &mut generator)?;
        }
        Ok(Self { name, iterations, pause: Duration::ZERO, poison: None, generator })
    }
}

impl Parameters for ToyRole {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        vec![("w".to_string(), vec![WEIGHTS / 100, 100])]
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        assert_eq!(name, "w");
        Ok(self.weights.clone())
    }

    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        assert_eq!((name, values.len()), ("w", WEIGHTS));
        self.weights = values;
        Ok(())
    }
}

impl Role for ToyRole {
    fn moments(&self) -> Vec<String> {
        vec!["w".to_string()]
    }

    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        assert_eq!(name, "w");
        Ok(self.moments.clone())
    }

    fn set_moment(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        assert_eq!((name, values.len()), ("w", WEIGHTS));
        self.moments = values;
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn restart(&mut self, steps: u64) {
        (self.moments, self.steps) = (Vec::new(), steps);
    }
}

impl Phase for Toy {
    fn name(&self) -> &'static str {
        self.name
    }

    fn iterations(&self) -> u64 {
        self.iterations
    }

    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError> {
        std::thread::sleep(self.pause);
        let target = Draws::new(7, self.name, index).normal(&[WEIGHTS]);
        let role = &mut self.generator;
        let mut loss = 0.0;
        for ((weight, moment), target) in role.weights.iter_mut().zip(&mut role.moments).zip(target) {
            let gradient = *weight - target;
            *moment = 0.99 * *moment + 0.01 * gradient * gradient;
            *weight -= 1e-2 * gradient / (moment.sqrt() + 1e-8);
            loss += f64::from(gradient * gradient) / WEIGHTS as f64;
        }
        role.steps += 1;
        if self.poison == Some(index) {
            role.weights[3] = f32::NAN;
        }
        Ok(Metrics::from([("loss_toy".to_string(), loss), ("latent_std".to_string(), 1.0)]))
    }

    fn samples(&self) -> usize {
        4
    }

    /// Pictures of noise, brighter by what was learnt.
    fn draw(&self, _: usize, noise: &[f32], prompts: &[u32]) -> Result<Vec<f32>, TrainError> {
        assert_eq!(noise.len() % prompts.len(), 0);
        Ok(noise.iter().map(|value| value + self.generator.weights[0]).collect())
    }

    fn trained_roles(&mut self) -> NamedRoles<'_> {
        vec![("generator", &mut self.generator)]
    }
}

pub fn slots<'a>(recipe: &Recipe, pause: Duration) -> Vec<PhaseSlot<'a>> {
    let slot = |name: &'static str, iterations: u64| PhaseSlot {
        name,
        student: None,
        build: Box::new(move |previous| {
            let mut toy = Toy::new(name, iterations, previous)?;
            toy.pause = pause;
            Ok(Box::new(toy) as Box<dyn Phase>)
        }),
    };
    vec![slot("adp", recipe.iterations("adp")), slot("adm", recipe.iterations("adm"))]
}

/// A whole run as the command does it: folder, manifest, phases.
pub fn run(
    path: &Path,
    resume: bool,
    overrides: &[&str],
    interrupt: &Interrupt,
    pause: Duration,
) -> Result<Finished, TrainError> {
    let loaded = loaded(overrides);
    let folder = if resume { RunFolder::resume(path)? } else { RunFolder::create(path)? };
    let manifest = Manifest::new(&loaded)?;
    if let Some(stored) = Manifest::read(&folder.manifest())? {
        stored.check_resume(&manifest)?;
    }
    manifest.write(&folder.manifest())?;
    trainer::run(&folder, &loaded.recipe, interrupt, slots(&loaded.recipe, pause), &mut look)
}

/// A look that sees one number and one pixel.
pub fn look(phase: &dyn Phase, iteration: u64, glance: Glance) -> Result<Seen, TrainError> {
    if glance == Glance::Health {
        return Ok(Seen { numbers: Metrics::new(), picture: None });
    }
    let drawn = phase.draw(0, &[0.0], &[0])?;
    let numbers =
        Metrics::from([("spread".to_string(), 10.0 + f64::from(drawn[0])), ("seen_after".to_string(), iteration as f64)]);
    Ok(Seen { numbers, picture: Some(LoggedPicture { width: 1, height: 1, png: vec![1, 2, 3] }) })
}

/// Every file of a run that must not depend on interruptions, by its path.
pub fn files(path: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for folder in ["", "checkpoints", "samples", "tensorboard"] {
        for entry in std::fs::read_dir(path.join(folder)).unwrap() {
            let file = entry.unwrap().path();
            let name = file.strip_prefix(path).unwrap().to_str().unwrap().to_string();
            if file.is_file()
                && let Some(bytes) = events::lasting(&name, std::fs::read(&file).unwrap())
            {
                found.insert(name, bytes);
            }
        }
    }
    found
}
