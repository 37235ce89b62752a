//! `dmdx-run generate`: sizes, noise, formats, places and texts, all looked at before the work.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{copy_of_bundle, fixture, tensors};

fn run_in(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_dmdx-run");
    Command::new(program).args(arguments).current_dir(folder).env_remove("ORT_DYLIB_PATH").output().unwrap()
}

/// The tiny bundle's folder, from wherever a command runs.
fn bundle() -> String {
    fixture("tiny-bundle/bundle").canonicalize().unwrap().to_str().unwrap().to_string()
}

/// `generate` of the tiny bundle; without `-o`.
fn generate(folder: &Path, arguments: &[&str]) -> Output {
    run_in(folder, &[&["generate", &bundle(), "--prompt", "a red one"], arguments].concat())
}

fn made(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = generate(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert!(output.status.success(), "{}", text(output.stderr));
    (text(output.stdout), text(output.stderr))
}

/// Refused in one sentence, with nothing left in the folder but what was there.
fn refused(folder: &Path, code: i32, arguments: &[&str], parts: &[&str]) {
    let before = names(folder);
    let output = generate(folder, arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(parts.iter().all(|part| text.contains(part)) && !text.contains(".part"), "{text}");
    assert_eq!(names(folder), before);
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn rgb(path: &Path) -> (u32, u32, Vec<u8>) {
    let picture = image::open(path).unwrap().to_rgb8();
    (picture.width(), picture.height(), picture.into_raw())
}

/// The texts of a PNG file by keyword, and whether UTF-8 chunks hold them.
fn texts(bytes: &[u8]) -> Vec<(String, String, bool)> {
    let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|text| (text.keyword.clone(), text.text.clone(), false));
    let utf8 = info.utf8_text.iter().map(|text| (text.keyword.clone(), text.get_text().unwrap(), true));
    plain.chain(utf8).collect()
}

#[test]
fn a_file_each_holds_what_the_sheet_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (said, _) = made(folder.path(), &["--count", "11", "--seed", "3", "--columns", "11", "-o", "sheet.png"]);
    assert!(said.starts_with("sheet.png: 11 pictures, 88x8, tract"), "{said}");
    let (said, _) = made(folder.path(), &["--count", "11", "--seed", "3", "--separate", "-o", "one.png"]);
    assert!(said.starts_with("one-00.png to one-10.png: 11 pictures, 8x8, tract"), "{said}");
    let (_, _, sheet) = rgb(&path("sheet.png"));
    for index in 0..11 {
        let (width, height, one) = rgb(&path(&format!("one-{index:02}.png")));
        assert_eq!((width, height), (8, 8));
        for (row, values) in one.chunks(24).enumerate() {
            let start = 3 * (row * 88 + index * 8);
            assert_eq!(values, &sheet[start..start + 24], "picture {index}, row {row}");
        }
    }
    // One that exists stops all before the work.
    for index in (0..11).filter(|index| *index != 7) {
        fs::remove_file(path(&format!("one-{index:02}.png"))).unwrap();
    }
    refused(folder.path(), 1, &["--count", "11", "--separate", "-o", "one.png"], &["one-07.png exists already", "--force"]);
    let (said, _) = made(folder.path(), &["-o", "single.png"]);
    assert!(said.starts_with("single.png: 1 picture, 8x8"), "{said}");
}

#[test]
fn the_ending_chooses_the_format() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.png", "out.JPG", "out.jpeg", "out.webp"] {
        made(folder.path(), &["--seed", "1", "-o", name]);
    }
    let bytes = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("out.png").starts_with(b"\x89PNG") && bytes("out.JPG").starts_with(b"\xff\xd8\xff"));
    assert_eq!(bytes("out.JPG"), bytes("out.jpeg"));
    assert_eq!((&bytes("out.webp")[..4], &bytes("out.webp")[8..12]), (&b"RIFF"[..], &b"WEBP"[..]));
    let exact = rgb(&folder.path().join("out.png"));
    assert_eq!(rgb(&folder.path().join("out.webp")), exact, "without loss");
    let jpeg = image::load_from_memory(&bytes("out.JPG")).unwrap().to_rgb8();
    let worst = jpeg.iter().zip(&exact.2).map(|(a, b)| a.abs_diff(*b)).max();
    // Quality 95, on 64 pixels like noise.
    assert!(worst < Some(100) && (jpeg.width(), jpeg.height()) == (8, 8), "{worst:?}");
    refused(
        folder.path(),
        1,
        &["-o", "out.gif"],
        &["out.gif", ".gif is no known format", ".png, .jpg, .webp or, for videos, .apng"],
    );
    refused(folder.path(), 1, &["-o", "out"], &["has no ending", ".png, .jpg, .webp or, for videos, .apng"]);
}

