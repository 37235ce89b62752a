//! Prompts to conditions, once per run: tokenizers and text encoders of the pipeline.

use burn::tensor::Device;
use dmdx_graph::Graph;
use dmdx_importer::Pipeline;
use dmdx_runtime::tokenizer::Padding;
use serde_json::Value as Json;

use super::{component, graph};
use crate::diffusion::{Condition, Conditions};
use crate::error::TrainError;
use crate::module::{GraphModule, Value};
use crate::recipe::Unconditional;
use crate::sample::tokenizer;

/// Prompts encoded together.
const CHUNK: usize = 20;

/// Encodes all prompts, and beside each the unconditional text; says in words what that is.
///
/// A UNet of the SDXL kind gets both encoders' penultimate states side by side, the second's projection, and the sizes
/// `(height, width, 0, 0, height, width)`; any other the last state of the only encoder.
pub(super) fn encode(
    pipeline: &Pipeline,
    unet: &Graph,
    texts: &[String],
    unconditional: Unconditional,
    [height, width]: [usize; 2],
    device: &Device,
) -> Result<(Conditions, &'static str), TrainError> {
    let both = unet.inputs().iter().any(|(name, _)| &**name == "text_embeds");
    let conditional = embed(pipeline, both, texts, device)?;
    let zeros = match unconditional {
        Unconditional::Auto => pipeline.model_index["force_zeros_for_empty_prompt"] == Json::Bool(true),
        Unconditional::Zeros => true,
        Unconditional::EmptyPrompt => false,
    };
    let (without, words) = if zeros {
        (conditional.iter().map(|(name, value)| (name.clone(), value.zeros_like())).collect(), "zeros for every embedding")
    } else {
        let empty = Condition::new(embed(pipeline, both, &[String::new()], device)?).pick(&vec![0; texts.len()])?;
        (empty.inputs().map(|(name, value)| (name.to_string(), value.clone())).collect(), "the embedding of the empty prompt")
    };
    let sizes = [height, width, 0, 0, height, width].map(|size| size as f32);
    let with_sizes = |mut inputs: Vec<(String, Value)>| -> Result<Condition, TrainError> {
        if both {
            let rows = sizes.repeat(texts.len());
            inputs.push(("time_ids".into(), Value::float(rows, &[texts.len(), sizes.len()], device)?));
        }
        Ok(Condition::new(inputs))
    };
    Ok((Conditions { conditional: with_sizes(conditional)?, unconditional: with_sizes(without)? }, words))
}

/// The texts' embeddings by the UNet's input names.
fn embed(pipeline: &Pipeline, both: bool, texts: &[String], device: &Device) -> Result<Vec<(String, Value)>, TrainError> {
    let mut states = Vec::new();
    let mut pooled = None;
    let encoders: &[&str] = if both { &["text_encoder", "text_encoder_2"] } else { &["text_encoder"] };
    for (encoder, folder) in encoders.iter().zip(["tokenizer", "tokenizer_2"]) {
        let tokenizer = tokenizer(pipeline, folder)?;
        let module = GraphModule::new(graph(component(pipeline, encoder)?, "text_encoder")?, device, false)?;
        let mut wanted = vec![if both { "penultimate_hidden_state" } else { "last_hidden_state" }];
        wanted.extend(module.plan().has("text_embeds").then_some("text_embeds"));
        let mut parts: Vec<Vec<Value>> = vec![Vec::new(); wanted.len()];
        for texts in texts.chunks(CHUNK) {
            let mut ids = Vec::new();
            for text in texts {
                let encoded = tokenizer.encode(text, tokenizer.max_length(), Padding::MaxLength);
                ids.extend(encoded.map_err(|error| TrainError::component(format!("reading a prompt by {folder}"), error))?.ids);
            }
            let ids = Value::int(ids, &[texts.len(), tokenizer.max_length()], device)?;
            let outputs = module.forward(&[("input_ids", ids)], &wanted)?;
            parts.iter_mut().zip(outputs.into_values()).for_each(|(part, value)| part.push(value));
        }
        for (name, part) in wanted.iter().zip(parts) {
            let whole = Value::join(&part, 0)?;
            if *name == "text_embeds" { pooled = Some(whole) } else { states.push(whole) }
        }
    }
    let mut inputs = vec![("encoder_hidden_states".to_string(), Value::join(&states, 2)?)];
    if both {
        let pooled = pooled.ok_or_else(|| TrainError::Invalid("the teacher's second text encoder has no projection".into()))?;
        inputs.push(("text_embeds".into(), pooled));
    }
    Ok(inputs)
}
