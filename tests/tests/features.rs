//! `-p dmdx-train` (benches, `cargo install --path train`) picks the features that the whole workspace picks: otherwise Burn and
//! all that it stands on is compiled a second time.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// Every crate of a build with its version and features.
fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p} {f}", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_string()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn burn_is_compiled_once() {
    let all = crates(&["--workspace", "--edges", "normal,build,dev"]);
    for edges in ["normal,build", "normal,build,dev"] {
        let own = crates(&["-p", "dmdx-train", "--edges", edges]);
        assert!(own.iter().any(|line| line.starts_with("burn v")), "{own:?}");
        let other: Vec<&String> = own.difference(&all).collect();
        assert!(other.is_empty(), "{edges}: these have other features than in the workspace: {other:?}");
    }
    let all = crates(&["--workspace", "--edges", "normal,build", "--features", "dmdx-train/cuda"]);
    let own = crates(&["-p", "dmdx-train", "--edges", "normal,build", "--features", "cuda"]);
    let other: Vec<&String> = own.difference(&all).collect();
    assert!(other.is_empty(), "with cuda: {other:?}");
}
