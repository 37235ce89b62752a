//! What a result looks like on paper: a picture as it is, a video as some of its frames side by side, and moving.

use super::samples::{Sheet, SheetRow};

/// Pictures in a line of a sheet,
const COLUMNS: u32 = 10;
/// and videos, the frames of which stand side by side.
const VIDEOS: u32 = 2;
/// Frames of a video that are shown at most: the first, the last, and as many as fit evenly between.
const STILLS: usize = 9;
/// Sheets are enlarged to about this many pixels a picture,
const CELL: u32 = 64;
/// and frames of videos reduced to at most so many.
const LARGEST_CELL: usize = 160;

/// The size of a result: a picture, or a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Film {
    /// The frames of a video; `None` for a picture.
    pub frames: Option<usize>,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl Film {
    /// How many numbers a result has.
    pub fn values(&self) -> usize {
        self.frames.unwrap_or(1) * self.picture()
    }

    /// Results of each model on a sheet, at most: six lines of pictures, ten of videos.
    pub fn samples(&self) -> usize {
        self.frames.map_or(6 * COLUMNS, |_| 10 * VIDEOS) as usize
    }

    /// The sheet of results: pictures, or the stills of videos.
    pub fn sheet(&self, rows: Vec<SheetRow>) -> Sheet {
        let Some(frames) = self.frames else { return self.laid_out(rows, COLUMNS, COLUMNS) };
        let stills = stills(frames);
        let group = u32::try_from(stills.len()).unwrap_or(u32::MAX);
        self.laid_out(self.shown(rows, &stills), group.saturating_mul(VIDEOS), group)
    }

    /// The sheets that a moving one consists of, one for every frame; none for pictures.
    pub fn moving(&self, rows: &[SheetRow]) -> Vec<Sheet> {
        let frames = 0..self.frames.unwrap_or(0);
        frames.map(|frame| self.laid_out(self.shown(rows.to_vec(), &[frame]), COLUMNS, COLUMNS)).collect()
    }

    fn picture(&self) -> usize {
        3 * self.height * self.width
    }

    /// How many pixels become one, to each side.
    fn reduced(&self) -> usize {
        self.frames.map_or(1, |_| self.width.div_ceil(LARGEST_CELL).clamp(1, self.height.max(1)))
    }

    fn laid_out(&self, rows: Vec<SheetRow>, columns: u32, group: u32) -> Sheet {
        let side = |pixels: usize| u32::try_from(pixels / self.reduced()).unwrap_or(u32::MAX);
        let (height, width) = (side(self.height), side(self.width));
        Sheet { height, width, columns, group, scale: (CELL / width.max(1)).max(1), rows }
    }

    /// The rows with these frames of every video, reduced.
    fn shown(&self, rows: Vec<SheetRow>, frames: &[usize]) -> Vec<SheetRow> {
        let (picture, side) = (self.picture().max(1), self.reduced());
        let pictures = |videos: &[f32]| {
            let of_one = |video: &[f32]| -> Vec<f32> {
                let chosen = frames.iter().filter_map(|&frame| video.get(frame * picture..(frame + 1) * picture));
                chosen.flat_map(|frame| reduced(frame, [self.height, self.width], side)).collect()
            };
            videos.chunks(self.values().max(1)).flat_map(of_one).collect()
        };
        rows.into_iter().map(|SheetRow { label, pictures: videos }| SheetRow { label, pictures: pictures(&videos) }).collect()
    }
}

/// The frames that stand for a video.
fn stills(frames: usize) -> Vec<usize> {
    let (shown, last) = (frames.min(STILLS), frames.saturating_sub(1));
    (0..shown).map(|index| index * last / (shown - 1).max(1)).collect()
}

/// The means of squares of so many pixels; what is left at the right and the lower edge is cut off.
fn reduced(picture: &[f32], [height, width]: [usize; 2], side: usize) -> Vec<f32> {
    if side == 1 {
        return picture.to_vec();
    }
    let mut means = Vec::with_capacity(picture.len() / (side * side));
    for channel in picture.chunks_exact((height * width).max(1)) {
        for (top, left) in (0..height / side).flat_map(|y| (0..width / side).map(move |x| (y * side, x * side))) {
            let square = (0..side).flat_map(|y| &channel[(top + y) * width + left..][..side]);
            means.push(square.sum::<f32>() / (side * side) as f32);
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::{Film, SheetRow, reduced, stills};

    #[test]
    fn long_videos_are_shown_from_the_first_frame_to_the_last() {
        assert_eq!(stills(9), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(stills(49), [0, 6, 12, 18, 24, 30, 36, 42, 48]);
        assert_eq!(stills(1), [0]);
        assert_eq!(stills(2), [0, 1]);
    }

    #[test]
    fn large_frames_are_reduced_to_their_means() {
        let picture: Vec<f32> = (0..24).map(|value| value as f32).collect();
        // Two channels of three rows and four columns, of which the last row has no partner.
        assert_eq!(reduced(&picture, [3, 4], 2), [2.5, 4.5, 14.5, 16.5]);
    }

    #[test]
    fn a_video_is_a_group_of_stills_and_moves_in_one_cell() {
        let film = Film { frames: Some(3), height: 2, width: 320 };
        // Three videos whose frames are 0, 1, 2 and so on.
        let value = |index: usize| (index / film.picture()) as f32;
        let row = SheetRow { label: "x".into(), pictures: (0..3 * film.values()).map(value).collect() };
        let sheet = film.sheet(vec![row.clone()]);
        assert_eq!((sheet.columns, sheet.group, sheet.height, sheet.width, sheet.scale), (6, 3, 1, 160, 1));
        let firsts = |sheet: &super::Sheet| -> Vec<f32> {
            let size = 3 * (sheet.height * sheet.width) as usize;
            sheet.rows[0].pictures.chunks(size).map(|picture| picture[0]).collect()
        };
        assert_eq!(firsts(&sheet), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let moving = film.moving(&[row]);
        assert_eq!(moving.iter().map(firsts).collect::<Vec<_>>(), [[0.0, 3.0, 6.0], [1.0, 4.0, 7.0], [2.0, 5.0, 8.0]]);
        // One row of pixels has none to be reduced with.
        assert_eq!(Film { height: 1, ..film }.sheet(Vec::new()).width, 320);
    }
}
