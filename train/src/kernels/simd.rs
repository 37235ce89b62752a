//! Vectorisable elementary functions, and the run-time choice of the instruction set.
//!
//! The functions are branch-free straight-line code, so a loop over a slice becomes vector code of whatever width
//! [`vectorised`] finds on the processor. They use no fused multiply-add: every x86-64 processor returns the same
//! bytes. Coefficients are least-maximum-error fits made for this file; the tests hold every function against
//! float64.

use pulp::{Arch, Simd, WithSimd};

/// Runs `work` compiled for the widest vector instructions of this processor.
///
/// Give it a closure marked `#[inline(always)]` that changes something it borrows: then the body itself is called, and
/// inlined, where a closure of another kind goes through a shim that stays outside.
#[inline]
pub(super) fn vectorised(work: impl FnMut()) {
    struct Wrapped<W>(W);
    impl<W: FnMut()> WithSimd for Wrapped<W> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _simd: S) {
            (self.0)();
        }
    }
    Arch::new().dispatch(Wrapped(work));
}

/// e^x with a relative error below 2e-7; 0 below -87.3 and infinite above 88.3.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer
    let clamped = if x < -87.3 { -87.3 } else { x };
    let clamped = if clamped > 88.3 { 88.3 } else { clamped };
    let shifted = clamped * core::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln 2 in two parts, the first exact in 12 bits, so that the remainder keeps its precision.
    let rest = (clamped - power * 0.693_359_4) + power * 2.121_944_4e-4;
    let tail = 0.001_381_446_6_f32;
    let tail = tail * rest + 0.008_368_78;
    let tail = tail * rest + 0.041_668_393;
    let tail = tail * rest + 0.166_665_2;
    let tail = tail * rest + 0.499_999_93;
    let mantissa = (tail * (rest * rest) + rest) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3F80_0000));
    let value = mantissa * scale;
    let value = if x < -87.3 { 0.0 } else { value };
    if x > 88.3 { f32::INFINITY } else { value }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The distribution function of the standard normal at `x` and its density.
///
/// The tail is `e^(-x²/2) t p(t)` with `t = 1 / (1 + 0.3 |x|)`: relative error below 6e-7 on both sides.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.3 * x.abs());
    let p = 0.035_931_77_f32;
    let p = p * t - 0.158_276_12;
    let p = p * t + 0.208_206_8;
    let p = p * t - 0.055_394_005;
    let p = p * t + 0.129_469_28;
    let p = p * t + 0.099_637_43;
    let p = p * t + 0.120_798_36;
    let p = p * t + 0.119_626_39;
    let tail = bell * (t * p);
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    (below, bell * 0.398_942_3)
}

/// An elementwise function and its derivative.
pub(super) trait Curve: Send + Sync + 'static {
    /// The value at `x`.
    fn value(x: f32) -> f32;
    /// The derivative at `x`.
    fn slope(x: f32) -> f32;
}

/// x · sigmoid(x).
pub(super) struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x)
    }
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let s = sigmoid(x);
        s + x * s * (1.0 - s)
    }
}

/// x · Φ(x), the exact GELU.
pub(super) struct Gelu;

impl Curve for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * normal(x).0
    }
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let (below, density) = normal(x);
        below + x * density
    }
}

/// The tanh form of GELU: x · sigmoid(2 √(2/π) (x + 0.044715 x³)).
pub(super) struct GeluTanh;

const GELU_TANH_LINEAR: f32 = 1.595_769; // 2 sqrt(2 / pi)
const GELU_TANH_CUBIC: f32 = 0.071_354_82; // the same times 0.044715

impl Curve for GeluTanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(x * (GELU_TANH_LINEAR + GELU_TANH_CUBIC * x * x))
    }
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let s = sigmoid(x * (GELU_TANH_LINEAR + GELU_TANH_CUBIC * x * x));
        let inner = GELU_TANH_LINEAR + 3.0 * GELU_TANH_CUBIC * x * x;
        s + x * s * (1.0 - s) * inner
    }
}

/// x · sigmoid(1.702 x).
pub(super) struct QuickGelu;

impl Curve for QuickGelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * sigmoid(1.702 * x)
    }
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let s = sigmoid(1.702 * x);
        s + 1.702 * x * s * (1.0 - s)
    }
}

/// Sums `term(0)..term(n)` over slices in 16 interleaved partial sums: the order depends on the length alone.
macro_rules! interleaved {
    ($values:expr, $value:ident => $term:expr) => {{
        let mut lanes = [0.0_f32; 16];
        let (blocks, rest) = $values.as_chunks::<16>();
        for block in blocks {
            for (lane, $value) in lanes.iter_mut().zip(block) {
                *lane += $term;
            }
        }
        for (lane, $value) in lanes.iter_mut().zip(rest) {
            *lane += $term;
        }
        fold(&lanes)
    }};
    ($first:expr, $second:expr, ($a:ident, $b:ident) => $term:expr) => {{
        let mut lanes = [0.0_f32; 16];
        let (blocks, rest) = $first.as_chunks::<16>();
        let (others, other_rest) = $second.as_chunks::<16>();
        for (block, other) in blocks.iter().zip(others) {
            for ((lane, $a), $b) in lanes.iter_mut().zip(block).zip(other) {
                *lane += $term;
            }
        }
        for ((lane, $a), $b) in lanes.iter_mut().zip(rest).zip(other_rest) {
            *lane += $term;
        }
        fold(&lanes)
    }};
}

/// The greatest of a slice; NaN are passed over.
#[inline(always)]
pub(super) fn greatest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, *value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

/// Σ x.
#[inline(always)]
pub(super) fn sum(values: &[f32]) -> f32 {
    interleaved!(values, value => *value)
}

/// Σ (x - centre)².
#[inline(always)]
pub(super) fn sum_squares(values: &[f32], centre: f32) -> f32 {
    interleaved!(values, value => (value - centre) * (value - centre))
}

/// Σ a b.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    interleaved!(a, b, (a, b) => a * b)
}

/// Σ a (b - centre).
#[inline(always)]
pub(super) fn dot_centred(a: &[f32], b: &[f32], centre: f32) -> f32 {
    interleaved!(a, b, (a, b) => a * (b - centre))
}

/// Adds 16 partial sums pairwise.
#[inline(always)]
pub(super) fn fold(lanes: &[f32; 16]) -> f32 {
    let mut half = [0.0_f32; 8];
    for (i, slot) in half.iter_mut().enumerate() {
        *slot = lanes[i] + lanes[i + 8];
    }
    ((half[0] + half[4]) + (half[1] + half[5])) + ((half[2] + half[6]) + (half[3] + half[7]))
}
