//! JSON as Python writes it.

use serde_json::Value;

use crate::Error;

/// Longest text: a table of trained betas has 100,000 numbers at most.
const MOST_BYTES: usize = 4 << 20;

/// Reads JSON in which the bare words `-Infinity`, `Infinity` and `NaN`, which Python's json module writes, become strings.
///
/// # Errors
/// [`Error::Scheduler`] for any other text.
pub(super) fn parse(text: &str) -> Result<Value, Error> {
    let refuse = |problem: String| {
        Error::Scheduler(format!("scheduler_config.json cannot be read: {problem}; save it again with diffusers"))
    };
    if text.len() > MOST_BYTES {
        return Err(refuse(format!("it has {} bytes, more than {MOST_BYTES}", text.len())));
    }
    serde_json::from_str(&quoted(text)).map_err(|source| refuse(source.to_string()))
}

/// The text with those words in quotation marks.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut inside, mut escaped, mut rest) = (false, false, text);
    while let Some(first) = rest.chars().next() {
        let word = if inside { None } else { ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| rest.starts_with(word)) };
        if let Some(word) = word {
            out.extend(["\"", word, "\""]);
            rest = &rest[word.len()..];
            continue;
        }
        inside ^= first == '"' && !escaped;
        escaped = inside && first == '\\' && !escaped;
        out.push(first);
        rest = &rest[first.len_utf8()..];
    }
    out
}