#[test]
fn places_are_looked_at_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "x").unwrap();
    fs::create_dir(folder.path().join("there.png")).unwrap();
    for place in [".", "there.png", "there.png/", "new/"] {
        refused(folder.path(), 1, &["-o", place, "--force"], &["names a folder", "name a file in that folder"]);
        refused(folder.path(), 1, &["-o", place], &["names a folder"]);
    }
    for force in [&[][..], &["--force"]] {
        refused(folder.path(), 1, &[&["-o", "/dev/null"], force].concat(), &["/dev/null is a device", "name a file"]);
    }
    refused(folder.path(), 3, &["-o", "no/out.png"], &["cannot write no/out.png: the folder no does not exist; make it"]);
    refused(folder.path(), 3, &["-o", "no/such/out.png"], &["the folder no/such does not exist"]);
    refused(folder.path(), 3, &["-o", "file/out.png"], &["file is not a folder"]);
    refused(folder.path(), 3, &["-o", "no/out.png", "--separate"], &["the folder no does not exist"]);
    refused(folder.path(), 1, &["-o", "out.png", "--save-noise", "noise.txt"], &[".safetensors or .npy"]);
    refused(folder.path(), 3, &["-o", "out.png", "--save-noise", "no/n.npy"], &["the folder no does not exist"]);
    // None of them opened the bundle: the place comes before it.
    let output = run_in(folder.path(), &["generate", "nowhere", "--prompt", "x", "-o", "no/out.png"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("the folder no does not exist"));
}

#[test]
fn noise_goes_to_a_file_and_comes_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["noise.safetensors", "noise.npy"] {
        let picture = format!("{name}.png");
        made(folder.path(), &["--count", "3", "--seed", "9", "--save-noise", name, "-o", &picture]);
        let again = format!("again-{name}.png");
        made(folder.path(), &["--count", "3", "--noise", name, "-o", &again]);
        assert_eq!(rgb(&path(&picture)), rgb(&path(&again)));
    }
    assert_eq!(rgb(&path("noise.npy.png")), rgb(&path("noise.safetensors.png")));
    let saved = &tensors(&path("noise.safetensors"))["noise"].0;
    assert_eq!(saved, &dmdx_runtime::noise::latents(9, 0, 3, &[4, 4, 4]).unwrap());
    // The reference's pictures of the reference's noise.
    let reference = fixture("tiny-bundle/io.safetensors").canonicalize().unwrap();
    let prompts = ["--prompt", "a red seven", "--prompt", "a blue four", "--prompt", "a red seven"];
    let rest = ["--columns", "3", "--noise", reference.to_str().unwrap(), "-o", "reference.png"];
    let output = run_in(folder.path(), &[&["generate", &bundle()], &prompts[..], &rest].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sheet = dmdx_runtime::pipeline::picture::sheet(&tensors(&reference)["student"].0, 3, 1).unwrap();
    let worst = rgb(&path("reference.png")).2.iter().zip(&sheet.rgb).map(|(a, b)| a.abs_diff(*b)).max();
    // Errors of 1e-6 move a value over the edge of a byte now and then.
    assert!(worst <= Some(1), "{worst:?}");
    refused(folder.path(), 1, &["--noise", "noise.npy", "-o", "x.png"], &["[3, 4, 4, 4]", "need [1, 4, 4, 4]"]);
    refused(folder.path(), 1, &["--noise", "nowhere.npy", "-o", "x.png"], &["cannot read nowhere.npy"]);
    let both = ["--count", "3", "--noise", "noise.npy", "--seed", "2", "-o", "x.png"];
    refused(folder.path(), 1, &both, &["seed changes nothing"]);
}

#[test]
fn a_png_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let get = |name: &str, key: &str| {
        let all = texts(&fs::read(folder.path().join(name)).unwrap());
        let mut found: Vec<_> = all.into_iter().filter(|(keyword, ..)| keyword == key).collect();
        assert!(found.len() < 2, "{key} is there twice");
        found.pop().map(|(_, text, utf8)| (text, utf8))
    };
    let plain = |text: &str| Some((text.to_string(), false));
    let provenance = dmdx_runtime::Bundle::open(bundle().as_ref()).unwrap().manifest().provenance.clone();
    made(folder.path(), &["--seed", "7", "-o", "out.png"]);
    assert_eq!(get("out.png", "prompt"), plain("a red one"));
    assert_eq!(get("out.png", "seed"), plain("7"));
    assert_eq!(get("out.png", "model"), plain(&provenance.source));
    assert_eq!(get("out.png", "model_sha256"), plain(&provenance.source_sha256));
    assert_eq!(get("out.png", "Software"), plain(concat!("dmdx-run ", env!("CARGO_PKG_VERSION"))));
    assert_eq!((get("out.png", "guidance"), get("out.png", "picture")), (None, None));
    // Several prompts, one of them beyond ASCII; a file each has its own.
    made(folder.path(), &["--prompt", "a red söven", "--separate", "-o", "two.png"]);
    assert_eq!(get("two-0.png", "prompt"), plain("a red one"));
    assert_eq!(get("two-1.png", "prompt"), Some(("a red söven".into(), true)));
    assert_eq!(get("two-1.png", "picture"), plain("1"));
    made(folder.path(), &["--prompt", "a red söven", "-o", "sheet.png"]);
    assert_eq!(get("sheet.png", "prompt"), Some(("a red one\na red söven".into(), true)));
}

