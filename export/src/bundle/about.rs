//! What an ONNX file says about itself, so that it can be used without the files beside it.

use dmdx_runtime::manifest::{Manifest, Role};
use dmdx_runtime::process::Parameterisation;
use serde::Serialize;

use crate::options::About;
use crate::source::SourceModel;

/// Of one model of a bundle, whose manifest knows its steps and its source.
pub(super) fn in_bundle(manifest: &Manifest, model: &SourceModel) -> About {
    let role = match manifest.role {
        Role::Student => "student",
        Role::Teacher => "teacher",
    };
    let (source, licence) = (&manifest.provenance.source, &manifest.provenance.licence);
    let mut about = of_source(&model.folder, source, &manifest.provenance.source_sha256, licence);
    about.doc.push_str(&format!(", a {role} of the kind {}.", manifest.pipeline));
    let mut add = |key: &str, value: String| about.facts.insert(format!("dmdx.{key}"), value);
    add("pipeline", manifest.pipeline.clone());
    add("role", role.into());
    if model.is_denoiser {
        add("steps", text(&manifest.steps));
        let name = serde_json::to_value(manifest.parameterisation).unwrap_or_default();
        add("parameterisation", name.as_str().unwrap_or_default().into());
        add("schedule", text(&manifest.schedule));
        let meaning = meaning(manifest.parameterisation);
        add("output", meaning.into());
        let times: Vec<String> = manifest.steps.iter().map(f64::to_string).collect();
        let shown = if times.len() > 8 { format!("{} times", times.len()) } else { format!("the times {}", times.join(", ")) };
        about.doc.push_str(&format!(" It is asked at {shown}; its output is {meaning}."));
    } else if model.folder.starts_with("vae") {
        add("vae", text(&manifest.vae));
    }
    about
}

/// Numbers, texts and lists always have a JSON form; the order of fields is that of their declaration.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Of a network alone.
pub(super) fn of_source(part: &str, source: &str, sha256: &str, licence: &str) -> About {
    let facts = [("source", source), ("source_sha256", sha256)];
    let facts = facts.into_iter().map(|(key, value)| (format!("dmdx.{key}"), value.to_string())).collect();
    let mut about = About { doc: format!("{part} of {source}"), facts };
    if !licence.is_empty() {
        about.facts.insert("dmdx.licence".into(), licence.into());
    }
    about
}

/// What the output is, in words, where the sample is `alpha x0 + sigma noise`.
fn meaning(parameterisation: Parameterisation) -> &'static str {
    match parameterisation {
        Parameterisation::Epsilon => "the noise: x0 = (sample - sigma * output) / alpha",
        Parameterisation::Sample => "x0",
        Parameterisation::VPrediction => "the velocity alpha * noise - sigma * x0",
        Parameterisation::Flow => "noise - x0: x0 = sample - sigma * output, where sigma = 1 - alpha",
        Parameterisation::LineVelocity => "noise - x0: x0 = sample - sigma * output, where sigma is 1 at the first time",
    }
}
