//! Base64, in which `tokenizer.json` holds the map of characters.

/// Decodes the standard alphabet with padding; `None` for anything else.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(4) {
        return None;
    }
    let padding = bytes.iter().rev().take(2).take_while(|&&byte| byte == b'=').count();
    let mut output = Vec::with_capacity(bytes.len() / 4 * 3);
    let (digits, _) = bytes.split_at(bytes.len() - padding);
    for group in digits.chunks(4) {
        let mut bits = 0u32;
        for &byte in group {
            bits = bits << 6 | value(byte)?;
        }
        bits <<= 6 * (4 - group.len());
        let whole = bits.to_be_bytes();
        output.extend_from_slice(whole.get(1..group.len())?);
    }
    Some(output)
}

fn value(byte: u8) -> Option<u32> {
    match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
