//! What `dmdx-import inspect` tells about a component, a pipeline or a LoRA file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use dmdx_graph::Graph;
use serde::Serialize;
use serde_json::Value;

use crate::bind::BindReport;
use crate::component::Component;
use crate::defects::shortened;
use crate::error::{ImportError, Result};
use crate::import::{Imported, import_any};
use crate::lora::{self, LoraSummary};
use crate::options::{ImportOptions, Nonfinite};

/// Bytes of a network's weights up to which NaN and infinite values are looked for without being asked: what any disk
/// gives within a moment.
const COUNTED_BYTES: u64 = 64 << 20;

/// A component, a pipeline or a LoRA file, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Description {
    /// A change of a model.
    Lora {
        /// The change.
        lora: LoraSummary,
    },
    /// One network.
    Component(NetworkSummary),
    /// A whole pipeline.
    Pipeline {
        /// The pipeline's class.
        class: String,
        /// The networks by folder.
        components: Vec<(String, NetworkSummary)>,
        /// The scheduler's class.
        scheduler: Option<String>,
        /// The scheduler's configuration.
        scheduler_config: Option<Value>,
        /// Folders of tokenizers.
        tokenizers: Vec<String>,
        /// What the user should know.
        notes: Vec<String>,
    },
}

/// One network, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkSummary {
    /// The reference class.
    pub class: String,
    /// Number of parameter elements.
    pub parameters: u64,
    /// What the import found.
    pub weights: BindReport,
    /// Its graphs.
    pub parts: Vec<Part>,
}

/// One graph, described.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// `unet`, `vae_encoder`, ….
    pub name: String,
    /// `name` and type of every input.
    pub inputs: Vec<(String, String)>,
    /// `name` and type of every output.
    pub outputs: Vec<(String, String)>,
    /// Meaning of every symbol.
    pub symbols: BTreeMap<String, String>,
    /// How often each operation occurs.
    pub ops: BTreeMap<&'static str, usize>,
    /// Module paths whose results can be tapped, with their types.
    pub marks: Vec<(String, String)>,
}

/// Describes what is at a path. NaN and infinite values are counted in networks up to 64 MiB, or in all if `scan`.
///
/// # Errors
/// As [`crate::import`] and [`crate::import_pipeline`].
pub fn inspect(path: &Path, options: &ImportOptions, scan: bool) -> Result<Description> {
    // First without reading weights, unless they are to be refused; the sizes then decide.
    let mut quick = options.clone();
    if options.nonfinite == Nonfinite::Count {
        quick.nonfinite = Nonfinite::Skip;
    }
    let mut pipeline = match import_any(path, &quick) {
        Err(ImportError::IsLora { path, .. }) => return Ok(Description::Lora { lora: lora::describe(&path, options)? }),
        Err(error) => return Err(error),
        Ok(Imported::Pipeline(pipeline)) => pipeline,
        Ok(Imported::Component(mut component)) => {
            count_nonfinite(&mut component, scan);
            return Ok(Description::Component(NetworkSummary::of(&component)));
        }
    };
    pipeline.components.values_mut().for_each(|component| count_nonfinite(component, scan));
    let scheduler = pipeline.scheduler.as_ref().and_then(|config| config.get("_class_name")).and_then(Value::as_str);
    Ok(Description::Pipeline {
        class: pipeline.class.clone(),
        components: pipeline.components.iter().map(|(name, c)| (name.clone(), NetworkSummary::of(c))).collect(),
        scheduler: scheduler.map(str::to_string),
        scheduler_config: pipeline.scheduler.clone(),
        tokenizers: pipeline.tokenizers.iter().map(|(name, _)| name.clone()).collect(),
        notes: pipeline.notes.clone(),
    })
}

fn count_nonfinite(component: &mut Component, scan: bool) {
    if component.report.nonfinite.is_none() && (scan || component.report.bytes <= COUNTED_BYTES) {
        let weights: BTreeMap<String, _> = component
            .parts
            .values()
            .flat_map(|graph| graph.params())
            .filter_map(|(name, param)| param.weight.clone().map(|weight| (name.to_string(), weight)))
            .collect();
        component.report.nonfinite = Some(crate::nonfinite::count(weights.iter()));
    }
}

impl NetworkSummary {
    /// Describes a component.
    fn of(component: &Component) -> Self {
        Self {
            class: component.class.clone(),
            parameters: component.param_elements(),
            weights: component.report.clone(),
            parts: component.parts.iter().map(|(name, graph)| Part::of(name, graph)).collect(),
        }
    }
}

