#![allow(clippy::unwrap_used)]
//! Round trips of the text form, and what it refuses.

use super::*;
use crate::dtype::DType;
use crate::error::GraphError;
use crate::ir::{Graph, Op, Shape, Type};
use crate::weights::Weight;

fn sample() -> Graph {
    let mut graph = Graph::new("Sample Net");
    let b = graph.symbol("b", "batch", 2);
    let h = graph.symbol("h", "latent \"height\" / 8", 4);
    let image = graph.input("image", Type::f32([b.clone(), 4.into(), h.scaled(8), h.scaled(8)])).unwrap();
    let ids = graph.input("input_ids", Type::i64([b.clone(), 7.into()])).unwrap();
    let weight = graph.param("conv_in.weight", &[32, 4, 3, 3], None).unwrap();
    let odd = graph.param("an odd: \"name\"\n", &[10, 8], None).unwrap();
    let positions = graph.param_of("positions", DType::I64, &[1, 7], None).unwrap();
    let attributes = Op::Conv2d { stride: [1, 1], padding: [1; 4], dilation: [1, 1], groups: 1 };
    let conv = graph.push(attributes, &[image, weight], "conv_in").unwrap();
    let silu = graph.push(Op::Silu, &[conv], "act <- some-rule").unwrap();
    let shape = Shape(vec![b.clone(), 32.into(), h.times(&h).scaled(64)]);
    let flat = graph.push(Op::Reshape { shape }, &[silu], "  odd ").unwrap();
    let embedded = graph.push(Op::Embedding, &[ids, odd], "").unwrap();
    graph.mark("conv_in", conv);
    graph.mark("positions", positions);
    graph.output("flat", flat).unwrap();
    graph.output("embedded out", embedded).unwrap();
    graph.verify().unwrap();
    graph
}

