//! The networks of a trace: the zoo's, generator and fake score perturbed by the recorded rule.

use std::path::Path;

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::{Component, ImportOptions, import};

use super::trace::Trace;
use crate::diffusion::{Condition, Conditions, Denoiser, Prediction, Schedule};
use crate::discriminator::{HeadLayout, Heads, LatentDiscriminator, feature_shapes, last_resnets};
use crate::error::TrainError;
use crate::module::{AdamSettings, GraphModule, Trained};
use crate::recipe::HeadOutput;
use crate::store::Parameters;

/// How the traces' heads are built.
pub(super) const LAYOUT: HeadLayout = HeadLayout { width: 16, groups: 4, min_size: 4, output: HeadOutput::Scalar };

/// A component of the zoo.
pub(super) fn component(zoo: &Path, name: &str) -> Result<Component, TrainError> {
    let wrap = |error| TrainError::component(format!("importing {name} of the zoo"), error);
    import(&zoo.join(name), &ImportOptions::default()).map_err(wrap)
}

/// One of its graphs.
pub(super) fn part<'c>(component: &'c Component, name: &str) -> Result<&'c Graph, TrainError> {
    component.parts.get(name).ok_or_else(|| TrainError::Invalid(format!("{} has no {name}", component.class)))
}

/// The teacher of the SDXL kind and its graph.
pub(super) struct Teacher {
    pub(super) component: Component,
    pub(super) denoiser: Denoiser,
}

impl Teacher {
    pub(super) fn open(zoo: &Path, device: &Device) -> Result<Self, TrainError> {
        let component = component(zoo, "unet_sdxl")?;
        let module = GraphModule::new(part(&component, "unet")?, device, false)?;
        let schedule = Schedule::stable_diffusion(Prediction::Epsilon)?;
        Ok(Self { component, denoiser: Denoiser { module, schedule } })
    }

    pub(super) fn graph(&self) -> Result<&Graph, TrainError> {
        part(&self.component, "unet")
    }

    /// A trained role: `w += 0.02 std(w) sin(0.37 i + k)` in f64, rounded once.
    pub(super) fn role(&self, k: f64, settings: AdamSettings) -> Result<Trained, TrainError> {
        let mut module = self.denoiser.module.trainable_copy();
        for (name, _) in module.parameters() {
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

    /// The latent discriminator with the trace's heads.
    pub(super) fn discriminator(
        &self,
        trace: &Trace,
        settings: AdamSettings,
        device: &Device,
    ) -> Result<LatentDiscriminator, TrainError> {
        let graph = self.graph()?;
        let taps = last_resnets(graph);
        let latent = trace.tensors().get("draws.g.z").or(trace.tensors().get("in.x_0")).map(|(shape, _)| shape.clone());
        let shapes = feature_shapes(graph, &taps, &[("sample", latent.unwrap_or_default())], false)?;
        let weights = trace.heads(|name| taps.iter().any(|tap| name.starts_with(tap.as_str())));
        let heads = Heads::with_weights(&shapes, LAYOUT, &weights, settings, device)?;
        LatentDiscriminator::new(&self.denoiser, graph, &taps, heads)
    }
}

/// The trace's condition, and zeros with the same sizes beside it.
pub(super) fn conditions(trace: &Trace, device: &Device) -> Result<Conditions, TrainError> {
    let (text, pooled, sizes) =
        (trace.value("in.prompt", device)?, trace.value("in.pooled", device)?, trace.value("in.time_ids", device)?);
    let condition = |text, pooled| {
        let named = [("encoder_hidden_states", text), ("text_embeds", pooled), ("time_ids", sizes.clone())];
        Condition::new(named.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    };
    Ok(Conditions { unconditional: condition(text.zeros_like(), pooled.zeros_like()), conditional: condition(text, pooled) })
}
