//! Embedding the prompts, as far as they are not on the disk.

use std::path::Path;

use super::input_rows::InputRows;
use super::plan::{CHUNK, ConditionPlan, NAME};
use super::store::ConditionStore;
use super::unconditional;
use crate::data::prompts::Prompts;
use crate::data::rows::{self, Cells, ShardRange};
use crate::error::TrainError;
use crate::session::Interrupt;
use crate::store::atomic::remove_unfinished;

/// Makes the conditions of `prompts` in `folder`, as far as they are not there, and opens them.
///
/// `encode` embeds the texts that it is given, always the same 20 prompts together, and the empty prompt alone: one row a
/// text, for the same inputs every time. A shard that is missing or damaged is made anew, with the same bytes.
///
/// # Errors
/// [`TrainError::StoreMismatch`] where `folder` holds other conditions; [`TrainError::Interrupted`];
/// [`TrainError::Count`], [`TrainError::Inputs`] and [`TrainError::NotFinite`] about what was encoded;
/// [`TrainError::Write`]; those of `encode` and of the prompts' file.
pub fn collect(
    folder: &Path,
    plan: &ConditionPlan,
    prompts: &Prompts,
    interrupt: &Interrupt,
    mut encode: impl FnMut(&[String]) -> Result<Vec<InputRows>, TrainError>,
) -> Result<ConditionStore, TrainError> {
    std::fs::create_dir_all(folder).map_err(TrainError::write(folder))?;
    remove_unfinished(folder)?;
    let there = match unconditional::read(folder, plan) {
        Err(error @ TrainError::Damaged { .. }) => {
            eprintln!("warning: {error}; it is made anew");
            None
        }
        there => there?,
    };
    let unconditional = match there {
        Some(there) => there,
        None => {
            unconditional::make(folder, plan, encoded(&mut encode, &[String::new()])?)?;
            unconditional::read(folder, plan)?
                .ok_or_else(|| TrainError::damaged(unconditional::path(folder), "it vanished while it was used"))?
        }
    };
    let set = plan.rows(&unconditional);
    let rows = rows::collect(folder, &set, interrupt, |range| {
        let mut shard = Shard::new(&unconditional, range)?;
        let mut texts = prompts.starting(shard.first)?;
        while shard.left() > 0 {
            interrupt.check(|| format!("the collection of {NAME}, {} of {} prompts embedded", shard.next(), prompts.len()))?;
            let chunk = texts.by_ref().take(shard.left().min(CHUNK)).collect::<Result<Vec<_>, _>>()?;
            shard.add(chunk.len(), encoded(&mut encode, &chunk)?)?;
        }
        shard.cells(plan)
    })?;
    Ok(ConditionStore::new(rows, unconditional))
}

/// What `encode` makes of texts, sorted by name.
fn encoded(
    encode: &mut impl FnMut(&[String]) -> Result<Vec<InputRows>, TrainError>,
    texts: &[String],
) -> Result<Vec<InputRows>, TrainError> {
    let mut inputs = encode(texts)?;
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    for input in &inputs {
        let (found, wanted) = (input.values.len(), texts.len() * input.row_len());
        if found != wanted {
            let of = format!("{} of {} prompts", input.name, texts.len());
            return Err(TrainError::Count { who: "the text encoders", found, of, wanted });
        }
    }
    Ok(inputs)
}

/// A shard that fills up, chunk by chunk.
struct Shard {
    first: usize,
    count: usize,
    done: usize,
    inputs: Vec<InputRows>,
}

impl Shard {
    /// An empty one, of inputs like these.
    fn new(like: &[InputRows], range: ShardRange) -> Result<Self, TrainError> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let (first, count) = (size(range.first), size(range.count));
        let empty = |input: &InputRows| InputRows {
            name: input.name.clone(),
            shape: input.shape.clone(),
            values: Vec::with_capacity(count * input.row_len()),
        };
        Ok(Self { first, count, done: 0, inputs: like.iter().map(empty).collect() })
    }

    fn left(&self) -> usize {
        self.count - self.done
    }

    /// The prompt that comes next.
    fn next(&self) -> usize {
        self.first + self.done
    }

    fn add(&mut self, rows: usize, inputs: Vec<InputRows>) -> Result<(), TrainError> {
        let describe = |inputs: &[InputRows]| {
            inputs.iter().map(|input| format!("{} {:?}", input.name, input.shape)).collect::<Vec<_>>().join(", ")
        };
        let (found, wanted) = (describe(&inputs), describe(&self.inputs));
        if rows == 0 || found != wanted {
            return Err(TrainError::Inputs { first: self.next(), found, wanted });
        }
        self.inputs.iter_mut().zip(inputs).for_each(|(whole, part)| whole.values.extend(part.values));
        self.done += rows;
        Ok(())
    }

    fn cells(self, plan: &ConditionPlan) -> Result<Vec<Cells>, TrainError> {
        let (first, last) = (self.first, self.first + self.count - 1);
        let cells = |input: InputRows| {
            let what = format!("{} of prompts {first} to {last}", input.name);
            Cells::finite(input.values, plan.dtype).ok_or(TrainError::NotFinite { what, key: "prompts.dtype" })
        };
        self.inputs.into_iter().map(cells).collect()
    }
}
