//! Prompts to conditions: tokenizers and text encoders of the pipeline.

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::Pipeline;
use dmdx_runtime::Tokenizer;
use dmdx_runtime::tokenizer::Padding;
use serde_json::Value as Json;

use super::{component, graph};
use crate::data::conditions::{InputRows, UnconditionalRow};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};
use crate::recipe::Unconditional;
use crate::sample::tokenizer;

/// What the network is given where it is asked for nothing.
pub(super) fn unconditional(pipeline: &Pipeline, recipe: Unconditional) -> UnconditionalRow {
    let zeros = match recipe {
        Unconditional::Auto => pipeline.model_index["force_zeros_for_empty_prompt"] == Json::Bool(true),
        Unconditional::Zeros => true,
        Unconditional::EmptyPrompt => false,
    };
    if zeros { UnconditionalRow::Zeros } else { UnconditionalRow::EmptyPrompt }
}

/// Whether a UNet is of the SDXL kind.
fn is_xl(unet: &Graph) -> bool {
    unet.inputs().iter().any(|(name, _)| &**name == "text_embeds")
}

/// What a UNet is given with every prompt and with none: of the SDXL kind the sizes `(height, width, 0, 0, height, width)`.
pub(super) fn fixed_inputs(unet: &Graph, [height, width]: [usize; 2]) -> Vec<InputRows> {
    let values: Vec<f32> = [height, width, 0, 0, height, width].map(|size| size as f32).into();
    let sizes = InputRows { name: "time_ids".into(), shape: vec![values.len()], values };
    if is_xl(unet) { vec![sizes] } else { Vec::new() }
}

/// A tokenizer, its folder, and the text encoder that takes its tokens.
type Part<'p> = (&'static str, Tokenizer, &'p Graph);

/// The tokenizers and text encoders that a UNet's prompts go through: both of one of the SDXL kind, else the only one.
///
/// # Errors
/// When the pipeline lacks one.
pub(super) fn parts<'p>(pipeline: &'p Pipeline, unet: &Graph) -> Result<Vec<Part<'p>>, TrainError> {
    let folders = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")];
    let part = |(encoder, folder): &(&str, &'static str)| {
        Ok((*folder, tokenizer(pipeline, folder)?, graph(component(pipeline, encoder)?, "text_encoder")?))
    };
    folders[..if is_xl(unet) { 2 } else { 1 }].iter().map(part).collect()
}

/// The text encoders of a pipeline on a device.
pub(super) struct PromptEncoder {
    encoders: Vec<(&'static str, Tokenizer, GraphModule)>,
    is_xl: bool,
    device: Device,
}

impl PromptEncoder {
    /// Those of [`parts`].
    pub(super) fn open(pipeline: &Pipeline, unet: &Graph, device: &Device) -> Result<Self, TrainError> {
        let encoders = parts(pipeline, unet)?.into_iter();
        let encoders =
            encoders.map(|(folder, tokenizer, graph)| Ok((folder, tokenizer, GraphModule::new(graph, device, false)?)));
        Ok(Self { encoders: encoders.collect::<Result<_, TrainError>>()?, is_xl: is_xl(unet), device: device.clone() })
    }

    /// The texts' embeddings, in one batch, by the UNet's input names. A UNet of the SDXL kind gets both encoders' penultimate
    /// states side by side, and the second's projection; any other the last state of the only encoder.
    pub(super) fn encode(&self, texts: &[String]) -> Result<Vec<InputRows>, TrainError> {
        let mut states = Vec::new();
        let mut pooled = None;
        for (folder, tokenizer, module) in &self.encoders {
            let mut wanted = vec![if self.is_xl { "penultimate_hidden_state" } else { "last_hidden_state" }];
            wanted.extend(module.plan().has("text_embeds").then_some("text_embeds"));
            let mut ids = Vec::new();
            for text in texts {
                let encoded = tokenizer.encode(text, tokenizer.max_length(), Padding::MaxLength);
                ids.extend(encoded.map_err(|error| TrainError::component(format!("reading a prompt by {folder}"), error))?.ids);
            }
            let ids = Value::int(ids, &[texts.len(), tokenizer.max_length()], &self.device)?;
            for (name, value) in module.forward(&[("input_ids", ids)], &wanted)? {
                if name == "text_embeds" { pooled = Some(value) } else { states.push(value) }
            }
        }
        let mut inputs = vec![rows("encoder_hidden_states", &Value::join(&states, 2)?)?];
        if self.is_xl {
            let pooled =
                pooled.ok_or_else(|| TrainError::Invalid("the teacher's second text encoder has no projection".into()))?;
            inputs.push(rows("text_embeds", &pooled)?);
        }
        Ok(inputs)
    }
}

/// A batch on the host.
fn rows(name: &str, value: &Value) -> Result<InputRows, TrainError> {
    Ok(InputRows { name: name.to_string(), shape: value.shape().split_off(1), values: value.to_f32()? })
}
