//! What a bundle needs to know about the checkpoint it comes from.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::ir::{Output, Symbol};
use dmdx_graph::{DType, Graph};
use dmdx_importer::{Component, Pipeline};
use dmdx_runtime::bundle::manifest::{Unconditional, VaeScaling};
use dmdx_runtime::process::{NoiseSchedule, Parameterisation};
use dmdx_runtime::scheduler;
use serde_json::Value;

use crate::error::{ExportError, Result};
use crate::options::Names;

/// One model of a bundle.
pub(crate) struct SourceModel {
    /// Folder in the bundle.
    pub folder: String,
    /// The component's `config.json`, byte for byte.
    pub config_text: String,
    /// The network, with the outputs that the bundle offers.
    pub graph: Graph,
    /// Public names.
    pub names: Names,
    /// Sizes of symbols in the pipeline's own resolution.
    pub sizes: BTreeMap<Symbol, usize>,
}

/// Facts for the manifest.
pub(crate) struct Facts {
    pub parameterisation: Parameterisation,
    pub schedule: NoiseSchedule,
    pub unconditional: Unconditional,
    pub latent_shape: Vec<usize>,
    pub vae: VaeScaling,
    pub time_ids: Option<Vec<f64>>,
    pub licence: String,
}

/// Pipelines that can become a bundle.
const PIPELINES: [&str; 2] = ["StableDiffusionXLPipeline", "StableDiffusionPipeline"];

/// Interpreting a network exactly is slow; verification runs on at most this latent size.
const VERIFIED_LATENT: usize = 16;

/// Reads facts and networks out of an imported pipeline.
pub(crate) struct Source<'p> {
    pub name: &'p str,
    pub pipeline: &'p Pipeline,
}

impl Source<'_> {
    fn fail(&self, problem: impl Into<String>) -> ExportError {
        ExportError::Source { source_name: self.name.into(), problem: problem.into() }
    }

    fn component(&self, folder: &str) -> Result<&Component> {
        self.pipeline.components.get(folder).ok_or_else(|| self.fail(format!("it has no {folder}; name a whole pipeline folder")))
    }

    fn part(&self, folder: &str, part: &str) -> Result<Graph> {
        let component = self.component(folder)?;
        let graph = component.parts.get(part).cloned();
        graph.ok_or_else(|| self.fail(format!("its {folder} is a {}, which has no {part}", component.class)))
    }

    /// What the manifest says about the process.
    pub fn facts(&self, root: &Path) -> Result<Facts> {
        let class = self.pipeline.class.as_str();
        if !PIPELINES.contains(&class) {
            return Err(self.fail(format!("it is a {class}; bundles of {} can be exported", PIPELINES.join(" and "))));
        }
        let scheduler = self.pipeline.scheduler.as_ref().ok_or_else(|| self.fail("it has no scheduler"))?;
        let (unet, vae) = (&self.component("unet")?.config, &self.component("vae")?.config);
        let [height, width] = self.sample_size(unet)?;
        let channels = size(unet, "in_channels").ok_or_else(|| self.fail("unet/config.json lacks in_channels"))?;
        let blocks = vae.get("block_out_channels").and_then(Value::as_array).map_or(4, Vec::len);
        let scale = 1usize << blocks.saturating_sub(1).min(16);
        let pixels = [height, width].map(|side| (side * scale) as f64);
        let zeros = self.pipeline.model_index.get("force_zeros_for_empty_prompt").and_then(Value::as_bool).unwrap_or(false);
        let scaling_factor = vae.get("scaling_factor").and_then(Value::as_f64).unwrap_or(0.18215);
        Ok(Facts {
            parameterisation: scheduler::parameterisation(scheduler)?,
            schedule: scheduler::noise_schedule(scheduler)?,
            unconditional: if zeros { Unconditional::Zeros } else { Unconditional::EmptyPrompt },
            latent_shape: vec![channels, height, width],
            vae: VaeScaling {
                scaling_factor,
                shift_factor: vae.get("shift_factor").and_then(Value::as_f64).unwrap_or(0.0),
                latents_mean: None,
                latents_std: None,
            },
            // diffusers: original size, crop corner, target size, each height first.
            time_ids: (class == PIPELINES[0]).then(|| vec![pixels[0], pixels[1], 0.0, 0.0, pixels[0], pixels[1]]),
            licence: licence(root),
        })
    }

    fn sample_size(&self, unet: &Value) -> Result<[usize; 2]> {
        let sides = match unet.get("sample_size") {
            Some(Value::Array(sides)) => sides.iter().filter_map(Value::as_u64).collect::<Vec<_>>(),
            Some(side) => side.as_u64().map(|side| vec![side; 2]).unwrap_or_default(),
            None => Vec::new(),
        };
        match sides.as_slice() {
            [h, w] if (1..=1 << 16).contains(h) && (1..=1 << 16).contains(w) => Ok([*h as usize, *w as usize]),
            _ => Err(self.fail("unet/config.json lacks a sample_size of one or two positive integers")),
        }
    }

    /// The models of the bundle in a fixed order: unet, vae_decoder, text_encoder, text_encoder_2.
    pub fn models(&self) -> Result<Vec<SourceModel>> {
        let unet = &self.component("unet")?.config;
        let latent = self.sample_size(unet)?.map(|side| side.min(VERIFIED_LATENT));
        let mut models = vec![
            self.model("unet", "unet", "unet", &[("sample", "out_sample")], &[], latent)?,
            self.model("vae", "vae_decoder", "vae_decoder", &[], &[("latent", "latent_sample")], latent)?,
        ];
        let folders = ["text_encoder", "text_encoder_2"];
        for folder in folders.iter().take(if self.pipeline.class == PIPELINES[0] { 2 } else { 1 }) {
            let mut model = self.model(folder, "text_encoder", folder, &[], &[], latent)?;
            offer_hidden_states(&mut model.graph);
            models.push(model);
        }
        Ok(models)
    }

    fn model(
        &self,
        component: &str,
        part: &str,
        folder: &str,
        outputs: &[(&str, &str)],
        inputs: &[(&str, &str)],
        latent: [usize; 2],
    ) -> Result<SourceModel> {
        let graph = self.part(component, part)?;
        if let Some((name, _)) =
            graph.inputs().iter().find(|(_, id)| !matches!(graph.value(*id).ty.dtype, DType::F32 | DType::I64))
        {
            return Err(self.fail(format!("input {name} of its {component} is neither float32 nor int64")));
        }
        let sizes = latent_sizes(&graph, latent);
        let config_text = self.component(component)?.config_text.clone();
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect();
        let names = Names { inputs: owned(inputs), outputs: owned(outputs) };
        Ok(SourceModel { folder: folder.into(), config_text, graph, names, sizes })
    }
}

