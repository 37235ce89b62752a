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
    #[error("its setting `{key}` = {value} is not supported; LoRA, LoHa, LoKr and DoRA are merged, without it")]
    Setting {
        /// The setting.
        key: String,
        /// Its value as JSON, shortened.
        value: String,
    },
    /// Changes of another kind.
    #[error(
        "{tensors} of its tensors are of the kind {kind}, which is not supported; let a program that knows it merge them \
         into the weights, and import those"
    )]
    Kind {
        /// What the kind is called.
        kind: &'static str,
        /// How many tensors show it.
        tensors: usize,
    },
    /// A folder without a LoRA file.
    #[error("the folder holds neither {}; give the file itself", .files.join(" nor "))]
    Folder {
        /// The names that were looked for.
        files: &'static [&'static str],
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
    /// A module that lacks tensors.
    #[error("{module} lacks a tensor that its change needs")]
    Incomplete {
        /// The module as the file names it.
        module: String,
    },
    /// A module with tensors of several kinds.
    #[error("{module} is changed twice, by {} and by {}", .kinds[0], .kinds[1])]
    TwoKinds {
        /// The module.
        module: String,
        /// Both kinds.
        kinds: [&'static str; 2],
    },
    /// Settings that promise DoRA for a module that has none.
    #[error("{module} has no magnitudes although the setting `use_dora` says so")]
    NoMagnitude {
        /// The module.
        module: String,
    },
    /// Tensors of integers.
    #[error("{module} has tensors of types {}", .types.join(" and "))]
    Types {
        /// The module.
        module: String,
        /// The types of its tensors.
        types: Vec<&'static str>,
    },
    /// Tensors that do not fit together.
    #[error("{module} has matrices of shapes {}, which do not form a product", shapes_of(.shapes))]
    Shapes {
        /// The module.
        module: String,
        /// Their shapes.
        shapes: Vec<Vec<usize>>,
    },
    /// A change of a weight with another kernel.
    #[error("{param}: a change with {sizes:?} behind the first dimension does not fit a weight of {needed:?}")]
    Sizes {
        /// The parameter.
        param: String,
        /// The change's sizes.
        sizes: Vec<usize>,
        /// The weight's shape.
        needed: Vec<usize>,
    },
    /// A parameter, such as a bias, that the network does not have.
    #[error("the network has no {param}")]
    NoParam {
        /// The parameter.
        param: String,
    },
    /// A module that no network here has.
    #[error("{module} has no weight to change")]
    UnknownModule {
        /// The module as the file names it.
        module: String,
    },
    /// A module that could belong to several networks.
    #[error("{module} is in all of {}; put the network's name before it", .networks.join(", "))]
    Ambiguous {
        /// The module as the file names it.
        module: String,
        /// The networks that have it.
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

fn shapes_of(shapes: &[Vec<usize>]) -> String {
    shapes.iter().map(|shape| format!("{shape:?}")).collect::<Vec<_>>().join(" and ")
}

fn listed(defects: &[LoraDefect]) -> String {
    shortened(&defects.iter().map(ToString::to_string).collect::<Vec<_>>())
}
