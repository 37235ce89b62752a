//! `spiece.model`: the parts of SentencePiece's `ModelProto` that tokenizing needs, read with limits.

use std::collections::HashSet;

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::charsmap::Charsmap;
use super::config::{MAX_TOKENS, check_token};

/// Field numbers of `ModelProto`.
const PIECES: u32 = 1;
const TRAINER_SPEC: u32 = 2;
const NORMALIZER_SPEC: u32 = 3;

/// `TrainerSpec.ModelType.UNIGRAM`.
const UNIGRAM: i32 = 1;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
}

/// A piece of the vocabulary.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: Kind,
}

/// A validated model.
#[derive(Debug)]
pub(super) struct Model {
    pub pieces: Vec<Piece>,
    pub unknown: u32,
    /// The bytes of the map, which [`Charsmap::parse`] has accepted, and the map.
    pub charsmap: Option<(Vec<u8>, Charsmap)>,
    pub adds_dummy_prefix: bool,
    pub removes_extra_spaces: bool,
    pub escapes_spaces: bool,
}

#[derive(Message)]
struct PieceProto {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
}

#[derive(Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

impl Model {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: prost::DecodeError| format!("spiece.model is damaged ({error})");
        let (mut pieces, mut trainer, mut normalizer) = (Vec::new(), TrainerSpec::default(), NormalizerSpec::default());
        let mut rest = bytes;
        while rest.has_remaining() {
            let (tag, wire) = decode_key(&mut rest).map_err(damaged)?;
            if wire != WireType::LengthDelimited || !(PIECES..=NORMALIZER_SPEC).contains(&tag) {
                skip_field(wire, tag, &mut rest, DecodeContext::default()).map_err(damaged)?;
                continue;
            }
            let length = decode_varint(&mut rest).map_err(damaged)?;
            let field = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            let (message, after) = field.ok_or("spiece.model is damaged (a field is longer than the file)")?;
            rest = after;
            match tag {
                PIECES => pieces.push(piece(message, pieces.len())?),
                TRAINER_SPEC => trainer.merge(message).map_err(damaged)?,
                _ => normalizer.merge(message).map_err(damaged)?,
            }
        }
        check_trainer(&trainer)?;
        let unknown = u32::try_from(trainer.unk_id.unwrap_or(0)).ok();
        let is_unknown = |id: &u32| pieces.get(*id as usize).is_some_and(|piece: &Piece| piece.kind == Kind::Unknown);
        let unknown = unknown.filter(is_unknown).ok_or("spiece.model has no piece for unknown text where its unk_id says")?;
        let mut seen = HashSet::new();
        if let Some(piece) = pieces.iter().find(|piece| !seen.insert(piece.text.as_str())) {
            return Err(format!("spiece.model has the piece {:?} twice", piece.text));
        }
        let charsmap = normalizer.precompiled_charsmap.filter(|bytes| !bytes.is_empty());
        let charsmap = charsmap.map(|bytes| Charsmap::parse(&bytes).map(|map| (bytes, map))).transpose();
        Ok(Self {
            pieces,
            unknown,
            charsmap: charsmap.map_err(|problem| format!("spiece.model: {problem}"))?,
            adds_dummy_prefix: normalizer.add_dummy_prefix.unwrap_or(true),
            removes_extra_spaces: normalizer.remove_extra_whitespaces.unwrap_or(true),
            escapes_spaces: normalizer.escape_whitespaces.unwrap_or(true),
        })
    }
}

fn piece(message: &[u8], count: usize) -> Result<Piece, String> {
    if count == MAX_TOKENS {
        return Err(format!("spiece.model has more than {MAX_TOKENS} pieces"));
    }
    let piece = PieceProto::decode(message).map_err(|error| format!("piece {count} of spiece.model is damaged ({error})"))?;
    let kind = match piece.kind.unwrap_or(1) {
        1 => Kind::Normal,
        2 => Kind::Unknown,
        3 => Kind::Control,
        4 => Kind::UserDefined,
        5 => Kind::Unused,
        other => {
            return Err(format!(
                "piece {count} of spiece.model is of type {other}; byte pieces (6) and unknown types are not read"
            ));
        }
    };
    let (text, score) = (piece.piece.unwrap_or_default(), piece.score.unwrap_or(0.0));
    check_token(&text).map_err(|problem| format!("piece {count} of spiece.model: {problem}"))?;
    if !score.is_finite() {
        return Err(format!("the score of the piece {text:?} of spiece.model is not a finite number"));
    }
    Ok(Piece { text, score, kind })
}

fn check_trainer(trainer: &TrainerSpec) -> Result<(), String> {
    let kind = trainer.model_type.unwrap_or(UNIGRAM);
    if kind != UNIGRAM {
        return Err(format!("spiece.model is of model_type {kind}; only 1 (unigram) is read"));
    }
    for (name, value) in
        [("byte_fallback", trainer.byte_fallback), ("treat_whitespace_as_suffix", trainer.treat_whitespace_as_suffix)]
    {
        if value == Some(true) {
            return Err(format!("spiece.model has {name} = true; only false is supported"));
        }
    }
    Ok(())
}
