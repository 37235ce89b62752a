//! `samples.png`: rows of pictures under labels.

use std::io::Cursor;
use std::path::Path;

use dmdx_runtime::pipeline::format;
use dmdx_runtime::pipeline::picture::Picture;
use image::{ImageFormat, Rgb, RgbImage};

use super::text;
use crate::error::{SheetDefect, TrainError};
use crate::session::logs::LoggedPicture;
use crate::store::atomic::write_atomically;

const MARGIN: u32 = 4;

/// Between groups of pictures.
const GAP: u32 = 8;

/// Pictures that belong together, for instance one model's.
#[derive(Clone, Debug)]
pub struct SheetRow {
    /// What they are.
    pub label: String,
    /// The pictures, `[count, 3, height, width]` in [-1, 1].
    pub pictures: Vec<f32>,
}

/// A sheet of sample pictures.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Height of a picture.
    pub height: u32,
    /// Width of a picture.
    pub width: u32,
    /// Pictures side by side.
    pub columns: u32,
    /// How many of them belong together, with a gap between one group and the next: the frames of a video.
    pub group: u32,
    /// How many times larger than life they are drawn.
    pub scale: u32,
    /// From top to bottom.
    pub rows: Vec<SheetRow>,
}

impl Sheet {
    /// Draws the sheet. Values become bytes by truncating (x + 1) × 127.5, as the metrics do.
    ///
    /// # Errors
    /// [`TrainError::Sheet`] where a row does not hold whole pictures or the sheet is too large for a picture.
    pub fn draw(&self) -> Result<RgbImage, TrainError> {
        let pixels = self.width as usize * self.height as usize;
        if pixels == 0 || self.columns == 0 || self.group == 0 || self.scale == 0 {
            return Err(SheetDefect::Empty.into());
        }
        let too_large = || TrainError::from(SheetDefect::TooLarge);
        let label = text::LETTER * 2 + 2 * MARGIN;
        let cell = |side: u32| side.checked_mul(self.scale).ok_or_else(too_large);
        let (cell_width, cell_height) = (cell(self.width)?, cell(self.height)?);
        let mut lines = Vec::new();
        for row in &self.rows {
            let count = row.pictures.len() / (3 * pixels);
            if count * 3 * pixels != row.pictures.len() {
                let (label, values) = (row.label.clone(), row.pictures.len());
                let (height, width) = (self.height, self.width);
                return Err(SheetDefect::PartialPictures { label, values, height, width }.into());
            }
            lines.push(u32::try_from(count).map_err(|_| too_large())?.div_ceil(self.columns));
        }
        let below = |top: u32, lines: u32| lines.checked_mul(cell_height)?.checked_add(label)?.checked_add(top);
        let height = lines.iter().try_fold(0, |top, &lines| below(top, lines)).ok_or_else(too_large)?;
        let longest = self.rows.iter().map(|row| text::width(&row.label, 2)).max().unwrap_or(0) + 2 * MARGIN;
        let gaps = (self.columns.div_ceil(self.group) - 1).checked_mul(GAP);
        let cells = cell_width.checked_mul(self.columns).zip(gaps).and_then(|(cells, gaps)| cells.checked_add(gaps));
        let width = cells.ok_or_else(too_large)?.max(longest);
        if u64::from(width) * u64::from(height) > 1 << 28 {
            return Err(too_large());
        }
        let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        let mut top = 0;
        for (row, lines) in self.rows.iter().zip(lines) {
            text::draw(&row.label, 2, |x, y| sheet.put_pixel(MARGIN + x, top + MARGIN + y, Rgb([0; 3])));
            top += label;
            for (index, picture) in (0u32..).zip(row.pictures.chunks_exact(3 * pixels)) {
                let column = index % self.columns;
                let left = column * cell_width + column / self.group * GAP;
                let upper = top + index / self.columns * cell_height;
                for y in 0..cell_height {
                    for x in 0..cell_width {
                        let place = (y / self.scale * self.width + x / self.scale) as usize;
                        let byte = |channel: usize| byte(picture[channel * pixels + place]);
                        sheet.put_pixel(left + x, upper + y, Rgb([byte(0), byte(1), byte(2)]));
                    }
                }
            }
            top += lines * cell_height;
        }
        Ok(sheet)
    }
}

fn byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).clamp(0.0, 255.0) as u8
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
/// [`TrainError::Encoding`] where the encoder refuses it.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|error| TrainError::Encoding {
        what: "a picture",
        format: "PNG",
        reason: error.to_string(),
    })?;
    Ok(bytes.into_inner())
}

/// Sheets one after the other as an animated PNG, which shows the first to whoever knows no animations.
///
/// # Errors
/// As [`Sheet::draw`]; [`TrainError::Encoding`] where the encoder refuses them.
pub fn moving(sheets: &[Sheet]) -> Result<LoggedPicture, TrainError> {
    let (mut frames, mut size) = (Vec::with_capacity(sheets.len()), (0, 0));
    for sheet in sheets {
        let picture = sheet.draw()?;
        size = picture.dimensions();
        frames.push(Picture { width: size.0 as usize, height: size.1 as usize, rgb: picture.into_raw() });
    }
    let encoded = format::animation(&frames, format::FRAMES_PER_SECOND, &[]);
    let refused =
        |error: dmdx_runtime::Error| TrainError::Encoding { what: "an animation", format: "PNG", reason: error.to_string() };
    Ok(LoggedPicture { width: size.0, height: size.1, png: encoded.map_err(refused)? })
}

/// Writes a picture as a PNG file.
///
/// # Errors
/// [`TrainError::Write`], [`TrainError::Encoding`].
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<(), TrainError> {
    let bytes = png(picture)?;
    write_atomically(path, |writer| writer.write_all(&bytes))
}
