//! The operation at hand.

use dmdx_graph::{Type, ValueId};

/// One operation while it is lowered.
#[derive(Clone, Copy)]
pub(crate) struct Site<'g> {
    /// Its inputs.
    pub(crate) inputs: &'g [ValueId],
    /// Their types.
    pub(crate) types: &'g [&'g Type],
    /// The type of its result.
    pub(crate) ty: &'g Type,
}
