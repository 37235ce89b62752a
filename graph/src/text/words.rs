//! What printer and reader agree on.

/// Written after the word `graph`; a reader refuses any other.
pub(super) const VERSION: &str = "1";

/// Whether a name is written without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_plain_byte)
}

/// Whether a word may hold this byte.
pub(super) fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./-".contains(&byte)
}
