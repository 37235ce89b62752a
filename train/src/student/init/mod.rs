//! What a run's student begins with instead of its teacher: a student on the disk, looked at before anything is trained.
//!
//! It is a key of `[student]` and not of the methods: only the first phase of a run can begin anywhere, since each later one
//! goes on from the phase before; what has to go with the weights, the meaning of their output and their times, is the
//! student's too.

mod fit;
mod open;
mod place;
mod settle;

use dmdx_graph::{Graph, Weight};

use crate::error::TrainError;
use crate::store::{GENERATOR, Parameters, StoredState};

pub use open::Teaching;

/// What the reference library calls low-rank factors.
pub(crate) const LORA_WEIGHTS: &str = "pytorch_lora_weights.safetensors";

/// The recipe key that names it.
pub(super) const KEY: &str = "student.init";
/// The recipe key of what its output means.
pub(super) const PARAMETERISATION: &str = "student.init_parameterisation";

/// A student to begin with. Its weights stay in their files until they are asked for.
#[derive(Debug)]
pub struct Init {
    weights: Weights,
    /// SHA-256 of the files that count.
    pub sha256: String,
}

#[derive(Debug)]
enum Weights {
    /// The generator of a run's checkpoint.
    Checkpoint(Box<StoredState>),
    /// An imported network.
    Network(Box<Graph>),
}

impl Init {
    /// Puts its weights into a network that has the teacher's, tensor by tensor.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where one is missing or not finite; those of reading.
    pub fn load(&self, network: &mut dyn Parameters) -> Result<(), TrainError> {
        let graph = match &self.weights {
            Weights::Checkpoint(state) => return state.load_weights(GENERATOR, network),
            Weights::Network(graph) => graph,
        };
        for (name, _) in network.parameters() {
            let weight = graph.params().get(name.as_str()).and_then(|param| param.weight.as_ref());
            let weight = weight.ok_or_else(|| refused(format!("has no tensor {name}")))?;
            let values = weight.to_f32();
            if !values.iter().all(|value| value.is_finite()) {
                return Err(refused(format!("holds values in {name} that are not finite")));
            }
            network.set_parameter(&name, values)?;
        }
        Ok(())
    }
}

impl Init {
    /// One of its weights; none where it has none of that name.
    ///
    /// # Errors
    /// Those of reading.
    pub fn weight(&self, name: &str) -> Result<Option<Weight>, TrainError> {
        match &self.weights {
            Weights::Network(graph) => Ok(graph.params().get(name).and_then(|param| param.weight.clone())),
            Weights::Checkpoint(state) => {
                let found = state.under(GENERATOR).find(|(own, _)| *own == name);
                let weight = |(_, shape): (&str, &[usize])| {
                    let values = state.tensor(&format!("{GENERATOR}.{name}"))?;
                    Ok(Weight::from_f32(&values, shape.to_vec())?)
                };
                found.map(weight).transpose()
            }
        }
    }
}

fn refused(problem: impl Into<String>) -> TrainError {
    TrainError::recipe(KEY, problem)
}
