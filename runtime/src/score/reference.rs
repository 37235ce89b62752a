//! Pictures that others are compared with, by their features.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::frechet::{Statistics, distance};
use super::neighbours::Balls;
use crate::error::ScoreError;
use crate::{Error, Tensor};

/// The tensor of a reference's file.
const FEATURES: &str = "features";

/// What the metadata of a reference's file says: whose pictures they are,
const NAME: &str = "reference";

/// and the SHA-256 of the scorer's `config.json`, which holds the hashes of its other files.
const SCORER: &str = "scorer_sha256";

/// Features of pictures that others are compared with: for a student those of its guided teacher, which is what it is trained to
/// draw like, not the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    name: String,
    statistics: Statistics,
    balls: Balls,
    threads: usize,
}

impl Reference {
    /// The reference of features `[N, width]`, called `name` where its numbers are; distances are taken on `threads` threads.
    ///
    /// # Errors
    /// As [`Statistics::of`] and [`Balls::of`].
    pub fn new(name: &str, features: &Tensor, threads: usize) -> Result<Self, Error> {
        let (statistics, balls) = (Statistics::of(features)?, Balls::of(features, threads)?);
        Ok(Self { name: name.to_string(), statistics, balls, threads })
    }

    /// Reads `features` `[N, width]`, F32, from the safetensors file that a training run leaves, for a scorer whose
    /// `config.json` has the hash `scorer`.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Bundle`] for a file that holds no reference, [`Error::Score`] for one of another scorer.
    pub fn read(path: &Path, scorer: &str, threads: usize) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let bad = |problem: String| Error::bundle(path, problem);
        let not = |e: safetensors::SafeTensorError| bad(format!("is not a safetensors file ({e})"));
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(not)?;
        let file = SafeTensors::deserialize(&bytes).map_err(not)?;
        let said = |key: &str| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        let (Some(name), Some(made)) = (said(NAME), said(SCORER)) else {
            return Err(bad(format!("does not say {NAME} and {SCORER}; a training run with [score] leaves such a file")));
        };
        if made != scorer {
            return Err(ScoreError::OtherScorer { path: path.display().to_string() }.into());
        }
        let tensor = file.tensor(FEATURES).map_err(|_| bad(format!("has no tensor {FEATURES}")))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(bad(format!("holds {FEATURES} as {:?}, not F32", tensor.dtype())));
        }
        let (words, _) = tensor.data().as_chunks::<4>();
        let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        Self::new(name, &Tensor::f32(tensor.shape().to_vec(), values)?, threads)
    }

    /// What the file of a reference has to say in its metadata, besides what else whoever writes it wants to know.
    pub fn metadata(name: &str, scorer: &str) -> [(String, String); 2] {
        [(NAME, name), (SCORER, scorer)].map(|(key, value)| (key.to_string(), value.to_string()))
    }

    /// The name of the tensor of its file.
    pub fn tensor() -> &'static str {
        FEATURES
    }

    /// The numbers of features `[M, width]` beside it, of which the first, a Fréchet distance, is called `distance` where it is
    /// to the data.
    ///
    /// # Errors
    /// [`Error::Shape`] for features of another width.
    pub(super) fn numbers(&self, called: &str, features: &Tensor, all: &Statistics) -> Result<Vec<(String, f64)>, Error> {
        let place = self.balls.place(features, self.threads)?;
        Ok(vec![
            (format!("{called}_to_{}", self.name), distance(all, &self.statistics)?),
            ("density".to_string(), place.density),
            ("coverage".to_string(), place.coverage),
        ])
    }
}
