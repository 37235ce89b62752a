//! Real pictures and their latents, without an encoder.

use std::cell::Cell;
use std::path::Path;

use dmdx_train::TrainError;
use dmdx_train::data::{Captions, LatentPlan, LatentStore, PictureChunk, Pictures, Prompts, encode_all};
use dmdx_train::recipe::{PairDtype, Posterior};
use dmdx_train::session::Interrupt;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, Rgb, RgbImage};

use super::{counting, pairs};

fn plan(posterior: Posterior, count: u64) -> LatentPlan {
    LatentPlan {
        teacher_sha256: "aa".to_string(),
        pictures_sha256: "bb".to_string(),
        captions_sha256: "cc".to_string(),
        posterior,
        seed: 1,
        dtype: PairDtype::F32,
        picture_size: [4, 4],
        latent_shape: vec![2, 2, 2],
        latent_scaling: 0.13025,
        count,
        shard: 10,
    }
}

/// A list of so many captions.
fn captions(folder: &Path, count: usize) -> Captions {
    let path = folder.join("list.jsonl");
    let lines: String = (0..count).map(|number| format!("{{\"text\": \"number {number}\", \"more\": [1]}}\n\n")).collect();
    std::fs::write(&path, lines).unwrap();
    Captions::listed(&path).unwrap()
}

/// Stands in for the encoder: every value is of its picture's number and draw.
fn encode(asked: &PictureChunk) -> Vec<f32> {
    let own = |place: usize| asked.noise.as_ref().map_or(0.5, |noise| noise[place]);
    (0..asked.count * 8).map(|place| (asked.first + place / 8) as f32 + own(place)).collect()
}

fn all(folder: &Path, plan: &LatentPlan, captions: &Captions, chunk: usize) -> Result<(LatentStore, Vec<usize>), TrainError> {
    let calls = std::cell::RefCell::new(Vec::new());
    let store = encode_all(folder, plan, (captions, 60), chunk, &Interrupt::default(), |asked| {
        calls.borrow_mut().push(asked.first);
        Ok(encode(asked))
    })?;
    Ok((store, calls.into_inner()))
}

#[test]
fn latents_come_back_with_the_ids_of_their_captions() {
    let place = tempfile::tempdir().unwrap();
    let captions = captions(place.path(), 23);
    for posterior in [Posterior::Mode, Posterior::Sample] {
        let plan = plan(posterior, 23);
        let folder = place.path().join(format!("{posterior:?}"));
        let (store, calls) = all(&folder, &plan, &captions, 4).unwrap();
        assert_eq!((store.len(), calls), (23, vec![0, 4, 8, 10, 14, 18, 20]));
        let batch = store.batch(&[22, 0, 9]).unwrap();
        assert_eq!(batch.captions, [82, 60, 69]);
        if posterior == Posterior::Mode {
            assert_eq!(batch.latents, [[22.5; 8], [0.5; 8], [9.5; 8]].concat());
        }
        assert_eq!(store.batch(&[23]).unwrap_err().to_string(), "there is no latent 23, only 23");
        // Draws belong to the picture, not to the chunk that it is in.
        let other = place.path().join(format!("{posterior:?} in one"));
        all(&other, &plan, &captions, 100).unwrap();
        assert_eq!(pairs::contents(&folder), pairs::contents(&other));
        assert_eq!(LatentStore::open(&folder, &plan, 60).unwrap().batch(&[22, 0, 9]).unwrap(), batch);
    }
}

