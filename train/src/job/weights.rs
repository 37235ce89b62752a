//! The weights of a student: a whole network, or the teacher's with the factors that were trained beside them.

use std::collections::BTreeMap;

use dmdx_graph::Weight;
use dmdx_graph::weights::WeightExpr;
use serde_json::{Value as Json, json};

use super::distillation::Distillation;
use crate::error::{NetworkError, TrainError};
use crate::method::GENERATOR;
use crate::module::{Layer, LowRank};
use crate::recipe::LoraRole;
use crate::store::StoredState;
use crate::store::tensor_file::Entry;

/// What a run has trained, under the names and in the shapes of the reference library, tensor by tensor.
pub(super) struct StudentWeights<'a> {
    job: &'a Distillation,
    state: &'a StoredState,
    factors: Option<(LowRank, Vec<Layer>)>,
}

impl<'a> StudentWeights<'a> {
    /// Those of a state.
    ///
    /// # Errors
    /// [`TrainError::NoStudent`] where the state holds no generator.
    pub(super) fn new(job: &'a Distillation, state: &'a StoredState) -> Result<Self, TrainError> {
        if state.under(GENERATOR).next().is_none() {
            return Err(TrainError::NoStudent { reason: format!("the last phase trained no {GENERATOR}") });
        }
        Ok(Self { job, state, factors: job.materials().factors(LoraRole::Generator)? })
    }

    /// Name and shape of every weight of the whole network.
    pub(super) fn network(&self) -> Result<Vec<Entry>, TrainError> {
        let entry = |name: &str, shape: &[usize]| Entry::f32(name.to_string(), shape.to_vec());
        if self.factors.is_none() {
            return Ok(self.state.under(GENERATOR).map(|(name, shape)| entry(name, shape)).collect());
        }
        let params = self.job.teacher.graph()?.params().iter();
        let is_float = |weight: &Weight| weight.dtype().is_float();
        let floats = params.filter(|(_, param)| param.weight.as_ref().is_some_and(is_float));
        Ok(floats.map(|(name, param)| entry(name, &param.shape)).collect())
    }

    /// One weight of the whole network. Factors are multiplied out and added in f64, one tensor at a time, and rounded once.
    pub(super) fn weight(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let Some((low_rank, layers)) = &self.factors else { return self.trained(name) };
        let graph = self.job.teacher.graph()?;
        let base = match &self.job.init {
            Some(init) => init.weight(name)?,
            None => graph.params().get(name).and_then(|param| param.weight.clone()),
        };
        let no_weight = || NetworkError::NoWeight { network: graph.name().to_string(), parameter: name.to_string() };
        let base = base.ok_or_else(no_weight)?;
        let Some(layer) = layers.iter().find(|layer| layer.weight() == name) else { return Ok(base.to_f32()) };
        // A kernel counts as inputs.
        let matrix = |(name, shape): (String, &[usize])| {
            let sizes = vec![shape[0], shape[1..].iter().product()];
            Ok(Weight::from_f32(&self.trained(&name)?, sizes)?)
        };
        let factors = layer.parameters().map(matrix).collect::<Result<Vec<_>, TrainError>>()?;
        let [down, up] = <[Weight; 2]>::try_from(factors).map_err(|_| no_weight())?;
        Ok(WeightExpr::low_rank(base, up, down, low_rank.scale())?.to_f32())
    }

    /// One tensor as it was trained.
    fn trained(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        self.state.tensor(&format!("{GENERATOR}.{name}"))
    }

    /// The file that the reference library loads with `load_lora_weights`: factors under `prefix`, and its metadata.
    pub(super) fn lora(&self, prefix: &str) -> Option<LoraFile<'_>> {
        let (low_rank, layers) = self.factors.as_ref()?;
        Some(LoraFile { weights: self, prefix: prefix.to_string(), low_rank, layers })
    }
}

/// The factors as a file of the reference library.
pub(super) struct LoraFile<'a> {
    weights: &'a StudentWeights<'a>,
    prefix: String,
    low_rank: &'a LowRank,
    layers: &'a [Layer],
}

impl LoraFile<'_> {
    /// Paths of the layers in the network.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.module.as_str())
    }

    /// Name and shape of every tensor.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let of = |(name, shape): (String, &[usize])| Entry::f32(format!("{}.{name}", self.prefix), shape.to_vec());
        self.layers.iter().flat_map(|layer| layer.parameters().map(of).collect::<Vec<_>>()).collect()
    }

    /// One of them.
    pub(super) fn tensor(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        let own = name.strip_prefix(&format!("{}.", self.prefix));
        self.weights.trained(own.unwrap_or(name))
    }

    /// What the file says of itself: rank and alpha stand in PEFT's settings, since the reference library refuses files of
    /// SD3's kind that have tensors for them.
    pub(super) fn metadata(&self) -> Result<BTreeMap<String, String>, TrainError> {
        let settings = json!({
            "peft_type": "LORA",
            "r": self.low_rank.rank,
            "lora_alpha": self.low_rank.alpha,
            "target_modules": self.modules().collect::<Vec<_>>(),
            "lora_dropout": 0.0,
            "bias": "none",
            "rank_pattern": {},
            "alpha_pattern": {},
            "use_rslora": false,
            "use_dora": false,
        });
        let named = settings.as_object().into_iter().flatten();
        let named: BTreeMap<String, &Json> = named.map(|(key, value)| (format!("{}.{key}", self.prefix), value)).collect();
        let text =
            serde_json::to_string_pretty(&named).map_err(|error| TrainError::json("the settings of a LoRA file", &error))?;
        Ok([("format", "pt".to_string()), ("lora_adapter_metadata", text)].map(|(key, text)| (key.to_string(), text)).into())
    }
}
