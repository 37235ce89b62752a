//! What can be wrong with a file of noise.

use std::path::PathBuf;

/// A file of noise that cannot be read or written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseFileError {
    /// A name of no known kind.
    #[error("{} is no file of noise; end the name in .safetensors or .npy", .path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// A file that is not what its name says.
    #[error("the noise {} cannot be read: {problem}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of which it is not clear which tensor is meant.
    #[error("the noise {} holds the tensors {names}; keep one, or name the one that is meant \"noise\"", .path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// All names, comma separated.
        names: String,
    },
    /// Noise for other pictures.
    #[error("the noise {} has the shape {found:?}, but these pictures need {wanted:?}", .path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its shape.
        found: Vec<usize>,
        /// Pictures, then the sizes of one latent.
        wanted: Vec<usize>,
    },
    /// Noise with values that are not finite.
    #[error("the noise {} holds NaN or infinity", .path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
    },
}
