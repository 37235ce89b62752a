//! The layout that a safetensors header gives, checked while its text is read: sixteen bytes are kept per tensor, so
//! that a hostile header costs less memory than it has bytes.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::tensor::Dtype;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::error::{JsonFault, SafetensorsFault};

/// Checks that every tensor has the bytes that its type and shape need, and that the tensors lie one behind the other
/// from the first byte to the last, without holes and overlaps. Gives the number of bytes of all tensors.
///
/// # Errors
/// With the rule that is broken.
pub(super) fn check(header: &str) -> Result<u64, SafetensorsFault> {
    let mut ranges = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(header);
    Header { ranges: &mut ranges }
        .deserialize(&mut deserializer)
        .map_err(|error| SafetensorsFault::Header(JsonFault::Syntax(error)))?;
    ranges.sort_unstable();
    let mut at = 0u64;
    for (start, end) in ranges {
        if start != at {
            return Err(match start > at {
                true => SafetensorsFault::Hole { from: at, to: start },
                false => SafetensorsFault::Overlap { from: start, to: at },
            });
        }
        at = end;
    }
    Ok(at)
}

/// One tensor.
#[derive(Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Elements,
    data_offsets: (u64, u64),
}

/// A text of `__metadata__`, of which nothing is kept.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

impl Visitor<'_> for Text {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing but texts in `__metadata__` (write the file again with safetensors' save_file)")
    }

    fn visit_str<E>(self, _: &str) -> Result<Text, E> {
        Ok(Text)
    }
}

/// The number of elements of a shape, `None` when it overflows.
struct Elements(Option<u64>);

struct Header<'r> {
    ranges: &'r mut Vec<(u64, u64)>,
}

impl<'de> DeserializeSeed<'de> for Header<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Header<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<BTreeMap<Text, Text>>()?;
                continue;
            }
            let Entry { dtype, shape, data_offsets: (start, end) } = map.next_value()?;
            let bits = shape.0.and_then(|elements| elements.checked_mul(dtype.bitsize() as u64));
            let fail = |reason: String| A::Error::custom(format!("tensor {} {reason}", shown(&name)));
            let bits = bits.ok_or_else(|| fail("has more elements than any file can hold".into()))?;
            match end.checked_sub(start) {
                Some(length) if bits % 8 == 0 && length == bits / 8 => self.ranges.push((start, end)),
                Some(length) => return Err(fail(format!("has {length} bytes, its type and shape need {}", bits.div_ceil(8)))),
                None => return Err(fail(format!("ends at byte {end} before it begins at {start}"))),
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Product)
    }
}

struct Product;

impl<'de> Visitor<'de> for Product {
    type Value = Elements;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of sizes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements, A::Error> {
        let mut product = Some(1u64);
        while let Some(size) = seq.next_element::<u64>()? {
            product = product.and_then(|product| product.checked_mul(size));
        }
        Ok(Elements(product))
    }
}

/// The name of a tensor for messages.
pub(super) fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(200).collect::<String>())
}
