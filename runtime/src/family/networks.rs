//! What runs the networks of a pipeline: Burn, the interpreter, or the engines of a bundle.

use std::sync::Arc;

use super::settings::{Place, Settings};
use crate::error::FamilyError;
use crate::{Error, Tensor, Tokenizer};

/// One network of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Folder and part.
    pub place: Place,
    /// Its folder in a bundle.
    pub bundle: &'static str,
    /// Whether bundles offer every hidden state as an output `hidden_states.i`, as optimum's exports do; the last but one is
    /// `penultimate_hidden_state`.
    pub offers_hidden_states: bool,
    /// Whether a pipeline may lack it.
    pub is_optional: bool,
}

impl Network {
    /// A network that every pipeline has and bundles call by its part.
    pub(super) const fn new(folder: &'static str, part: &'static str) -> Self {
        Self { place: (folder, part), bundle: part, offers_hidden_states: false, is_optional: false }
    }

    /// The text encoder in a folder, which bundles call by the folder.
    pub(super) const fn text_encoder(folder: &'static str) -> Self {
        Self { bundle: folder, ..Self::new(folder, "text_encoder") }
    }

    /// The CLIP text encoder in a folder.
    pub(super) const fn clip(folder: &'static str) -> Self {
        Self { offers_hidden_states: true, ..Self::text_encoder(folder) }
    }

    /// The decoder of every family.
    pub(super) const DECODER: Self = Self::new("vae", "vae_decoder");

    /// The encoder of every family.
    pub(super) const ENCODER: Self = Self::new("vae", "vae_encoder");

    /// What its ONNX files call inputs and outputs.
    #[must_use]
    pub fn names(&self) -> FileNames {
        FileNames::of(self.place.1)
    }
}

/// What ONNX files call the inputs and outputs of a network, as optimum does; names that are not listed are the network's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileNames {
    /// The network's name and the file's.
    pub inputs: &'static [(&'static str, &'static str)],
    /// The network's name and the file's.
    pub outputs: &'static [(&'static str, &'static str)],
}

impl FileNames {
    /// Of a part of a component, such as `unet`.
    #[must_use]
    pub fn of(part: &str) -> Self {
        match part {
            "unet" => Self { outputs: &[("sample", "out_sample")], ..Self::default() },
            "transformer" => Self { outputs: &[("sample", "out_hidden_states")], ..Self::default() },
            "vae_decoder" => Self { inputs: &[("latent", "latent_sample")], ..Self::default() },
            _ => Self::default(),
        }
    }

    /// The file's name of an input.
    #[must_use]
    pub fn input<'n>(&self, name: &'n str) -> &'n str {
        renamed(self.inputs, name)
    }

    /// The file's name of an output.
    #[must_use]
    pub fn output<'n>(&self, name: &'n str) -> &'n str {
        renamed(self.outputs, name)
    }
}

fn renamed<'n>(names: &[(&'static str, &'static str)], name: &'n str) -> &'n str {
    names.iter().find(|(own, _)| *own == name).map_or(name, |(_, file)| file)
}

/// Runs networks by the names of their folder and part. Results are outputs or marked values, by the network's own names.
pub trait Networks: Settings {
    /// Whether the pipeline has a network.
    fn has(&self, network: Place) -> bool;

    /// Results of a network in the order of `wanted`.
    ///
    /// # Errors
    /// When the pipeline has no such network, it does not take these inputs, or it has no such result.
    fn run(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, Error>;

    /// As [`Networks::run`] for one result.
    ///
    /// # Errors
    /// As [`Networks::run`].
    fn one(&self, network: Place, inputs: &[(&str, &Tensor)], wanted: &str) -> Result<Tensor, Error> {
        self.run(network, inputs, &[wanted])?.pop().ok_or_else(|| FamilyError::no_result(network, wanted).into())
    }

    /// The tokenizer in a folder.
    ///
    /// # Errors
    /// When the pipeline has none, or it cannot be read.
    fn tokenizer(&self, folder: &str) -> Result<Arc<Tokenizer>, Error>;
}
