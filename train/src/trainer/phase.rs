//! What the trainer asks of a training phase, and the state that a phase saves.

use std::collections::BTreeMap;

use crate::error::TrainError;

/// The numbers of one iteration by name, in the order of the names.
///
/// Names with a meaning to the trainer: `loss_*` are drawn in `loss.png`; `latent_mean`, `latent_std`, `brightness`
/// and `discriminator_accuracy` are watched by [`super::health`]. Every value must be finite.
pub type Metrics = BTreeMap<String, f64>;

/// One training phase (ADP, ADM, …): the trainer drives it, the method implements it.
///
/// All randomness of iteration `index` comes from [`super::draws::Draws`] of (seed, phase, `index`), so that an
/// iteration depends on nothing but the state and its index, and a resumed run repeats the bytes of an uninterrupted one.
pub trait Phase {
    /// The phase's name: the key of its checkpoints, metrics and draws.
    fn name(&self) -> &'static str;

    /// How many iterations the phase has.
    fn iterations(&self) -> u64;

    /// Runs iteration `index` (from 0) and returns its numbers.
    fn iteration(&mut self, index: u64) -> Result<Metrics, TrainError>;

    /// Everything that the next iteration depends on, besides the recipe and the data: every trained role's weights,
    /// every optimizer's second moments and step counts.
    fn state(&self) -> Result<State, TrainError>;

    /// Puts back what [`Phase::state`] returned.
    ///
    /// # Errors
    /// [`TrainError::State`] where a tensor or counter is missing, unexpected or of another shape.
    fn load_state(&mut self, state: &State) -> Result<(), TrainError>;
}

/// A phase's state: named f32 tensors and integer counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Tensors by name, role first (`generator.conv_in.weight`, `generator_optimizer.conv_in.weight`).
    pub tensors: BTreeMap<String, StateTensor>,
    /// Integers by name, for instance optimizer step counts.
    pub counters: BTreeMap<String, u64>,
}

/// An f32 tensor on the host, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateTensor {
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many values as the shape's product.
    pub values: Vec<f32>,
}

impl StateTensor {
    /// A tensor of `shape` holding `values`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] where the count of values is not the shape's product.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Result<Self, TrainError> {
        let wanted = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
        if wanted != Some(values.len()) {
            return Err(TrainError::Invalid(format!("a tensor of shape {shape:?} cannot hold {} values", values.len())));
        }
        Ok(Self { shape, values })
    }
}

impl State {
    /// The tensors whose names begin with `prefix` and a dot, under the rest of their names.
    pub fn role<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a StateTensor)> {
        self.tensors.iter().filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?.strip_prefix('.')?, tensor)))
    }

    /// The counter called `name`.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none.
    pub fn counter(&self, phase: &str, name: &str) -> Result<u64, TrainError> {
        self.counters
            .get(name)
            .copied()
            .ok_or_else(|| TrainError::State { phase: phase.to_string(), reason: format!("counter {name} is missing") })
    }

    /// The tensor called `name`, checked to have `shape`.
    ///
    /// # Errors
    /// [`TrainError::State`] where there is none or its shape is another.
    pub fn tensor(&self, phase: &str, name: &str, shape: &[usize]) -> Result<&StateTensor, TrainError> {
        let fail = |reason| TrainError::State { phase: phase.to_string(), reason };
        let tensor = self.tensors.get(name).ok_or_else(|| fail(format!("tensor {name} is missing")))?;
        if tensor.shape != shape {
            return Err(fail(format!("tensor {name} has shape {:?}, not {shape:?}", tensor.shape)));
        }
        Ok(tensor)
    }
}
