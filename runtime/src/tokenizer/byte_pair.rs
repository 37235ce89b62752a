//! Byte-pair encoding: the best pair of a word is merged wherever it occurs, until none is known.

use std::collections::HashMap;

use super::vocabulary::Vocabulary;

/// Marks the last symbol of a word.
const END_OF_WORD: &str = "</w>";

/// Merges and the ids of what they make.
#[derive(Debug)]
pub(super) struct BytePairs {
    /// The symbol of each byte inside a word and at its end.
    bytes: [[u32; 256]; 2],
    /// Rank and result of each pair of symbols.
    merges: HashMap<(u32, u32), (usize, u32)>,
    /// The id of each symbol, if the vocabulary has it.
    ids: Vec<Option<u32>>,
    unknown: u32,
}

/// Numbers for the texts of symbols.
struct Symbols {
    numbers: HashMap<String, u32>,
    ids: Vec<Option<u32>>,
}

impl Symbols {
    fn number(&mut self, text: String, vocabulary: &Vocabulary) -> Result<u32, String> {
        if let Some(&number) = self.numbers.get(&text) {
            return Ok(number);
        }
        let number = u32::try_from(self.ids.len()).map_err(|_| "merges.txt has too many symbols".to_owned())?;
        self.ids.push(vocabulary.id(&text));
        self.numbers.insert(text, number);
        Ok(number)
    }
}

impl BytePairs {
    pub(super) fn new(vocabulary: &Vocabulary, pairs: &[(String, String)], unknown: u32) -> Result<Self, String> {
        let mut symbols = Symbols { numbers: HashMap::new(), ids: Vec::new() };
        let mut bytes = [[0; 256]; 2];
        for (byte, character) in byte_characters().into_iter().enumerate() {
            bytes[0][byte] = symbols.number(character.to_string(), vocabulary)?;
            bytes[1][byte] = symbols.number(format!("{character}{END_OF_WORD}"), vocabulary)?;
        }
        let mut merges = HashMap::with_capacity(pairs.len());
        for (rank, (left, right)) in pairs.iter().enumerate() {
            let pair = (symbols.number(left.clone(), vocabulary)?, symbols.number(right.clone(), vocabulary)?);
            merges.insert(pair, (rank, symbols.number(format!("{left}{right}"), vocabulary)?));
        }
        Ok(Self { bytes, merges, ids: symbols.ids, unknown })
    }

    /// Appends the ids of one word.
    pub(super) fn encode(&self, word: &str, ids: &mut Vec<u32>) {
        ids.extend(self.symbols(word).map(|id| id.unwrap_or(self.unknown)));
    }

    /// Whether the vocabulary has every symbol of a word.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.symbols(word).all(|id| id.is_some())
    }

    /// The ids of the symbols that a word becomes, where the vocabulary has them.
    fn symbols(&self, word: &str) -> impl Iterator<Item = Option<u32>> {
        let symbols = word.as_bytes().split_last().map(|(&last, first)| self.merged(last, first)).unwrap_or_default();
        symbols.into_iter().map(|symbol| self.ids.get(symbol as usize).copied().flatten())
    }

    fn merged(&self, last: u8, first: &[u8]) -> Vec<u32> {
        let mut symbols: Vec<u32> = first.iter().map(|&byte| self.bytes[0][usize::from(byte)]).collect();
        symbols.push(self.bytes[1][usize::from(last)]);
        while let Some((pair, merged)) = self.best(&symbols) {
            symbols = merge(&symbols, pair, merged);
        }
        symbols
    }

    fn best(&self, symbols: &[u32]) -> Option<((u32, u32), u32)> {
        let known = symbols.windows(2).filter_map(|pair| {
            let pair = (pair[0], pair[1]);
            self.merges.get(&pair).map(|&(rank, merged)| (rank, pair, merged))
        });
        known.min().map(|(_, pair, merged)| (pair, merged))
    }
}

fn merge(symbols: &[u32], (left, right): (u32, u32), merged: u32) -> Vec<u32> {
    let mut output = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let [first, tail @ ..] = rest {
        if *first == left && tail.first() == Some(&right) {
            output.push(merged);
            rest = &tail[1..];
        } else {
            output.push(*first);
            rest = tail;
        }
    }
    output
}

/// The text that tokens of byte pairs spell, as transformers' decoder has it.
pub(super) fn spelled<'t>(tokens: impl Iterator<Item = &'t str>) -> String {
    let characters = byte_characters();
    let byte = |character: char| characters.iter().position(|known| *known == character).map(|byte| byte as u8);
    let mut bytes = Vec::new();
    for token in tokens {
        let (token, ends) = token.strip_suffix(END_OF_WORD).map_or((token, false), |token| (token, true));
        for character in token.chars() {
            match byte(character) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(character.to_string().as_bytes()),
            }
        }
        bytes.extend(ends.then_some(b' '));
    }
    String::from_utf8_lossy(&bytes).trim().to_string()
}

/// The printable character that stands for each byte: itself, or one from U+0100 on.
fn byte_characters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let character = char::from(byte as u8);
        match character {
            '!'..='~' | '¡'..='¬' | '®'..='ÿ' => character,
            _ => {
                next += 1;
                char::from_u32(next - 1).unwrap_or(character)
            }
        }
    })
}
