//! What is wrong with a pickle file.

use dmdx_graph::error::WeightError;

use crate::defects::shortened;

/// Why the tensors of a pickle file are not read although pickle is allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// An archive whose directory makes no sense.
    #[error("its archive is damaged or cut short; download it again")]
    DamagedArchive,
    /// An entry that would have to be unpacked.
    #[error("the entry {entry:?} of its archive is compressed, which torch.save never does")]
    Compressed {
        /// The entry's name, shortened.
        entry: String,
    },
    /// Entries that lie over one another.
    #[error("the entries of its archive are larger than the file")]
    Overlapping,
    /// An archive with more than one `data.pkl`.
    #[error("its archive holds several descriptions (data.pkl)")]
    SeveralPrograms,
    /// An archive of something else.
    #[error("its archive holds no data.pkl, so torch.save did not write it")]
    NoProgram,
    /// Neither of the two containers.
    #[error("it is neither an archive nor a stream of torch.save; save its state_dict again with torch.save")]
    NotOfTorch,
    /// A program without an end.
    #[error("its pickled description is cut short; download it again")]
    CutShort,
    /// Classes or functions that tensors do not need.
    #[error("it names {}, which no tensor needs; nothing of it was run, take a safetensors file", shortened(.names))]
    Foreign {
        /// All of them, sorted.
        names: Vec<String>,
    },
    /// Names that are put together while the program runs.
    #[error("it names its classes as pickle's protocol 4 does; save it again with torch.save's default protocol")]
    Protocol,
    /// An instruction that tensors do not need.
    #[error("its pickled description has the instruction {opcode:#04x}, which no tensor needs")]
    Instruction {
        /// Its code.
        opcode: u8,
    },
    /// A program that takes values that it never made.
    #[error("its pickled description uses a value that is not there; download it again")]
    MissingValue,
    /// A program whose values would take too much memory.
    #[error("its pickled description asks for more than {limit} bytes, too many for a file of its size")]
    Growth {
        /// The bytes that it may take.
        limit: u64,
    },
    /// A program that is too large a part of its file.
    #[error("its pickled description has {described} bytes of {length}, too many for one of tensors")]
    Description {
        /// Bytes of the program.
        described: u64,
        /// Bytes of the file.
        length: usize,
    },
    /// What the reader of the tensors says.
    #[error("{reason}; download it again or take a safetensors file")]
    Reader {
        /// Its sentence, shortened.
        reason: String,
    },
    /// No tensor under a name.
    #[error("it holds no tensors by name; take a state_dict or a safetensors file")]
    NoTensors,
    /// Tensors that share their bytes more than any model's.
    #[error("its tensors would take {total} bytes, more than twice the file's {length}; take a safetensors file")]
    Views {
        /// Bytes of all tensors.
        total: u128,
        /// Bytes of the file.
        length: u64,
    },
    /// A type that graphs do not know.
    #[error("tensor {tensor:?} has type {dtype}; only F64, F32, F16, BF16, I64, I32, U8 and Bool are read")]
    Dtype {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor whose bytes do not fit its shape.
    #[error("tensor {tensor:?} {reason}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// The graph's reason.
        reason: Box<WeightError>,
    },
}
