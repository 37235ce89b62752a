//! Seconds per iteration of a recipe's ADP and ADM, and where they go; beside them PyTorch's of the same definitions, where
//! `DMDX_PYTHON` is a Python with torch and diffusers: for the digits recipe the script that `DMDX_REFERENCE` names, for
//! students of several steps `peer.py` here.
//!
//! `cargo bench -p dmdx-train --bench iteration -- [--recipe FILE] [--threads N] [--iterations N] [--operations]`
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dmdx_train::data::{PairStore, collect};
use dmdx_train::job::{Distillation, Models};
use dmdx_train::method::adm::{Adm, AdmPhase};
use dmdx_train::method::adp::{Adp, AdpPhase};
use dmdx_train::method::sections;
use dmdx_train::module::Profile;
use dmdx_train::recipe::LoadedRecipe;
use dmdx_train::session::Interrupt;
use dmdx_train::trainer::Phase;

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn option<T: std::str::FromStr>(name: &str) -> Option<T> {
    let arguments: Vec<String> = std::env::args().collect();
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1)?.parse().ok()
}

fn main() {
    let threads = option("--threads").unwrap_or(0);
    let iterations: u64 = option("--iterations").unwrap_or(10);
    let operations = std::env::args().any(|argument| argument == "--operations");
    let given: Option<PathBuf> = option("--recipe");
    let path = given.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/digits-sdxl/dmdx.toml"));
    let mut sets = vec![format!("run.threads={threads}"), "pairs.count=100".into(), "pairs.shard=100".into()];
    // As the PyTorch reference of this recipe does: one update of the fake score in an iteration.
    if given.is_none() {
        sets.push("adm.ttur=1".into());
    }
    let loaded = LoadedRecipe::read(&path, &sets, &sections()).unwrap();
    let networks = Distillation::open(&loaded).unwrap();
    println!("{} threads, {iterations} iterations each", rayon::current_num_threads());

    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let interrupt = Interrupt::default();
    let conditions = networks.conditions(&folder.path().join("conditions"), &interrupt).unwrap();
    let profile = || Arc::new(if operations { Profile::with_operations() } else { Profile::default() });
    let recipe = &loaded.recipe;
    if let Some(adp) = recipe.section::<Adp>().unwrap() {
        let pairs = collect(&folder.path().join("pairs"), &networks.pair_plan().unwrap(), &interrupt, |inputs| {
            networks.teacher_latents(&conditions, inputs)
        });
        let pairs: PairStore = pairs.unwrap();
        let per_pair = started.elapsed().as_secs_f64() / pairs.len() as f64;
        println!("pairs: {per_pair:.4} s each, {:.0} s for 3000", per_pair * 3000.0);
        let parts = profile();
        let mut adp = AdpPhase::new(adp, &networks.materials(), &conditions, pairs).unwrap();
        adp.set_profile(&parts);
        time("ADP", &mut adp, iterations, &parts);
    }
    if let Some(adm) = recipe.section::<Adm>().unwrap() {
        let parts = profile();
        let mut adm = AdmPhase::new(adm, &networks.materials(), &conditions, None).unwrap();
        adm.set_profile(&parts);
        time("ADM", &mut adm, iterations, &parts);
    }
    match given {
        None => reference(threads.max(1), iterations),
        Some(recipe) => peer(&recipe, threads.max(1), iterations),
    }
}

/// The PyTorch script on the digits teacher.
fn reference(threads: usize, iterations: u64) {
    let Some(script) = std::env::var_os("DMDX_REFERENCE") else {
        println!("PyTorch: not run; DMDX_REFERENCE names the script");
        return;
    };
    let teachers = Path::new(&script).parent().unwrap().to_path_buf();
    let (folder, count) = (tempfile::tempdir().unwrap(), iterations.to_string());
    let names = [OsStr::new("--teachers"), teachers.as_os_str(), OsStr::new("--out"), folder.path().as_os_str()];
    let counts = ["--pairs", "64", "--adp", &count, "--adm", &count].map(OsStr::new);
    pytorch(Path::new(&script), &[&names[..], &counts[..]].concat(), threads);
}

/// PyTorch on the same recipe.
fn peer(recipe: &Path, threads: usize, iterations: u64) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer.py");
    let count = iterations.to_string();
    pytorch(&script, &[recipe.as_os_str(), OsStr::new("--iterations"), OsStr::new(&count)], threads);
}

/// The last line that a script prints says what it measured.
fn pytorch(script: &Path, arguments: &[&OsStr], threads: usize) {
    let Some(python) = std::env::var_os("DMDX_PYTHON") else {
        println!("PyTorch: not run; DMDX_PYTHON names an interpreter");
        return;
    };
    let count = threads.to_string();
    let mut command = std::process::Command::new(python);
    command.arg(script).args(arguments).args(["--threads", &count]).env("OMP_NUM_THREADS", &count);
    match command.output() {
        Ok(output) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_string();
            println!("PyTorch, {threads} threads: {said}");
        }
        Ok(output) => println!("PyTorch: failed: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()),
        Err(error) => println!("PyTorch: not run ({error})"),
    }
}

/// Processor seconds of this process so far, on Linux: what counts on a machine that others use too.
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in parentheses; clock ticks are hundredths of a second.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

/// The first iteration warms up and is not counted in the mean.
fn time(name: &str, phase: &mut impl Phase, iterations: u64, parts: &Profile) {
    phase.iteration(0).unwrap();
    let mut times: Vec<Duration> = Vec::new();
    let before = processor_seconds();
    for index in 1..=iterations {
        let started = Instant::now();
        phase.iteration(index).unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
    let used = before.zip(processor_seconds()).map(|(before, after)| (after - before) / iterations as f64);
    let (least, median) = (times[0].as_secs_f64(), times[times.len() / 2].as_secs_f64());
    println!(
        "{name}: {mean:.3} s per iteration, least {least:.3}, median {median:.3}, processor {:.3}",
        used.unwrap_or(f64::NAN)
    );
    print(parts, 20, iterations + 1);
}

fn print(profile: &Profile, count: usize, iterations: u64) {
    for (name, time) in profile.ranking().into_iter().take(count) {
        println!("  {:>8.4} s  {name}", time.time.as_secs_f64() / iterations as f64);
    }
}
