//! The column of a file that holds its prompts, and what a prompt may be.

use std::path::Path;

use super::super::stamped::LONGEST;
use crate::error::TrainError;

/// The recipe key that names the column.
pub(super) const COLUMN: &str = "prompts.column";
/// What the column of prompts is called where nobody says it; a file may have one of them.
const USUAL: [&str; 3] = ["prompt", "text", "caption"];

/// Which of a file's columns holds the prompts: the one that is asked for, or the one that is called as such a column
/// usually is.
///
/// # Errors
/// [`TrainError::Recipe`] where there is none of that name, or it is not clear.
pub(super) fn chosen<'a>(path: &Path, columns: &[&'a str], asked: Option<&str>) -> Result<&'a str, TrainError> {
    let refuse = |problem: String| Err(TrainError::recipe(COLUMN, problem));
    let known = || {
        let names: Vec<String> = columns.iter().take(20).map(|name| name.chars().take(60).collect()).collect();
        names.join(", ")
    };
    let usual: Vec<&'a str> = columns.iter().copied().filter(|name| USUAL.contains(name)).collect();
    match (asked, usual.as_slice()) {
        (Some(asked), _) => match columns.iter().copied().find(|name| *name == asked) {
            Some(found) => Ok(found),
            None => refuse(format!("is \"{asked}\", but {} has {}", path.display(), known())),
        },
        (None, [only]) => Ok(only),
        (None, []) => refuse(format!("is missing, and {} has none of {} but {}", path.display(), USUAL.join(", "), known())),
        (None, several) => refuse(format!("is missing, but {} has {}; say which", path.display(), several.join(" and "))),
    }
}

/// A prompt as it may be: there, and not longer than one may be.
pub(super) fn checked(text: &str) -> Result<&str, String> {
    match text.len() {
        0 => Err("has an empty prompt; leave it out, since nothing can be learnt of it".to_string()),
        length if length > LONGEST => Err(format!("has a prompt longer than {LONGEST} bytes")),
        _ => Ok(text),
    }
}
