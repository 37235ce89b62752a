//! Plans with low-rank factors: which layers can have them, and where they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use dmdx_graph::Op;

use super::lora::{Factors, Layer, LowRank};
use super::plan::{Plan, Source, Step};
use crate::error::LoraDefect;

/// Whether PEFT would say that `target` means `module`.
fn is_meant(target: &str, module: &str) -> bool {
    module.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Plan {
    /// The layers that `low_rank` means.
    ///
    /// # Errors
    /// Where a target means no layer, something that is none, or one of too low a rank.
    pub fn layers(&self, low_rank: &LowRank) -> Result<Vec<Layer>, LoraDefect> {
        let rank = low_rank.rank;
        let mut weights: BTreeMap<&str, &[usize]> = BTreeMap::new();
        for step in &self.steps {
            if let [_, Source::Param(weight), ..] = step.operands[..]
                && Factors::pointwise(&step.op).is_some()
                && let (name, shape) = &self.params[weight]
                && let Some(module) = name.strip_suffix(".weight")
            {
                weights.insert(module, shape);
            }
        }
        let known = || {
            let ends = weights.keys().filter_map(|module| module.rsplit('.').find(|part| part.parse::<usize>().is_err()));
            ends.collect::<BTreeSet<&str>>().into_iter().map(str::to_string).collect()
        };
        let mut meant: BTreeMap<&str, &[usize]> = BTreeMap::new();
        for target in &low_rank.targets {
            let found = weights.iter().filter(|(module, _)| is_meant(target, module));
            let before = meant.len();
            meant.extend(found.clone());
            if let Some(module) = self.modules().into_iter().find(|path| is_meant(target, path) && !weights.contains_key(path)) {
                let (target, module) = (target.clone(), module.to_string());
                return Err(LoraDefect::NotALayer { target, module, network: self.name().to_string() });
            }
            if before == meant.len() && found.count() == 0 && !low_rank.is_common {
                return Err(LoraDefect::NoLayer { target: target.clone(), network: self.name().to_string(), known: known() });
            }
        }
        if meant.is_empty() {
            return Err(LoraDefect::Nothing { network: self.name().to_string(), known: known() });
        }
        let layer = |(module, shape): (&str, &[usize])| {
            let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
            if rank > rows.min(columns) {
                return Err(LoraDefect::Rank { rank, module: module.to_string(), rows, columns });
            }
            let down = [&[rank], &shape[1..]].concat();
            let up = [&[rows, rank][..], &vec![1; shape.len() - 2]].concat();
            Ok(Layer { module: module.to_string(), down, up })
        };
        meant.into_iter().map(layer).collect()
    }

    pub(super) fn factors(&self, low_rank: &LowRank) -> Result<Factors, LoraDefect> {
        Ok(Factors { scale: low_rank.scale(), layers: self.layers(low_rank)? })
    }

    /// Every module that holds parameters, itself or in a part of it.
    fn modules(&self) -> BTreeSet<&str> {
        let paths = self.params.iter().flat_map(|(name, _)| name.match_indices('.').map(|(dot, _)| &name[..dot]));
        paths.collect()
    }

    /// The same graph with factors beside those of the layers that it has: after `y = W x + b` come `A x`, its product with
    /// the scale, `B` times that, and the sum, which takes the place of `y`.
    #[must_use]
    pub(super) fn beside(&self, factors: Factors) -> Self {
        let mut params = self.params.clone();
        let mut beside: BTreeMap<usize, [Source; 2]> = BTreeMap::new();
        for layer in &factors.layers {
            let beside_what = layer.weight();
            if let Some(weight) = self.params.iter().position(|(name, _)| **name == *beside_what) {
                let first = params.len();
                beside.insert(weight, [Source::Param(first), Source::Param(first + 1)]);
                params.extend(layer.parameters().map(|(name, shape)| (name.into(), shape.to_vec())));
            }
        }
        let mut steps: Vec<Step> = Vec::with_capacity(self.steps.len() + 4 * beside.len());
        let mut places: Vec<Source> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let placed = |source: &Source| match source {
                Source::Step(step) => places[*step],
                other => *other,
            };
            let operands: Vec<Source> = step.operands.iter().map(placed).collect();
            let mut push = |op: Op, operands: Vec<Source>| {
                steps.push(Step { op, operands, origin: step.origin.clone() });
                Source::Step(steps.len() - 1)
            };
            let mut result = push(step.op.clone(), operands.clone());
            if let [x, Source::Param(weight), ..] = operands[..]
                && let Some([down, up]) = beside.get(&weight)
                && let Some(pointwise) = Factors::pointwise(&step.op)
            {
                let mut inner = push(step.op.clone(), vec![x, *down]);
                if factors.scale != 1.0 {
                    inner = push(Op::Affine { mul: factors.scale, add: 0.0 }, vec![inner]);
                }
                let outer = push(pointwise, vec![inner, *up]);
                result = push(Op::Add, vec![result, outer]);
            }
            places.push(result);
        }
        let named = self.named.iter().map(|(name, source)| {
            let placed = match source {
                Source::Step(step) => places[*step],
                other => *other,
            };
            (name.clone(), placed)
        });
        Self {
            name: self.name.clone(),
            inputs: self.inputs.clone(),
            params,
            steps,
            named: named.collect(),
            outputs: self.outputs.clone(),
            factors: Some(factors),
            first_own: self.params.len(),
            selections: Mutex::default(),
        }
    }
}
