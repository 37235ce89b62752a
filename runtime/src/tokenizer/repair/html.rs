//! HTML's character references.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::encodings::windows_1252;

/// Every named reference of HTML 5, and those in capitals that mean one thing only: name and code points, one per line.
const ENTITIES: &str = include_str!("entities.txt");

/// Longest name between `&` and `;`.
const LONGEST: usize = 24;

static NAMES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
    let entry = |line: &'static str| {
        let (name, codes) = line.split_once(' ')?;
        let text = codes.split(',').map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?)).collect::<Option<_>>()?;
        Some((name, text))
    };
    ENTITIES.lines().filter_map(entry).collect()
});

/// Replaces the references that end with a semicolon and mean something.
pub(super) fn unescape(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        output.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = reference(rest).unwrap_or(1);
        let (found, after) = rest.split_at(length);
        match meaning(found) {
            Some(meaning) => output.push_str(&meaning),
            None => output.push_str(found),
        }
        rest = after;
    }
    output.push_str(rest);
    output
}

/// The length of the reference that a text starts with.
fn reference(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let start = if bytes.get(1) == Some(&b'#') { 2 } else { 1 };
    let name = bytes.get(start..)?.iter().take(LONGEST + 1).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    ((1..=LONGEST).contains(&name) && bytes.get(start + name) == Some(&b';')).then_some(start + name + 1)
}

fn meaning(found: &str) -> Option<String> {
    let name = found.strip_prefix('&')?.strip_suffix(';')?;
    let Some(number) = name.strip_prefix('#') else { return NAMES.get(name).cloned() };
    let code = match number.strip_prefix(['x', 'X']) {
        Some(digits) => u128::from_str_radix(digits, 16).ok()?,
        None => number.parse().ok()?,
    };
    // A semicolon would be taken for the end of a reference.
    (code != u128::from(b';')).then(|| character(code).map(String::from).unwrap_or_default())
}

/// The character that HTML makes of a number; nothing for control characters and noncharacters.
fn character(code: u128) -> Option<char> {
    let Some(character) = u32::try_from(code).ok().and_then(char::from_u32) else { return Some('\u{fffd}') };
    match character {
        '\0' => Some('\u{fffd}'),
        '\u{80}'..='\u{9f}' => Some(windows_1252(character)),
        '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{fdd0}'..='\u{fdef}' => None,
        _ if u32::from(character) & 0xfffe == 0xfffe => None,
        _ => Some(character),
    }
}
