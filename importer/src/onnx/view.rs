//! Views of the messages of a model whose bytes [`super::scan`] has walked: texts and tensors stay where they are in the
//! file.

use super::shown::shown;
use super::wire::{Fields, Value, each_fixed, each_varint};

/// One operation of a graph.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub op_type: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// One attribute of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    /// `AttributeProto.AttributeType`.
    pub kind: i64,
    pub f: Option<f32>,
    pub i: Option<i64>,
    pub s: Option<&'a [u8]>,
    /// The bytes of a tensor message.
    pub t: Option<&'a [u8]>,
    /// The bytes of a graph message.
    pub g: Option<&'a [u8]>,
    pub floats: Vec<f32>,
    pub ints: Vec<i64>,
    /// Whether a graph is there, or one of the values that are not read: lists of texts, tensors or graphs, references.
    pub other: bool,
}

/// An input or output of the graph.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueInfo<'a> {
    pub name: &'a str,
    /// Element type and dimensions of a tensor; `None` for anything else.
    pub tensor: Option<(i64, Vec<Size<'a>>)>,
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size<'a> {
    Known(i64),
    Named(&'a str),
    Unknown,
}

/// A text; the scan has shown that it is UTF-8.
pub(super) fn text(value: Value<'_>) -> &str {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        _ => "",
    }
}

pub(super) fn bytes(value: Value<'_>) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        _ => &[],
    }
}

pub(super) fn integer(value: Value<'_>) -> i64 {
    match value {
        Value::Varint(value) => value.cast_signed(),
        _ => 0,
    }
}

/// The fields of a message that has been walked before; it ends early if the file changed since.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = (u32, usize, Value<'_>)> {
    Fields::new(message).map_while(Result::ok).map(|field| (field.number, field.start, field.value))
}

/// The values of one field.
pub(super) fn repeated(message: &[u8], number: u32) -> impl Iterator<Item = Value<'_>> {
    fields(message).filter(move |(other, _, _)| *other == number).map(|(_, _, value)| value)
}

/// The integers of a repeated field.
pub(super) fn integers(message: &[u8], number: u32) -> Vec<i64> {
    let mut all = Vec::new();
    for value in repeated(message, number) {
        // The scan has shown that these are integers.
        let _ = each_varint(value, |value| all.push(value.cast_signed()));
    }
    all
}

impl<'a> Node<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        let mut node = Self::default();
        for (number, _, value) in fields(message) {
            match number {
                1 => node.inputs.push(text(value)),
                2 => node.outputs.push(text(value)),
                3 => node.name = text(value),
                4 => node.op_type = text(value),
                5 => node.attributes.push(Attribute::new(bytes(value))),
                7 => node.domain = text(value),
                _ => {}
            }
        }
        node
    }

    /// The name by which messages call the node: its own, or that of its first result.
    pub(super) fn shown(&self) -> String {
        let results = self.outputs.iter().copied();
        let name = std::iter::once(self.name).chain(results).find(|name| !name.is_empty());
        name.map_or_else(|| "(without a name)".into(), shown)
    }
}

impl<'a> Attribute<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut attribute = Self::default();
        for (number, _, value) in fields(message) {
            match (number, value) {
                (1, value) => attribute.name = text(value),
                (2, Value::Fixed32(bytes)) => attribute.f = Some(f32::from_le_bytes(bytes)),
                (3, value) => attribute.i = Some(integer(value)),
                (4, value) => attribute.s = Some(bytes(value)),
                (5, value) => attribute.t = Some(bytes(value)),
                (6, value) => {
                    attribute.g = Some(bytes(value));
                    attribute.other = true;
                }
                (7, value) => {
                    let _ = each_fixed::<4>(value, |bytes| attribute.floats.push(f32::from_le_bytes(bytes)));
                }
                (8, value) => {
                    let _ = each_varint(value, |value| attribute.ints.push(value.cast_signed()));
                }
                (20, value) => attribute.kind = integer(value),
                // The documentation changes nothing.
                (13, _) => {}
                (21, value) => attribute.other |= !bytes(value).is_empty(),
                _ => attribute.other = true,
            }
        }
        attribute
    }

    /// Whether exactly the value that the type announces is there.
    pub(super) fn is_consistent(&self) -> bool {
        let held = [self.f.is_some(), self.i.is_some(), self.s.is_some(), self.t.is_some(), self.other];
        let floats_and_ints = [!self.floats.is_empty(), !self.ints.is_empty()];
        let only = |kind: usize| held.iter().enumerate().all(|(i, held)| *held == (i == kind));
        match self.kind {
            // Zeros may be left out by writers of the third version of protobuf.
            1..=3 => {
                let rest = held.iter().enumerate().all(|(i, held)| !*held || i + 1 == self.kind as usize);
                rest && floats_and_ints == [false; 2]
            }
            4 => only(3) && floats_and_ints == [false; 2],
            // An empty list is a value as well.
            6 => held == [false; 5] && !floats_and_ints[1],
            7 => held == [false; 5] && !floats_and_ints[0],
            5 | 8..=14 => held[..4] == [false; 4] && floats_and_ints == [false; 2],
            _ => false,
        }
    }
}

impl<'a> ValueInfo<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        let mut info = Self::default();
        for (number, _, value) in fields(message) {
            match number {
                1 => info.name = text(value),
                2 => info.tensor = repeated(bytes(value), 1).last().and_then(|tensor| tensor_type(bytes(tensor))),
                _ => {}
            }
        }
        info
    }
}

/// Element type and dimensions; a tensor without a shape is none that can be imported.
fn tensor_type(message: &[u8]) -> Option<(i64, Vec<Size<'_>>)> {
    let element = repeated(message, 1).last().map_or(0, integer);
    let shape = bytes(repeated(message, 2).last()?);
    let sizes =
        repeated(shape, 1).map(|dimension| match fields(bytes(dimension)).find(|(number, _, _)| matches!(number, 1 | 2)) {
            Some((1, _, value)) => Size::Known(integer(value)),
            Some((_, _, value)) if !bytes(value).is_empty() => Size::Named(text(value)),
            _ => Size::Unknown,
        });
    Some((element, sizes.collect()))
}
