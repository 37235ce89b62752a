//! What a pipeline consists of, from its `model_index.json`, before any weights are read.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::arch;
use crate::component::Component;
use crate::error::{ImportError, JsonFault, PathRule, Result};
use crate::hf::json::JsonFile;
use crate::hf::{config, tokenizer};
use crate::limits::within;
use crate::options::ImportOptions;
use crate::path::check_name;
use crate::pipeline::{ASSUMED, Pipeline};
use crate::provenance::Origin;

/// Entries that no step from prompt to picture needs; they are left out with a note.
const NOT_NEEDED: [&str; 3] = ["feature_extractor", "image_encoder", "safety_checker"];

/// What a distilled student's folder says about how it is sampled.
const STUDENT: &str = "dmdx_student.json";
/// Characters of what a conversion assumed that are shown: the file may be a stranger's.
const LONGEST_ASSUMPTION: usize = 1000;

/// What an entry of `model_index.json` is.
enum Kind {
    Network,
    Scheduler,
    Tokenizer,
}

/// What a pipeline consists of, before its weights are read.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The pipeline's class.
    pub class: String,
    /// `model_index.json`.
    pub index: JsonFile,
    /// Folder and class of every network.
    pub networks: Vec<(String, String)>,
    /// Configurations that are not read from a folder.
    pub configs: IndexMap<String, JsonFile>,
    /// The scheduler's configuration.
    pub scheduler: Option<JsonFile>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// `dmdx_student.json`, where the pipeline is a distilled student.
    pub student: Option<JsonFile>,
    /// The folder that they were read from.
    pub folder: PathBuf,
    /// Folder name and path of every tokenizer.
    pub tokenizers: Vec<(String, PathBuf)>,
}

impl Contents {
    /// Reads `model_index.json` of a folder, the scheduler's configuration, and where the tokenizers are. A folder of one
    /// network is a pipeline of one network, in a place that its class decides.
    ///
    /// # Errors
    /// When an entry has no form that diffusers writes, or a file is missing.
    pub(crate) fn read(folder: &Path, options: &ImportOptions) -> Result<Self> {
        let index = config::read(folder, "model_index.json", &options.limits, &options.files)?;
        let path = folder.join("model_index.json");
        let mut options = options.clone();
        options.files.roots.push(folder.into());
        let class = index.value.get("_class_name").and_then(Value::as_str).unwrap_or("(unnamed)");
        let mut contents = Contents { class: class.chars().take(80).collect(), folder: folder.into(), ..Contents::default() };
        for (name, class, kind) in entries(&path, &index.value, &options, &mut contents.notes)? {
            let place = folder.join(&name);
            match kind {
                Kind::Network => contents.networks.push((name, class)),
                Kind::Tokenizer => contents.tokenizers.push((name, place)),
                Kind::Scheduler => {
                    let json = config::read_scheduler(&place, &options.limits, &options.files)?;
                    contents.scheduler = Some(json);
                }
            }
        }
        let assumed = index.value.get(ASSUMED).and_then(Value::as_str);
        contents.notes.extend(assumed.map(|text| text.chars().take(LONGEST_ASSUMPTION).collect()));
        contents.index = index;
        contents.student = match config::read(folder, STUDENT, &options.limits, &options.files) {
            Err(ImportError::NotFound { .. }) => None,
            found => Some(found?),
        };
        contents.notes.extend(contents.student.iter().map(|json| student_note(&json.value)));
        Ok(contents)
    }

    /// The configuration of a network.
    ///
    /// # Errors
    /// When its folder has none.
    pub(crate) fn config(&self, name: &str, class: &str, options: &ImportOptions) -> Result<JsonFile> {
        let mut json = match self.configs.get(name) {
            Some(json) => json.clone(),
            None => config::read(&self.folder.join(name), "config.json", &options.limits, &options.files)?,
        };
        set_class(&mut json.value, class);
        Ok(json)
    }

