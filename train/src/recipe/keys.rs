//! Every key of a recipe with its type and range: the one table behind the sentences about bad values. The methods' own keys
//! come from their sections.

use toml::{Table, Value};

use super::kind::Kind::{self, Flag, Integer, Integers, Lists, Number, Numbers, Positive, Range, Text, Texts, Word, Words};
use super::kind::MANY;
use super::section::SectionEntry;
use super::sections::InitParameterisation;
use crate::error::TrainError;

const GUIDANCE: f64 = 1000.0;

/// Sorted by section as in the documentation; a section exists because a key of it is here.
const KEYS: &[(&str, Kind)] = &[
    ("teacher.path", Text),
    ("teacher.variant", Text),
    ("teacher.config", Text),
    ("teacher.lora", Texts),
    ("teacher.allow_pickle", Flag),
    ("teacher.root", Texts),
    ("teacher.allow_hard_links", Flag),
    ("teacher.max_sequence_length", Integer(1, 4096)),
    ("teacher.guidance", Range(0.0, GUIDANCE)),
    ("teacher.uncond", Word(&["auto", "zeros", "empty_prompt"])),
    ("prompts.template", Text),
    ("prompts.values", Lists),
    ("prompts.list", Texts),
    ("prompts.file", Text),
    ("prompts.column", Text),
    ("prompts.dtype", Word(&["f16", "f32"])),
    ("pairs.count", Integer(1, MANY)),
    ("pairs.steps", Integer(1, 1000)),
    ("pairs.sampler", Word(&["euler_trailing"])),
    ("pairs.dtype", Word(&["f16", "f32"])),
    ("pairs.shard", Integer(1, 1_000_000)),
    ("pairs.path", Text),
    ("data.path", Text),
    ("data.latents", Text),
    ("data.posterior", Word(&["mode", "sample"])),
    ("data.dtype", Word(&["f16", "f32"])),
    ("data.shard", Integer(1, 1_000_000)),
    ("student.init", Text),
    ("student.init_parameterisation", Word(InitParameterisation::WORDS)),
    ("student.steps", Integer(1, 1000)),
    ("student.times", Numbers(0.0, 1000.0)),
    ("student.sampler", Word(&["ode", "renoise"])),
    ("student.guidance_offset", Number(-GUIDANCE, GUIDANCE)),
    ("lora.rank", Integer(1, 65_536)),
    ("lora.alpha", Positive(1e6)),
    ("lora.targets", Texts),
    ("lora.roles", Words(&["generator", "fake_score"])),
    ("lora.init", Word(&["gaussian", "kaiming"])),
    ("lora.dropout", Number(0.0, 0.0)),
    ("discriminator.latent_taps", Texts),
    ("discriminator.head_width", Integer(1, 4096)),
    ("discriminator.head_groups", Integer(1, 4096)),
    ("discriminator.head_min_size", Integer(1, 1024)),
    ("discriminator.head_output", Word(&["scalar", "map"])),
    ("discriminator.logit_scale", Positive(1000.0)),
    ("discriminator.pixel.path", Text),
    ("discriminator.pixel.layers", Integers(0, 10_000)),
    ("discriminator.pixel.input", Word(&["imagenet", "minus_one_to_one"])),
    ("optimizer.beta1", Number(0.0, 0.0)),
    ("optimizer.beta2", Number(0.0, 0.999_999)),
    ("optimizer.eps", Number(1e-30, 1.0)),
    ("optimizer.weight_decay", Number(0.0, 1.0)),
    ("checkpoint.every", Integer(1, MANY)),
    ("checkpoint.keep", Integer(1, 1000)),
    ("health.window", Integer(1, 1_000_000)),
    ("health.latent_mean", Positive(1e6)),
    ("health.latent_std", Range(0.0, 1e6)),
    ("health.brightness", Range(-1e6, 1e6)),
    ("health.discriminator_accuracy", Number(0.5, 2.0)),
    ("health.discriminator_chance", Number(0.0, 0.5)),
    ("health.at_chance", Word(&["warn", "stop"])),
    ("health.contrast", Number(0.0, 1.0)),
    ("health.noise", Number(0.0, 10.0)),
    ("health.saturation", Number(0.0, 1.0)),
    ("health.spread", Number(0.0, 1.0)),
    ("health.motion", Number(0.0, 1.0)),
    ("health.flicker", Number(0.0, 2.0)),
    ("export.targets", Texts),
    ("score.classifier", Text),
    ("score.count_per_prompt", Integer(1, 1000)),
    ("run.seed", Integer(0, i64::MAX)),
    ("run.device", Word(&["cpu", "cuda"])),
    ("run.threads", Integer(0, 4096)),
    ("run.sample_every", Integer(0, MANY)),
    ("run.sample_count", Integer(2, 1000)),
];

/// Every dotted key that a recipe with these methods may have.
pub fn known(methods: &[SectionEntry]) -> Vec<String> {
    Keys(methods).known()
}

/// The keys of a recipe with these methods.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a>(pub(super) &'a [SectionEntry]);

impl Keys<'_> {
    /// Every dotted key that a recipe may have, with what it may hold.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, Kind)> {
        let common = KEYS.iter().map(|(key, kind)| ((*key).to_string(), *kind));
        let of_methods = self
            .0
            .iter()
            .flat_map(|section| section.keys.iter().map(move |(key, kind)| (format!("{}.{key}", section.name), *kind)));
        common.chain(of_methods)
    }

    /// Every dotted key that a recipe may have.
    fn known(&self) -> Vec<String> {
        self.all().map(|(key, _)| key).collect()
    }

    fn kind(&self, key: &str) -> Option<Kind> {
        self.all().find(|(known, _)| known == key).map(|(_, kind)| kind)
    }

    /// Whether `key` holds text, so that an override of it needs no quotes.
    pub(super) fn is_text(&self, key: &str) -> bool {
        matches!(self.kind(key), Some(Text | Word(_)))
    }

    /// Checks every value of `table` against the keys.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] about the first key that is unknown, of the wrong type or out of its range.
    pub(super) fn check(&self, table: &Table) -> Result<(), TrainError> {
        self.walk(table, "")
    }

    fn walk(&self, table: &Table, prefix: &str) -> Result<(), TrainError> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if let Some(kind) = self.kind(&key) {
                if !kind.admits(value) {
                    let problem = format!("is {value}, but must be {}", kind.sentence(&key));
                    return Err(TrainError::recipe(key, problem));
                }
            } else if self.all().any(|(known, _)| known.starts_with(&format!("{key}."))) {
                match value {
                    Value::Table(inner) => self.walk(inner, &key)?,
                    other => {
                        let problem = format!("is {other}, but must be a section");
                        return Err(TrainError::recipe(key, problem));
                    }
                }
            } else {
                return Err(self.unknown(&key, prefix));
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, section: &str) -> TrainError {
        let start = if section.is_empty() { String::new() } else { format!("{section}.") };
        let mut names: Vec<String> = Vec::new();
        for known in self.known() {
            let name = known.strip_prefix(start.as_str()).map(|rest| rest.split('.').next().unwrap_or(rest));
            if let Some(name) = name.filter(|name| !names.iter().any(|seen| seen == name)) {
                names.push(name.to_string());
            }
        }
        let place = if section.is_empty() { "a recipe".to_string() } else { format!("[{section}]") };
        TrainError::recipe(key, format!("is not a key; {place} knows {}", names.join(", ")))
    }
}
