//! What a denoiser is told besides the noisy sample and its time.

use crate::tensor::ops::{map, pick};
use crate::{Error, Tensor};

/// What the denoiser is told about texts, one row each: tensors by its input names.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    inputs: Vec<(&'static str, Tensor)>,
}

impl Condition {
    /// From tensors by input name.
    pub(super) fn new(inputs: Vec<(&'static str, Tensor)>) -> Self {
        Self { inputs }
    }

    /// The tensors by input name, the hidden states of the text first.
    pub fn inputs(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.inputs.iter().map(|(name, tensor)| (*name, tensor))
    }

    /// Zeros in place of the first text: one row.
    ///
    /// # Errors
    /// [`Error::Shape`] for a condition without rows.
    pub fn zeros(&self) -> Result<Self, Error> {
        self.each(|tensor| map(&pick(tensor, &[0])?, |_| 0.0))
    }

    /// The texts at `rows`, in that order.
    ///
    /// # Errors
    /// [`Error::Shape`] for a row that is not there.
    pub fn pick(&self, rows: &[usize]) -> Result<Self, Error> {
        self.each(|tensor| pick(tensor, rows))
    }

    fn each(&self, f: impl Fn(&Tensor) -> Result<Tensor, Error>) -> Result<Self, Error> {
        let inputs = self.inputs.iter().map(|(name, tensor)| Ok((*name, f(tensor)?)));
        Ok(Self { inputs: inputs.collect::<Result<_, Error>>()? })
    }
}

/// Inputs that no prompt changes, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fixed {
    /// One row for every sample.
    pub per_sample: Vec<(&'static str, Tensor)>,
    /// One tensor for all samples.
    pub shared: Vec<(&'static str, Tensor)>,
}

impl Fixed {
    /// For a batch of so many samples: the row of one, repeated.
    ///
    /// # Errors
    /// [`Error::Shape`] for rows that are none.
    pub fn for_batch(&self, samples: usize) -> Result<Self, Error> {
        let rows = self.per_sample.iter().map(|(name, row)| Ok((*name, pick(row, &vec![0; samples])?)));
        Ok(Self { per_sample: rows.collect::<Result<_, Error>>()?, shared: self.shared.clone() })
    }

    /// All of them.
    pub fn inputs(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.per_sample.iter().chain(&self.shared).map(|(name, tensor)| (*name, tensor))
    }
}
