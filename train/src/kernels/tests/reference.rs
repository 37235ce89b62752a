//! The definitions in float64, as plainly as they can be written.

pub fn map(x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|v| f(*v)).collect()
}

pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The distribution function of the standard normal by its series (|x| < 3) or continued fraction.
pub fn normal_below(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + density * sum;
    }
    let mut fraction = x.abs();
    for n in (1..200).rev() {
        fraction = x.abs() + f64::from(n) / fraction;
    }
    let tail = density / fraction;
    if x < 0.0 { tail } else { 1.0 - tail }
}

pub fn gelu(x: f64) -> f64 {
    x * normal_below(x)
}

pub fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
}

pub fn geglu(x: &[f64], shape: &[usize]) -> Vec<f64> {
    let half = shape[shape.len() - 1] / 2;
    x.chunks(2 * half).flat_map(|line| (0..half).map(|i| line[i] * gelu(line[half + i]))).collect()
}

pub fn softmax(x: &[f64], width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|line| {
            let greatest = line.iter().fold(f64::MIN, |a, b| a.max(*b));
            let total: f64 = line.iter().map(|v| (v - greatest).exp()).sum();
            line.iter().map(move |v| (v - greatest).exp() / total)
        })
        .collect()
}

pub fn upsample(x: &[f64], width: usize) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|line| {
            let wide: Vec<f64> = line.iter().flat_map(|v| [*v, *v]).collect();
            [wide.clone(), wide].concat()
        })
        .collect()
}

/// Elementwise `f` with NumPy's broadcasting of `operands[0]` (shape `a`) and `operands[1]` (shape `b`).
pub fn broadcast(operands: &[Vec<f64>], a: &[usize], b: &[usize], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| if axis + shape.len() < rank { 1 } else { shape[axis + shape.len() - rank] };
    let common: Vec<usize> = (0..rank).map(|axis| size(a, axis).max(size(b, axis))).collect();
    (0..common.iter().product())
        .map(|flat: usize| {
            let at = |shape: &[usize]| {
                let (mut rest, mut step, mut offset) = (flat, 1, 0);
                for axis in (0..rank).rev() {
                    let position = rest % common[axis];
                    rest /= common[axis];
                    if size(shape, axis) > 1 {
                        offset += position * step;
                    }
                    step *= size(shape, axis);
                }
                offset
            };
            f(operands[0][at(a)], operands[1][at(b)])
        })
        .collect()
}

fn standardise(values: &[f64], eps: f64) -> Vec<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    values.iter().map(|v| (v - mean) / (variance + eps).sqrt()).collect()
}

/// `x` holds input, weight and bias.
pub fn group_norm(x: &[Vec<f64>], shape: &[usize], groups: usize, eps: f64, activate: bool) -> Vec<f64> {
    let (batch, channels) = (shape[0], shape[1]);
    let size = x[0].len() / batch / channels;
    let flat: Vec<f64> = x[0].chunks(channels * size / groups).flat_map(|g| standardise(g, eps)).collect();
    flat.iter()
        .enumerate()
        .map(|(i, v)| {
            let channel = i / size % channels;
            let y = v * x[1][channel] + x[2][channel];
            if activate { silu(y) } else { y }
        })
        .collect()
}

pub fn layer_norm(x: &[f64], weight: Option<&Vec<f64>>, bias: Option<&Vec<f64>>, width: usize, eps: f64) -> Vec<f64> {
    let flat: Vec<f64> = x.chunks(width).flat_map(|line| standardise(line, eps)).collect();
    flat.iter().enumerate().map(|(i, v)| v * weight.map_or(1.0, |w| w[i % width]) + bias.map_or(0.0, |b| b[i % width])).collect()
}

pub fn rms_norm(x: &[f64], weight: Option<&Vec<f64>>, width: usize, eps: f64) -> Vec<f64> {
    let line = |line: &[f64]| {
        let scale = 1.0 / (line.iter().map(|v| v * v).sum::<f64>() / width as f64 + eps).sqrt();
        line.iter().enumerate().map(|(i, v)| v * scale * weight.map_or(1.0, |w| w[i])).collect::<Vec<f64>>()
    };
    x.chunks(width).flat_map(line).collect()
}

/// `x` holds query, key and value; `sizes` heads, queries, keys, width, value width.
pub fn attention(x: &[Vec<f64>], bias: Option<&Vec<f64>>, sizes: [usize; 5], scale: f64, causal: bool) -> Vec<f64> {
    let [heads, queries, keys, width, value_width] = sizes;
    let mut out = Vec::new();
    for head in 0..heads {
        for query in 0..queries {
            let scores: Vec<f64> = (0..keys)
                .map(|key| {
                    if causal && key > query {
                        return -1e300;
                    }
                    let (q, k) = ((head * queries + query) * width, (head * keys + key) * width);
                    let dot: f64 = (0..width).map(|d| x[0][q + d] * x[1][k + d]).sum();
                    scale * dot + bias.map_or(0.0, |b| b[(head * queries + query) * keys + key])
                })
                .collect();
            let p = softmax(&scores, keys);
            for e in 0..value_width {
                out.push((0..keys).map(|key| p[key] * x[2][(head * keys + key) * value_width + e]).sum());
            }
        }
    }
    out
}

/// `x` holds input, weight and bias, of the given shapes.
pub fn conv2d(
    x: &[Vec<f64>],
    shapes: &[&[usize]; 3],
    stride: [usize; 2],
    padding: [usize; 4],
    dilation: [usize; 2],
    groups: usize,
) -> Vec<f64> {
    let [batch, inputs, height, width] = [0, 1, 2, 3].map(|i| shapes[0][i]);
    let [outputs, per_group, tall, wide] = [0, 1, 2, 3].map(|i| shapes[1][i]);
    let out_height = (height + padding[0] + padding[2] - dilation[0] * (tall - 1) - 1) / stride[0] + 1;
    let out_width = (width + padding[1] + padding[3] - dilation[1] * (wide - 1) - 1) / stride[1] + 1;
    let mut out = Vec::with_capacity(batch * outputs * out_height * out_width);
    for b in 0..batch {
        for o in 0..outputs {
            for y in 0..out_height {
                for z in 0..out_width {
                    let mut sum = x[2][o];
                    for i in 0..per_group {
                        let channel = o / (outputs / groups) * per_group + i;
                        for r in 0..tall {
                            let row = (y * stride[0] + r * dilation[0]).wrapping_sub(padding[0]);
                            for c in 0..wide {
                                let column = (z * stride[1] + c * dilation[1]).wrapping_sub(padding[1]);
                                if row < height && column < width {
                                    sum += x[0][((b * inputs + channel) * height + row) * width + column]
                                        * x[1][((o * per_group + i) * tall + r) * wide + c];
                                }
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

pub fn linear(x: &[f64], weight: &[f64], bias: Option<&Vec<f64>>, inputs: usize) -> Vec<f64> {
    x.chunks(inputs)
        .flat_map(|line| {
            weight
                .chunks(inputs)
                .enumerate()
                .map(move |(o, w)| line.iter().zip(w).map(|(a, b)| a * b).sum::<f64>() + bias.map_or(0.0, |b| b[o]))
        })
        .collect()
}
