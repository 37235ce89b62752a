//! What a scorer cannot judge.

/// Pictures or prompts that a scorer has no number for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A prompt that the scorer does not know.
    #[error("the prompt {prompt:?} cannot be scored; prompts are like {example:?}")]
    UnknownPrompt {
        /// The prompt.
        prompt: String,
        /// One that it knows.
        example: String,
    },
    /// Prompts and pictures that are not as many.
    #[error("{prompts} prompts do not go with pictures of shape {pictures:?}")]
    Counts {
        /// How many prompts.
        prompts: usize,
        /// The pictures' shape.
        pictures: Vec<usize>,
    },
    /// Pictures for a scorer of videos, or the other way round.
    #[error("the scorer judges results of shape {wanted}, not {found:?}")]
    Results {
        /// The shape of one.
        found: Vec<usize>,
        /// What the scorer judges.
        wanted: String,
    },
    /// Nothing to score.
    #[error("there are no pictures to score")]
    NoPictures,
    /// Too few pictures for statistics.
    #[error("{0} picture has no covariance; score at least two")]
    FewPictures(usize),
    /// A kind of scorer that this build does not have.
    #[error("the scorer is of the kind {kind}; the known ones are {known}")]
    UnknownKind {
        /// As its configuration says.
        kind: String,
        /// All kinds, comma separated.
        known: String,
    },
    /// A reference whose features another scorer took.
    #[error("{path} holds features of another scorer; give --scorer that one's folder, or --reference another file")]
    OtherScorer {
        /// The reference's file.
        path: String,
    },
    /// A scorer of any prompt that was asked for its own.
    #[error("this scorer judges any prompt; name some with --prompt")]
    NoPrompts,
}
