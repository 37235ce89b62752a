//! The command line of `dmdx-export`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dmdx_export::onnx::WriteOptions;
use dmdx_export::verify::Engines;
use dmdx_export::{
    BundleOptions, BundleReport, ComponentOptions, ExportError, GraphReport, Role, Stage, Target, Verifier, check_destination,
    export_bundle, export_component,
};
use dmdx_importer::path::located;
use dmdx_importer::source::SourceOptions;
use dmdx_importer::{ImportOptions, Imported, Pipeline, import_any};
use dmdx_runtime::StudentInfo;
use dmdx_runtime::engine::locate::MINIMUM_MINOR;
use dmdx_runtime::engine::tract;
use dmdx_runtime::manifest::{self, Verification};
use dmdx_runtime::process::{Parameterisation, StepRule};
use dmdx_runtime::scheduler;
use indicatif::{ProgressBar, ProgressStyle};

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Steps of a teacher when nothing is said.
const TEACHER_STEPS: usize = 25;

/// What `--version` says; `-V` says the number alone.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\ntargets: {}\nverifies with: tract {} (built in), onnxruntime 1.{MINIMUM_MINOR} or newer (loaded where it is found)",
        env!("CARGO_PKG_VERSION"),
        Target::names().join(", "),
        tract::VERSION,
    )
});

/// Turns a checkpoint into ONNX files and proves them equal to it.
///
/// A whole pipeline becomes a bundle that dmdx-run, ONNX Runtime and diffusers' users know; a single network becomes a
/// model.onnx. Every file is run against its source by tract and, where it is found, by ONNX Runtime before it is kept.
#[derive(Debug, Parser)]
#[command(
    name = "dmdx-export",
    version,
    long_version = VERSION.as_str(),
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Exit codes: 0 done, 1 the input is at fault, 2 wrong usage, 3 disk, rights or engine, 130 interrupted."
)]
pub struct CommandLine {
    /// Another command than exporting.
    #[command(subcommand)]
    command: Option<Command>,
    /// What to export.
    #[command(flatten)]
    export: Option<Cli>,
    /// How the source is read; beside it, because clap finds an optional group by its own arguments only.
    #[command(flatten)]
    reading: SourceOptions,
}

/// The other commands.
#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Print the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// `dmdx-export SOURCE -o BUNDLE`.
#[derive(Debug, Args)]
pub struct Cli {
    /// A pipeline folder, a component folder, a file of weights, a converted file, a single-file checkpoint (with the
    /// tokenizers of --config), or a model's folder in the Hugging Face cache.
    source: PathBuf,
    /// The folder to write.
    #[arg(short, long, value_name = "BUNDLE")]
    output: PathBuf,
    /// What the files are written for.
    #[arg(long, default_value = "compat")]
    target: String,
    /// The times fed to a student, falling; without this those of its dmdx_student.json.
    #[arg(long, value_delimiter = ',', value_name = "T,T,…", conflicts_with = "teacher_steps")]
    steps: Option<Vec<f64>>,
    /// Export a teacher that samples in N evenly spaced steps (25 if nothing is said).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    teacher_steps: Option<u16>,
    /// Weight of classifier-free guidance of a teacher; the network then runs twice per step.
    #[arg(long, value_name = "G")]
    guidance: Option<f64>,
    /// The checkpoint is a student although it has no dmdx_student.json; needs --steps.
    #[arg(long, requires = "steps", conflicts_with = "guidance")]
    student: bool,
    /// What a student does between two steps, `ode` or `renoise` (consistency sampling, as DMD2 and LCM do); otherwise that of
    /// its dmdx_student.json, or `ode`.
    #[arg(long, value_name = "RULE", value_parser = sampler, requires = "steps")]
    sampler: Option<StepRule>,
    /// What the network's output means (`epsilon`, `v_prediction`, …); otherwise taken from the checkpoint.
    #[arg(long, value_name = "NAME", value_parser = parameterisation)]
    parameterisation: Option<Parameterisation>,
    /// Frames of a video; those that the network was trained for if not given.
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// The engine that runs every file against its source before it is kept.
    #[arg(long, value_enum, default_value_t = Proof::All, value_name = "ENGINE")]
    verify: Proof,
    /// Keep the files without running them, as `--verify none` does.
    #[arg(long, conflicts_with = "verify")]
    no_verify: bool,
    /// The largest difference from the source that is accepted, relative to the largest value of an output; otherwise the
    /// target's.
    #[arg(long, value_name = "SHARE", value_parser = tolerance, conflicts_with = "no_verify")]
    tolerance: Option<f64>,
    /// Replace an existing bundle.
    #[arg(long)]
    force: bool,
    /// The ONNX Runtime library to verify with; otherwise ORT_DYLIB_PATH or the one beside this program.
    #[arg(long, value_name = "PATH", conflicts_with = "no_verify")]
    onnxruntime: Option<PathBuf>,
}

