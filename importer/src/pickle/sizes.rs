//! What a pickled program would take in memory, from its instructions alone: the reader copies a value each time that it
//! is put into the memo or fetched from there, so that a few instructions can ask for any amount.

use std::collections::BTreeMap;

use crate::error::PickleFault;

/// Bytes that every value counts for beside its text, about a quarter of what the reader takes for it.
const VALUE: u64 = 24;
/// What a tensor or a reference to a storage counts for at the least: their copies share all but the shape and the name.
const SHARED: u64 = 3 * VALUE;

/// A value on the stack or in the memo.
#[derive(Clone, Copy)]
struct Slot {
    bytes: u64,
    /// Where it lies in the memo, which is refreshed when the value is given a state.
    memo: Option<u32>,
    /// Whether it is a function that makes a tensor of its arguments.
    rebuilds: bool,
}

/// The reader's stack, marks and memo, by their sizes.
pub(super) struct Sizes {
    stack: Vec<Slot>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Slot>,
    taken: u64,
    limit: u64,
}

impl Sizes {
    /// Nothing yet of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), taken: 0, limit }
    }

    /// The bytes that are taken by now.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Follows one instruction; `argument` are the bytes behind its code.
    ///
    /// # Errors
    /// When more than the limit would be taken, or a value is asked for that is not there.
    pub(super) fn step(&mut self, opcode: u8, argument: &[u8]) -> Result<(), PickleFault> {
        match opcode {
            b'(' => {
                self.marks.push(self.stack.len());
                self.take(VALUE)
            }
            b'.' | 0x80 | 0x95 => Ok(()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                self.free(VALUE);
                Ok(())
            }
            b'0' => self.pop().map(|slot| self.free(slot.bytes)),
            b'1' => self.pop_marked().map(|bytes| self.free(bytes)),
            b'2' => {
                let top = self.top()?;
                self.push(top)
            }
            b'g' | b'h' | b'j' => {
                let slot = *self.memo.get(&index(opcode, argument)?).ok_or(PickleFault::MissingValue)?;
                self.push(slot)
            }
            b'p' | b'q' | b'r' => self.put(index(opcode, argument)?),
            0x94 => self.put(u32::try_from(self.memo.len()).map_err(|_| PickleFault::MissingValue)?),
            // Containers take over what they hold.
            b't' | b'l' | b'd' | 0x91 => {
                let bytes = self.pop_marked()?;
                self.regain(bytes)
            }
            0x85..=0x87 => self.join(opcode - 0x84),
            b'e' | b'u' | 0x90 => {
                let bytes = self.pop_marked()?;
                self.grow(bytes)
            }
            b'a' => {
                let value = self.pop()?.bytes;
                self.grow(value)
            }
            b's' => {
                let pair = self.pop()?.bytes.saturating_add(self.pop()?.bytes);
                self.grow(pair)
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                let both = arguments.bytes.saturating_add(function.bytes);
                self.free(both);
                self.value(if function.rebuilds { SHARED.max(both / 4) } else { both })
            }
            0x81 => self.join(2),
            b'Q' => {
                let id = self.pop()?;
                self.free(id.bytes);
                self.value(SHARED.max(id.bytes / 2))
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.pop()?);
                let bytes = state.bytes.saturating_add(object.bytes);
                self.stack.push(Slot { bytes, ..object });
                object.memo.map_or(Ok(()), |at| self.put(at))
            }
            b'c' => {
                let rebuilds = argument.starts_with(b"torch._utils\n_rebuild_tensor");
                self.push(Slot { bytes: VALUE + argument.len() as u64, memo: None, rebuilds })
            }
            // Numbers and text.
            _ => self.value(VALUE + argument.len() as u64),
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), PickleFault> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.limit {
            return Err(PickleFault::Growth { limit: self.limit });
        }
        Ok(())
    }

    fn free(&mut self, bytes: u64) {
        self.taken = self.taken.saturating_sub(bytes);
    }

    fn push(&mut self, slot: Slot) -> Result<(), PickleFault> {
        self.stack.push(slot);
        self.take(slot.bytes)
    }

    fn value(&mut self, bytes: u64) -> Result<(), PickleFault> {
        self.push(Slot { bytes, memo: None, rebuilds: false })
    }

    /// Pushes a container of values that were taken already.
    fn regain(&mut self, held: u64) -> Result<(), PickleFault> {
        self.free(held);
        self.value(held.saturating_add(VALUE))
    }

    fn join(&mut self, count: u8) -> Result<(), PickleFault> {
        let mut bytes = 0u64;
        for _ in 0..count {
            bytes = bytes.saturating_add(self.pop()?.bytes);
        }
        self.regain(bytes)
    }

    /// The value on top takes over values that were above it.
    fn grow(&mut self, bytes: u64) -> Result<(), PickleFault> {
        let mut top = self.pop()?;
        top.bytes = top.bytes.saturating_add(bytes);
        self.stack.push(top);
        Ok(())
    }

    fn put(&mut self, at: u32) -> Result<(), PickleFault> {
        let slot = Slot { memo: Some(at), ..self.pop()? };
        self.stack.push(slot);
        let before = self.memo.insert(at, slot);
        self.free(before.map_or(0, |slot| slot.bytes));
        self.take(slot.bytes)
    }

    fn top(&self) -> Result<Slot, PickleFault> {
        let above = self.marks.last().is_none_or(|mark| *mark < self.stack.len());
        self.stack.last().copied().filter(|_| above).ok_or(PickleFault::MissingValue)
    }

    fn pop(&mut self) -> Result<Slot, PickleFault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// Takes off everything above the last mark; the bytes of all together.
    fn pop_marked(&mut self) -> Result<u64, PickleFault> {
        let mark = self.marks.pop().ok_or(PickleFault::MissingValue)?;
        self.free(VALUE);
        Ok(self.stack.drain(mark..).fold(0, |sum, slot| sum.saturating_add(slot.bytes)))
    }
}

/// The memo's place that an instruction names: one byte, four, or a line of digits.
fn index(opcode: u8, argument: &[u8]) -> Result<u32, PickleFault> {
    match (opcode, argument) {
        (b'h' | b'q', [place]) => Some(u32::from(*place)),
        (b'j' | b'r', &[a, b, c, d]) => Some(u32::from_le_bytes([a, b, c, d])),
        (b'g' | b'p', line) => line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()?.parse().ok()),
        _ => None,
    }
    .ok_or(PickleFault::MissingValue)
}
