//! What the files of an imported pipeline say.

use dmdx_graph::Dim;
use dmdx_importer::Pipeline;
use dmdx_runtime::family::{Place, Settings};
use dmdx_runtime::{Error, FamilyError};
use serde_json::Value;

/// An imported pipeline, as its family reads it.
#[derive(Clone, Copy, Debug)]
pub struct Imported<'p>(pub &'p Pipeline);

impl<'p> Imported<'p> {
    /// A network's graph.
    ///
    /// # Errors
    /// [`FamilyError::NoNetwork`].
    pub fn graph(&self, (folder, part): Place) -> Result<&'p dmdx_graph::Graph, Error> {
        let found = self.0.components.get(folder).and_then(|component| component.parts.get(part));
        found.ok_or_else(|| {
            let known = self.0.components.keys().cloned().collect::<Vec<_>>().join(", ");
            FamilyError::NoNetwork { folder: folder.into(), part: part.into(), known }.into()
        })
    }
}

impl Settings for Imported<'_> {
    fn index(&self) -> &Value {
        &self.0.model_index
    }

    fn config(&self, folder: &str) -> &Value {
        self.0.components.get(folder).map_or(&Value::Null, |component| &component.config)
    }

    fn input_sizes(&self, network: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        let graph = self.graph(network)?;
        let found = graph.inputs().iter().find(|(name, _)| &**name == input);
        let sizes = found.map(|(_, id)| graph.value(*id).ty.shape.0.iter().map(Dim::known).collect());
        sizes.ok_or_else(|| FamilyError::no_input(network, input).into())
    }
}
