//! Low-rank adaptation (LoRA, arXiv 2106.09685): a layer computes `W x + b + (alpha / rank) B (A x)` and A and B alone are
//! trained. Names and shapes are PEFT's: `<module>.lora_A.weight`, `<module>.lora_B.weight`; A of a convolution has the
//! layer's kernel, stride and padding, and B is pointwise.

use dmdx_graph::Op;

/// Which layers get factors, and of which rank.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// Rank of every product.
    pub rank: usize,
    /// The product is multiplied with `alpha / rank`.
    pub alpha: f64,
    /// Module paths or their ends behind a dot, as PEFT's `target_modules`.
    pub targets: Vec<String>,
    /// Whether a target may name no layer: where the targets are those of many networks.
    pub is_common: bool,
}

impl LowRank {
    /// `alpha / rank`.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

/// A layer with factors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its dotted path.
    pub module: String,
    /// Shape of A: `[rank, inputs]`, of a convolution `[rank, inputs, height, width]`.
    pub down: Vec<usize>,
    /// Shape of B: `[outputs, rank]`, of a convolution `[outputs, rank, 1, 1]`.
    pub up: Vec<usize>,
}

impl Layer {
    /// How many numbers one row of A reads.
    pub fn inputs(&self) -> usize {
        self.down.iter().skip(1).product()
    }

    /// The name of the weight that the factors stand beside.
    pub fn weight(&self) -> String {
        format!("{}.weight", self.module)
    }

    /// Name and shape of A and of B.
    pub fn parameters(&self) -> impl Iterator<Item = (String, &[usize])> {
        let name = |part: &str| format!("{}.lora_{part}.weight", self.module);
        [(name("A"), self.down.as_slice()), (name("B"), self.up.as_slice())].into_iter()
    }
}

/// The factors of a network.
#[derive(Clone, Debug)]
pub(super) struct Factors {
    /// `alpha / rank`.
    pub scale: f64,
    /// In the order of the names.
    pub layers: Vec<Layer>,
}

impl Factors {
    /// The operation that multiplies with B behind an operation that multiplies with A; none where there is no such pair.
    pub(super) fn pointwise(op: &Op) -> Option<Op> {
        if matches!(op, Op::Linear) {
            return Some(Op::Linear);
        }
        let is_convolution = matches!(op, Op::Conv2d { groups: 1, .. });
        is_convolution.then_some(Op::Conv2d { stride: [1, 1], padding: [0; 4], dilation: [1, 1], groups: 1 })
    }
}
