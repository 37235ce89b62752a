//! The one error type of this crate.

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
        reason: String,
    },
    /// A dimension expression cannot be divided, evaluated or parsed.
    #[error("dimension `{dim}`: {reason}")]
    Dim {
        /// The expression as text.
        dim: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A concrete input does not fit the declared shape.
    #[error("input `{name}`: {reason}")]
    Input {
        /// The graph input's name.
        name: String,
        /// What does not fit.
        reason: String,
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
        reason: String,
    },
    /// An operation met values that it cannot take, such as an id outside its table.
    #[error("{origin}: {op} cannot be computed: {reason}")]
    Run {
        /// The operation's name.
        op: &'static str,
        /// The module path of the node.
        origin: String,
        /// What is wrong with the values.
        reason: String,
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
        reason: String,
    },
    /// A rewrite rule produced something that does not fit its place: a defect of the rule.
    #[error("rule `{rule}` at {origin}: {reason}")]
    Rewrite {
        /// The rule's name.
        rule: &'static str,
        /// The anchor's module path.
        origin: String,
        /// What is wrong.
        reason: String,
    },
}

/// Shorthand used throughout the crate.
pub type Result<T> = std::result::Result<T, GraphError>;
