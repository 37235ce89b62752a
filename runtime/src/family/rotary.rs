//! The rotary position tables that CogVideoX' pipeline hands to its transformer, by diffusers' float32 arithmetic.

use serde_json::Value;

use super::settings::Config;
use crate::error::FamilyError;
use crate::process::spacing::torch_linspace;
use crate::process::{Rounding, single};
use crate::{Error, Tensor};

/// Most values of one table: a request may be a stranger's.
const MOST_VALUES: usize = 1 << 28;

/// The base of the frequencies.
const THETA: f64 = 10_000.0;

/// What the tables depend on besides the latents' size: the transformer's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotary {
    head: usize,
    patch: usize,
    patch_frames: Option<usize>,
    /// Patches of the size that the transformer was trained at: rows, columns.
    base: [usize; 2],
}

impl Rotary {
    /// The settings of a CogVideoX transformer's `config.json`; `None` if it uses no rotary positions (2b).
    ///
    /// # Errors
    /// [`FamilyError::Config`] for a key that is missing or cannot be used.
    pub fn from_config(config: &Value) -> Result<Option<Self>, Error> {
        if config["use_rotary_positional_embeddings"] != Value::Bool(true) {
            return Ok(None);
        }
        let config = Config::new("transformer", config);
        let (head, patch) = (config.required_size("attention_head_dim")?, config.required_size("patch_size")?);
        if head % 16 != 0 {
            return Err(config.refuse("attention_head_dim", "a multiple of 16 for rotary positions"));
        }
        let patch_frames = match config.get("patch_size_t") {
            Value::Null => None,
            _ => Some(config.required_size("patch_size_t")?),
        };
        let base = [config.required_size("sample_height")? / patch, config.required_size("sample_width")? / patch];
        Ok(Some(Self { head, patch, patch_frames, base }))
    }

    /// Cosines and sines `[frames · rows · columns, attention_head_dim]` of latents with so many frames, rows and columns.
    ///
    /// # Errors
    /// [`FamilyError::NoPositions`] for latents without a whole patch or absurdly large, [`FamilyError::FewPositions`] for some
    /// that are larger than a 1.5 model's positions.
    pub fn tables(&self, frames: usize, height: usize, width: usize) -> Result<(Tensor, Tensor), Error> {
        let grid = [height / self.patch, width / self.patch];
        let frames = frames.div_ceil(self.patch_frames.unwrap_or(1));
        let values = [frames, grid[0], grid[1], self.head].into_iter().try_fold(1usize, usize::checked_mul);
        if frames == 0 || grid.contains(&0) || values.is_none_or(|values| values > MOST_VALUES) {
            return Err(FamilyError::NoPositions { frames, height, width }.into());
        }
        let axes = if self.patch_frames.is_some() { self.counted(frames, grid)? } else { self.cropped(frames, grid) };
        Ok((self.table(&axes, f64::cos)?, self.table(&axes, f64::sin)?))
    }

    /// Whole positions (1.5: `grid_type` "slice"), of which there are as many as the model was trained with.
    fn counted(&self, frames: usize, grid: [usize; 2]) -> Result<[Vec<f64>; 3], Error> {
        if grid[0] > self.base[0] || grid[1] > self.base[1] {
            return Err(FamilyError::FewPositions { grid, base: self.base }.into());
        }
        Ok([frames, grid[0], grid[1]].map(|count| (0..count).map(|position| position as f64).collect()))
    }

    /// Positions of the centred region of the trained grid that has the request's shape (1.0: "linspace").
    fn cropped(&self, frames: usize, grid: [usize; 2]) -> [Vec<f64>; 3] {
        let region = crop_region(grid, self.base);
        let axis = |count: usize, [start, stop]: [f64; 2]| {
            torch_linspace(start, stop * (count - 1) as f64 / count as f64, count, Rounding::Single)
        };
        [axis(frames, [0.0, frames as f64]), axis(grid[0], region[0]), axis(grid[1], region[1])]
    }

    /// One trigonometric table: a quarter of the columns for time and three eighths each for rows and columns, every
    /// frequency twice in a row.
    fn table(&self, axes: &[Vec<f64>; 3], f: impl Fn(f64) -> f64) -> Result<Tensor, Error> {
        let space = self.head / 8 * 3;
        let [times, rows, columns] = [(0, self.head / 4), (1, space), (2, space)].map(|(axis, width)| {
            let angles = |&position: &f64| {
                let angle = move |pair: usize| single(position * frequency(pair, width));
                (0..width).map(|column| f(angle(column / 2)) as f32).collect::<Vec<f32>>()
            };
            axes[axis].iter().map(angles).collect::<Vec<_>>()
        });
        let mut values = Vec::with_capacity(times.len() * rows.len() * columns.len() * self.head);
        for time in &times {
            for row in &rows {
                for column in &columns {
                    values.extend(time.iter().chain(row).chain(column));
                }
            }
        }
        Tensor::f32([times.len() * rows.len() * columns.len(), self.head], values)
    }
}

/// `theta^(-2 pair / width)`.
fn frequency(pair: usize, width: usize) -> f64 {
    single(1.0 / single(THETA.powf(single(2.0 * pair as f64 / width as f64))))
}

/// `[[top, bottom], [left, right]]` of the largest region with the shape of `grid` that fits into `base`, centred; halves
/// are rounded to even.
fn crop_region(grid: [usize; 2], base: [usize; 2]) -> [[f64; 2]; 2] {
    let ([rows, columns], [most_rows, most_columns]) = (grid.map(|n| n as f64), base.map(|n| n as f64));
    let (height, width) = if rows / columns > most_rows / most_columns {
        (most_rows, (most_rows / rows * columns).round_ties_even())
    } else {
        ((most_columns / columns * rows).round_ties_even(), most_columns)
    };
    let centred = |most: f64, size: f64| {
        let start = ((most - size) / 2.0).round_ties_even();
        [start, start + size]
    };
    [centred(most_rows, height), centred(most_columns, width)]
}
