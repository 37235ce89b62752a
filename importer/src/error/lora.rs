//! What is wrong with a LoRA file.

use dmdx_graph::GraphError;
use dmdx_graph::error::WeightError;

use super::JsonFault;
use crate::defects::shortened;

/// Why a LoRA file cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraFault {
    /// A scale of the user's that is no number.
    #[error("its scale {scale} is not finite; give a finite one")]
    Scale {
        /// The scale.
        scale: f64,
    },
    /// Settings that are no JSON object.
    #[error("its settings are broken: {0}")]
    Settings(JsonFault),
    /// Settings above the limit for configurations.
    #[error("its settings are larger than a configuration may be")]
    SettingsSize,
    /// A setting that changes the arithmetic.
    #[error("its setting `{key}` = {value} is not supported; only plain LoRA is merged")]
    Setting {
        /// The setting.
        key: String,
        /// Its value as JSON, shortened.
        value: String,
    },
    /// Keys that do not fit; all of them are listed.
    #[error("{} key(s) do not fit: {}", .0.len(), listed(.0))]
    Keys(Vec<LoraDefect>),
    /// Nothing in the file is for a network that is here.
    #[error("it changes nothing here")]
    NoChange,
}

/// One key, module or weight that does not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraDefect {
    /// A key that no program is known to write.
    #[error("{key} is of no kind that is known")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A factor that is no number.
    #[error("{key} is not one finite number")]
    Alpha {
        /// The key.
        key: String,
    },
    /// A module with one matrix.
    #[error("{module} lacks one of its two matrices")]
    OneMatrix {
        /// The module as the file names it.
        module: String,
    },
    /// Matrices of integers.
    #[error("{module} has matrices of types {up} and {down}")]
    Types {
        /// The module.
        module: String,
        /// Type of the matrix that comes second.
        up: &'static str,
        /// Type of the matrix that comes first.
        down: &'static str,
    },
    /// Matrices that cannot be multiplied.
    #[error("{module} has matrices of shapes {up:?} and {down:?}, which do not form a product")]
    Shapes {
        /// The module.
        module: String,
        /// Shape of the matrix that comes second.
        up: Vec<usize>,
        /// Shape of the matrix that comes first.
        down: Vec<usize>,
    },
    /// A module that no network here has.
    #[error("{module} has no weight to change")]
    UnknownModule {
        /// The module, without PEFT's prefix.
        module: String,
    },
    /// A module that could belong to several networks.
    #[error("{module} is in several of {}", .networks.join(", "))]
    Ambiguous {
        /// The module, without PEFT's prefix.
        module: String,
        /// The networks that are here, sorted.
        networks: Vec<String>,
    },
    /// A fused module that does not divide into its parts.
    #[error("{module} has {rows} rows, which do not divide into {parts} parts")]
    Rows {
        /// The module.
        module: String,
        /// Rows of its second matrix.
        rows: usize,
        /// Parts of the fused weight.
        parts: usize,
    },
    /// A change of a weight that the network keeps in another arrangement.
    #[error("{module} changes a weight of another layout")]
    Layout {
        /// The module.
        module: String,
    },
    /// `scale * alpha / rank` is no number.
    #[error("{module} has a factor (scale and alpha over rank) that is not finite")]
    Factor {
        /// The module.
        module: String,
    },
    /// A matrix of which no part can be taken.
    #[error("{module} {reason}")]
    Matrix {
        /// The module.
        module: String,
        /// The graph's reason.
        reason: WeightError,
    },
    /// A parameter without a weight.
    #[error("{param} has no weight")]
    NoWeight {
        /// The parameter.
        param: String,
    },
    /// A product of another shape than the weight.
    #[error("{param}: {reason}")]
    Product {
        /// The parameter.
        param: String,
        /// The graph's reason.
        reason: WeightError,
    },
    /// A changed weight that the graph does not take.
    #[error("{0}")]
    Graph(GraphError),
}

fn listed(defects: &[LoraDefect]) -> String {
    shortened(&defects.iter().map(ToString::to_string).collect::<Vec<_>>())
}
