//! Text to graph. The text may come from an untrusted file: every defect is an error with its line.

use std::collections::BTreeMap;

use super::VERSION;
use super::cursor::{Cursor, Lexed, shorten};
use super::limits;
use crate::error::{GraphError, Result};
use crate::ir::{DType, Graph, Op, ValueId};

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
        return Err(GraphError::Parse { line: last, reason: format!("expected `graph {VERSION} NAME`, the text is empty") });
    }
    parser.graph.verify().map_err(|error| GraphError::Parse { line: last, reason: error.to_string() })?;
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
            return Err(format!("text version `{}` is not supported, this reader knows {VERSION}", shorten(version)));
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
                return Err(format!("mark `{}` is declared twice", shorten(&path)));
            }
            self.graph.mark(&path, value);
            cursor.end()
        } else if cursor.eat("output ") {
            limits::count(self.graph.outputs().len(), limits::NAMES, "outputs")?;
            let name = cursor.name("an output's name")?;
            let value = self.reference(cursor)?;
            self.graph.output(&name, value).map_err(|error| error.to_string())?;
            cursor.end()
        } else {
            let line = cursor.remainder();
            Err(format!("`{}` starts with none of %, symbol, input, param, mark, output", shorten(line)))
        }
    }

    fn symbol(&mut self, cursor: &mut Cursor) -> Lexed<()> {
        limits::count(self.graph.symbols().len(), limits::NAMES, "symbols")?;
        let name = cursor.plain("a symbol")?;
        let usual = cursor.number("a usual size")?;
        let (_, meaning) = cursor.json::<String>("the symbol's meaning")?;
        if self.graph.symbols().contains_key(name) {
            return Err(format!("symbol `{}` is declared twice", shorten(name)));
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
        let id = self.graph.input(&name, ty).map_err(|error| error.to_string())?;
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
        let sizes = sizes.ok_or_else(|| format!("parameter type {ty} is not f32 or i64 of known sizes"))?;
        self.graph.param_of(&name, ty.dtype, &sizes, None).map_err(|error| error.to_string())?;
        // Storage type and content hash are there for the reader of the text.
        if cursor.eat("=") {
            cursor.dtype()?;
            let digest = cursor.plain("a content hash")?;
            if digest.len() != 8 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(format!("`{}` is not a hash of 8 hexadecimal digits", shorten(digest)));
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
            serde_json::from_value(serde_json::Value::from(kind))
                .map_err(|_| format!("`{}` is not an operation without attributes", shorten(kind)))?
        };
        limits::op(&self.graph, &op)?;
        let ty = cursor.ty()?;
        limits::shape(&self.graph, &ty.shape)?;
        let origin = if cursor.eat("#") { origin(cursor)? } else { String::new() };
        cursor.end()?;
        let id = self.graph.push(op, &inputs, &origin).map_err(|error| match error {
            GraphError::Infer { op, reason, .. } => format!("{op} cannot take its inputs: {reason}"),
            error => error.to_string(),
        })?;
        let inferred = &self.graph.value(id).ty;
        if *inferred != ty {
            return Err(format!("the type is written as {ty}, the inputs give {inferred}"));
        }
        self.values.insert(number, id);
        Ok(())
    }

    /// The number of a value that is defined here.
    fn fresh(&self, cursor: &mut Cursor) -> Lexed<usize> {
        let number = cursor.number("a value's number")?;
        if self.values.contains_key(&number) { Err(format!("value %{number} is defined twice")) } else { Ok(number) }
    }

    /// `%12` or `@conv_in.weight`, defined above.
    fn reference(&self, cursor: &mut Cursor) -> Lexed<ValueId> {
        if cursor.eat("@") {
            let name = cursor.name("a parameter's name")?;
            let param = self.graph.params().get(name.as_str());
            return param.map(|param| param.value).ok_or_else(|| format!("parameter `{}` is not declared above", shorten(&name)));
        }
        cursor.expect("%")?;
        let number = cursor.number("a value's number")?;
        self.values.get(&number).copied().ok_or_else(|| format!("value %{number} is not defined above"))
    }
}

/// An operation with attributes; unknown, missing and repeated ones are errors.
fn operation(kind: &str, source: &str, attributes: &serde_json::Value) -> Lexed<Op> {
    limits::numbers(attributes)?;
    // Read from the source again because only there are repeated keys still visible.
    let op: Op = serde_json::from_str(&format!("{{{}:{source}}}", serde_json::Value::from(kind)))
        .map_err(|error| format!("`{}` cannot have these attributes: {error}", shorten(kind)))?;
    let written = serde_json::to_value(&op).map_err(|error| error.to_string())?;
    let known = written.get(kind).and_then(serde_json::Value::as_object);
    let unknown = attributes.as_object().and_then(|given| given.keys().find(|key| !known.is_some_and(|k| k.contains_key(*key))));
    match unknown {
        Some(key) => Err(format!("`{}` has no attribute `{}`", shorten(kind), shorten(key))),
        None => Ok(op),
    }
}

fn origin(cursor: &mut Cursor) -> Lexed<String> {
    let text = cursor.remainder();
    if text.starts_with('"') {
        return serde_json::from_str(text).map_err(|error| format!("the origin is not a JSON string: {error}"));
    }
    Ok(text.into())
}
