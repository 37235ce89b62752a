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
    /// PNG that moves, for videos.
    Animation,
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
            "apng" => Ok(Self::Animation),
            other => Err(refused(format!(".{other} is no known format"))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Animation => "animated PNG",
        }
    }

    /// Refuses sizes that the format cannot hold, before any work.
    ///
    /// # Errors
    /// [`RequestError::LargePicture`].
    pub fn check(self, width: usize, height: usize) -> Result<(), Error> {
        let most = match self {
            Self::Png | Self::Animation => i32::MAX as usize,
            Self::Jpeg => usize::from(u16::MAX),
            Self::WebP => 1 << 14,
        };
        if width.max(height) > most {
            return Err(RequestError::LargePicture { width, height, format: self.name(), most }.into());
        }
        Ok(())
    }

    /// The bytes of a file; the same picture and texts give the same bytes. PNG alone keeps the texts, by keyword. An
    /// animation does not move; see [`animation`].
    ///
    /// # Errors
    /// [`RequestError::LargePicture`]; [`Error::Shape`] if the picture's size does not match its bytes or a keyword is none.
    pub fn encode(self, picture: &Picture, texts: &[(&str, String)]) -> Result<Vec<u8>, Error> {
        if self == Self::Animation {
            return animation(std::slice::from_ref(picture), FRAMES_PER_SECOND, texts);
        }
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
            Self::Png | Self::Animation => {
                write_png(&mut bytes, [width, height], &picture.rgb, texts).map_err(|error| problem(&error))?
            }
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

/// The frames of an animation that are shown in a second, as diffusers' examples show those of CogVideoX.
pub const FRAMES_PER_SECOND: u16 = 8;

/// Pictures of one size as an animated PNG that begins anew for ever, with texts by keyword. Programs that know no animations
/// show the first picture.
///
/// # Errors
/// [`RequestError::LargePicture`]; [`Error::Shape`] for no pictures, pictures of different sizes, no frame in a second, or a
/// keyword that is none.
pub fn animation(frames: &[Picture], per_second: u16, texts: &[(&str, String)]) -> Result<Vec<u8>, Error> {
    let problem =
        |what: &dyn Display| Error::Shape(format!("{} pictures cannot be written as an animation ({what})", frames.len()));
    let first = frames.first().ok_or_else(|| problem(&"there must be one at least"))?;
    Format::Png.check(first.width, first.height)?;
    let is_alike = |frame: &Picture| {
        (frame.width, frame.height) == (first.width, first.height) && frame.rgb.len() == 3 * frame.width * frame.height
    };
    if per_second == 0 || !frames.iter().all(is_alike) {
        return Err(problem(&"all must have one size, and be shown for a time"));
    }
    let size = |side: usize| u32::try_from(side).map_err(|_| problem(&"too large"));
    let (size, count) = ([size(first.width)?, size(first.height)?], size(frames.len())?);
    let mut bytes = Vec::new();
    let mut write = || {
        let mut encoder = encoder(&mut bytes, size, texts)?;
        encoder.set_animated(count, 0)?;
        encoder.set_frame_delay(1, per_second)?;
        let mut writer = encoder.write_header()?;
        frames.iter().try_for_each(|frame| writer.write_image_data(&frame.rgb))?;
        writer.finish()
    };
    write().map_err(|error| problem(&error))?;
    Ok(bytes)
}

/// PNG with text chunks before the picture: `tEXt` for plain texts, `iTXt` (UTF-8) for others.
fn write_png(bytes: &mut Vec<u8>, size: [u32; 2], rgb: &[u8], texts: &[(&str, String)]) -> Result<(), png::EncodingError> {
    let mut writer = encoder(bytes, size, texts)?.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}

fn encoder<'a>(
    bytes: &'a mut Vec<u8>,
    [width, height]: [u32; 2],
    texts: &[(&str, String)],
) -> Result<png::Encoder<'static, &'a mut Vec<u8>>, png::EncodingError> {
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
    Ok(encoder)
}
