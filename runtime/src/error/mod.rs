//! The one error of this crate.

mod family;
mod noise_file;
mod request;
mod scheduler;
mod score;

use std::path::{Path, PathBuf};

use dmdx_graph::store::{self, PlaceError};

use crate::manifest::ManifestError;
use crate::process::ProcessError;

pub use family::FamilyError;
pub use noise_file::NoiseFileError;
pub use request::RequestError;
pub use scheduler::SchedulerError;
pub use score::ScoreError;

/// What can go wrong between a bundle and a picture. Every message is one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nothing can be written where the output is to be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The manifest of a bundle is bad.
    #[error("the bundle {bundle} cannot be used")]
    Manifest {
        /// The bundle's folder.
        bundle: PathBuf,
        /// The defect.
        #[source]
        source: ManifestError,
    },
    /// Something about a bundle, a file in it or the classifier's folder is wrong.
    #[error("{path}: {problem}")]
    Bundle {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// A model's folder of the hub's cache that does not say which snapshot is meant.
    #[error(transparent)]
    Hub(#[from] dmdx_graph::store::hub::HubError),
    /// An engine refused a model, failed while running it, or broke down inside.
    #[error("{engine} cannot run {path}: {problem}")]
    Model {
        /// `tract` or `onnxruntime`.
        engine: &'static str,
        /// The ONNX file.
        path: PathBuf,
        /// What the engine said, on one line.
        problem: String,
    },
    /// Loading a model took too long.
    #[error(
        "{engine} was still loading {path} after {seconds} seconds and was given up; the file is probably damaged, export it again"
    )]
    Timeout {
        /// `tract` or `onnxruntime`.
        engine: &'static str,
        /// The ONNX file.
        path: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// Tensors that do not fit together.
    #[error("{0}")]
    Shape(String),
    /// A scheduler's configuration or the use of it: names the key, the value and what is supported.
    #[error(transparent)]
    Scheduler(#[from] SchedulerError),
    /// A pipeline, or a request to it, that its family does not allow.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// What runs a network outside this crate failed.
    #[error("{part} of {folder} cannot be run")]
    Network {
        /// Folder of the component.
        folder: String,
        /// Part of the component.
        part: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Pictures or prompts that a scorer has no number for.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// Something that the noise process cannot do.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file of noise that cannot be used.
    #[error(transparent)]
    NoiseFile(#[from] NoiseFileError),
    /// A request that makes no sense: an empty prompt list, a prompt that the classifier cannot judge, no pictures.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// ONNX Runtime is absent, unsuitable or refuses to start.
    #[error("{0}")]
    Library(String),
}

impl Error {
    /// The exit code of a program that stops with this error: 3 for a fault of the machine's set-up, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Library(_) | Self::Write { .. } => 3,
            Self::Place(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// The message and every cause behind it, joined by `: ` on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        one_line(&text)
    }

    /// About files that were to be called otherwise: paths below `from` are named as if it were `to`.
    #[must_use]
    pub fn renamed(mut self, from: &Path, to: &Path) -> Self {
        match &mut self {
            Self::Read { path, .. } | Self::Write { path, .. } | Self::Bundle { path, .. } | Self::Timeout { path, .. } => {
                *path = store::renamed(path, from, to);
            }
            Self::Model { path, problem, .. } => {
                *path = store::renamed(path, from, to);
                *problem = problem.replace(&from.display().to_string(), &to.display().to_string());
            }
            _ => {}
        }
        self
    }

    /// For `map_err` on reading `path`.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    /// A defect of `path`.
    pub(crate) fn bundle(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Bundle { path: path.into(), problem: problem.into() }
    }
}

/// Folds a message of another library into one line of at most 600 characters.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(600) {
        line.truncate(cut);
        line.push('…');
    }
    line
}