#[test]
fn the_text_is_readable() {
    insta::assert_snapshot!(print(&sample()), @r#"
    graph 1 "Sample Net"
    symbol b 2 "batch"
    symbol h 4 "latent \"height\" / 8"
    input %0 image : f32[b, 4, 8*h, 8*h]
    input %1 input_ids : i64[b, 7]
    param "an odd: \"name\"\n" : f32[10, 8]
    param conv_in.weight : f32[32, 4, 3, 3]
    param positions : i64[1, 7]
    %2 = conv2d %0 @conv_in.weight {"stride":[1,1],"padding":[1,1,1,1],"dilation":[1,1],"groups":1} : f32[b, 32, 8*h, 8*h]  # conv_in
    %3 = silu %2 : f32[b, 32, 8*h, 8*h]  # act <- some-rule
    %4 = reshape %3 {"shape":["b",32,"64*h*h"]} : f32[b, 32, 64*h*h]  # "  odd "
    %5 = embedding %1 @"an odd: \"name\"\n" : f32[b, 7, 8]
    mark conv_in %2
    mark positions @positions
    output flat %4
    output "embedded out" %5
    "#);
}

#[test]
fn printing_what_was_parsed_gives_the_same_text() {
    let text = print(&sample());
    let parsed = parse(&text).unwrap();
    assert_eq!(print(&parsed), text);
    assert_eq!(parsed.symbols(), sample().symbols());
}

#[test]
fn weights_are_shown_on_request_and_ignored_by_the_parser() {
    let mut graph = sample();
    let weight = Weight::owned(vec![0; 10 * 8 * 2].into(), DType::F16, vec![10, 8]).unwrap();
    graph.set_weight("an odd: \"name\"\n", weight).unwrap();
    let text = print_with(&graph, PrintOptions { weights: true });
    let line = text.lines().find(|line| line.starts_with("param \"an odd")).unwrap();
    insta::assert_snapshot!(line, @r#"param "an odd: \"name\"\n" : f32[10, 8] = f16 302fa272"#);
    assert_eq!(print(&parse(&text).unwrap()), print(&sample()));
}

#[test]
fn malformed_lines_are_refused_with_their_number() {
    let cases = [
        "",
        "graph 2 x",
        "graph 1 x\nnode",
        "graph 1 x\ninput %0 x : f33[2]",
        "graph 1 x\ninput %0 x : f32[2",
        "graph 1 x\ninput %0 x : f32[h]",
        "graph 1 x\ninput %0 x : f32[99999999999999999999]",
        "graph 1 x\ninput %0 x : f32[1099511627776, 1099511627776]",
        "graph 1 x\ninput %0 x : f32[1, 1, 1, 1, 1, 1, 1, 1, 1]",
        "graph 1 x\ninput %0 x : f32[-3]",
        "graph 1 x\ninput %0 x : f32[2]\ninput %0 y : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = silu %2 : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = silu %0 : f32[3]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = silu %0 %0 : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = gelu %0 : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = gelu %0 {\"tanh\":true,\"fast\":true} : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = gelu %0 {\"tanh\":true,\"tanh\":false} : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = softmax %0 {\"axis\":1e400} : f32[2]",
        "graph 1 x\ninput %0 x : f32[2]\n%1 = slice %0 {\"axis\":0,\"start\":18446744073709551615,\"length\":1} : f32[1]",
        "graph 1 x\nparam w : f32[2] = f16 12345",
        "graph 1 x\noutput y @w",
        "graph 1 x\nsymbol 9 2 \"nine\"",
        "graph 1 x\nmark \"open",
    ];
    let shown: Vec<String> = cases
        .iter()
        .map(|text| match parse(text) {
            Err(error @ GraphError::Parse { .. }) => error.to_string(),
            other => panic!("{text}: {other:?}"),
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    line 1 of the graph text: expected `graph 1 NAME`, the text is empty
    line 1 of the graph text: text version `2` is not supported, this reader knows 1
    line 2 of the graph text: `node` starts with none of %, symbol, input, param, mark, output
    line 2 of the graph text: `f33` is not an element type
    line 2 of the graph text: a shape is not closed by `]`
    line 2 of the graph text: symbol `h` is not declared
    line 2 of the graph text: dimension `99999999999999999999`: is not a sum of products of integers and names
    line 2 of the graph text: the shape has more than 281474976710656 elements
    line 2 of the graph text: the shape has 9 dimensions, 8 are allowed
    line 2 of the graph text: dimension `-3` is below zero
    line 3 of the graph text: value %0 is defined twice
    line 3 of the graph text: value %2 is not defined above
    line 3 of the graph text: the type is written as f32[3], the inputs give f32[2]
    line 3 of the graph text: silu cannot take its inputs: it has 2 inputs, 1 to 1 are possible
    line 3 of the graph text: `gelu` is not an operation without attributes
    line 3 of the graph text: `gelu` has no attribute `fast`
    line 3 of the graph text: `gelu` cannot have these attributes: duplicate field `tanh` at line 1 column 27
    line 3 of the graph text: the attributes is not valid JSON: number out of range at line 1 column 13
    line 3 of the graph text: attribute 18446744073709551615 is too large
    line 2 of the graph text: `12345` is not a hash of 8 hexadecimal digits
    line 2 of the graph text: parameter `w` is not declared above
    line 2 of the graph text: graph `x` breaks 1 invariant(s): symbol `9` is not made of letters, digits and underscores after a letter
    line 2 of the graph text: a mark's path is not valid JSON: EOF while parsing a string at line 1 column 5
    ");
}

#[test]
fn a_kernel_that_overflows_is_refused() {
    let text = "graph 1 x\ninput %0 x : f32[1, 1, 8, 8]\ninput %1 w : f32[1, 1, 8589934593, 1]\n\
                %2 = conv2d %0 %1 {\"stride\":[1,1],\"padding\":[0,0,0,0],\"dilation\":[2147483648,1],\"groups\":1} : f32[1, 1, 8, 8]";
    let error = parse(text).unwrap_err().to_string();
    assert_eq!(error, "line 4 of the graph text: conv2d cannot take its inputs: the dilated kernel is too large");
}

#[test]
fn deep_attributes_and_large_polynomials_end_quickly() {
    let deep = format!("graph 1 x\ninput %0 x : f32[2]\n%1 = gelu %0 {{\"tanh\":{}1", "[".repeat(1_000_000));
    assert!(parse(&deep).is_err());
    let symbols: String = (0..300).map(|i| format!("symbol s{i} 1 \"\"\n")).collect();
    let sum: Vec<String> = (0..300).map(|i| format!("s{i}")).collect();
    let wide = format!("graph 1 x\n{symbols}input %0 x : f32[{}]", [sum.join("+").as_str(); 8].join(", "));
    assert!(parse(&wide).unwrap_err().to_string().contains("too many terms"));
}

#[test]
fn sizes_that_overflow_are_refused() {
    // The product's coefficient saturates at the least integer, whose absolute value does not exist.
    let saturated = "graph 1 x\nsymbol h 1 \"\"\ninput %0 x : f32[1099511627776, 1+-1099511627776*h]";
    assert!(parse(saturated).unwrap_err().to_string().starts_with("line 3 of the graph text"));
    let windows = "graph 1 x\ninput %0 x : f32[0, 1099511627776, 1099511627776, 0]\n\
                   %1 = window_partition %0 {\"window\":1} : f32[0, 1, 1, 0]";
    assert!(parse(windows).unwrap_err().to_string().contains("too many windows"));
}
