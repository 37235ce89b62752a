//! Files that are something else than weights that can be read, by their first bytes.

/// What a file is instead, and what to do; completes "`FILE` …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignFile {
    /// Nothing.
    #[error("is empty: its download failed; download it again")]
    Empty,
    /// Room for a download that was never filled.
    #[error("begins with {bytes} zero bytes: its download was not finished; download it again")]
    Zeros {
        /// How many were looked at.
        bytes: usize,
    },
    /// What git leaves where git-lfs is not installed.
    #[error("is a Git LFS pointer{}, not the file itself; run `git lfs pull` where it was cloned, or download the file", of_bytes(*.bytes))]
    LfsPointer {
        /// Size of the file that it stands for.
        bytes: Option<u64>,
    },
    /// A page of a web site.
    #[error(
        "is a web page, as a site shows in place of a file that it does not give out; open its address, sign in or accept the licence where it asks for that, and download the file again"
    )]
    Page,
    /// A message of a server, or a file of another purpose.
    #[error("is text ({start:?}), such as a server's message in place of a file; download the file again")]
    Text {
        /// Its first line, shortened.
        start: String,
    },
    /// Quantised weights of llama.cpp and its kind.
    #[error("is a GGUF file, whose blocks of quantised weights are not read; take the safetensors file that it was made from")]
    Gguf,
    /// The formats before GGUF.
    #[error("is a GGML file, whose blocks of quantised weights are not read; take the safetensors file that it was made from")]
    Ggml,
    /// An ONNX model under another name.
    #[error("is an ONNX model; give it a name that ends in .onnx")]
    Onnx,
    /// Keras' and old TensorFlow's weights.
    #[error("is an HDF5 file, as Keras and TensorFlow write (.h5), which is not read; {SAVE}")]
    Hdf5,
    /// A protocol buffer of TensorFlow.
    #[error("is a TensorFlow graph (SavedModel or frozen graph, .pb), which is not read; {SAVE}")]
    TensorFlow,
    /// TensorFlow's checkpoints.
    #[error("is a part of a TensorFlow checkpoint (.ckpt, .index), which is not read; {SAVE}")]
    TensorFlowCheckpoint,
    /// TensorFlow Lite.
    #[error("is a TensorFlow Lite model, which is not read; {SAVE}")]
    TensorFlowLite,
    /// Flax' weights.
    #[error("is a MessagePack file, as Flax writes (.msgpack), which is not read; {SAVE}")]
    Flax,
    /// NumPy's arrays.
    #[error("holds arrays of NumPy ({extension}), which are not read; save them with safetensors.numpy.save_file")]
    Numpy {
        /// `.npy` or `.npz`.
        extension: &'static str,
    },
    /// An archive of something else than tensors.
    #[error("is a ZIP archive that begins with {entry:?}, not weights; unpack it and give what is in it")]
    Zip {
        /// Its first entry, shortened.
        entry: String,
    },
    /// Something packed.
    #[error("is packed with {program}; unpack it and give what is in it")]
    Packed {
        /// What unpacks it.
        program: &'static str,
    },
    /// A picture.
    #[error("is a picture ({format}), not weights; give the file of the model")]
    Picture {
        /// PNG, JPEG, ….
        format: &'static str,
    },
}

/// What turns another framework's model into one that is read.
const SAVE: &str =
    "take its PyTorch version, or load it in Python and save it with `save_pretrained(folder, safe_serialization=True)`";

fn of_bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(" to {bytes} bytes"))
}
