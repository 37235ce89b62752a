//! The interpreter against numpy, torch, diffusers and transformers.

use std::collections::BTreeSet;

use dmdx_graph::error::RunError;
use dmdx_graph::{GraphError, Op, interp, text};

use crate::op_cases::load;

#[test]
fn every_case_agrees_with_its_reference() {
    let cases = load().unwrap();
    let mut worst = (0.0, String::new());
    let mut failures = Vec::new();
    for case in &cases {
        let graph = case.graph().unwrap();
        let run = interp::run(&graph, &case.graph_inputs()).unwrap();
        let difference = case.difference(&run.outputs["y"]);
        // References are rounded to f32 once (6e-8); only timestep embeddings are f32 throughout, on both sides.
        let limit = if matches!(case.op, Op::TimestepEmbed { .. }) { case.tolerance } else { 1e-6 };
        if difference > limit {
            failures.push(format!("{} is off by {difference:.1e}", case.name));
        }
        if difference > worst.0 && !matches!(case.op, Op::TimestepEmbed { .. }) {
            worst = (difference, case.name.clone());
        }
    }
    println!("{} cases, worst {:.1e} in {}", cases.len(), worst.0, worst.1);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_cases_cover_every_operation() {
    let covered: BTreeSet<&str> = load().unwrap().iter().map(|case| case.op.name()).collect();
    let all = [
        "linear",
        "mat_mul",
        "embedding",
        "conv2d",
        "conv3d",
        "max_pool2d",
        "avg_pool2d",
        "group_norm",
        "layer_norm",
        "rms_norm",
        "sdpa",
        "rel_pos2d",
        "rope",
        "bucket_bias",
        "crop_table",
        "sincos_table3d",
        "relu",
        "silu",
        "gelu",
        "quick_gelu",
        "geglu",
        "sigmoid",
        "tanh",
        "softmax",
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "exp",
        "sqrt",
        "sin",
        "cos",
        "clamp",
        "affine",
        "reshape",
        "permute",
        "concat",
        "slice",
        "pad",
        "expand",
        "window_partition",
        "window_merge",
        "up_nearest",
        "resize",
        "timestep_embed",
        "pool_token",
        "reduce",
        "cast",
    ];
    assert_eq!(covered, BTreeSet::from(all));
}

#[test]
fn every_case_survives_the_text_form() {
    for case in load().unwrap() {
        let graph = case.graph().unwrap();
        let printed = text::print(&graph);
        let parsed = text::parse(&printed).unwrap_or_else(|error| panic!("{}: {error}\n{printed}", case.name));
        assert_eq!(text::print(&parsed), printed);
    }
}

#[test]
fn a_missing_weight_is_named() {
    let graph = text::parse(
        "graph 1 g\ninput %0 x : f32[2, 3]\nparam layer.weight : f32[4, 3]\n%1 = linear %0 @layer.weight : f32[2, 4]\noutput y %1\n",
    );
    let x = interp::Tensor::from_f64(vec![0.0; 6], &[2, 3]).unwrap();
    let error = interp::run(&graph.unwrap(), &[("x".to_string(), x)].into()).unwrap_err();
    assert_eq!(error.to_string(), "weight `layer.weight`: has no data; load the checkpoint before running the graph");
}

#[test]
fn values_outside_an_operation_are_errors() {
    let graph = text::parse(
        "graph 1 g\ninput %0 ids : i64[2]\ninput %1 table : f32[3, 2]\n%2 = embedding %0 %1 : f32[2, 2]  # tokens\noutput y %2\n",
    )
    .unwrap();
    let ids = interp::Tensor::from_i64(vec![0, 3], &[2]).unwrap();
    let table = interp::Tensor::from_f64(vec![0.0; 6], &[3, 2]).unwrap();
    let mut inputs = [("ids".to_string(), ids), ("table".to_string(), table.clone())].into();
    let error = interp::run(&graph, &inputs).unwrap_err();
    assert_eq!(error.to_string(), "tokens: embedding cannot be computed: id 3 is not in a table of 3 rows");
    assert!(matches!(error, GraphError::Run { reason: RunError::Id { id: 3, rows: 3 }, .. }));
    inputs.insert("ids".into(), interp::Tensor::from_f64(vec![0.0; 2], &[2]).unwrap());
    assert_eq!(interp::run(&graph, &inputs).unwrap_err().to_string(), "input `ids`: holds floats, the graph wants i64[2]");
}

#[test]
fn an_embedding_wider_than_memory_is_an_error() {
    let graph = text::parse(
        "graph 1 g\ninput %0 t : f32[1]\n\
         %1 = timestep_embed %0 {\"dim\":2147483648,\"flip_sin_to_cos\":true,\"freq_shift\":0.0,\"max_period\":10000.0} : f32[1, 2147483648]\n\
         output y %1\n",
    );
    let inputs = [("t".to_string(), interp::Tensor::from_f64(vec![1.0], &[1]).unwrap())].into();
    assert!(interp::run(&graph.unwrap(), &inputs).is_err());
}
