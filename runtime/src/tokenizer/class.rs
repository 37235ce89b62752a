//! The classes of tokenizers, and the greatest length of what they give.

/// Greatest `max_length` that [`Tokenizer::encode`](super::Tokenizer::encode) accepts.
pub const MAX_LENGTH: usize = 1 << 19;

/// A class of transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `CLIPTokenizer`, with ftfy installed.
    Clip,
    /// `CLIPTokenizerFast`.
    ClipFast,
    /// `T5Tokenizer`.
    T5,
    /// `T5TokenizerFast`.
    T5Fast,
}

impl std::str::FromStr for Class {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "CLIPTokenizer" => Ok(Self::Clip),
            "CLIPTokenizerFast" => Ok(Self::ClipFast),
            "T5Tokenizer" => Ok(Self::T5),
            "T5TokenizerFast" => Ok(Self::T5Fast),
            _ => Err(format!(
                "the tokenizer class {name:?} is not known; CLIPTokenizer, CLIPTokenizerFast, T5Tokenizer and T5TokenizerFast are"
            )),
        }
    }
}
