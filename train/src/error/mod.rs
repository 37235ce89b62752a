//! The one error type of this crate, and those of its lower modules for the cause.

mod lora;
mod network;
mod operation;
mod picture;
mod teacher;
mod tensor;
mod trace;

use std::path::PathBuf;

use dmdx_importer::ImportError;
use dmdx_importer::source::advised;

pub use lora::LoraDefect;
pub use network::NetworkError;
pub use operation::OperationError;
pub use picture::PictureDefect;
pub use teacher::TeacherError;
pub use tensor::TensorError;
pub use trace::TraceDefect;

/// Everything that can stop a training run, each as one sentence: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The recipe is not TOML, or lacks or repeats something that TOML itself would notice.
    #[error("the recipe {path} cannot be understood: {reason}")]
    RecipeSyntax {
        /// The recipe's file.
        path: PathBuf,
        /// What the parser found, and where.
        reason: String,
    },
    /// One key of the recipe is unknown, missing, of the wrong type or impossible.
    #[error("the recipe's {key} {problem}")]
    Recipe {
        /// Dotted key, `section.key`.
        key: String,
        /// The value found and what would be allowed, as the rest of the sentence.
        problem: String,
    },
    /// A `--set` argument is not of the form `section.key=value`.
    #[error("--set {argument} is not of the form section.key=value")]
    Override {
        /// The argument as given.
        argument: String,
    },
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder cannot be written; what was there before is unchanged.
    #[error("{path} cannot be written ({source}); nothing half-written was left, so free the cause and resume with --resume")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file was read, but what is in it is not what it should hold.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The run folder has something in it and `--resume` was not given.
    #[error("the run folder {path} is not empty; pass --resume to continue the run in it, or another folder with --out")]
    RunFolderExists {
        /// The folder.
        path: PathBuf,
    },
    /// `--resume` was given for a folder in which no run was ever started.
    #[error("there is no run to resume in {path}; leave --resume out to start one")]
    NothingToResume {
        /// The folder.
        path: PathBuf,
    },
    /// Another process is writing into the folder.
    #[error("{path} is in use by process {owner}; wait for it to end, or choose another folder with --out")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The process that holds the lock, as it wrote itself down.
        owner: String,
    },
    /// The recipe given with `--resume` differs from the one that the run was started with.
    #[error(
        "the run was started with {key} = {stored}, but the recipe now says {given}; put it back, or start a new run with --out"
    )]
    ResumeMismatch {
        /// Dotted key of the recipe.
        key: String,
        /// The value that the run was started with.
        stored: String,
        /// The value now.
        given: String,
    },
    /// A checkpoint does not fit what should continue from it.
    #[error("the checkpoint of phase {phase} does not fit: {defect}")]
    State {
        /// The phase that wrote it.
        phase: String,
        /// What does not fit.
        defect: StateDefect,
    },
    /// A run leaves no student.
    #[error("{reason}, so there is no student")]
    NoStudent {
        /// Why.
        reason: String,
    },
    /// A network or an optimizer has no such parameter, or not this much of it.
    #[error("parameter {name} of {network} {problem}")]
    Parameter {
        /// The network.
        network: String,
        /// The parameter.
        name: String,
        /// What is wrong with it, as the rest of the sentence.
        problem: String,
    },
    /// Stored rows (ODE pairs, conditions) were made for something else than this recipe.
    #[error(
        "the {title} in {path} have {field} = {stored}, but this run needs {wanted}; give the run another folder, or delete the {name}"
    )]
    StoreMismatch {
        /// What the rows are called in full.
        title: &'static str,
        /// What they are called.
        name: &'static str,
        /// The shard or manifest that disagrees.
        path: PathBuf,
        /// The field of the provenance.
        field: Box<str>,
        /// What is stored.
        stored: Box<str>,
        /// What the recipe asks for.
        wanted: Box<str>,
    },
    /// There is no pair or prompt of that number.
    #[error("there is no {one} {number}, only {count}")]
    NoRow {
        /// What is numbered.
        one: &'static str,
        /// The number.
        number: i64,
        /// How many there are.
        count: usize,
    },
    /// A network made more or fewer values than what it was given asks for.
    #[error("{who} returned {found} values for {of}, but {wanted} are needed")]
    Count {
        /// Who made them.
        who: &'static str,
        /// How many values.
        found: usize,
        /// What they were made for.
        of: String,
        /// How many are needed.
        wanted: usize,
    },
    /// The text encoders made other inputs than for the prompts before.
    #[error("the text encoders made {found} for the prompts from number {first} on, but {wanted} before")]
    Inputs {
        /// The first of the prompts.
        first: usize,
        /// Names and shapes of what was made.
        found: String,
        /// Names and shapes of what was made before.
        wanted: String,
    },
    /// What the teacher made cannot be stored.
    #[error("the teacher made {what} that are not finite in the recipe's {key}")]
    NotFinite {
        /// What was made.
        what: String,
        /// The key that sets the stored precision.
        key: &'static str,
    },
    /// A health check stopped the run.
    #[error("training stopped in phase {phase} at iteration {iteration}: {reason}")]
    Health {
        /// The phase.
        phase: String,
        /// The iteration after which it was seen, from 0.
        iteration: u64,
        /// What was seen, its limit and the recipe key that sets it.
        reason: String,
    },
    /// Ctrl-C: the state is saved.
    #[error("interrupted in {place}; everything up to there is saved, so run the same command with --resume to continue")]
    Interrupted {
        /// Phase and iteration, or shard.
        place: String,
    },
    /// Something outside the run is missing: a device, a library, a signal handler.
    #[error("{what} is not available: {reason}")]
    Environment {
        /// What is needed.
        what: String,
        /// Why it is not there, and what to do.
        reason: String,
    },
    /// A model, graph or bundle cannot be used; the source says why.
    #[error("{what}: {source}")]
    Component {
        /// What was being done, for instance "importing the teacher's unet".
        what: String,
        /// The error of the crate that did it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The teacher of a recipe cannot be imported; what the importer's commands have as options are keys there.
    #[error("importing the teacher: {}", advised(&.0.to_string(), |option| format!("teacher.{}", option.replace('-', "_"))))]
    TeacherImport(Box<ImportError>),
    /// A teacher cannot be used so.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// A pipeline, its networks or its files are not what they should be.
    #[error(transparent)]
    Runtime(#[from] dmdx_runtime::Error),
    /// Something that the teacher's noise process cannot do.
    #[error(transparent)]
    Process(#[from] dmdx_runtime::process::ProcessError),
    /// A loss does not depend on what its gradient was asked for.
    #[error("the loss does not depend on the tensor whose gradient is needed")]
    NoGradient,
    /// A method that learns from pairs was given none.
    #[error("{method} learns from ODE pairs, but none were collected")]
    NoPairs {
        /// The method.
        method: &'static str,
    },
    /// A method that learns from real latents was given none.
    #[error("{method} learns from real latents, but there are none")]
    NoLatents {
        /// The method.
        method: &'static str,
    },
    /// A real picture cannot be used.
    #[error("the picture {path} {defect}")]
    Picture {
        /// Its file.
        path: PathBuf,
        /// Why.
        defect: PictureDefect,
    },
    /// A generator that noises its samples anew was given too few noises.
    #[error("call {step} of the generator needs a noise of its own, but none was drawn for it")]
    NoFreshNoise {
        /// The call, from 0.
        step: usize,
    },
    /// A generator was asked for a call that it does not make.
    #[error("the generator has no call {step}, only {steps}")]
    NoSuchStep {
        /// The call, from 0.
        step: usize,
        /// How many there are.
        steps: usize,
    },
    /// A tapped module's result is not laid out as the discriminator's heads need it.
    #[error("{tap} has the shape {shape:?}, which is no map or volume of features; choose another module to tap")]
    TapShape {
        /// The module's path.
        tap: String,
        /// Its result's shape for one sample.
        shape: Vec<usize>,
    },
    /// Something cannot be put into the format of its file.
    #[error("{what} cannot be encoded as {format}: {reason}")]
    Encoding {
        /// What.
        what: &'static str,
        /// The format.
        format: &'static str,
        /// What the encoder says.
        reason: String,
    },
    /// The metrics of a run hold no loss, so there is no curve to draw.
    #[error("the metrics hold no loss to draw")]
    NoLoss,
    /// The curves of the losses cannot be drawn.
    #[error("the losses cannot be drawn: {reason}")]
    Drawing {
        /// What the library that draws says.
        reason: String,
    },
    /// A sheet of samples cannot be made.
    #[error(transparent)]
    Sheet(#[from] SheetDefect),
    /// An operation of a network fails on the tensors that reach it.
    #[error("{network} fails in {op} at {origin}: {reason}")]
    Operation {
        /// The graph's name.
        network: String,
        /// The operation.
        op: &'static str,
        /// Its dotted module path.
        origin: String,
        /// Why.
        reason: Box<OperationError>,
    },
    /// A network and what it is given or asked for do not fit.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Low-rank factors cannot stand beside what a recipe wants them beside.
    #[error("the recipe's {0}")]
    Lora(#[from] LoraDefect),
    /// Tensors do not fit together, or one is not what its user needs.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Made-up weights do not fit their shape.
    #[error(transparent)]
    Weight(#[from] dmdx_graph::error::WeightError),
    /// A recorded iteration cannot be repeated.
    #[error("the trace {trace} {defect}")]
    Trace {
        /// The trace's file.
        trace: String,
        /// Why.
        defect: TraceDefect,
    },
    /// Samples of one batch are told different things.
    #[error("two conditions of different inputs cannot share a batch")]
    Conditions,
    /// A discriminator has nothing to judge by.
    #[error("a discriminator needs at least one head")]
    NoHeads,
    /// A head has judged the fakes and not the reals.
    #[error("the logits of {tap} are missing")]
    NoLogits {
        /// The tapped module.
        tap: String,
    },
    /// The weights of a reference's gradients are not shaped as what is differentiated.
    #[error("grad.w has shape {weights:?}, but the first output has {output:?}")]
    GradientWeights {
        /// The weights' shape.
        weights: Vec<usize>,
        /// The output's.
        output: Vec<usize>,
    },
    /// A check that another command does.
    #[error("a single network is run by the interpreter with dmdx-import check")]
    CheckedElsewhere,
}

/// What does not fit in a checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateDefect {
    /// A tensor is missing.
    #[error("tensor {0} is missing")]
    NoTensor(String),
    /// A tensor is nobody's.
    #[error("tensor {0} belongs to no parameter that is trained")]
    Unexpected(String),
    /// A tensor has another shape.
    #[error("tensor {name} has shape {found:?}, not {wanted:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the checkpoint.
        found: Vec<usize>,
        /// The shape that is needed.
        wanted: Vec<usize>,
    },
    /// A counter is missing.
    #[error("counter {0} is missing")]
    NoCounter(String),
    /// The phase has become shorter than what is done of it.
    #[error("it is at iteration {done}, but the phase has only {total}")]
    Beyond {
        /// Iterations done.
        done: u64,
        /// Iterations that the phase has.
        total: u64,
    },
}

/// Why a sheet of samples cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SheetDefect {
    /// It would show nothing.
    #[error("a sheet of samples needs pictures and columns")]
    Empty,
    /// It would have more pixels than a picture can.
    #[error("a sheet of samples is too large for one picture")]
    TooLarge,
    /// A row's values are not whole pictures.
    #[error("the samples of {label} are {values} values, which are not whole pictures of 3×{height}×{width}")]
    PartialPictures {
        /// The row.
        label: String,
        /// How many values it has.
        values: usize,
        /// Height of a picture.
        height: u32,
        /// Width of a picture.
        width: u32,
    },
}

impl TrainError {
    /// The process exit code of this error: 1 for the input, 3 for the environment, 130 for an interrupted run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { .. } => 130,
            Self::Write { .. } | Self::Locked { .. } | Self::Environment { .. } => 3,
            Self::Read { source, .. } if source.kind() != std::io::ErrorKind::NotFound => 3,
            Self::Component { source, .. } => component_code(source.as_ref()),
            Self::Runtime(error) => error.exit_code(),
            Self::TeacherImport(error) => error.exit_code(),
            _ => 1,
        }
    }

    /// The sentence and the causes that it does not name itself, on one line.
    pub fn chain(&self) -> String {
        let hidden = match self {
            Self::Component { source, .. } => source.source(),
            Self::Runtime(error) => std::error::Error::source(error),
            _ => None,
        };
        let causes = std::iter::successors(hidden, |error| error.source()).map(ToString::to_string);
        let text = std::iter::once(self.to_string()).chain(causes).collect::<Vec<_>>().join(": ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A [`TrainError::Component`] from the error of another crate.
    pub fn component(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Component { what: what.into(), source: source.into() }
    }

    /// A [`TrainError::Recipe`] about one key.
    pub(crate) fn recipe(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Recipe { key: key.into(), problem: problem.into() }
    }

    /// A [`TrainError::Parameter`].
    pub(crate) fn parameter(network: &str, name: &str, problem: impl Into<String>) -> Self {
        Self::Parameter { network: network.to_string(), name: name.to_string(), problem: problem.into() }
    }

    /// A [`TrainError::Encoding`] of what cannot be JSON.
    pub(crate) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Encoding { what, format: "JSON", reason: error.to_string() }
    }

    /// For `map_err` on reading `path`.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    /// For `map_err` on writing `path`.
    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }

    /// A [`TrainError::Damaged`] about one file.
    pub(crate) fn damaged(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), reason: reason.into() }
    }
}

/// The exit code that the crate of the error would give it.
fn component_code(source: &(dyn std::error::Error + Send + Sync + 'static)) -> u8 {
    let import = source.downcast_ref::<dmdx_importer::ImportError>().map(dmdx_importer::ImportError::exit_code);
    let export = || source.downcast_ref::<dmdx_export::ExportError>().map(dmdx_export::ExportError::exit_code);
    let runtime = || source.downcast_ref::<dmdx_runtime::Error>().map(dmdx_runtime::Error::exit_code);
    import.or_else(export).or_else(runtime).unwrap_or(1)
}
