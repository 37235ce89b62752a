//! What is wrong with a safetensors file.

use std::str::Utf8Error;

use dmdx_graph::error::WeightError;
use safetensors::tensor::Dtype;

use super::JsonFault;

/// The rule of the format that a file breaks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SafetensorsFault {
    /// Not even the length of a header.
    #[error("it has {length} bytes, fewer than the 8 that hold the header's length; download it again")]
    TooShort {
        /// Bytes of the file.
        length: usize,
    },
    /// A header that is longer than the file.
    #[error("it claims a header of {claimed} bytes but only {found} follow; {}", if *.begins { "it is cut short, so download it again" } else { "it is of another format or damaged" })]
    HeaderLength {
        /// What the file says.
        claimed: u64,
        /// Bytes behind the length.
        found: usize,
        /// Whether they begin as a header.
        begins: bool,
    },
    /// A header that is no text.
    #[error("its header is not UTF-8 ({0})")]
    HeaderNotUtf8(Utf8Error),
    /// A header that is no JSON object.
    #[error("its header does not begin with `{{`; it is of another format")]
    NotAHeader,
    /// A header that is not the JSON that the format asks for, or contradicts itself within one tensor.
    #[error("in its header, {0}")]
    Header(JsonFault),
    /// Bytes of the data that no tensor has.
    #[error("in its header, the bytes {from} to {to} of the data belong to no tensor")]
    Hole {
        /// The first of them.
        from: u64,
        /// The first behind them.
        to: u64,
    },
    /// Bytes of the data that two tensors have.
    #[error("in its header, the bytes {from} to {to} of the data belong to two tensors")]
    Overlap {
        /// The first of them.
        from: u64,
        /// The first behind them.
        to: u64,
    },
    /// Fewer bytes of data than the header describes.
    #[error("it is {missing} bytes too short for the tensors in its header; download it again")]
    CutShort {
        /// How many are missing.
        missing: u64,
    },
    /// More bytes of data than the header describes.
    #[error("{extra} bytes follow its last tensor, where nothing may be hidden; write it again with safetensors' save_file")]
    Trailing {
        /// How many there are.
        extra: u64,
    },
    /// A type that graphs do not know.
    #[error("tensor {tensor} has type {dtype}; only F64, F32, F16, BF16, F8_E4M3, F8_E5M2, I64, I32, U8 and BOOL are read")]
    Dtype {
        /// The tensor, quoted.
        tensor: String,
        /// Its type.
        dtype: Dtype,
    },
    /// An offset that no file can have.
    #[error("tensor {tensor} starts beyond every file")]
    BeyondFile {
        /// The tensor, quoted.
        tensor: String,
    },
    /// A tensor that does not lie in the file as it should.
    #[error("tensor {tensor} {reason}")]
    Tensor {
        /// The tensor, quoted.
        tensor: String,
        /// The graph's reason.
        reason: Box<WeightError>,
    },
}
