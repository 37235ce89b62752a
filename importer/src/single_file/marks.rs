//! What a file says of what its network predicts, which no shape shows: empty tensors that training and merging programs
//! leave (as ComfyUI and its kin read them), and metadata in the manner of modelspec.

use std::collections::BTreeMap;

use dmdx_graph::Weight;

use crate::hf::tensors::Tensors;
use crate::original::marks;

/// What the last entry of a noise table is at most where it ends at a signal-to-noise ratio of zero; the released table
/// ends at 0.00466.
const ZERO: f64 = 1e-6;

/// What a network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prediction {
    Epsilon,
    Velocity,
}

impl Prediction {
    /// diffusers' `prediction_type`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Prediction::Epsilon => "epsilon",
            Prediction::Velocity => "v_prediction",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Prediction::Epsilon => "noise (epsilon)",
            Prediction::Velocity => "velocity",
        }
    }
}

/// What a file says; beside every word what says so.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub prediction: Option<(Prediction, String)>,
    /// The noise ends at a signal-to-noise ratio of zero.
    pub zero_snr: Option<String>,
    /// The network is preconditioned as in EDM.
    pub edm: Option<String>,
    /// A prediction that has another name.
    pub unknown: Option<String>,
    /// What is said twice and differently.
    pub contradictions: Vec<String>,
}

impl Marks {
    /// Reads them; tensors win over metadata, which merging programs copy from one of the models.
    pub(super) fn read(tensors: &Tensors) -> Self {
        let has = |name: &str| tensors.weights.contains_key(name);
        let mut found = Marks::default();
        if has(marks::VELOCITY) {
            found.says(Prediction::Velocity, format!("the tensor `{}`", marks::VELOCITY));
        }
        for (key, value) in &tensors.metadata {
            let text: String = value.trim().chars().take(80).collect();
            let by = format!("`{key}` = {text:?} in its metadata");
            match (key.as_str(), text.to_ascii_lowercase().as_str()) {
                ("modelspec.prediction_type", "epsilon" | "eps") => found.says(Prediction::Epsilon, by),
                ("modelspec.prediction_type", "v" | "v_prediction" | "v-prediction" | "velocity") => {
                    found.says(Prediction::Velocity, by);
                }
                ("modelspec.prediction_type", other) if !other.is_empty() => found.unknown = Some(by),
                ("modelspec.architecture", name) if name.starts_with("stable-diffusion-v2-768-v") => {
                    found.says(Prediction::Velocity, by);
                }
                ("modelspec.architecture", name) if name.starts_with("stable-diffusion-v2-512") => {
                    found.says(Prediction::Epsilon, by);
                }
                ("ss_v_parameterization", "true") => found.says(Prediction::Velocity, by),
                ("ss_zero_terminal_snr", "true") => found.zero_snr = Some(by),
                _ => {}
            }
        }
        if has(marks::ZERO_SNR) {
            found.zero_snr = Some(format!("the tensor `{}`", marks::ZERO_SNR));
        } else if table_end(&tensors.weights).is_some_and(|last| last <= ZERO) {
            found.zero_snr = Some(format!("the end of its table `{}`", marks::TABLE));
        }
        let edm: Vec<String> = marks::EDM.iter().filter(|name| has(name)).map(|name| format!("`{name}`")).collect();
        found.edm = (!edm.is_empty()).then(|| edm.join(", "));
        found
    }

    /// The first word counts.
    fn says(&mut self, prediction: Prediction, by: String) {
        match &self.prediction {
            None => self.prediction = Some((prediction, by)),
            Some((first, _)) if *first == prediction => {}
            Some((first, first_by)) => self.contradictions.push(format!(
                "{first_by} says that the network predicts {}, which is believed; {by} says {}",
                first.words(),
                prediction.words()
            )),
        }
    }

    /// What the file says, for the user.
    pub(super) fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some((prediction, by)) = &self.prediction {
            sentences.push(format!("the network predicts {}: {by} says so", prediction.words()));
        }
        sentences
            .extend(self.zero_snr.iter().map(|by| format!("the noise ends at a signal-to-noise ratio of zero: {by} says so")));
        sentences.extend(self.unknown.iter().map(|by| format!("{by} is no prediction that is known")));
        sentences.extend(self.contradictions.iter().cloned());
        sentences
    }
}

/// The last entry of the noise table in the file.
fn table_end(weights: &BTreeMap<String, Weight>) -> Option<f64> {
    let table =
        weights.get(marks::TABLE).filter(|table| table.dtype().is_float() && (2..=100_000).contains(&table.elements()))?;
    table.to_f64().last().copied()
}
