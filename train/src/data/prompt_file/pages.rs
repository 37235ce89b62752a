//! The pages of a Parquet column, looked at before the library reads them: it makes room for as many bytes and values as a
//! page's header says, whoever wrote that. Headers are in Thrift's compact protocol.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Bytes that one page may have once it is decompressed.
const LARGEST: i64 = 64 << 20;
/// Bytes of the longest header: statistics are in it.
const HEADER: usize = 1 << 20;
/// Values of the largest dictionary: the library holds each by itself.
const WORDS: i64 = 1 << 20;
/// How values may be encoded: as they are, or by their places in a dictionary. The library makes room for other encodings by
/// what their data say.
const ENCODINGS: [i64; 3] = [0, 2, 8];
/// Structs in structs.
const DEPTH: usize = 8;

/// Where a page's header has what matters here: the field, and in which field's struct, 0 for the header itself.
const PLAIN: (i64, i64) = (0, 2);
const STORED: (i64, i64) = (0, 3);
/// The headers of data pages of both formats and of dictionaries, each with its field of the encoding.
const KINDS: [(i64, i64); 3] = [(5, 2), (8, 4), (DICTIONARY, 2)];
const DICTIONARY: i64 = 7;
/// The field of a dictionary's number of values.
const COUNT: i64 = 1;

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
        let (Some(plain), Some(stored)) = (header.number(PLAIN), header.number(STORED)) else {
            return Err(format!("has a page at byte {place} that does not say how large it is"));
        };
        if !(0..=LARGEST).contains(&plain) {
            return Err(format!("has a page at byte {place} of {plain} bytes, but {LARGEST} are read at most"));
        }
        if header.number((DICTIONARY, COUNT)).is_some_and(|count| !(0..=WORDS.min(plain / 4)).contains(&count)) {
            return Err(format!("has a dictionary at byte {place} of more values than it holds or than {WORDS}"));
        }
        if let Some(other) = KINDS.iter().filter_map(|at| header.number(*at)).find(|encoding| !ENCODINGS.contains(encoding)) {
            let advice = "write it plain or with a dictionary";
            return Err(format!("has a page at byte {place} in the encoding number {other}, which is not read; {advice}"));
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
struct Header {
    /// Whole numbers by their field, and by the field of the struct that they are in.
    numbers: Vec<((i64, i64), i64)>,
    /// Bytes of the header itself.
    length: usize,
}

impl Header {
    /// None where the bytes hold no whole header.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Vec::new();
        let mut reader = Compact { bytes, place: 0 };
        reader.fields(0, 0, &mut |inside, field, value| numbers.push(((inside, field), value)))?;
        Some(Self { numbers, length: reader.place })
    }

    fn number(&self, place: (i64, i64)) -> Option<i64> {
        self.numbers.iter().find(|(own, _)| *own == place).map(|(_, value)| *value)
    }
}

/// Is shown whole numbers with their field and the field of the struct that they are in.
type Show<'a> = dyn FnMut(i64, i64, i64) + 'a;

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

    /// The fields of a struct that is itself a field, `inside`, of the header; whole numbers down to there are shown.
    fn fields(&mut self, depth: usize, inside: i64, show: &mut Show<'_>) -> Option<()> {
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
            match kind {
                // In a struct, truth is in the kind itself.
                1 | 2 => {}
                4..=6 => {
                    let value = self.zigzag()?;
                    if depth < 2 {
                        show(inside, field, value);
                    }
                }
                12 => self.fields(depth + 1, field, show)?,
                other => self.pass(other, depth)?,
            }
        }
    }

    /// Passes over a value.
    fn pass(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.varint().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                // Each has a byte at least.
                if count > (self.bytes.len() - self.place) as u64 || depth > DEPTH {
                    return None;
                }
                (0..count).try_for_each(|_| self.pass(head & 0x0f, depth + 1))
            }
            12 => self.fields(depth + 1, -1, &mut |_, _, _| ()),
            _ => None,
        }
    }
}
