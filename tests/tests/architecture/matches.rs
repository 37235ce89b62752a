//! Matches over the operations of a graph.

use syn::visit::{self, Visit};

use super::sources::Source;

struct Matches<'a> {
    path: &'a str,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Matches<'_> {
    fn visit_expr_match(&mut self, found: &'ast syn::ExprMatch) {
        let over_ops = found.arms.iter().any(|arm| names_op(&arm.pat));
        let wildcard = found.arms.iter().any(|arm| matches!(arm.pat, syn::Pat::Wild(_) | syn::Pat::Ident(_)));
        if over_ops && wildcard {
            self.found.push(format!("{}: a match over Op has an arm for whatever is left", self.path));
        }
        visit::visit_expr_match(self, found);
    }
}

/// Whether a pattern is an operation: `Op::Linear`, `Op::Conv2d { .. } | Op::Conv3d { .. }`, `Some(Op::Relu)`.
fn names_op(pattern: &syn::Pat) -> bool {
    let is_op = |path: &syn::Path| {
        path.segments.len() > 1 && path.segments.iter().rev().nth(1).is_some_and(|segment| segment.ident == "Op")
    };
    match pattern {
        syn::Pat::Path(path) => is_op(&path.path),
        syn::Pat::Struct(fields) => is_op(&fields.path),
        syn::Pat::TupleStruct(tuple) => is_op(&tuple.path),
        syn::Pat::Or(or) => or.cases.iter().any(names_op),
        syn::Pat::Paren(inner) => names_op(&inner.pat),
        syn::Pat::Reference(inner) => names_op(&inner.pat),
        _ => false,
    }
}

/// Matches over `Op` with a wildcard or a binding as an arm; also `matches!`, which is one, where operations are defined,
/// run or written.
pub fn wildcards(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let mut matches = Matches { path: &source.path, found: Vec::new() };
        source.items.iter().for_each(|item| matches.visit_item(item));
        found.extend(matches.found);
        let rooms = [
            "graph/src/ir/infer",
            "graph/src/verify",
            "graph/src/interp",
            "train/src/module/ops",
            "export/src/lower",
            "export/src/recipes",
        ];
        if rooms.iter().any(|room| source.path.starts_with(room)) {
            let hidden = source.code().lines().filter(|line| line.contains("matches!(") && line.contains("Op::")).count();
            if hidden > 0 {
                found.push(format!("{}: matches! over Op decides for operations that are not there yet", source.path));
            }
        }
    }
    found
}
