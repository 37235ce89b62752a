//! Signs of a collapse that pictures and videos show.

use crate::session::logs::Metrics;

/// Values beyond this are saturated, where black is -1 and white 1: no decoder makes many of them on purpose.
const BEYOND: f32 = 1.5;

/// The numbers of pictures `[count, 3, height, width]`, or with several frames of videos `[count, frames, 3, height, width]`:
///
/// - `picture_contrast`: the standard deviation of a colour within a picture, on average; about 0 for one colour
/// - `picture_noise`: how far neighbouring pixels differ, squared, beside what distant ones would; about 1 for noise
/// - `picture_saturation`: the share of values beyond ±1.5
/// - `picture_brightness`: their mean
/// - `video_motion`: how far two frames that follow one another differ (root mean square); 0 for a still
/// - `video_flicker`: how far their means do
pub fn signs(pictures: &[f32], frames: usize, [height, width]: [usize; 2]) -> Metrics {
    let (plane, frames) = ((height * width).max(1), frames.max(1));
    let (mut deviation, mut variance, mut rough, mut planes) = (0.0, 0.0, 0.0, 0usize);
    for values in pictures.chunks_exact(plane) {
        let mean = mean(values);
        let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / plane as f64;
        deviation += squares.sqrt();
        variance += squares;
        rough += steps(values, 1, width) + steps(values, width, width);
        planes += 1;
    }
    let saturated = pictures.iter().filter(|value| value.abs() > BEYOND).count();
    let each = planes.max(1) as f64;
    let mut found: Metrics = [
        ("picture_contrast", deviation / each),
        ("picture_noise", if variance > 0.0 { rough / (4.0 * variance) } else { 0.0 }),
        ("picture_saturation", saturated as f64 / pictures.len().max(1) as f64),
        ("picture_brightness", mean(pictures)),
    ]
    .map(|(name, value)| (name.to_string(), value))
    .into();
    if frames > 1 {
        let (mut motion, mut flicker, mut pairs) = (0.0, 0.0, 0usize);
        for video in pictures.chunks_exact(frames * 3 * plane) {
            let all: Vec<&[f32]> = video.chunks_exact(3 * plane).collect();
            for two in all.windows(2) {
                let squares = two[0].iter().zip(two[1]).map(|(&a, &b)| f64::from(a - b).powi(2));
                motion += (squares.sum::<f64>() / (3 * plane) as f64).sqrt();
                flicker += (mean(two[0]) - mean(two[1])).abs();
                pairs += 1;
            }
        }
        found.insert("video_motion".into(), motion / pairs.max(1) as f64);
        found.insert("video_flicker".into(), flicker / pairs.max(1) as f64);
    }
    found
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len().max(1) as f64
}

/// The mean squared difference of pixels that lie `step` apart in one row or column.
fn steps(values: &[f32], step: usize, width: usize) -> f64 {
    let pairs = values.iter().zip(values.iter().skip(step)).enumerate();
    // The last of a row has no neighbour in the next.
    let inside = pairs.filter(|(index, _)| step != 1 || (index + 1) % width.max(1) != 0);
    let (sum, count) = inside.fold((0.0, 0usize), |(sum, count), (_, (&a, &b))| (sum + f64::from(a - b).powi(2), count + 1));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::signs;
    use crate::session::Draws;

    fn sign(name: &str, pictures: &[f32], frames: usize) -> f64 {
        signs(pictures, frames, [16, 16])[name]
    }

    /// A bright square on black that moves a pixel a frame.
    fn square(frames: usize) -> Vec<f32> {
        let inside = |frame: usize, at: usize| (4 + frame..10 + frame).contains(&(at % 16)) && (4..10).contains(&(at % 256 / 16));
        (0..frames).flat_map(|frame| (0..3 * 256).map(move |at| if inside(frame, at) { 1.0 } else { -1.0 })).collect()
    }

    #[test]
    fn each_sign_shows_its_collapse_and_no_other() {
        let (picture, noise) = (square(1), Draws::new(1, "noise", 0).normal(&[8 * 3 * 256]));
        assert!(sign("picture_contrast", &picture, 1) > 0.5 && sign("picture_contrast", &[0.3; 3 * 256], 1) < 1e-6);
        assert!(sign("picture_noise", &picture, 1) < 0.5 && (sign("picture_noise", &noise, 1) - 1.0).abs() < 0.05);
        assert_eq!(sign("picture_noise", &[0.3; 3 * 256], 1), 0.0);
        assert!(sign("picture_saturation", &picture, 1) == 0.0 && sign("picture_saturation", &[4.0; 3 * 256], 1) == 1.0);
        let (moving, still) = (square(4), square(1).repeat(4));
        assert!(sign("video_motion", &moving, 4) > 0.1 && sign("video_motion", &still, 4) == 0.0);
        let flashing: Vec<f32> = [0.9, -0.9, 0.9, -0.9].iter().flat_map(|value| vec![*value; 3 * 256]).collect();
        assert!(sign("video_flicker", &flashing, 4) > 1.7 && sign("video_flicker", &moving, 4) < 0.01);
        assert!(!signs(&picture, 1, [16, 16]).contains_key("video_motion"));
    }
}
