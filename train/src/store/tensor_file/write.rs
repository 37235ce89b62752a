//! Writing: the header first, then tensor by tensor, and at the end the hash into its place in the header.

use std::collections::BTreeMap;
use std::io;

use dmdx_importer::hf::safetensors::{SafetensorsWriter, TensorEntry as Entry};
use half::f16;
use safetensors::Dtype;

use super::{Content, HASH_DIGITS, HASH_KEY};
use crate::store::atomic::Sink;

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
    fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F16(_) => Dtype::F16,
            Self::U32(_) => Dtype::U32,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::U32(values) => values.len(),
        }
    }

    /// Hands the little-endian bytes to `sink`, a chunk at a time.
    fn stream(&self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
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

/// A file that is being written. Whoever has begun it gives it every tensor in the order of the names, then finishes it.
pub struct TensorWriter<'a> {
    file: SafetensorsWriter<&'a mut dyn Sink>,
    metadata: BTreeMap<String, String>,
    content: Option<Content>,
}

impl<'a> TensorWriter<'a> {
    /// Begins a file that holds the hash of its contents.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn begin(sink: &'a mut dyn Sink, metadata: &BTreeMap<String, String>, entries: Vec<Entry>) -> io::Result<Self> {
        let content = Content::new(metadata);
        let mut metadata = metadata.clone();
        metadata.insert(HASH_KEY.to_string(), "0".repeat(HASH_DIGITS));
        Self::with_header(sink, metadata, entries, Some(content))
    }

    /// Begins a file for other readers, with this metadata and no hash.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn begin_plain(sink: &'a mut dyn Sink, metadata: BTreeMap<String, String>, entries: Vec<Entry>) -> io::Result<Self> {
        Self::with_header(sink, metadata, entries, None)
    }

    fn with_header(
        sink: &'a mut dyn Sink,
        metadata: BTreeMap<String, String>,
        mut entries: Vec<Entry>,
        content: Option<Content>,
    ) -> io::Result<Self> {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { file: SafetensorsWriter::begin(sink, &metadata, entries)?, metadata, content })
    }

    /// The tensor that comes next; none where all are written.
    pub fn next(&self) -> Option<&Entry> {
        self.file.peek()
    }

    /// Writes the next tensor.
    ///
    /// # Errors
    /// Those of the sink; [`io::ErrorKind::InvalidInput`] where the values are not those of the next entry.
    pub fn tensor(&mut self, values: Values<'_>) -> io::Result<()> {
        let entry = self.file.tensor()?;
        if (values.dtype(), Some(values.len())) != (entry.dtype, entry.elements()) {
            let given = format!("{} values of type {}", values.len(), values.dtype());
            return Err(misfit(format!("tensor {} of type {} {:?} as {given}", entry.name, entry.dtype, entry.shape)));
        }
        if let Some(content) = &mut self.content {
            content.tensor(&entry.name, &entry.dtype.to_string(), &entry.shape);
        }
        let (file, content) = (&mut self.file, &mut self.content);
        values.stream(|bytes| {
            if let Some(content) = content {
                content.bytes(bytes);
            }
            file.piece(bytes)
        })
    }

    /// Fills in the hash.
    ///
    /// # Errors
    /// Those of the sink; [`io::ErrorKind::InvalidInput`] where a tensor was left out.
    pub fn finish(mut self) -> io::Result<()> {
        match self.content.take() {
            None => self.file.finish().map(drop),
            Some(content) => {
                self.metadata.insert(HASH_KEY.to_string(), content.hex());
                self.file.finish_with(&self.metadata).map(drop)
            }
        }
    }
}

fn misfit(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("its writer was given {what}"))
}

/// Tensors to write by name, with their shapes.
pub type Tensors<'a> = BTreeMap<&'a str, (&'a [usize], Values<'a>)>;

/// Writes `tensors` and `metadata` as safetensors with the hash of their contents.
///
/// # Errors
/// Those of `sink`.
pub fn write(sink: &mut dyn Sink, metadata: &BTreeMap<String, String>, tensors: &Tensors<'_>) -> io::Result<()> {
    let entries = tensors.iter().map(|(name, (shape, values))| {
        let (name, shape) = ((*name).to_string(), shape.to_vec());
        Entry { name, dtype: values.dtype(), shape }
    });
    let mut writer = TensorWriter::begin(sink, metadata, entries.collect())?;
    for (_, values) in tensors.values() {
        writer.tensor(*values)?;
    }
    writer.finish()
}
