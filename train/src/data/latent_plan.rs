//! What a set of real latents is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::captions::Captions;
use super::pictures::FITTING;
use super::rows::{self, Column, RowSet};
use crate::error::TrainError;
use crate::recipe::{PairDtype, Posterior};

/// What real latents are called.
pub(super) const NAME: &str = "latents";
/// What they are called in full.
const TITLE: &str = "real latents";
/// The file beside them that holds their captions.
const CAPTIONS: &str = "captions.jsonl";

/// Everything that the bytes of a set of real latents depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentPlan {
    /// Hash of the teacher's files, its encoder's among them.
    pub teacher_sha256: String,
    /// Hash of the pictures' names, captions and bytes, in order.
    pub pictures_sha256: String,
    /// Hash of the captions, in order.
    pub captions_sha256: String,
    /// What is taken of the encoder's distribution.
    pub posterior: Posterior,
    /// Seed of the draws from it; nothing depends on it where its mode is taken.
    pub seed: u64,
    /// Stored precision.
    pub dtype: PairDtype,
    /// Height and width of the pictures.
    pub picture_size: [usize; 2],
    /// Shape of one latent, `[channels, height, width]`.
    pub latent_shape: Vec<usize>,
    /// The autoencoder's factor that is already in the latents.
    pub latent_scaling: f64,
    /// How many latents.
    pub count: u64,
    /// Latents per shard.
    pub shard: u64,
}

/// The file of the captions of the latents in `folder`.
pub(super) fn captions_path(folder: &Path) -> PathBuf {
    folder.join(CAPTIONS)
}

impl LatentPlan {
    /// What the complete set in `folder` says that it is, and its captions.
    ///
    /// # Errors
    /// [`TrainError::Damaged`] where it is not complete or says too little; [`TrainError::Read`].
    pub fn of_folder(folder: &Path) -> Result<(Self, Captions), TrainError> {
        let provenance = rows::provenance(folder, NAME)?.ok_or_else(|| {
            let reason = "it holds no complete set of latents; name the pictures in data.path to have them encoded";
            TrainError::damaged(folder, reason)
        })?;
        let field = |name: &str| {
            let absent = || TrainError::damaged(folder, format!("its latents do not say their {name}"));
            provenance.get(name).cloned().ok_or_else(absent)
        };
        let number = |name: &str| {
            let text = field(name)?;
            text.parse().map_err(|_| TrainError::damaged(folder, format!("its latents say that their {name} is {text}")))
        };
        let sizes = |name: &str| -> Result<Vec<usize>, TrainError> {
            let text = field(name)?;
            let list = serde_json::from_str(&text);
            list.map_err(|_| TrainError::damaged(folder, format!("its latents say that their {name} is {text}")))
        };
        let word = |name: &str, words: [&str; 2]| {
            let text = field(name)?;
            let found = words.iter().position(|word| *word == text);
            found.ok_or_else(|| TrainError::damaged(folder, format!("its latents say that their {name} is {text}")))
        };
        let scaling = field("latent_scaling")?;
        let plan = Self {
            teacher_sha256: field("teacher_sha256")?,
            pictures_sha256: field("pictures_sha256")?,
            captions_sha256: field("captions_sha256")?,
            posterior: [Posterior::Mode, Posterior::Sample][word("posterior", ["mode", "sample"])?],
            seed: if provenance.contains_key("seed") { number("seed")? } else { 0 },
            dtype: [PairDtype::F16, PairDtype::F32][word("dtype", ["f16", "f32"])?],
            picture_size: sizes("picture_size")?
                .try_into()
                .map_err(|_| TrainError::damaged(folder, "its latents say a picture_size that is no height and width"))?,
            latent_shape: sizes("latent_shape")?,
            latent_scaling: scaling
                .parse()
                .map_err(|_| TrainError::damaged(folder, format!("its latents say that their latent_scaling is {scaling}")))?,
            count: number("count")?,
            shard: number("shard_size")?,
        };
        Ok((plan, Captions::listed(&captions_path(folder))?))
    }

    /// Whether the latents in `folder` are these, as far as they say; nothing is said where they are not complete.
    ///
    /// # Errors
    /// [`TrainError::StoreMismatch`]; [`TrainError::Damaged`], [`TrainError::Read`].
    pub fn check(&self, folder: &Path) -> Result<(), TrainError> {
        match rows::provenance(folder, NAME)? {
            Some(stored) => rows::check_provenance(TITLE, NAME, folder, &self.provenance(), &stored),
            None => Ok(()),
        }
    }

    /// How many values one latent has.
    pub fn latent_len(&self) -> usize {
        self.latent_shape.iter().product()
    }

    /// The provenance as text, by field; stored with every shard.
    fn provenance(&self) -> BTreeMap<String, String> {
        let dtype = match self.dtype {
            PairDtype::F16 => "f16",
            PairDtype::F32 => "f32",
        };
        let posterior = match self.posterior {
            Posterior::Mode => "mode",
            Posterior::Sample => "sample",
        };
        // No byte depends on the seed where nothing is drawn.
        let seed = (self.posterior == Posterior::Sample).then(|| ("seed", self.seed.to_string()));
        let fields = [
            ("format", "1".to_string()),
            ("teacher_sha256", self.teacher_sha256.clone()),
            ("pictures_sha256", self.pictures_sha256.clone()),
            ("captions_sha256", self.captions_sha256.clone()),
            ("posterior", posterior.to_string()),
            ("fitting", FITTING.to_string()),
            ("dtype", dtype.to_string()),
            ("picture_size", format!("{:?}", self.picture_size)),
            ("latent_shape", format!("{:?}", self.latent_shape)),
            ("latent_scaling", format!("{:?}", self.latent_scaling)),
            ("count", self.count.to_string()),
            ("shard_size", self.shard.to_string()),
        ];
        fields.into_iter().chain(seed).map(|(field, value)| (field.to_string(), value)).collect()
    }

    /// The rows of these latents.
    pub(super) fn rows(&self) -> RowSet {
        RowSet {
            name: NAME,
            title: TITLE,
            one: "latent",
            provenance: self.provenance(),
            count: self.count,
            shard: self.shard,
            columns: vec![Column::floats("x_0", self.dtype, &self.latent_shape)],
        }
    }
}
