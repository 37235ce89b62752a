//! Typed reading of `config.json`: defaults of the reference library, limits, and a list of what nobody read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use dmdx_graph::Op;
use serde_json::{Map, Value};

use crate::error::{ImportError, Result};

/// Largest width, count or side that a configuration may name; products of a few of them stay far from overflow.
pub(super) const LARGEST_SIZE: usize = 1 << 20;

/// Largest number of layers or blocks in one list.
pub(super) const LARGEST_COUNT: usize = 512;

/// Keys of every transformers configuration that do not change the network.
const TRANSFORMERS_KEYS: &str = "return_dict output_hidden_states output_attentions torchscript torch_dtype dtype \
    pruned_heads tie_word_embeddings chunk_size_feed_forward is_encoder_decoder is_decoder cross_attention_hidden_size \
    add_cross_attention tie_encoder_decoder architectures finetuning_task id2label label2id task_specific_params \
    problem_type tokenizer_class prefix bos_token_id pad_token_id eos_token_id sep_token_id decoder_start_token_id \
    max_length min_length do_sample early_stopping num_beams temperature top_k top_p typical_p repetition_penalty \
    length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores \
    return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values \
    exponential_decay_length_penalty suppress_tokens begin_suppress_tokens num_beam_groups diversity_penalty \
    transformers_version tf_legacy_loss use_bfloat16 model_type initializer_range initializer_factor attention_dropout \
    dropout";

