//! What a network's ONNX file offers: the outputs of optimum's exports, under optimum's names.

use dmdx_graph::ir::Output;
use dmdx_graph::{Graph, Op};
use dmdx_runtime::family::FileNames;

use crate::error::Result;
use crate::options::Names;

/// What a text encoder's last but one hidden state is called before all of them are offered.
const PENULTIMATE: &str = "penultimate_hidden_state";

/// A part of a component as files have it: hidden states one by one, an encoder's mean and logarithm of the variance as one
/// tensor; and the names of its inputs and outputs.
pub(crate) fn published(part: &str, graph: &Graph) -> Result<(Graph, Names)> {
    let mut graph = graph.clone();
    if graph.outputs().iter().any(|output| output.name == PENULTIMATE) {
        offer_hidden_states(&mut graph);
    }
    if let [Output { name: mean, value: first }, Output { name: logvar, value: second }] = graph.outputs()
        && (mean.as_str(), logvar.as_str()) == ("mean", "logvar")
    {
        let value = graph.push(Op::Concat { axis: 1 }, &[*first, *second], "latent_parameters")?;
        graph.set_outputs(vec![Output { name: "latent_parameters".into(), value }]);
    }
    let mut names = Names::separated(&graph);
    let files = FileNames::of(part);
    for (name, _) in graph.inputs().iter().filter(|(name, _)| files.input(name) != &**name) {
        names.inputs.insert(name.to_string(), files.input(name).into());
    }
    for output in graph.outputs().iter().filter(|output| files.output(&output.name) != output.name) {
        names.outputs.insert(output.name.clone(), files.output(&output.name).into());
    }
    Ok((graph, names))
}

/// Adds every marked hidden state as an output (`hidden_states.0` …); the output that only repeats one of them goes.
fn offer_hidden_states(graph: &mut Graph) {
    let mut outputs: Vec<Output> = graph.outputs().iter().filter(|output| output.name != PENULTIMATE).cloned().collect();
    let states = (0..).map_while(|i| {
        let name = format!("hidden_states.{i}");
        graph.marks().get(&name).map(|&value| Output { name, value })
    });
    outputs.extend(states);
    // The projected embedding comes first where there is one, as in the reference class.
    outputs.sort_by_key(|output| output.name != "text_embeds");
    graph.set_outputs(outputs);
}
