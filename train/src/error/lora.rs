//! Why a network cannot be trained by low-rank factors as a recipe wants it.

/// What is wrong with `[lora]` for a network, as the rest of a sentence about the recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoraDefect {
    /// A target that ends the name of no module.
    #[error("lora.targets has {target:?}, which ends the path of no layer of {network}; its layers end in {}", known.join(", "))]
    NoLayer {
        /// The target.
        target: String,
        /// The network.
        network: String,
        /// The last parts of its layers' paths.
        known: Vec<String>,
    },
    /// No targets, and none of the usual layers.
    #[error("lora.targets is empty, but {network} has no attention or feed-forward under the usual names; its layers end in {}", known.join(", "))]
    Nothing {
        /// The network.
        network: String,
        /// The last parts of its layers' paths.
        known: Vec<String>,
    },
    /// A target that names something else than a layer.
    #[error(
        "lora.targets has {target:?}, which is {module} of {network}, but only linear layers and convolutions of one group have low-rank \
         factors; name those in it"
    )]
    NotALayer {
        /// The target.
        target: String,
        /// The module's path.
        module: String,
        /// The network.
        network: String,
    },
    /// A rank at which the factors would hold more than the weight.
    #[error(
        "lora.rank is {rank}, but the weight of {module} is {rows} by {columns} and has no higher rank than {}; lower it, or take that \
         layer out of lora.targets", .rows.min(.columns)
    )]
    Rank {
        /// The rank.
        rank: usize,
        /// The layer's path.
        module: String,
        /// Outputs.
        rows: usize,
        /// Inputs, of a convolution times the size of its kernel.
        columns: usize,
    },
}
