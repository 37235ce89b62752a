//! Text to graph. The text may come from an untrusted file: every defect is an error with its line.

use std::collections::BTreeMap;

use super::cursor::{Cursor, Lexed, shorten};
use super::limits;
use super::words::VERSION;
use crate::dtype::DType;
use crate::error::{GraphError, ParseError, Result};
use crate::ir::{Graph, Op, ValueId};

/// Reads the canonical text form; parameters have no weights yet. Types are inferred again and must be the printed ones.
///
/// # Errors
/// [`GraphError::Parse`] with the line of the first defect.
pub fn parse(text: &str) -> Result<Graph> {
    let mut parser = Parser { graph: Graph::default(), values: BTreeMap::new(), operations: 0 };
    let mut started = false;
    let mut last = 1;
    for (i, line) in text.lines().enumerate() {
        last = i + 1;
        if line.trim().is_empty() {
            continue;
        }
        let mut cursor = Cursor::new(line);
        let parsed = if started { parser.line(&mut cursor) } else { parser.header(&mut cursor) };
        parsed.map_err(|reason| GraphError::Parse { line: last, reason })?;
        started = true;
    }
    if !started {
        return Err(GraphError::Parse { line: last, reason: ParseError::Empty { version: VERSION } });
    }
    parser.graph.verify().map_err(|error| GraphError::Parse { line: last, reason: refused(error) })?;
    Ok(parser.graph)
}

struct Parser {
    graph: Graph,
    /// Values by their printed number.
    values: BTreeMap<usize, ValueId>,
    operations: usize,
}

impl Parser {
    fn header(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        cursor.expect("graph ")?;
        let version = cursor.plain("a version")?;
        if version != VERSION {
            return Err(ParseError::Version { given: shorten(version), known: VERSION });
        }
        self.graph.set_name(&cursor.name("the graph's name")?);
        cursor.end()
    }

    fn line(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        if cursor.eat("%") {
            self.operation(cursor)
        } else if cursor.eat("symbol ") {
            self.symbol(cursor)
        } else if cursor.eat("input ") {
            self.input(cursor)
        } else if cursor.eat("param ") {
            self.param(cursor)
        } else if cursor.eat("mark ") {
            let path = cursor.name("a mark's path")?;
            let value = self.reference(cursor)?;
            if self.graph.marks().contains_key(&path) {
                return Err(ParseError::Twice { kind: "mark", name: shorten(&path) });
            }
            self.graph.mark(&path, value);
            cursor.end()
        } else if cursor.eat("output ") {
            limits::count(self.graph.outputs().len(), limits::NAMES, "outputs")?;
            let name = cursor.name("an output's name")?;
            let value = self.reference(cursor)?;
            self.graph.output(&name, value).map_err(refused)?;
            cursor.end()
        } else {
            let line = cursor.remainder();
            Err(ParseError::Line { line: shorten(line) })
        }
    }

    fn symbol(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        limits::count(self.graph.symbols().len(), limits::NAMES, "symbols")?;
        let name = cursor.plain("a symbol")?;
        let usual = cursor.number("a usual size")?;
        let (_, meaning) = cursor.json::<String>("the symbol's meaning")?;
        if self.graph.symbols().contains_key(name) {
            return Err(ParseError::Twice { kind: "symbol", name: shorten(name) });
        }
        self.graph.symbol(name, &meaning, usual);
        cursor.end()
    }

    fn input(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        limits::count(self.graph.inputs().len(), limits::NAMES, "inputs")?;
        cursor.expect("%")?;
        let number = self.fresh(cursor)?;
        let name = cursor.name("an input's name")?;
        cursor.expect(":")?;
        let ty = cursor.ty()?;
        limits::shape(&self.graph, &ty.shape)?;
        let id = self.graph.input(&name, ty).map_err(refused)?;
        self.values.insert(number, id);
        cursor.end()
    }

