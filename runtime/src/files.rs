//! Files that may be a stranger's, read up to a limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Error;

/// The text of a file of at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: usize) -> Result<String, Error> {
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| Error::bundle(path, "is not UTF-8 text"))
}

/// The contents of a file of at most `limit` bytes.
pub(crate) fn read_bytes(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::read(path))?;
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(Error::read(path))?;
    if bytes.len() > limit {
        return Err(Error::bundle(path, format!("is larger than {limit} bytes, the limit for such a file")));
    }
    Ok(bytes)
}