/// What `--verify` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Proof {
    /// Every engine of the target that is found; one that holds is enough, and what others differ by is recorded.
    #[value(alias = "both")]
    All,
    /// tract alone.
    Tract,
    /// ONNX Runtime alone.
    #[value(name = "onnxruntime", alias = "ort")]
    OnnxRuntime,
    /// Nothing is run.
    None,
}

impl Proof {
    fn engines(self) -> Option<Engines> {
        match self {
            Proof::All => Some(Engines::All),
            Proof::Tract => Some(Engines::Tract),
            Proof::OnnxRuntime => Some(Engines::OnnxRuntime),
            Proof::None => None,
        }
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is not a number".to_string())?;
    if number > 0.0 && number < 1.0 { Ok(number) } else { Err("it does not lie between 0 and 1".into()) }
}

fn parameterisation(name: &str) -> Result<Parameterisation, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

fn sampler(name: &str) -> Result<StepRule, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// Does what the command line says and returns the exit code.
pub fn run(line: &CommandLine) -> u8 {
    let cli = match (&line.command, &line.export) {
        (Some(Command::Completions { shell }), _) => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut CommandLine::command(), "dmdx-export", &mut script);
            // Nobody may be reading any more (`| head`).
            let _ = std::io::stdout().write_all(&script);
            return 0;
        }
        (None, Some(cli)) => cli,
        // The parser asks for a source where there is no command.
        (None, None) => return 2,
    };
    // A handler can be set once per process; without one Ctrl-C still ends it, only less tidily.
    let _ = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed));
    match export(cli, &line.reading) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            error.exit_code()
        }
    }
}

fn export(cli: &Cli, reading: &SourceOptions) -> Result<(), ExportError> {
    let target = Target::by_name(&cli.target)?;
    // Before the work, not after it.
    check_destination(&cli.output, cli.force, &[manifest::FILE_NAME, "config.json"])?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let verifier = match cli.verify.engines().filter(|_| !cli.no_verify) {
        Some(engines) => {
            let mut verifier = Verifier::new(cli.onnxruntime.as_deref(), threads)?;
            (verifier.engines, verifier.tolerance) = (engines, cli.tolerance);
            Some(verifier)
        }
        None => None,
    };
    let options = ImportOptions { frames: cli.frames, ..reading.import() };
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut progress = |stage: Stage<'_>| bar.set_message(describe(stage));
    let source = located(&cli.source)?;
    let component = match import_any(&source, &options)? {
        Imported::Component(component) => Some(component),
        Imported::Pipeline(pipeline) => {
            let report = bundle(cli, &source, &pipeline, target, verifier.as_ref(), &mut progress)?;
            bar.finish_and_clear();
            print_models(&report.models, &report.manifest.verification);
            None
        }
    };
    if let Some(component) = component {
        if cli.steps.is_some() || cli.teacher_steps.is_some() || cli.guidance.is_some() || cli.parameterisation.is_some() {
            let advice = "steps, guidance and parameterisation belong to whole pipelines; name a folder with model_index.json";
            return Err(ExportError::Options(advice.into()));
        }
        let options = ComponentOptions {
            source: &source,
            target,
            write: WriteOptions::default(),
            verifier: verifier.as_ref(),
            force: cli.force,
            cancelled: Some(&STOP),
            progress: &mut progress,
        };
        let report = export_component(&component, &cli.output, options)?;
        bar.finish_and_clear();
        print_models(&report.models, &report.record.verification);
    }
    println!("wrote {}", cli.output.display());
    match &verifier {
        None => println!("nothing was verified"),
        Some(verifier) => {
            if verifier.missing().is_some() {
                println!("ONNX Runtime was not found, so tract verified alone (--onnxruntime or ORT_DYLIB_PATH names it)");
            }
        }
    }
    Ok(())
}

