//! A graph under construction, seen from one module of the reference class.

use dmdx_graph::{Dim, Graph, Op, Shape, ValueId};

use crate::error::Result;

/// Builds inside the module at a dotted path; parameters, origins and marks get their names from it.
pub(super) struct Scope<'g> {
    graph: &'g mut Graph,
    path: String,
}

/// How a convolution with a square kernel moves.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    /// Whether a bias is added.
    pub bias: bool,
}

impl Conv {
    /// An odd kernel that keeps the size, with bias.
    pub(super) fn same(kernel: usize) -> Self {
        Self { kernel, stride: 1, padding: [(kernel - 1) / 2; 4], bias: true }
    }

    /// Non-overlapping patches.
    pub(super) fn patches(size: usize, bias: bool) -> Self {
        Self { kernel: size, stride: size, padding: [0; 4], bias }
    }
}

impl<'g> Scope<'g> {
    /// The root module.
    pub(super) fn new(graph: &'g mut Graph) -> Self {
        Self { graph, path: String::new() }
    }

    /// The submodule `name`, without a mark of its own.
    pub(super) fn child(&mut self, name: &str) -> Scope<'_> {
        let path = self.join(name);
        Scope { graph: self.graph, path }
    }

    /// Builds the submodule `name` and marks its result.
    pub(super) fn module(&mut self, name: &str, body: impl FnOnce(&mut Scope<'_>) -> Result<ValueId>) -> Result<ValueId> {
        let mut child = self.child(name);
        let value = body(&mut child)?;
        child.mark_self(value);
        Ok(value)
    }

    /// Marks `value` as the result of this module.
    pub(super) fn mark_self(&mut self, value: ValueId) {
        self.graph.mark(&self.path, value);
    }

    /// Marks `value` as the result of the submodule `name`.
    pub(super) fn mark(&mut self, name: &str, value: ValueId) {
        let path = self.join(name);
        self.graph.mark(&path, value);
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// Adds an operation of this module.
    pub(super) fn op(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.graph.push(op, inputs, &self.path)?)
    }

    /// The dotted path of this module.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Declares a parameter of this module. A module that is called several times reads the same one each time.
    pub(super) fn param(&mut self, name: &str, shape: &[usize]) -> Result<ValueId> {
        let name = self.join(name);
        match self.graph.params().get(name.as_str()) {
            Some(param) if param.shape == shape => Ok(param.value),
            _ => Ok(self.graph.param(&name, shape, None)?),
        }
    }

    /// The shape of a value.
    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.graph.value(value).ty.shape.clone()
    }

    /// One dimension of a value.
    pub(super) fn dim(&self, value: ValueId, axis: usize) -> Dim {
        self.graph.value(value).ty.shape.0.get(axis).cloned().unwrap_or_default()
    }

    /// A dimension that the configuration determines, such as a number of channels.
    pub(super) fn size(&self, value: ValueId, axis: usize) -> usize {
        self.dim(value, axis).known().unwrap_or_default()
    }

    fn last(&self, value: ValueId) -> usize {
        self.size(value, self.shape(value).rank().saturating_sub(1))
    }

    /// `torch.nn.Linear`.
    pub(super) fn linear(&mut self, name: &str, x: ValueId, width: usize, bias: bool) -> Result<ValueId> {
        let from = self.last(x);
        self.module(name, |m| {
            let mut inputs = vec![x, m.param("weight", &[width, from])?];
            if bias {
                inputs.push(m.param("bias", &[width])?);
            }
            m.op(Op::Linear, &inputs)
        })
    }

    /// `torch.nn.Conv2d` with a square kernel.
    pub(super) fn conv2d(&mut self, name: &str, x: ValueId, channels: usize, conv: Conv) -> Result<ValueId> {
        self.module(name, |m| m.conv2d_here(x, channels, conv))
    }

    /// The same by this module's own parameters.
    pub(super) fn conv2d_here(&mut self, x: ValueId, channels: usize, conv: Conv) -> Result<ValueId> {
        let mut inputs = vec![x, self.param("weight", &[channels, self.size(x, 1), conv.kernel, conv.kernel])?];
        if conv.bias {
            inputs.push(self.param("bias", &[channels])?);
        }
        let Conv { stride, padding, .. } = conv;
        self.op(Op::Conv2d { stride: [stride; 2], padding, dilation: [1; 2], groups: 1 }, &inputs)
    }

    /// `torch.nn.GroupNorm`.
    pub(super) fn group_norm(&mut self, name: &str, x: ValueId, groups: usize, eps: f64) -> Result<ValueId> {
        self.module(name, |m| m.group_norm_op(x, groups, eps, false))
    }

    /// `torch.nn.GroupNorm` and SiLU in one operation. The norm alone has no value, so nothing is marked.
    pub(super) fn group_norm_silu(&mut self, name: &str, x: ValueId, groups: usize, eps: f64) -> Result<ValueId> {
        self.child(name).group_norm_op(x, groups, eps, true)
    }

    fn group_norm_op(&mut self, x: ValueId, groups: usize, eps: f64, silu: bool) -> Result<ValueId> {
        let channels = self.size(x, 1);
        let inputs = [x, self.param("weight", &[channels])?, self.param("bias", &[channels])?];
        self.op(Op::GroupNorm { groups, eps, silu }, &inputs)
    }

    /// `torch.nn.LayerNorm` over the last dimension.
    pub(super) fn layer_norm(&mut self, name: &str, x: ValueId, eps: f64) -> Result<ValueId> {
        let channels = self.last(x);
        self.module(name, |m| {
            let inputs = [x, m.param("weight", &[channels])?, m.param("bias", &[channels])?];
            m.op(Op::LayerNorm { eps }, &inputs)
        })
    }

    /// The norm of T5 and its kin over the last dimension: no mean is taken off, there is no bias.
    pub(super) fn rms_norm(&mut self, name: &str, x: ValueId, eps: f64) -> Result<ValueId> {
        let channels = self.last(x);
        self.module(name, |m| {
            let inputs = [x, m.param("weight", &[channels])?];
            m.op(Op::RmsNorm { eps }, &inputs)
        })
    }

    /// `a + b`.
    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.op(Op::Add, &[a, b])
    }

    /// `x * mul + add` with scalars.
    pub(super) fn affine(&mut self, x: ValueId, mul: f64, add: f64) -> Result<ValueId> {
        self.op(Op::Affine { mul, add }, &[x])
    }

    /// `length` elements from `start` along one axis.
    pub(super) fn slice(&mut self, x: ValueId, axis: usize, start: impl Into<Dim>, length: impl Into<Dim>) -> Result<ValueId> {
        self.op(Op::Slice { axis, start: start.into(), length: length.into() }, &[x])
    }

    /// Joins values along one axis.
    pub(super) fn concat(&mut self, axis: usize, parts: &[ValueId]) -> Result<ValueId> {
        self.op(Op::Concat { axis }, parts)
    }

    /// Repeats along dimensions of size 1, or missing in front.
    pub(super) fn expand(&mut self, x: ValueId, dims: impl Into<Vec<Dim>>) -> Result<ValueId> {
        self.op(Op::Expand { shape: Shape(dims.into()) }, &[x])
    }

    /// Another shape.
    pub(super) fn reshape(&mut self, x: ValueId, dims: impl Into<Vec<Dim>>) -> Result<ValueId> {
        self.op(Op::Reshape { shape: Shape(dims.into()) }, &[x])
    }

    /// Another order of dimensions.
    pub(super) fn permute(&mut self, x: ValueId, axes: &[usize]) -> Result<ValueId> {
        self.op(Op::Permute { axes: axes.to_vec() }, &[x])
    }

    /// `[b, c, h, w]` → `[b, h*w, c]`.
    pub(super) fn flatten_image(&mut self, x: ValueId) -> Result<ValueId> {
        let dims = [self.dim(x, 0), self.dim(x, 2).times(&self.dim(x, 3)), self.dim(x, 1)];
        let x = self.permute(x, &[0, 2, 3, 1])?;
        self.reshape(x, dims)
    }

    /// `[b, h*w, c]` → `[b, c, h, w]` with the height and width of `like [b, _, h, w]`.
    pub(super) fn unflatten_image(&mut self, x: ValueId, like: ValueId) -> Result<ValueId> {
        let dims = [self.dim(x, 0), self.dim(like, 2), self.dim(like, 3), self.dim(x, 2)];
        let x = self.reshape(x, dims)?;
        self.permute(x, &[0, 3, 1, 2])
    }

    /// `[b, s, c]` → `[b, heads, s, c/heads]`.
    pub(super) fn split_heads(&mut self, x: ValueId, heads: usize) -> Result<ValueId> {
        let width = self.size(x, 2) / heads.max(1);
        let dims = [self.dim(x, 0), self.dim(x, 1), heads.into(), width.into()];
        let x = self.reshape(x, dims)?;
        self.permute(x, &[0, 2, 1, 3])
    }

    /// `[b, heads, s, d]` → `[b, s, heads*d]`.
    pub(super) fn merge_heads(&mut self, x: ValueId) -> Result<ValueId> {
        let dims = [self.dim(x, 0), self.dim(x, 2), self.dim(x, 1).times(&self.dim(x, 3))];
        let x = self.permute(x, &[0, 2, 1, 3])?;
        self.reshape(x, dims)
    }

    /// Attention of `q [b, heads, s, d]` over `k, v [b, heads, t, d]`, scaled by the root of `d`; a bias may follow.
    pub(super) fn sdpa(&mut self, inputs: &[ValueId], causal: bool) -> Result<ValueId> {
        let width = inputs.first().map_or(1, |q| self.size(*q, 3));
        self.op(Op::Sdpa { scale: (width as f64).powf(-0.5), causal }, inputs)
    }

    /// Multi-head attention of `q [b, s, c]` over `k, v [b, t, c]`.
    pub(super) fn attention(&mut self, [q, k, v]: [ValueId; 3], heads: usize, causal: bool) -> Result<ValueId> {
        let inputs = [self.split_heads(q, heads)?, self.split_heads(k, heads)?, self.split_heads(v, heads)?];
        let x = self.sdpa(&inputs, causal)?;
        self.merge_heads(x)
    }
}
