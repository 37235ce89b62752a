//! The one error type of this crate. Every message is one sentence: what is wrong, where, and what to do.

mod converted;
mod foreign;
mod json;
mod lora;
mod path;
mod pickle;
mod reference;
mod safetensors;

use std::path::{Path, PathBuf};

use dmdx_graph::GraphError;
use dmdx_graph::store::PlaceError;
use dmdx_graph::store::hub::{self, HubError};

pub use self::converted::ConvertedFault;
pub use self::foreign::ForeignFile;
pub use self::json::{JsonFault, OpenClipFault};
pub use self::lora::{LoraDefect, LoraFault};
pub use self::path::PathRule;
pub use self::pickle::PickleFault;
pub use self::reference::ReferenceFault;
pub use self::safetensors::SafetensorsFault;
use crate::defects::{Defects, shortened};

/// Why a checkpoint was refused, or why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The path that the user gave leads nowhere, or a file is missing there.
    #[error("`{}` does not exist; {}", .path.display(), missing(.path))]
    NotFound {
        /// The path as given, or that of a file that a given folder should have.
        path: PathBuf,
    },
    /// The operating system refused to read.
    #[error("cannot read `{}`: {error}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        error: std::io::Error,
    },
    /// The operating system refused to write; no partial file is left.
    #[error("cannot write `{}`: {error}; nothing was left there, give another place or make room", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        error: std::io::Error,
    },
    /// Nothing can be written where the output is to be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The destination folder is taken.
    #[error("`{}` exists already; name a new folder, dmdx never replaces a whole one", .path.display())]
    FolderExists {
        /// The destination.
        path: PathBuf,
    },
    /// A model names a file outside its folder, or one that is not an ordinary file.
    #[error("`{}` names the file {name:?}, which {rule}", .file.display())]
    Path {
        /// The file that contains the name (an index, a pipeline), or the folder for fixed names.
        file: PathBuf,
        /// The name as written.
        name: String,
        /// The rule that it breaks and what to do.
        rule: PathRule,
    },
    /// Something is larger than this importer accepts.
    #[error("`{}`: {what} is {value}, the limit is {limit}; raise `Limits::{setting}` if you trust the file", .path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What was measured.
        what: String,
        /// Its size.
        value: u128,
        /// The largest accepted.
        limit: u128,
        /// The field of [`crate::Limits`].
        setting: &'static str,
    },
    /// A JSON file that is not what it should be.
    #[error("`{}` is not valid JSON for this purpose: {fault}", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: JsonFault,
    },
    /// A configuration that does not say of which class the network is.
    #[error("the configuration names no class; add `_class_name` (diffusers) or `architectures` (transformers)")]
    NoClass,
    /// A configuration lacks a key that the architecture needs.
    #[error("the configuration of {class} has no key `{key}`; add it as the reference library writes it")]
    MissingKey {
        /// The class.
        class: String,
        /// Dotted path of the key.
        key: String,
    },
    /// A configuration value that is not supported or makes no sense.
    #[error("the configuration of {class} has `{key}` = {value}, but {supported}")]
    ConfigValue {
        /// The class.
        class: String,
        /// Dotted path of the key.
        key: String,
        /// The value as JSON, shortened.
        value: String,
        /// What is supported, as a clause ("only `silu` and `gelu` are supported").
        supported: String,
    },
    /// A number of frames for which no graph of a video network is built.
    #[error("{class} cannot be built for {frames} frames; give 1 to {most}")]
    Frames {
        /// The reference class.
        class: String,
        /// Pixel frames.
        frames: usize,
        /// The largest number.
        most: usize,
    },
    /// A network class for which there is no builder.
    #[error("the network class `{class}` is not supported; known are {}", .known.join(", "))]
    UnknownClass {
        /// The class that the configuration names.
        class: String,
        /// Every class with a builder.
        known: Vec<String>,
    },
    /// A pipeline with classes that are not supported; all of them are listed.
    #[error("`{}` uses classes that are not supported: {}; import the other folders one by one", .path.display(), .classes.join(", "))]
    UnknownPipelineClasses {
        /// The model_index.json.
        path: PathBuf,
        /// `component: Class`.
        classes: Vec<String>,
    },
    /// A whole pipeline where one network is wanted.
    #[error("`{}` is a whole pipeline; give one of the folders in it, such as its `unet`", .path.display())]
    IsPipeline {
        /// The folder.
        path: PathBuf,
    },
    /// Several networks in one file where one is wanted.
    #[error("`{path}` holds several networks; convert it first with `dmdx-import convert {path} -o FOLDER` and give one of the folders that this makes, such as its `unet`", path = .path.display())]
    IsPipelineFile {
        /// The file.
        path: PathBuf,
    },
    /// A choice that only one kind of pipeline has.
    #[error(
        "--max-sequence-length is how many tokens of T5 a Stable Diffusion 3 pipeline is given, and this is a {class}; leave it out"
    )]
    MaxSequenceLength {
        /// The pipeline's or the network's class.
        class: String,
    },
    /// One network where a whole pipeline is wanted.
    #[error("`{}` is one network ({class}), and a whole pipeline is needed; give the folder that has its model_index.json, or one file with all networks", .path.display())]
    NotPipeline {
        /// The folder or file.
        path: PathBuf,
        /// The network's class.
        class: String,
    },
    /// A file of all networks, and nothing that makes tokens of prompts.
    #[error("`{}` holds no {}, which no single file does; give the folder of the same model that has model_index.json and these (its weights may be missing) with --config", .path.display(), .lacks.join(" and no "))]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        lacks: Vec<&'static str>,
    },
    /// A variant that no network of a pipeline has.
    #[error("no network in `{}` has weights of the variant `{variant}`; leave --variant out, or name one that is there", .path.display())]
    NoVariant {
        /// The pipeline's folder.
        path: PathBuf,
        /// The variant, shortened.
        variant: String,
    },
    /// A change of a model where a model is wanted.
    #[error("`{}` is {summary}, not a network; give the model that it changes, and this file with --lora", .path.display())]
    IsLora {
        /// The file.
        path: PathBuf,
        /// What kind, how large, for what.
        summary: String,
    },
    /// Weights without a configuration of which the shapes do not say enough.
    #[error("`{}` has no configuration, and its {tensors} tensors are {looks}", .path.display())]
    NoConfiguration {
        /// The file or folder.
        path: PathBuf,
        /// How many tensors there are.
        tensors: usize,
        /// What they look like, and what to do.
        looks: String,
    },
    /// A folder without any configuration.
    #[error("`{}` has neither a config.json nor a model_index.json; give {}", .path.display(), .instead)]
    NoModel {
        /// The folder.
        path: PathBuf,
        /// What may be given instead.
        instead: String,
    },
    /// A pipeline without a network of the name that was asked for.
    #[error("`{}` has no network `{name}`; it has {}", .path.display(), .known.join(", "))]
    NoComponent {
        /// The pipeline.
        path: PathBuf,
        /// The name.
        name: String,
        /// Its networks.
        known: Vec<String>,
    },
    /// The folder holds no weights.
    #[error("`{}` holds no safetensors weights; looked for {}{}", .path.display(), .wanted.join(", "), instead(.files, .unread))]
    NoWeights {
        /// The folder.
        path: PathBuf,
        /// The names that were looked for.
        wanted: Vec<String>,
        /// Files there that can be given by themselves.
        files: Vec<String>,
        /// Files there of formats that are not read.
        unread: Vec<String>,
    },
    /// More than one file could be meant.
    #[error("`{}` holds several sets of weights ({}); say which with --variant, or move the others away", .path.display(), .found.join(", "))]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// The candidates.
        found: Vec<String>,
    },
    /// Weights in a form that a quantiser made.
    #[error("`{}` holds weights quantised by {method} ({sign}), which are not read; take the model's fp16 or bf16 weights, or save it again after `dequantize()` where you have it loaded", .path.display())]
    Quantised {
        /// The file or folder.
        path: PathBuf,
        /// Who packs weights so.
        method: String,
        /// What shows it.
        sign: String,
    },
    /// Only pickle files are there, which can run any code when read.
    #[error("`{}` holds weights only as pickle ({}), which can run any code when it is read; convert it where you trust it, with `model.save_pretrained(folder, safe_serialization=True)`, or give --allow-pickle to read nothing but tensors", .path.display(), .files.join(", "))]
    Pickle {
        /// The folder.
        path: PathBuf,
        /// The pickle files.
        files: Vec<String>,
    },
    /// A file that is something else than weights.
    #[error("`{}` {kind}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        kind: ForeignFile,
    },
    /// A pickle file that the user named, or one under the name of another format.
    #[error("`{}` holds its weights as pickle, which can run any code when it is read; convert it where you trust it, with `model.save_pretrained(folder, safe_serialization=True)`, or give --allow-pickle to read nothing but tensors", .path.display())]
    PickleFile {
        /// The file.
        path: PathBuf,
    },
    /// A pickle file that holds more than tensors, or is damaged.
    #[error("`{}` is not read although pickle is allowed: {fault}", .path.display())]
    PickleContents {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        fault: PickleFault,
    },
    /// A file in an original layout whose shapes are those of no released model.
    #[error("`{}` holds a network in the original layout ({folder}) that is none of {}; give its configuration with --config", .path.display(), .known.join(", "))]
    UnknownModel {
        /// The file.
        path: PathBuf,
        /// The folder of the diffusers layout that the network would lie in.
        folder: String,
        /// The models that are recognised.
        known: Vec<String>,
    },
    /// A network that predicts something that no scheduler here undoes.
    #[error("`{}` says by {marks} that its network is preconditioned as in EDM (Playground v2.5, CosXL), which is not supported; take a model that predicts noise or velocity", .path.display())]
    Preconditioned {
        /// The file.
        path: PathBuf,
        /// The tensors that say so.
        marks: String,
    },
    /// A LoRA file that cannot be merged; every key that does not fit is listed.
    #[error("the LoRA file `{}` cannot be merged: {fault}", .path.display())]
    Lora {
        /// The file.
        path: PathBuf,
        /// What does not fit and what to do.
        fault: LoraFault,
    },
    /// A tokenizer folder without a vocabulary.
    #[error("`{}` holds no tokenizer; it needs vocab.json with merges.txt, spiece.model, or tokenizer.json", .path.display())]
    Tokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// A safetensors file that breaks its format.
    #[error("`{}` is not a usable safetensors file: {fault}", .path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks and what to do.
        fault: SafetensorsFault,
    },
    /// A shard that the index names is not there.
    #[error("`{}` needs the shard {shard:?} ({tensors} tensors), which is not in the folder; download it again", .index.display())]
    MissingShard {
        /// The index.
        index: PathBuf,
        /// The shard's name.
        shard: String,
        /// How many tensors the index expects in it.
        tensors: usize,
    },
    /// The index places tensors in a shard that does not hold them.
    #[error("`{}` does not fit its shards: {shard:?} lacks {}, which the index places there; download both again", .index.display(), shortened(.missing))]
    Index {
        /// The index.
        index: PathBuf,
        /// The shard's name.
        shard: String,
        /// The tensors that it lacks.
        missing: Vec<String>,
    },
    /// Weights and network do not fit; every defect is listed.
    #[error("the weights in `{}` do not fit {class}: {defects}", .path.display())]
    Binding {
        /// The class.
        class: String,
        /// The folder or file.
        path: PathBuf,
        /// All of them.
        defects: Box<Defects>,
    },
    /// An ONNX model that breaks rules of the format; all of them are listed.
    #[error("`{}` is not a usable ONNX model: {}{}", .path.display(), .defects.join("; "), and_more(*.more))]
    Onnx {
        /// The model file.
        path: PathBuf,
        /// One clause per defect.
        defects: Vec<String>,
        /// Defects beyond those listed.
        more: usize,
    },
    /// An ONNX model with operations that cannot be converted; all of them are listed.
    #[error("`{}` uses operations that cannot be imported: {}; export it without them", .path.display(), .refused.join("; "))]
    OnnxOperations {
        /// The model file.
        path: PathBuf,
        /// Domain, operation, count and reason.
        refused: Vec<String>,
    },
    /// NaN or infinite weights where they are refused.
    #[error("the weights in `{}` hold {count} NaN or infinite values in {}; take an undamaged file", .path.display(), shortened(.tensors))]
    Nonfinite {
        /// The folder or file.
        path: PathBuf,
        /// Number of such elements.
        count: u64,
        /// The tensors with them, sorted.
        tensors: Vec<String>,
    },
    /// A converted file whose graph, configuration and weights do not belong together.
    #[error("`{}` is not a converted model: {fault}", .path.display())]
    Converted {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        fault: ConvertedFault,
    },
    /// A file of reference inputs and outputs that cannot be used.
    #[error("the reference file `{}`: {fault}", .path.display())]
    Reference {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        fault: ReferenceFault,
    },
    /// The user stopped the program while it was writing.
    #[error("stopped while writing `{}`; nothing was left there", .path.display())]
    Interrupted {
        /// The destination.
        path: PathBuf,
    },
    /// A graph could not be built, parsed or run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A model's folder of the hub's cache that does not say which snapshot is meant.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// An error of something that does not know its file.
    #[error("`{}`: {error}", .path.display())]
    In {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong there.
        error: Box<ImportError>,
    },
}

