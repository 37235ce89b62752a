//! Reading: every byte is checked once, then tensors are fetched from the disk as they are asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dmdx_graph::store::hash::Hasher;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::{Content, HASH_KEY};
use crate::error::TrainError;

/// No file of ours has a longer header; the safetensors library reads none either.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// A file whose every byte was checked against its own hash: metadata, and where its tensors lie. Values stay on the disk.
#[derive(Debug)]
pub struct TensorFile {
    /// The metadata, without the hash.
    pub metadata: BTreeMap<String, String>,
    /// Of each tensor: type, shape and the range of its bytes in the file.
    pub tensors: BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>,
    path: PathBuf,
    /// Held open, so that what is read later is what was checked, whatever happens to the path.
    file: Mutex<File>,
}

/// Why a file was not accepted.
enum Refusal {
    Read(io::Error),
    Damage(String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Damage(reason.to_string())
    }
}

impl TensorFile {
    /// Opens `path` and checks it against its own hash.
    ///
    /// # Errors
    /// [`TrainError::Read`], and [`TrainError::Damaged`] where the file is not safetensors or not what was written.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        Self::checked(path, None)
    }

    /// [`TensorFile::open`] with the SHA-256 of the whole file, in hexadecimal, from the same one reading.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn open_hashed(path: &Path) -> Result<(Self, String), TrainError> {
        let mut whole = Hasher::new();
        let file = Self::checked(path, Some(&mut whole))?;
        Ok((file, whole.hex()))
    }

    fn checked(path: &Path, whole: Option<&mut Hasher>) -> Result<Self, TrainError> {
        let file = File::open(path).map_err(TrainError::read(path))?;
        Self::check(path, file, whole).map_err(|refusal| match refusal {
            Refusal::Read(source) => TrainError::Read { path: path.to_path_buf(), source },
            Refusal::Damage(reason) => TrainError::damaged(path, reason),
        })
    }

    fn check(path: &Path, mut file: File, mut whole: Option<&mut Hasher>) -> Result<Self, Refusal> {
        let length = file.metadata()?.len();
        let head = read_head(&mut file, length)?;
        if let Some(whole) = &mut whole {
            whole.update(&head);
        }
        let cut = |reason: &dyn std::fmt::Display| Refusal::Damage(format!("it is not a whole safetensors file ({reason})"));
        let parsed: Metadata = serde_json::from_slice(&head[8..]).map_err(|error| cut(&error))?;
        if (head.len() as u64).checked_add(parsed.data_len() as u64) != Some(length) {
            return Err(cut(&"its tensors do not end where it ends"));
        }
        let mut metadata: BTreeMap<String, String> =
            parsed.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let place = |(first, last): (usize, usize)| head.len() + first..head.len() + last;
        let tensors: BTreeMap<_, _> = parsed
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, (info.dtype, info.shape.clone(), place(info.data_offsets))))
            .collect();
        let stored = metadata.remove(HASH_KEY).ok_or("it does not have the hash of its contents")?;
        let mut content = Content::new(&metadata);
        let mut position = head.len();
        for (name, (dtype, shape, range)) in &tensors {
            if range.start != position {
                return Err("its tensors do not lie in the order of their names".into());
            }
            content.tensor(name, &dtype.to_string(), shape);
            each_chunk(&mut file, range.len(), |bytes| {
                content.bytes(bytes);
                if let Some(whole) = &mut whole {
                    whole.update(bytes);
                }
            })?;
            position = range.end;
        }
        if content.hex() != stored {
            return Err("its contents do not have the hash that was written with them".into());
        }
        Ok(Self { metadata, tensors, path: path.to_path_buf(), file: Mutex::new(file) })
    }

    /// Whether `path` begins as a safetensors file whose metadata has `key`; nothing of it is checked.
    pub fn has(path: &Path, key: &str) -> bool {
        let head = || -> Result<Vec<u8>, Refusal> {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            read_head(&mut file, length)
        };
        let parsed = head().ok().and_then(|head| serde_json::from_slice::<Metadata>(&head[8..]).ok());
        parsed.is_some_and(|parsed| parsed.metadata().as_ref().is_some_and(|known| known.contains_key(key)))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The values of the f32 tensor `name`, row-major; none where there is no such tensor.
    ///
    /// # Errors
    /// [`TrainError::Read`].
    pub fn f32(&self, name: &str) -> Result<Option<Vec<f32>>, TrainError> {
        let words = self.words(name, Dtype::F32, |words: &mut [f32]| {
            words.iter_mut().for_each(|word| *word = f32::from_bits(u32::from_le(word.to_bits())));
        });
        words.map_err(TrainError::read(&self.path))
    }

    /// The values of the u32 tensor `name`, row-major; none where there is no such tensor.
    ///
    /// # Errors
    /// [`TrainError::Read`].
    pub fn u32(&self, name: &str) -> Result<Option<Vec<u32>>, TrainError> {
        let words = self.words(name, Dtype::U32, |words: &mut [u32]| {
            words.iter_mut().for_each(|word| *word = u32::from_le(*word));
        });
        words.map_err(TrainError::read(&self.path))
    }

    /// The bytes of the tensor `name`, of whatever type; none where there is no such tensor.
    ///
    /// # Errors
    /// [`TrainError::Read`].
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, TrainError> {
        let Some((dtype, _, _)) = self.tensors.get(name) else { return Ok(None) };
        self.words(name, *dtype, |_| ()).map_err(TrainError::read(&self.path))
    }

    /// The values of a tensor; `native` turns them from little-endian into the machine's order.
    fn words<T: bytemuck::Pod>(&self, name: &str, wanted: Dtype, native: impl FnOnce(&mut [T])) -> io::Result<Option<Vec<T>>> {
        let Some((_, _, range)) = self.tensors.get(name).filter(|(dtype, _, _)| *dtype == wanted) else { return Ok(None) };
        let mut values = vec![T::zeroed(); range.len() / size_of::<T>()];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(range.start as u64))?;
        file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
        native(&mut values);
        Ok(Some(values))
    }
}

/// The header with the eight bytes of its length before it.
fn read_head(file: &mut File, length: u64) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    file.by_ref().take(8).read_to_end(&mut head)?;
    let size = <[u8; 8]>::try_from(head.as_slice()).map_err(|_| "it is not a whole safetensors file (it is too short)")?;
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER || size + 8 > length {
        return Err("it is not a whole safetensors file (its header does not end in it)".into());
    }
    file.by_ref().take(size).read_to_end(&mut head)?;
    if head.len() as u64 != size + 8 {
        return Err("it is not a whole safetensors file (its header was cut off while it was read)".into());
    }
    Ok(head)
}

/// Hands the next `count` bytes to `look`, a chunk at a time.
fn each_chunk(file: &mut File, count: usize, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK.min(count)];
    let mut left = count;
    while left > 0 {
        let now = left.min(CHUNK);
        file.read_exact(&mut buffer[..now])?;
        look(&buffer[..now]);
        left -= now;
    }
    Ok(())
}
