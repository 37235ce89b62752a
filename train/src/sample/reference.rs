//! A whole pipeline against a file of what its reference library made from the same prompt and noise.

use std::path::Path;

use burn::tensor::Device;
use dmdx_importer::check::{Kind, Report, Row};
use dmdx_importer::reference::{RefTensor, read_tensors};
use dmdx_importer::{ImportOptions, import_pipeline};
use dmdx_runtime::Tensor;
use std::collections::BTreeMap;

use super::{Request, Trace, run};
use crate::error::TrainError;
use crate::teacher::{Interpreted, OnBurn};

/// Whether a file is one of a whole pipeline: it holds the first latents.
///
/// # Errors
/// When it cannot be read.
pub fn is_of_pipeline(io: &Path) -> Result<bool, TrainError> {
    Ok(read(io)?.0.contains_key("latents.0"))
}

/// Imports the pipeline at `path`, makes what the file's metadata asks for (`prompt`, `negative_prompt`, `steps`,
/// `guidance_scale`, `height`, `width`, `num_frames`, and where given `use_dynamic_cfg` and `guidance_rescale`) from its `latents.0`, and compares embeddings, timesteps, all
/// latents and the picture or video. By Burn on `device`, or by the interpreter.
///
/// # Errors
/// When pipeline or file cannot be read, or do not belong together.
pub fn check(
    path: &Path,
    io: &Path,
    tolerance: f64,
    options: &ImportOptions,
    device: Option<&Device>,
) -> Result<Report, TrainError> {
    let (reference, metadata) = read(io)?;
    let damaged = |reason: String| TrainError::damaged(io, reason);
    let text = |key: &str| metadata.get(key).cloned().ok_or_else(|| damaged(format!("its metadata lacks {key}")));
    let number = |key: &str| -> Result<usize, TrainError> {
        text(key)?
            .parse()
            .map_err(|_| damaged(format!("its metadata says {key} = {}, not a number", text(key).unwrap_or_default())))
    };
    let weight = text("guidance_scale")?;
    let request = Request {
        prompt: text("prompt")?,
        negative_prompt: metadata.get("negative_prompt").cloned(),
        steps: number("steps")?,
        guidance_scale: weight.parse().map_err(|_| damaged(format!("its guidance_scale is {weight}, not a number")))?,
        dynamic_guidance: metadata.get("use_dynamic_cfg").is_some_and(|value| value == "True"),
        guidance_rescale: match metadata.get("guidance_rescale") {
            None => 0.0,
            Some(value) => value.parse().map_err(|_| damaged(format!("its guidance_rescale is {value}, not a number")))?,
        },
        height: number("height")?,
        width: number("width")?,
        seed: 0,
    };
    let frames = metadata.contains_key("num_frames").then(|| number("num_frames")).transpose()?;
    let noise = reference.get("latents.0").ok_or_else(|| damaged("it lacks latents.0".into()))?;
    let noise = Tensor::f32(noise.shape.clone(), noise.to_f32())?;
    let options = ImportOptions { frames, ..options.clone() };
    let pipeline = import_pipeline(path, &options).map_err(|error| TrainError::component("importing the pipeline", error))?;
    let (trace, engine) = match device {
        Some(device) => (run(&pipeline, &OnBurn::new(&pipeline, device.clone()), &request, &noise, &|_, _| ())?, "Burn"),
        None => (run(&pipeline, &Interpreted::new(&pipeline), &request, &noise, &|_, _| ())?, "the interpreter"),
    };
    let rows = rows(&reference, &trace, tolerance)?;
    Ok(Report { title: format!("{} by {engine}", pipeline.class), rows })
}

type Tensors = BTreeMap<String, RefTensor>;

fn read(io: &Path) -> Result<(Tensors, BTreeMap<String, String>), TrainError> {
    read_tensors(io).map_err(|error| TrainError::component("reading the reference file", error))
}

fn rows(reference: &Tensors, trace: &Trace, tolerance: f64) -> Result<Vec<Row>, TrainError> {
    let times = Tensor::f32([trace.timesteps.len()], trace.timesteps.iter().map(|&time| time as f32).collect())?;
    let named = |name: &str| -> Option<&Tensor> {
        match name {
            "timesteps" => Some(&times),
            "out.latents" => trace.latents.last(),
            "out.image" | "out.video" => Some(&trace.result),
            _ => match name.strip_prefix("latents.") {
                Some(index) => trace.latents.get(index.parse::<usize>().ok()?),
                None => embedding(trace, name),
            },
        }
    };
    let mut rows = Vec::new();
    // The sigmas are the scheduler's own affair and compared with its traces.
    for (name, expected) in reference.iter().filter(|(name, _)| *name != "sigmas") {
        let kind = if name.starts_with("out.") { Kind::Output } else { Kind::Activation };
        rows.push(match named(name) {
            Some(found) => {
                let values: Vec<f64> = found.floats()?.iter().copied().map(f64::from).collect();
                Row::compare(kind, name, expected, found.shape(), &values, tolerance)
            }
            None => Row::missing(kind, name, tolerance),
        });
    }
    Ok(rows)
}

/// What the pipeline's classes call the conditions.
fn embedding<'t>(trace: &'t Trace, name: &str) -> Option<&'t Tensor> {
    let (condition, name) = match name.strip_prefix("negative_") {
        Some(name) => (&trace.negative, name),
        None => (&trace.told, name),
    };
    let place = ["prompt_embeds", "pooled_prompt_embeds"].iter().position(|known| *known == name)?;
    condition.inputs().nth(place).map(|(_, tensor)| tensor)
}
