//! Formats of picture files.

use std::fmt::Display;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::picture::Picture;
use crate::Error;
use crate::error::RequestError;

/// Of JPEG; the eye finds no difference.
const QUALITY: u8 = 95;

/// A format of picture files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Without loss, with texts.
    Png,
    /// With a little loss (quality 95).
    Jpeg,
    /// Without loss.
    WebP,
}

impl Format {
    /// By the ending of a name.
    ///
    /// # Errors
    /// [`RequestError::Format`] for another ending or none.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let refused = |ending: String| RequestError::Format { path: path.display().to_string(), ending }.into();
        let Some(ending) = path.extension() else { return Err(refused("its name has no ending".into())) };
        match ending.to_string_lossy().to_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            other => Err(refused(format!(".{other} is no known format"))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
        }
    }

    /// Refuses sizes that the format cannot hold, before any work.
    ///
    /// # Errors
    /// [`RequestError::LargePicture`].
    pub fn check(self, width: usize, height: usize) -> Result<(), Error> {
        let most = match self {
            Self::Png => i32::MAX as usize,
            Self::Jpeg => usize::from(u16::MAX),
            Self::WebP => 1 << 14,
        };
        if width.max(height) > most {
            return Err(RequestError::LargePicture { width, height, format: self.name(), most }.into());
        }
        Ok(())
    }

    /// The bytes of a file; the same picture and texts give the same bytes. PNG alone keeps the texts, by keyword.
    ///
    /// # Errors
    /// [`RequestError::LargePicture`]; [`Error::Shape`] if the picture's size does not match its bytes or a keyword is none.
    pub fn encode(self, picture: &Picture, texts: &[(&str, String)]) -> Result<Vec<u8>, Error> {
        self.check(picture.width, picture.height)?;
        let problem = |what: &dyn Display| {
            let (width, height) = (picture.width, picture.height);
            Error::Shape(format!("a picture of {width}x{height} pixels cannot be written as {} ({what})", self.name()))
        };
        let size = |side: usize| u32::try_from(side).map_err(|_| problem(&"too large"));
        let (width, height) = (size(picture.width)?, size(picture.height)?);
        if picture.rgb.len() != 3 * picture.width * picture.height {
            return Err(problem(&"wrong number of bytes"));
        }
        let mut bytes = Vec::new();
        let rgb = ExtendedColorType::Rgb8;
        match self {
            Self::Png => write_png(&mut bytes, [width, height], &picture.rgb, texts).map_err(|error| problem(&error))?,
            Self::Jpeg => JpegEncoder::new_with_quality(&mut bytes, QUALITY)
                .write_image(&picture.rgb, width, height, rgb)
                .map_err(|error| problem(&error))?,
            Self::WebP => WebPEncoder::new_lossless(&mut bytes)
                .write_image(&picture.rgb, width, height, rgb)
                .map_err(|error| problem(&error))?,
        }
        Ok(bytes)
    }
}

/// PNG with text chunks before the picture: `tEXt` for plain texts, `iTXt` (UTF-8) for others.
fn write_png(
    bytes: &mut Vec<u8>,
    [width, height]: [u32; 2],
    rgb: &[u8],
    texts: &[(&str, String)],
) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::Adaptive);
    for (keyword, text) in texts {
        match text.is_ascii() {
            true => encoder.add_text_chunk((*keyword).to_string(), text.clone())?,
            false => encoder.add_itxt_chunk((*keyword).to_string(), text.clone())?,
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}
