//! Tapped features: where they are taken, how they lie in memory, and what shape a head sees.

use dmdx_graph::Graph;
use dmdx_graph::ir::Bindings;
use indexmap::IndexMap;

use crate::error::TrainError;
use crate::module::Value;

/// Features by tap, in the order of the taps: maps `[b, c, h, w]` or volumes `[b, c, t, h, w]`.
pub type Features = IndexMap<String, Value>;

/// How a network's modules lay their features out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureLayout {
    /// `[b, c, h, w]`: convolutions.
    ChannelsFirst,
    /// `[b, h, w, c]`: SAM.
    ChannelsLast,
    /// `[b, tokens, c]`, the tokens a grid of rows and columns, or of frames, rows and columns: transformers.
    Tokens(Vec<usize>),
}

/// What one head sees of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureShape {
    /// Channels, rows and columns.
    Map([usize; 3]),
    /// Channels, frames, rows and columns.
    Volume([usize; 4]),
}

impl FeatureShape {
    /// The sizes, channels first.
    pub(super) fn sizes(&self) -> &[usize] {
        match self {
            Self::Map(sizes) => sizes,
            Self::Volume(sizes) => sizes,
        }
    }
}

impl FeatureLayout {
    /// What a head sees of a feature of this shape, `None` where the two do not go together.
    fn shape(&self, sizes: &[usize]) -> Option<FeatureShape> {
        match (self, sizes) {
            (Self::ChannelsFirst, &[_, channels, rows, columns]) => Some(FeatureShape::Map([channels, rows, columns])),
            (Self::ChannelsLast, &[_, rows, columns, channels]) => Some(FeatureShape::Map([channels, rows, columns])),
            (Self::Tokens(grid), &[_, tokens, channels]) if grid.iter().product::<usize>() == tokens => match grid[..] {
                [rows, columns] => Some(FeatureShape::Map([channels, rows, columns])),
                [frames, rows, columns] => Some(FeatureShape::Volume([channels, frames, rows, columns])),
                _ => None,
            },
            _ => None,
        }
    }

    /// The feature as a head sees it, channels first.
    pub(super) fn channels_first(&self, feature: Value) -> Result<Value, TrainError> {
        match self {
            Self::ChannelsFirst => Ok(feature),
            Self::ChannelsLast => Ok(feature.permuted(&[0, 3, 1, 2])),
            Self::Tokens(grid) => {
                let sizes = feature.shape();
                let (batch, channels) = (sizes.first().copied().unwrap_or(0), sizes.last().copied().unwrap_or(0));
                let shape: Vec<usize> = [batch].into_iter().chain(grid.iter().copied()).chain([channels]).collect();
                let last = shape.len() - 1;
                let axes: Vec<usize> = [0, last].into_iter().chain(1..last).collect();
                Ok(feature.reshape(&shape)?.permuted(&axes))
            }
        }
    }
}

/// A module whose result gets a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The module's path, as recipes and heads name it.
    pub name: String,
    /// What the graph calls the result: modules of several results have one mark for each, `path`, `path:1`, ….
    pub mark: String,
    /// What the head sees.
    pub shape: FeatureShape,
}

/// The taps called `names` for concrete input shapes, without running the network: of each module the first result that is
/// laid out so (of a transformer block the picture's tokens, not the text's). `key` is the recipe's for taps.
///
/// # Errors
/// When a name is no module, an input shape does not fit, or no result of a module is of the given layout.
pub fn find_taps(
    graph: &Graph,
    names: &[String],
    inputs: &[(&str, Vec<usize>)],
    layout: &FeatureLayout,
    key: &str,
) -> Result<Vec<Tap>, TrainError> {
    let wrap = |error| TrainError::component("finding the shapes of the taps", error);
    let mut bindings = Bindings::new();
    for (name, id) in graph.inputs() {
        if let Some((_, shape)) = inputs.iter().find(|(given, _)| *given == &**name) {
            graph.value(*id).ty.shape.bind(name, shape, &mut bindings).map_err(wrap)?;
        }
    }
    let tap = |name: &String| {
        let results = [name.clone(), format!("{name}:1")];
        let found: Vec<_> = results.iter().filter_map(|mark| Some((mark, graph.marks().get(mark)?))).collect();
        if found.is_empty() {
            return Err(TrainError::recipe(key, format!("has {name}, which is no module of {}", graph.name())));
        }
        // A result whose size depends on an input that is not given is another one's: the text's.
        let sizes = found.into_iter().map(|(mark, id)| (mark, graph.value(*id).ty.shape.eval(&bindings).ok()));
        let mut seen = Vec::new();
        for (mark, sizes) in sizes.filter_map(|(mark, sizes)| Some((mark, sizes?))) {
            if let Some(shape) = layout.shape(&sizes) {
                return Ok(Tap { name: name.clone(), mark: mark.clone(), shape });
            }
            seen = sizes;
        }
        Err(TrainError::TapShape { tap: name.clone(), shape: seen })
    };
    names.iter().map(tap).collect()
}
