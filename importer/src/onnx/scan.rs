//! The first look at a model: every message in the file is walked in place, so that depth, counts and texts are known to
//! be within limits before anything is allocated for them.

use super::wire::{Field, Fields, Value, each_fixed, each_varint};
use crate::limits::Limits;

/// What stops the first look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes are not a model.
    Broken(String),
    /// Something is beyond a limit.
    Limit {
        what: &'static str,
        value: u64,
        limit: u64,
        /// The field of [`Limits`].
        setting: &'static str,
    },
}

/// What the first look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Nodes of the outermost graph.
    pub nodes: usize,
    /// Results of these nodes.
    pub results: usize,
    /// Inputs and initializers of the outermost graph.
    pub sources: usize,
    /// Parts of the format that are not read, each once.
    pub refused: Vec<&'static str>,
}

/// Numbers that one attribute may list; a tensor holds more.
const ATTRIBUTE_NUMBERS: u64 = 1 << 13;

/// The messages that are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Model,
    OperatorSet,
    Graph,
    Node,
    Attribute,
    Tensor,
    Entry,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Dimension,
}

/// What a field holds.
enum Holds {
    Message(Message),
    Text,
    Bytes,
    Integers,
    Floats,
    Doubles,
    /// Something that no part of this importer reads and that must not be overlooked.
    Refused(&'static str),
    /// Anything that changes no result: documentation, value types, metadata.
    Unread,
}

impl Message {
    fn name(self) -> &'static str {
        match self {
            Message::Model => "model",
            Message::OperatorSet => "operator set",
            Message::Graph => "graph",
            Message::Node => "node",
            Message::Attribute => "attribute",
            Message::Tensor => "tensor",
            Message::Entry => "entry",
            Message::ValueInfo => "input or output",
            Message::Type => "type",
            Message::TensorType => "tensor type",
            Message::Shape => "shape",
            Message::Dimension => "dimension",
        }
    }

    /// The fields by number, as `onnx.proto3` defines them.
    fn field(self, number: u32) -> Holds {
        use Holds::{Bytes, Doubles, Floats, Integers, Refused, Text, Unread};
        match (self, number) {
            (Message::Model, 1) => Integers,
            (Message::Model, 2 | 3) => Text,
            (Message::Model, 7) => Holds::Message(Message::Graph),
            (Message::Model, 8) => Holds::Message(Message::OperatorSet),
            (Message::Model, 20) => Refused("training information"),
            (Message::Model, 25) => Refused("model-local functions"),
            (Message::OperatorSet, 1) => Text,
            (Message::OperatorSet, 2) => Integers,
            (Message::Graph, 1) => Holds::Message(Message::Node),
            (Message::Graph, 2) => Text,
            (Message::Graph, 5) => Holds::Message(Message::Tensor),
            (Message::Graph, 11 | 12) => Holds::Message(Message::ValueInfo),
            (Message::Graph, 15) => Refused("sparse initializers"),
            (Message::Node, 1 | 2 | 3 | 4 | 7) => Text,
            (Message::Node, 5) => Holds::Message(Message::Attribute),
            (Message::Attribute, 1 | 21) => Text,
            (Message::Attribute, 2 | 7) => Floats,
            (Message::Attribute, 3 | 8 | 20) => Integers,
            (Message::Attribute, 4 | 9) => Bytes,
            (Message::Attribute, 5 | 10) => Holds::Message(Message::Tensor),
            (Message::Attribute, 6 | 11) => Holds::Message(Message::Graph),
            (Message::Tensor, 1 | 2 | 5 | 7 | 11 | 14) => Integers,
            (Message::Tensor, 3) => Refused("tensors in segments"),
            (Message::Tensor, 4) => Floats,
            (Message::Tensor, 8) => Text,
            (Message::Tensor, 9) => Bytes,
            (Message::Tensor, 10) => Doubles,
            (Message::Tensor, 13) => Holds::Message(Message::Entry),
            (Message::Entry, 1 | 2) => Text,
            (Message::ValueInfo, 1) => Text,
            (Message::ValueInfo, 2) => Holds::Message(Message::Type),
            (Message::Type, 1) => Holds::Message(Message::TensorType),
            (Message::TensorType, 1) => Integers,
            (Message::TensorType, 2) => Holds::Message(Message::Shape),
            (Message::Shape, 1) => Holds::Message(Message::Dimension),
            (Message::Dimension, 1) => Integers,
            (Message::Dimension, 2) => Text,
            _ => Unread,
        }
    }

    /// Which limit the number of occurrences of a field in one message has.
    fn occurrences(self, number: u32, limits: &Limits) -> Option<(&'static str, u64, &'static str)> {
        match (self, number) {
            (Message::Model, 7) => Some(("the number of graphs", 1, "")),
            (Message::Model, 8) => Some(("the number of operator sets", limits.attributes as u64, "attributes")),
            (Message::Graph, 1) => Some(("the number of nodes", limits.nodes as u64, "nodes")),
            (Message::Graph, 5) => Some(("the number of initializers", limits.tensors as u64, "tensors")),
            (Message::Graph, 11) => Some(("the number of inputs", limits.inputs as u64, "inputs")),
            (Message::Graph, 12) => Some(("the number of outputs", limits.inputs as u64, "inputs")),
            (Message::Node, 1) => Some(("the number of a node's inputs", limits.inputs as u64, "inputs")),
            (Message::Node, 2) => Some(("the number of a node's outputs", limits.inputs as u64, "inputs")),
            (Message::Node, 5) => Some(("the number of a node's attributes", limits.attributes as u64, "attributes")),
            (Message::Tensor, 13) => Some(("the number of external data entries", limits.attributes as u64, "attributes")),
            (Message::Shape, 1) => Some(("the number of dimensions", limits.rank as u64, "rank")),
            _ => None,
        }
    }

