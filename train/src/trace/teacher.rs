//! The teacher of a trace: the zoo's, and the roles that start from it perturbed by the recorded rule.

use std::path::Path;

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::{Component, ImportOptions, import};
use dmdx_runtime::family::{self, Family};
use dmdx_runtime::process::Process;
use dmdx_runtime::scheduler;

use super::recorded::Trace;
use crate::diffusion::{ConditionBatch, ConditionPair, Denoiser, Ports};
use crate::discriminator::{Classifier, FeatureLayout, HeadLayout, Heads, LatentDiscriminator, Tap, find_taps};
use crate::error::{TraceDefect, TrainError};
use crate::module::{AdamSettings, GraphModule, Layer, LowRank, Trained, Value, Weights};
use crate::recipe::HeadOutput;
use crate::store::Parameters;

/// How the traces' heads are built.
pub(crate) const LAYOUT: HeadLayout = HeadLayout { width: 16, groups: 4, min_size: 4, output: HeadOutput::Scalar };

/// A component of the zoo.
pub(crate) fn component(zoo: &Path, name: &str) -> Result<Component, TrainError> {
    let wrap = |error| TrainError::component(format!("importing {name} of the zoo"), error);
    import(&zoo.join(name), &ImportOptions::default()).map_err(wrap)
}

/// One of its graphs.
pub(crate) fn part<'c>(trace: &Trace, component: &'c Component, name: &str) -> Result<&'c Graph, TrainError> {
    let defect = || TraceDefect::Part { part: name.to_string(), class: component.class.clone() };
    component.parts.get(name).ok_or_else(|| trace.defect(defect()))
}

/// The teacher that a trace names.
pub(crate) struct Teacher {
    component: Component,
    kind: Kind,
    family: &'static dyn Family,
    pub(crate) denoiser: Denoiser,
    /// There where the trace trains low-rank factors: what they are, and their first values of each role.
    factors: Option<(LowRank, [Weights; 2])>,
}

/// The roles that may have factors, each with the k that it is perturbed by where it has none.
const ROLES: [(f64, &str); 2] = [(1.0, "generator"), (2.0, "fake_score")];

impl Teacher {
    pub(crate) fn open(trace: &Trace, zoo: &Path, device: &Device) -> Result<Self, TrainError> {
        let component = component(zoo, trace.teacher())?;
        let kind = Kind::of(trace, &component)?;
        let family = family::of_class(kind.pipeline)?;
        let module = GraphModule::new(part(trace, &component, family.denoiser().part)?, device, false)?;
        let denoiser = Denoiser { module, process: kind.process()?.into(), ports: Ports::of(family.denoiser()) };
        let factors = match trace.option("lora").is_null() {
            true => None,
            false => Some(factors(trace, family.denoiser().folder)?),
        };
        Ok(Self { component, kind, family, denoiser, factors })
    }

    fn graph(&self, trace: &Trace) -> Result<&Graph, TrainError> {
        part(trace, &self.component, self.family.denoiser().part)
    }

    /// A trained role, which `k` names: `w += 0.02 std(w) sin(0.37 i + k)` in f64, rounded once; what is not trained stays.
    /// Where the trace trains factors, the weights stay as they are and the factors begin as recorded.
    pub(crate) fn role(&self, k: f64, settings: AdamSettings) -> Result<Trained, TrainError> {
        if let Some((low_rank, starts)) = &self.factors {
            let start = ROLES.iter().zip(starts).find(|((own, _), _)| *own == k);
            let recorded = |name: String| start.and_then(|(_, start)| Some(start.get(&name)?.1.clone())).unwrap_or_default();
            let start = |layer: &Layer| {
                let mut names = layer.parameters().map(|(name, _)| recorded(name));
                Ok([names.next().unwrap_or_default(), names.next().unwrap_or_default()])
            };
            return Ok(Trained::new(self.denoiser.module.with_factors(low_rank, start)?, settings));
        }
        let mut module = self.denoiser.trainable_copy();
        for (name, _) in module.parameters().into_iter().filter(|(name, _)| !self.denoiser.ports.buffers.contains(&name.as_str()))
        {
            let mut values = module.parameter(&name)?;
            let count = values.len() as f64;
            let mean = values.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
            let variance = values.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / count;
            for (i, w) in values.iter_mut().enumerate() {
                *w = (f64::from(*w) + 0.02 * variance.sqrt() * (0.37 * i as f64 + k).sin()) as f32;
            }
            module.set_parameter(&name, values)?;
        }
        Ok(Trained::new(module, settings))
    }

    /// The latent discriminator with the trace's heads on its taps.
    pub(crate) fn discriminator(
        &self,
        trace: &Trace,
        settings: AdamSettings,
        device: &Device,
    ) -> Result<LatentDiscriminator, TrainError> {
        let (taps, layout, heads) = self.heads(trace, settings, device)?;
        LatentDiscriminator::new(&self.denoiser, self.graph(trace)?, &taps, layout, heads)
    }

    /// The classifier with the trace's heads on its taps.
    pub(crate) fn classifier(&self, trace: &Trace, settings: AdamSettings, device: &Device) -> Result<Classifier, TrainError> {
        let (taps, layout, heads) = self.heads(trace, settings, device)?;
        Ok(Classifier::new(&taps, layout, heads))
    }

