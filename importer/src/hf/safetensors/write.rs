//! Writing a safetensors file as a stream: the header, then tensor by tensor in pieces of any size.

use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};

use safetensors::Dtype;
use serde_json::{Map, Value, json};

/// A tensor that a file is going to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub dtype: Dtype,
    /// Extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorEntry {
    /// A tensor of 32-bit floats.
    pub fn f32(name: String, shape: Vec<usize>) -> Self {
        Self { name, dtype: Dtype::F32, shape }
    }

    /// How many values it has; none where that is beyond counting.
    pub fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))
    }

    /// How many bytes it has; none where that is beyond counting.
    pub fn bytes(&self) -> Option<usize> {
        self.elements()?.checked_mul(self.dtype.bitsize()).map(|bits| bits / 8)
    }
}

/// A file that is being written. Whoever has begun it gives it every tensor, in order and whole, then finishes it. The same
/// contents give the same bytes.
#[derive(Debug)]
pub struct SafetensorsWriter<W> {
    out: W,
    entries: Vec<TensorEntry>,
    header: usize,
    /// The tensor that comes next.
    next: usize,
    /// Bytes that the tensor before it still lacks.
    left: usize,
}

impl<W: Write> SafetensorsWriter<W> {
    /// Writes the header of a file that holds `entries` in this order.
    ///
    /// # Errors
    /// Those of `out`; [`io::ErrorKind::InvalidInput`] where the tensors have more bytes than can be counted.
    pub fn begin(mut out: W, metadata: &BTreeMap<String, String>, entries: Vec<TensorEntry>) -> io::Result<Self> {
        let header = header(metadata, &entries)?;
        out.write_all(&header)?;
        Ok(Self { out, entries, header: header.len(), next: 0, left: 0 })
    }

    /// The tensor that comes next; none where all were begun.
    pub fn peek(&self) -> Option<&TensorEntry> {
        self.entries.get(self.next)
    }

    /// Begins the next tensor.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where there is none, or the one before is not whole.
    pub fn tensor(&mut self) -> io::Result<&TensorEntry> {
        self.whole()?;
        let entry = self.entries.get(self.next).ok_or_else(|| misfit("one tensor more than the header names".into()))?;
        self.left = entry.bytes().unwrap_or(0);
        self.next += 1;
        Ok(entry)
    }

    /// Writes bytes of the tensor that was begun, little-endian, row-major.
    ///
    /// # Errors
    /// Those of the file; [`io::ErrorKind::InvalidInput`] where the tensor has not so many.
    pub fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            return Err(misfit(format!("{} bytes too many for tensor {}", bytes.len() - self.left, self.begun())));
        };
        self.left = left;
        self.out.write_all(bytes)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where a tensor is not whole or was left out.
    pub fn finish(self) -> io::Result<W> {
        self.whole()?;
        match self.peek() {
            Some(entry) => Err(misfit(format!("tensor {} not at all", entry.name))),
            None => Ok(self.out),
        }
    }

    fn whole(&self) -> io::Result<()> {
        match self.left {
            0 => Ok(()),
            left => Err(misfit(format!("{left} bytes too few for tensor {}", self.begun()))),
        }
    }

    fn begun(&self) -> &str {
        self.next.checked_sub(1).and_then(|index| self.entries.get(index)).map_or("none", |entry| entry.name.as_str())
    }
}

impl<W: Write + Seek> SafetensorsWriter<W> {
    /// Ends the file like [`SafetensorsWriter::finish`], with other metadata of the same length: with what is only known
    /// once every tensor was written.
    ///
    /// # Errors
    /// As [`SafetensorsWriter::finish`]; [`io::ErrorKind::InvalidInput`] where the metadata is longer or shorter.
    pub fn finish_with(self, metadata: &BTreeMap<String, String>) -> io::Result<W> {
        let header = header(metadata, &self.entries)?;
        if header.len() != self.header {
            return Err(misfit("metadata of another length at the end".into()));
        }
        let mut out = self.finish()?;
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header)?;
        out.seek(SeekFrom::End(0))?;
        Ok(out)
    }
}

fn misfit(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("its writer was given {what}"))
}

/// The file's beginning: the header's length, and the header, padded to a multiple of eight.
fn header(metadata: &BTreeMap<String, String>, entries: &[TensorEntry]) -> io::Result<Vec<u8>> {
    let mut header = Map::new();
    header.insert("__metadata__".to_string(), json!(metadata));
    let mut offset = 0usize;
    for entry in entries {
        let end = entry.bytes().and_then(|bytes| offset.checked_add(bytes));
        let end = end.ok_or_else(|| misfit(format!("tensor {} of type {} {:?}", entry.name, entry.dtype, entry.shape)))?;
        let described = json!({"dtype": entry.dtype, "shape": entry.shape, "data_offsets": [offset, end]});
        header.insert(entry.name.clone(), described);
        offset = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
}
