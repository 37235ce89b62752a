//! The unconditional row: a file of its own, which also says which inputs there are.

use std::path::{Path, PathBuf};

use dmdx_runtime::manifest::Unconditional;
use safetensors::Dtype;

use super::input_rows::InputRows;
use super::plan::{ConditionPlan, NAME};
use crate::data::rows::{Cells, check_provenance, floats};
use crate::error::TrainError;
use crate::store::atomic::write_atomically;
use crate::store::tensor_file::{self, TensorFile, Tensors};

/// Where it is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("unconditional.safetensors")
}

/// Reads it: one row of every input, sorted by name. None where there is no such file.
///
/// # Errors
/// [`TrainError::StoreMismatch`] where it is of other conditions; [`TrainError::Damaged`], [`TrainError::Read`].
pub(super) fn read(folder: &Path, plan: &ConditionPlan) -> Result<Option<Vec<InputRows>>, TrainError> {
    let path = path(folder);
    if !path.exists() {
        return Ok(None);
    }
    let file = TensorFile::open(&path)?;
    check_provenance(NAME, NAME, &path, &plan.provenance(), &file.metadata)?;
    let input = |(name, (dtype, shape, _)): (&String, &(Dtype, Vec<usize>, std::ops::Range<usize>))| {
        let mut values = vec![0.0; shape.iter().product()];
        let bytes = file.bytes(name)?.unwrap_or_default();
        floats(*dtype, &bytes, &mut values);
        Ok(InputRows { name: name.clone(), shape: shape.clone(), values })
    };
    file.tensors.iter().map(input).collect::<Result<Vec<_>, _>>().map(Some)
}

/// Makes it of the embedding of the empty prompt, which says which inputs there are even where they are zeros.
///
/// # Errors
/// [`TrainError::NotFinite`], [`TrainError::Write`].
pub(super) fn make(folder: &Path, plan: &ConditionPlan, mut empty: Vec<InputRows>) -> Result<(), TrainError> {
    if plan.unconditional == Unconditional::Zeros {
        empty.iter_mut().for_each(|input| input.values.fill(0.0));
    }
    let cells = |input: &mut InputRows| {
        let values = std::mem::take(&mut input.values);
        Cells::finite(values, plan.dtype)
            .ok_or_else(|| TrainError::NotFinite { what: format!("{} of the empty prompt", input.name), key: "prompts.dtype" })
    };
    let cells = empty.iter_mut().map(cells).collect::<Result<Vec<_>, _>>()?;
    let tensors = empty.iter().zip(&cells);
    let tensors: Tensors<'_> =
        tensors.map(|(input, cells)| (input.name.as_str(), (input.shape.as_slice(), cells.values()))).collect();
    write_atomically(&path(folder), |writer| tensor_file::write(writer, &plan.provenance(), &tensors))
}
