//! The names of a graph's values as places in the file, four bytes each, sorted by text: duplicates, order and missing
//! producers are found without a copy of any name.

use super::view::{bytes, fields, repeated, text};
use super::wire::{Fields, varint};

/// Which values a graph defines.
pub(super) struct Names<'a> {
    graph: &'a [u8],
    /// Where the lengths in front of the names of inputs and initializers are.
    sources: Vec<u32>,
    /// The same of nodes' results.
    results: Vec<u32>,
    /// Where each node begins, in order.
    nodes: Vec<u32>,
}

/// Where a name is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defined {
    /// An input or initializer.
    Source,
    /// The result of the node of this number.
    Node(usize),
    Nowhere,
}

impl<'a> Names<'a> {
    /// Collects the names of a graph; the counts are those that the scan found.
    pub(super) fn new(graph: &'a [u8], results: usize, sources: usize, nodes: usize) -> Self {
        let mut names = Self {
            graph,
            sources: Vec::with_capacity(sources),
            results: Vec::with_capacity(results),
            nodes: Vec::with_capacity(nodes),
        };
        for (number, start, value) in fields(graph) {
            let message = bytes(value);
            let (list, wanted) = match number {
                1 => {
                    names.nodes.push(u32::try_from(start).unwrap_or(u32::MAX));
                    (&mut names.results, 2)
                }
                5 => (&mut names.sources, 8),
                11 => (&mut names.sources, 1),
                _ => continue,
            };
            for field in Fields::new(message).map_while(Result::ok) {
                if field.number == wanted && !bytes(field.value).is_empty() {
                    // A model has less than 2 GiB.
                    list.push(u32::try_from(start + field.length_at).unwrap_or(u32::MAX));
                }
            }
        }
        names.sources.sort_unstable_by_key(|&place| (at(graph, place), place));
        names.results.sort_unstable_by_key(|&place| (at(graph, place), place));
        names
    }

    /// Names that several nodes define, or a node and an input or initializer; each once.
    pub(super) fn duplicates(&self) -> Vec<&'a str> {
        let text = |place: &u32| at(self.graph, *place);
        let mut found: Vec<&str> =
            self.results.array_windows().filter(|[a, b]| text(a) == text(b)).map(|[a, _]| text(a)).collect();
        let shadowed = self.results.iter().map(text).filter(|name| self.is_source(name));
        found.extend(shadowed);
        found.dedup();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_source(&self, name: &str) -> bool {
        self.sources.binary_search_by(|&place| at(self.graph, place).cmp(name)).is_ok()
    }

    /// Where a name is defined; of several definitions the first.
    pub(super) fn find(&self, name: &str) -> Defined {
        if self.is_source(name) {
            return Defined::Source;
        }
        let first = self.results.partition_point(|&place| at(self.graph, place) < name);
        match self.results.get(first).filter(|&&place| at(self.graph, place) == name) {
            Some(place) => Defined::Node(self.nodes.partition_point(|start| start <= place).saturating_sub(1)),
            None => Defined::Nowhere,
        }
    }

    /// Nodes that depend on themselves through others, by number.
    pub(super) fn cycles(&self) -> Vec<usize> {
        let count = self.nodes.len();
        // The nodes that read each node's results, as ranges of one list.
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for (reader, node) in repeated(self.graph, 1).enumerate() {
            for input in repeated(bytes(node), 1).map(text).filter(|input| !input.is_empty()) {
                if let Defined::Node(producer) = self.find(input) {
                    edges.push((producer as u32, reader as u32));
                }
            }
        }
        let mut left = vec![true; count];
        // Nodes that cannot be on a cycle go: first those that depend on nothing left, then those that nothing left needs.
        for _ in 0..2 {
            prune(&mut edges, &mut left);
            edges.iter_mut().for_each(|(from, to)| std::mem::swap(from, to));
        }
        (0..count).filter(|&node| left[node]).collect()
    }
}

/// Clears every node that no path from a cycle reaches.
fn prune(edges: &mut [(u32, u32)], left: &mut [bool]) {
    edges.sort_unstable();
    let mut open = vec![0u32; left.len()];
    for (from, to) in edges.iter() {
        open[*to as usize] += u32::from(left[*from as usize]);
    }
    let mut ready: Vec<u32> = (0..left.len() as u32).filter(|&node| left[node as usize] && open[node as usize] == 0).collect();
    while let Some(node) = ready.pop() {
        left[node as usize] = false;
        let first = edges.partition_point(|(from, _)| *from < node);
        for (_, to) in edges[first..].iter().take_while(|(from, _)| *from == node) {
            let to = *to as usize;
            open[to] -= 1;
            if open[to] == 0 && left[to] {
                ready.push(to as u32);
            }
        }
    }
}

/// The text whose length stands at a place of the graph.
fn at(graph: &[u8], place: u32) -> &str {
    let rest = graph.get(place as usize..).unwrap_or_default();
    let Some((length, width)) = varint(rest) else { return "" };
    let end = usize::try_from(length).ok().and_then(|length| width.checked_add(length));
    let bytes = end.and_then(|end| rest.get(width..end)).unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or_default()
}
