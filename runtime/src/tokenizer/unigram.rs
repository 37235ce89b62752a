//! SentencePiece's unigram model: normalizes a text and splits it into the likeliest pieces.

use std::collections::HashMap;

use super::sentencepiece::{Kind, Model};

/// Stands for a space in pieces.
pub(super) const UNDERLINE: char = '▁';

/// How much worse than the worst piece an unknown character is.
const UNKNOWN_PENALTY: f32 = 10.0;

/// A model ready to encode.
#[derive(Debug)]
pub(super) struct Unigram {
    model: Model,
    ids: HashMap<String, u32>,
    /// Length of the longest piece in bytes.
    longest: usize,
    unknown_score: f32,
    best_score: f32,
    /// Longest first.
    user_defined: Vec<String>,
}

/// The best way to the end of a character.
#[derive(Clone, Copy)]
struct Node {
    score: f32,
    start: usize,
    id: u32,
}

impl Unigram {
    pub(super) fn new(model: Model) -> Self {
        let ids = (0..).zip(&model.pieces).map(|(id, piece)| (piece.text.clone(), id)).collect();
        let of_kind = |kind: Kind| model.pieces.iter().filter(move |piece| piece.kind == kind);
        let scores = || of_kind(Kind::Normal).map(|piece| piece.score);
        let mut user_defined: Vec<String> = of_kind(Kind::UserDefined).map(|piece| piece.text.clone()).collect();
        user_defined.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self {
            ids,
            longest: model.pieces.iter().map(|piece| piece.text.len()).max().unwrap_or(0),
            unknown_score: scores().fold(f32::MAX, f32::min) - UNKNOWN_PENALTY,
            best_score: scores().fold(f32::MIN_POSITIVE, f32::max),
            user_defined,
            model,
        }
    }

    /// The id of a piece; unknown text has the unknown piece's.
    pub(super) fn id(&self, piece: &str) -> u32 {
        self.ids.get(piece).copied().unwrap_or(self.model.unknown)
    }

    /// Whether there is such a piece.
    pub(super) fn has(&self, piece: &str) -> bool {
        self.ids.contains_key(piece)
    }

    /// The text of a piece.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.model.pieces.get(id as usize).map(|piece| piece.text.as_str())
    }

    /// The number of pieces.
    pub(super) fn len(&self) -> usize {
        self.model.pieces.len()
    }

    /// Splits a text into pieces; adjoining unknown characters are one.
    pub(super) fn encode(&self, text: &str, adds_dummy_prefix: bool) -> Vec<String> {
        let text = self.normalize(text, adds_dummy_prefix && self.model.adds_dummy_prefix);
        let mut pieces: Vec<String> = Vec::new();
        let mut was_unknown = false;
        for (range, id) in self.best_path(&text) {
            let is_unknown = id == self.model.unknown;
            match pieces.last_mut() {
                Some(last) if is_unknown && was_unknown => last.push_str(&text[range]),
                _ => pieces.push(text[range].to_owned()),
            }
            was_unknown = is_unknown;
        }
        pieces
    }

    fn normalize(&self, text: &str, adds_dummy_prefix: bool) -> String {
        let space = if self.model.escapes_spaces { UNDERLINE } else { ' ' };
        let removes = self.model.removes_extra_spaces;
        let mut rest = text;
        while removes && !rest.is_empty() {
            match self.step(rest) {
                (length, " ") => rest = &rest[length..],
                _ => break,
            }
        }
        let mut output = String::with_capacity(rest.len() + 3);
        if rest.is_empty() {
            return output;
        }
        if adds_dummy_prefix {
            output.push(space);
        }
        let mut after_space = removes;
        while !rest.is_empty() {
            let (length, part) = self.step(rest);
            rest = &rest[length..];
            let part = if after_space { part.trim_start_matches(' ') } else { part };
            if !part.is_empty() {
                output.extend(part.chars().map(|character| if character == ' ' { space } else { character }));
                after_space = part.ends_with(' ');
            }
            after_space &= removes;
        }
        if removes {
            output.truncate(output.trim_end_matches(space).len());
        }
        output
    }

    /// What the start of a text becomes, and its length.
    fn step<'a>(&'a self, text: &'a str) -> (usize, &'a str) {
        if let Some(symbol) = self.user_defined.iter().find(|symbol| text.starts_with(symbol.as_str())) {
            return (symbol.len(), &text[..symbol.len()]);
        }
        let found = self.model.charsmap.as_ref().and_then(|(_, map)| map.longest(text));
        found.unwrap_or_else(|| {
            let length = text.chars().next().map_or(0, char::len_utf8);
            (length, &text[..length])
        })
    }

    fn best_path(&self, text: &str) -> Vec<(std::ops::Range<usize>, u32)> {
        let mut nodes: Vec<Option<Node>> = vec![None; text.len() + 1];
        for (start, character) in text.char_indices() {
            let so_far = nodes[start].map_or(0.0, |node| node.score);
            let mut is_single = false;
            let limit = text.len().min(start + self.longest);
            for (end, node) in nodes.iter_mut().enumerate().take(limit + 1).skip(start + character.len_utf8()) {
                let Some((id, score)) = text.get(start..end).and_then(|piece| self.piece(piece)) else { continue };
                is_single |= end - start == character.len_utf8();
                improve(node, score + f64::from(so_far), start, id);
            }
            if !is_single {
                let score = f64::from(self.unknown_score + so_far);
                improve(&mut nodes[start + character.len_utf8()], score, start, self.model.unknown);
            }
        }
        let mut path = Vec::new();
        let mut end = text.len();
        while let Some(node) = nodes[end].filter(|node| node.start < end) {
            path.push((node.start..end, node.id));
            end = node.start;
        }
        path.reverse();
        path
    }

    /// The id and score of a piece that text may be split into.
    fn piece(&self, text: &str) -> Option<(u32, f64)> {
        let id = *self.ids.get(text)?;
        let piece = self.model.pieces.get(id as usize)?;
        match piece.kind {
            Kind::Normal => Some((id, f64::from(piece.score))),
            Kind::UserDefined => Some((id, f64::from(text.len() as f32 * self.best_score) - 0.1)),
            Kind::Unknown | Kind::Control | Kind::Unused => None,
        }
    }
}

/// Compares in double and stores in single precision, as the reference does: it decides ties.
fn improve(node: &mut Option<Node>, score: f64, start: usize, id: u32) {
    if node.is_none_or(|node| score > f64::from(node.score)) {
        *node = Some(Node { score: score as f32, start, id });
    }
}
