//! Repairs text before CLIP reads it: what `ftfy.fix_text` (6.3.1), which `CLIPTokenizer` of transformers calls, makes of it.

mod badness;
mod encodings;
mod html;
mod mojibake;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// Longest piece that is repaired at once, in characters.
const SEGMENT: usize = 1_000_000;

/// Repairs a text line by line.
pub(super) fn fix_text(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut unescapes = true;
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while !rest.is_empty() {
            let end = rest.char_indices().nth(SEGMENT).map_or(rest.len(), |(end, _)| end);
            let (segment, after) = rest.split_at(end);
            // A literal `<` says that this and the following lines are HTML, whose references are meant.
            unescapes &= !segment.contains('<');
            output.push_str(&fix_segment(segment, unescapes));
            rest = after;
        }
    }
    output
}

/// Python's `str.isspace`: Unicode's white space and the four information separators.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn fix_segment(segment: &str, unescapes: bool) -> String {
    let mut text = segment.to_owned();
    // Nested references lose one level per round and a few characters each; everything else is done after two or three.
    for _ in 0..segment.len() + 16 {
        let fixed = fix_once(&text, unescapes);
        if fixed == text {
            break;
        }
        text = fixed;
    }
    text
}

fn fix_once(text: &str, unescapes: bool) -> String {
    let unescaped = if unescapes { html::unescape(text) } else { text.to_owned() };
    // Nothing below changes plain ASCII, and deeply nested references come here once per level.
    if unescaped.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return unescaped;
    }
    let decoded = mojibake::fix_c1_controls(&mojibake::fix_encoding(&unescaped));
    let mut characters = String::with_capacity(decoded.len());
    decoded.chars().for_each(|character| split_ligature(character, &mut characters));
    let mut widened = String::with_capacity(characters.len());
    characters.chars().for_each(|character| standard_width(character, &mut widened));
    let straight: String = widened.chars().map(straight_quote).collect();
    let lines = straight.replace("\r\n", "\n").replace(['\r', '\u{2028}', '\u{2029}', '\u{85}'], "\n");
    remove_terminal_escapes(&lines).chars().filter(|&character| !is_stray_control(character)).nfc().collect()
}

fn split_ligature(character: char, output: &mut String) {
    let parts = match character {
        'Ĳ' => "IJ",
        'ĳ' => "ij",
        'ŉ' => "ʼn",
        'Ǳ' => "DZ",
        'ǲ' => "Dz",
        'ǳ' => "dz",
        'Ǆ' => "DŽ",
        'ǅ' => "Dž",
        'ǆ' => "dž",
        'Ǉ' => "LJ",
        'ǈ' => "Lj",
        'ǉ' => "lj",
        'Ǌ' => "NJ",
        'ǋ' => "Nj",
        'ǌ' => "nj",
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' => "ſt",
        'ﬆ' => "st",
        _ => return output.push(character),
    };
    output.push_str(parts);
}

/// Halfwidth and fullwidth forms as what they are forms of.
fn standard_width(character: char, output: &mut String) {
    match character {
        '\u{3000}' => output.push(' '),
        '\u{ff01}'..='\u{ffef}' => output.extend(std::iter::once(character).nfkc()),
        _ => output.push(character),
    }
}

fn straight_quote(character: char) -> char {
    match character {
        '\u{2bc}' | '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => character,
    }
}

/// Colours and cursor movements of terminals.
static TERMINAL_ESCAPE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\x1b\[[\d;]*[a-zA-Z]").ok());

fn remove_terminal_escapes(text: &str) -> Cow<'_, str> {
    TERMINAL_ESCAPE.as_ref().map_or(Cow::Borrowed(text), |pattern| pattern.replace_all(text, ""))
}

fn is_stray_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}'
    )
}
