//! SentencePiece's compiled map of characters: a double array (Darts) of what is replaced, and the replacements.

/// Units whose top bit is set hold an offset into the replacements, the others lead on.
const IS_VALUE: u32 = 1 << 31;

/// Longer than what any character becomes, in bytes; the longest of Unicode's compatibility forms has 33.
const MAX_REPLACEMENT: usize = 256;

/// A validated map.
#[derive(Debug)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    /// Replacements, each ended by NUL.
    replacements: String,
}

impl Charsmap {
    /// Reads `precompiled_charsmap`: the length of the array in bytes, the array, the replacements.
    ///
    /// Every step that a lookup can take from any unit is checked to stay inside.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |what: &str| format!("precompiled_charsmap is damaged: {what}");
        let (head, rest) = bytes.split_first_chunk().ok_or_else(|| damaged("it has no header"))?;
        let length = u32::from_le_bytes(*head) as usize;
        // The builder writes whole blocks of 256 units, so a step by one byte never leaves its block.
        if length == 0 || !length.is_multiple_of(4 * 256) || length > rest.len() {
            return Err(damaged("its array does not fit"));
        }
        let (array, replacements) = rest.split_at(length);
        let units: Vec<u32> = array.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        let replacements = std::str::from_utf8(replacements).map_err(|_| damaged("its replacements are not UTF-8"))?;
        if replacements.split('\0').any(|replacement| replacement.len() > MAX_REPLACEMENT) {
            return Err(damaged("a replacement is too long"));
        }
        for (index, &unit) in units.iter().enumerate().filter(|(_, unit)| *unit & IS_VALUE == 0) {
            let next = units.get(index ^ offset(unit)).ok_or_else(|| damaged("its array points outside"))?;
            let value = (*next & !IS_VALUE) as usize;
            if has_value(unit) && !(value < replacements.len() && replacements.is_char_boundary(value)) {
                return Err(damaged("a replacement lies outside"));
            }
        }
        Ok(Self { units, replacements: replacements.to_owned() })
    }

    /// The longest start of `text` that is replaced: its length and the replacement.
    pub(super) fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut position = offset(*self.units.first()?);
        let mut found = None;
        for (length, byte) in (1..).zip(text.bytes()) {
            position ^= usize::from(byte);
            let unit = *self.units.get(position)?;
            if unit & (IS_VALUE | 0xff) != u32::from(byte) {
                break;
            }
            position ^= offset(unit);
            if has_value(unit) && text.is_char_boundary(length) {
                found = self.units.get(position).map(|value| (length, (*value & !IS_VALUE) as usize));
            }
        }
        let (length, start) = found?;
        let replacement = self.replacements.get(start..)?;
        Some((length, replacement.split('\0').next().unwrap_or(replacement)))
    }
}

fn offset(unit: u32) -> usize {
    // 21 bits, counted in blocks if bit 9 is set.
    ((unit as usize) >> 10) << ((unit & (1 << 9)) >> 6)
}

fn has_value(unit: u32) -> bool {
    unit & (1 << 8) != 0
}
