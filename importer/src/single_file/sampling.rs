//! The scheduler of a file that holds none: that of the released model of the same shapes, changed by what the file says.

use std::path::Path;

use serde_json::{Value, json};

use super::known::{Known, Predicts, SCHEDULER_SD2};
use super::marks::{Marks, Prediction};
use crate::contents::Contents;
use crate::error::{ImportError, Result};
use crate::hf::json::{JsonFile, parse_object};

/// How a recognised model is sampled.
#[derive(Default)]
pub(super) struct Sampling {
    /// The scheduler's configuration; nothing where neither shapes nor file say enough.
    pub scheduler: Option<JsonFile>,
    /// What was assumed about it.
    pub assumed: Option<String>,
    /// What the user should know.
    pub notes: Vec<String>,
}

impl Sampling {
    /// Of a released model's shapes and of what the file says beyond them.
    ///
    /// # Errors
    /// [`ImportError::Preconditioned`] for a network of another kind.
    pub(super) fn of(path: &Path, known: &Known, marks: &Marks) -> Result<Self> {
        let Some(released) = &known.sampling else { return Ok(Self::default()) };
        refuse_edm(path, marks)?;
        let mut value = parsed(path, released.scheduler)?;
        let many = "it is no few-step student";
        if released.predicts == Predicts::Flow {
            let assumed = assumed(&[&format!("the times are shifted by {}", value["shift"]), many]);
            let scheduler = Some(JsonFile { text: released.scheduler.into(), value });
            return Ok(Self { scheduler, assumed: Some(assumed), notes: Vec::new() });
        }
        let said = marks.prediction.as_ref().map(|(prediction, _)| *prediction);
        let unknown = |reason: &str| {
            let note = format!("{reason}, so the file does not say how to sample; give the scheduler with --config");
            Ok(Self { notes: vec![note], ..Self::default() })
        };
        let prediction = match (said, released.predicts) {
            (Some(prediction), _) => prediction,
            (None, _) if marks.unknown.is_some() => return unknown("its prediction is not known"),
            (None, Predicts::NoiseOrVelocity) => {
                return unknown(&format!("{} models that predict noise and velocity have the same shapes", known.title));
            }
            (None, Predicts::Noise | Predicts::Flow) => Prediction::Epsilon,
        };
        if marks.zero_snr.is_some() {
            if prediction == Prediction::Epsilon {
                return unknown("noise that ends at a signal-to-noise ratio of zero needs a network that predicts velocity");
            }
            rescale(path, &mut value)?;
        }
        value["prediction_type"] = prediction.name().into();
        let table = format!(
            "its noise table is {}, {} to {} in {} times",
            value["beta_schedule"].as_str().unwrap_or_default(),
            value["beta_start"],
            value["beta_end"],
            value["num_train_timesteps"]
        );
        let epsilon = (said.is_none()).then_some("the network predicts noise (epsilon)");
        let points: Vec<&str> = epsilon.into_iter().chain([table.as_str(), many]).collect();
        let scheduler = Some(JsonFile { text: format!("{value:#}\n"), value });
        Ok(Self { scheduler, assumed: Some(assumed(&points)), notes: Vec::new() })
    }
}

/// Changes the scheduler of a configuration, which may have been given for its tokenizers, to what the file says of itself,
/// and its entry in the index. Gives a sentence for every change.
///
/// # Errors
/// [`ImportError::Preconditioned`] for a network of another kind.
pub(super) fn adapt(path: &Path, contents: &mut Contents, marks: &Marks) -> Result<Vec<String>> {
    refuse_edm(path, marks)?;
    let mut notes = Vec::new();
    let Some(scheduler) = &mut contents.scheduler else { return Ok(notes) };
    let class = scheduler.value["_class_name"].as_str().unwrap_or_default().to_string();
    if class.starts_with("FlowMatch") {
        return Ok(notes);
    }
    let given = scheduler.value["prediction_type"].as_str().unwrap_or("epsilon").to_string();
    let mut predicts_velocity = given == Prediction::Velocity.name();
    if let Some((prediction, by)) = marks.prediction.as_ref().filter(|(prediction, _)| prediction.name() != given) {
        predicts_velocity = *prediction == Prediction::Velocity;
        scheduler.value["prediction_type"] = prediction.name().into();
        let name = prediction.name();
        notes.push(format!("the scheduler of the configuration has prediction_type {given}, which is made {name} as {by} says"));
    }
    if let Some(by) = marks.zero_snr.as_ref().filter(|_| scheduler.value["rescale_betas_zero_snr"] != true) {
        if predicts_velocity {
            rescale(path, &mut scheduler.value)?;
            notes.push(format!("the scheduler of the configuration is rescaled to a signal-to-noise ratio of zero as {by} says"));
        } else {
            notes.push(format!("{by} says that the noise ends at a signal-to-noise ratio of zero, which the scheduler does not"));
        }
    }
    if !notes.is_empty() {
        scheduler.text = format!("{:#}\n", scheduler.value);
        if scheduler.value["_class_name"] != class {
            contents.index.value["scheduler"] = json!(["diffusers", scheduler.value["_class_name"]]);
            contents.index.text = format!("{:#}\n", contents.index.value);
        }
    }
    Ok(notes)
}

fn refuse_edm(path: &Path, marks: &Marks) -> Result<()> {
    match marks.edm.clone() {
        Some(marks) => Err(ImportError::Preconditioned { path: path.into(), marks }),
        None => Ok(()),
    }
}

/// Lets the noise end at a signal-to-noise ratio of zero.
fn rescale(path: &Path, scheduler: &mut Value) -> Result<()> {
    if scheduler["_class_name"] == "PNDMScheduler" {
        // This class of diffusers leaves the table as it is.
        let prediction = scheduler["prediction_type"].take();
        *scheduler = parsed(path, SCHEDULER_SD2)?;
        scheduler["prediction_type"] = prediction;
    }
    // Sampling has to begin at the last time, where only noise is left (arXiv 2305.08891, section 3.3).
    scheduler["rescale_betas_zero_snr"] = true.into();
    scheduler["timestep_spacing"] = "trailing".into();
    Ok(())
}

/// A configuration of this program.
fn parsed(path: &Path, text: &str) -> Result<Value> {
    parse_object(text, 8).map_err(|fault| ImportError::Json { path: path.into(), fault })
}

fn assumed(points: &[&str]) -> String {
    format!(
        "assumed, because neither the shapes nor the file say it: {}; a model for which that is wrong needs its scheduler \
         given with --config",
        points.join(", ")
    )
}
