//! What a file is, by its first bytes: names lie, and downloads fail.

use std::fs::File;

use crate::error::{ForeignFile, ImportError, Result};
use crate::path::OpenFile;

/// Bytes that are looked at.
const HEAD: usize = 512;
/// Bytes of a text that are shown.
const SHOWN: usize = 60;

/// Beginnings that no other format has.
const MAGIC: [(&[u8], ForeignFile); 16] = [
    (b"GGUF", ForeignFile::Gguf),
    (b"lmgg", ForeignFile::Ggml),
    (b"fmgg", ForeignFile::Ggml),
    (b"tjgg", ForeignFile::Ggml),
    (b"\x89HDF\r\n\x1a\n", ForeignFile::Hdf5),
    (b"\x93NUMPY", ForeignFile::Numpy { extension: ".npy" }),
    (b"\x1f\x8b\x08", ForeignFile::Packed { program: "gzip" }),
    (b"\x28\xb5\x2f\xfd", ForeignFile::Packed { program: "zstd" }),
    (b"\xfd7zXZ\0", ForeignFile::Packed { program: "xz" }),
    (b"BZh", ForeignFile::Packed { program: "bzip2" }),
    (b"7z\xbc\xaf\x27\x1c", ForeignFile::Packed { program: "7-Zip" }),
    (b"Rar!\x1a\x07", ForeignFile::Packed { program: "RAR" }),
    (b"\x89PNG\r\n", ForeignFile::Picture { format: "PNG" }),
    (b"\xff\xd8\xff", ForeignFile::Picture { format: "JPEG" }),
    (b"RIFF", ForeignFile::Picture { format: "WebP" }),
    (b"<svg", ForeignFile::Picture { format: "SVG" }),
];

/// The beginning of an open file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn head(open: &OpenFile) -> Result<Vec<u8>> {
    let mut bytes = vec![0; HEAD];
    let read = read_at_start(&open.file, &mut bytes).map_err(|error| ImportError::Read { path: open.path.clone(), error })?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads without moving the place at which others read on.
#[cfg(unix)]
fn read_at_start(file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

#[cfg(not(unix))]
fn read_at_start(mut file: &File, bytes: &mut [u8]) -> std::io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(0))?;
    let read = file.take(bytes.len() as u64).read(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(read)
}

/// Whether a beginning can be that of a safetensors file: a length, and an object.
pub(crate) fn is_safetensors(head: &[u8]) -> bool {
    head.get(8) == Some(&b'{') && head.get(4..8).is_some_and(|high| high == [0; 4])
}

/// Whether a beginning is that of what `torch.save` writes: an archive with a pickled program, or the program itself.
pub(crate) fn is_pickle(head: &[u8]) -> bool {
    match head {
        // TorchScript's archives begin with their data.
        [b'P', b'K', 3, 4, ..] => first_entry(head).is_some_and(|name| name.ends_with("data.pkl") || name.contains("/data/")),
        // Protocols 2 to 5, and what a program of torch.save begins with: a number, a dictionary or a class.
        [0x80, 2..=5, next, ..] => matches!(next, 0x8a | 0x95 | b'}' | b'c' | b'(' | b']'),
        _ => false,
    }
}

/// What the file is, if it is something else than safetensors and PyTorch's files.
pub(crate) fn foreign(head: &[u8], length: u64) -> Option<ForeignFile> {
    if length == 0 || head.is_empty() {
        return Some(ForeignFile::Empty);
    }
    if is_safetensors(head) || is_pickle(head) {
        return None;
    }
    if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(kind.clone());
    }
    binary(head).or_else(|| text(head))
}

fn binary(head: &[u8]) -> Option<ForeignFile> {
    if head.starts_with(b"PK\x03\x04") {
        let entry = first_entry(head)?;
        return Some(match entry.ends_with(".npy") {
            true => ForeignFile::Numpy { extension: ".npz" },
            false => ForeignFile::Zip { entry: entry.chars().take(SHOWN).collect() },
        });
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(ForeignFile::Packed { program: "tar" });
    }
    match head {
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some(ForeignFile::TensorFlowLite),
        // `saved_model_schema_version` 1, then the first of `meta_graphs`.
        [0x08, 0x01, 0x12, ..] => Some(ForeignFile::TensorFlow),
        // `ir_version`, then `producer_name`, or the graph itself.
        [0x08, 2..=32, 0x12 | 0x3a, ..] => Some(ForeignFile::Onnx),
        // A graph's first node begins with its name and its operation.
        [0x0a, ..] if is_tensorflow_node(head) => Some(ForeignFile::TensorFlow),
        // A map whose first key is a text.
        [0x81..=0x8f, 0xa1..=0xbf | 0xd9, ..] | [0xde, _, _, 0xa1..=0xbf | 0xd9, ..] => Some(ForeignFile::Flax),
        [0xdf, _, _, _, _, 0xa1..=0xbf | 0xd9, ..] => Some(ForeignFile::Flax),
        // The index of a checkpoint is a table whose first entry has the empty key: the bytes that it shares, its own, and
        // the length of the value, which begins with the number of shards.
        [0, 0, 1..32, 0x08, ..] => Some(ForeignFile::TensorFlowCheckpoint),
        _ if head.len() > 16 && head.iter().all(|byte| *byte == 0) => Some(ForeignFile::Zeros { bytes: head.len() }),
        _ => None,
    }
}

/// A node (field 1) of a TensorFlow graph: its name (field 1), then its operation (field 2), both texts.
fn is_tensorflow_node(head: &[u8]) -> bool {
    // A node of 128 bytes and more has its length in two bytes or more.
    let start = head.iter().skip(1).position(|byte| byte & 0x80 == 0).map(|at| at + 2);
    let Some([0x0a, length, rest @ ..]) = start.and_then(|start| head.get(start..)) else { return false };
    let name = rest.get(..usize::from(*length)).unwrap_or_default();
    let printable = |text: &[u8]| !text.is_empty() && text.iter().all(|byte| byte.is_ascii_graphic());
    printable(name) && rest.get(name.len()) == Some(&0x12)
}

/// The name of the first entry of a ZIP archive.
fn first_entry(head: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_le_bytes([*head.get(26)?, *head.get(27)?]));
    let name = head.get(30..)?.get(..length)?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Texts in place of a file.
fn text(head: &[u8]) -> Option<ForeignFile> {
    // The last character may be cut in two.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if let Some(found) = in_place_of_a_file(text) {
        return Some(found);
    }
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    let first = text.lines().next()?;
    (text.len() > 3 && text.chars().all(printable)).then(|| ForeignFile::Text { start: first.chars().take(SHOWN).collect() })
}

/// Pointers and pages, which stand in the place of any file, configurations included.
pub(crate) fn in_place_of_a_file(text: &str) -> Option<ForeignFile> {
    if text.starts_with("version https://git-lfs.github.com/spec/") {
        let size = text.lines().find_map(|line| line.strip_prefix("size "));
        return Some(ForeignFile::LfsPointer { bytes: size.and_then(|size| size.trim().parse().ok()) });
    }
    let start: String = text.chars().take(16).collect::<String>().to_ascii_lowercase();
    let page = ["<!doctype html", "<html", "<head", "<!--", "<?xml"].iter().any(|tag| start.starts_with(tag));
    page.then_some(ForeignFile::Page)
}
