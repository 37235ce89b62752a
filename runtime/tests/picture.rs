//! Sheets, their bytes and how they reach the disk.
#![allow(clippy::unwrap_used)]

use std::fs;

use dmdx_graph::store::PlaceError;
use dmdx_runtime::pipeline::format::{Format, animation};
use dmdx_runtime::pipeline::picture::{Picture, moving, quantise, sheet, write_file};
use dmdx_runtime::{Error, Tensor};

#[test]
fn rounding_is_truncation_after_clamping() {
    // clamp((x + 1) * 127.5, 0, 255).byte() of torch 2.9.1 for the same values.
    let cases = [(-5.0, 0), (-1.0, 0), (-0.993, 0), (-0.9921, 1), (0.0, 127), (0.5, 191), (0.9999, 254), (1.0, 255), (7.0, 255)];
    for (value, byte) in cases {
        assert_eq!(quantise(value), byte, "{value}");
    }
    assert_eq!(quantise(f32::NAN), 0);
}

/// Three 1x2 pictures, each of one colour.
fn pictures() -> Tensor {
    let picture = |r: f32, g: f32, b: f32| [r, r, g, g, b, b];
    let values = [picture(1.0, -1.0, -1.0), picture(-1.0, 1.0, -1.0), picture(-1.0, -1.0, 1.0)].concat();
    Tensor::f32([3, 3, 1, 2], values).unwrap()
}

#[test]
fn a_sheet_is_filled_row_by_row_and_enlarged() {
    let (red, green, blue, black) = ([255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]);
    let plain = sheet(&pictures(), 2, 1).unwrap();
    assert_eq!((plain.width, plain.height), (4, 2));
    assert_eq!(plain.rgb, [red, red, green, green, blue, blue, black, black].concat());
    let large = sheet(&pictures(), 9, 3).unwrap();
    assert_eq!((large.width, large.height), (18, 3));
    assert_eq!(large.rgb[..54], [[red; 6], [green; 6], [blue; 6]].concat().concat());
    assert_eq!(large.rgb[..54], large.rgb[54..108]);
}

#[test]
fn sheets_that_cannot_be_drawn() {
    for (columns, scale) in [(0, 1), (1, 0), (1, 1 << 40), (1, usize::MAX)] {
        assert!(matches!(sheet(&pictures(), columns, scale), Err(Error::Request(_))), "{columns} {scale}");
    }
    let grey = Tensor::f32([1, 1, 2, 2], vec![0.0; 4]).unwrap();
    assert!(matches!(sheet(&grey, 1, 1), Err(Error::Shape(_))));
    let torn = Picture { width: 2, height: 2, rgb: vec![0; 11] };
    assert!(matches!(Format::Png.encode(&torn, &[]), Err(Error::Shape(_))));
}

#[test]
fn the_same_picture_gives_the_same_bytes_and_reads_back() {
    let picture = sheet(&pictures(), 2, 5).unwrap();
    let bytes = Format::Png.encode(&picture, &[]).unwrap();
    assert_eq!(Format::Png.encode(&picture, &[]).unwrap(), bytes);
    let back = image::load_from_memory(&bytes).unwrap().to_rgb8();
    assert_eq!((back.width() as usize, back.height() as usize), (picture.width, picture.height));
    assert_eq!(back.into_raw(), picture.rgb);
}

#[test]
fn files_are_written_whole_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    write_file(&path, b"first", false).unwrap();
    assert!(matches!(write_file(&path, b"second", false), Err(Error::Place(PlaceError::Exists(_)))));
    let source =
        std::error::Error::source(&write_file(path.parent().unwrap(), b"third", true).unwrap_err()).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("something other than a regular file is there"));
    assert_eq!(fs::read(&path).unwrap(), b"first");
    write_file(&path, b"third", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
    let absent = folder.path().join("absent/out.png");
    assert!(matches!(write_file(&absent, b"x", false), Err(Error::Write { .. })));
    assert!(matches!(write_file(folder.path(), b"x", true), Err(Error::Write { .. })), "a folder is not replaced");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["out.png"], "nothing temporary stays");
}

/// Videos side by side, a sheet for every frame, as an animated PNG: every frame is the sheet, for an eighth of a second.
#[test]
fn videos_move_in_an_animated_png() {
    // Two videos of three frames of 1 × 2 pixels, each of one grey.
    let grey = |index: usize| (index / 6) as f32 / 10.0;
    let videos = Tensor::f32([2, 3, 3, 1, 2], (0..36).map(grey).collect()).unwrap();
    let frames = moving(&videos, 2, 1).unwrap();
    assert_eq!(frames.len(), 3);
    let byte = |frame: usize, video: usize| quantise(grey((video * 3 + frame) * 6));
    let expected = |frame: usize| [[byte(frame, 0); 6], [byte(frame, 1); 6]].concat();
    let texts = [("prompt", "a red seven".to_string())];
    let bytes = animation(&frames, 8, &texts).unwrap();
    assert_eq!(bytes, animation(&frames, 8, &texts).unwrap());
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
    assert_eq!(reader.info().animation_control().map(|control| (control.num_frames, control.num_plays)), Some((3, 0)));
    assert_eq!(reader.info().uncompressed_latin1_text[0].text, "a red seven");
    for frame in 0..3 {
        let mut pixels = vec![0; 12];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!(pixels, expected(frame), "frame {frame}");
        let control = reader.info().frame_control().unwrap();
        assert_eq!((control.delay_num, control.delay_den), (1, 8));
    }
    assert!(animation(&[], 8, &[]).is_err());
    assert!(animation(&frames, 0, &[]).is_err());
    let large = Picture { width: 1, ..frames[0].clone() };
    assert!(animation(&[frames[0].clone(), large], 8, &[]).is_err());
    assert!(moving(&Tensor::f32([1, 3, 1, 1], vec![0.0; 3]).unwrap(), 1, 1).is_err());
}
