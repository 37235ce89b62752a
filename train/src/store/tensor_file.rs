//! Safetensors files with a hash of their own contents.
//!
//! Any safetensors reader opens them. Ours also refuses a file whose metadata or values are not what was written: the
//! metadata key `content_sha256` is a hash over everything else. Bytes are a function of the contents alone.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use half::f16;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::error::TrainError;

const HASH_KEY: &str = "content_sha256";
/// Values turned to bytes at a time.
const CHUNK: usize = 1 << 14;

/// The values of one tensor to write, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit floats.
    F16(&'a [f16]),
    /// Unsigned integers.
    U32(&'a [u32]),
}

impl Values<'_> {
    fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::F16(_) => "F16",
            Self::U32(_) => "U32",
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::F32(values) => values.len() * 4,
            Self::F16(values) => values.len() * 2,
            Self::U32(values) => values.len() * 4,
        }
    }

    /// Hands the little-endian bytes to `sink`, a chunk at a time.
    fn stream<E>(&self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut bytes = Vec::with_capacity(CHUNK * 4);
        macro_rules! chunks {
            ($values:expr) => {
                for chunk in $values.chunks(CHUNK) {
                    bytes.clear();
                    bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                    sink(&bytes)?;
                }
            };
        }
        match self {
            Self::F32(values) => chunks!(values),
            Self::F16(values) => chunks!(values),
            Self::U32(values) => chunks!(values),
        }
        Ok(())
    }
}

/// Tensors to write by name, with their shapes.
pub type Tensors<'a> = BTreeMap<&'a str, (&'a [usize], Values<'a>)>;

/// Writes `tensors` and `metadata` as safetensors.
///
/// # Errors
/// Those of `writer`.
pub fn write(writer: &mut dyn Write, metadata: &BTreeMap<String, String>, tensors: &Tensors<'_>) -> io::Result<()> {
    let mut hash = Content::new(metadata);
    for (name, (shape, values)) in tensors {
        hash.tensor(name, values.dtype(), shape);
        let Ok(()) = values.stream(|bytes| {
            hash.0.update(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let mut stored: BTreeMap<&str, &str> = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let hash = hash.hex();
    stored.insert(HASH_KEY, &hash);
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_string(), serde_json::json!(stored));
    let mut offset = 0;
    for (name, (shape, values)) in tensors {
        let end = offset + values.bytes();
        let entry = serde_json::json!({"dtype": values.dtype(), "shape": shape, "data_offsets": [offset, end]});
        header.insert((*name).to_string(), entry);
        offset = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    writer.write_all(&(header.len() as u64).to_le_bytes())?;
    writer.write_all(&header)?;
    for (_, values) in tensors.values() {
        values.stream(|bytes| writer.write_all(bytes))?;
    }
    Ok(())
}

/// The running hash of a file's contents: metadata first, then each tensor in the order of the names.
struct Content(Sha256);

impl Content {
    fn new(metadata: &BTreeMap<String, String>) -> Self {
        let mut content = Self(Sha256::new());
        for (key, value) in metadata.iter().filter(|(key, _)| *key != HASH_KEY) {
            content.text(key);
            content.text(value);
        }
        content
    }

    fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    fn tensor(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        self.text(name);
        self.text(dtype);
        self.text(&format!("{shape:?}"));
    }

    fn hex(self) -> String {
        super::hex(&self.0.finalize())
    }
}

/// A file's metadata and where its tensors lie; every byte was checked.
#[derive(Clone, Debug)]
pub struct TensorFile {
    /// The metadata, without the hash.
    pub metadata: BTreeMap<String, String>,
    /// Of each tensor: type, shape and the range of its bytes in the file.
    pub tensors: BTreeMap<String, (Dtype, Vec<usize>, Range<usize>)>,
    bytes: Vec<u8>,
}

impl TensorFile {
    /// Reads `path` and checks it against its own hash.
    ///
    /// # Errors
    /// [`TrainError::Read`], and [`TrainError::Damaged`] where the file is not safetensors or not what was written.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let bytes = std::fs::read(path).map_err(TrainError::read(path))?;
        Self::parse(bytes).map_err(|reason| TrainError::damaged(path, reason))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let cut = |error: safetensors::SafeTensorError| format!("it is not a whole safetensors file ({error})");
        let (header, parsed) = SafeTensors::read_metadata(&bytes).map_err(cut)?;
        let start = 8 + header;
        let mut metadata: BTreeMap<String, String> =
            parsed.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let tensors: BTreeMap<_, _> = parsed
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (first, last) = info.data_offsets;
                (name, (info.dtype, info.shape.clone(), start + first..start + last))
            })
            .collect();
        let stored = metadata.remove(HASH_KEY).ok_or("it does not have the hash of its contents")?;
        let mut hash = Content::new(&metadata);
        for (name, (dtype, shape, range)) in &tensors {
            hash.tensor(name, &dtype.to_string(), shape);
            hash.0.update(bytes.get(range.clone()).ok_or("its tensors reach beyond its end")?);
        }
        if hash.hex() != stored {
            return Err("its contents do not have the hash that was written with them".to_string());
        }
        Ok(Self { metadata, tensors, bytes })
    }

    /// The values of the f32 tensor `name` and its shape; none where there is no such tensor.
    pub fn f32(&self, name: &str) -> Option<(&[usize], Vec<f32>)> {
        let (dtype, shape, range) = self.tensors.get(name)?;
        let bytes = self.bytes.get(range.clone())?;
        (*dtype == Dtype::F32).then(|| {
            let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
            (shape.as_slice(), bytes.chunks_exact(4).map(value).collect())
        })
    }

    /// The values of the u32 tensor `name`; none where there is no such tensor.
    pub fn u32(&self, name: &str) -> Option<Vec<u32>> {
        let (dtype, _, range) = self.tensors.get(name)?;
        let bytes = self.bytes.get(range.clone())?;
        (*dtype == Dtype::U32).then(|| bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// The SHA-256 of the whole file, in hexadecimal.
    pub fn sha256(&self) -> String {
        super::hex(&Sha256::digest(&self.bytes))
    }
}
