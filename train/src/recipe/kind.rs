//! What a key of a recipe may hold, and the sentence that says so.

use toml::Value;

/// What a key may hold.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A finite number from the first to the second.
    Number(f64, f64),
    /// A finite number above 0, up to the value.
    Positive(f64),
    /// Two numbers within the range, the first not above the second.
    Range(f64, f64),
    /// `true` or `false`.
    Flag,
    /// Any text but the empty one.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of different words of these, at least one.
    Words(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list of different whole numbers, at least one.
    Integers(i64, i64),
    /// A list of numbers within the range, at least one.
    Numbers(f64, f64),
    /// A table from names to lists of texts.
    Lists,
}

use Kind::{Flag, Integer, Integers, Lists, Number, Numbers, Positive, Range, Text, Texts, Word, Words};

/// More of anything than a run can count.
pub const MANY: i64 = 1_000_000_000_000;
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(integer) => Some(*integer as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    }
}

fn texts(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(|item| item.as_str().is_some_and(|text| !text.is_empty())))
}

fn are_different(list: &[Value]) -> bool {
    list.iter().enumerate().all(|(index, item)| !list[..index].contains(item))
}

impl Kind {
    pub(super) fn admits(self, value: &Value) -> bool {
        match self {
            Integer(low, high) => value.as_integer().is_some_and(|v| (low..=high).contains(&v)),
            Number(low, high) => number(value).is_some_and(|v| (low..=high).contains(&v)),
            Positive(high) => number(value).is_some_and(|v| v > 0.0 && v <= high),
            Range(low, high) => match value.as_array().map(Vec::as_slice) {
                Some([first, second]) => match (number(first), number(second)) {
                    (Some(first), Some(second)) => low <= first && first <= second && second <= high,
                    _ => false,
                },
                _ => false,
            },
            Flag => value.is_bool(),
            Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Words(words) => value.as_array().is_some_and(|list| {
                let known = |v: &Value| v.as_str().is_some_and(|word| words.contains(&word));
                !list.is_empty() && list.iter().all(known) && are_different(list)
            }),
            Texts => texts(value),
            Integers(low, high) => value.as_array().is_some_and(|list| {
                let inside = |v: &Value| v.as_integer().is_some_and(|v| (low..=high).contains(&v));
                !list.is_empty() && list.iter().all(inside) && are_different(list)
            }),
            Numbers(low, high) => value.as_array().is_some_and(|list| {
                let inside = |v: &Value| number(v).is_some_and(|v| (low..=high).contains(&v));
                !list.is_empty() && list.iter().all(inside)
            }),
            Lists => value.as_table().is_some_and(|table| table.iter().all(|(_, list)| texts(list))),
        }
    }

    /// What is allowed, as the end of "must be …".
    pub(super) fn sentence(self, key: &str) -> String {
        match self {
            _ if key == "optimizer.beta1" => "0, since the optimizer keeps no first moment".to_string(),
            _ if key == "lora.dropout" => "0, since nothing is dropped while factors are trained".to_string(),
            Integer(low, high) if high >= MANY => format!("a whole number, {low} or more"),
            Integer(low, high) => format!("a whole number from {low} to {high}"),
            Number(low, high) => format!("a number from {low} to {high}"),
            Positive(high) => format!("a number above 0 and at most {high}"),
            Range(low, high) => format!("two numbers [low, high] from {low} to {high} with low ≤ high"),
            Flag => "true or false".to_string(),
            Text => "a text that is not empty".to_string(),
            Word([only]) => format!("\"{only}\""),
            Word(words) => format!("one of \"{}\"", words.join("\", \"")),
            Words(words) => format!("a list of at least one, all different, of \"{}\"", words.join("\", \"")),
            Texts => "a list of texts that are not empty".to_string(),
            Integers(low, high) => {
                format!("a list of at least one, all different, whole numbers from {low} to {high}")
            }
            Numbers(low, high) => format!("a list of at least one number from {low} to {high}"),
            Lists => "a table of lists of texts".to_string(),
        }
    }
}
