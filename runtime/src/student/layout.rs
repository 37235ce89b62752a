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
    /// Of a student that walks along `rollout` on this noise process, where `index` was its teacher's `model_index.json` and
    /// `config` its denoiser's `config.json`; `guidance` is there for guided students, with what their unconditional half is
    /// fed.
    #[must_use]
    pub fn new(
        family: &dyn Family,
        [index, config]: [&Value; 2],
        rollout: &Rollout,
        schedule: &NoiseSchedule,
        guidance: Option<(GuidanceRange, Unconditional)>,
    ) -> Self {
        let mut index = index.clone();
        let denoiser = (family.denoiser().folder, config);
        let found = stock(rollout, schedule, guidance.map(|(range, _)| range.default)).and_then(|found| {
            let Some((_, stated)) = guidance else { return Ok(found) };
            // The key of pipelines that have a choice.
            if family.unconditional(&Files { index: &index, denoiser }) != stated {
                index["force_zeros_for_empty_prompt"] = (stated == Unconditional::Zeros).into();
            }
            match family.unconditional(&Files { index: &index, denoiser }) == stated {
                true => Ok(found),
                false => Err(format!("diffusers' {} cannot be guided away from {}", family.class(), stated.words())),
            }
        });
        // A number that is none is refused where prompts are read.
        let length = family.max_sequence_length(&Files { index: &index, denoiser }).unwrap_or_default();
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

/// The settings of a pipeline of which nothing but `model_index.json` and the denoiser's `config.json` is known.
struct Files<'a> {
    index: &'a Value,
    /// Its folder, and the file.
    denoiser: (&'a str, &'a Value),
}

impl Settings for Files<'_> {
    fn index(&self) -> &Value {
        self.index
    }

    fn config(&self, folder: &str) -> &Value {
        if folder == self.denoiser.0 { self.denoiser.1 } else { &Value::Null }
    }

    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        Err(FamilyError::no_input(network, input).into())
    }
}
