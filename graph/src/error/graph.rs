//! What can be wrong with a graph, with its text, and with a rule that changes it.

use super::{DimError, InferError, InputError, RunError, WeightError};

/// What can be wrong with a graph; every message names the place and the rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An operation got inputs whose types it cannot take.
    #[error("{origin}: {op} cannot take its inputs: {reason}")]
    Infer {
        /// The operation's name.
        op: &'static str,
        /// The module path of the node.
        origin: String,
        /// What does not fit.
        reason: InferError,
    },
    /// A dimension expression cannot be divided, evaluated or parsed.
    #[error(transparent)]
    Dim(#[from] DimError),
    /// A concrete input does not fit the declared shape.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The graph input's name.
        name: String,
        /// What does not fit.
        reason: InputError,
    },
    /// A name is used twice or not known.
    #[error("{kind} `{name}` {reason}")]
    Name {
        /// `parameter`, `input`, `output` or `mark`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A parameter's data cannot be evaluated.
    #[error("weight `{name}`: {reason}")]
    Weight {
        /// The parameter's name.
        name: String,
        /// Why.
        reason: WeightError,
    },
    /// An operation met values that it cannot take, such as an id outside its table.
    #[error("{origin}: {op} cannot be computed: {reason}")]
    Run {
        /// The operation's name.
        op: &'static str,
        /// The module path of the node.
        origin: String,
        /// What is wrong with the values.
        reason: RunError,
    },
    /// The graph breaks invariants; all of them are listed.
    #[error("graph `{graph}` breaks {} invariant(s): {}", .defects.len(), .defects.join("; "))]
    Invalid {
        /// The graph's name.
        graph: String,
        /// One sentence per defect.
        defects: Vec<String>,
    },
    /// Graph text that does not parse.
    #[error("line {line} of the graph text: {reason}")]
    Parse {
        /// 1-based line number.
        line: usize,
        /// What was expected.
        reason: ParseError,
    },
    /// A rewrite rule produced something that does not fit its place: a defect of the rule.
    #[error("rule `{rule}` at {origin}: {reason}")]
    Rewrite {
        /// The rule's name.
        rule: &'static str,
        /// The anchor's module path.
        origin: String,
        /// What is wrong.
        reason: RewriteError,
    },
}

/// How a rewrite rule is defective.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum RewriteError {
    #[error("the rules fired more than {limit} times and do not come to an end")]
    Endless { limit: usize },
    #[error("it uses a value that does not exist")]
    NoValue,
    #[error("it uses a value before adding it")]
    NotAdded,
    #[error("the replacement reads what it replaces")]
    ReadsItself,
    #[error(transparent)]
    Graph(Box<GraphError>),
}

/// Why text is no graph; excerpts of it are shortened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ParseError {
    // Words.
    #[error("expected `graph {version} NAME`, the text is empty")]
    Empty { version: &'static str },
    #[error("text version `{given}` is not supported, this reader knows {known}")]
    Version { given: String, known: &'static str },
    #[error("`{line}` starts with none of %, symbol, input, param, mark, output")]
    Line { line: String },
    #[error("expected {wanted} before {found}")]
    Expected { wanted: String, found: String },
    #[error("expected {wanted} instead of `{found}`")]
    Instead { wanted: &'static str, found: String },
    #[error("{what} `{word}` is too large")]
    NumberTooLarge { what: &'static str, word: String },
    #[error("{what} is not valid JSON: {reason}")]
    Json { what: &'static str, reason: String },
    #[error("the origin is not a JSON string: {reason}")]
    Origin { reason: String },
    #[error("`{word}` is not an element type")]
    ElementType { word: String },
    #[error("a shape is not closed by `]`")]
    OpenShape,
    #[error("`{digest}` is not a hash of 8 hexadecimal digits")]
    Digest { digest: String },
    // Names and values.
    #[error("{kind} `{name}` is declared twice")]
    Twice { kind: &'static str, name: String },
    #[error("value %{number} is defined twice")]
    ValueTwice { number: usize },
    #[error("value %{number} is not defined above")]
    NoValue { number: usize },
    #[error("parameter `{name}` is not declared above")]
    NoParameter { name: String },
    #[error("symbol `{symbol}` is not declared")]
    NoSymbol { symbol: String },
    #[error("parameter type {ty} is not f32 or i64 of known sizes")]
    ParameterType { ty: String },
    // Operations.
    #[error("`{op}` is not an operation without attributes")]
    NotPlain { op: String },
    #[error("`{op}` cannot have these attributes: {reason}")]
    Attributes { op: String, reason: String },
    #[error("`{op}` has no attribute `{attribute}`")]
    NoAttribute { op: String, attribute: String },
    #[error("{op} cannot take its inputs: {reason}")]
    Infer { op: &'static str, reason: InferError },
    #[error("the type is written as {written}, the inputs give {inferred}")]
    Type { written: String, inferred: String },
    // Limits.
    #[error("the graph has more than {limit} {what}")]
    TooMany { limit: usize, what: &'static str },
    #[error("the shape has {rank} dimensions, {most} are allowed")]
    Rank { rank: usize, most: usize },
    #[error("the shape's dimensions have too many terms")]
    Terms,
    #[error("the shape has more than {most} elements")]
    Elements { most: u64 },
    #[error("a dimension has a coefficient above {size} or more than {factors} factors")]
    Dimension { size: i64, factors: usize },
    #[error("dimension `{dim}` is below zero")]
    BelowZero { dim: String },
    #[error("attribute {number} is too large")]
    AttributeTooLarge { number: String },
    #[error(transparent)]
    Dim(#[from] DimError),
    #[error(transparent)]
    Graph(Box<GraphError>),
}

/// Shorthand used throughout the crate.
pub type Result<T> = std::result::Result<T, GraphError>;