#[test]
fn options_that_a_bundle_cannot_honour_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), 1, &["--negative-prompt", "x", "-o", "x.png"], &["runs without guidance", "leave it out"]);
    refused(folder.path(), 1, &["--guidance", "2", "-o", "x.png"], &["runs without guidance"]);
    refused(folder.path(), 1, &["--width", "16", "-o", "x.png"], &["unet/config.json", "export it again"]);
    let both = generate(folder.path(), &["--columns", "2", "--separate", "-o", "x.png"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn what_of_a_prompt_is_not_read_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_, silent) = made(folder.path(), &["--count", "2", "-o", "a.png"]);
    assert_eq!(silent, "");
    // The rest is what transformers 4.57 decodes of the tokens that it cuts.
    let long = "a red seven and a blue four and a green nine and a red one";
    let (_, said) = made(folder.path(), &["--prompt", long, "--count", "3", "-o", "b.png"]);
    let sentence = "1 of 2 prompts are longer than the 16 tokens that tokenizer and tokenizer_2 read";
    assert_eq!(said, format!("note: {sentence}; of the first, this part was left out: \"nine and a red one\"\n"));
    // transformers: a</w>, <|endoftext|> (k), i, w, i</w>, four</w>, <|endoftext|> (7).
    let output = run_in(folder.path(), &["generate", &bundle(), "--prompt", "a kiwi four 7", "-o", "c.png"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let sentence = |who: &str| format!("note: {who} has no token for \"kiwi\", \"7\", so the pictures cannot show it");
    assert_eq!(lines, [sentence("tokenizer"), sentence("tokenizer_2")]);
}

#[test]
fn run_folders_and_checkpoints_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("runs/digits");
    fs::create_dir_all(run.join("student")).unwrap();
    fs::write(run.join("student/dmdx_student.json"), "{}").unwrap();
    fs::write(run.join("student/model_index.json"), "{}").unwrap();
    let refusal = |place: &str| {
        let output = run_in(folder.path(), &["generate", place, "--prompt", "a red one", "-o", "x.png"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let without = refusal("runs/digits");
    assert!(without.contains("dmdx-export runs/digits/student -o runs/digits/bundle"), "{without}");
    let student = refusal("runs/digits/student");
    assert!(student.contains("dmdx-export runs/digits/student -o runs/digits/student-bundle"), "{student}");
    assert!(student.contains("is a student"), "{student}");
    fs::remove_file(run.join("student/dmdx_student.json")).unwrap();
    let teacher = refusal("runs/digits/student");
    assert!(teacher.contains("is a pipeline of diffusers") && teacher.contains("dmdx-export"), "{teacher}");
    for name in ["bundle-compat", "bundle-other"] {
        fs::rename(copy_of_bundle().keep(), run.join(name)).unwrap();
    }
    let several = refusal("runs/digits");
    assert!(several.contains("runs/digits/bundle-compat, runs/digits/bundle-other"), "{several}");
    fs::rename(copy_of_bundle().keep(), run.join("bundle")).unwrap();
    let output = run_in(folder.path(), &["generate", "runs/digits", "--prompt", "a red one", "-o", "x.png"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(rgb(&folder.path().join("x.png")).0, 8);
}

#[test]
fn a_score_needs_a_scorer_and_a_place() {
    let folder = tempfile::tempdir().unwrap();
    let text = |output: Output| String::from_utf8(output.stderr).unwrap();
    let refused = text(run_in(folder.path(), &["score", &bundle()]));
    assert!(refused.contains("no scorer was named") && refused.contains("--scorer DIR"), "{refused}");
    let refused = text(run_in(folder.path(), &["score", &bundle(), "--json", "no/score.json"]));
    assert!(refused.contains("the folder no does not exist"), "{refused}");
}

/// Pictures have no frames, and are told so before the work.
#[test]
fn pictures_do_not_move() {
    let folder = tempfile::tempdir().unwrap();
    refused(folder.path(), 1, &["-o", "a.apng"], &["this bundle makes pictures, which have no frames; end the name in .png"]);
    refused(folder.path(), 1, &["-o", "a.png", "--frames"], &["which have no frames; leave --frames out"]);
}
