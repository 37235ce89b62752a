//! The Fréchet distance between two normal distributions fitted to features.

use std::path::Path;

use nalgebra::{DMatrix, DVector, SymmetricEigen};
use safetensors::{Dtype, SafeTensors};

use crate::error::ScoreError;
use crate::{Error, Tensor};

/// The eigenvalue iterations of one decomposition; far more than any symmetric matrix takes.
const ITERATIONS: usize = 100_000;

/// The mean and the covariance of features, in f64.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Statistics {
    /// The statistics of features `[N, width]`: the covariance divides by N - 1, as `numpy.cov` does.
    ///
    /// # Errors
    /// As [`Accumulator::add`] and [`Accumulator::finish`].
    pub fn of(features: &Tensor) -> Result<Self, Error> {
        let mut all = Accumulator::default();
        all.add(features)?;
        all.finish()
    }

    /// Reads `mean` `[width]` and `covariance` `[width, width]`, both F64, from a safetensors file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Bundle`] for a file that does not hold them.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(Error::read(path))?;
        let bad = |problem: String| Error::bundle(path, problem);
        let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(format!("is not a safetensors file ({e})")))?;
        let read = |name: &str| -> Result<(Vec<usize>, Vec<f64>), Error> {
            let tensor = file.tensor(name).map_err(|_| bad(format!("has no tensor {name}")))?;
            if tensor.dtype() != Dtype::F64 {
                return Err(bad(format!("holds {name} as {:?}, not F64", tensor.dtype())));
            }
            let (words, _) = tensor.data().as_chunks::<8>();
            Ok((tensor.shape().to_vec(), words.iter().map(|word| f64::from_le_bytes(*word)).collect()))
        };
        let (shape, mean) = read("mean")?;
        let (square, covariance) = read("covariance")?;
        let &[width] = shape.as_slice() else { return Err(bad(format!("holds a mean of shape {shape:?}, not one axis"))) };
        if width == 0 || square != [width, width] {
            return Err(bad(format!("holds a covariance of shape {square:?} for a mean of width {width}")));
        }
        Self::checked(DVector::from_vec(mean), DMatrix::from_row_iterator(width, width, covariance))
    }

    /// The mean `[width]` and the covariance `[width, width]`, row-major.
    #[must_use]
    pub fn into_parts(self) -> (Vec<f64>, Vec<f64>) {
        // A covariance is symmetric, so its rows are its columns.
        (self.mean.iter().copied().collect(), self.covariance.iter().copied().collect())
    }

    fn checked(mean: DVector<f64>, covariance: DMatrix<f64>) -> Result<Self, Error> {
        if mean.iter().chain(covariance.iter()).all(|value| value.is_finite()) {
            Ok(Self { mean, covariance })
        } else {
            Err(Error::Shape("the classifier's features hold NaN or infinity; the pictures are probably damaged".into()))
        }
    }
}

/// Statistics of features that come a few at a time, in memory that does not grow with their number.
///
/// Features are gathered into blocks of 4096. Each block has the mean and the scatter that it would have alone, and they are
/// merged one after the other by the formulas of Chan, Golub and LeVeque (Updating formulae and a pairwise algorithm for
/// computing sample variances, 1979). So how the features were portioned changes no bit, and one block is exact.
#[derive(Debug, Clone, Default)]
pub struct Accumulator {
    width: usize,
    /// The rows of the block that is not full yet.
    block: Vec<f64>,
    before: Option<Moments>,
}

/// What is known of all features of the blocks so far.
#[derive(Debug, Clone)]
struct Moments {
    count: usize,
    mean: DVector<f64>,
    /// The sum of (x - mean)(x - mean)ᵀ.
    scatter: DMatrix<f64>,
}

impl Moments {
    fn of(block: Vec<f64>, width: usize) -> Self {
        let count = block.len() / width;
        let mut centred = DMatrix::from_row_iterator(count, width, block);
        let mean = centred.row_mean().transpose();
        for mut row in centred.row_iter_mut() {
            row -= mean.transpose();
        }
        Self { count, mean, scatter: centred.transpose() * &centred }
    }

    fn merged(self, next: Self) -> Self {
        let count = self.count + next.count;
        let (share, apart) = (next.count as f64 / count as f64, next.mean - &self.mean);
        let scatter = self.scatter + next.scatter + &apart * apart.transpose() * (self.count as f64 * share);
        Self { count, mean: self.mean + apart * share, scatter }
    }
}

impl Accumulator {
    /// Rows that are gathered before their moments are taken.
    const BLOCK: usize = 4096;

    /// Adds features `[N, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank or another width than before.
    pub fn add(&mut self, features: &Tensor) -> Result<(), Error> {
        let &[_, width] = features.shape() else {
            return Err(Error::Shape(format!("features have shape [N, width], not {:?}", features.shape())));
        };
        if width == 0 || (self.width > 0 && width != self.width) {
            return Err(Error::Shape(format!("features of width {width} do not go with others of width {}", self.width)));
        }
        self.width = width;
        for row in features.floats()?.chunks_exact(width) {
            self.block.extend(row.iter().map(|&value| f64::from(value)));
            if self.block.len() == Self::BLOCK * width {
                self.close();
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        let block = Moments::of(std::mem::take(&mut self.block), self.width);
        self.before = Some(match self.before.take() {
            Some(before) => before.merged(block),
            None => block,
        });
    }

    /// The statistics of all.
    ///
    /// # Errors
    /// [`Error::Score`] for fewer than two rows, [`Error::Shape`] for values that are not finite.
    pub fn finish(mut self) -> Result<Statistics, Error> {
        if !self.block.is_empty() {
            self.close();
        }
        match self.before {
            Some(Moments { count, mean, scatter }) if count >= 2 => Statistics::checked(mean, scatter / (count - 1) as f64),
            before => Err(ScoreError::FewPictures(before.map_or(0, |one| one.count)).into()),
        }
    }
}

/// |m1 - m2|² + tr C1 + tr C2 - 2 tr (C1 C2)^½, the last trace as that of (C1^½ C2 C1^½)^½, which is symmetric.
///
/// # Errors
/// [`Error::Shape`] for different widths or a decomposition that does not converge.
pub fn distance(a: &Statistics, b: &Statistics) -> Result<f64, Error> {
    if a.mean.len() != b.mean.len() {
        return Err(Error::Shape(format!("features of width {} cannot be compared with {}", a.mean.len(), b.mean.len())));
    }
    let first = eigen(a.covariance.clone())?;
    let root = root_of(&first);
    let product = &root * &b.covariance * &root;
    let symmetric = (&product + product.transpose()) * 0.5;
    let cross: f64 = eigen(symmetric)?.eigenvalues.iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok((&a.mean - &b.mean).norm_squared() + a.covariance.trace() + b.covariance.trace() - 2.0 * cross)
}

fn eigen(matrix: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>, Error> {
    SymmetricEigen::try_new(matrix, f64::EPSILON, ITERATIONS)
        .ok_or_else(|| Error::Shape("the covariance of the features could not be decomposed".into()))
}

/// Rounding makes zero eigenvalues slightly negative; they count as zero.
fn root_of(eigen: &SymmetricEigen<f64, nalgebra::Dyn>) -> DMatrix<f64> {
    let roots = DMatrix::from_diagonal(&eigen.eigenvalues.map(|value| value.max(0.0).sqrt()));
    &eigen.eigenvectors * roots * eigen.eigenvectors.transpose()
}
