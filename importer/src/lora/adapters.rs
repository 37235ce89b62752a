//! The changes in a LoRA file, whatever its program called them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dmdx_graph::Weight;

use super::keys::{self, Key, Piece};
use super::kinds::{self, Delta};
use super::settings::Settings;
use crate::error::{ImportError, LoraDefect, LoraFault, Result};
use crate::hf::tensors::Tensors;
use crate::options::ImportOptions;

/// A change of one module.
pub(super) struct Adapter {
    /// The module as the file names it.
    pub module: String,
    /// The change of its weight, if there is one.
    pub weight: Option<WeightChange>,
    /// A vector that is added to its bias, and the factor.
    pub bias: Option<(Weight, f64)>,
}

impl Adapter {
    /// Rows and columns of the change of the weight.
    pub(super) fn size(&self) -> Option<[usize; 2]> {
        let (rows, columns) = match &self.weight.as_ref()?.delta {
            Delta::LowRank { up, down } => (up.shape().first()?, down.shape().get(1)?),
            Delta::Dense(whole) => (whole.shape().first()?, whole.shape().get(1)?),
        };
        Some([*rows, *columns])
    }

    /// What it changes by, for the user.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let weight = self.weight.as_ref();
        let magnitude = weight.and_then(|weight| weight.magnitude.as_ref()).map(|_| "DoRA");
        let bias = self.bias.as_ref().map(|_| "bias");
        weight.map(|weight| weight.kind).into_iter().chain(magnitude).chain(bias)
    }
}

/// A change of a weight.
pub(super) struct WeightChange {
    pub delta: Delta,
    /// `alpha / rank`, or one.
    pub factor: f64,
    /// What the change is called.
    pub kind: &'static str,
    /// The weight's sizes behind the first where the file shows them.
    pub sizes: Option<Vec<usize>>,
    /// DoRA's new lengths.
    pub magnitude: Option<Lengths>,
}

/// New lengths of a weight's rows (`axis` 0) or columns (`axis` 1), as a vector.
#[derive(Clone)]
pub(super) struct Lengths {
    pub lengths: Weight,
    pub axis: usize,
}

/// What a file holds.
#[derive(Default)]
pub(super) struct Contents {
    /// Sorted by module.
    pub adapters: Vec<Adapter>,
    /// Names of embeddings that were trained along.
    pub embeddings: BTreeSet<String>,
    /// Keys that do not belong to a module's change, and modules whose tensors do not form one.
    pub defects: Vec<LoraDefect>,
}

#[derive(Default)]
struct Parts {
    pieces: BTreeMap<Piece, Weight>,
    alpha: Option<f64>,
}

/// Reads a file `name` of `folder`.
///
/// # Errors
/// When the settings beside the weights cannot be read or change the arithmetic in a way that is not supported, or the
/// changes are of a kind that is not merged.
pub(super) fn read(folder: &Path, name: &str, file: &Tensors, options: &ImportOptions) -> Result<Contents> {
    let settings = Settings::read(folder, name, file, options)?;
    let mut contents = Contents::default();
    let mut modules: BTreeMap<String, Parts> = BTreeMap::new();
    let mut others: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (key, weight) in &file.weights {
        match keys::read(&keys::without_adapter_name(key)) {
            Key::Piece(module, Piece::Alpha) => {
                let alpha = (weight.elements() == 1).then(|| weight.to_f64().first().copied()).flatten();
                match alpha.filter(|alpha| alpha.is_finite()) {
                    Some(alpha) => modules.entry(module.into()).or_default().alpha = Some(alpha),
                    None => contents.defects.push(LoraDefect::Alpha { key: key.clone() }),
                }
            }
            Key::Piece(module, piece) => {
                modules.entry(module.into()).or_default().pieces.insert(piece, weight.clone());
            }
            Key::OtherKind(kind) => *others.entry(kind).or_insert(0) += 1,
            Key::Embedding(name) => {
                contents.embeddings.insert(name.chars().take(80).collect());
            }
            Key::Unknown => contents.defects.push(LoraDefect::UnknownKey { key: key.clone() }),
        }
    }
    if let Some((kind, tensors)) = others.into_iter().max_by_key(|(_, tensors)| *tensors) {
        return Err(ImportError::Lora { path: folder.join(name), fault: LoraFault::Kind { kind, tensors } });
    }
    for (module, parts) in modules {
        match adapter(&module, &parts, &settings) {
            Ok(adapter) => contents.adapters.push(adapter),
            Err(defect) => contents.defects.push(defect),
        }
    }
    Ok(contents)
}

fn adapter(module: &str, parts: &Parts, settings: &Settings) -> std::result::Result<Adapter, LoraDefect> {
    let incomplete = || LoraDefect::Incomplete { module: module.into() };
    let change = kinds::change(module, &parts.pieces)?;
    let alpha = parts.alpha.or_else(|| settings.alpha(module));
    let factor = match change.as_ref().map(|change| (change.kind, change.rank)) {
        None | Some(("difference" | "norm", _)) => 1.0,
        // Two whole factors show no rank: without PEFT's settings they stand as they are.
        Some((_, None)) => match (alpha, settings.rank(module)) {
            (Some(alpha), Some(rank)) => alpha / rank,
            _ => 1.0,
        },
        Some((_, Some(rank))) => {
            let rank = rank as f64;
            alpha.unwrap_or(rank) / if settings.rooted(module) { rank.sqrt() } else { rank }
        }
    };
    let magnitude = magnitude(module, &parts.pieces, settings)?;
    let bias = bias(module, &parts.pieces, factor)?;
    if change.is_none() && (bias.is_none() || magnitude.is_some()) {
        return Err(incomplete());
    }
    let weight =
        change.map(|change| WeightChange { delta: change.delta, factor, kind: change.kind, sizes: change.sizes, magnitude });
    Ok(Adapter { module: module.into(), weight, bias })
}

fn bias(module: &str, pieces: &BTreeMap<Piece, Weight>, factor: f64) -> std::result::Result<Option<(Weight, f64)>, LoraDefect> {
    let kinds = [(Piece::DiffBias, 1.0), (Piece::NormBias, 1.0), (Piece::UpBias, factor)];
    let mut found = kinds.iter().filter_map(|(piece, factor)| Some((pieces.get(piece)?, *factor)));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(LoraDefect::TwoKinds { module: module.into(), kinds: ["bias", "bias"] }),
        (Some((bias, _)), None) if !bias.dtype().is_float() => {
            Err(LoraDefect::Types { module: module.into(), types: vec![bias.dtype().name()] })
        }
        (found, _) => Ok(found.map(|(bias, factor)| (bias.clone(), factor))),
    }
}

/// DoRA's lengths. PEFT's are of the rows; those of LyCORIS are of the columns where their first dimension is one.
fn magnitude(
    module: &str,
    pieces: &BTreeMap<Piece, Weight>,
    settings: &Settings,
) -> std::result::Result<Option<Lengths>, LoraDefect> {
    let (lengths, axis) = match (pieces.get(&Piece::DoraScale), pieces.get(&Piece::Magnitude)) {
        (None, None) if settings.has_magnitude(module) => return Err(LoraDefect::NoMagnitude { module: module.into() }),
        (None, None) => return Ok(None),
        (None, Some(rows)) => (rows, 0),
        (Some(lengths), _) => (lengths, usize::from(matches!(lengths.shape(), [1, columns, ..] if *columns > 1))),
    };
    if !lengths.dtype().is_float() {
        return Err(LoraDefect::Types { module: module.into(), types: vec![lengths.dtype().name()] });
    }
    Ok(Some(Lengths { lengths: lengths.clone(), axis }))
}
