//! `fold-constants`: what depends on parameters alone is computed once.

use crate::dtype::DType;
use crate::interp::{Tensor, evaluate};
use crate::ir::{Bindings, Def, Graph, Op, Type, ValueId};
use crate::rewrite::{Exactness, Miss, Outcome, Patch, Rule, Site, Trainable};
use crate::weights::{Weight, WeightExpr, encode};

/// A folded parameter may be this large even when its sources are smaller.
const BUDGET_BYTES: usize = 4 << 20;

/// Replaces an operation on parameters by a parameter. Its name is that of its first source and the operation.
#[derive(Clone, Debug, Default)]
pub(super) struct FoldConstants {
    /// Parameters that must stay what they are.
    pub(super) trainable: Trainable,
}

impl Rule for FoldConstants {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn class(&self) -> Exactness {
        // The result is rounded to f32 once.
        Exactness::Reassociates
    }

    fn apply(&self, site: &Site) -> Outcome {
        let Some((op, inputs)) = site.op() else { return Outcome::No };
        let Some(names) = inputs.iter().map(|&id| param_name(site.graph, id)).collect::<Option<Vec<&str>>>() else {
            return Outcome::No;
        };
        let ty = &site.graph.value(site.at).ty;
        match self.fold(site.graph, op, &names, ty) {
            Ok(weight) => {
                let name = fresh_name(site.graph, names.first().copied().unwrap_or_default(), op.name());
                let mut patch = Patch::new();
                let folded = patch.param(&name, ty.dtype, weight);
                Outcome::Patch(patch.replace(site.at, folded))
            }
            Err(reason) => Outcome::Refused(reason),
        }
    }

    fn witnesses(&self) -> &'static [&'static str] {
        &[
            "graph 1 lazy\ninput %0 x : f32[2, 6]\nparam w : f32[2, 3, 4]\n\
             %1 = permute @w {\"axes\":[2,0,1]} : f32[4, 2, 3]  # layer.order\n\
             %2 = reshape %1 {\"shape\":[4,6]} : f32[4, 6]  # layer.flat\n%3 = linear %0 %2 : f32[2, 4]  # layer\noutput y %3\n",
            "graph 1 computed\ninput %0 x : f32[2, 3]\nparam scale : f32[3]\nparam shift : f32[3]\n\
             %1 = exp @scale : f32[3]  # scale\n%2 = mul %1 @shift : f32[3]  # shift\n%3 = add %0 %2 : f32[2, 3]  # sum\noutput y %3\n",
        ]
    }

    fn near_misses(&self) -> &'static [Miss] {
        &[
            Miss {
                text: "graph 1 trained\ninput %0 x : f32[2, 3]\nparam trained : f32[3]\n%1 = exp @trained : f32[3]\n\
                       %2 = mul %0 %1 : f32[2, 3]\noutput y %2\n",
                refusal: Some("a source may be trained"),
            },
            Miss {
                text: "graph 1 unloaded\ninput %0 x : f32[2, 3]\nparam absent : f32[3]\n%1 = exp @absent : f32[3]\n\
                       %2 = mul %0 %1 : f32[2, 3]\noutput y %2\n",
                refusal: Some("a source has no data yet"),
            },
            Miss {
                text: "graph 1 large\ninput %0 x : f32[1, 3]\nparam small : f32[1]\n\
                       %1 = expand @small {\"shape\":[2000000]} : f32[2000000]\n%2 = slice %1 {\"axis\":0,\"start\":0,\"length\":3} : f32[3]\n\
                       %3 = mul %0 %2 : f32[1, 3]\noutput y %3\n",
                refusal: Some("the result is larger than its sources and 4 MiB"),
            },
            Miss {
                text: "graph 1 symbolic\nsymbol b 2 \"batch\"\ninput %0 x : f32[b, 3]\nparam w : f32[3]\n\
                       %1 = expand @w {\"shape\":[\"b\",3]} : f32[b, 3]\n%2 = mul %0 %1 : f32[b, 3]\noutput y %2\n",
                refusal: Some("the result's size is not known"),
            },
            Miss {
                text: "graph 1 narrow\ninput %0 x : f16[2, 3]\nparam w : f32[3]\n%1 = cast @w {\"dtype\":\"f16\"} : f16[3]\n\
                       %2 = mul %0 %1 : f16[2, 3]\noutput y %2\n",
                refusal: Some("parameters have type f32 or i64 only"),
            },
        ]
    }
}

impl FoldConstants {
    fn fold(&self, graph: &Graph, op: &Op, names: &[&str], ty: &Type) -> Result<Weight, &'static str> {
        if !matches!(ty.dtype, DType::F32 | DType::I64) {
            return Err("parameters have type f32 or i64 only");
        }
        let mut sources = Vec::new();
        for name in names {
            let weight = graph.params().get(*name).and_then(|param| param.weight.as_ref()).ok_or("a source has no data yet")?;
            if weight.dtype().is_float() && self.trainable.contains(name) {
                return Err("a source may be trained");
            }
            sources.push(weight);
        }
        let shape = ty.shape.sizes().ok_or("the result's size is not known")?;
        const REFUSED: &str = "the operation cannot be evaluated";
        // These two stay lazy: no byte is read before somebody streams the result.
        if let (Op::Reshape { .. }, &[weight]) = (op, sources.as_slice()) {
            return WeightExpr::reshape(weight.clone(), shape).map_err(|_| REFUSED);
        }
        if let (Op::Permute { axes }, &[weight]) = (op, sources.as_slice()) {
            return WeightExpr::permute(weight.clone(), axes).map_err(|_| REFUSED);
        }
        let largest = sources.iter().map(|weight| weight.byte_length()).sum::<usize>().max(BUDGET_BYTES);
        if crate::weights::byte_length(ty.dtype, &shape).is_none_or(|bytes| bytes > largest) {
            return Err("the result is larger than its sources and 4 MiB");
        }
        let tensors = sources.iter().map(|weight| Tensor::from_weight(weight)).collect::<Result<Vec<Tensor>, _>>();
        let tensors = tensors.map_err(|_| REFUSED)?;
        let tensors: Vec<&Tensor> = tensors.iter().collect();
        let result = evaluate(op, &tensors, &Bindings::new()).map_err(|_| REFUSED)?;
        let (dtype, bytes) = match &result {
            Tensor::Float(values) => (DType::F32, encode(values.iter().copied(), DType::F32)),
            Tensor::Int(values) => (DType::I64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        Weight::owned(bytes.into(), dtype, shape).map_err(|_| REFUSED)
    }
}

fn param_name(graph: &Graph, id: ValueId) -> Option<&str> {
    match &graph.value(id).def {
        Def::Param(name) => Some(name),
        Def::Input(_) | Def::Op { .. } => None,
    }
}

/// `source.op`, with a number after it if that is taken.
fn fresh_name(graph: &Graph, source: &str, op: &str) -> String {
    let base = format!("{source}.{op}");
    let taken = |name: &String| graph.params().contains_key(name.as_str());
    std::iter::once(base.clone()).chain((2..).map(|i| format!("{base}.{i}"))).find(|name| !taken(name)).unwrap_or(base)
}
