//! `dmdx-train` from the outside: what is looked at before the work.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

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
        (sample("x.gif"), 1, ".gif is no known format; end the name in .png, .jpg or .webp"),
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