/// One object of a configuration, and which of its keys were read.
pub(super) struct Config<'a> {
    class: &'a str,
    prefix: String,
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Config<'a> {
    /// The whole configuration.
    pub(super) fn new(class: &'a str, value: &'a Value) -> Result<Self> {
        Self::object(class, String::new(), value)
    }

    /// The object at `key`.
    pub(super) fn child(&self, key: &str) -> Result<Self> {
        let Some(value) = self.get(key) else {
            return Err(ImportError::MissingKey { class: self.class.into(), key: self.path(key) });
        };
        Self::object(self.class, format!("{}{key}.", self.prefix), value)
    }

    fn object(class: &'a str, prefix: String, value: &'a Value) -> Result<Self> {
        match value.as_object() {
            Some(map) => Ok(Self { class, prefix, map, read: RefCell::default() }),
            None => Err(ImportError::ConfigValue {
                class: class.into(),
                key: prefix.trim_end_matches('.').into(),
                value: shorten(value),
                supported: "a JSON object is needed".into(),
            }),
        }
    }

    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The value at `key`, `None` if the key is absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key.into());
        self.map.get(key)
    }

    /// The value at `key` is not supported; `supported` is a clause that says what is.
    pub(super) fn refused(&self, key: &str, supported: &str) -> ImportError {
        ImportError::ConfigValue {
            class: self.class.into(),
            key: self.path(key),
            value: self.map.get(key).map_or_else(|| "its default".into(), shorten),
            supported: supported.into(),
        }
    }

    /// An integer from 1 up.
    pub(super) fn size(&self, key: &str, default: usize) -> Result<usize> {
        self.get(key).map_or(Ok(default), |value| self.as_size(key, value))
    }

    /// An integer from 1 up, or nothing when the key is absent or null.
    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.as_size(key, value).map(Some),
        }
    }

    /// The side of a picture: an integer, or the larger of a list of two; nothing when the key is absent or null.
    pub(super) fn square(&self, key: &str) -> Result<Option<usize>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => Ok(self.as_sizes(key, list)?.into_iter().max()),
            Some(value) => self.as_size(key, value).map(Some),
        }
    }

    /// A list of integers from 1 up, not empty.
    pub(super) fn sizes(&self, key: &str, default: &[usize]) -> Result<Vec<usize>> {
        match self.get(key) {
            None => Ok(default.to_vec()),
            Some(Value::Array(list)) => self.as_sizes(key, list),
            Some(_) => Err(self.refused(key, "a list of integers is needed")),
        }
    }

    /// One integer for all of `count` levels, or a list of `count` integers.
    pub(super) fn size_per_level(&self, key: &str, default: usize, count: usize) -> Result<Vec<usize>> {
        let sizes = match self.get(key) {
            None => vec![default; count],
            Some(Value::Array(list)) => self.as_sizes(key, list)?,
            Some(value) => vec![self.as_size(key, value)?; count],
        };
        if sizes.len() != count {
            return Err(self.refused(key, &format!("the network has {count} levels, one entry for each is needed")));
        }
        Ok(sizes)
    }

    /// An integer from 1 up.
    pub(super) fn as_size(&self, key: &str, value: &Value) -> Result<usize> {
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=LARGEST_SIZE).contains(size))
            .ok_or_else(|| self.refused(key, &format!("an integer from 1 to {LARGEST_SIZE} is needed")))
    }

    /// Integers from 1 up.
    pub(super) fn as_sizes(&self, key: &str, list: &[Value]) -> Result<Vec<usize>> {
        if list.is_empty() || list.len() > LARGEST_COUNT {
            return Err(self.refused(key, &format!("1 to {LARGEST_COUNT} entries are supported")));
        }
        list.iter().map(|value| self.as_size(key, value)).collect()
    }

    /// A number of layers.
    pub(super) fn count(&self, key: &str, default: usize) -> Result<usize> {
        let count = self.size(key, default)?;
        if count > LARGEST_COUNT { Err(self.refused(key, &format!("at most {LARGEST_COUNT} are supported"))) } else { Ok(count) }
    }

    /// An integer from 1 to `most`.
    pub(super) fn size_up_to(&self, key: &str, default: usize, most: usize) -> Result<usize> {
        let size = self.size(key, default)?;
        if size > most { Err(self.refused(key, &format!("at most {most} is supported"))) } else { Ok(size) }
    }

    /// The number of groups of diffusers' group norms (32 by default), which has to divide the channels of every level.
    pub(super) fn groups(&self, key: &str, channels: &[usize]) -> Result<usize> {
        let groups = self.size(key, 32)?;
        match channels.iter().find(|channels| *channels % groups != 0) {
            Some(channels) => Err(self.refused(key, &format!("{channels} channels do not divide into so many groups"))),
            None => Ok(groups),
        }
    }

    /// A finite number that is not negative.
    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value
            .as_f64()
            .filter(|number| number.is_finite() && *number >= 0.0)
            .ok_or_else(|| self.refused(key, "a number from 0 up is needed"))
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.refused(key, "true or false is needed"))
    }

    /// A text, one of `supported`.
    pub(super) fn choice(&self, key: &str, default: &str, supported: &[&'static str]) -> Result<&'static str> {
        let value = self.get(key);
        let text = value.map_or(Some(default), Value::as_str);
        supported.iter().find(|choice| Some(**choice) == text).copied().ok_or_else(|| {
            let names: Vec<String> = supported.iter().map(|name| format!("`{name}`")).collect();
            self.refused(key, &format!("only {} is supported", names.join(" or ")))
        })
    }

    /// The operation that `hidden_act` names in transformers.
    pub(super) fn hidden_act(&self, default: &str) -> Result<Op> {
        Ok(match self.choice("hidden_act", default, &["quick_gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])? {
            "quick_gelu" => Op::QuickGelu,
            "relu" => Op::Relu,
            name => Op::Gelu { tanh: name != "gelu" },
        })
    }

    /// A list of texts, each one of `supported`.
    pub(super) fn choices(&self, key: &str, default: &[&'static str], supported: &[&'static str]) -> Result<Vec<&'static str>> {
        let Some(value) = self.get(key) else { return Ok(default.to_vec()) };
        let known = |value: &Value| supported.iter().find(|choice| value.as_str() == Some(choice)).copied();
        let list = value.as_array().filter(|list| (1..=LARGEST_COUNT).contains(&list.len()));
        list.and_then(|list| list.iter().map(known).collect())
            .ok_or_else(|| self.refused(key, &format!("a list of {} is supported", supported.join(", "))))
    }

    /// As [`Config::choices`], one for each of `levels` levels of diffusers' `block_out_channels`.
    pub(super) fn choice_per_level(
        &self,
        key: &str,
        default: &[&'static str],
        supported: &[&'static str],
        levels: usize,
    ) -> Result<Vec<&'static str>> {
        let chosen = self.choices(key, default, supported)?;
        match chosen.len() == levels {
            true => Ok(chosen),
            false => Err(self.refused(key, &format!("`block_out_channels` has {levels} levels, one type for each is needed"))),
        }
    }

    /// Each key must be absent or have the value beside it: other values change the network in ways that are not built.
    pub(super) fn fixed(&self, keys: &[(&str, Value)]) -> Result<()> {
        for (key, wanted) in keys {
            let same = |value: &Value| match (value.as_f64(), wanted.as_f64()) {
                (Some(value), Some(wanted)) => value == wanted,
                _ => value == wanted,
            };
            if !self.get(key).is_none_or(same) {
                return Err(self.refused(key, &format!("only {wanted} is supported")));
            }
        }
        Ok(())
    }

    /// Names keys that do not change the network.
    pub(super) fn unused(&self, keys: &[&str]) {
        self.read.borrow_mut().extend(keys.iter().map(|key| (*key).into()));
    }

    /// Names the keys that every transformers configuration has and that do not change the network.
    pub(super) fn unused_of_transformers(&self) {
        self.read.borrow_mut().extend(TRANSFORMERS_KEYS.split_whitespace().map(Into::into));
    }

    /// A sentence about the keys that nobody asked for; keys with a leading underscore are the libraries' notes.
    pub(super) fn warnings(&self) -> Vec<String> {
        let read = self.read.borrow();
        let unknown: Vec<String> = self
            .map
            .keys()
            .filter(|key| !key.starts_with('_') && !read.contains(*key))
            .map(|key| format!("`{}`", self.path(key).chars().take(80).collect::<String>()))
            .collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        vec![format!("the configuration of {} has keys that are not known and were not used: {}", self.class, unknown.join(", "))]
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 80 { text } else { format!("{}…", text.chars().take(80).collect::<String>()) }
}
