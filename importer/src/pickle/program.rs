//! Walks over a pickled program without running it: where it ends, and what it names.

use std::collections::BTreeSet;

use super::sizes::Sizes;
use crate::error::PickleFault;

/// Pickles at the start of a file of PyTorch before 1.6: magic number, version, system, object, storage keys.
const STREAM_PICKLES: usize = 5;
/// The magic number of such a file, as protocol 2 writes it.
const STREAM_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// What a checkpoint of tensors names: `module name`, or a whole module that ends in a dot.
const ALLOWED: [&str; 26] = [
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch._utils _rebuild_parameter",
    "torch._tensor _rebuild_from_type_v2",
    "torch.nn.parameter Parameter",
    "torch Size",
    "torch device",
    "torch Tensor",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch LongStorage",
    "torch IntStorage",
    "torch ShortStorage",
    "torch CharStorage",
    "torch ByteStorage",
    "torch BoolStorage",
    "torch.storage UntypedStorage",
    "collections OrderedDict",
    "collections defaultdict",
    "__builtin__ set",
    "builtins set",
    "numpy dtype",
    // Notes of the training program; they are not interpreted.
    "pytorch_lightning.",
];
/// Element types and numbers beside tensors.
const ALLOWED_MORE: [&str; 13] = [
    "torch float32",
    "torch float64",
    "torch float16",
    "torch bfloat16",
    "torch int64",
    "torch int32",
    "torch int16",
    "torch int8",
    "torch uint8",
    "torch bool",
    "numpy.core.multiarray scalar",
    "numpy._core.multiarray scalar",
    "_codecs encode",
];

/// The programs of a file of PyTorch before 1.6.
///
/// # Errors
/// When it is no such file, or damaged.
pub(super) fn stream(bytes: &[u8]) -> Result<Vec<&[u8]>, PickleFault> {
    if !bytes.starts_with(STREAM_MAGIC) {
        return Err(PickleFault::NotOfTorch);
    }
    let mut rest = bytes;
    let mut programs = Vec::new();
    for _ in 0..STREAM_PICKLES {
        let (program, after) = rest.split_at(end(rest, |_, _| Ok(()))?);
        programs.push(program);
        rest = after;
    }
    Ok(programs)
}

/// Checks what a program names and, after that, what it takes in memory; the bytes of it.
///
/// # Errors
/// With everything that no tensor needs, or when more than `limit` bytes would be taken.
pub(super) fn check(program: &[u8], limit: u64) -> Result<u64, PickleFault> {
    let mut foreign = BTreeSet::new();
    end(program, |opcode, argument| {
        if opcode != b'c' {
            return Ok(());
        }
        let full = String::from_utf8_lossy(argument).trim_end_matches('\n').replacen('\n', " ", 1);
        let fits = |allowed: &str| allowed == full || (allowed.ends_with('.') && full.starts_with(allowed));
        if !ALLOWED.iter().chain(&ALLOWED_MORE).any(|allowed| fits(allowed)) {
            foreign.insert(full.replacen(' ', ".", 1).chars().take(80).collect::<String>());
        }
        Ok(())
    })?;
    match foreign.is_empty() {
        true => {
            let mut sizes = Sizes::new(limit);
            end(program, |opcode, argument| sizes.step(opcode, argument))?;
            Ok(sizes.taken())
        }
        false => Err(PickleFault::Foreign { names: foreign.into_iter().collect() }),
    }
}

/// The position behind the STOP of the first program; `step` is told every instruction and the bytes behind its code.
fn end(bytes: &[u8], mut step: impl FnMut(u8, &[u8]) -> Result<(), PickleFault>) -> Result<usize, PickleFault> {
    let mut at = 0usize;
    loop {
        let opcode = *bytes.get(at).ok_or(PickleFault::CutShort)?;
        let rest = bytes.get(at + 1..).ok_or(PickleFault::CutShort)?;
        let argument = match opcode {
            b'.' => return Ok(at + 1),
            b'c' => {
                let module = line(rest).ok_or(PickleFault::CutShort)?;
                let name = line(rest.get(module.len() + 1..).ok_or(PickleFault::CutShort)?).ok_or(PickleFault::CutShort)?;
                module.len() + name.len() + 2
            }
            // Lines of text.
            b'I' | b'L' | b'F' | b'V' | b'S' | b'g' | b'p' | b'P' => line(rest).ok_or(PickleFault::CutShort)?.len() + 1,
            b'K' | b'h' | b'q' | 0x80 => 1,
            b'M' => 2,
            b'J' | b'j' | b'r' => 4,
            b'G' | 0x95 => 8,
            // Lengths of one, four and eight bytes with that many bytes after them.
            b'U' | b'C' | 0x8a | 0x8c => counted::<1>(rest).ok_or(PickleFault::CutShort)?,
            b'X' | b'T' | b'B' | 0x8b => counted::<4>(rest).ok_or(PickleFault::CutShort)?,
            0x8d | 0x8e | 0x96 => counted::<8>(rest).ok_or(PickleFault::CutShort)?,
            // Instructions without an argument.
            b'('
            | b'0'
            | b'1'
            | b'2'
            | b'N'
            | b'R'
            | b'b'
            | b'd'
            | b'l'
            | b't'
            | b's'
            | b'a'
            | b')'
            | b']'
            | b'}'
            | b'e'
            | b'u'
            | b'Q'
            | 0x81
            | 0x85..=0x89
            | 0x8f..=0x91
            | 0x94 => 0,
            0x93 => return Err(PickleFault::Protocol),
            _ => return Err(PickleFault::Instruction { opcode }),
        };
        step(opcode, rest.get(..argument).ok_or(PickleFault::CutShort)?)?;
        at += 1 + argument;
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.split(|byte| *byte == b'\n').next().filter(|line| line.len() < bytes.len())
}

/// Bytes of a length of `N` bytes and of what it counts.
fn counted<const N: usize>(bytes: &[u8]) -> Option<usize> {
    let mut length = [0; 8];
    length[..N].copy_from_slice(bytes.first_chunk::<N>()?);
    usize::try_from(u64::from_le_bytes(length)).ok()?.checked_add(N)
}
