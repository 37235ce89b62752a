//! Where the pictures go: one sheet, or a file each.

use std::path::{Path, PathBuf};

use dmdx_runtime::pipeline::format::Format;
use dmdx_runtime::pipeline::picture::{check_file, frames_in_a_row, sheet, sheet_size, write_file};
use dmdx_runtime::{Error, Tensor};

/// The files to write.
pub struct Output {
    format: Format,
    paths: Vec<PathBuf>,
    is_sheet: bool,
    force: bool,
}

/// How a sheet is laid out.
#[derive(Clone, Copy)]
pub struct Layout {
    /// Pictures in a row.
    pub columns: usize,
    /// Enlargement of every pixel.
    pub scale: usize,
}

impl Output {
    /// Looks at every place before the work. A file each is called by the name of the one and its number, counted from 0.
    pub fn plan(path: &Path, pictures: usize, separate: bool, force: bool) -> Result<Self, Error> {
        // The place comes first: for `.` a word about its ending would help nobody.
        if !separate {
            check_file(path, force)?;
        }
        let format = Format::of(path)?;
        let digits = pictures.saturating_sub(1).to_string().len();
        let numbered = |index: usize| {
            let (stem, ending) = (path.file_stem().unwrap_or_default(), path.extension().unwrap_or_default());
            path.with_file_name(format!("{}-{index:0digits$}.{}", stem.to_string_lossy(), ending.to_string_lossy()))
        };
        let paths: Vec<PathBuf> = if separate { (0..pictures).map(numbered).collect() } else { vec![path.into()] };
        if separate {
            paths.iter().try_for_each(|path| check_file(path, force))?;
        }
        Ok(Self { format, paths, is_sheet: !separate, force })
    }

    /// Refuses pictures that the files cannot hold, before the work.
    pub fn check_size(&self, pictures: usize, pixels: [usize; 2], layout: Layout) -> Result<(), Error> {
        let count = if self.is_sheet { pictures } else { pictures / self.paths.len().max(1) };
        let [width, height] = sheet_size(count, pixels, layout.columns, layout.scale)?;
        self.format.check(width, height)
    }

    /// Writes pictures or videos; `texts` are those of a file by its number. Returns what was written and the size of a file.
    pub fn write(
        &self,
        results: &Tensor,
        layout: Layout,
        texts: &dyn Fn(Option<usize>) -> Vec<(&'static str, String)>,
    ) -> Result<(String, [usize; 2]), Error> {
        let pictures = frames_in_a_row(results)?;
        let mut size = [0; 2];
        for (index, path) in self.paths.iter().enumerate() {
            let part = if self.is_sheet { pictures.clone() } else { part(&pictures, index, self.paths.len())? };
            let picture = sheet(&part, layout.columns, layout.scale)?;
            let texts = texts((!self.is_sheet).then_some(index));
            write_file(path, &self.format.encode(&picture, &texts)?, self.force)?;
            size = [picture.width, picture.height];
        }
        let name = |path: Option<&PathBuf>| path.map(|path| path.display().to_string()).unwrap_or_default();
        let written = match self.paths.as_slice() {
            [only] => name(Some(only)),
            many => format!("{} to {}", name(many.first()), name(many.last())),
        };
        Ok((written, size))
    }
}

/// One of equal parts of pictures `[N, 3, H, W]`.
fn part(pictures: &Tensor, index: usize, parts: usize) -> Result<Tensor, Error> {
    let rows = pictures.shape()[0] / parts.max(1);
    let length = rows * pictures.row_len();
    let values = pictures.floats()?.get(index * length..(index + 1) * length).unwrap_or_default().to_vec();
    Tensor::f32([&[rows], &pictures.shape()[1..]].concat(), values)
}
