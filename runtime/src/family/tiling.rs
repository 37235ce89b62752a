//! Autoencoders in tiles, for pictures that would not fit in memory: overlapping tiles of rows and columns go through the
//! network one by one, and neighbours are blended where they overlap, as `tiled_decode` and `tiled_encode` of diffusers do.

use crate::error::RequestError;
use crate::{Error, Tensor};

/// Share of a tile that also belongs to the next one, in `AutoencoderKL` of diffusers.
const PICTURE_OVERLAP: f64 = 0.25;

/// The same of rows in `AutoencoderKLCogVideoX`.
const VIDEO_ROW_OVERLAP: f64 = 1.0 / 6.0;

/// The same of columns in `AutoencoderKLCogVideoX`.
const VIDEO_COLUMN_OVERLAP: f64 = 1.0 / 5.0;

/// How rows or columns are cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Rows or columns of a tile that goes into the network.
    pub input: usize,
    /// Rows or columns that the network makes of it.
    pub output: usize,
    /// Share of a tile that also belongs to the next one.
    pub overlap: f64,
}

impl Cut {
    /// Input rows from one tile to the next.
    fn step(self) -> usize {
        (self.input as f64 * (1.0 - self.overlap)) as usize
    }

    /// Output rows over which a tile fades in.
    fn fade(self) -> usize {
        (self.output as f64 * self.overlap) as usize
    }

    /// Output rows that a tile leaves in the result; what is behind them belongs to the next one.
    fn kept(self) -> usize {
        self.output.saturating_sub(self.fade())
    }

    fn reversed(self) -> Self {
        Self { input: self.output, output: self.input, overlap: self.overlap }
    }

    /// Tiles advance, and what one leaves in the result ends where the next one begins: diffusers, which rounds, makes
    /// results of another size otherwise.
    fn check(self, what: &'static str) -> Result<(), Error> {
        let Self { input, output, overlap } = self;
        let fits = self.kept().checked_mul(input).is_some_and(|size| Some(size) == self.step().checked_mul(output));
        if (0.0..1.0).contains(&overlap) && self.step() > 0 && self.kept() > 0 && fits {
            return Ok(());
        }
        Err(RequestError::Tiles { what, input, output, overlap }.into())
    }
}

/// How a tensor `[.., rows, columns]` is cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiles {
    /// How rows are cut.
    pub rows: Cut,
    /// How columns are cut.
    pub columns: Cut,
}

impl Tiles {
    /// Square tiles with a side of `latent` and of `pixels` that `AutoencoderKL` decodes (`tile_latent_min_size`,
    /// `tile_sample_min_size`).
    #[must_use]
    pub fn pictures(latent: usize, pixels: usize) -> Self {
        let cut = Cut { input: latent, output: pixels, overlap: PICTURE_OVERLAP };
        Self { rows: cut, columns: cut }
    }

    /// Tiles of `[rows, columns]` of the latent and of the video that `AutoencoderKLCogVideoX` decodes: by default half of
    /// what the network was trained on.
    #[must_use]
    pub fn videos(latent: [usize; 2], pixels: [usize; 2]) -> Self {
        let cut = |axis: usize, overlap| Cut { input: latent[axis], output: pixels[axis], overlap };
        Self { rows: cut(0, VIDEO_ROW_OVERLAP), columns: cut(1, VIDEO_COLUMN_OVERLAP) }
    }

    /// The tiles of the encoder for those of the decoder.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { rows: self.rows.reversed(), columns: self.columns.reversed() }
    }
}

