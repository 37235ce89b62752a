//! Why a recorded iteration cannot be repeated.

/// What is wrong with a trace, as the rest of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceDefect {
    /// Something that its method needs is not in it.
    #[error("lacks {0}")]
    Lacks(String),
    /// Its method is none of the list.
    #[error("is of the method {name}, which is not available yet; {} are", known.join(" and "))]
    Method {
        /// The method.
        name: String,
        /// Those that can be repeated.
        known: Vec<&'static str>,
    },
    /// Its student is neither in the teacher's parameterisation nor on the line.
    #[error("has a student of an unknown kind; teacher and line_velocity are known")]
    Student,
    /// Its student has fewer steps than the one that it trains.
    #[error("has no step {0}")]
    Step(usize),
    /// Its teacher is of another class.
    #[error("has a teacher of the class {class}; {known} can be replayed")]
    Teacher {
        /// The class.
        class: String,
        /// Those that can be.
        known: String,
    },
    /// A network of the folder lacks a part.
    #[error("needs {part}, which a {class} has not")]
    Part {
        /// The part.
        part: String,
        /// The network's class.
        class: String,
    },
}
