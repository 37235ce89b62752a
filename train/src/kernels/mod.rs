//! Fused kernels with their gradients, where Burn's composition of operations is slow on the CPU.
//!
//! Every function takes rank-erased tensors, tracked for gradients or not. If all operands are float32 tensors of the
//! `flex` backend, a kernel of this module runs; on every other backend the same result is composed of Burn's
//! operations. Only gradients of tracked operands are computed, so a frozen weight costs nothing in the backward
//! pass.
//!
//! Results do not depend on the number of threads: work is cut by the shapes alone, and every sum has a fixed order.
//!
//! Shapes are the caller's business, as with Burn's own operations: a call whose shapes do not fit reaches Burn's
//! check of the same operation, which panics.
//!
//! Why this exists: Burn 0.22.1 computes activations, normalisations and reductions on one thread with scalar
//! functions, and builds their gradients of many small operations; `benches/kernels.rs` measures both.

mod activation;
mod attention;
mod broadcast;
mod composition;
mod conv;
mod conv_weight;
mod convolution;
mod elementwise;
mod matrix;
mod norm;
mod normalisation;
mod optimizer;
mod rms;
mod simd;
mod tile;
mod value;
mod window;

#[cfg(test)]
mod tests;

pub use activation::{add, geglu, gelu, gelu_tanh, mul, quick_gelu, silu, softmax, upsample_nearest2x};
pub use convolution::{conv2d, linear};
pub use normalisation::{adam_without_momentum, attention, group_norm, layer_norm, rms_norm};
