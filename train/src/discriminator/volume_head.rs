//! The head of a volume of features: videos (distillation.md 3.8.3).

use dmdx_graph::{Dim, Graph, GraphError, Op, Shape, ValueId};

use super::head_layer::{HeadLayout, conv, norm};

/// `blocks.N` while the smaller side is above the layout's, and at least once: a 3×3×3 convolution (`conv3d`), a 3×3 one of
/// stride 2 on every frame (`conv2d`), group norm over all frames and SiLU; then `logit`, 1×1×1, so that there is a logit for
/// every remaining position.
pub(super) fn build(
    graph: &mut Graph,
    tap: &str,
    (mut x, batch): (ValueId, &Dim),
    [mut channels, frames, mut rows, mut columns]: [usize; 4],
    layout: HeadLayout,
) -> Result<(), GraphError> {
    let mut block = 0;
    while block == 0 || rows.min(columns) > layout.min_size {
        let place = format!("{tap}.blocks.{block}");
        x = conv3d(graph, &format!("{place}.conv3d"), x, [layout.width, channels], 3)?;
        x = on_frames(graph, &place, x, batch, [layout.width, frames, rows, columns])?;
        (channels, rows, columns) = (layout.width, rows.div_ceil(2), columns.div_ceil(2));
        x = norm(graph, &format!("{place}.norm"), x, layout)?;
        block += 1;
    }
    x = conv3d(graph, &format!("{tap}.logit"), x, [1, channels], 1)?;
    graph.output(tap, x)
}

fn conv3d(graph: &mut Graph, name: &str, x: ValueId, [out, channels]: [usize; 2], kernel: usize) -> Result<ValueId, GraphError> {
    let weight = graph.param(&format!("{name}.weight"), &[out, channels, kernel, kernel, kernel], None)?;
    let bias = graph.param(&format!("{name}.bias"), &[out], None)?;
    let op = Op::Conv3d { stride: [1; 3], padding: [kernel / 2; 6], dilation: [1; 3], groups: 1 };
    graph.push(op, &[x, weight, bias], name)
}

/// A convolution of stride 2 on every frame of `[b, c, t, h, w]`.
fn on_frames(
    graph: &mut Graph,
    place: &str,
    x: ValueId,
    batch: &Dim,
    [channels, frames, rows, columns]: [usize; 4],
) -> Result<ValueId, GraphError> {
    let name = format!("{place}.conv2d");
    let frame_first = |graph: &mut Graph, x| graph.push(Op::Permute { axes: vec![0, 2, 1, 3, 4] }, &[x], &name);
    let reshaped = |graph: &mut Graph, x, sizes: &[Dim]| graph.push(Op::Reshape { shape: Shape(sizes.to_vec()) }, &[x], &name);
    let constant = Dim::constant;
    let each = batch.scaled(frames);
    let x = frame_first(graph, x)?;
    let x = reshaped(graph, x, &[each, constant(channels), constant(rows), constant(columns)])?;
    let x = conv(graph, &name, x, [channels, channels], 3, 2, 1)?;
    let halved = [rows.div_ceil(2), columns.div_ceil(2)].map(constant);
    let [rows, columns] = halved;
    let x = reshaped(graph, x, &[batch.clone(), constant(frames), constant(channels), rows, columns])?;
    frame_first(graph, x)
}
