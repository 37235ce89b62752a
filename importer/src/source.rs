//! How a checkpoint is to be read, as every command line says it. Recipes have the same choices as keys.

use std::path::PathBuf;

use clap::{Args, Command};

use crate::options::{ImportOptions, LoraFile};
use crate::path::FilePolicy;

/// The options of every command that reads a checkpoint.
#[derive(Debug, Clone, Default, Args)]
pub struct SourceOptions {
    /// Read the weights of this variant (`fp16` reads *.fp16.safetensors); a pipeline's networks that have none are read
    /// from their plain files.
    #[arg(long)]
    pub variant: Option<String>,
    /// The folder with the configuration of a file that has none beside it: config.json of one network, or the
    /// model_index.json of a pipeline with the folders that it names.
    #[arg(long, value_name = "FOLDER")]
    pub config: Option<PathBuf>,
    /// A LoRA file or the folder of an adapter to merge, with a scale other than 1 behind `=`; may be repeated.
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = lora_file)]
    pub lora: Vec<LoraFile>,
    /// Read the tensors of pickle files (.bin, .ckpt, .pt); nothing in them is run.
    #[arg(long)]
    pub allow_pickle: bool,
    /// A folder into which links may lead; may be repeated. Links of the Hugging Face cache need none.
    #[arg(long, value_name = "FOLDER")]
    pub root: Vec<PathBuf>,
    /// Accept shards that have several hard links.
    #[arg(long)]
    pub allow_hard_links: bool,
    /// How many tokens of T5 a Stable Diffusion 3 pipeline is given, as diffusers' argument of that name; 256 otherwise.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub max_sequence_length: Option<u16>,
}

impl SourceOptions {
    /// The choices of an import; what is not said here has its default.
    pub fn import(&self) -> ImportOptions {
        ImportOptions {
            files: FilePolicy { roots: self.root.clone(), hard_links: self.allow_hard_links },
            variant: self.variant.clone(),
            config: self.config.clone(),
            loras: self.lora.clone(),
            allow_pickle: self.allow_pickle,
            max_sequence_length: self.max_sequence_length,
            ..ImportOptions::default()
        }
    }

    /// The options without their dashes, such as `allow-pickle`.
    pub fn names() -> Vec<String> {
        let command = Self::augment_args(Command::new("source"));
        command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_string)).collect()
    }
}

/// A sentence in which options are advised, with `said` in the place of every option (without its dashes).
pub fn advised(sentence: &str, said: impl Fn(&str) -> String) -> String {
    let replace = |text: String, name: &String| text.replace(&format!("--{name}"), &said(name));
    SourceOptions::names().iter().fold(sentence.to_string(), replace)
}

/// `FILE` or `FILE=SCALE`.
///
/// # Errors
/// When the scale is not a finite number.
pub fn lora_file(text: &str) -> Result<LoraFile, String> {
    let Some((path, scale)) = text.rsplit_once('=') else {
        return Ok(LoraFile { path: text.into(), scale: 1.0 });
    };
    match scale.parse::<f64>() {
        Ok(scale) if scale.is_finite() => Ok(LoraFile { path: path.into(), scale }),
        _ => Err(format!("the scale {scale:?} behind `=` is not a finite number")),
    }
}
