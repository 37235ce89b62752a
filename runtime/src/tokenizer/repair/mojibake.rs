//! Undoes text that was written as UTF-8 and read as something else, as ftfy 6.3.1 decides it.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::badness::is_bad;
use super::encodings::{ENCODINGS, LATIN_LIKE, decode_utf8, latin_1_as_windows_1252, windows_1252};

/// Reads mojibake in the right encoding until nothing changes.
pub(super) fn fix_encoding(text: &str) -> String {
    let mut text = text.to_owned();
    // Every step but the first few shortens the text.
    for _ in 0..text.len() + 16 {
        match step(&text) {
            Some(fixed) if fixed != text => text = fixed,
            _ => break,
        }
    }
    text
}

/// U+0080 to U+009F as the characters of Windows-1252 that they were meant to be.
pub(super) fn fix_c1_controls(text: &str) -> String {
    text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { windows_1252(c) } else { c }).collect()
}

fn step(text: &str) -> Option<String> {
    if !is_bad(text) {
        return None;
    }
    let mut is_latin_1 = false;
    for (index, encoding) in ENCODINGS.iter().enumerate() {
        let Some(mut bytes) = encoding.encode(text) else { continue };
        is_latin_1 |= index == 0;
        if encoding.restores_spaces && (0..bytes.len()).any(|start| spaced(&bytes[start..]).is_some()) {
            bytes = restore_spaces(&bytes);
        }
        if encoding.is_sloppy {
            bytes = replace_lossy(&bytes);
        }
        if let Some(fixed) = decode_utf8(&bytes) {
            return Some(fixed);
        }
    }
    if let Some(fixed) = fix_parts(text).filter(|fixed| fixed != text) {
        return Some(fixed);
    }
    if let Some(fixed) = is_latin_1.then(|| latin_1_as_windows_1252(text)).flatten().filter(|fixed| fixed != text) {
        return Some(fixed);
    }
    Some(fix_c1_controls(text))
}

/// The length of the UTF-8 sequence at the start if one byte 0xA0 of it has become a space.
fn spaced(bytes: &[u8]) -> Option<usize> {
    let is_next = |byte: u8| (0x80..=0xbf).contains(&byte);
    let is_plain = |byte: u8| is_next(byte) && byte != 0x85 && byte != 0xa0;
    match *bytes {
        [0xc2 | 0xc3 | 0xc5 | 0xce | 0xd0 | 0xd9, b' ', ..] => Some(2),
        [0xe2 | 0xe3, b' ', next, ..] | [0xe0..=0xe3, next, b' ', ..] if is_plain(next) => Some(3),
        [0xf0, b' ', one, two, ..] | [0xf0, one, b' ', two, ..] | [0xf0, one, two, b' ', ..] if is_next(one) && is_next(two) => {
            Some(4)
        }
        _ => None,
    }
}

/// Puts 0xA0 back where a space broke a UTF-8 sequence; a lone "Ã " is the word "à".
fn restore_spaces(bytes: &[u8]) -> Vec<u8> {
    let mut words = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        words.push(*first);
        if let ([0xc3, b' ', after @ ..], false) = (rest, continues(rest)) {
            words.extend_from_slice(b"\xa0 ");
            rest = after;
        } else {
            rest = tail;
        }
    }
    replace(&words, spaced, |sequence, output| {
        output.extend(sequence.iter().map(|&byte| if byte == b' ' { 0xa0 } else { byte }));
    })
}

/// Whether "Ã " is followed by what makes it a Portuguese contraction or another space.
fn continues(bytes: &[u8]) -> bool {
    let after = bytes.get(2..).unwrap_or_default();
    [&b" "[..], b"quele", b"quela", b"quilo", b"s "].iter().any(|word| after.starts_with(word))
}

/// Makes U+FFFD of every UTF-8 sequence that lost bytes (0x1A, once `?`).
fn replace_lossy(bytes: &[u8]) -> Vec<u8> {
    replace(bytes, lossy, |_, output| output.extend_from_slice("\u{fffd}".as_bytes()))
}

