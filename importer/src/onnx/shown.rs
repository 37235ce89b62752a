//! Names of a file in messages.

/// A name for messages: shortened, on one line.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(100).flat_map(char::escape_debug).collect()
}

/// A text for messages, in quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}
