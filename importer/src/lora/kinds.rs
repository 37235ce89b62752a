//! What a module's tensors come to: the formulas of LoRA (arXiv 2106.09685), LoHa (arXiv 2108.06098), LoKr (arXiv
//! 2212.10650) and of Tucker decompositions, as PEFT and LyCORIS publish them, on matrices whose columns are a
//! convolution's channels and kernel.

use std::collections::BTreeMap;

use dmdx_graph::Weight;
use dmdx_graph::error::WeightError;
use dmdx_graph::weights::WeightExpr;

use super::keys::Piece;
use crate::error::LoraDefect;

/// A change of a weight, without its factor.
#[derive(Clone)]
pub(super) enum Delta {
    /// `up · down`: `[out, rank]` and `[rank, columns]`.
    LowRank { up: Weight, down: Weight },
    /// `[out, columns]`, in f64 or as the file has it.
    Dense(Weight),
}

/// A change, what it is called, and what its factor is divided by.
pub(super) struct Change {
    pub delta: Delta,
    pub kind: &'static str,
    /// Nothing where the change has no factor of its own.
    pub rank: Option<usize>,
    /// The sizes behind the first where the file shows them.
    pub sizes: Option<Vec<usize>>,
}

/// The kinds by the tensors that only they have.
const KINDS: [(&str, &[Piece]); 6] = [
    ("LoRA", &[Piece::Up, Piece::Down, Piece::Mid]),
    ("LoRA of an embedding", &[Piece::EmbeddingUp, Piece::EmbeddingDown]),
    ("LoHa", &[Piece::HadaW1A, Piece::HadaW1B, Piece::HadaW2A, Piece::HadaW2B, Piece::HadaT1, Piece::HadaT2]),
    ("LoKr", &[Piece::KronW1, Piece::KronW1A, Piece::KronW1B, Piece::KronW2, Piece::KronW2A, Piece::KronW2B, Piece::KronT2]),
    ("difference", &[Piece::Diff]),
    ("norm", &[Piece::NormDiff]),
];

/// The change of a module's weight; nothing where none of the tensors is for it.
///
/// # Errors
/// When tensors are missing, belong to different kinds, are no floats or do not fit together.
pub(super) fn change(module: &str, pieces: &BTreeMap<Piece, Weight>) -> Result<Option<Change>, LoraDefect> {
    let name = || module.to_string();
    let mut found = KINDS.iter().filter(|(_, own)| own.iter().any(|piece| pieces.contains_key(piece)));
    let Some((kind, own)) = found.next() else { return Ok(None) };
    if let Some((other, _)) = found.next() {
        return Err(LoraDefect::TwoKinds { module: name(), kinds: [kind, other] });
    }
    let own: Vec<&Weight> = own.iter().filter_map(|piece| pieces.get(piece)).collect();
    if own.iter().any(|weight| !weight.dtype().is_float()) {
        let types = own.iter().map(|weight| weight.dtype().name()).collect();
        return Err(LoraDefect::Types { module: name(), types });
    }
    let shapes = || own.iter().map(|weight| weight.shape().to_vec()).collect::<Vec<_>>();
    let made = match *kind {
        "LoRA" => low_rank(pieces),
        "LoRA of an embedding" => embedding(pieces),
        "LoHa" => hadamard(pieces),
        "LoKr" => kronecker(pieces),
        _ => own.first().map_or(Err(Fault::Missing), |weight| whole(weight)),
    };
    match made {
        Ok((delta, rank, sizes)) if own.iter().all(|weight| weight.elements() > 0) => {
            let kind = if pieces.contains_key(&Piece::Mid) { "Tucker LoRA" } else { kind };
            Ok(Some(Change { delta, kind, rank, sizes }))
        }
        Err(Fault::Missing) => Err(LoraDefect::Incomplete { module: name() }),
        Ok(_) | Err(Fault::Unfit) => Err(LoraDefect::Shapes { module: name(), shapes: shapes() }),
    }
}

/// Why tensors do not make a change.
enum Fault {
    Missing,
    Unfit,
}

impl From<WeightError> for Fault {
    fn from(_: WeightError) -> Self {
        Fault::Unfit
    }
}

type Made = Result<(Delta, Option<usize>, Option<Vec<usize>>), Fault>;

/// The tensor of a kind that has to be there.
fn needed(pieces: &BTreeMap<Piece, Weight>, piece: Piece) -> Result<Weight, Fault> {
    pieces.get(&piece).cloned().ok_or(Fault::Missing)
}

/// A tensor as a matrix whose columns are all that lies behind the first dimension.
fn flat(weight: &Weight) -> Result<Weight, Fault> {
    let Some((rows, rest)) = weight.shape().split_first() else { return Err(Fault::Unfit) };
    Ok(WeightExpr::reshape(weight.clone(), vec![*rows, rest.iter().product()])?)
}

fn transposed(weight: &Weight) -> Result<Weight, Fault> {
    Ok(WeightExpr::permute(flat(weight)?, &[1, 0])?)
}

/// `[out, rank]` with a kernel of one element, or none.
fn pointwise(weight: &Weight) -> Result<Weight, Fault> {
    match weight.shape() {
        [_, _, ones @ ..] if ones.iter().all(|size| *size == 1) => flat(weight),
        _ => Err(Fault::Unfit),
    }
}

