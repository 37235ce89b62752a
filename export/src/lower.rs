//! Graph → ONNX nodes, by the recipes of the target.

use std::collections::{BTreeMap, BTreeSet};

use dmdx_graph::rewrite::{RewriteOptions, apply_neutral};
use dmdx_graph::{Graph, Op, Type, ValueId};

use crate::error::{ExportError, Result};
use crate::onnx::proto::{GraphProto, ValueInfoProto};
use crate::onnx::{Model, value_info};
use crate::options::Names;
use crate::recipes::{
    Builder, Recipes, Site, activation, attention, dense, grid, pool, position, reduce, resample, shape, time, token, window,
};
use crate::targets::Target;

/// Lowers a graph for a target. Its inputs and outputs keep their names, except those to which `names` gives others.
///
/// Marks are not exported. Nodes are named after the reference library's modules, initializers after its weights.
///
/// # Errors
/// [`ExportError::Refused`] with every operation that the target cannot express; [`ExportError::NoWeight`] and
/// [`ExportError::Name`] for graphs that are not ready to be exported.
pub(crate) fn lower(graph: &Graph, names: &Names, target: &Target) -> Result<Model> {
    let mut graph = graph.clone();
    graph.retain_marks(|_| false);
    // Every parameter may be trained, which means that none is folded: initializers keep the checkpoint's names.
    apply_neutral(&mut graph, &RewriteOptions::default())?;
    for family in target.rewrites {
        family.apply(&mut graph, &RewriteOptions::default())?;
    }
    refuse(&graph, target)?;
    let inputs: Vec<(ValueId, String)> = graph.inputs().iter().map(|(name, id)| (*id, names.input(name))).collect();
    let outputs: Vec<(ValueId, String)> = graph.outputs().iter().map(|o| (o.value, names.output(&o.name))).collect();
    check_names(&graph, &inputs, &outputs)?;

    let mut builder = Builder::new(&graph, &inputs, outputs.iter().map(|(_, name)| name.as_str()));
    let mut wanted: BTreeMap<ValueId, &str> = BTreeMap::new();
    for (id, name) in &outputs {
        wanted.entry(*id).or_insert(name);
    }
    for id in graph.order() {
        let Some((op, op_inputs)) = graph.op(id) else { continue };
        let value = graph.value(id);
        builder.set_origin(&value.origin);
        let types: Vec<&Type> = op_inputs.iter().map(|&input| &graph.value(input).ty).collect();
        let result = lower_op(&mut builder, &target.recipes, op, Site { inputs: op_inputs, types: &types, ty: &value.ty })?;
        let name = match wanted.get(&id) {
            Some(name) if builder.rename_last(&result, name) => (*name).to_string(),
            _ => result,
        };
        builder.define(id, name);
    }
    // Outputs that are inputs, parameters, or a second name of a value.
    builder.set_origin("output");
    for (id, name) in &outputs {
        let value = builder.value(*id)?;
        if value != *name {
            let copy = builder.node("Identity", &[&value], vec![]);
            builder.rename_last(&copy, name);
        }
    }
    Ok(finish(builder, &inputs, &outputs, target))
}

fn finish(builder: Builder<'_>, inputs: &[(ValueId, String)], outputs: &[(ValueId, String)], target: &Target) -> Model {
    let info = |(id, name): &(ValueId, String)| -> ValueInfoProto { value_info(name, &builder.graph.value(*id).ty) };
    let graph = GraphProto {
        name: builder.graph.name().into(),
        input: inputs.iter().map(info).collect(),
        output: outputs.iter().map(info).collect(),
        node: builder.nodes,
        initializer: Vec::new(),
    };
    let mut metadata = BTreeMap::from([("dmdx.target".to_string(), target.name.to_string())]);
    if !builder.transposed.is_empty() {
        let names: Vec<String> = builder.transposed.into_iter().collect();
        metadata.insert("dmdx.transposed_weights".into(), names.join(","));
    }
    let (opset, ir_version) = (target.opset, target.ir_version);
    Model { graph, weights: builder.weights, constants: builder.constants, opset, ir_version, metadata }
}

/// Every operation that the target refuses, in one error.
fn refuse(graph: &Graph, target: &Target) -> Result<()> {
    let mut refused = Vec::new();
    for id in graph.order() {
        let Some((op, _)) = graph.op(id) else { continue };
        let value = graph.value(id);
        if let Some(reason) = target.refuses(op, &value.ty) {
            refused.push(format!("{}: {}, {reason}", value.origin, op.name()));
        }
    }
    if refused.is_empty() {
        Ok(())
    } else {
        Err(ExportError::Refused { target: target.name, graph: graph.name().into(), refused })
    }
}

fn check_names(graph: &Graph, inputs: &[(ValueId, String)], outputs: &[(ValueId, String)]) -> Result<()> {
    let mut seen = BTreeSet::new();
    let kinds = inputs.iter().map(|(_, n)| ("input", n)).chain(outputs.iter().map(|(_, n)| ("output", n)));
    for (kind, name) in kinds {
        let fail = |problem| Err(ExportError::Name { graph: graph.name().into(), kind, name: name.clone(), problem });
        if name.is_empty() {
            return fail("is empty; give it one");
        }
        if graph.params().contains_key(name.as_str()) {
            return fail("is the name of a parameter as well; rename it");
        }
        if !seen.insert(name) {
            return fail("is used twice among inputs and outputs; rename one of them");
        }
    }
    Ok(())
}

