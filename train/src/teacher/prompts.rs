//! Prompts to conditions, by the pipeline's own text encoders.

use dmdx_runtime::Tensor;
use dmdx_runtime::family::{Family, Networks, Settings, Unread};
use dmdx_runtime::manifest;

use crate::data::conditions::InputRows;
use crate::error::TrainError;
use crate::recipe::Unconditional;

/// What the network is given where it is asked for nothing: as the recipe says, or the family.
pub(super) fn unconditional(family: &dyn Family, settings: &dyn Settings, asked: Unconditional) -> manifest::Unconditional {
    match asked {
        Unconditional::Auto => family.unconditional(settings),
        Unconditional::Zeros => manifest::Unconditional::Zeros,
        Unconditional::EmptyPrompt => manifest::Unconditional::EmptyPrompt,
    }
}

/// The texts' embeddings, in one batch.
pub(super) fn encode(family: &dyn Family, networks: &dyn Networks, texts: &[String]) -> Result<Vec<InputRows>, TrainError> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    family.encode(networks, &texts, texts.len())?.inputs().map(|(name, tensor)| rows(name, tensor)).collect()
}

/// Counts what of the texts does not reach the network; the empty one loses nothing.
pub(super) fn look(
    unread: &mut Option<Unread>,
    family: &dyn Family,
    networks: &dyn Networks,
    texts: &[String],
) -> Result<(), TrainError> {
    let open = match unread {
        Some(open) => open,
        None => unread.insert(Unread::open(family, networks)?),
    };
    Ok(texts.iter().filter(|text| !text.is_empty()).try_for_each(|text| open.look(text))?)
}

/// A tensor as rows.
pub(super) fn rows(name: &str, tensor: &Tensor) -> Result<InputRows, TrainError> {
    let shape = tensor.shape().get(1..).unwrap_or_default().to_vec();
    Ok(InputRows { name: name.to_string(), shape, values: tensor.floats()?.to_vec() })
}
