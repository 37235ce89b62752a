//! The networks of a bundle, loaded by an engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::take;
use crate::error::FamilyError;
use crate::family::{Family, Network, Networks, Place, Settings};
use crate::tokenizer::Class;
use crate::{Bundle, Engine, Error, Session, Tensor, Tokenizer};

/// What the family calls the last but one hidden state of a text encoder.
const PENULTIMATE: &str = "penultimate_hidden_state";

/// What bundles call hidden states.
const HIDDEN_STATES: &str = "hidden_states.";

/// Every network, tokenizer and configuration of a bundle.
pub(super) struct Loaded {
    index: Value,
    /// By folder of the component.
    configs: BTreeMap<&'static str, Value>,
    tokenizers: BTreeMap<String, Arc<Tokenizer>>,
    sessions: Vec<(Network, Box<dyn Session>)>,
}

impl Loaded {
    /// Loads what a family needs.
    pub(super) fn open(bundle: &Bundle, family: &dyn Family, index: Value, engine: &dyn Engine) -> Result<Self, Error> {
        let (mut configs, mut sessions) = (BTreeMap::new(), Vec::new());
        for network in family.networks() {
            let (model, config) = (format!("{}/model.onnx", network.bundle), format!("{}/config.json", network.bundle));
            if network.is_optional && !bundle.has(&model) {
                continue;
            }
            sessions.push((*network, engine.load(&bundle.file(&model)?)?));
            if bundle.has(&config) {
                configs.insert(network.place.0, bundle.json(&config)?);
            }
        }
        let mut tokenizers = BTreeMap::new();
        for (folder, class) in
            index.as_object().into_iter().flatten().filter_map(|(name, entry)| Some((name, entry.get(1)?.as_str()?)))
        {
            if class.contains("Tokenizer") {
                tokenizers.insert(folder.clone(), Arc::new(tokenizer(bundle, folder, class)?));
            }
        }
        Ok(Self { index, configs, tokenizers, sessions })
    }

    fn session(&self, place: Place) -> Result<(&Network, &dyn Session), Error> {
        let found = self.sessions.iter().find(|(network, _)| network.place == place);
        let known = || self.sessions.iter().map(|(network, _)| network.place.0).collect::<Vec<_>>().join(", ");
        let (network, session) =
            found.ok_or_else(|| FamilyError::NoNetwork { folder: place.0.into(), part: place.1.into(), known: known() })?;
        Ok((network, session.as_ref()))
    }
}

/// The tokenizer in `folder`, whose files are all listed.
fn tokenizer(bundle: &Bundle, folder: &str, class: &str) -> Result<Tokenizer, Error> {
    let path = bundle.file(&format!("{folder}/tokenizer_config.json"))?.with_file_name("");
    let class: Class = class.parse().map_err(|problem: String| Error::bundle(&path, format!("cannot be read: {problem}")))?;
    for name in class.files().iter().filter(|name| path.join(name).symlink_metadata().is_ok()) {
        bundle.file(&format!("{folder}/{name}"))?;
    }
    Tokenizer::open(&path, Some(class))
}

impl Settings for Loaded {
    fn index(&self) -> &Value {
        &self.index
    }

    fn config(&self, folder: &str) -> &Value {
        self.configs.get(folder).unwrap_or(&Value::Null)
    }

    fn input_sizes(&self, place: Place, input: &str) -> Result<Vec<Option<usize>>, Error> {
        let (network, session) = self.session(place)?;
        let name = network.names().input(input);
        let port = session.inputs().iter().find(|port| port.name == name);
        let port = port.ok_or_else(|| FamilyError::no_input(place, input))?;
        Ok(port.dims.clone())
    }
}

impl Networks for Loaded {
    fn has(&self, network: Place) -> bool {
        self.session(network).is_ok()
    }

    fn run(&self, place: Place, inputs: &[(&str, &Tensor)], wanted: &[&str]) -> Result<Vec<Tensor>, Error> {
        let (network, session) = self.session(place)?;
        let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (network.names().input(name), *tensor)).collect();
        let mut outputs = session.run(&inputs)?;
        let result = |wanted: &&str| {
            let name = match *wanted {
                PENULTIMATE if network.offers_hidden_states => penultimate(&outputs),
                name => Some(network.names().output(name).to_owned()),
            };
            let found = name.and_then(|name| take(&mut outputs, &name).ok());
            found.ok_or_else(|| FamilyError::no_result(place, wanted).into())
        };
        wanted.iter().map(result).collect()
    }

    fn tokenizer(&self, folder: &str) -> Result<Arc<Tokenizer>, Error> {
        self.tokenizers.get(folder).cloned().ok_or_else(|| FamilyError::NoTokenizer(folder.into()).into())
    }
}

/// `hidden_states[-2]`: the name of the last but one hidden state.
fn penultimate(outputs: &[(String, Tensor)]) -> Option<String> {
    let indices = outputs.iter().filter_map(|(name, _)| name.strip_prefix(HIDDEN_STATES)?.parse::<usize>().ok());
    indices.max()?.checked_sub(1).map(|index| format!("{HIDDEN_STATES}{index}"))
}
