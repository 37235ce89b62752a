//! Where the pictures go: one sheet, or a file each; and what becomes of the frames of videos.

use std::path::{Path, PathBuf};

use dmdx_runtime::pipeline::format::{FRAMES_PER_SECOND, Format, animation};
use dmdx_runtime::pipeline::picture::{check_file, frames_in_a_row, moving, sheet, sheet_size, write_file};
use dmdx_runtime::{Error, RequestError, Tensor};

/// The files to write.
pub struct Output {
    format: Format,
    paths: Vec<PathBuf>,
    is_sheet: bool,
    force: bool,
    /// The name of the files of frames, where they are asked for.
    frames: Option<PathBuf>,
}

/// How a sheet is laid out.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Pictures in a row.
    pub columns: usize,
    /// Enlargement of every pixel.
    pub scale: usize,
}

/// What a file says of itself, by the number of its picture; of a sheet where there is none.
type Texts<'a> = &'a dyn Fn(Option<usize>) -> Vec<(&'static str, String)>;

impl Output {
    /// Looks at every place before the work. A file each is called by the name of the one and its number, counted from 0; with
    /// `frames` there is a PNG file for every frame, too.
    pub fn plan(path: &Path, pictures: usize, separate: bool, frames: bool, force: bool) -> Result<Self, Error> {
        // The place comes first: for `.` a word about its ending would help nobody.
        if !separate {
            check_file(path, force)?;
        }
        let format = Format::of(path)?;
        let paths: Vec<PathBuf> =
            if separate { (0..pictures).map(|index| numbered(path, index, pictures)).collect() } else { vec![path.into()] };
        if separate {
            paths.iter().try_for_each(|path| check_file(path, force))?;
        }
        Ok(Self { format, paths, is_sheet: !separate, force, frames: frames.then(|| path.with_extension("png")) })
    }

    /// Whether what is written moves.
    pub fn is_animation(&self) -> bool {
        self.format == Format::Animation
    }

    /// Refuses frames of pictures, before the work.
    pub fn check_kind(&self, makes_videos: bool) -> Result<(), Error> {
        match (makes_videos, self.is_animation(), &self.frames) {
            (false, true, _) => Err(RequestError::NoFrames("end the name in .png, .jpg or .webp").into()),
            (false, false, Some(_)) => Err(RequestError::NoFrames("leave --frames out").into()),
            (false, false, None) | (true, ..) => Ok(()),
        }
    }

    /// Refuses pictures that the files cannot hold, before the work.
    pub fn check_size(&self, pictures: usize, pixels: [usize; 2], layout: Layout) -> Result<(), Error> {
        let count = if self.is_sheet { pictures } else { pictures / self.paths.len().max(1) };
        let [width, height] = sheet_size(count, pixels, layout.columns, layout.scale)?;
        self.format.check(width, height)
    }

    /// Writes pictures or videos; `texts` are those of a file by its number. Returns what was written and the size of a file.
    pub fn write(&self, results: &Tensor, layout: Layout, texts: Texts<'_>) -> Result<(String, [usize; 2]), Error> {
        let mut size = [0; 2];
        for (index, path) in self.paths.iter().enumerate() {
            let part = if self.is_sheet { results.clone() } else { part(results, index, self.paths.len())? };
            let texts = texts((!self.is_sheet).then_some(index));
            let bytes = match self.is_animation() {
                true => {
                    let frames = moving(&part, layout.columns, layout.scale)?;
                    size = frames.first().map_or(size, |frame| [frame.width, frame.height]);
                    animation(&frames, FRAMES_PER_SECOND, &texts)?
                }
                false => {
                    let picture = sheet(&frames_in_a_row(&part)?, layout.columns, layout.scale)?;
                    size = [picture.width, picture.height];
                    self.format.encode(&picture, &texts)?
                }
            };
            write_file(path, &bytes, self.force)?;
        }
        self.write_frames(results, layout.scale, texts)?;
        let name = |path: Option<&PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
        let written = match self.paths.as_slice() {
            [only] => name(Some(only)),
            many => format!("{} to {}", name(many.first()), name(many.last())),
        };
        Ok((written, size))
    }

    /// A PNG file for every frame: `out-0-00.png` is the first of the first video.
    fn write_frames(&self, results: &Tensor, scale: usize, texts: Texts<'_>) -> Result<(), Error> {
        let (Some(path), &[videos, frames, ..]) = (&self.frames, results.shape()) else { return Ok(()) };
        let pictures = frames_in_a_row(results)?;
        for index in 0..videos * frames {
            let (video, frame) = (index / frames, index % frames);
            let picture = sheet(&part(&pictures, index, videos * frames)?, 1, scale)?;
            let path = numbered(&numbered(path, video, videos), frame, frames);
            write_file(&path, &Format::Png.encode(&picture, &texts(Some(video)))?, self.force)?;
        }
        Ok(())
    }
}

/// The name of one of so many files: `out-07.png`.
fn numbered(path: &Path, index: usize, count: usize) -> PathBuf {
    let digits = count.saturating_sub(1).to_string().len();
    let (stem, ending) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
    path.with_file_name(format!("{}-{index:0digits$}.{}", stem.to_string_lossy(), ending.to_string_lossy()))
}

/// One of equal parts of pictures or videos.
fn part(results: &Tensor, index: usize, parts: usize) -> Result<Tensor, Error> {
    let rows = results.shape()[0] / parts.max(1);
    let length = rows * results.row_len();
    let values = results.floats()?.get(index * length..(index + 1) * length).unwrap_or_default().to_vec();
    Tensor::f32([&[rows], &results.shape()[1..]].concat(), values)
}