fn lossy(bytes: &[u8]) -> Option<usize> {
    let is_lost = |byte: u8| matches!(byte, 0x1a | b'?');
    let is_any = |byte: u8| is_lost(byte) || (0x80..=0xbf).contains(&byte);
    // At least one byte is lost, at most one as `?`.
    let damaged = |follow: &[u8]| {
        follow.iter().all(|&b| is_any(b))
            && follow.iter().any(|&b| is_lost(b))
            && follow.iter().filter(|&&b| b == b'?').count() <= 1
    };
    match *bytes {
        [0xc2..=0xdf, 0x1a, ..] | [0xc2 | 0xc3, b'?', ..] => Some(2),
        [0xed, 0xa0..=0xaf, one, 0xed, 0xb0..=0xbf, two, ..] if is_any(one) && is_any(two) && (is_lost(one) || is_lost(two)) => {
            Some(6)
        }
        [0xe0..=0xef, one, two, ..] if damaged(&[one, two]) => Some(3),
        [0xf0..=0xf4, one, two, three, ..] if damaged(&[one, two, three]) => Some(4),
        [0x1a, ..] => Some(1),
        _ => None,
    }
}

fn replace(bytes: &[u8], find: impl Fn(&[u8]) -> Option<usize>, write: impl Fn(&[u8], &mut Vec<u8>)) -> Vec<u8> {
    let mut output = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        match find(rest) {
            Some(length) => {
                let (found, after) = rest.split_at(length.min(rest.len()));
                write(found, &mut output);
                rest = after;
            }
            None => {
                output.push(*first);
                rest = tail;
            }
        }
    }
    output
}

/// What a character may be in misread UTF-8: the characters that stand for its bytes in the encodings like Latin-1.
struct Clues {
    first_of: [HashSet<char>; 3],
    next: HashSet<char>,
    strict_next: HashSet<char>,
}

static CLUES: LazyLock<Clues> = LazyLock::new(|| {
    let of = |bytes: &[std::ops::RangeInclusive<u8>]| -> HashSet<char> {
        let encodings = &ENCODINGS[..LATIN_LIKE];
        bytes.iter().cloned().flatten().flat_map(|byte| encodings.iter().map(move |encoding| encoding.character(byte))).collect()
    };
    let mut next = of(&[0x80..=0xbf]);
    let mut strict_next = next.clone();
    // These stand beside mojibake for themselves.
    "–—―‘’‚“”„•…".chars().for_each(|character| {
        strict_next.remove(&character);
    });
    next.insert(' ');
    Clues { first_of: [of(&[0xc2..=0xdf]), of(&[0xe0..=0xef]), of(&[0xf0..=0xf0, 0xf3..=0xf3])], next, strict_next }
});

/// Fixes the runs that look like UTF-8 within text of another encoding; `None` if there are none.
fn fix_parts(text: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut output = String::with_capacity(text.len());
    let mut position = 0;
    let mut is_found = false;
    while let Some(&character) = characters.get(position) {
        let is_inside = position.checked_sub(1).is_some_and(|before| CLUES.strict_next.contains(&characters[before]));
        let length = if is_inside { 0 } else { run(&characters[position..]) };
        if length == 0 {
            output.push(character);
            position += 1;
            continue;
        }
        is_found = true;
        let part: String = characters[position..position + length].iter().collect();
        // Only a shorter part, so that this ends.
        output.push_str(&if length < characters.len() && is_bad(&part) { fix_encoding(&part) } else { part });
        position += length;
    }
    is_found.then_some(output)
}

/// The length of the sequences at the start that look like characters of UTF-8.
fn run(characters: &[char]) -> usize {
    let mut length = 0;
    while let Some(first) = characters.get(length) {
        let sequence = CLUES.first_of.iter().zip(1..).find(|(class, follow)| {
            let next = characters.get(length + 1..=length + follow);
            class.contains(first) && next.is_some_and(|next| next.iter().all(|character| CLUES.next.contains(character)))
        });
        let Some((_, follow)) = sequence else { break };
        length += 1 + follow;
    }
    length
}
