//! The examples of a card, in Python.

use std::fmt::Write;

use super::{Subject, quoted};
use crate::manifest::{Manifest, Unconditional, VaeScaling};
use crate::process::Level;
use crate::student::Diffusers;

const ONNXRUNTIME: &str = include_str!("onnxruntime.py");

/// A whole walk from a prompt to a file, for families that say how prompts are encoded.
pub(super) fn onnxruntime(subject: &Subject<'_>, manifest: &Manifest) -> Option<String> {
    let encode = subject.family.python()?;
    let [network, sample, time, output] = subject.names();
    let shape: Vec<String> = manifest.latent_shape.iter().map(ToString::to_string).collect();
    let values = [
        ("@ENCODE@", encode.to_owned()),
        ("@NETWORK@", network.to_owned()),
        ("@SAMPLE@", sample.to_owned()),
        ("@TIME@", time.to_owned()),
        ("@OUTPUT@", output.to_owned()),
        ("@CONDITIONS@", conditions(subject, manifest)),
        ("@SHAPE@", shape.join(", ")),
        ("@WALK@", walk(subject)),
        ("@LATENTS@", latents(&manifest.vae)),
        // Last: it may hold anything.
        ("@PROMPT@", quoted(subject.notes.prompt())),
    ];
    Some(values.iter().fold(ONNXRUNTIME.to_owned(), |text, (mark, value)| text.replace(mark, value)))
}

fn conditions(subject: &Subject<'_>, manifest: &Manifest) -> String {
    let mut text = String::from("told = encode(prompt)");
    if subject.weight().is_some() {
        text += match subject.unconditional {
            Unconditional::Zeros => "\nnothing = {name: np.zeros_like(value) for name, value in told.items()}",
            Unconditional::EmptyPrompt => "\nnothing = encode(\"\")",
        };
    }
    if let Some(ids) = &manifest.time_ids {
        let _ = write!(text, "\ntold[\"time_ids\"] = np.array([{ids:?}], np.float32)");
        if subject.weight().is_some() {
            text += "\nnothing[\"time_ids\"] = told[\"time_ids\"]";
        }
    }
    text
}

/// The steps with their coefficients, each rounded once.
fn walk(subject: &Subject<'_>) -> String {
    let (draws, mut text) = (super::walk::draws(&subject.rollout), String::new());
    for super::walk::Row { time, a, b, next: Level { alpha, sigma } } in super::walk::rows(&subject.rollout) {
        let _ = match draws {
            true => writeln!(text, "    ({time:?}, {a:?}, {b:?}, {alpha:?}, {sigma:?}),"),
            false => writeln!(text, "    ({time:?}, {a:?}, {b:?}),"),
        };
    }
    let output = match subject.weight() {
        None => "    o = ask(x, time, told)\n".to_owned(),
        Some(weight) => {
            format!("    u, c = ask(x, time, nothing), ask(x, time, told)\n    o = u + np.float32({weight:?}) * (c - u)\n")
        }
    };
    let step = "    x = np.float32(a) * x + np.float32(b) * o\n";
    match draws {
        true => format!(
            "for time, a, b, alpha, sigma in [  # the clean sample is a x + b o, the next one alpha of it and sigma of noise\n{text}]:\n\
             {output}{step}    x = np.float32(alpha) * x + np.float32(sigma) * noise.standard_normal(x.shape).astype(np.float32)\n"
        ),
        false => format!("for time, a, b in [  # the next sample is a x + b o\n{text}]:\n{output}{step}"),
    }
}

fn latents(vae: &VaeScaling) -> String {
    let array = |values: &[f64]| format!("np.array({values:?}, np.float32).reshape(1, -1, 1, 1)");
    let scaling = format!("np.float32({:?})", vae.scaling_factor);
    match (&vae.latents_mean, &vae.latents_std) {
        (Some(mean), Some(std)) => format!("x * {} / {scaling} + {}", array(std), array(mean)),
        (None, _) | (_, None) => format!("x / {scaling} + np.float32({:?})", vae.shift_factor),
    }
}

/// The same in optimum, which has no pipelines of videos, for students that diffusers' schedulers walk without guidance.
pub(super) fn optimum(subject: &Subject<'_>) -> Option<String> {
    if subject.is_video {
        return None;
    }
    let Some(Diffusers::Scheduler { call, .. }) = subject.diffusers.filter(|_| subject.weight().is_none()) else { return None };
    let class = format!("ORT{}", subject.family.class());
    Some(format!(
        "from optimum.onnxruntime import {class}\n\npipe = {class}.from_pretrained(\".\")  # this folder\n\
         picture = pipe({}, {}).images[0]\npicture.save(\"optimum.png\")\n",
        quoted(subject.notes.prompt()),
        call.python()
    ))
}
