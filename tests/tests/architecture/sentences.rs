//! What the sentences mean, one function each.

use std::collections::BTreeMap;

use super::sources::{CRATES, Source, names, root};

fn in_room<'s>(sources: &'s [Source], room: &'s str) -> impl Iterator<Item = &'s Source> {
    sources.iter().filter(move |source| source.path.starts_with(room))
}

/// A problem for every source outside `rooms` whose code names one of `words`.
fn only_in(sources: &[Source], words: &[&str], rooms: &[&str]) -> Vec<String> {
    let outside = sources.iter().filter(|source| !rooms.iter().any(|room| source.path.starts_with(room)));
    let problems = outside.flat_map(|source| {
        let found = words.iter().filter(|word| source.names(word));
        found.map(|word| format!("{} names {word}", source.path))
    });
    problems.collect()
}

fn manifest(krate: &str) -> String {
    std::fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap()
}

pub fn dependencies(_: &[Source]) -> Vec<String> {
    let allowed = BTreeMap::from([
        ("graph", &[][..]),
        ("importer", &["graph"][..]),
        ("runtime", &["graph"][..]),
        ("export", &["graph", "importer", "runtime"][..]),
        ("train", &["graph", "importer", "runtime", "export"][..]),
    ]);
    let mut found = Vec::new();
    for krate in CRATES {
        let text = manifest(krate);
        let needed = text.split("[dependencies]").nth(1).unwrap_or_default().split("\n[").next().unwrap_or_default();
        for other in CRATES.iter().filter(|other| names(needed, &format!("dmdx-{other}"))) {
            if !allowed[krate].contains(other) {
                found.push(format!("{krate} depends on {other}"));
            }
        }
    }
    found
}

pub fn graph_is_pure(sources: &[Source]) -> Vec<String> {
    const WORDS: [&str; 10] =
        ["burn", "onnx", "safetensors", "protobuf", "prost", "pickle", "systemtime", "instant", "rand", "chacha"];
    let problems = in_room(sources, "graph/src/").flat_map(|source| {
        // Prose counts too: a comment that names a format knows it.
        let text = source.text.to_lowercase();
        let found: Vec<&str> = WORDS.into_iter().filter(|word| names(&text, word)).collect();
        found.into_iter().map(|word| format!("{} names {word}", source.path)).collect::<Vec<_>>()
    });
    problems.collect()
}

pub fn libraries(sources: &[Source]) -> Vec<String> {
    // The crates themselves, not modules of ours that are called like them.
    let of_crate = |source: &Source, krate: &str| {
        let code = source.code();
        let named = code
            .match_indices(&format!("{krate}::"))
            .any(|(at, _)| !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':'));
        named || code.lines().any(|line| line.trim_start().starts_with(&format!("use {krate};")))
    };
    let rooms: [(&str, &[&str]); 4] = [
        ("burn", &["train/src/"]),
        ("ort", &["runtime/src/engine/"]),
        ("tract_onnx", &["runtime/src/engine/"]),
        ("prost", &["export/src/", "runtime/src/tokenizer/", "train/src/session/tensorboard.rs"]),
    ];
    let problems = rooms.iter().flat_map(|(krate, rooms)| {
        let outside = sources.iter().filter(|source| !rooms.iter().any(|room| source.path.starts_with(room)));
        outside.filter(|source| of_crate(source, krate)).map(move |source| format!("{} names {krate}", source.path))
    });
    problems.collect()
}

pub fn methods(sources: &[Source]) -> Vec<String> {
    // What would tell one teacher from another.
    const WORDS: [&str; 12] = [
        "Grid",
        "grid",
        "Parameterisation",
        "parameterisation",
        "is_straight",
        "family",
        "Family",
        "class",
        "unet",
        "transformer",
        "with_table",
        "is_on_table",
    ];
    // Ends of the reference library's class names, in literals.
    const CLASSES: [&str; 3] = ["Pipeline\"", "Model\"", "Scheduler\""];
    let problems = in_room(sources, "train/src/method/").flat_map(|source| {
        let code = source.code();
        // The refusal of a pixel backbone says what was given instead.
        let is_refusal = |word: &str| word == "class" && source.path.ends_with("/materials.rs");
        let words = WORDS.into_iter().filter(|word| names(&code, word) && !is_refusal(word));
        let found: Vec<&str> = words.chain(CLASSES.into_iter().filter(|end| code.contains(end))).collect();
        found.into_iter().map(|word| format!("{} names {word}", source.path)).collect::<Vec<_>>()
    });
    problems.collect()
}

pub fn architectures(sources: &[Source]) -> Vec<String> {
    let problems = in_room(sources, "importer/src/arch/").flat_map(|source| {
        let found: Vec<&str> =
            ["Weight", "MappedFile", "Tensors", "set_weight"].into_iter().filter(|word| source.names(word)).collect();
        found.into_iter().map(|word| format!("{} names {word}", source.path)).collect::<Vec<_>>()
    });
    problems.collect()
}

pub fn writers(sources: &[Source]) -> Vec<String> {
    const CALLS: [&str; 6] = ["File::create", "fs::write", "fs::rename", "NamedTempFile", "TempDir", "persist"];
    let outside = sources.iter().filter(|source| !source.path.starts_with("graph/src/store/"));
    let problems = outside.flat_map(|source| {
        let code = source.code();
        let found: Vec<&str> = CALLS.into_iter().filter(|call| names(&code, call)).collect();
        found.into_iter().map(|call| format!("{} calls {call}", source.path)).collect::<Vec<_>>()
    });
    problems.collect()
}

pub fn randomness(sources: &[Source]) -> Vec<String> {
    only_in(
        sources,
        &["rand", "rand_chacha", "rand_distr", "ChaCha8Rng", "ChaCha12Rng"],
        &["train/src/session/draws.rs", "runtime/src/noise.rs"],
    )
}

pub fn unsafe_code(sources: &[Source]) -> Vec<String> {
    let allowed = |source: &&Source| !source.text.contains("allow(unsafe_code)");
    let problem = |source: &Source| format!("{} has unsafe code", source.path);
    let mut found: Vec<String> = sources.iter().filter(allowed).filter(|source| source.names("unsafe")).map(problem).collect();
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    if !workspace.contains("unsafe_code = \"deny\"") {
        found.push("the workspace does not deny unsafe_code".into());
    }
    found
}

pub fn hash_maps(_: &[Source]) -> Vec<String> {
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut found = Vec::new();
    if !workspace.contains("iter_over_hash_type = \"deny\"") {
        found.push("the workspace does not deny iterating over hash maps".to_string());
    }
    let bare = CRATES.into_iter().filter(|krate| !manifest(krate).contains("[lints]\nworkspace = true"));
    found.extend(bare.map(|krate| format!("{krate} does not take the workspace's lints")));
    found
}

pub fn sizes(sources: &[Source]) -> Vec<String> {
    let long = sources.iter().map(|source| (source, source.text.lines().count())).filter(|(_, lines)| *lines > 500);
    long.map(|(source, lines)| format!("{} has {lines} lines", source.path)).collect()
}
