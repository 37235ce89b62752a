//! The pages of a Parquet column, looked at before the library reads them: it makes room for as many bytes as a page's header
//! says, whoever wrote that. Headers are Thrift's compact protocol; of its fields only the page's two sizes matter here.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes that one page may have once it is decompressed.
const LARGEST: i64 = 64 << 20;
/// Bytes of the longest header: statistics are in it.
const HEADER: usize = 1 << 20;
/// Structs in structs.
const DEPTH: usize = 8;

/// Checks the headers of all pages in `range` of a file.
///
/// # Errors
/// What is wrong, as the rest of the sentence.
pub(super) fn check(file: &mut File, (start, length): (u64, u64), size: u64) -> Result<(), String> {
    let end = start.checked_add(length).filter(|&end| end <= size).ok_or("has pages behind its end, so it was cut off")?;
    let mut place = start;
    while place < end {
        let mut head = Vec::new();
        let most = (end - place).min(HEADER as u64);
        file.seek(SeekFrom::Start(place)).map_err(|error| error.to_string())?;
        file.by_ref().take(most.min(1 << 12)).read_to_end(&mut head).map_err(|error| error.to_string())?;
        let header = match Header::parse(&head) {
            Some(header) => header,
            None => {
                // Longer than most are.
                file.by_ref()
                    .take(most - (head.len() as u64).min(most))
                    .read_to_end(&mut head)
                    .map_err(|error| error.to_string())?;
                Header::parse(&head).ok_or_else(|| format!("has no page at byte {place}"))?
            }
        };
        let (Some(plain), Some(stored)) = (header.plain, header.stored) else {
            return Err(format!("has a page at byte {place} that does not say how large it is"));
        };
        if !(0..=LARGEST).contains(&plain) {
            return Err(format!("has a page at byte {place} of {plain} bytes, but {LARGEST} are read at most"));
        }
        let stored = u64::try_from(stored).map_err(|_| format!("has a page at byte {place} of {stored} bytes"))?;
        place = place.saturating_add(header.length as u64).saturating_add(stored);
        if place > end {
            return Err("has a page that is longer than its column".to_string());
        }
    }
    Ok(())
}

/// What a page's header says.
#[derive(Default)]
struct Header {
    /// Bytes once decompressed.
    plain: Option<i64>,
    /// Bytes in the file.
    stored: Option<i64>,
    /// Bytes of the header itself.
    length: usize,
}

impl Header {
    /// None where the bytes hold no whole header.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut header = Self::default();
        let mut reader = Compact { bytes, place: 0 };
        reader.fields(0, &mut |field, value| match field {
            2 => header.plain = value,
            3 => header.stored = value,
            _ => {}
        })?;
        header.length = reader.place;
        Some(header)
    }
}

/// Thrift's compact protocol.
struct Compact<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.place)?;
        self.place += 1;
        Some(byte)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        let place = self.place.checked_add(usize::try_from(count).ok()?)?;
        (place <= self.bytes.len()).then(|| self.place = place)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64u32).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The fields of a struct, each shown with its value where it is a whole number.
    fn fields(&mut self, depth: usize, show: &mut dyn FnMut(i64, Option<i64>)) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        let mut field = 0i64;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == 0 {
                return Some(());
            }
            field = match head >> 4 {
                0 => self.zigzag()?,
                step => field.checked_add(i64::from(step))?,
            };
            // In a struct, truth is in the kind itself.
            let value = if matches!(kind, 1 | 2) { None } else { self.value(kind, depth)? };
            show(field, value);
        }
    }

    /// Passes over a value; its number where it is a whole one of 16 to 64 bits.
    fn value(&mut self, kind: u8, depth: usize) -> Option<Option<i64>> {
        match kind {
            1..=3 => self.skip(1)?,
            4..=6 => return self.zigzag().map(Some),
            7 => self.skip(8)?,
            8 => {
                let length = self.varint()?;
                self.skip(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                // Each has a byte at least.
                if count > (self.bytes.len() - self.place) as u64 {
                    return None;
                }
                for _ in 0..count {
                    self.value(head & 0x0f, depth + 1)?;
                }
            }
            12 => self.fields(depth + 1, &mut |_, _| ())?,
            _ => return None,
        }
        Some(None)
    }
}
