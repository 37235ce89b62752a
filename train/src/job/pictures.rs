//! Which pictures are drawn to be looked at or scored, and what is kept of them.

use crate::report::Score;

/// Pictures of one prompt that show how different they are,
pub(super) const SEEDS: usize = 8;
/// and of how many prompts that is measured, at most.
const SEED_PROMPTS: usize = 4;

/// The pictures of an evaluation: numbered, never listed, so that there may be any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSet {
    /// Whose random draws give the noises, one after the other.
    pub draws: &'static str,
    /// How many pictures.
    pub count: usize,
    /// How many there are of a prompt before the next.
    pub group: usize,
    /// How far the next prompt is from the one before.
    pub stride: usize,
    /// How many prompts there are; after the last comes the first again.
    pub prompts: usize,
    /// Whether they are scored, where the recipe asks for a score.
    pub scored: bool,
    /// Which of them are candidates for a sheet: every so many-th.
    pub shown_every: usize,
}

impl PictureSet {
    /// So many pictures of every prompt, prompt by prompt; the first of each is for the sheet.
    pub fn evaluation(of_prompt: usize, prompts: usize) -> Self {
        let group = of_prompt.max(1);
        let count = group.saturating_mul(prompts);
        Self { draws: "evaluation", count, group, stride: 1, prompts, scored: true, shown_every: group }
    }

    /// As many of other noise: the teacher's of them are what all others are compared with.
    pub fn reference(of_prompt: usize, prompts: usize) -> Self {
        Self { draws: "reference", ..Self::evaluation(of_prompt, prompts) }
    }

    /// Several pictures of each of a few prompts, which are as far apart as can be: what shows the spread.
    pub fn seeds(prompts: usize) -> Self {
        let shown = SEED_PROMPTS.min(prompts);
        let stride = (prompts / SEED_PROMPTS).max(1);
        Self { draws: "seeds", count: shown * SEEDS, group: SEEDS, stride, prompts, scored: false, shown_every: 1 }
    }

    /// The pictures of a look during training, of prompts that are as far apart as can be.
    pub fn look(count: usize, prompts: usize) -> Self {
        let stride = (prompts / count.max(1)).max(1);
        Self { draws: "look", count, group: 1, stride, prompts, scored: true, shown_every: 1 }
    }

    /// The id of the prompt of picture `index`.
    pub fn prompt(&self, index: usize) -> u32 {
        let place = (index / self.group.max(1)).saturating_mul(self.stride) % self.prompts.max(1);
        u32::try_from(place).unwrap_or(u32::MAX)
    }
}

/// Drawn pictures.
#[derive(Clone, Debug)]
pub struct Pictures {
    /// Those that were kept, `[keep, 3, height, width]` in [-1, 1].
    pub values: Vec<f32>,
    /// The score of all, where one was asked for.
    pub score: Option<Score>,
    /// How different the pictures of a prompt are, where there are several.
    pub spread: Option<f64>,
}
