//! What a bundle needs to know about the checkpoint it comes from.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_graph::ir::Symbol;
use dmdx_graph::{DType, Graph};
use dmdx_importer::Pipeline;
use dmdx_runtime::card::{self, Notes};
use dmdx_runtime::family::{self, Family, Geometry, Network, Settings, Size};
use dmdx_runtime::manifest::{Manifest, Unconditional, VaeScaling};
use dmdx_runtime::process::{NoiseSchedule, Parameterisation};
use dmdx_runtime::scheduler;
use dmdx_runtime::student::{Diffusers, Layout};
use serde_json::Value;

use crate::error::{ExportError, Result};
use crate::imported::Imported;
use crate::interface::published;
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
    /// Whether it is the network that is asked at every step.
    pub is_denoiser: bool,
    /// Sizes of symbols in the pipeline's own resolution.
    pub sizes: BTreeMap<Symbol, usize>,
}

/// Facts for the manifest.
pub(crate) struct Facts {
    pub unconditional: Unconditional,
    pub latent_shape: Vec<usize>,
    pub vae: VaeScaling,
    pub time_ids: Option<Vec<f64>>,
    pub licence: String,
}

/// Interpreting a network exactly is slow; verification runs on at most this latent size.
const VERIFIED_LATENT: usize = 16;

/// Reads facts and networks out of an imported pipeline.
pub(crate) struct Source<'p> {
    pub name: &'p str,
    pub pipeline: &'p Pipeline,
    imported: Imported<'p>,
    family: &'static dyn Family,
    geometry: Geometry,
}

impl<'p> Source<'p> {
    /// A pipeline that a bundle can be made of, for videos of so many frames.
    pub fn new(name: &'p str, pipeline: &'p Pipeline, frames: Option<usize>) -> Result<Self> {
        let wrap = |error| unsuitable(name, error);
        let family = family::of_class(&pipeline.class).map_err(wrap)?;
        let imported = Imported(pipeline);
        let geometry = family.geometry(&imported, &Size { frames, ..Size::default() }).map_err(wrap)?;
        family.check_latents(&imported, &geometry.latent_shape).map_err(wrap)?;
        Ok(Self { name, pipeline, imported, family, geometry })
    }

    /// What the manifest says about the latents.
    pub fn facts(&self, root: &Path) -> Result<Facts> {
        let wrap = |error| unsuitable(self.name, error);
        let fixed = self.family.fixed(&self.imported, &self.geometry).map_err(wrap)?;
        let stated = fixed.per_sample.iter().find(|(input, _)| *input == "time_ids").map(|(_, ids)| ids.floats());
        let time_ids = stated.transpose().map_err(wrap)?.map(|ids| ids.iter().map(|&id| f64::from(id)).collect());
        Ok(Facts {
            unconditional: self.family.unconditional(&self.imported),
            latent_shape: self.geometry.latent_shape.clone(),
            vae: self.family.vae_scaling(&self.imported).map_err(wrap)?,
            time_ids,
            licence: licence(root),
        })
    }

    /// The noise process that the pipeline's scheduler states.
    pub fn schedule(&self) -> Result<NoiseSchedule> {
        scheduler::noise_schedule(self.scheduler()?).map_err(|error| unsuitable(self.name, error))
    }

    /// What the network predicts, by the pipeline's scheduler.
    pub fn parameterisation(&self) -> Result<Parameterisation> {
        scheduler::parameterisation(self.scheduler()?).map_err(|error| unsuitable(self.name, error))
    }

    /// How diffusers finds the scheduler of a student with this manifest.
    pub fn layout(&self, manifest: &Manifest) -> Result<Layout> {
        let rollout = manifest.rollout().map_err(dmdx_runtime::Error::from)?;
        let guidance = manifest.guidance.map(|range| (range, manifest.unconditional));
        let config = self.imported.config(self.family.denoiser().folder);
        Ok(Layout::new(self.family, [&self.pipeline.model_index, config], &rollout, &manifest.schedule, guidance))
    }

