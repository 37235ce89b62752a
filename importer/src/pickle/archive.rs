//! The ZIP archive of `torch.save`: entries stored as they are, none over another.

use std::ops::Range;

use crate::error::PickleFault;

/// Most entries that are looked at.
const MOST_ENTRIES: u64 = 1 << 20;
/// Bytes of the record at the end of an archive, without its comment.
const END: usize = 22;
/// Longest comment.
const COMMENT: usize = 0xffff;

/// The program `data.pkl` of an archive whose directory is as `torch.save` writes it.
///
/// # Errors
/// When the archive is damaged, an entry is compressed, or the entries are larger than the file.
pub(super) fn program(bytes: &[u8]) -> Result<&[u8], PickleFault> {
    let (mut position, count) = directory(bytes).ok_or(PickleFault::DamagedArchive)?;
    let mut total = 0u64;
    let mut program = None;
    for _ in 0..count {
        let entry = Entry::at(bytes, position).ok_or(PickleFault::DamagedArchive)?;
        position = entry.next;
        let name = String::from_utf8_lossy(entry.name).chars().take(80).collect::<String>();
        if entry.method != 0 || entry.stored != entry.size {
            return Err(PickleFault::Compressed { entry: name });
        }
        total = total.saturating_add(entry.size);
        if total > bytes.len() as u64 {
            return Err(PickleFault::Overlapping);
        }
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            let range = entry.data(bytes).ok_or(PickleFault::DamagedArchive)?;
            if program.replace(range).is_some() {
                return Err(PickleFault::SeveralPrograms);
            }
        }
    }
    let range = program.ok_or(PickleFault::NoProgram)?;
    bytes.get(range).ok_or(PickleFault::DamagedArchive)
}

/// Start of the central directory and number of its entries.
fn directory(bytes: &[u8]) -> Option<(usize, u64)> {
    let lowest = bytes.len().saturating_sub(END + COMMENT);
    let tail = bytes.get(lowest..)?;
    let end = lowest + tail.windows(4).rposition(|window| window == b"PK\x05\x06")?;
    // The comment, which torch.save leaves empty, fills the rest of the file.
    if end + END + usize::from(u16_at(bytes, end + 20)?) != bytes.len() {
        return None;
    }
    let (mut count, mut start) = (u64::from(u16_at(bytes, end + 10)?), u64::from(u32_at(bytes, end + 16)?));
    // The 64-bit record, where there is one, lies in front and is named by a locator of 20 bytes.
    let locator = end.checked_sub(20).filter(|&at| bytes.get(at..at + 4) == Some(b"PK\x06\x07"));
    if let Some(locator) = locator {
        let record = usize::try_from(u64_at(bytes, locator + 8)?).ok()?;
        if bytes.get(record..record.checked_add(4)?) != Some(b"PK\x06\x06") {
            return None;
        }
        (count, start) = (u64_at(bytes, record.checked_add(32)?)?, u64_at(bytes, record.checked_add(48)?)?);
    }
    let start = usize::try_from(start).ok().filter(|start| *start <= bytes.len())?;
    (count <= MOST_ENTRIES).then_some((start, count))
}

struct Entry<'a> {
    name: &'a [u8],
    method: u16,
    stored: u64,
    size: u64,
    header: usize,
    next: usize,
}

impl<'a> Entry<'a> {
    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        if bytes.get(at..at.checked_add(46)?) != bytes.get(at..at + 46).filter(|entry| entry.starts_with(b"PK\x01\x02")) {
            return None;
        }
        let [name, extra, comment] = [28, 30, 32].map(|field| u16_at(bytes, at + field).map(usize::from));
        let (name_start, extra_start) = (at + 46, at + 46 + name?);
        let next = extra_start + extra? + comment?;
        let mut fields = [u32_at(bytes, at + 24)?, u32_at(bytes, at + 20)?, u32_at(bytes, at + 42)?].map(u64::from);
        large_fields(bytes.get(extra_start..extra_start + extra?)?, &mut fields)?;
        let [size, stored, header] = fields;
        Some(Self {
            name: bytes.get(name_start..extra_start)?,
            method: u16_at(bytes, at + 10)?,
            stored,
            size,
            header: usize::try_from(header).ok()?,
            next,
        })
    }

    /// The range of the contents, behind the header that stands in front of them.
    fn data(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let header = bytes.get(self.header..)?;
        if !header.starts_with(b"PK\x03\x04") {
            return None;
        }
        let lengths = usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
        let start = self.header.checked_add(30 + lengths)?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        Some(start..end)
    }
}

/// Replaces sizes of all ones by their 64-bit values, which follow in the order size, stored size, position.
fn large_fields(mut extra: &[u8], fields: &mut [u64; 3]) -> Option<()> {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let body = extra.get(4..4 + length)?;
        if kind == 1 {
            let large = fields.iter_mut().filter(|field| **field == u64::from(u32::MAX));
            for (i, field) in large.enumerate() {
                *field = u64_at(body, 8 * i)?;
            }
        }
        extra = extra.get(4 + length..)?;
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
