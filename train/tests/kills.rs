//! Runs of every method by the real binary, killed at random moments: each ends with the bytes of one that was left alone.
//! `tests/kills` runs it.
#![allow(missing_docs, clippy::unwrap_used)]

mod events;
mod files;
mod pictures;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dmdx_train::method::METHODS;
use dmdx_train::session::Draws;

/// How often each is killed.
const KILLS: u64 = 20;

/// A run of a few seconds.
struct Tiny {
    /// What it is called here.
    name: &'static str,
    /// The methods that it goes through.
    methods: &'static [&'static str],
    /// What its recipe has besides [`COMMON`].
    recipe: &'static str,
}

/// Two prompts, few and small shards of pairs, a checkpoint after every iteration, looks between them. `FIXTURES` is the folder,
/// `PICTURES` one of pictures with captions.
const COMMON: &str = r#"
[teacher]
path = "FIXTURES/digits-sdxl"
guidance = [2.5, 3.5]
[prompts]
list = ["a red seven", "a blue four"]
[pairs]
count = 4
steps = 2
shard = 2
dtype = "f32"
[discriminator]
latent_taps = ["down_blocks.1.resnets.0", "mid_block.resnets.1"]
head_width = 16
head_groups = 4
head_min_size = 2
head_output = "map"
[checkpoint]
every = 1
keep = 2
[run]
threads = 1
sample_every = 4
sample_count = 2
"#;

const TINY: &[Tiny] = &[
    Tiny { name: "reflow", methods: &["reflow"], recipe: "[reflow]\niterations = 10\nbatch = 2\n" },
    Tiny {
        name: "adp",
        methods: &["adp"],
        recipe: "[discriminator.pixel]\npath = \"FIXTURES/digits-sam\"\nlayers = [2]\ninput = \"minus_one_to_one\"\n\
                 [adp]\niterations = 8\nbatch = 2\nmse_warmup_steps = 2\n",
    },
    Tiny {
        name: "adp, then adm",
        methods: &["adp", "adm"],
        recipe: "[adp]\niterations = 4\nbatch = 2\nlambda_pixel = 0.0\n[adm]\niterations = 4\nbatch = 2\nttur = 2\n",
    },
    Tiny { name: "adm, 4 steps", methods: &["adm"], recipe: "[student]\nsteps = 4\n[adm]\niterations = 6\nbatch = 2\n" },
    Tiny {
        name: "adm, 2 steps, guided",
        methods: &["adm"],
        recipe: "[student]\nsteps = 2\nguidance_offset = 1.0\n[adm]\niterations = 6\nbatch = 2\n",
    },
    Tiny { name: "dmd", methods: &["dmd"], recipe: "[dmd]\niterations = 8\nbatch = 2\n" },
    Tiny {
        name: "dmd, 4 steps, renoised",
        methods: &["dmd"],
        recipe: "[student]\nsteps = 4\nsampler = \"renoise\"\n[dmd]\niterations = 6\nbatch = 2\n",
    },
    Tiny {
        name: "adm, factors",
        methods: &["adm"],
        recipe: "[lora]\nrank = 4\nalpha = 4\ntargets = [\"to_q\", \"conv1\"]\n[adm]\niterations = 6\nbatch = 2\n",
    },
    Tiny { name: "regression", methods: &["regression"], recipe: "[regression]\niterations = 8\nbatch = 2\nloss = \"mse\"\n" },
    Tiny {
        name: "dmd2, 4 steps",
        methods: &["dmd2"],
        recipe: "[student]\nsteps = 4\nsampler = \"renoise\"\n[data]\npath = \"PICTURES\"\nshard = 2\n\
                 [dmd2]\niterations = 7\nbatch = 2\nttur = 3\n",
    },
    Tiny {
        name: "lcm, one step, real latents",
        methods: &["lcm"],
        recipe: "[data]\npath = \"PICTURES\"\nshard = 2\n[lcm]\niterations = 8\nbatch = 2\ndata = \"latents\"\n",
    },
    Tiny {
        name: "lcm, 4 steps",
        methods: &["lcm"],
        recipe: "[student]\nsteps = 4\nsampler = \"renoise\"\n[lcm]\niterations = 8\nbatch = 2\n",
    },
    Tiny { name: "ladd, 4 steps", methods: &["ladd"], recipe: "[student]\nsteps = 4\n[ladd]\niterations = 8\nbatch = 2\n" },
];

fn fixtures() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").canonicalize().unwrap().display().to_string()
}

fn start(recipe: &Path, out: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dmdx-train"));
    command.arg(recipe).arg("--out").arg(out).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    if out.join("run.lock").exists() {
        command.arg("--resume");
    }
    command.spawn().unwrap()
}

/// Leaves a run alone until it is through.
fn finish(recipe: &Path, out: &Path) {
    let output = start(recipe, out).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits; whether the run was through by then. A run that is not is killed.
fn through(mut run: Child, wait: Duration) -> bool {
    let deadline = Instant::now() + wait;
    while Instant::now() < deadline {
        if let Some(status) = run.try_wait().unwrap() {
            let said = run.wait_with_output().unwrap().stderr;
            assert!(status.success(), "{}", String::from_utf8_lossy(&said));
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL on Unix.
    run.kill().unwrap();
    let output = run.wait_with_output().unwrap();
    let killed = output.status.code().is_none();
    assert!(killed || output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    !killed
}

/// A method that nobody kills here is no method that resumes.
#[test]
fn every_method_has_a_run_to_be_killed() {
    for method in METHODS {
        let name = method.section.name;
        assert!(TINY.iter().any(|tiny| tiny.methods.contains(&name)), "{name} has no recipe in {}", file!());
    }
}

/// `DMDX_KILL` names one of the runs, `DMDX_KILL_SEED` other moments.
#[test]
#[ignore = "takes a quarter of an hour; tests/kills runs it"]
fn every_method_killed_at_random_moments_ends_with_the_same_bytes() {
    let only = std::env::var("DMDX_KILL").unwrap_or_default();
    let seed: u64 = std::env::var("DMDX_KILL_SEED").map_or(0, |seed| seed.parse().unwrap());
    println!("| run | kills | runs that ended | one run, s | files |\n|---|---|---|---|---|");
    for tiny in TINY.iter().filter(|tiny| tiny.name.contains(&only)) {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join("recipe.toml");
        let shown = folder.path().join("pictures");
        std::fs::create_dir(&shown).unwrap();
        pictures::draw(&shown);
        let text = format!("{COMMON}{}", tiny.recipe).replace("FIXTURES", &fixtures());
        std::fs::write(&recipe, text.replace("PICTURES", &shown.display().to_string())).unwrap();
        let whole = folder.path().join("whole");
        let started = Instant::now();
        finish(&recipe, &whole);
        let took = started.elapsed();

        let mut kills = 0;
        let mut ended = 0;
        while kills < KILLS {
            let out = folder.path().join(format!("killed-{ended}"));
            // Where a run is killed depends on its wait; where none reaches the end, the waits grow until one does.
            for attempt in 0.. {
                let share = Draws::new(seed, tiny.name, kills).uniform(1)[0];
                let wait = took.mul_f64(f64::from(share) * (1.0 + f64::from(attempt) / 20.0));
                if through(start(&recipe, &out), wait) {
                    break;
                }
                kills += 1;
            }
            files::assert_same(&whole, &out);
            ended += 1;
        }
        let count = files::contents(&whole).len();
        println!("| {} | {kills} | {ended} | {:.1} | {count} |", tiny.name, took.as_secs_f64());
    }
}