    /// The model card of the bundle in a folder where its tokenizers are.
    pub fn card(&self, bundle: &Path, manifest: &Manifest, diffusers: Option<&Diffusers>, notes: &Notes) -> Result<String> {
        let ids = card::token_ids(self.family, bundle, &self.pipeline.model_index, notes)?;
        let text = card::bundle(self.family, manifest, diffusers, &ids, notes);
        text.map_err(|error| ExportError::from(dmdx_runtime::Error::from(error)))
    }

    fn scheduler(&self) -> Result<&Value> {
        let missing = || ExportError::Source { source_name: self.name.into(), problem: "it has no scheduler".into() };
        self.pipeline.scheduler.as_ref().ok_or_else(missing)
    }

    /// The models of the bundle in the family's order, then those for other programs.
    pub fn models(&self) -> Result<Vec<SourceModel>> {
        let latent = &self.geometry.latent_shape;
        let sides: Vec<usize> = latent.iter().rev().take(2).rev().map(|side| (*side).min(VERIFIED_LATENT)).collect();
        let there = |network: &&Network| !network.is_optional || self.pipeline.components.contains_key(network.place.0);
        self.family
            .networks()
            .iter()
            .chain(self.family.companions())
            .filter(there)
            .map(|network| self.model(network, &sides))
            .collect()
    }

    fn model(&self, network: &Network, latent: &[usize]) -> Result<SourceModel> {
        let folder = network.place.0;
        let graph = self.imported.graph(network.place).map_err(|error| unsuitable(self.name, error))?;
        if let Some((name, _)) =
            graph.inputs().iter().find(|(_, id)| !matches!(graph.value(*id).ty.dtype, DType::F32 | DType::I64))
        {
            let problem = format!("input {name} of its {folder} is neither float32 nor int64");
            return Err(ExportError::Source { source_name: self.name.into(), problem });
        }
        let sizes = latent_sizes(graph, latent);
        let (graph, names) = published(network.place.1, graph)?;
        let config_text = self.pipeline.components.get(folder).map(|component| component.config_text.clone()).unwrap_or_default();
        let is_denoiser = network.place == self.family.denoiser().place();
        Ok(SourceModel { folder: network.bundle.into(), config_text, graph, names, is_denoiser, sizes })
    }
}

/// Why a pipeline cannot become a bundle.
fn unsuitable(name: &str, error: dmdx_runtime::Error) -> ExportError {
    ExportError::Source { source_name: name.into(), problem: error.chain() }
}

/// Binds the symbols of the rows and columns of the first picture-like input (`[.., height, width]`) to a latent size.
fn latent_sizes(graph: &Graph, latent: &[usize]) -> BTreeMap<Symbol, usize> {
    let pictures = graph.inputs().iter().map(|(_, id)| &graph.value(*id).ty.shape.0).find(|dims| dims.len() >= 4);
    let sides = pictures.into_iter().flat_map(|dims| dims[dims.len() - 2..].iter().zip(latent));
    sides.filter_map(|(dim, side)| dim.as_scaled_symbol().map(|(s, factor)| (s.clone(), (side / factor).max(1)))).collect()
}

/// The licence that the `card.json` or the front matter of the `README.md` of a checkpoint names, empty where neither does.
/// A licence that the hub has no word for has a name and a place of its own.
#[must_use]
pub fn licence(root: &Path) -> String {
    let card = std::fs::read_to_string(root.join("card.json")).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let named = card.and_then(|card| ["licence", "license"].iter().find_map(|key| card.get(key)?.as_str().map(str::to_string)));
    let readme = || {
        let text = std::fs::read_to_string(root.join("README.md")).ok()?;
        let front = text.strip_prefix("---\n")?.split("\n---").next()?.to_string();
        let entry = |key: &str| {
            let value = front.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            Some(value.trim().trim_matches(['"', '\'']).to_string()).filter(|value| !value.is_empty())
        };
        match (entry("license")?, entry("license_name"), entry("license_link")) {
            (word, Some(name), link) if word == "other" => {
                Some(link.map_or_else(|| name.clone(), |link| format!("{name} ({link})")))
            }
            (word, _, _) => Some(word),
        }
    };
    named.or_else(readme).unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}
