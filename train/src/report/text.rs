//! Labels in an 8×8 bitmap font that is part of the program, so that no system font is needed.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};

/// Side of a letter at scale 1.
pub const LETTER: u32 = 8;

/// Width of `text` in pixels.
pub fn width(text: &str, scale: u32) -> u32 {
    let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
    letters.saturating_mul(LETTER).saturating_mul(scale)
}

/// Calls `put` with every pixel of `text`, its upper left corner at the origin. Letters outside Latin-1 are drawn as `?`.
pub fn draw(text: &str, scale: u32, mut put: impl FnMut(u32, u32)) {
    for (place, letter) in (0u32..).zip(text.chars()) {
        let glyph = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| BASIC_FONTS.get('?'));
        for (row, bits) in (0u32..).zip(glyph.unwrap_or_default()) {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                for y in row * scale..(row + 1) * scale {
                    for x in 0..scale {
                        put((place * LETTER + column) * scale + x, y);
                    }
                }
            }
        }
    }
}
