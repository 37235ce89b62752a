//! Reads one line from left to right.

use serde::de::DeserializeOwned;

use super::words::is_plain_byte;
use crate::dtype::DType;
use crate::error::ParseError;
use crate::ir::{Dim, Shape, Type};

/// What is wrong with a line.
pub(super) type Lexed<T> = Result<T, ParseError>;

/// The rest of a line.
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { rest: line.trim() }
    }

    /// Consumes `text` if it comes next, and spaces after it.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    /// Consumes `text`, which must come next.
    pub(super) fn expect(&mut self, text: &str) -> Lexed<()> {
        if self.eat(text) { Ok(()) } else { Err(self.expected(format!("`{text}`"))) }
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Lexed<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.expected("the end of the line".into())) }
    }

    /// Something else comes next.
    fn expected(&self, wanted: String) -> ParseError {
        let found = if self.rest.is_empty() { "the end of the line".into() } else { format!("`{}`", shorten(self.rest)) };
        ParseError::Expected { wanted, found }
    }

    /// A run of letters, digits and `_./-`.
    pub(super) fn plain(&mut self, what: &'static str) -> Lexed<&'a str> {
        let length = self.rest.bytes().take_while(|byte| is_plain_byte(*byte)).count();
        if length == 0 {
            return Err(self.expected(what.into()));
        }
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest.trim_start();
        Ok(word)
    }

    /// A plain word or a JSON string.
    pub(super) fn name(&mut self, what: &'static str) -> Lexed<String> {
        if self.rest.starts_with('"') {
            let (_, name) = self.json::<String>(what)?;
            Ok(name)
        } else {
            self.plain(what).map(str::to_string)
        }
    }

    /// A JSON value and its source text.
    pub(super) fn json<T: DeserializeOwned>(&mut self, what: &'static str) -> Lexed<(&'a str, T)> {
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<T>();
        match stream.next() {
            Some(Ok(value)) => {
                let (source, rest) = self.rest.split_at(stream.byte_offset());
                self.rest = rest.trim_start();
                Ok((source, value))
            }
            Some(Err(error)) => Err(ParseError::Json { what, reason: error.to_string() }),
            None => Err(ParseError::Expected { wanted: what.into(), found: "the end of the line".into() }),
        }
    }

    /// Whether a JSON object comes next.
    pub(super) fn at_object(&self) -> bool {
        self.rest.starts_with('{')
    }

    /// A decimal number.
    pub(super) fn number(&mut self, what: &'static str) -> Lexed<usize> {
        let word = self.plain(what)?;
        if !word.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError::Instead { wanted: what, found: shorten(word) });
        }
        word.parse().map_err(|_| ParseError::NumberTooLarge { what, word: shorten(word) })
    }

    /// An element type by name.
    pub(super) fn dtype(&mut self) -> Lexed<DType> {
        let word = self.plain("an element type")?;
        DType::from_name(word).ok_or_else(|| ParseError::ElementType { word: shorten(word) })
    }

    /// A type such as `f32[b, 4]`.
    pub(super) fn ty(&mut self) -> Lexed<Type> {
        let dtype = self.dtype()?;
        self.expect("[")?;
        let (inside, rest) = self.rest.split_once(']').ok_or(ParseError::OpenShape)?;
        self.rest = rest.trim_start();
        let inside = inside.trim();
        if inside.is_empty() {
            return Ok(Type { dtype, shape: Shape::default() });
        }
        let dims = inside.split(',').map(|dim| dim.trim().parse::<Dim>()).collect::<Result<_, _>>()?;
        Ok(Type { dtype, shape: Shape(dims) })
    }

    /// Everything up to the end.
    pub(super) fn remainder(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }
}

/// The first characters of untrusted text, for messages.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}
