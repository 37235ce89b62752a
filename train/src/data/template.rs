//! A prompt with placeholders, and all that it stands for.

use std::collections::BTreeMap;

use crate::error::TrainError;

/// More combinations than this are a mistake in the template.
const MAX_PROMPTS: usize = 10_000_000;

/// Every combination of a template's values, in the order of the placeholders, the last one fastest. None of them is made
/// before it is asked for.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Each placeholder: the text before it, and its values.
    places: Vec<(String, Vec<String>)>,
    /// The text behind the last placeholder.
    tail: String,
    count: usize,
}

impl Template {
    /// Reads `template`, in which `{name}` stands for the values of that name.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where a placeholder has no values or does not end, values have no placeholder, or there are
    /// more than ten million combinations.
    pub fn new(template: &str, values: &BTreeMap<String, Vec<String>>) -> Result<Self, TrainError> {
        let malformed = |problem: String| TrainError::recipe("prompts.template", format!("is \"{template}\", but {problem}"));
        let mut places = Vec::new();
        let mut used = Vec::new();
        let mut count = 1usize;
        let mut rest = template;
        while let Some((text, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').ok_or_else(|| malformed("a { has no }".to_string()))?;
            let options = values.get(name).ok_or_else(|| malformed(format!("prompts.values has no {name}")))?;
            count = count.saturating_mul(options.len());
            if count > MAX_PROMPTS {
                return Err(malformed(format!("it makes more than {MAX_PROMPTS} prompts")));
            }
            places.push((text.to_string(), options.clone()));
            used.push(name);
            rest = tail;
        }
        if let Some(unused) = values.keys().find(|name| !used.contains(&name.as_str())) {
            return Err(malformed(format!("it does not use prompts.values.{unused}")));
        }
        Ok(Self { places, tail: rest.to_string(), count })
    }

    /// How many combinations there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Combination `number`; none beyond the last.
    pub fn get(&self, number: usize) -> Option<String> {
        let mut rest = Some(number).filter(|&number| number < self.count)?;
        let mut chosen = Vec::with_capacity(self.places.len());
        for (_, options) in self.places.iter().rev() {
            chosen.push(options.get(rest % options.len())?);
            rest /= options.len();
        }
        let mut prompt = String::new();
        for ((text, _), option) in self.places.iter().zip(chosen.into_iter().rev()) {
            prompt.push_str(text);
            prompt.push_str(option);
        }
        prompt.push_str(&self.tail);
        Some(prompt)
    }
}