#[test]
fn an_encoding_that_was_stopped_goes_on_and_damage_is_made_anew() {
    let place = tempfile::tempdir().unwrap();
    let captions = captions(place.path(), 23);
    let plan = plan(Posterior::Sample, 23);
    let whole = place.path().join("whole");
    all(&whole, &plan, &captions, 5).unwrap();

    let folder = place.path().join("stopped");
    let (interrupt, calls) = (Interrupt::default(), Cell::new(0));
    let stopped = encode_all(&folder, &plan, (&captions, 0), 5, &interrupt, |asked| {
        calls.set(calls.get() + 1);
        if calls.get() == 3 {
            interrupt.request();
        }
        Ok(encode(asked))
    });
    let error = stopped.unwrap_err();
    assert!(matches!(&error, TrainError::Interrupted { place } if place.contains("15 of 23")), "{error}");
    assert!(!folder.join("captions.jsonl").exists());
    let (_, calls) = all(&folder, &plan, &captions, 5).unwrap();
    assert_eq!(calls, [10, 15, 20], "the first shard was there");
    assert_eq!(pairs::contents(&folder), pairs::contents(&whole));

    let shard = folder.join("latents-00001.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    let (_, calls) = all(&folder, &plan, &captions, 5).unwrap();
    assert_eq!(calls, [10, 15]);
    assert_eq!(pairs::contents(&folder), pairs::contents(&whole));
}

#[test]
fn other_latents_are_refused_and_named() {
    let place = tempfile::tempdir().unwrap();
    let captions = captions(place.path(), 3);
    let folder = place.path().join("latents");
    let plan = plan(Posterior::Mode, 3);
    all(&folder, &plan, &captions, 5).unwrap();
    let refused = |plan: LatentPlan, words: &[&str]| {
        let error = all(&folder, &plan, &captions, 5).map(drop).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused(LatentPlan { pictures_sha256: "dd".into(), ..plan.clone() }, &["real latents", "pictures_sha256 = bb", "dd"]);
    refused(LatentPlan { teacher_sha256: "dd".into(), ..plan.clone() }, &["teacher_sha256"]);
    refused(LatentPlan { picture_size: [8, 4], ..plan.clone() }, &["picture_size = [4, 4]"]);
    refused(LatentPlan { posterior: Posterior::Sample, ..plan.clone() }, &["posterior = mode"]);
    // No byte of these depends on the seed.
    all(&folder, &LatentPlan { seed: 7, ..plan.clone() }, &captions, 5).unwrap();

    let (found, own) = LatentPlan::of_folder(&folder).unwrap();
    assert_eq!(found, LatentPlan { seed: 0, ..plan.clone() });
    assert_eq!(Prompts::captions(own).get(2).unwrap(), "number 2");
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let error = LatentPlan::of_folder(&empty).unwrap_err().to_string();
    assert!(error.contains("no complete set of latents") && error.contains("data.path"), "{error}");

    // What a folder says of itself is read with care.
    let complete = std::fs::read_to_string(folder.join("COMPLETE.json")).unwrap();
    for (from, to, word) in [
        ("\"posterior\": \"mode\"", "\"posterior\": \"mean\"", "posterior is mean"),
        ("\"count\": \"3\"", "\"count\": \"-3\"", "count is -3"),
        ("\"picture_size\": \"[4, 4]\"", "\"picture_size\": \"[4]\"", "picture_size"),
        ("\"latent_shape\"", "\"shape\"", "do not say their latent_shape"),
    ] {
        assert!(complete.contains(from), "{complete}");
        std::fs::write(folder.join("COMPLETE.json"), complete.replace(from, to)).unwrap();
        let error = LatentPlan::of_folder(&folder).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    let fresh = place.path().join("fresh");
    let short = encode_all(&fresh, &plan, (&captions, 0), 2, &Interrupt::default(), |_| Ok(vec![0.0; 5]));
    assert!(short.unwrap_err().to_string().contains("the teacher's encoder returned 5 values for 2 pictures, but 16"));
    let huge =
        encode_all(&fresh, &LatentPlan { dtype: PairDtype::F16, ..plan }, (&captions, 0), 3, &Interrupt::default(), |_| {
            Ok(vec![1e6; 24])
        });
    assert!(huge.unwrap_err().to_string().contains("data.dtype"));
}

/// A folder of `count` pictures of one colour each.
fn pictures(folder: &Path, count: u8) {
    for number in 0..count {
        RgbImage::from_pixel(5, 4, Rgb([number, 0, 255])).save(folder.join(format!("p{number:03}.png"))).unwrap();
    }
}

#[test]
fn pictures_are_listed_or_have_their_captions_beside_them() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let open = || Pictures::open(folder).and_then(|pictures| Ok((pictures.look()?, pictures)));
    let error = |words: &[&str]| {
        let error = open().map(drop).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    error(&["data.path", "no pictures"]);
    pictures(folder, 2);
    error(&["p000.png", "has no caption", "p000.txt", "metadata.jsonl"]);
    std::fs::write(folder.join("p000.txt"), "  a first\n picture\n").unwrap();
    std::fs::write(folder.join("p001.txt"), "a second").unwrap();
    std::fs::write(folder.join("notes.md"), "no picture").unwrap();
    let (hash, found) = open().unwrap();
    let texts = |pictures: &Pictures| {
        let prompts = Prompts::captions(pictures.captions().clone());
        (0..prompts.len()).map(|id| prompts.get(id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&found), ["a first picture", "a second"]);
    let pixels: Vec<Vec<f32>> = found.starting(1, [2, 2]).unwrap().collect::<Result<_, _>>().unwrap();
    let red = 1.0 / 127.5 - 1.0;
    assert_eq!(pixels, [[red, red, red, red, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0]]);

    // Whatever changes of a picture or a caption is noticed.
    std::fs::write(folder.join("p001.txt"), "another").unwrap();
    let other = open().unwrap().0;
    RgbImage::from_pixel(5, 4, Rgb([9, 9, 9])).save(folder.join("p001.png")).unwrap();
    let third = open().unwrap().0;
    assert!(hash != other && other != third && hash != third);

    let list = folder.join("metadata.jsonl");
    std::fs::write(&list, "{\"file_name\": \"p001.png\", \"text\": \"listed\", \"year\": 3}\n").unwrap();
    assert_eq!(texts(&open().unwrap().1), ["listed"]);
    for (line, words) in [
        (r#"{"file_name": "p001.png"}"#, ["line 1 must be JSON", "text"]),
        (r#"{"text": "nothing"}"#, ["line 1 names no picture", "file_name"]),
        (r#"{"file_name": "../p001.png", "text": "outside"}"#, ["line 1", "outside its folder"]),
        (r#"{"file_name": "p007.png", "text": "absent"}"#, ["p007.png", "cannot be read"]),
        (r#"{"file_name": "notes.md", "text": "no picture"}"#, ["notes.md", "cannot be decoded"]),
    ] {
        std::fs::write(&list, line).unwrap();
        error(&words);
    }
    // The beginning is a picture's, the rest is cut off: seen when it is decoded.
    let bytes = std::fs::read(folder.join("p000.png")).unwrap();
    std::fs::write(folder.join("cut.png"), &bytes[..bytes.len() - 20]).unwrap();
    std::fs::write(&list, r#"{"file_name": "cut.png", "text": "cut off"}"#).unwrap();
    let (_, cut) = open().unwrap();
    let error = cut.starting(0, [2, 2]).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("cut.png cannot be decoded"), "{error}");
    RgbImage::new(300, 1).save(folder.join("cut.png")).unwrap();
    let error = open().unwrap().1.starting(0, [1024, 1024]).unwrap().next().unwrap().unwrap_err().to_string();
    assert!(error.contains("300 pixels wide and 1 high, too unequal"), "{error}");
}

/// Cameras write how they were held into the file.
#[test]
fn pictures_are_turned_upright() {
    let folder = tempfile::tempdir().unwrap();
    let lying = RgbImage::from_fn(16, 8, |x, _| if x < 8 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    // One entry: orientation 6, to be turned clockwise.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut encoder = JpegEncoder::new_with_quality(std::fs::File::create(folder.path().join("a.jpg")).unwrap(), 100);
    encoder.set_exif_metadata(exif).unwrap();
    lying.write_with_encoder(encoder).unwrap();
    std::fs::write(folder.path().join("a.txt"), "a camera's").unwrap();
    let pictures = Pictures::open(folder.path()).unwrap();
    let pixels = pictures.starting(0, [16, 8]).unwrap().next().unwrap().unwrap();
    let (red, blue) = (&pixels[..128], &pixels[256..]);
    for (place, (red, blue)) in red.iter().zip(blue).enumerate() {
        let upper = place < 64;
        assert!((*red > 0.8) == upper && (*blue > 0.8) != upper, "{place}: {red} and {blue}");
    }
}

/// Ten times the pictures need no more memory, but for the marks in the list, one of every 1024 lines.
#[test]
fn memory_does_not_grow_with_the_pictures() {
    let place = tempfile::tempdir().unwrap();
    let peak = |count: usize| {
        let folder = place.path().join(count.to_string());
        let captions = captions(place.path(), count);
        let (_, bytes) = counting::peak(|| all(&folder, &plan(Posterior::Sample, count as u64), &captions, 10).unwrap());
        bytes
    };
    let (few, many) = (peak(100), peak(1000));
    // Names and hashes of ninety more shards.
    assert!(many < few + (64 << 10), "{few} bytes for 100 pictures, {many} for 1000");
}
