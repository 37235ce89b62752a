//! The command line of `dmdx-import`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use dmdx_importer::graph_file::WriteOptions;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportError, ImportOptions, Nonfinite, check, convert, inspect};

/// Set by Ctrl-C while a file is being written.
static STOP: AtomicBool = AtomicBool::new(false);

/// Longest message in characters: room for all lists of a binding's defects, not for names of a megabyte.
const LONGEST_MESSAGE: usize = 16_000;

/// Imports diffusion checkpoints: says what is in them, checks them against reference activations, converts them.
#[derive(Debug, Parser)]
#[command(
    name = "dmdx-import",
    version,
    long_version = concat!(
        env!("CARGO_PKG_VERSION"),
        "\nreads: safetensors, diffusers and transformers folders, single files, ONNX; pickle with --allow-pickle",
        "\nruns networks by the reference interpreter; Burn runs them in dmdx-train, tract and onnxruntime in dmdx-run"
    ),
    after_help = "Exit codes: 0 done, 1 the input is at fault, 2 wrong usage, 3 disk or rights."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says what a component, a converted file or a pipeline is: parameters, inputs, outputs, operations.
    Inspect {
        #[command(flatten)]
        source: Source,
        /// List every module path that can be tapped.
        #[arg(long)]
        marks: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Count NaN and infinite values in networks of any size (without this: up to 64 MiB).
        #[arg(long)]
        scan: bool,
    },
    /// Runs a component on the inputs of a reference file and compares every output and activation in it.
    Check {
        #[command(flatten)]
        source: Source,
        /// The reference file (in.*, out.*, act.* as safetensors).
        #[arg(long)]
        io: PathBuf,
        /// The network of a pipeline to check, such as `unet`.
        #[arg(long)]
        component: Option<String>,
        /// Largest absolute difference that passes.
        #[arg(long, default_value_t = 1e-4)]
        tolerance: f64,
    },
    /// Writes a component into one file with its graph, or a pipeline into a folder of such files.
    Convert {
        #[command(flatten)]
        source: Source,
        /// The file (or, for a pipeline, the folder) to write.
        #[arg(short, long)]
        output: PathBuf,
        /// Replace an existing file.
        #[arg(long)]
        force: bool,
    },
    /// Prints the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The script that completes the command in a shell.
fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dmdx-import", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[derive(Debug, Args)]
struct Source {
    /// A component folder, a file of weights, a converted file, a pipeline folder, a model's folder in the Hugging Face
    /// cache, a single-file checkpoint in its original layout, or an .onnx model.
    path: PathBuf,
    #[command(flatten)]
    reading: SourceOptions,
    /// Build a video autoencoder for so many pixel frames (otherwise those of its pipeline, or 49; `check` takes the number of its reference file).
    #[arg(long)]
    frames: Option<usize>,
    /// Refuse NaN and infinite weights.
    #[arg(long)]
    deny_nonfinite: bool,
    /// Refuse tensors that the network has no place for.
    #[arg(long)]
    deny_unused: bool,
}

impl Source {
    fn options(&self) -> ImportOptions {
        ImportOptions {
            nonfinite: if self.deny_nonfinite { Nonfinite::Deny } else { Nonfinite::Count },
            deny_unused: self.deny_unused,
            frames: self.frames,
            ..self.reading.import()
        }
    }
}

/// Runs a command and returns its exit code.
pub fn run(cli: &Cli) -> ExitCode {
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(cli: &Cli) -> Result<ExitCode, ImportError> {
    match &cli.command {
        Command::Completions { shell } => {
            // As it is: it holds no name of a file.
            let _ = std::io::stdout().lock().write_all(completions(*shell).as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Command::Inspect { source, marks, json, scan } => {
            let description = inspect(&source.path, &source.options(), *scan)?;
            match (json, marks) {
                (true, _) => print(&format!("{:#}\n", serde_json::json!(description))),
                (false, true) => print(&format!("{description:#}")),
                (false, false) => print(&description.to_string()),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { source, io, component, tolerance } => {
            let options = source.options();
            let report = check::run_component(&source.path, component.as_deref(), io, *tolerance, &options)?;
            print(&report.to_string());
            Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Convert { source, output, force } => {
            // A second handler cannot be there, and without one Ctrl-C still ends the program.
            let _ = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed));
            let write = WriteOptions { force: *force, stop: Some(&STOP) };
            let written = convert(&source.path, output, &source.options(), write)?;
            written.files.iter().for_each(|path| print(&format!("wrote {}\n", path.display())));
            written.notes.iter().for_each(|note| print(&format!("note: {note}\n")));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints, and stays quiet when nobody reads any more (`| head`).
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(printable(text).as_bytes());
}

/// An error and its causes in one line; line breaks of quoted messages become spaces.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{} … (shortened)", printable(&line[..end])),
        None => printable(&line),
    }
}

/// Names come from files: what would move the cursor, colour the terminal or turn the text around is written as its
/// number, in the way of JSON.
fn printable(text: &str) -> String {
    let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if acts(c) {
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
        line
    })
}
