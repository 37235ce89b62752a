//! `dmdx-run`: generates pictures from a bundle, scores it, examines the machine.

mod doctor;
mod generate;
mod output;
mod score;

use std::io::Write;
use std::path::PathBuf;
use std::process::exit;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dmdx_runtime::engine::locate::{MINIMUM_MINOR, locate};
use dmdx_runtime::engine::ort::OrtEngine;
use dmdx_runtime::engine::tract::{self, TractEngine};
use dmdx_runtime::{Engine, Error};
use indicatif::{ProgressBar, ProgressStyle};

/// What `--version` says; `-V` says the number alone.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\nengines: tract {} (built in), onnxruntime 1.{MINIMUM_MINOR} or newer (loaded where it is found)\npictures: png, jpg, webp; videos: apng",
        env!("CARGO_PKG_VERSION"),
        tract::VERSION,
    )
});

/// Runs bundles of dmdx.
#[derive(Parser)]
#[command(name = "dmdx-run", version, long_version = VERSION.as_str(), propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make pictures from prompts and write them as one sheet or a file each.
    Generate(generate::Generate),
    /// Make pictures of every prompt that a scorer knows and print its numbers.
    Score(score::Score),
    /// Say what this machine has: processor, engines, GPU libraries.
    Doctor(doctor::Doctor),
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which engine, and how.
#[derive(Args)]
struct EngineOptions {
    /// The engine that runs the networks.
    #[arg(long, value_enum, default_value_t = EngineName::Tract)]
    engine: EngineName,
    /// The path of libonnxruntime, for `--engine ort`.
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Threads; all processors if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

#[derive(Clone, Copy, ValueEnum)]
enum EngineName {
    /// Built in.
    Tract,
    /// ONNX Runtime, found through --onnxruntime, ORT_DYLIB_PATH or beside the executable.
    Ort,
}

impl EngineOptions {
    fn start(&self) -> Result<Box<dyn Engine>, Error> {
        let threads = match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        Ok(match self.engine {
            EngineName::Tract => Box::new(TractEngine::new(threads)),
            EngineName::Ort => Box::new(OrtEngine::new(&locate(self.onnxruntime.as_deref())?, threads)?),
        })
    }
}

/// A bar on standard error for `count` pictures.
fn progress_bar(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} pictures, {elapsed} so far, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn main() {
    let result = match Cli::parse().command {
        Command::Generate(command) => command.run(),
        Command::Score(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "dmdx-run", &mut script);
            // Nobody may be reading any more (`| head`).
            let _ = std::io::stdout().write_all(&script);
            Ok(())
        }
    };
    // An exit, not a return: a loader that hangs must not keep the process alive.
    match result {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("dmdx-run: {}", error.chain());
            exit(i32::from(error.exit_code()));
        }
    }
}
