//! Prompts: from a template, a list or a file.

use std::collections::BTreeMap;

use crate::error::TrainError;
use crate::recipe::LoadedRecipe;

/// More combinations than this are a mistake in the template.
const MAX_PROMPTS: usize = 10_000_000;

/// The recipe's prompts, in order. A prompt's place is its id in the pairs.
///
/// # Errors
/// [`TrainError::Recipe`] about the template or an empty list, [`TrainError::Read`] about the file.
pub fn load(loaded: &LoadedRecipe) -> Result<Vec<String>, TrainError> {
    let section = &loaded.recipe.prompts;
    let (key, prompts) = if let Some(template) = &section.template {
        ("prompts.template", expand(template, &section.values)?)
    } else if let Some(file) = &section.file {
        let path = loaded.resolve(file);
        let text = std::fs::read_to_string(&path).map_err(TrainError::read(path))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        ("prompts.file", lines.map(str::to_string).collect())
    } else {
        ("prompts.list", section.list.clone().unwrap_or_default())
    };
    if prompts.is_empty() {
        return Err(TrainError::recipe(key, "gives no prompt, but a run needs at least one"));
    }
    Ok(prompts)
}

/// Every combination of the values, in the order of the placeholders, the last one fastest.
fn expand(template: &str, values: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, TrainError> {
    let malformed = |problem: String| TrainError::recipe("prompts.template", format!("is \"{template}\", but {problem}"));
    let mut prompts = vec![String::new()];
    let mut used = Vec::new();
    let mut rest = template;
    while let Some((text, tail)) = rest.split_once('{') {
        let (name, tail) = tail.split_once('}').ok_or_else(|| malformed("a { has no }".to_string()))?;
        let options = values.get(name).ok_or_else(|| malformed(format!("prompts.values has no {name}")))?;
        if prompts.len().saturating_mul(options.len()) > MAX_PROMPTS {
            return Err(malformed(format!("it makes more than {MAX_PROMPTS} prompts")));
        }
        prompts = prompts.iter().flat_map(|begun| options.iter().map(move |option| format!("{begun}{text}{option}"))).collect();
        used.push(name);
        rest = tail;
    }
    if let Some(unused) = values.keys().find(|name| !used.contains(&name.as_str())) {
        return Err(malformed(format!("it does not use prompts.values.{unused}")));
    }
    for prompt in &mut prompts {
        prompt.push_str(rest);
    }
    Ok(prompts)
}
