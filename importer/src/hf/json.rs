//! Strict JSON: bounded size and depth, no key twice. The reader below checks the text without building anything, so
//! that nothing is allocated for a hostile file beyond the file itself.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::first_bytes::in_place_of_a_file;
use crate::error::{ImportError, JsonFault, Result};
use crate::limits::{Limits, within};
use crate::path::OpenFile;

/// Bytes in which a pointer or a page shows.
const SHOWN_TEXT: usize = 256;

/// A parsed JSON file and its text.
#[derive(Debug, Clone, Default)]
pub struct JsonFile {
    /// The text as it stands in the file.
    pub text: String,
    /// The parsed object.
    pub value: Value,
}

/// Reads an open file of at most `limit` bytes.
///
/// # Errors
/// When it is larger or cannot be read.
pub(crate) fn read_bounded(open: &OpenFile, limit: u64, setting: &'static str) -> Result<Vec<u8>> {
    within(&open.path, "the size in bytes", open.length, limit, setting)?;
    // The file may have grown since; `take` keeps the limit.
    let mut bytes = Vec::with_capacity(usize::try_from(open.length).unwrap_or(0));
    (&open.file)
        .take(open.length)
        .read_to_end(&mut bytes)
        .map_err(|error| ImportError::Read { path: open.path.clone(), error })?;
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_TEXT)]);
    match in_place_of_a_file(start.trim_start()) {
        Some(kind) => Err(ImportError::Foreign { path: open.path.clone(), kind }),
        None => Ok(bytes),
    }
}

/// Reads a JSON object of at most `limit` bytes.
///
/// # Errors
/// When the file is too large, too deep, not UTF-8, not JSON, has a key twice, or is not an object.
pub(crate) fn read_object(open: &OpenFile, limit: u64, setting: &'static str, limits: &Limits) -> Result<JsonFile> {
    read_object_of_python(open, limit, setting, limits, |text| Cow::Borrowed(text))
}

/// As [`read_object`], of the text that `strict` makes of the file's.
///
/// # Errors
/// As [`read_object`].
pub(crate) fn read_object_of_python(
    open: &OpenFile,
    limit: u64,
    setting: &'static str,
    limits: &Limits,
    strict: fn(&str) -> Cow<'_, str>,
) -> Result<JsonFile> {
    let bytes = read_bounded(open, limit, setting)?;
    let fail = |fault| ImportError::Json { path: open.path.clone(), fault };
    let text = String::from_utf8(bytes).map_err(|error| fail(JsonFault::NotUtf8(error.utf8_error())))?;
    let value = parse_object(&strict(&text), limits.json_depth).map_err(fail)?;
    Ok(JsonFile { text, value })
}

/// Parses a JSON object strictly.
///
/// # Errors
/// With the reason, line and column.
pub fn parse_object(text: &str, depth: usize) -> std::result::Result<Value, JsonFault> {
    check(text, depth)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(Value::Object(map)),
        Ok(_) => Err(JsonFault::NotAnObject),
        Err(error) => Err(JsonFault::Syntax(error)),
    }
}

/// Checks that a text is one JSON value of at most `depth` nested arrays and objects, without any key twice.
///
/// # Errors
/// With the reason, line and column.
pub(crate) fn check(text: &str, depth: usize) -> std::result::Result<(), JsonFault> {
    check_entries(text, depth, usize::MAX)
}

/// As [`check`], with at most `entries` keys in the outermost object.
///
/// # Errors
/// With the reason, line and column.
pub(crate) fn check_entries(text: &str, depth: usize, entries: usize) -> std::result::Result<(), JsonFault> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Strict { left: depth, depth, entries }
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end())
        .map_err(JsonFault::Syntax)
}

/// Visits a value and everything below it.
#[derive(Clone, Copy)]
struct Strict {
    left: usize,
    depth: usize,
    entries: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> std::result::Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom(format!("it is nested deeper than {} levels", self.depth))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> std::result::Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let deeper = self.deeper()?;
        while seq.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.contains(&key) {
                // The value is read so that the position in the message is that of the second key.
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("the key {key:?} occurs twice")));
            }
            if self.left == self.depth && keys.len() == self.entries {
                return Err(A::Error::custom(format!("it has more than {} entries", self.entries)));
            }
            map.next_value_seed(deeper)?;
            keys.insert(key);
        }
        Ok(())
    }
}