fn lower_op(b: &mut Builder<'_>, recipes: &Recipes, op: &Op, site: Site<'_>) -> Result<String> {
    match op {
        Op::Linear => (recipes.linear)(b, site),
        Op::MatMul { transpose_a, transpose_b } => dense::mat_mul(b, site, *transpose_a, *transpose_b),
        Op::Embedding => dense::embedding(b, site),
        Op::Conv2d { stride, padding, dilation, groups } => dense::conv(b, site, stride, padding, dilation, *groups),
        Op::Conv3d { stride, padding, dilation, groups } => dense::conv(b, site, stride, padding, dilation, *groups),
        Op::MaxPool2d { kernel, stride, padding } => pool::max(b, site, *kernel, *stride, *padding),
        Op::AvgPool2d { kernel, stride, padding, count_padding } => {
            pool::average(b, site, *kernel, *stride, *padding, *count_padding)
        }
        Op::GroupNorm { groups, eps, silu } => {
            let normal = (recipes.group_norm)(b, site, *groups, *eps)?;
            Ok(if *silu { (recipes.silu)(b, &normal, site.ty.dtype) } else { normal })
        }
        Op::LayerNorm { eps } => (recipes.layer_norm)(b, site, *eps),
        Op::RmsNorm { eps } => (recipes.rms_norm)(b, site, *eps),
        Op::Sdpa { scale, causal } => (recipes.attention)(b, site, *scale, *causal),
        Op::RelPos2d { height, width } => attention::rel_pos(b, site, *height, *width),
        Op::Rope { interleaved } => (recipes.rope)(b, site, *interleaved),
        Op::BucketBias { max_distance, bidirectional, length } => {
            position::bucket_bias(b, site, *max_distance, *bidirectional, length)
        }
        Op::CropTable { side, height, width } => position::crop_table(b, site, *side, height, width),
        Op::SincosTable3d { dim, frames, height, width, spatial_scale, temporal_scale } => {
            let sizes = [frames, height, width];
            let grid = grid::Grid { dim: *dim, sizes, spatial_scale: *spatial_scale, temporal_scale: *temporal_scale };
            grid::sincos_table(b, site, &grid)
        }
        Op::Relu => activation::direct(b, site, "Relu"),
        Op::Silu => activation::alone(b, site, recipes.silu),
        Op::Gelu { tanh: false } => activation::alone(b, site, recipes.gelu),
        Op::Gelu { tanh: true } => activation::alone(b, site, recipes.gelu_tanh),
        Op::QuickGelu => activation::alone(b, site, recipes.quick_gelu),
        Op::Geglu => activation::geglu(b, site, recipes.gelu),
        Op::Sigmoid => activation::direct(b, site, "Sigmoid"),
        Op::Tanh => activation::direct(b, site, "Tanh"),
        Op::Neg => activation::direct(b, site, "Neg"),
        Op::Exp => activation::direct(b, site, "Exp"),
        Op::Sqrt => activation::direct(b, site, "Sqrt"),
        Op::Sin => activation::direct(b, site, "Sin"),
        Op::Cos => activation::direct(b, site, "Cos"),
        Op::Add => activation::direct(b, site, "Add"),
        Op::Sub => activation::direct(b, site, "Sub"),
        Op::Mul => activation::direct(b, site, "Mul"),
        Op::Div => activation::direct(b, site, "Div"),
        Op::Softmax { axis } => reduce::softmax(b, site, *axis),
        Op::Clamp { min, max } => activation::clamp(b, site, *min, *max),
        Op::Affine { mul, add } => activation::affine(b, site, *mul, *add),
        Op::Reshape { shape } => shape::reshape(b, site, shape),
        Op::Permute { axes } => shape::permute(b, site, axes),
        Op::Concat { axis } => shape::concat(b, site, *axis),
        Op::Slice { axis, start, length } => shape::slice(b, site, *axis, start, length),
        Op::Pad { pads, value } => shape::pad(b, site, pads, *value),
        Op::Expand { shape } => shape::expand(b, site, shape),
        Op::WindowPartition { window } => window::partition(b, site, *window),
        Op::WindowMerge { window, height, width } => window::merge(b, site, *window, *height, *width),
        Op::UpNearest { factor } => resample::up_nearest(b, site, *factor),
        Op::Resize { mode, .. } => (recipes.resize)(b, site, *mode),
        Op::TimestepEmbed { dim, flip_sin_to_cos, freq_shift, max_period } => {
            time::timestep_embed(b, site, *dim, *flip_sin_to_cos, *freq_shift, *max_period)
        }
        Op::PoolToken { rule } => token::pool(b, site, *rule),
        Op::Reduce { kind, axes, keep_dims } => reduce::reduce(b, site, *kind, axes, *keep_dims),
        Op::Cast { dtype } => shape::cast(b, site, *dtype),
    }
}