/// Binds the symbols of the first picture-like input (`[b, c, height, width]`) to a latent size.
fn latent_sizes(graph: &Graph, latent: [usize; 2]) -> BTreeMap<Symbol, usize> {
    let pictures = graph.inputs().iter().map(|(_, id)| &graph.value(*id).ty.shape.0).find(|dims| dims.len() == 4);
    let sides = pictures.into_iter().flat_map(|dims| dims[2..].iter().zip(latent));
    sides.filter_map(|(dim, side)| dim.as_scaled_symbol().map(|(s, factor)| (s.clone(), (side / factor).max(1)))).collect()
}

/// Adds every marked hidden state as an output (`hidden_states.0` …), as optimum's exports do; the outputs that only
/// repeat one of them go.
fn offer_hidden_states(graph: &mut Graph) {
    let mut outputs: Vec<Output> =
        graph.outputs().iter().filter(|output| output.name != "penultimate_hidden_state").cloned().collect();
    let states = (0..).map_while(|i| {
        let name = format!("hidden_states.{i}");
        graph.marks().get(&name).map(|&value| Output { name, value })
    });
    outputs.extend(states);
    // The projected embedding comes first where there is one, as in the reference class.
    outputs.sort_by_key(|output| output.name != "text_embeds");
    graph.set_outputs(outputs);
}

fn size(config: &Value, key: &str) -> Option<usize> {
    config.get(key).and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok())
}

/// The licence that `card.json` or the front matter of `README.md` names.
fn licence(root: &Path) -> String {
    let card = std::fs::read_to_string(root.join("card.json")).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let named = card.and_then(|card| ["licence", "license"].iter().find_map(|key| card.get(key)?.as_str().map(str::to_string)));
    let readme = || {
        let text = std::fs::read_to_string(root.join("README.md")).ok()?;
        let front = text.strip_prefix("---\n")?.split("\n---").next()?;
        front.lines().find_map(|line| line.strip_prefix("license:")).map(|name| name.trim().to_string())
    };
    named.or_else(readme).unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}