/// Shorthand used throughout the crate.
pub type Result<T> = std::result::Result<T, ImportError>;

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!("; and {count} more") }
}

/// What to do without a file: the user never gave the path of a configuration, but of the model that has it.
fn missing(path: &Path) -> String {
    if let Some(name) = hub::repository(path) {
        return format!("if it is a model on the Hugging Face hub, run `hf download {name}` and give the folder that it prints");
    }
    let advice = match path.extension().is_some_and(|extension| extension == "json") {
        true => "a whole model has this file, so download it again, or give the folder that has it",
        false => "give a component folder, a .safetensors file or a pipeline folder",
    };
    advice.into()
}

/// What a folder without weights holds instead.
fn instead(files: &[String], unread: &[String]) -> String {
    let mut text = String::new();
    if !files.is_empty() {
        text.push_str(&format!("; {} may be meant, which can be given by name", shortened(files)));
    }
    if !unread.is_empty() {
        text.push_str(&format!("; {} cannot be read, so take the safetensors files, or save the model again", shortened(unread)));
        text.push_str(" with `save_pretrained(folder, safe_serialization=True)`");
    }
    text
}

impl ImportError {
    /// Adds the file to an error that does not know it.
    pub fn at(self, path: &Path) -> Self {
        ImportError::In { path: path.into(), error: Box::new(self) }
    }

