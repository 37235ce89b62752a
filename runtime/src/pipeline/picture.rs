//! Pictures to PNG files.

use std::path::Path;

use dmdx_graph::store::{self, Existing};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

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
    let rows = if columns == 0 { 0 } else { count.div_ceil(columns) };
    let sheet_width = width.saturating_mul(columns).saturating_mul(scale);
    let sheet_height = height.saturating_mul(rows).saturating_mul(scale);
    match sheet_width.checked_mul(sheet_height) {
        Some(1..=MAX_PIXELS) => {}
        _ => return Err(RequestError::Sheet { width: sheet_width, height: sheet_height, most: MAX_PIXELS }.into()),
    }
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

/// The bytes of a PNG file; the same picture gives the same bytes.
///
/// # Errors
/// [`Error::Shape`] if the picture's size does not match its bytes.
pub fn png(picture: &Picture) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let problem = |what: &dyn std::fmt::Display| {
        Error::Shape(format!("a picture of {}x{} pixels cannot be written as PNG ({what})", picture.width, picture.height))
    };
    let (Ok(width), Ok(height)) = (u32::try_from(picture.width), u32::try_from(picture.height)) else {
        return Err(problem(&"too large"));
    };
    if picture.rgb.len() != 3 * picture.width * picture.height {
        return Err(problem(&"wrong number of bytes"));
    }
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive)
        .write_image(&picture.rgb, width, height, ExtendedColorType::Rgb8)
        .map_err(|e| problem(&e))?;
    Ok(bytes)
}

/// Writes a file whole or not at all: a temporary file beside it, then a rename. Without `force` an existing file stays, and
/// anything but a regular file always does.
///
/// # Errors
/// [`Error::Exists`], [`Error::Write`].
pub fn write_file(path: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    let existing = if force { Existing::Replace } else { Existing::Keep };
    store::write_file(path, existing, bytes).map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Exists(path.into()),
        _ => Error::Write { path: path.into(), source },
    })
}
