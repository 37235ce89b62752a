//! The scheduler of a file that holds none: that of the released model of the same shapes, changed by what the file says.

use std::path::Path;

use super::known::{Known, Predicts, SCHEDULER_SD2};
use super::marks::{Marks, Prediction};
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
        if let Some(marks) = marks.edm.clone() {
            return Err(ImportError::Preconditioned { path: path.into(), marks });
        }
        let parsed = |text: &str| parse_object(text, 8).map_err(|fault| ImportError::Json { path: path.into(), fault });
        let mut value = parsed(released.scheduler)?;
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
            if value["_class_name"] == "PNDMScheduler" {
                // This class of diffusers leaves the table as it is.
                value = parsed(SCHEDULER_SD2)?;
            }
            // Sampling has to begin at the last time, where only noise is left (arXiv 2305.08891, section 3.3).
            value["rescale_betas_zero_snr"] = true.into();
            value["timestep_spacing"] = "trailing".into();
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

fn assumed(points: &[&str]) -> String {
    format!(
        "assumed, because neither the shapes nor the file say it: {}; a model for which that is wrong needs its scheduler \
         given with --config",
        points.join(", ")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::known::KNOWN;
    use super::*;

    /// Every recognised model can be sampled with what its file says; the words are those of the released configuration.
    #[test]
    fn schedulers_follow_the_marks() {
        let of = |title: &str, marks: &Marks| {
            let known = KNOWN.iter().find(|known| known.title == title).unwrap();
            Sampling::of(Path::new("m.safetensors"), known, marks).map(|sampling| sampling.scheduler.map(|json| json.value))
        };
        let velocity = || Some((Prediction::Velocity, "a mark".to_string()));
        let v = Marks { prediction: velocity(), ..Marks::default() };
        let zero = Marks { prediction: velocity(), zero_snr: Some("a mark".into()), ..Marks::default() };
        let none = Marks::default();
        let rows = [
            ("Stable Diffusion XL base", &none, "EulerDiscreteScheduler", "epsilon", false, "leading"),
            ("Stable Diffusion XL base", &v, "EulerDiscreteScheduler", "v_prediction", false, "leading"),
            ("Stable Diffusion XL base", &zero, "EulerDiscreteScheduler", "v_prediction", true, "trailing"),
            ("Stable Diffusion 1", &v, "PNDMScheduler", "v_prediction", false, "leading"),
            ("Stable Diffusion 1", &zero, "DDIMScheduler", "v_prediction", true, "trailing"),
            ("Stable Diffusion 2", &v, "DDIMScheduler", "v_prediction", false, "leading"),
            ("Stable Diffusion 2", &zero, "DDIMScheduler", "v_prediction", true, "trailing"),
        ];
        for (title, marks, class, prediction, rescaled, spacing) in rows {
            let found = of(title, marks).unwrap().unwrap();
            let rescales = found["rescale_betas_zero_snr"] == true;
            let row = (&found["_class_name"], &found["prediction_type"], rescales, &found["timestep_spacing"]);
            assert_eq!(row, (&class.into(), &prediction.into(), rescaled, &spacing.into()), "{title} {marks:?}");
        }
        assert!(of("Stable Diffusion 2", &none).unwrap().is_none());
        assert!(
            of("Stable Diffusion XL base", &Marks { zero_snr: Some("a mark".into()), ..Marks::default() }).unwrap().is_none()
        );
        assert!(of("Stable Diffusion XL base", &Marks { edm: Some("a mark".into()), ..Marks::default() }).is_err());
    }
}
