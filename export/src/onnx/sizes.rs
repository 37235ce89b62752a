//! What files call sizes: `batch`, `height`, `sequence`, and expressions such as `height/8` of these.

use std::collections::BTreeMap;

use dmdx_graph::ir::Symbol;
use dmdx_graph::{Dim, Graph, ValueId};

/// Names of sizes as the inputs have them. Symbols of graphs count patches (`4*h` rows); files name the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SizeNames {
    /// The name, and how many times the symbol it is.
    by_symbol: BTreeMap<Symbol, (String, i64)>,
}

impl SizeNames {
    /// Of a graph whose inputs `apart` have sizes of their own.
    pub(crate) fn of(graph: &Graph, apart: &[ValueId]) -> Self {
        let mut by_symbol: BTreeMap<Symbol, (String, i64)> = BTreeMap::new();
        let inputs = graph.inputs().iter().filter(|(_, id)| !apart.contains(id));
        let dims: Vec<&Dim> = inputs.flat_map(|(_, id)| &graph.value(*id).ty.shape.0).collect();
        for (symbol, info) in graph.symbols() {
            let scaled = |dim: &&Dim| dim.as_scaled_symbol().filter(|(found, _)| *found == symbol).map(|(_, factor)| factor);
            let factor = dims.iter().find_map(scaled).unwrap_or(1);
            let name = reader_name(&info.meaning, factor).unwrap_or_else(|| symbol.to_string());
            let is_taken = by_symbol.values().any(|(other, _)| *other == name) || graph.symbols().contains_key(name.as_str());
            let name = if is_taken { symbol.to_string() } else { name };
            by_symbol.insert(symbol.clone(), (name, i64::try_from(factor).unwrap_or(1)));
        }
        Self { by_symbol }
    }

    /// A size in these names: `height*width/16+1`.
    pub(crate) fn text(&self, dim: &Dim) -> String {
        let mut terms: Vec<_> = dim.terms().collect();
        // The constant last, as one writes it.
        terms.sort_by_key(|(factors, _)| factors.is_empty());
        let mut text = String::new();
        for (factors, coefficient) in terms {
            let (mut over, mut names) = (1, Vec::new());
            for symbol in factors {
                let (name, factor) = self.by_symbol.get(symbol).map_or((&**symbol, 1), |(name, factor)| (name.as_str(), *factor));
                over *= factor;
                names.push(name);
            }
            let common = greatest_divisor(coefficient.unsigned_abs(), over.unsigned_abs()).max(1);
            let (times, over) = (coefficient.unsigned_abs() / common, over.unsigned_abs() / common);
            let sign = if coefficient < 0 { "-" } else { "+" };
            if coefficient < 0 || !text.is_empty() {
                text.push_str(sign);
            }
            if times != 1 || names.is_empty() {
                names.insert(0, "");
                text.push_str(&times.to_string());
                text.push_str(&names.join("*"));
            } else {
                text.push_str(&names.join("*"));
            }
            if over != 1 {
                text.push_str(&format!("/{over}"));
            }
        }
        if text.is_empty() { "0".into() } else { text }
    }

    /// What every name is in the graph's own symbols: `batch=b,height=4*h`, by which the file can be read back exactly.
    pub(crate) fn record(&self) -> Vec<String> {
        let own = |(symbol, (name, factor)): (&Symbol, &(String, i64))| match factor {
            1 => format!("{name}={symbol}"),
            factor => format!("{name}={factor}*{symbol}"),
        };
        self.by_symbol.iter().map(own).collect()
    }
}

/// The reader's name of a size that an input has `factor` times, by the meaning that the importer gave its symbol.
fn reader_name(meaning: &str, factor: usize) -> Option<String> {
    let (noun, unit) = meaning.split_once(" / ").unwrap_or((meaning, "1"));
    let name = match noun {
        "batch" => "batch",
        "text tokens" => "sequence",
        "latent frames" => "latent_frames",
        "latent height" => "latent_height",
        "latent width" => "latent_width",
        "picture height" => "height",
        "picture width" => "width",
        "sets of points per picture" => "point_sets",
        "points per set" => "points",
        _ => return None,
    };
    // What an encoder is given is a picture, of which the latent is a part.
    let is_latent = unit.parse() == Ok(factor);
    Some(if is_latent { name } else { name.strip_prefix("latent_").unwrap_or(name) }.into())
}

fn greatest_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use dmdx_graph::{Dim, Graph, Type};

    use super::SizeNames;

    #[test]
    fn sizes_are_said_in_the_names_of_the_inputs() {
        let mut graph = Graph::new("net");
        let b = graph.symbol("b", "batch", 1);
        let h = graph.symbol("h", "latent height / 4", 1);
        let w = graph.symbol("w", "picture width", 1);
        let s = graph.symbol("s", "text tokens", 1);
        graph.symbol("q", "something else", 1);
        graph.input("x", Type::f32([b.clone(), h.scaled(4), w.scaled(8)])).unwrap();
        graph.input("ids", Type::i64([b.clone(), s.clone()])).unwrap();
        let names = SizeNames::of(&graph, &[]);
        let q = Dim::symbol("q");
        for (dim, text) in [
            (b.clone(), "batch"),
            (h.scaled(4), "latent_height"),
            (h.clone(), "latent_height/4"),
            (h.scaled(6), "3*latent_height/2"),
            (h.times(&w), "latent_height*width/32"),
            (h.times(&w).scaled(64).offset(-1), "2*latent_height*width-1"),
            (s.plus(&q).offset(1), "q+sequence+1"),
            (Dim::constant(0).minus(&s), "-sequence"),
        ] {
            assert_eq!(names.text(&dim), text);
        }
        assert_eq!(names.record(), ["batch=b", "latent_height=4*h", "q=q", "sequence=s", "width=8*w"]);
    }
}
