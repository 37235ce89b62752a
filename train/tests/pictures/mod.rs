//! Pictures that are drawn here, for methods that learn from real ones.

use std::path::Path;

use image::{Rgb, RgbImage};

/// The waves of `fixtures/real-latents/make.py`.
pub fn wave(x: u32, y: u32, channel: u32) -> u8 {
    ((x * x + 3 * y * (channel + 1) + x * y / 4) / 5 % 256) as u8
}

/// Six pictures of waves in `folder`, listed with captions.
pub fn draw(folder: &Path) {
    let lines = (0..6u32).map(|number| {
        let picture = RgbImage::from_fn(40, 32, |x, y| Rgb([0, 1, 2].map(|c| wave(x + number, y * (number + 1), c) / 2)));
        picture.save(folder.join(format!("{number}.png"))).unwrap();
        format!("{{\"file_name\": \"{number}.png\", \"text\": \"a red seven\"}}\n")
    });
    std::fs::write(folder.join("metadata.jsonl"), lines.collect::<String>()).unwrap();
}