/// What `code` makes of `input` `[.., rows, columns]`: at once if it is no larger than one tile, else of each tile and
/// blended. `code` is called from left to right and from above; the last tiles of a row or column may be smaller.
///
/// # Errors
/// [`Error::Request`] for tiles that cannot overlap, [`Error::Shape`] if tiles do not fit together, and those of `code`.
pub fn in_tiles(input: &Tensor, tiles: &Tiles, mut code: impl FnMut(&Tensor) -> Result<Tensor, Error>) -> Result<Tensor, Error> {
    let (_, [rows, columns]) = split(input)?;
    if rows <= tiles.rows.input && columns <= tiles.columns.input {
        return code(input);
    }
    tiles.rows.check("rows")?;
    tiles.columns.check("columns")?;
    let (row_fade, column_fade) = (tiles.rows.fade(), tiles.columns.fade());
    let mut above: Vec<Tile> = Vec::new();
    let mut strips: Vec<Tile> = Vec::new();
    for top in (0..rows).step_by(tiles.rows.step()) {
        let mut row: Vec<Tile> = Vec::new();
        for left in (0..columns).step_by(tiles.columns.step()) {
            let size = [tiles.rows.input.min(rows - top), tiles.columns.input.min(columns - left)];
            let mut tile = Tile::of(&code(&crop(input, [top, left], size)?)?)?;
            if let Some(upper) = above.get(row.len()) {
                tile.fade_in_below(upper, row_fade)?;
            }
            if let Some(before) = row.last() {
                tile.fade_in_behind(before, column_fade)?;
            }
            row.push(tile);
        }
        let kept = row.iter().map(|tile| tile.first([tiles.rows.kept(), tiles.columns.kept()]));
        strips.push(beside(&kept.collect::<Vec<_>>())?);
        above = row;
    }
    below(&strips)
}

/// As [`in_tiles`], for pictures `[b, c, rows, columns]` whose decoder says itself how many pixels it makes of one latent
/// row: `side` is that of a tile of the latent.
///
/// # Errors
/// As [`in_tiles`].
pub fn decoded_in_tiles(
    latents: &Tensor,
    side: usize,
    mut decode: impl FnMut(&Tensor) -> Result<Tensor, Error>,
) -> Result<Tensor, Error> {
    let (_, [rows, columns]) = split(latents)?;
    if rows <= side && columns <= side {
        return decode(latents);
    }
    let size = [side.min(rows), side.min(columns)];
    let first = decode(&crop(latents, [0, 0], size)?)?;
    let (_, made) = split(&first)?;
    let factor = made[0] / size[0].max(1);
    if made != size.map(|size| size * factor) {
        return Err(Error::Shape(format!(
            "the decoder made {:?} of a tile of {size:?}, which is not enlarged evenly",
            first.shape()
        )));
    }
    let mut first = Some(first);
    in_tiles(latents, &Tiles::pictures(side, side * factor), |tile| match first.take() {
        Some(first) => Ok(first),
        None => decode(tile),
    })
}

/// The leading sizes, and rows and columns.
fn split(tensor: &Tensor) -> Result<(&[usize], [usize; 2]), Error> {
    match tensor.shape() {
        [leading @ .., rows, columns] => Ok((leading, [*rows, *columns])),
        shape => Err(Error::Shape(format!("a tensor of shape {shape:?} has no rows and columns to cut"))),
    }
}

/// The part of `size` rows and columns whose first element is at `[top, left]`.
fn crop(tensor: &Tensor, [top, left]: [usize; 2], size: [usize; 2]) -> Result<Tensor, Error> {
    let (leading, [rows, columns]) = split(tensor)?;
    let area = (rows * columns).max(1);
    let lines = tensor.floats()?.chunks_exact(area).flat_map(|plane| plane.chunks_exact(columns.max(1)).skip(top).take(size[0]));
    let values: Vec<f32> = lines.flat_map(|line| &line[left..left + size[1]]).copied().collect();
    Tensor::f32([leading, &size].concat(), values)
}

