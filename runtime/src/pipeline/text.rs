//! Prompts to embeddings, for the one-encoder pipelines of Stable Diffusion 1 and 2 and the two of SDXL.

use crate::engine::take;
use crate::tensor::ops::pick;
use crate::tokenizer::{Class, Padding, Tokenizer};
use crate::{Bundle, Engine, Error, Session, Tensor};

/// Prompts encoded at once.
const BATCH: usize = 32;

/// The text encoders of a bundle.
pub struct TextEncoder {
    encoders: Vec<Encoder>,
    is_xl: bool,
}

struct Encoder {
    tokenizer: Tokenizer,
    session: Box<dyn Session>,
}

/// What the network is told about the prompts: embeddings of the distinct prompts and which row belongs to which picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// `[rows, tokens, width]`.
    pub context: Tensor,
    /// `[rows, width]`, SDXL only.
    pub pooled: Option<Tensor>,
    /// The row of each picture.
    pub rows: Vec<usize>,
}

impl TextEncoder {
    /// Loads the text encoders and tokenizers that `model_index.json` names.
    ///
    /// # Errors
    /// [`Error::Bundle`] for a pipeline class that this build does not know, a missing or damaged file;
    /// [`Error::Model`] for an encoder that the engine refuses.
    pub fn open(bundle: &Bundle, engine: &dyn Engine) -> Result<Self, Error> {
        let index = bundle.json("model_index.json")?;
        let class = index.get("_class_name").and_then(|name| name.as_str()).unwrap_or_default();
        let pipeline = bundle.manifest().pipeline.as_str();
        let path = || bundle.file("model_index.json").unwrap_or_default();
        if class != pipeline {
            return Err(Error::bundle(
                path(),
                format!("names the pipeline {class:?} but dmdx.json says {pipeline:?}; export the bundle again"),
            ));
        }
        let suffixes: &[&str] = match class {
            "StableDiffusionXLPipeline" => &["", "_2"],
            "StableDiffusionPipeline" => &[""],
            _ => {
                return Err(Error::bundle(
                    path(),
                    format!(
                        "names the pipeline {class:?}; this build runs StableDiffusionXLPipeline and StableDiffusionPipeline"
                    ),
                ));
            }
        };
        let encoders = suffixes.iter().map(|suffix| {
            Ok(Encoder {
                tokenizer: tokenizer(bundle, &index, &format!("tokenizer{suffix}"))?,
                session: engine.load(&bundle.file(&format!("text_encoder{suffix}/model.onnx"))?)?,
            })
        });
        Ok(Self { encoders: encoders.collect::<Result<_, Error>>()?, is_xl: suffixes.len() == 2 })
    }

    /// Encodes one prompt per picture; equal prompts share a row.
    ///
    /// # Errors
    /// [`Error::Shape`] if an encoder lacks an output, [`Error::Model`] if it fails.
    pub fn encode(&self, prompts: &[String]) -> Result<Condition, Error> {
        let mut distinct: Vec<&str> = Vec::new();
        let mut rows = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let row = distinct.iter().position(|known| known == prompt).unwrap_or_else(|| {
                distinct.push(prompt);
                distinct.len() - 1
            });
            rows.push(row);
        }
        let mut contexts = Vec::new();
        let mut pooled = None;
        for encoder in &self.encoders {
            let mut parts = Vec::new();
            let mut pools = Vec::new();
            for batch in distinct.chunks(BATCH) {
                let mut outputs = encoder.run(batch)?;
                if self.is_xl {
                    let name = penultimate(&outputs)?;
                    parts.push(take(&mut outputs, &name)?);
                    // Only the second encoder of SDXL has a projection.
                    pools.extend(take(&mut outputs, "text_embeds").ok());
                } else {
                    parts.push(take(&mut outputs, "last_hidden_state")?);
                }
            }
            contexts.push(stack(&parts)?);
            if !pools.is_empty() {
                pooled = Some(stack(&pools)?);
            }
        }
        if self.is_xl && pooled.is_none() {
            return Err(Error::Shape(
                "the second text encoder has no output text_embeds, which SDXL needs; export the bundle again".into(),
            ));
        }
        Ok(Condition { context: join_last_axis(&contexts)?, pooled, rows })
    }
}