/// The matrix `[out, in * kernel]` of a core `[a, b, kernel…]` between `first` (`[out, a]`) and `second` (`[b, in]`).
fn tucker(core: &Weight, first: Weight, second: Weight) -> Result<(Weight, Vec<usize>), Fault> {
    let ([a, b, kernel @ ..], [out, _], [_, inputs]) = (core.shape(), first.shape(), second.shape()) else {
        return Err(Fault::Unfit);
    };
    let (out, inputs, size) = (*out, *inputs, kernel.iter().product::<usize>());
    let sizes = [&[inputs], kernel].concat();
    let core = WeightExpr::reshape(core.clone(), vec![*a, *b, size])?;
    let rows = a.checked_mul(size).ok_or(Fault::Unfit)?;
    let core = WeightExpr::reshape(WeightExpr::permute(core.clone(), &[0, 2, 1])?, vec![rows, core.shape()[1]])?;
    let columns = size.checked_mul(inputs).ok_or(Fault::Unfit)?;
    let inner = WeightExpr::reshape(WeightExpr::product(core, second)?, vec![rows / size.max(1), columns])?;
    let whole = WeightExpr::reshape(WeightExpr::product(first, inner)?, vec![out, size, inputs])?;
    let whole = WeightExpr::reshape(WeightExpr::permute(whole, &[0, 2, 1])?, vec![out, columns])?;
    Ok((whole, sizes))
}

fn low_rank(pieces: &BTreeMap<Piece, Weight>) -> Made {
    let (up, down) = (needed(pieces, Piece::Up)?, needed(pieces, Piece::Down)?);
    let ([_, rank, ..], [inner, rest @ ..]) = (up.shape(), down.shape()) else { return Err(Fault::Unfit) };
    if rest.is_empty() {
        return Err(Fault::Unfit);
    }
    let rank = *rank;
    if let Some(mid) = pieces.get(&Piece::Mid) {
        let (whole, sizes) = tucker(mid, pointwise(&up)?, pointwise(&down)?)?;
        return Ok((Delta::Dense(whole), Some(rank), Some(sizes)));
    }
    if rank != *inner {
        return Err(Fault::Unfit);
    }
    let sizes = rest.to_vec();
    Ok((Delta::LowRank { up: pointwise(&up)?, down: flat(&down)? }, Some(rank), Some(sizes)))
}

fn embedding(pieces: &BTreeMap<Piece, Weight>) -> Made {
    let (up, down) = (needed(pieces, Piece::EmbeddingUp)?, needed(pieces, Piece::EmbeddingDown)?);
    let ([_, rank], [inner, _]) = (up.shape(), down.shape()) else { return Err(Fault::Unfit) };
    if rank != inner {
        return Err(Fault::Unfit);
    }
    // An embedding's rows are its entries.
    let (rank, first, second) = (*rank, transposed(&down)?, transposed(&up)?);
    Ok((Delta::LowRank { up: first, down: second }, Some(rank), None))
}

fn hadamard(pieces: &BTreeMap<Piece, Weight>) -> Made {
    let rank = needed(pieces, Piece::HadaW1B)?.shape().first().copied();
    let mut sizes = None;
    let mut half = |a, b, core| -> Result<Weight, Fault> {
        let (a, b) = (needed(pieces, a)?, needed(pieces, b)?);
        let Some(core) = pieces.get(&core) else { return Ok(WeightExpr::product(flat(&a)?, flat(&b)?)?) };
        let (whole, found) = tucker(core, transposed(&a)?, flat(&b)?)?;
        sizes = Some(found);
        Ok(whole)
    };
    let first = half(Piece::HadaW1A, Piece::HadaW1B, Piece::HadaT1)?;
    let second = half(Piece::HadaW2A, Piece::HadaW2B, Piece::HadaT2)?;
    Ok((Delta::Dense(WeightExpr::times(first, second)?), rank, sizes))
}

fn kronecker(pieces: &BTreeMap<Piece, Weight>) -> Made {
    let mut rank = None;
    let mut half = |whole, a, b, core: Option<&Weight>| -> Result<Weight, Fault> {
        if let Some(whole) = pieces.get(&whole) {
            return flat(whole);
        }
        let (a, b) = (needed(pieces, a)?, needed(pieces, b)?);
        rank = b.shape().first().copied();
        match core {
            Some(core) => Ok(tucker(core, transposed(&a)?, flat(&b)?)?.0),
            None => Ok(WeightExpr::product(flat(&a)?, flat(&b)?)?),
        }
    };
    let first = half(Piece::KronW1, Piece::KronW1A, Piece::KronW1B, None)?;
    let second = half(Piece::KronW2, Piece::KronW2A, Piece::KronW2B, pieces.get(&Piece::KronT2))?;
    Ok((Delta::Dense(WeightExpr::kronecker(first, second)?), rank, None))
}

fn whole(weight: &Weight) -> Made {
    let Some((_, rest)) = weight.shape().split_first() else { return Err(Fault::Unfit) };
    Ok((Delta::Dense(flat(weight)?), None, Some(rest.to_vec())))
}
