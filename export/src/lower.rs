//! Graph → ONNX nodes, by the recipes of the target.

use std::collections::{BTreeMap, BTreeSet};

use dmdx_graph::rewrite::{RewriteOptions, apply_neutral};
use dmdx_graph::{DType, Dim, Graph, Op, Shape, Type, ValueId};
use serde::Serialize;

use crate::error::{ExportError, Result};
use crate::onnx::proto::{GraphProto, ValueInfoProto};
use crate::onnx::{Model, SizeNames, value_info};
use crate::options::{About, GraphOptions};
use crate::recipes::{
    Builder, Recipes, Site, activation, attention, dense, grid, pool, position, reduce, resample, shape, time, token, window,
};
use crate::targets::Target;
use crate::typing::{self, Known};
use crate::uses::{Uses, uses};

/// What files call the number of times that they are given: one for all samples, or one for each.
const TIMES: &str = "timesteps";

/// Lowers a graph for a target. Its inputs and outputs keep their names, except those to which `names` gives others.
///
/// Marks are not exported. Nodes are named after the reference library's modules, initializers after its weights; those that
/// are stored in another layout than the reference's have a suffix that says so.
///
/// # Errors
/// [`ExportError::Refused`] with every operation that the target cannot express; [`ExportError::NoWeight`] and
/// [`ExportError::Name`] for graphs that are not ready to be exported.
pub(crate) fn lower(graph: &Graph, options: &GraphOptions) -> Result<Model> {
    let (names, target) = (&options.names, options.target);
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

    let times = times(&graph);
    let reserved = outputs.iter().map(|(_, name)| name.as_str());
    let mut builder = Builder::new(&graph, &inputs, reserved, &times, target.stored);
    times.iter().try_for_each(|&id| builder.spread(id))?;
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
    Ok(finish(builder, &Ports { inputs, outputs, times }, target, &options.about))
}

/// The inputs that are times: one for each sample of a batch that other inputs have as well.
fn times(graph: &Graph) -> Vec<ValueId> {
    let leads = |other: &ValueId, dim: &Dim| {
        let dims = &graph.value(*other).ty.shape.0;
        dims.len() > 1 && dims[0] == *dim
    };
    let users = graph.users();
    let is_time = |id: &ValueId| match graph.value(*id).ty.shape.0.as_slice() {
        [dim] if dim.as_scaled_symbol().is_some() => {
            uses(graph, &users, *id).times && graph.inputs().iter().any(|(_, other)| leads(other, dim))
        }
        _ => false,
    };
    graph.inputs().iter().map(|(_, id)| *id).filter(is_time).collect()
}

/// Inputs and outputs by their public names, and which inputs are times.
struct Ports {
    inputs: Vec<(ValueId, String)>,
    outputs: Vec<(ValueId, String)>,
    times: Vec<ValueId>,
}

impl Ports {
    /// The shape of an input as the file declares it: times have a number of their own.
    fn shape(&self, graph: &Graph, id: ValueId) -> Shape {
        match self.times.contains(&id) {
            true => Shape(vec![Dim::symbol(TIMES)]),
            false => graph.value(id).ty.shape.clone(),
        }
    }
}

fn finish(builder: Builder<'_>, ports: &Ports, target: &Target, about: &About) -> Model {
    let graph = builder.graph;
    let sizes = SizeNames::of(graph, &ports.times);
    let mut sources = BTreeMap::new();
    for (id, name) in &ports.inputs {
        sources.insert(name.clone(), Known::shaped(graph.value(*id).ty.dtype, &ports.shape(graph, *id)));
    }
    for (name, weight) in builder.weights.iter().chain(&builder.constants) {
        sources.insert(name.clone(), Known::of_weight(weight));
    }
    let known = typing::results(&builder.nodes, sources, &builder.stated);
    let info = |name: &String| known.get(name).map(|known| value_info(name, known.dtype, &known.dims, &sizes));
    let output = |(id, name): &(ValueId, String)| {
        let ty = &graph.value(*id).ty;
        let dims: Vec<Option<Dim>> = ty.shape.0.iter().cloned().map(Some).collect();
        value_info(name, ty.dtype, &dims, &sizes)
    };
    let users = graph.users();
    let mut ranges: BTreeMap<String, Range> = BTreeMap::new();
    let input = |(id, name): &(ValueId, String)| -> Option<ValueInfoProto> {
        let (doc, range) = reading(graph.value(*id).ty.dtype, &uses(graph, &users, *id), ports.times.contains(id));
        ranges.extend(range.map(|range| (name.clone(), range)));
        Some(ValueInfoProto { doc_string: doc, ..info(name)? })
    };
    let inputs = ports.inputs.iter().filter_map(input).collect();
    let results = builder.nodes.iter().flat_map(|node| &node.output);
    let between = results.filter(|result| !ports.outputs.iter().any(|(_, name)| name == *result));
    let message = GraphProto {
        name: graph.name().into(),
        input: inputs,
        output: ports.outputs.iter().map(output).collect(),
        value_info: between.filter_map(info).collect(),
        node: builder.nodes.clone(),
        initializer: Vec::new(),
    };
    let mut record = sizes.record();
    if let Some(batch) = ports.times.first() {
        record.push(format!("{TIMES}={}", graph.value(*batch).ty.shape.0[0]));
    }
    let mut metadata = about.facts.clone();
    metadata.insert("dmdx.target".into(), target.name.into());
    for (key, value) in [("dmdx.sizes", record.join(",")), ("dmdx.inputs", serde_json::to_string(&ranges).unwrap_or_default())] {
        metadata.insert(key.into(), value);
    }
    Model {
        graph: message,
        weights: builder.weights,
        constants: builder.constants,
        opset: target.opset,
        ir_version: target.ir_version,
        doc: about.doc.clone(),
        metadata,
    }
}

/// The smallest and the largest value of an input.
#[derive(Serialize)]
struct Range {
    min: u64,
    max: u64,
}

/// What an input takes, in words, and the range of its values where there is one.
fn reading(dtype: DType, uses: &Uses, is_time: bool) -> (String, Option<Range>) {
    if is_time {
        return ("Times from 0 to 1000: one for all samples, or one for each.".into(), Some(Range { min: 0, max: 1000 }));
    }
    let last = uses.rows.saturating_sub(1) as u64;
    match (dtype.is_float(), last) {
        (true, _) => (String::new(), None),
        (false, 1) => ("0 or 1.".into(), Some(Range { min: 0, max: 1 })),
        (false, last) => (format!("Ids from 0 to {last}."), Some(Range { min: 0, max: last })),
    }
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
