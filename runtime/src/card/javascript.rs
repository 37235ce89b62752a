//! The example of a card that runs in a page, by onnxruntime-web.

use std::fmt::Write;

use super::{Subject, quoted};
use crate::manifest::{Manifest, Unconditional, VaeScaling};
use crate::process::Level;

const ONNXRUNTIME_WEB: &str = include_str!("onnxruntime_web.js");

/// WebAssembly has 4 GiB, and every weight is there twice while a model is loaded.
const MOST_BYTES: u64 = 2 << 30;

/// A whole walk from the prompt's ids to pixels, for small bundles without external weights of families that say how ids
/// are encoded.
pub(super) fn onnxruntime_web(subject: &Subject<'_>, manifest: &Manifest, ids: &[(String, Vec<i64>)]) -> Option<String> {
    let encode = subject.family.javascript()?;
    let is_model = |name: &str| name.ends_with(".onnx") || name.ends_with(".onnx_data");
    let models = manifest.files.iter().filter(|(name, _)| is_model(name));
    let (bytes, external) = models.fold((0u64, false), |(bytes, external), (name, file)| {
        (bytes.saturating_add(file.bytes), external || name.ends_with(".onnx_data"))
    });
    // An empty prompt's ids are not at hand.
    let is_guided_by_text = subject.weight().is_some() && subject.unconditional == Unconditional::EmptyPrompt;
    if external || bytes > MOST_BYTES || is_guided_by_text || ids.is_empty() {
        return None;
    }
    let lists: Vec<String> = ids.iter().map(|(name, ids)| format!("{}: {ids:?}", quoted(name))).collect();
    let shape: Vec<String> = manifest.latent_shape.iter().map(ToString::to_string).collect();
    let values = [
        ("@IDS@", format!("{{ {} }}", lists.join(", "))),
        ("@ENCODE@", encode.to_owned()),
        ("@CONDITIONS@", conditions(subject, manifest)),
        ("@SHAPE@", shape.join(", ")),
        ("@WALK@", walk(subject)),
        ("@LATENTS@", latents(&manifest.vae)),
        // Last: it may hold anything.
        ("@PROMPT@", quoted(subject.notes.prompt())),
    ];
    Some(values.iter().fold(ONNXRUNTIME_WEB.to_owned(), |text, (mark, value)| text.replace(mark, value)))
}

fn conditions(subject: &Subject<'_>, manifest: &Manifest) -> String {
    let mut text = String::from("const told = await encode();");
    if subject.weight().is_some() {
        text += "\nconst nothing = {};\nfor (const [name, value] of Object.entries(told)) {\n  \
                 nothing[name] = floats(new Float32Array(value.data.length), value.dims);\n}";
    }
    if let Some(ids) = &manifest.time_ids {
        let names = if subject.weight().is_some() { "told.time_ids = nothing.time_ids" } else { "told.time_ids" };
        let _ = write!(text, "\n{names} = floats({ids:?}, [1, {}]);", ids.len());
    }
    text
}

/// The steps with their coefficients.
fn walk(subject: &Subject<'_>) -> String {
    let (draws, mut text) = (super::walk::draws(&subject.rollout), String::new());
    for super::walk::Row { time, a, b, next: Level { alpha, sigma } } in super::walk::rows(&subject.rollout) {
        let _ = match draws {
            true => writeln!(text, "  [{time:?}, {a:?}, {b:?}, {alpha:?}, {sigma:?}],"),
            false => writeln!(text, "  [{time:?}, {a:?}, {b:?}],"),
        };
    }
    let [network, sample, time, output] = subject.names();
    let ask = |told: &str| {
        format!(
            "(await run(\"{network}\", {{ {sample}: floats(x, shape), {time}: floats([time], [1]), ...{told} }})).{output}.data"
        )
    };
    let answer = match subject.weight() {
        None => format!("  const o = {};\n", ask("told")),
        Some(weight) => format!(
            "  const [u, c] = [{}, {}];\n  const o = u.map((value, i) => value + {weight:?} * (c[i] - value));\n",
            ask("nothing"),
            ask("told")
        ),
    };
    match draws {
        true => format!(
            "for (const [time, a, b, alpha, sigma] of [  // the clean sample is a x + b o, the next one alpha of it and sigma of noise\n{text}]) \
             {{\n{answer}  x = x.map((value, i) => alpha * (a * value + b * o[i]) + sigma * normal());\n}}"
        ),
        false => format!(
            "for (const [time, a, b] of [  // the next sample is a x + b o\n{text}]) {{\n{answer}  \
             x = x.map((value, i) => a * value + b * o[i]);\n}}"
        ),
    }
}

fn latents(vae: &VaeScaling) -> String {
    let scale = vae.scaling_factor;
    match (&vae.latents_mean, &vae.latents_std) {
        (Some(mean), Some(std)) => format!(
            "x.map((value, i) => {{\n  const channel = Math.floor(i / (shape[2] * shape[3]));\n  \
             return value * {std:?}[channel] / {scale:?} + {mean:?}[channel];\n}})"
        ),
        (None, _) | (_, None) => format!("x.map((value) => value / {scale:?} + {:?})", vae.shift_factor),
    }
}
