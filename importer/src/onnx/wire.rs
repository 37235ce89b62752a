//! Protobuf's wire format, read in place: a walk over fields that allocates nothing.

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A variable-length integer.
    Varint(u64),
    /// Eight bytes.
    Fixed64([u8; 8]),
    /// A text, bytes, a message or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32([u8; 4]),
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// Its number in the message's definition.
    pub number: u32,
    /// Where its value begins in the message, after the length of bytes.
    pub start: usize,
    /// Where the length of bytes begins in the message.
    pub length_at: usize,
    /// Its value.
    pub value: Value<'a>,
}

/// Walks over the fields of a message. After an error it ends.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message of these bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn read(&mut self) -> Result<Field<'a>, String> {
        let place = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| format!("the field number at byte {place} is not valid"))?;
        let length_at = self.at;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = self.varint()?;
                let left = self.bytes.len() - self.at;
                let length = usize::try_from(length).ok().filter(|length| *length <= left);
                let length = length.ok_or_else(|| format!("field {number} at byte {place} is longer than its message"))?;
                self.at += length;
                Value::Bytes(&self.bytes[self.at - length..self.at])
            }
            5 => Value::Fixed32(self.fixed()?),
            other => return Err(format!("field {number} at byte {place} has the wire type {other}, which ONNX does not use")),
        };
        let start = match value {
            Value::Bytes(bytes) => self.at - bytes.len(),
            _ => place,
        };
        Ok(Field { number, start, length_at, value })
    }

    fn varint(&mut self) -> Result<u64, String> {
        let (value, length) =
            varint(&self.bytes[self.at..]).ok_or_else(|| format!("the integer at byte {} is broken", self.at))?;
        self.at += length;
        Ok(value)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.bytes[self.at..].first_chunk::<N>();
        let bytes = *bytes.ok_or_else(|| format!("the number at byte {} is cut short", self.at))?;
        self.at += N;
        Ok(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

/// A variable-length integer at the start of `bytes` and how many bytes it takes.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has room for one bit only.
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Calls `visit` with every integer of a repeated field: one, or many packed into bytes.
///
/// # Errors
/// When the packed bytes are broken or the field holds something else.
pub(super) fn each_varint(value: Value<'_>, mut visit: impl FnMut(u64)) -> Result<(), String> {
    match value {
        Value::Varint(value) => visit(value),
        Value::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                let (value, length) = varint(bytes).ok_or("a packed integer is broken")?;
                visit(value);
                bytes = &bytes[length..];
            }
        }
        Value::Fixed32(_) | Value::Fixed64(_) => return Err("a field of integers holds something else".into()),
    }
    Ok(())
}

/// Calls `visit` with the bytes of every number of `N` bytes of a repeated field.
///
/// # Errors
/// When the packed bytes are no whole number of numbers or the field holds something else.
pub(super) fn each_fixed<const N: usize>(value: Value<'_>, mut visit: impl FnMut([u8; N])) -> Result<(), String> {
    let single = match &value {
        Value::Fixed32(bytes) => bytes.as_slice(),
        Value::Fixed64(bytes) => bytes.as_slice(),
        Value::Bytes(bytes) => bytes,
        Value::Varint(_) => &[],
    };
    let (numbers, rest) = single.as_chunks::<N>();
    let packed = matches!(value, Value::Bytes(_));
    if !rest.is_empty() || (!packed && numbers.len() != 1) {
        return Err("a field of floating-point numbers holds something else".into());
    }
    numbers.iter().copied().for_each(&mut visit);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, String> {
        Fields::new(bytes).collect()
    }

    #[test]
    fn fields_are_walked_in_place() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4];
        let fields = all(&bytes).unwrap_or_default();
        assert_eq!(fields[0], Field { number: 1, start: 0, length_at: 1, value: Value::Varint(150) });
        assert_eq!(fields[1], Field { number: 2, start: 5, length_at: 4, value: Value::Bytes(b"hi") });
        assert_eq!(fields[2], Field { number: 3, start: 7, length_at: 8, value: Value::Fixed32([1, 2, 3, 4]) });
    }

    #[test]
    fn broken_bytes_are_refused() {
        assert_eq!(all(&[0x12, 5, b'x']), Err("field 2 at byte 0 is longer than its message".into()));
        assert_eq!(all(&[0x0b]), Err("field 1 at byte 0 has the wire type 3, which ONNX does not use".into()));
        assert_eq!(all(&[0x00, 1]), Err("the field number at byte 0 is not valid".into()));
        assert_eq!(all(&[0x08, 0xff]), Err("the integer at byte 1 is broken".into()));
        assert_eq!(all(&[0x1d, 1]), Err("the number at byte 1 is cut short".into()));
        assert_eq!(varint(&[0xff; 11]), None);
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some((u64::MAX, 10)));
    }
}