/// The tokenizer in `folder`, of the class that `model_index.json` names.
fn tokenizer(bundle: &Bundle, index: &serde_json::Value, folder: &str) -> Result<Tokenizer, Error> {
    let config = bundle.file(&format!("{folder}/tokenizer_config.json"))?;
    let class = index.get(folder).and_then(|entry| entry.get(1)).and_then(|class| class.as_str());
    let class = class.ok_or_else(|| {
        let path = bundle.file("model_index.json").unwrap_or_default();
        Error::bundle(path, format!("does not name the class of {folder}; export the bundle again"))
    })?;
    let path = config.with_file_name("");
    let class: Class = class.parse().map_err(|problem: String| Error::bundle(&path, format!("cannot be read: {problem}")))?;
    for name in class.files() {
        bundle.file(&format!("{folder}/{name}"))?;
    }
    Tokenizer::open(&path, Some(class))
}

impl Encoder {
    fn run(&self, prompts: &[&str]) -> Result<Vec<(String, Tensor)>, Error> {
        let mut ids = Vec::new();
        for prompt in prompts {
            ids.extend(self.tokenizer.encode(prompt, self.tokenizer.max_length(), Padding::MaxLength)?.ids);
        }
        let ids = Tensor::i64([prompts.len(), self.tokenizer.max_length()], ids)?;
        self.session.run(&[("input_ids", &ids)])
    }
}

impl Condition {
    /// The same rows, all zero: one row that every picture shares.
    ///
    /// # Errors
    /// [`Error::Shape`] for a condition without rows.
    pub fn zeros(&self) -> Result<Self, Error> {
        let zero = |tensor: &Tensor| {
            let mut shape = tensor.shape().to_vec();
            shape[0] = 1;
            Tensor::f32(shape, vec![0.0; tensor.row_len()])
        };
        let pooled = self.pooled.as_ref().map(zero).transpose()?;
        Ok(Self { context: zero(&self.context)?, pooled, rows: vec![0; self.rows.len()] })
    }

    /// The same embeddings for other pictures.
    #[must_use]
    pub fn with_rows(self, rows: Vec<usize>) -> Self {
        Self { rows, ..self }
    }

    /// The condition of some pictures, one row each.
    ///
    /// # Errors
    /// [`Error::Shape`] for a picture that it does not know.
    pub fn pick(&self, pictures: &[usize]) -> Result<Self, Error> {
        let rows = pictures.iter().map(|&picture| self.rows.get(picture).copied()).collect::<Option<Vec<_>>>();
        let rows = rows.ok_or_else(|| Error::Shape("a picture without a prompt was asked for".into()))?;
        let pooled = self.pooled.as_ref().map(|pooled| pick(pooled, &rows)).transpose()?;
        Ok(Self { context: pick(&self.context, &rows)?, pooled, rows: (0..pictures.len()).collect() })
    }
}

/// `hidden_states[-2]`: the name of the last but one hidden state.
fn penultimate(outputs: &[(String, Tensor)]) -> Result<String, Error> {
    let indices = outputs.iter().filter_map(|(name, _)| name.strip_prefix("hidden_states.")?.parse::<usize>().ok());
    match indices.max() {
        Some(last) if last > 0 => Ok(format!("hidden_states.{}", last - 1)),
        _ => Err(Error::Shape(
            "a text encoder has no outputs hidden_states.0 to hidden_states.n, which SDXL needs; export the bundle again".into(),
        )),
    }
}

/// Puts batches below each other.
fn stack(parts: &[Tensor]) -> Result<Tensor, Error> {
    let mut shape = parts.first().map(|part| part.shape().to_vec()).filter(|shape| !shape.is_empty()).unwrap_or_else(|| vec![0]);
    shape[0] = parts.iter().map(|part| part.shape().first().copied().unwrap_or(0)).sum();
    let mut values = Vec::new();
    for part in parts {
        values.extend_from_slice(part.floats()?);
    }
    Tensor::f32(shape, values)
}

/// Joins `[rows, tokens, width_i]` along the last axis.
fn join_last_axis(parts: &[Tensor]) -> Result<Tensor, Error> {
    let shapes: Vec<&[usize]> = parts.iter().map(Tensor::shape).collect();
    let [first, ..] = shapes.as_slice() else { return Err(Error::Shape("the pipeline has no text encoder".into())) };
    if shapes.iter().any(|shape| shape.len() != 3 || shape[..2] != first[..2]) {
        return Err(Error::Shape(format!("the hidden states of the text encoders, {shapes:?}, cannot be joined")));
    }
    let (rows, tokens) = (first[0], first[1]);
    let width: usize = shapes.iter().map(|shape| shape[2]).sum();
    let mut values = Vec::with_capacity(rows * tokens * width);
    for token in 0..rows * tokens {
        for part in parts {
            let width = part.shape()[2];
            values.extend_from_slice(&part.floats()?[token * width..(token + 1) * width]);
        }
    }
    Tensor::f32([rows, tokens, width], values)
}
