//! Writing: the header first, then tensor by tensor, and at the end the hash into its place in the header.

use std::collections::BTreeMap;
use std::io::{self, SeekFrom};

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

/// A tensor that a file is going to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub dtype: Dtype,
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
}

impl Entry {
    /// A tensor of 32-bit floats.
    pub fn f32(name: String, shape: Vec<usize>) -> Self {
        Self { name, dtype: Dtype::F32, shape }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A file that is being written. Whoever has begun it gives it every tensor in the order of the names, then finishes it.
pub struct TensorWriter<'a> {
    sink: &'a mut dyn Sink,
    metadata: BTreeMap<String, String>,
    entries: Vec<Entry>,
    written: usize,
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
        let writer = Self { sink, metadata, entries, written: 0, content };
        writer.sink.write_all(&header(&writer.metadata, &writer.entries)?)?;
        Ok(writer)
    }

    /// The tensor that comes next; none where all are written.
    pub fn next(&self) -> Option<&Entry> {
        self.entries.get(self.written)
    }

    /// Writes the next tensor.
    ///
    /// # Errors
    /// Those of the sink; [`io::ErrorKind::InvalidInput`] where the values are not those of the next entry.
    pub fn tensor(&mut self, values: Values<'_>) -> io::Result<()> {
        let entry = self.entries.get(self.written).ok_or_else(|| misfit("one tensor more than the header names".to_string()))?;
        if (values.dtype(), values.len()) != (entry.dtype, entry.elements()) {
            let given = format!("{} values of type {}", values.len(), values.dtype());
            return Err(misfit(format!("tensor {} of type {} {:?} as {given}", entry.name, entry.dtype, entry.shape)));
        }
        if let Some(content) = &mut self.content {
            content.tensor(&entry.name, &entry.dtype.to_string(), &entry.shape);
        }
        let (sink, content) = (&mut *self.sink, &mut self.content);
        values.stream(|bytes| {
            if let Some(content) = content {
                content.bytes(bytes);
            }
            sink.write_all(bytes)
        })?;
        self.written += 1;
        Ok(())
    }

    /// Fills in the hash.
    ///
    /// # Errors
    /// Those of the sink; [`io::ErrorKind::InvalidInput`] where a tensor was left out.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(entry) = self.next() {
            return Err(misfit(format!("tensor {} not at all", entry.name)));
        }
        if let Some(content) = self.content.take() {
            self.metadata.insert(HASH_KEY.to_string(), content.hex());
            self.sink.seek(SeekFrom::Start(0))?;
            self.sink.write_all(&header(&self.metadata, &self.entries)?)?;
            self.sink.seek(SeekFrom::End(0))?;
        }
        Ok(())
    }
}

fn misfit(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("its writer was given {what}"))
}

/// The file's beginning: the header's length, and the header, padded to a multiple of eight.
fn header(metadata: &BTreeMap<String, String>, entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_string(), serde_json::json!(metadata));
    let mut offset = 0;
    for entry in entries {
        let end = offset + entry.elements() * entry.dtype.bitsize() / 8;
        let described = serde_json::json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [offset, end]});
        header.insert(entry.name.clone(), described);
        offset = end;
    }
    let mut text = serde_json::to_vec(&header)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
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
