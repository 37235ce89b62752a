//! Whether a text looks like mojibake: pairs and triples of characters that people hardly write and misread UTF-8 is full of.
//!
//! Follows the heuristic of ftfy 6.3.1 (Apache-2.0), whose answers it must give: what CLIP reads depends on them.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

const COMMON: u32 = 1;
const C1: u32 = 1 << 1;
const BAD: u32 = 1 << 2;
const LAW: u32 = 1 << 3;
const CURRENCY: u32 = 1 << 4;
const START: u32 = 1 << 5;
const END: u32 = 1 << 6;
const NUMERIC: u32 = 1 << 7;
const KAOMOJI: u32 = 1 << 8;
const UPPER_ACCENT: u32 = 1 << 9;
const LOWER_ACCENT: u32 = 1 << 10;
const UPPER_COMMON: u32 = 1 << 11;
const LOWER_COMMON: u32 = 1 << 12;
const BOX: u32 = 1 << 13;
const UPPER_ASCII: u32 = 1 << 14;
const LOWER_ASCII: u32 = 1 << 15;
const SPACE: u32 = 1 << 16;
const WORD: u32 = 1 << 17;
const OTHER: u32 = 1 << 18;
const ASCII_LETTER: u32 = UPPER_ASCII | LOWER_ASCII;
const ACCENT: u32 = UPPER_ACCENT | LOWER_ACCENT;
const ANY: u32 = u32::MAX;

/// Members of the classes; `a-z` is a range.
const CLASSES: [(u32, &str); 16] = [
    (COMMON, "\u{a0}\u{ad}´·–—―’…"),
    (C1, "\u{80}-\u{9f}"),
    (BAD, "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}"),
    (LAW, "§¶"),
    (CURRENCY, "¢£¥₧€"),
    (START, "¡©«¿΄΅‘‚“„•‹\u{f8ff}"),
    (END, "®»˝”›™"),
    (NUMERIC, "±-³µ¹¼-¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥"),
    (KAOMOJI, "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ"),
    (UPPER_ACCENT, "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"),
    (LOWER_ACCENT, "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ"),
    (UPPER_COMMON, "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Я"),
    (LOWER_COMMON, "ά-ωа-џ"),
    (BOX, "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓"),
    (UPPER_ASCII, "A-Z"),
    (LOWER_ASCII, "a-z"),
];

