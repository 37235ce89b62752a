//! The head of a map of features: pictures (distillation.md 3.8.2).

use dmdx_graph::{Graph, GraphError, ValueId};

use super::head_layer::{HeadLayout, conv, norm};
use crate::recipe::HeadOutput;

/// `blocks.N` (4×4 stride-2 convolution, group norm, SiLU) while the map is too large, then `squash`, a convolution with norm
/// and SiLU over the remaining map (or 1×1 for a map of logits), then `logit`, 1×1.
pub(super) fn build(
    graph: &mut Graph,
    tap: &str,
    mut x: ValueId,
    [mut channels, mut rows, mut columns]: [usize; 3],
    layout: HeadLayout,
) -> Result<(), GraphError> {
    let mut block = 0;
    while rows.min(columns) > layout.min_size {
        let place = format!("{tap}.blocks.{block}");
        x = conv(graph, &format!("{place}.conv"), x, [layout.width, channels], 4, 2, 1)?;
        x = norm(graph, &format!("{place}.norm"), x, layout)?;
        (channels, rows, columns) = (layout.width, rows / 2, columns / 2);
        block += 1;
    }
    let kernel = match layout.output {
        HeadOutput::Scalar => layout.min_size.min(rows.min(columns)),
        HeadOutput::Map => 1,
    };
    x = conv(graph, &format!("{tap}.squash.conv"), x, [layout.width, channels], kernel, kernel, 0)?;
    x = norm(graph, &format!("{tap}.squash.norm"), x, layout)?;
    x = conv(graph, &format!("{tap}.logit"), x, [1, layout.width], 1, 1, 0)?;
    graph.output(tap, x)
}
