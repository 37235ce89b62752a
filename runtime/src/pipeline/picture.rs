//! Pictures in sheets and files.

use std::path::Path;

use dmdx_graph::store::{self, Existing, PlaceError};

use crate::error::RequestError;
use crate::{Error, Tensor};

/// One sheet never has more pixels.
const MAX_PIXELS: usize = 1 << 28;

/// An 8-bit RGB picture, row major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
}

/// clamp((x + 1) * 127.5, 0, 255), truncated: the rounding of the reference evaluations (distillation.md, section 7).
#[must_use]
pub fn quantise(value: f32) -> u8 {
    ((value + 1.0) * 127.5).clamp(0.0, 255.0) as u8
}

/// Pictures `[N, 3, H, W]` as they are, and the frames of videos `[N, F, 3, H, W]` as pictures, one video after another.
///
/// # Errors
/// [`Error::Shape`] for tensors of another kind.
pub fn frames_in_a_row(results: &Tensor) -> Result<Tensor, Error> {
    match *results.shape() {
        [videos, frames, channels, height, width] => {
            Tensor::f32([videos * frames, channels, height, width], results.floats()?.to_vec())
        }
        [_, _, _, _] => Ok(results.clone()),
        ref shape => Err(Error::Shape(format!("neither pictures nor videos have the shape {shape:?}"))),
    }
}

/// Videos `[N, F, 3, H, W]` as sheets of them all, one for every frame: see [`sheet`].
///
/// # Errors
/// As [`sheet`]; [`Error::Shape`] for tensors of another kind.
pub fn moving(videos: &Tensor, columns: usize, scale: usize) -> Result<Vec<Picture>, Error> {
    let &[count, frames, channels, height, width] = videos.shape() else {
        return Err(Error::Shape(format!("videos have shape [N, F, 3, H, W], not {:?}", videos.shape())));
    };
    let (size, values) = (channels * height * width, videos.floats()?);
    let sheet_of = |frame: usize| {
        let of_video = |video: usize| &values[(video * frames + frame) * size..][..size];
        let pictures = (0..count).flat_map(of_video).copied().collect();
        sheet(&Tensor::f32([count, channels, height, width], pictures)?, columns, scale)
    };
    (0..frames).map(sheet_of).collect()
}

/// Width and height in pixels of a sheet of `count` pictures.
///
/// # Errors
/// [`RequestError::Sheet`] for no pictures, a zero or a sheet beyond 2^28 pixels.
pub fn sheet_size(count: usize, [height, width]: [usize; 2], columns: usize, scale: usize) -> Result<[usize; 2], Error> {
    let columns = columns.min(count);
    let rows = if columns == 0 { 0 } else { count.div_ceil(columns) };
    let sheet_width = width.saturating_mul(columns).saturating_mul(scale);
    let sheet_height = height.saturating_mul(rows).saturating_mul(scale);
    match sheet_width.checked_mul(sheet_height) {
        Some(1..=MAX_PIXELS) => Ok([sheet_width, sheet_height]),
        _ => Err(RequestError::Sheet { width: sheet_width, height: sheet_height, most: MAX_PIXELS }.into()),
    }
}

/// Lays pictures `[N, 3, H, W]` in rows of `columns`, left to right, each pixel enlarged to `scale` x `scale`; empty cells are black.
///
/// # Errors
/// [`Error::Request`] for no pictures, a zero or a sheet beyond 2^28 pixels; [`Error::Shape`] for tensors of another kind.
pub fn sheet(pictures: &Tensor, columns: usize, scale: usize) -> Result<Picture, Error> {
    let &[count, 3, height, width] = pictures.shape() else {
        return Err(Error::Shape(format!("pictures have shape [N, 3, H, W], not {:?}", pictures.shape())));
    };
    let values = pictures.floats()?;
    let columns = columns.min(count);
    let [sheet_width, sheet_height] = sheet_size(count, [height, width], columns, scale)?;
    let mut rgb = vec![0; 3 * sheet_width * sheet_height];
    for (position, pixel) in rgb.chunks_exact_mut(3).enumerate() {
        let (x, y) = (position % sheet_width / scale, position / sheet_width / scale);
        let index = y / height * columns + x / width;
        if index < count {
            let corner = index * 3 * height * width + y % height * width + x % width;
            for (channel, byte) in pixel.iter_mut().enumerate() {
                *byte = quantise(values[corner + channel * height * width]);
            }
        }
    }
    Ok(Picture { width: sheet_width, height: sheet_height, rgb })
}

/// What becomes of a file that is there.
fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Keep }
}

/// Looks whether a file can be written to `path`, before the work.
///
/// # Errors
/// [`Error::Place`].
pub fn check_file(path: &Path, force: bool) -> Result<(), Error> {
    Ok(store::check_file(path, existing(force))?)
}

/// Writes a file whole or not at all: a temporary file beside it, then a rename. Without `force` an existing file stays, and
/// anything but a regular file always does.
///
/// # Errors
/// [`Error::Place`] where something is there, [`Error::Write`].
pub fn write_file(path: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    store::write_file(path, existing(force), bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => PlaceError::Exists(path.into()).into(),
        _ => Error::Write { path: path.into(), source },
    })
}