/// A tile that the network made.
struct Tile {
    leading: Vec<usize>,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Tile {
    fn of(tensor: &Tensor) -> Result<Self, Error> {
        let (leading, [rows, columns]) = split(tensor)?;
        Ok(Self { leading: leading.to_vec(), rows, columns, values: tensor.floats()?.to_vec() })
    }

    /// The index of the first element of a row, counted through all planes.
    fn start(&self, plane: usize, row: usize) -> usize {
        (plane * self.rows + row) * self.columns
    }

    fn planes(&self) -> usize {
        self.leading.iter().product()
    }

    /// Blends the first rows with the last rows of the tile above.
    fn fade_in_below(&mut self, upper: &Tile, fade: usize) -> Result<(), Error> {
        if (&upper.leading, upper.columns) != (&self.leading, self.columns) {
            return Err(apart(upper, self));
        }
        let fade = fade.min(upper.rows).min(self.rows);
        for (plane, row) in (0..self.planes()).flat_map(|plane| (0..fade).map(move |row| (plane, row))) {
            let (from, to) = (upper.start(plane, upper.rows - fade + row), self.start(plane, row));
            let share = row as f64 / fade as f64;
            let old = &upper.values[from..from + self.columns];
            self.values[to..to + self.columns].iter_mut().zip(old).for_each(|(new, &old)| *new = blended(old, *new, share));
        }
        Ok(())
    }

    /// Blends the first columns with the last columns of the tile before.
    fn fade_in_behind(&mut self, before: &Tile, fade: usize) -> Result<(), Error> {
        if (&before.leading, before.rows) != (&self.leading, self.rows) {
            return Err(apart(before, self));
        }
        let fade = fade.min(before.columns).min(self.columns);
        for line in 0..self.planes() * self.rows {
            let old = &before.values[(line + 1) * before.columns - fade..][..fade];
            let new = &mut self.values[line * self.columns..][..fade];
            for (column, (new, &old)) in new.iter_mut().zip(old).enumerate() {
                *new = blended(old, *new, column as f64 / fade as f64);
            }
        }
        Ok(())
    }

    /// At most so many rows and columns.
    fn first(&self, [rows, columns]: [usize; 2]) -> Self {
        let (rows, columns) = (rows.min(self.rows), columns.min(self.columns));
        let lines = (0..self.planes()).flat_map(|plane| (0..rows).map(move |row| (plane, row)));
        let values = lines.flat_map(|(plane, row)| &self.values[self.start(plane, row)..][..columns]).copied().collect();
        Self { leading: self.leading.clone(), rows, columns, values }
    }
}

/// From the old to the new value, computed in f64 and rounded once.
fn blended(old: f32, new: f32, share: f64) -> f32 {
    (f64::from(old) * (1.0 - share) + f64::from(new) * share) as f32
}

fn apart(a: &Tile, b: &Tile) -> Error {
    let shape = |tile: &Tile| [&tile.leading[..], &[tile.rows, tile.columns]].concat();
    Error::Shape(format!("neighbouring tiles came out as {:?} and {:?}, which do not fit together", shape(a), shape(b)))
}

/// Tiles of the same number of rows, side by side.
fn beside(tiles: &[Tile]) -> Result<Tile, Error> {
    let Some(first) = tiles.first() else { return Err(Error::Shape("there is no column to cut".into())) };
    let columns = tiles.iter().map(|tile| tile.columns).sum();
    let lines = first.planes() * first.rows;
    let mut values = Vec::with_capacity(lines * columns);
    for line in 0..lines {
        tiles.iter().for_each(|tile| values.extend(&tile.values[line * tile.columns..][..tile.columns]));
    }
    Ok(Tile { leading: first.leading.clone(), rows: first.rows, columns, values })
}

/// Strips of the same number of columns, one below the other.
fn below(strips: &[Tile]) -> Result<Tensor, Error> {
    let Some(first) = strips.first() else { return Err(Error::Shape("there is no row to cut".into())) };
    if let Some(other) = strips.iter().find(|strip| (&strip.leading, strip.columns) != (&first.leading, first.columns)) {
        return Err(apart(first, other));
    }
    let rows: usize = strips.iter().map(|strip| strip.rows).sum();
    let mut values = Vec::with_capacity(first.planes() * rows * first.columns);
    for plane in 0..first.planes() {
        strips.iter().for_each(|strip| values.extend(&strip.values[strip.start(plane, 0)..][..strip.rows * strip.columns]));
    }
    Tensor::f32([&first.leading[..], &[rows, first.columns]].concat(), values)
}