    fn heads(
        &self,
        trace: &Trace,
        settings: AdamSettings,
        device: &Device,
    ) -> Result<(Vec<Tap>, FeatureLayout, Heads), TrainError> {
        let names = trace.texts("taps")?;
        let latent = trace.sizes("latent")?;
        let grid = self.family.token_grid(&self.component.config, latent.get(1..).unwrap_or_default());
        let layout = grid.map_or(FeatureLayout::ChannelsFirst, FeatureLayout::Tokens);
        let inputs = [(self.denoiser.ports.sample, latent)];
        let taps = find_taps(self.graph(trace)?, &names, &inputs, &layout, "taps")?;
        let weights = trace.heads(|name| names.iter().any(|tap| name.starts_with(&format!("{tap}."))));
        let heads = Heads::with_weights(&taps, LAYOUT, &weights, settings, device)?;
        Ok((taps, layout, heads))
    }

    /// The trace's conditions; where it records no unconditional ones, those are zeros.
    pub(crate) fn conditions(&self, trace: &Trace, device: &Device) -> Result<ConditionPair, TrainError> {
        let (told, sizes) = (self.texts(trace, "in.", device)?, self.sizes(trace, "in.", device)?);
        let without: Vec<(String, Value)> = match trace.has("in.uncond.prompt") {
            true => self.texts(trace, "in.uncond.", device)?,
            false => told.iter().map(|(name, value)| (name.clone(), value.zeros_like())).collect(),
        };
        let condition = |texts: Vec<(String, Value)>| ConditionBatch::new(texts.into_iter().chain(sizes.clone()).collect());
        Ok(ConditionPair { conditional: condition(told), unconditional: condition(without) })
    }

    /// One of the trace's conditions.
    pub(crate) fn condition(&self, trace: &Trace, prefix: &str, device: &Device) -> Result<ConditionBatch, TrainError> {
        let texts = self.texts(trace, prefix, device)?;
        Ok(ConditionBatch::new(texts.into_iter().chain(self.sizes(trace, prefix, device)?).collect()))
    }

    fn texts(&self, trace: &Trace, prefix: &str, device: &Device) -> Result<Vec<(String, Value)>, TrainError> {
        let value = |(input, key): &(&str, &str)| Ok(((*input).to_string(), trace.value(&format!("{prefix}{key}"), device)?));
        self.kind.texts.iter().map(value).collect()
    }

    fn sizes(&self, trace: &Trace, prefix: &str, device: &Device) -> Result<Vec<(String, Value)>, TrainError> {
        let value = |input: &&str| Ok(((*input).to_string(), trace.value(&format!("{prefix}{input}"), device)?));
        self.kind.sizes.iter().map(value).collect()
    }
}

/// The factors of a trace: on the layers that it records first values of, whose names begin with the component's.
fn factors(trace: &Trace, component: &str) -> Result<(LowRank, [Weights; 2]), TrainError> {
    let of_role = |(_, role): (f64, &str)| trace.weights(&format!("lora.{role}.{component}."));
    let starts = ROLES.map(of_role);
    let number = |key: &str| trace.option("lora")[key].as_f64().ok_or_else(|| trace.lacks(&format!("the option lora.{key}")));
    let (rank, alpha) = (number("rank")? as usize, number("alpha")?);
    let targets = starts[0].keys().filter_map(|name| Some(name.strip_suffix(".lora_A.weight")?.to_string())).collect();
    Ok((LowRank { rank, alpha, targets, is_common: false }, starts))
}

/// What the replay knows of one class of denoising networks.
#[derive(Clone, Copy)]
struct Kind {
    class: &'static str,
    /// The class of pipelines that it is a denoiser of.
    pipeline: &'static str,
    /// Inputs made of texts, and what the trace calls them.
    texts: &'static [(&'static str, &'static str)],
    /// Inputs that do not depend on the texts.
    sizes: &'static [&'static str],
    /// The scheduler's configuration of the released model.
    scheduler: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        class: "UNet2DConditionModel",
        pipeline: "StableDiffusionXLPipeline",
        texts: &[("encoder_hidden_states", "prompt"), ("text_embeds", "pooled")],
        sizes: &["time_ids"],
        scheduler: r#"{"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}"#,
    },
    Kind {
        class: "SD3Transformer2DModel",
        pipeline: "StableDiffusion3Pipeline",
        texts: &[("encoder_hidden_states", "prompt"), ("pooled_projections", "pooled")],
        sizes: &[],
        scheduler: r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}"#,
    },
    Kind {
        class: "CogVideoXTransformer3DModel",
        pipeline: "CogVideoXPipeline",
        texts: &[("encoder_hidden_states", "prompt")],
        sizes: &[],
        scheduler: r#"{"_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085,
            "beta_end": 0.012, "prediction_type": "v_prediction", "snr_shift_scale": 3.0, "rescale_betas_zero_snr": true}"#,
    },
];

impl Kind {
    fn of(trace: &Trace, component: &Component) -> Result<Self, TrainError> {
        let known = || KINDS.map(|kind| kind.class).join(", ");
        let found = KINDS.into_iter().find(|kind| kind.class == component.class);
        let defect = || TraceDefect::Teacher { class: component.class.clone(), known: known() };
        found.ok_or_else(|| trace.defect(defect()))
    }

    /// The process of the released models: SDXL's, SD3's, CogVideoX-2b's.
    fn process(&self) -> Result<Process, TrainError> {
        let config = serde_json::from_str(self.scheduler)
            .map_err(|error| TrainError::component(format!("reading the scheduler of {}", self.pipeline), error))?;
        Ok(scheduler::process(&config)?)
    }
}
