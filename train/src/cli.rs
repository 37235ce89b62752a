//! The command line of `dmdx-train`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use dmdx_importer::ImportOptions;
use dmdx_importer::source::SourceOptions;

use crate::error::TrainError;
use crate::job::{Distillation, work};
use crate::method;
use crate::recipe::{self, LoadedRecipe};
use crate::sample::{self, SampleArguments};
use crate::session::{Interrupt, RunFolder};
use crate::{check, device, replay};

/// Distils a diffusion teacher into a one-step student.
///
/// Exit codes: 0 done, 1 something is wrong with the input, 2 with the arguments, 3 with the machine, 130 interrupted
/// and saved.
#[derive(Debug, Parser)]
#[command(name = "dmdx-train", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
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

/// Prints, and stays quiet when nobody reads any more (`| head`).
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
