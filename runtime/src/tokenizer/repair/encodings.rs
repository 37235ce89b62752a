//! The single-byte encodings that text is most often misread in, and UTF-8 with its common faults.

/// Replaces what cannot be read; the sloppy encodings hold it as byte 0x1A.
const REPLACEMENT: char = '\u{fffd}';
const SUBSTITUTE: char = '\u{1a}';

/// A single-byte encoding whose lower half is ASCII.
pub(super) struct Encoding {
    /// What bytes 0x80 to 0xFF mean; `None` for Latin-1, where they mean themselves.
    upper: Option<&'static str>,
    /// Unassigned bytes mean the control character of the same number, and 0x1A means U+FFFD.
    pub is_sloppy: bool,
    /// Spaces of the text may stand for byte 0xA0.
    pub restores_spaces: bool,
}

impl Encoding {
    const fn new(upper: &'static str, is_sloppy: bool, restores_spaces: bool) -> Self {
        Self { upper: Some(upper), is_sloppy, restores_spaces }
    }

    /// The character of a byte from 0x80 on.
    pub(super) fn character(&self, byte: u8) -> char {
        match self.upper {
            None => char::from(byte),
            Some(upper) => upper.chars().nth(usize::from(byte.wrapping_sub(0x80))).unwrap_or(REPLACEMENT),
        }
    }

    /// The bytes of a text, if every character has one.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<u8>> {
        text.chars().map(|character| self.byte(character)).collect()
    }

    fn byte(&self, character: char) -> Option<u8> {
        match character {
            REPLACEMENT if self.is_sloppy => Some(0x1a),
            SUBSTITUTE if self.is_sloppy => None,
            '\0'..='\u{7f}' => u8::try_from(character).ok(),
            _ => match self.upper {
                None => u8::try_from(character).ok(),
                Some(upper) => {
                    let position = upper.chars().position(|known| known == character)?;
                    u8::try_from(position).ok()?.checked_add(0x80)
                }
            },
        }
    }
}

/// What U+0080 to U+009F were meant to be, as web browsers read them.
pub(super) fn windows_1252(control: char) -> char {
    u8::try_from(control).map_or(control, |byte| ENCODINGS[1].character(byte))
}

/// Reads Latin-1 text as strict Windows-1252; `None` if it is not Latin-1 or has one of the five unassigned bytes.
pub(super) fn latin_1_as_windows_1252(text: &str) -> Option<String> {
    text.chars()
        .map(|character| match character {
            '\u{81}' | '\u{8d}' | '\u{8f}' | '\u{90}' | '\u{9d}' => None,
            '\u{80}'..='\u{9f}' => Some(windows_1252(character)),
            _ => u8::try_from(character).ok().map(char::from),
        })
        .collect()
}

/// Decodes UTF-8, surrogate pairs in UTF-8 (CESU-8) and Java's two-byte NUL.
pub(super) fn decode_utf8(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(special) = rest.iter().position(|&byte| byte == 0xc0 || byte == 0xed) {
        let (before, tail) = rest.split_at(special);
        text.push_str(std::str::from_utf8(before).ok()?);
        let (character, length) = match *tail {
            // A final line break is taken along with a lone 0xC0: the reference's pattern reads it as the end.
            [0xc0, 0x80, ..] | [0xc0, b'\n'] => ('\0', 2),
            [0xed, a @ 0xa0..=0xaf, b @ 0x80..=0xbf, 0xed, c @ 0xb0..=0xbf, d @ 0x80..=0xbf, ..] => {
                let bits = |byte: u8, mask: u8| u32::from(byte & mask);
                let code = (bits(a, 0x0f) << 16) + (bits(b, 0x3f) << 10) + (bits(c, 0x0f) << 6) + bits(d, 0x3f) + 0x10000;
                (char::from_u32(code)?, 6)
            }
            [0xed, ..] => (std::str::from_utf8(tail.get(..3)?).ok()?.chars().next()?, 3),
            _ => return None,
        };
        text.push(character);
        rest = tail.get(length..)?;
    }
    text.push_str(std::str::from_utf8(rest).ok()?);
    Some(text)
}

/// The encodings in the order in which they are tried.
pub(super) const ENCODINGS: [Encoding; 10] = [
    Encoding { upper: None, is_sloppy: false, restores_spaces: true },
    // Windows-1252
    Encoding::new(
        "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\
         \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
         ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß\
         àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
        true,
        true,
    ),
    // Windows-1251
    Encoding::new(
        "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\
         \u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕї\
         АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ\
         абвгдежзийклмнопрстуфхцчшщъыьэюя",
        true,
        true,
    ),
    // Windows-1250
    Encoding::new(
        "€\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\
         \u{a0}ˇ˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż\
         ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
         ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
        true,
        true,
    ),
    // Windows-1253
    Encoding::new(
        "€\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}\
         \u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ\
         ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήί\
         ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ",
        true,
        true,
    ),
    // Windows-1254
    Encoding::new(
        "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\
         \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿\
         ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß\
         àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
        true,
        true,
    ),
    // Windows-1257
    Encoding::new(
        "€\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨ˇ¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}\
         \u{a0}¡¢£¤¥¦§Ø©Ŗ«¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ\
         ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß\
         ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
        true,
        true,
    ),
    // ISO-8859-2
    Encoding::new(
        "\u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\u{90}\u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\
         \u{a0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż\
         ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß\
         ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
        false,
        true,
    ),
    // Mac OS Roman
    Encoding::new(
        "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü\
         †°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø\
         ¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ\
         ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
        false,
        false,
    ),
    // Code page 437
    Encoding::new(
        "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ\
         áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐\
         └┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀\
         αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
        false,
        true,
    ),
];

/// How many of [`ENCODINGS`] map bytes from 0x80 on much as Latin-1 does.
pub(super) const LATIN_LIKE: usize = 7;