    /// The pipeline of these networks.
    ///
    /// # Errors
    /// When a tokenizer cannot be read.
    pub(crate) fn finish(self, components: IndexMap<String, Component>, options: &ImportOptions) -> Result<Pipeline> {
        for (_, place) in &self.tokenizers {
            tokenizer::read(place, &options.limits, &options.files)?;
        }
        let mut texts = vec![("model_index.json".to_string(), self.index.text)];
        let scheduler = self.scheduler.map(|json| {
            texts.push(("scheduler/scheduler_config.json".into(), json.text));
            json.value
        });
        texts.extend(self.student.map(|json| (STUDENT.to_string(), json.text)));
        Ok(Pipeline {
            class: self.class,
            components,
            scheduler,
            tokenizers: self.tokenizers,
            model_index: self.index.value,
            notes: self.notes,
            texts,
            origin: Origin::default(),
        })
    }
}

/// What a student's file says, in a sentence.
fn student_note(info: &Value) -> String {
    let text = |key: &str| match &info[key] {
        Value::Null => "not stated".to_string(),
        Value::String(text) => text.chars().filter(|c| !c.is_control()).take(80).collect(),
        other => other.to_string().chars().take(200).collect(),
    };
    let (times, prediction, sampler) = (text("steps"), text("parameterisation"), text("sampler"));
    let teacher = text("teacher");
    format!(
        "this is a student, distilled from {teacher}: its network is told the times {times}, predicts {prediction} and walks by \
         {sampler}; {STUDENT} states it, the scheduler here is for other programs"
    )
}

/// The entries that name a class, with their names checked.
fn entries(path: &Path, index: &Value, options: &ImportOptions, notes: &mut Vec<String>) -> Result<Vec<(String, String, Kind)>> {
    let fail = |fault| ImportError::Json { path: path.into(), fault };
    let map = index.as_object().ok_or_else(|| fail(JsonFault::NotAnObject))?;
    let mut entries = Vec::new();
    // Entries that are no list are settings, such as `force_zeros_for_empty_prompt`.
    for (name, value) in map.iter().filter(|(name, _)| !name.starts_with('_')) {
        let Some(list) = value.as_array() else { continue };
        let class = match list.as_slice() {
            [_, Value::Null] => continue,
            [Value::String(_), Value::String(class)] => class.chars().take(80).collect::<String>(),
            _ => return Err(fail(JsonFault::ComponentEntry { name: name.clone() })),
        };
        if NOT_NEEDED.contains(&name.as_str()) {
            notes.push(format!("{name} ({class}) is not needed to generate and is left out"));
            continue;
        }
        let refuse = |rule| ImportError::Path { file: path.into(), name: name.clone(), rule };
        check_name(name).map_err(refuse)?;
        if name.contains('/') {
            return Err(refuse(PathRule::NotBeside));
        }
        let kind = match name.as_str() {
            "scheduler" => Kind::Scheduler,
            _ if class.contains("Tokenizer") => Kind::Tokenizer,
            _ => Kind::Network,
        };
        entries.push((name.clone(), class, kind));
    }
    if entries.is_empty() {
        return Err(fail(JsonFault::NoComponents));
    }
    within(path, "the number of components", entries.len(), options.limits.components, "components")?;
    Ok(entries)
}

/// The reference library builds the class that the pipeline names, whatever the component's own file says.
pub(crate) fn set_class(config: &mut Value, class: &str) -> Option<String> {
    let own = arch::class_of(config).ok().map(str::to_string);
    if own.as_deref() == Some(class) {
        return None;
    }
    match config.get_mut("_class_name") {
        Some(name) => *name = class.into(),
        None => config["architectures"] = serde_json::json!([class]),
    }
    let own = own.unwrap_or_else(|| "none".into());
    Some(format!("the pipeline names the class {class}, which is used; the configuration itself names {own}"))
}