    /// A file or folder that cannot be read, or is not there.
    pub(crate) fn reading(path: &Path, error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => ImportError::NotFound { path: path.into() },
            _ => ImportError::Read { path: path.into(), error },
        }
    }

    /// Whether the reason is a class without a builder.
    pub(crate) fn is_unknown_class(&self) -> bool {
        match self {
            ImportError::UnknownClass { .. } => true,
            ImportError::In { error, .. } => error.is_unknown_class(),
            _ => false,
        }
    }

    /// Whether the configuration is at fault, and the error does not name its file.
    pub(crate) fn is_configuration(&self) -> bool {
        use ImportError::{ConfigValue, MissingKey, NoClass, UnknownClass};
        matches!(self, NoClass | MissingKey { .. } | ConfigValue { .. } | UnknownClass { .. } | ImportError::Graph(_))
    }

    /// The exit code of a program that ends with this error: 1 for input, 3 for the environment (disk, rights).
    pub fn exit_code(&self) -> u8 {
        match self {
            ImportError::Write { .. } => 3,
            ImportError::Place(error) => error.exit_code(),
            ImportError::Read { error, .. } | ImportError::Hub(HubError::Read { error, .. })
                if error.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                3
            }
            ImportError::In { error, .. } => error.exit_code(),
            _ => 1,
        }
    }
}
