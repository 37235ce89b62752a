//! JSON as Python writes it.

/// The text with the bare words `-Infinity`, `Infinity` and `NaN`, which Python's json module writes although JSON has no
/// such numbers, in quotation marks: strings that a strict reader accepts.
pub fn quote_non_finite(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::quote_non_finite;

    #[test]
    fn only_bare_words_are_quoted() {
        let text = r#"{"a": -Infinity, "b\"NaN": [NaN, Infinity, 1.5], "c": "NaN \\", "d": NaN}"#;
        let wanted = r#"{"a": "-Infinity", "b\"NaN": ["NaN", "Infinity", 1.5], "c": "NaN \\", "d": "NaN"}"#;
        assert_eq!(quote_non_finite(text), wanted);
    }
}
