//! Density and coverage: are pictures where those of a reference are, and is every place of the reference reached? (Naeem, Oh,
//! Uh, Choi and Yoo, Reliable fidelity and diversity metrics for generative models, ICML 2020, arXiv 2002.09797, equations 4
//! and 5.) The Fréchet distance cannot tell samples that are too alike from samples that are too far out; these two can.

use crate::parallel::in_parallel;
use crate::{Error, Tensor};

/// k: how many neighbours a ball around a picture of the reference reaches. The paper's default.
pub const NEIGHBOURS: usize = 5;

/// The balls around the features of a reference, each as large as the way to its k-th nearest neighbour in the reference.
///
/// All features stay in memory, four bytes a number: 307 kB for 1,200 pictures of 64 features. Distances are exact, in f64; the
/// work grows with the product of both numbers of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Balls {
    features: Vec<f32>,
    width: usize,
    /// Squares of the radii.
    radii: Vec<f64>,
}

/// Where pictures are, seen from a reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// How many balls a picture is in, over k: about 1 for pictures of the same distribution, more for those that keep to where
    /// the reference is densest.
    pub density: f64,
    /// The share of balls that hold a picture; 1 where nothing of the reference is missed.
    pub coverage: f64,
}

impl Balls {
    /// The balls of features `[N, width]`, N more than [`NEIGHBOURS`], on `threads` threads.
    ///
    /// # Errors
    /// [`Error::Shape`] for another rank or too few.
    pub fn of(features: &Tensor, threads: usize) -> Result<Self, Error> {
        let &[count, width] = features.shape() else {
            return Err(Error::Shape(format!("features have shape [N, width], not {:?}", features.shape())));
        };
        if count <= NEIGHBOURS || width == 0 {
            return Err(Error::Shape(format!(
                "features of shape [{count}, {width}] have no {NEIGHBOURS} neighbours; a reference needs more than {NEIGHBOURS} pictures"
            )));
        }
        let features = features.floats()?.to_vec();
        let radius = |index: usize| {
            let own = &features[index * width..][..width];
            let others = features.chunks_exact(width).enumerate().filter(|(other, _)| *other != index);
            let mut distances: Vec<f64> = others.map(|(_, other)| squared_distance(own, other)).collect();
            Ok(*distances.select_nth_unstable_by(NEIGHBOURS - 1, f64::total_cmp).1)
        };
        let radii = in_parallel(count, threads, radius)?;
        Ok(Self { features, width, radii })
    }

    /// The features that the balls are around, row-major.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// Where features `[M, width]` are; a ball holds its surface too.
    ///
    /// # Errors
    /// [`Error::Shape`] for another width or no row.
    pub fn place(&self, features: &Tensor, threads: usize) -> Result<Place, Error> {
        let rows = features.floats()?;
        if features.shape().len() != 2 || features.row_len() != self.width || rows.is_empty() {
            let (shape, width) = (features.shape(), self.width);
            return Err(Error::Shape(format!("features of shape {shape:?} cannot be placed among others of width {width}")));
        }
        let held = |index: usize| {
            let (centre, radius) = (&self.features[index * self.width..][..self.width], self.radii[index]);
            Ok(rows.chunks_exact(self.width).filter(|row| squared_distance(centre, row) <= radius).count())
        };
        let held = in_parallel(self.radii.len(), threads, held)?;
        let (all, samples) = (held.iter().sum::<usize>(), rows.len() / self.width);
        Ok(Place {
            density: all as f64 / (NEIGHBOURS * samples) as f64,
            coverage: held.iter().filter(|&&count| count > 0).count() as f64 / held.len() as f64,
        })
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}
