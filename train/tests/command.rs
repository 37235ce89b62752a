//! `dmdx-train` from the outside: what is looked at before the work.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use dmdx_train::method::sections;

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        Command::new(env!("CARGO_BIN_EXE_dmdx-train")).args(arguments).current_dir(folder).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// None of these teachers is there: the place comes first.
#[test]
fn places_are_looked_at_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file.png"), "x").unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::write(folder.path().join("run/letter"), "x").unwrap();
    let recipe = "[teacher]\npath = 'nowhere'\nguidance = [1, 1]\n[prompts]\nlist = ['x']\n[adm]\n";
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let sample = |output: &'static str| vec!["sample", "nowhere", "--prompt", "x", "-o", output];
    for (arguments, code, sentence) in [
        (sample("no/x.png"), 3, "the folder no does not exist; make it first"),
        (sample("file.png"), 1, "file.png exists already"),
        (sample("."), 1, "names a folder"),
        (sample("x.gif"), 1, ".gif is no known format; end the name in .png, .jpg, .webp or"),
        (vec!["r.toml", "--out", "run"], 1, "run"),
        (vec!["r.toml", "--out", "file.png"], 3, "file.png is not a folder"),
        (vec!["r.toml", "--out", "new", "--resume"], 1, "there is no run to resume in new"),
        (vec!["r.toml", "--out", "new/deep"], 1, "nowhere"),
    ] {
        let (found, said) = run(folder.path(), &arguments);
        assert!(found == Some(code) && said.contains(sentence) && said.lines().count() == 1, "{arguments:?}: {found:?} {said}");
        assert!(sentence == "nowhere" || !said.contains("nowhere"), "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

fn said(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_dmdx-train")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completions_and_version_are_printed() {
    assert!(said(&["completions", "bash"]).contains("--guidance-rescale"));
    assert!(said(&["completions", "zsh"]).starts_with("#compdef dmdx-train"));
    let version = said(&["--version"]);
    let methods: Vec<&str> = sections().iter().map(|section| section.name).collect();
    let listed = format!("methods: {}", methods.join(", "));
    assert!(version.starts_with("dmdx-train ") && version.contains(&listed), "{version}");
    assert!(["reflow", "adp", "adm", "dmd"].iter().all(|name| methods.contains(name)), "{methods:?}");
    // The pinned version of the workspace's manifest.
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
    let pinned = manifest.split("burn = { version = \"=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(version.contains(&format!("burn {pinned}; devices: cpu")), "{version}");
}

#[test]
fn keys_are_printed_with_all_that_is_to_be_said_of_them() {
    let all = said(&["keys"]);
    let lines = [
        "adm.dt_steps (default: 15.625)",
        "    Δt, the length of the probability-flow step, in thousandths of the teacher's time; whole steps of a table.",
        "    a number above 0 and at most 999; unit: thousandths of the teacher's time; source: DMDX, arXiv 2507.18569",
    ];
    assert!(all.contains(&lines.join("\n")), "{all}");
    assert!(all.contains("teacher.path (default: required)\n") && all.contains("student.steps (default: none)\n"), "{all}");
    let some = said(&["keys", "discriminator.pixel"]);
    assert_eq!(some.lines().filter(|line| line.starts_with("discriminator.pixel.")).count(), 3, "{some}");
    let (code, refused) = run(Path::new("."), &["keys", "adq"]);
    assert!(code == Some(1) && refused.contains("adq begins no key"), "{refused}");
}

/// The digits teacher reads 16 tokens; the rest is what transformers 4.57 decodes of the tokens that it cuts.
#[test]
fn what_of_the_prompts_is_not_read_is_counted_once() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize().unwrap();
    let teacher = fixtures.join("digits-sdxl").display().to_string();
    let folder = tempfile::tempdir().unwrap();
    let long = "a red seven and a blue four and a green nine beside a yellow zero";
    let recipe = format!(
        "[teacher]\npath = '{teacher}'\nguidance = [1, 1]\n[prompts]\nlist = ['a red one', '{long}', 'a kiwi four', '{long} two']\n\
         [discriminator]\nhead_width = 8\nhead_groups = 4\nhead_min_size = 2\nhead_output = 'map'\n[adm]\niterations = 1\nbatch = 1\n"
    );
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    let (code, said) = run(folder.path(), &["r.toml", "--out", "run"]);
    assert_eq!(code, Some(0), "{said}");
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: ")).collect();
    let read = "2 of 4 prompts are longer than the 16 tokens that tokenizer and tokenizer_2 read";
    let unknown = |who: &str| format!("note: {who} has no token for \"kiwi\" (1 of 4 prompts), so the pictures cannot show it");
    let cut = format!("note: {read}; of the first, this part was left out: \"nine beside a yellow zero\"");
    assert_eq!(notes, [cut, unknown("tokenizer"), unknown("tokenizer_2")]);

    let picture = ["sample", &teacher, "--prompt", long, "--steps", "1", "-o", "x.webp"];
    let (code, said) = run(folder.path(), &picture);
    assert!(code == Some(0) && said.contains("so this part was left out: \"nine beside a yellow zero\""), "{said}");
    assert!(std::fs::read(folder.path().join("x.webp")).unwrap().starts_with(b"RIFF"));
}