    /// Which limit the number of numbers in one message's field has.
    fn numbers(self, number: u32, limits: &Limits) -> Option<(&'static str, u64, &'static str)> {
        match (self, number) {
            (Message::Tensor, 1) => Some(("the number of dimensions of a tensor", limits.rank as u64, "rank")),
            (Message::Attribute, 7 | 8) => Some(("the number of numbers in an attribute", ATTRIBUTE_NUMBERS, "")),
            _ => None,
        }
    }
}

/// Walks over a whole model.
pub(super) fn scan(bytes: &[u8], limits: &Limits) -> Result<Found, Stop> {
    let mut scan = Scan { limits, found: Found::default(), nodes: 0 };
    scan.message(bytes, Message::Model, 1, true)?;
    Ok(scan.found)
}

struct Scan<'l> {
    limits: &'l Limits,
    found: Found,
    /// Nodes of all graphs together.
    nodes: u64,
}

impl Scan<'_> {
    /// `outermost`: the message is the model, its graph, or a part of that which is no other graph.
    fn message(&mut self, bytes: &[u8], message: Message, depth: usize, outermost: bool) -> Result<(), Stop> {
        if depth > self.limits.message_depth {
            let limit = self.limits.message_depth as u64;
            return Err(Stop::Limit { what: "the nesting of messages", value: depth as u64, limit, setting: "message_depth" });
        }
        // Field numbers above 31 have no limit.
        let mut occurrences = [0u64; 32];
        let mut numbers = [0u64; 32];
        for field in Fields::new(bytes) {
            let field = field.map_err(|reason| Stop::Broken(format!("in a {}, {reason}", message.name())))?;
            if let Some(count) = occurrences.get_mut(field.number as usize) {
                *count += 1;
                check(*count, message.occurrences(field.number, self.limits))?;
            }
            match message.field(field.number) {
                Holds::Message(inner) => {
                    let bytes = bytes_of(field, message)?;
                    self.count(message, field.number, outermost)?;
                    let still = outermost && (inner != Message::Graph || message == Message::Model);
                    self.message(bytes, inner, depth + 1, still)?;
                }
                Holds::Text => {
                    self.text(field, message)?;
                    self.found.results += usize::from(outermost && message == Message::Node && field.number == 2);
                }
                Holds::Bytes => {
                    bytes_of(field, message)?;
                }
                Holds::Refused(what) if !self.found.refused.contains(&what) => self.found.refused.push(what),
                Holds::Refused(_) | Holds::Unread => {}
                Holds::Integers | Holds::Floats | Holds::Doubles => {
                    let mut count = 0u64;
                    let walked = match message.field(field.number) {
                        Holds::Floats => each_fixed::<4>(field.value, |_| count += 1),
                        Holds::Doubles => each_fixed::<8>(field.value, |_| count += 1),
                        _ => each_varint(field.value, |_| count += 1),
                    };
                    walked
                        .map_err(|reason| Stop::Broken(format!("in field {} of a {}, {reason}", field.number, message.name())))?;
                    if let Some(total) = numbers.get_mut(field.number as usize) {
                        *total += count;
                        check(*total, message.numbers(field.number, self.limits))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, message: Message, number: u32, outermost: bool) -> Result<(), Stop> {
        match (message, number) {
            (Message::Graph, 1) => {
                self.nodes += 1;
                self.found.nodes += usize::from(outermost);
                check(self.nodes, Some(("the number of nodes of all graphs", self.limits.nodes as u64, "nodes")))
            }
            (Message::Graph, 5 | 11) => {
                self.found.sources += usize::from(outermost);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, field: Field<'_>, message: Message) -> Result<(), Stop> {
        let bytes = bytes_of(field, message)?;
        check(bytes.len() as u64, Some(("the length of a text in bytes", self.limits.name_bytes as u64, "name_bytes")))?;
        match std::str::from_utf8(bytes) {
            Ok(_) => Ok(()),
            Err(error) => {
                Err(Stop::Broken(format!("a text in field {} of a {} is not UTF-8 ({error})", field.number, message.name())))
            }
        }
    }
}

fn check(value: u64, limit: Option<(&'static str, u64, &'static str)>) -> Result<(), Stop> {
    match limit {
        Some((what, limit, _)) if value > limit && what == "the number of graphs" => {
            Err(Stop::Broken("it holds more than one graph".into()))
        }
        Some((what, limit, "")) if value > limit => Err(Stop::Broken(format!("{what} is more than {limit}"))),
        Some((what, limit, setting)) if value > limit => Err(Stop::Limit { what, value, limit, setting }),
        _ => Ok(()),
    }
}

fn bytes_of<'a>(field: Field<'a>, message: Message) -> Result<&'a [u8], Stop> {
    match field.value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Stop::Broken(format!("field {} of a {} is a number where bytes belong", field.number, message.name()))),
    }
}
