//! `dmdx-run` from the outside: outputs, exit codes, one line per error.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{copy_of_bundle, fixture};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dmdx-run")).args(arguments).env_remove("ORT_DYLIB_PATH").output().unwrap()
}

fn refusal(code: i32, arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    if code != 2 {
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("dmdx-run: "), "{text}");
    }
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn generate_writes_the_same_sheet_for_the_same_seed() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = fixture("tiny-bundle/bundle");
    let make = |name: &str, seed: &str| {
        let path = folder.path().join(name);
        let output = run(&[
            "generate",
            text(&bundle),
            "--prompt",
            "a red one",
            "--prompt",
            "a blue two",
            "--count",
            "3",
            "--seed",
            seed,
            "--scale",
            "2",
            "-o",
            text(&path),
        ]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(path).unwrap()
    };
    let first = make("a.png", "1");
    assert_eq!(make("b.png", "1"), first);
    assert_ne!(make("c.png", "2"), first);
    let picture = image::load_from_memory(&first).unwrap();
    assert_eq!((picture.width(), picture.height()), (3 * 8 * 2, 2 * 8 * 2));
}

#[test]
fn generate_does_not_replace_a_file_unless_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.png");
    fs::write(&path, "kept").unwrap();
    let bundle = fixture("tiny-bundle/bundle");
    let arguments = ["generate", text(&bundle), "--prompt", "a red one", "-o", text(&path)];
    assert!(refusal(1, &arguments).contains("exists already"));
    assert_eq!(fs::read(&path).unwrap(), b"kept");
    assert!(run(&[&arguments[..], &["--force"]].concat()).status.success());
    assert!(fs::read(&path).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn faults_of_the_input_exit_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let (out, absent) = (folder.path().join("out.png"), folder.path().join("absent"));
    assert!(refusal(1, &["generate", text(&absent), "--prompt", "x", "-o", text(&out)]).contains("cannot read"));
    let bundle = copy_of_bundle();
    fs::write(bundle.path().join("unet/model.onnx"), "damaged").unwrap();
    assert!(refusal(1, &["generate", text(bundle.path()), "--prompt", "x", "-o", text(&out)]).contains("unet/model.onnx"));
    let tiny = fixture("tiny-bundle/bundle");
    assert!(refusal(1, &["score", text(&tiny), "--classifier", text(&absent)]).contains("cannot read"));
    assert!(!out.exists());
}

#[test]
fn a_place_that_cannot_be_written_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("absent/out.png");
    let tiny = fixture("tiny-bundle/bundle");
    assert!(refusal(3, &["generate", text(&tiny), "--prompt", "x", "-o", text(&nowhere)]).contains("cannot write"));
}

#[test]
fn faults_of_the_command_line_exit_with_2() {
    refusal(2, &[]);
    refusal(2, &["generate"]);
    refusal(2, &["generate", "x", "--prompt", "p", "-o", "o", "--count", "0"]);
    refusal(2, &["generate", "x", "--prompt", "p", "-o", "o", "--engine", "magic"]);
    refusal(2, &["score", "x", "--threads", "0"]);
}

#[test]
fn a_missing_or_wrong_onnxruntime_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let (out, library) = (folder.path().join("out.png"), folder.path().join("libonnxruntime.so"));
    let bundle = fixture("tiny-bundle/bundle");
    let arguments = ["generate", text(&bundle), "--prompt", "x", "-o", text(&out), "--engine", "ort"];
    assert!(refusal(3, &arguments).contains("ONNX Runtime was not found"));
    fs::write(&library, "not a library").unwrap();
    assert!(refusal(3, &[&arguments[..], &["--onnxruntime", text(&library)]].concat()).contains("not a shared library"));
}

/// Bash reads the script and completes by it.
#[cfg(unix)]
#[test]
fn shells_complete_the_commands() {
    let script = |shell: &str| String::from_utf8(run(&["completions", shell]).stdout).unwrap();
    let ask = r#"
        COMP_WORDS=("$1" "$2"); COMP_CWORD=1; COMPREPLY=(); _dmdx-run "$1" "$2" "$1"; echo "${COMPREPLY[@]}"
        COMP_WORDS=("$1" generate "--save"); COMP_CWORD=2; COMPREPLY=(); _dmdx-run "$1" --save generate; echo "${COMPREPLY[@]}"
    "#;
    let program = format!("{}\n{ask}", script("bash"));
    let output = Command::new("bash").args(["-c", &program, "bash", "dmdx-run", "gen"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "generate\n--save-noise\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(script("zsh").starts_with("#compdef dmdx-run") && script("fish").contains("complete -c dmdx-run"));
    refusal(2, &["completions", "cmd.exe"]);
}

#[test]
fn the_version_names_the_engines() {
    let text = |flag: &str| String::from_utf8(run(&[flag]).stdout).unwrap();
    assert_eq!(text("-V"), concat!("dmdx-run ", env!("CARGO_PKG_VERSION"), "\n"));
    let long = text("--version");
    assert!(
        long.starts_with(text("-V").as_str()) && long.contains("tract 0.23.9") && long.contains("onnxruntime 1.24"),
        "{long}"
    );
}

#[test]
fn doctor_always_succeeds() {
    for arguments in [&["doctor"][..], &["doctor", "--onnxruntime", "/dev/null"]] {
        let output = run(arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        for part in ["processor", "tract         0.23.9", "onnxruntime   looked for", "CUDA driver", "TensorRT"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
    }
}
