//! The files by which stock pipelines of diffusers find a student's scheduler.

use serde_json::{Value, json};

use super::{Call, Diffusers, Stock, stock};
use crate::Error;
use crate::error::FamilyError;
use crate::family::{Family, Place, Settings};
use crate::manifest::{GuidanceRange, Unconditional};
use crate::process::{NoiseSchedule, Rollout};

/// What a student's folder holds besides networks and tokenizers.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The text of `model_index.json`.
    pub model_index: String,
    /// The text of `scheduler/scheduler_config.json`; `None` where no scheduler of diffusers makes the student's steps. A
    /// pipeline without one loads and refuses to draw.
    pub scheduler: Option<String>,
    /// What both come to.
    pub diffusers: Diffusers,
}

impl Layout {
    /// Of a student that walks along `rollout` on this noise process, where its teacher's `model_index.json` was `index`;
    /// `guidance` is there for guided students, with what their unconditional half is fed.
    #[must_use]
    pub fn new(
        family: &dyn Family,
        index: &Value,
        rollout: &Rollout,
        schedule: &NoiseSchedule,
        guidance: Option<(GuidanceRange, Unconditional)>,
    ) -> Self {
        let mut index = index.clone();
        let found = stock(rollout, schedule, guidance.map(|(range, _)| range.default)).and_then(|found| {
            let Some((_, stated)) = guidance else { return Ok(found) };
            // The key of pipelines that have a choice.
            if family.unconditional(&Index(&index)) != stated {
                index["force_zeros_for_empty_prompt"] = (stated == Unconditional::Zeros).into();
            }
            match family.unconditional(&Index(&index)) == stated {
                true => Ok(found),
                false => Err(format!("diffusers' {} cannot be guided away from {}", family.class(), stated.words())),
            }
        });
        // A number that is none is refused where prompts are read.
        let length = family.max_sequence_length(&Index(&index)).unwrap_or_default();
        let found = found.map(|found| Stock { call: Call { max_sequence_length: length, ..found.call }, ..found });
        index["scheduler"] = match &found {
            Ok(found) => json!(["diffusers", found.class()]),
            Err(_) => json!([null, null]),
        };
        let scheduler = found.as_ref().ok().map(|found| text(&found.config));
        let diffusers = match found {
            Ok(found) => {
                Diffusers::Scheduler { scheduler: found.class().to_owned(), call: found.call.clone(), note: found.note.clone() }
            }
            Err(no_scheduler) => Diffusers::None { no_scheduler },
        };
        Self { model_index: text(&index), scheduler, diffusers }
    }
}

/// JSON as diffusers writes it.
fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The settings of a pipeline of which nothing but `model_index.json` is known.
struct Index<'a>(&'a Value);

impl Settings for Index<'_> {
    fn index(&self) -> &Value {
        self.0
    }

    fn config(&self, _folder: &str) -> &Value {
        &Value::Null
    }

    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        Err(FamilyError::no_input(network, input).into())
    }
}