/// One place of a pattern: a character of these classes or one of these.
struct Place(u32, &'static str);

type Pattern = &'static [Place];

const fn of(classes: u32) -> Place {
    Place(classes, "")
}

const fn one(characters: &'static str) -> Place {
    Place(0, characters)
}

const ARABIC_LEAD: Place = one("ØÙ");
const ARABIC_NEXT: Place = Place(COMMON | CURRENCY | BAD | NUMERIC | START, "ŸŠ®°µ»");

/// Each is enough by itself.
const PATTERNS: &[Pattern] = &[
    &[of(C1)],
    &[of(BAD | ACCENT | BOX | START | END | CURRENCY | NUMERIC | LAW), of(BAD)],
    &[of(ASCII_LETTER), of(LOWER_COMMON | UPPER_COMMON), of(BAD)],
    &[of(BAD), of(ACCENT | BOX | START | END | CURRENCY | NUMERIC | LAW)],
    &[of(LOWER_ACCENT | LOWER_COMMON | BOX | END | CURRENCY | NUMERIC), of(UPPER_ACCENT)],
    &[of(BOX | END | CURRENCY | NUMERIC), of(LOWER_ACCENT)],
    &[of(LOWER_ACCENT | BOX | END), of(CURRENCY)],
    &[of(SPACE), of(UPPER_ACCENT), of(CURRENCY)],
    &[of(UPPER_ACCENT | BOX), of(NUMERIC | LAW)],
    &[of(ACCENT | BOX | CURRENCY | END), of(START), of(NUMERIC)],
    &[of(ACCENT | CURRENCY | NUMERIC | BOX | LAW), of(END), of(START)],
    &[of(CURRENCY | NUMERIC | BOX), of(START)],
    &[of(LOWER_ASCII), of(UPPER_ACCENT), of(START | CURRENCY)],
    &[of(BOX), of(KAOMOJI)],
    &[of(ACCENT | CURRENCY | NUMERIC | START | END | LAW), of(BOX)],
    &[of(BOX), of(END)],
    &[of(ACCENT), of(START | END), of(WORD)],
    &[one("Œœ"), of(ANY & !ASCII_LETTER)],
    &[of(UPPER_ACCENT), one("°")],
    // Windows-1252 misread, in two characters.
    &[one("ÂÃÎÐ"), Place(START | END, "€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»–—´")],
    &[one("×"), one("²³")],
    &[ARABIC_LEAD, ARABIC_NEXT, ARABIC_LEAD, ARABIC_NEXT],
    &[one("à"), one("²µ¹¼½¾")],
    // Mac OS Roman.
    &[one("√"), one("±∂†≠®™´≤≥¥µø")],
    &[one("≈"), one("°¢")],
    &[one("‚"), one("Ä"), one("ìîïòôúùû†°¢π")],
    &[one("‚"), one("âó"), one("àä°ê")],
    // Windows-1251.
    &[one("в"), one("Ђ")],
    &[one("ВГРС"), Place(C1 | BAD | START | END | CURRENCY, "°µ"), one("ВГРС")],
    &[one("Г"), one("ў"), one("В"), one("Ђ"), one("В"), of(ANY & !OTHER), Place(ASCII_LETTER, " ")],
    // What U+00E0, U+00E1 and U+00A0 become.
    &[one("Ã"), one("\u{a0}¡")],
    &[of(LOWER_ASCII), one("ÃÂ"), one(" ")],
    &[of(LOWER_ASCII), of(SPACE), one("ÃÂ"), one(" ")],
    &[Place(LOWER_ASCII | END, ".,?!"), one("Â"), Place(START | END, " ")],
    // Windows-1253.
    &[one("β"), one("€"), one("™\u{a0}Ά\u{ad}®°")],
    &[one("ΒΓΞΟ"), Place(C1 | BAD | START | END | CURRENCY, "°"), one("ΒΓΞΟ")],
    // Windows-1257.
    &[one("ā"), one("€")],
];

static MEMBERS: LazyLock<HashMap<char, u32>> = LazyLock::new(|| {
    let mut members = HashMap::new();
    for (class, characters) in CLASSES {
        for character in expand(characters) {
            *members.entry(character).or_insert(0) |= class;
        }
    }
    members
});

static LETTER_OR_NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}_]$").ok());

fn expand(characters: &str) -> Vec<char> {
    let characters: Vec<char> = characters.chars().collect();
    let mut expanded = Vec::new();
    for (index, &character) in characters.iter().enumerate() {
        match (character, characters.get(index.wrapping_sub(1)), characters.get(index + 1)) {
            ('-', Some(&first), Some(&last)) => expanded.extend(first..=last),
            _ => expanded.push(character),
        }
    }
    expanded
}

fn classes(character: char) -> u32 {
    let mut classes = MEMBERS.get(&character).copied().unwrap_or(0);
    if super::is_space(character) {
        classes |= SPACE;
    }
    let mut bytes = [0; 4];
    if LETTER_OR_NUMBER.as_ref().is_some_and(|pattern| pattern.is_match(character.encode_utf8(&mut bytes))) {
        classes |= WORD;
    }
    // The line break belongs to a class of its own, which no pattern asks for and only "any" includes.
    if character == '\n' { classes | OTHER } else { classes }
}

/// Whether the text holds a sequence that is likelier mojibake than meant.
pub(super) fn is_bad(text: &str) -> bool {
    if text.is_ascii() {
        return false;
    }
    let text: Vec<(char, u32)> = text.chars().map(|character| (character, classes(character))).collect();
    if let [('Ã' | 'Â', _), (' ', _), ..] = text.as_slice() {
        return true;
    }
    (0..text.len()).any(|start| PATTERNS.iter().any(|pattern| matches(pattern, &text[start..])))
}

fn matches(pattern: Pattern, text: &[(char, u32)]) -> bool {
    text.len() >= pattern.len()
        && pattern.iter().zip(text).all(|(place, &(character, classes))| place.accepts(character, classes))
}

impl Place {
    fn accepts(&self, character: char, classes: u32) -> bool {
        let Self(wanted, characters) = self;
        match *wanted {
            // Any character but ASCII letters.
            wanted if wanted == ANY & !ASCII_LETTER => classes & ASCII_LETTER == 0,
            // Any character but a line break.
            wanted if wanted == ANY & !OTHER => classes & OTHER == 0,
            wanted => classes & wanted != 0 || characters.contains(character),
        }
    }
}
