//! The sentences of ARCHITECTURE.md hold: each is checked on the sources, and each check is a sentence there.
#![allow(clippy::unwrap_used)]

mod imports;
mod matches;
mod sentences;
mod sources;

use sources::Source;

/// Finds what breaks a sentence.
type Check = fn(&[Source]) -> Vec<String>;

/// Every invariant as ARCHITECTURE.md says it.
const INVARIANTS: &[(&str, Check)] = &[
    (
        "Dependencies point one way: `graph` knows none of ours, `importer` and `runtime` know `graph`, `export` knows these three, `train` knows all four.",
        sentences::dependencies,
    ),
    ("`graph` names no Burn, no ONNX, no file format of a model, no clock and no randomness.", sentences::graph_is_pure),
    (
        "`burn` is named in `train` only, `ort` and `tract_onnx` in `runtime/src/engine` only, `prost` only where protobuf is written or SentencePiece is read.",
        sentences::libraries,
    ),
    ("No `match` over `Op` has a wildcard arm.", matches::wildcards),
    ("No two files and no two rooms of a crate import each other, directly or round about.", imports::circles),
    ("Methods never ask which teacher, which network or which kind of noise process they have.", sentences::methods),
    ("Architectures declare parameters and never see weights.", sentences::architectures),
    ("Files and folders are made, replaced and renamed in `graph/src/store` only.", sentences::writers),
    ("Random numbers come from `train/src/session/draws.rs` and `runtime/src/noise.rs` only.", sentences::randomness),
    ("Unsafe code stands in the files that allow it by name.", sentences::unsafe_code),
    ("No iteration over a hash map reaches an output.", sentences::hash_maps),
    ("No source file has more than 500 lines.", sentences::sizes),
];

#[test]
fn the_sentences_of_architecture_md_hold() {
    let sources = sources::all();
    assert!(sources.len() > 300, "only {} sources were found", sources.len());
    let broken: Vec<String> = INVARIANTS
        .iter()
        .flat_map(|(sentence, check)| check(&sources).into_iter().map(move |problem| format!("{sentence}\n    {problem}")))
        .collect();
    assert!(broken.is_empty(), "these sentences do not hold:\n  {}", broken.join("\n  "));
}

#[test]
fn every_sentence_is_checked_and_every_check_is_a_sentence() {
    let text = std::fs::read_to_string(sources::root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("## Invariants").nth(1).unwrap().split("\n## ").next().unwrap();
    // A bullet may go on for several lines.
    let joined = section.replace("\n  ", " ");
    let bullets: Vec<&str> = joined.lines().filter_map(|line| line.strip_prefix("- ")).collect();
    for bullet in &bullets {
        assert!(INVARIANTS.iter().any(|(sentence, _)| bullet.starts_with(sentence)), "nothing checks: {bullet}");
    }
    for (sentence, _) in INVARIANTS {
        assert!(bullets.iter().any(|bullet| bullet.starts_with(sentence)), "ARCHITECTURE.md does not say: {sentence}");
    }
}