fn bundle(
    cli: &Cli,
    source: &Path,
    pipeline: &Pipeline,
    target: &'static Target,
    verifier: Option<&Verifier>,
    progress: &mut dyn FnMut(Stage<'_>),
) -> Result<BundleReport, ExportError> {
    pipeline.require_complete()?;
    let student = if source.is_dir() { StudentInfo::read(source)? } else { None };
    let is_student = student.is_some() || cli.student;
    if is_student && (cli.guidance.is_some() || cli.teacher_steps.is_some()) {
        let advice = "--guidance and --teacher-steps are for teachers, but this checkpoint is a student; leave them out";
        return Err(ExportError::Options(advice.into()));
    }
    let mut made = match (&student, &cli.steps) {
        (Some(student), _) => BundleOptions::student(student, progress),
        (None, Some(steps)) => {
            BundleOptions::new(if is_student { Role::Student } else { Role::Teacher }, steps.clone(), progress)
        }
        (None, None) => {
            let steps = teacher_steps(pipeline, cli.teacher_steps.map_or(TEACHER_STEPS, usize::from))?;
            BundleOptions::new(Role::Teacher, steps, progress)
        }
    };
    made.target = target;
    made.steps = cli.steps.clone().unwrap_or(made.steps);
    made.sampler = cli.sampler.unwrap_or(made.sampler);
    made.parameterisation = cli.parameterisation.or(made.parameterisation);
    made.guidance_scale = cli.guidance;
    made.frames = cli.frames;
    made.verifier = verifier;
    made.force = cli.force;
    made.cancelled = Some(&STOP);
    export_bundle(pipeline, source, &cli.output, made)
}

/// The times of a teacher as its network is told them.
fn teacher_steps(pipeline: &Pipeline, count: usize) -> Result<Vec<f64>, ExportError> {
    // A pipeline without a scheduler is refused with a better sentence.
    let Some(config) = &pipeline.scheduler else { return Ok(Vec::new()) };
    let process = scheduler::process(config)?;
    let times = process.spaced(count).map_err(dmdx_runtime::Error::from)?;
    Ok(times.into_iter().map(|time| process.network_time(time)).collect())
}

fn describe(stage: Stage<'_>) -> String {
    match stage {
        Stage::Writing(folder) => format!("writing {folder}"),
        Stage::Verifying(folder) => format!("verifying {folder}"),
        Stage::Hashing => "hashing".into(),
    }
}

fn print_models(models: &BTreeMap<String, GraphReport>, verification: &BTreeMap<String, Vec<Verification>>) {
    for (name, model) in models {
        let megabytes = (model.written.model_bytes + model.written.data_bytes) as f64 / 1e6;
        println!("{name}: {} nodes, {} weights, {megabytes:.1} MB", model.checked.nodes, model.checked.initializers);
        print_measured(name, verification.get(name).map(Vec::as_slice).unwrap_or_default());
    }
}

fn print_measured(name: &str, measured: &[Verification]) {
    for one in measured {
        match &one.problem {
            Some(problem) if one.relative == f64::MAX => println!("{name}: {} does not prove it: {problem}", one.engine),
            problem => {
                let (absolute, relative, limit) = (one.max_absolute, one.relative, one.tolerance);
                let errors = format!("by at most {absolute:.1e} ({relative:.1e} of the largest value; limit {limit:.0e})");
                let remark = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
                println!("{name}: {} differs from the source {errors}{remark}", one.engine);
            }
        }
    }
}

/// The message and its causes, on one line.
fn chain(error: &ExportError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