    fn param(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        limits::count(self.graph.params().len(), limits::PARAMETERS, "parameters")?;
        let name = cursor.name("a parameter's name")?;
        cursor.expect(":")?;
        let ty = cursor.ty()?;
        limits::shape(&self.graph, &ty.shape)?;
        let sizes = ty.shape.sizes().filter(|_| matches!(ty.dtype, DType::F32 | DType::I64));
        let sizes = sizes.ok_or_else(|| ParseError::ParameterType { ty: ty.to_string() })?;
        self.graph.param_of(&name, ty.dtype, &sizes, None).map_err(refused)?;
        // Storage type and content hash are there for the reader of the text.
        if cursor.eat("=") {
            cursor.dtype()?;
            let digest = cursor.plain("a content hash")?;
            if digest.len() != 8 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(ParseError::Digest { digest: shorten(digest) });
            }
        }
        cursor.end()
    }

    fn operation(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        limits::count(self.operations, limits::OPERATIONS, "operations")?;
        self.operations += 1;
        let number = self.fresh(cursor)?;
        cursor.expect("=")?;
        let kind = cursor.plain("an operation")?;
        let mut inputs = Vec::new();
        while !cursor.at_object() && !cursor.eat(":") {
            inputs.push(self.reference(cursor)?);
        }
        let op = if cursor.at_object() {
            let (source, attributes) = cursor.json::<serde_json::Value>("the attributes")?;
            cursor.expect(":")?;
            operation(kind, source, &attributes)?
        } else {
            serde_json::from_value(serde_json::Value::from(kind)).map_err(|_| ParseError::NotPlain { op: shorten(kind) })?
        };
        limits::op(&self.graph, &op)?;
        let ty = cursor.ty()?;
        limits::shape(&self.graph, &ty.shape)?;
        let origin = if cursor.eat("#") { origin(cursor)? } else { String::new() };
        cursor.end()?;
        let id = self.graph.push(op, &inputs, &origin).map_err(|error| match error {
            GraphError::Infer { op, reason, .. } => ParseError::Infer { op, reason },
            error => refused(error),
        })?;
        let inferred = &self.graph.value(id).ty;
        if *inferred != ty {
            return Err(ParseError::Type { written: ty.to_string(), inferred: inferred.to_string() });
        }
        self.values.insert(number, id);
        Ok(())
    }

    /// The number of a value that is defined here.
    fn fresh(&self, cursor: &mut Cursor) -> Lexed<usize> {
        let number = cursor.number("a value's number")?;
        if self.values.contains_key(&number) { Err(ParseError::ValueTwice { number }) } else { Ok(number) }
    }

    /// `%12` or `@conv_in.weight`, defined above.
    fn reference(&self, cursor: &mut Cursor) -> Lexed<ValueId> {
        if cursor.eat("@") {
            let name = cursor.name("a parameter's name")?;
            let param = self.graph.params().get(name.as_str());
            return param.map(|param| param.value).ok_or_else(|| ParseError::NoParameter { name: shorten(&name) });
        }
        cursor.expect("%")?;
        let number = cursor.number("a value's number")?;
        self.values.get(&number).copied().ok_or(ParseError::NoValue { number })
    }
}

/// An operation with attributes; unknown, missing and repeated ones are errors.
fn operation(kind: &str, source: &str, attributes: &serde_json::Value) -> Lexed<Op> {
    limits::numbers(attributes)?;
    // Read from the source again because only there are repeated keys still visible.
    let op: Op = serde_json::from_str(&format!("{{{}:{source}}}", serde_json::Value::from(kind)))
        .map_err(|error| ParseError::Attributes { op: shorten(kind), reason: error.to_string() })?;
    let written = serde_json::to_value(&op);
    let written = written.map_err(|error| ParseError::Attributes { op: shorten(kind), reason: error.to_string() })?;
    let known = written.get(kind).and_then(serde_json::Value::as_object);
    let unknown = attributes.as_object().and_then(|given| given.keys().find(|key| !known.is_some_and(|k| k.contains_key(*key))));
    match unknown {
        Some(key) => Err(ParseError::NoAttribute { op: shorten(kind), attribute: shorten(key) }),
        None => Ok(op),
    }
}

/// What the graph itself says against a line.
fn refused(error: GraphError) -> ParseError {
    ParseError::Graph(Box::new(error))
}

fn origin(cursor: &mut Cursor) -> Lexed<String> {
    let text = cursor.remainder();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(|error| ParseError::Origin { reason: error.to_string() });
    }
    Ok(text.into())
}
