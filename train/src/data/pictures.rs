//! Real pictures: a folder of them, each with a caption.

use std::path::{Path, PathBuf};

use dmdx_graph::store::hash::Hasher;
use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage};
use rayon::prelude::*;

use super::captions::{Captioned, Captions};
use crate::error::{PictureDefect, TrainError};
use crate::session::progress::Progress;
use crate::store::hash;

/// Pictures that are looked at together.
const CHUNK: usize = 64;

/// How pictures get the size of the teacher's, in words.
pub(super) const FITTING: &str = "upright, scaled by Lanczos until both sides are covered, cut out of the middle";

/// Pixels of the largest picture between scaling and cutting.
const LARGEST: u64 = 1 << 28;

/// A folder of pictures. They stay on the disk until they are asked for.
#[derive(Clone, Debug)]
pub struct Pictures {
    folder: PathBuf,
    captions: Captions,
}

impl Pictures {
    /// The pictures of `folder`, of which none is looked at yet.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where there is none; [`TrainError::Read`].
    pub fn open(folder: &Path) -> Result<Self, TrainError> {
        let captions = Captions::of_pictures(folder)?;
        match captions.is_empty() {
            false => Ok(Self { folder: folder.to_path_buf(), captions }),
            true => Err(TrainError::recipe("data.path", format!("is {}, which holds no pictures", folder.display()))),
        }
    }

    /// Looks at every picture once, whether it has a caption and begins as a picture does, and returns one hash of names,
    /// captions and bytes, in order, in hexadecimal.
    ///
    /// # Errors
    /// [`TrainError::Picture`]; [`TrainError::Read`]; [`TrainError::Damaged`] about a list of captions.
    pub fn look(&self) -> Result<String, TrainError> {
        let mut progress = Progress::start("pictures looked at", self.len() as u64, 0);
        let mut hasher = Hasher::new();
        let mut all = self.captions.starting(0)?;
        loop {
            let chunk = all.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return Ok(hasher.hex());
            }
            let looked_at: Vec<_> = chunk.par_iter().map(|found| looked_at(&self.folder.join(&found.file_name))).collect();
            for (Captioned { file_name, text }, sha256) in chunk.iter().zip(looked_at) {
                [file_name, text, &sha256?].into_iter().for_each(|text| hasher.text(text));
            }
            progress.advance(chunk.len() as u64, String::new);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.captions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their captions.
    pub fn captions(&self) -> &Captions {
        &self.captions
    }

    /// The pictures from number `first` on as `[3, height, width]` in [-1, 1], each decoded when it is asked for: turned
    /// upright as it says, made RGB without its alpha, scaled by Lanczos (with the antialiasing of PIL) until it covers
    /// `height` and `width`, and cut out of the middle.
    ///
    /// # Errors
    /// [`TrainError::Picture`]; [`TrainError::Read`].
    pub fn starting(
        &self,
        first: usize,
        size: [usize; 2],
    ) -> Result<impl Iterator<Item = Result<Vec<f32>, TrainError>>, TrainError> {
        let captions = self.captions.starting(first)?;
        Ok(captions.map(move |found| pixels(&self.folder.join(found?.file_name), size)))
    }
}

/// The hash of a picture's bytes, whose beginning says its size.
fn looked_at(path: &Path) -> Result<String, TrainError> {
    let sha256 = hash::file(path)?;
    reader(path)?.into_dimensions().map_err(|error| undecodable(path, &error))?;
    Ok(sha256)
}

fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>, TrainError> {
    let opened = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    opened.map_err(TrainError::read(path))
}

fn undecodable(path: &Path, error: &ImageError) -> TrainError {
    refused(path, PictureDefect::Undecodable(error.to_string()))
}

fn refused(path: &Path, defect: PictureDefect) -> TrainError {
    TrainError::Picture { path: path.to_path_buf(), defect }
}

fn pixels(path: &Path, size: [usize; 2]) -> Result<Vec<f32>, TrainError> {
    let reader = reader(path)?;
    let decoded = || -> Result<DynamicImage, ImageError> {
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation()?;
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    };
    let picture = decoded().map_err(|error| undecodable(path, &error))?.into_rgb8();
    let [height, width] = size.map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    let (columns, rows) = picture.dimensions();
    let fitted =
        fitted(picture, height, width).ok_or_else(|| refused(path, PictureDefect::Unequal { height: rows, width: columns }))?;
    let plane = |channel: usize| fitted.pixels().map(move |pixel| f32::from(pixel.0[channel]) / 127.5 - 1.0);
    Ok((0..3).flat_map(plane).collect())
}

/// The middle of a picture that was scaled to cover `height` and `width`; sides and margins are rounded as torchvision rounds
/// them. None where that would be too large in between.
fn fitted(picture: RgbImage, height: u32, width: u32) -> Option<RgbImage> {
    let (columns, rows) = picture.dimensions();
    let scaled = |side: u32, by: u32, of: u32| u32::try_from(u64::from(side) * u64::from(by) / u64::from(of.max(1))).ok();
    let is_wide = u64::from(columns) * u64::from(height) > u64::from(rows) * u64::from(width);
    let (new_columns, new_rows) = match is_wide {
        true => (scaled(height, columns, rows)?, height),
        false => (width, scaled(width, rows, columns)?),
    };
    if u64::from(new_columns) * u64::from(new_rows) > LARGEST {
        return None;
    }
    let covering = match (new_columns, new_rows) == (columns, rows) {
        true => picture,
        // One direction after the other, as Pillow does, so that what overshoots is cut off in between.
        false => {
            let columns_done = imageops::resize(&picture, new_columns, rows, FilterType::Lanczos3);
            imageops::resize(&columns_done, new_columns, new_rows, FilterType::Lanczos3)
        }
    };
    let margin = |more: u32| more / 2 + u32::from(more % 4 == 3);
    Some(imageops::crop_imm(&covering, margin(new_columns - width), margin(new_rows - height), width, height).to_image())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use image::{Rgb, RgbImage};

    use super::fitted;

    /// What is marked in the middle stays, whatever the shape; margins are rounded half to even.
    #[test]
    fn pictures_are_covered_and_cut_out_of_the_middle() {
        let marked = |columns: u32, rows: u32, at: (u32, u32)| {
            RgbImage::from_fn(columns, rows, |x, y| if (x, y) == at { Rgb([255; 3]) } else { Rgb([0; 3]) })
        };
        for (columns, at) in [(9, 0), (10, 1), (11, 2), (12, 2), (15, 4)] {
            let cut = fitted(marked(columns, 8, (at, 3)), 8, 8).unwrap();
            assert_eq!(cut.dimensions(), (8, 8));
            assert_eq!(cut.get_pixel(0, 3), &Rgb([255; 3]), "{columns} columns");
        }
        for (columns, rows) in [(8, 8), (3, 5), (100, 7), (7, 100), (1, 1), (1000, 1)] {
            assert_eq!(fitted(marked(columns, rows, (0, 0)), 8, 4).unwrap().dimensions(), (4, 8));
        }
        assert!(fitted(marked(1_000_000, 1, (0, 0)), 1024, 1024).is_none());
    }
}