impl Part {
    fn of(name: &str, graph: &Graph) -> Self {
        let typed = |name: &str, id| (name.to_string(), graph.value(id).ty.to_string());
        let mut ops = BTreeMap::new();
        for id in graph.order() {
            if let Some((op, _)) = graph.op(id) {
                *ops.entry(op.name()).or_insert(0) += 1;
            }
        }
        let meaning = |info: &dmdx_graph::ir::SymbolInfo| format!("{} (usually {})", info.meaning, info.usual);
        Self {
            name: name.into(),
            inputs: graph.inputs().iter().map(|(name, id)| typed(name, *id)).collect(),
            outputs: graph.outputs().iter().map(|output| typed(&output.name, output.value)).collect(),
            symbols: graph.symbols().iter().map(|(name, info)| (name.to_string(), meaning(info))).collect(),
            ops,
            marks: graph.marks().iter().map(|(path, id)| typed(path, *id)).collect(),
        }
    }
}

/// The text form; the alternate form (`{:#}`) lists the marks too.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Description::Component(network) => network.fmt(f),
            Description::Lora { lora } => lora.fmt(f),
            Description::Pipeline { class, components, scheduler, scheduler_config, tokenizers, notes } => {
                writeln!(f, "{class}")?;
                let settings = scheduler_config.as_ref().map(settings).unwrap_or_default();
                writeln!(f, "scheduler: {}{settings}", scheduler.as_deref().unwrap_or("none"))?;
                let tokenizers = if tokenizers.is_empty() { "none".into() } else { tokenizers.join(", ") };
                writeln!(f, "tokenizers: {tokenizers}")?;
                let width = |of: fn(&(String, NetworkSummary)) -> usize| components.iter().map(of).max().unwrap_or(0);
                let (first, second) = (width(|(name, _)| name.len()), width(|(_, network)| network.class.len()));
                for (name, network) in components {
                    let (class, parameters, bytes) = (&network.class, network.parameters, network.weights.bytes);
                    writeln!(f, "  {name:<first$}  {class:<second$}  {parameters:>14} parameters  {bytes:>15} bytes")?;
                }
                notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
                for (name, network) in components {
                    write!(f, "\n{name}: ")?;
                    network.fmt(f)?;
                }
                Ok(())
            }
        }
    }
}

/// What a scheduler's configuration says of the network and of its noise, where it says it.
fn settings(scheduler: &Value) -> String {
    let words = ["prediction_type", "timestep_spacing"].into_iter().filter_map(|key| scheduler.get(key)?.as_str());
    let mut words: Vec<&str> = words.collect();
    if scheduler.get("rescale_betas_zero_snr") == Some(&Value::Bool(true)) {
        words.push("rescaled to a signal-to-noise ratio of zero");
    }
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

impl fmt::Display for NetworkSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.class)?;
        let dtypes: Vec<String> = self.weights.dtypes.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let (used, bytes) = (self.weights.used, self.weights.bytes);
        writeln!(f, "  parameters: {} in {used} tensors, {bytes} bytes ({})", self.parameters, dtypes.join(", "))?;
        self.weights.fmt(f)?;
        for part in &self.parts {
            part.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for BindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nonfinite {
            None => writeln!(f, "  NaN or infinite: not counted, which would read it all (--scan counts)")?,
            Some(found) if found.is_empty() => writeln!(f, "  NaN or infinite: none")?,
            Some(found) => {
                let names: Vec<String> = found.iter().map(|(name, count)| format!("{name} ({count})")).collect();
                writeln!(f, "  NaN or infinite: {} in {}", found.values().sum::<u64>(), shortened(&names))?;
            }
        }
        match self.unused.len() {
            0 => writeln!(f, "  unused tensors: none")?,
            count => writeln!(f, "  unused tensors: {count}: {}", shortened(&self.unused))?,
        }
        for (reason, names) in &self.ignored {
            writeln!(f, "  left out on purpose: {}, because {reason}", names.len())?;
        }
        if !self.renamed.is_empty() {
            writeln!(f, "  names of older files: {}", shortened(&self.renamed))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.name)?;
        let typed = |f: &mut fmt::Formatter<'_>, what: &str, list: &[(String, String)]| {
            list.iter().try_for_each(|(name, ty)| writeln!(f, "    {what} {name}: {ty}"))
        };
        typed(f, "input", &self.inputs)?;
        typed(f, "output", &self.outputs)?;
        self.symbols.iter().try_for_each(|(name, meaning)| writeln!(f, "    where {name} = {meaning}"))?;
        let ops: Vec<String> = self.ops.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "    {} operations: {}", self.ops.values().sum::<usize>(), ops.join(", "))?;
        if f.alternate() {
            typed(f, "mark", &self.marks)?;
        }
        Ok(())
    }
}
