//! The command line of `dmdx-train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use dmdx_importer::ImportOptions;
use dmdx_importer::source::SourceOptions;

use crate::error::TrainError;
use crate::job::{Distillation, work};
use crate::method;
use crate::recipe::{self, LoadedRecipe, explain};
use crate::sample::{self, SampleArguments};
use crate::session::{Interrupt, RunFolder};
use crate::{check, device, replay};

/// What `--version` says; `-V` says the number alone.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let methods: Vec<&str> = method::METHODS.iter().map(|method| method.section.name).collect();
    let devices = if cfg!(feature = "cuda") { "cpu, cuda" } else { "cpu (cuda needs a build with --features cuda)" };
    let (own, methods, burn) = (env!("CARGO_PKG_VERSION"), methods.join(", "), device::BURN);
    format!("{own}\nengine: burn {burn}; devices: {devices}\nmethods: {methods}")
});

/// Distils a diffusion teacher into a one-step student.
///
/// Exit codes: 0 done, 1 something is wrong with the input, 2 with the arguments, 3 with the machine, 130 interrupted
/// and saved.
#[derive(Debug, Parser)]
#[command(
    name = "dmdx-train",
    version,
    long_version = VERSION.as_str(),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Cli {
    /// Another command than training.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to train.
    #[command(flatten)]
    pub train: Option<TrainArguments>,
}

/// `dmdx-train RECIPE`.
#[derive(Clone, Debug, Args)]
pub struct TrainArguments {
    /// The recipe, a TOML file; paths in it are relative to its folder.
    pub recipe: PathBuf,
    /// Run folder; runs/NAME of the recipe where left out.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in the run folder.
    #[arg(long)]
    pub resume: bool,
    /// Change one key of the recipe, as often as needed.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// The other commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run a network by Burn on the inputs of a reference file and compare outputs, activations and gradients; or a whole
    /// pipeline on the prompt and noise of one, and compare embeddings, every latent and the picture or video.
    Check {
        /// Component folder, converted graph, or pipeline folder.
        model: PathBuf,
        /// Reference file.
        #[arg(long)]
        io: PathBuf,
        /// Largest error allowed in outputs and activations.
        #[arg(long, default_value_t = 1e-4)]
        tolerance: f64,
        /// Run a pipeline's networks by the reference interpreter in f64 (components: `dmdx-import check`).
        #[arg(long)]
        interpreter: bool,
        /// How the model is read.
        #[command(flatten)]
        reading: SourceOptions,
    },
    /// Draw one picture or video of a teacher with its own scheduler.
    Sample(SampleArguments),
    /// Print every key of a recipe with its default, unit, meaning and source.
    Keys {
        /// Only keys that begin with this, such as `adm` or `discriminator.pixel`.
        prefix: Option<String>,
    },
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Repeat a recorded training iteration and compare every number.
    Replay {
        /// The trace.
        trace: PathBuf,
        /// Folder of the networks that the trace names; `zoo` beside the trace's folder where left out.
        #[arg(long, value_name = "DIR")]
        zoo: Option<PathBuf>,
        /// Largest relative error of a gradient; values are held to a tenth of it.
        #[arg(long, default_value_t = 1e-3)]
        tolerance: f64,
    },
}

/// Runs a command and returns its exit code.
pub fn run(cli: &Cli) -> ExitCode {
    let done = match (&cli.command, &cli.train) {
        (Some(Command::Check { model, io, tolerance, interpreter, reading }), _) => {
            check(model, io, *tolerance, *interpreter, &reading.import())
        }
        (Some(Command::Sample(arguments)), _) => draw(arguments),
        (Some(Command::Keys { prefix }), _) => keys(prefix.as_deref().unwrap_or_default()),
        (Some(Command::Completions { shell }), _) => completions(*shell),
        (Some(Command::Replay { trace, zoo, tolerance }), _) => replay(trace, zoo.as_deref(), *tolerance),
        (None, Some(arguments)) => train(arguments),
        // The parser asks for a recipe where there is no command.
        (None, None) => return ExitCode::from(2),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::from(error.exit_code())
        }
    }
}

fn train(arguments: &TrainArguments) -> Result<bool, TrainError> {
    let loaded = LoadedRecipe::read(&arguments.recipe, &arguments.set, &method::sections())?;
    let interrupt = Interrupt::on_signal()?;
    let path = arguments.out.clone().unwrap_or_else(|| work::default_folder(&arguments.recipe));
    // Before the teacher is read and hashed, not after it.
    RunFolder::check(&path, arguments.resume)?;
    let networks = Distillation::open(&loaded)?;
    work::work(&loaded, &path, arguments.resume, &interrupt, &networks)?;
    eprintln!("done: {}", path.display());
    Ok(true)
}

fn check(model: &Path, io: &Path, tolerance: f64, interpreter: bool, options: &ImportOptions) -> Result<bool, TrainError> {
    let device = device::open(recipe::Device::Cpu)?;
    let report = match (sample::is_of_pipeline(io)?, interpreter) {
        (true, _) => sample::check(model, io, tolerance, options, (!interpreter).then_some(&device))?,
        (false, false) => check::run(model, io, tolerance, options, &device)?,
        (false, true) => {
            return Err(TrainError::CheckedElsewhere);
        }
    };
    print(&report.to_string());
    Ok(report.passed())
}

fn draw(arguments: &SampleArguments) -> Result<bool, TrainError> {
    sample::sample(arguments, &device::open(recipe::Device::Cpu)?)?;
    eprintln!("done: {}", arguments.output.display());
    Ok(true)
}

fn replay(trace: &Path, zoo: Option<&Path>, tolerance: f64) -> Result<bool, TrainError> {
    let zoo = zoo.map_or_else(|| replay::default_zoo(trace), Path::to_path_buf);
    let report = replay::run(trace, &zoo, tolerance, &device::open(recipe::Device::Cpu)?)?;
    print(&report.to_string());
    Ok(report.passed())
}

fn keys(prefix: &str) -> Result<bool, TrainError> {
    let all = explain::explained(&method::sections())?;
    let wanted: Vec<String> = all.iter().filter(|key| key.key.starts_with(prefix)).map(ToString::to_string).collect();
    if wanted.is_empty() {
        return Err(TrainError::recipe(prefix, "begins no key; `dmdx-train keys` prints all"));
    }
    print(&wanted.join("\n"));
    Ok(true)
}

fn completions(shell: Shell) -> Result<bool, TrainError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dmdx-train", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(true)
}

/// Prints, and stays quiet when nobody reads any more (`| head`).
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
