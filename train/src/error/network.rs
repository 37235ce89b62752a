//! What can be wrong with how a network is loaded or asked.

/// Why a network and what it is given or asked for do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum NetworkError {
    #[error("parameter {parameter} of {network} has no weight; the checkpoint is incomplete")]
    NoWeight { network: String, parameter: String },
    #[error("parameter {parameter} of {network} has not one to five dimensions")]
    Rank { network: String, parameter: String },
    #[error("parameter {parameter} {shape:?} is not in {network}")]
    NoParameter { network: String, parameter: String, shape: Vec<usize> },
    #[error("{network} has no input {input}; it has {known}")]
    NoInput { network: String, input: String, known: String },
    #[error("{network} needs its input {input}")]
    InputNotGiven { network: String, input: String },
    #[error("{network} has no output {output}")]
    NoOutput { network: String, output: String },
    #[error("{network} has neither an output nor a module called {name}")]
    NoName { network: String, name: String },
    #[error("{network} needs a value that was freed")]
    Freed { network: String },
}
