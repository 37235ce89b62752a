//! How different pictures of one prompt are.

/// The mean over all pairs of pictures of one prompt of the root mean square of their difference, and of that the mean over the
/// prompts; black is -1 and white 1, and what is beyond is as black or white as the picture files make it. 0 where every prompt
/// has one picture.
///
/// `pictures` are `[prompts, group, values]`, of `values` numbers each.
pub fn spread(pictures: &[f32], group: usize, values: usize) -> f64 {
    let shown = |value: f32| f64::from(value).clamp(-1.0, 1.0);
    let apart = |a: &[f32], b: &[f32]| {
        let squares = a.iter().zip(b).map(|(&a, &b)| (shown(a) - shown(b)).powi(2));
        (squares.sum::<f64>() / values.max(1) as f64).sqrt()
    };
    let (mut sum, mut pairs) = (0.0, 0usize);
    for of_prompt in pictures.chunks((group * values).max(1)) {
        let each: Vec<&[f32]> = of_prompt.chunks(values.max(1)).collect();
        for (index, one) in each.iter().enumerate() {
            for other in &each[index + 1..] {
                sum += apart(one, other);
                pairs += 1;
            }
        }
    }
    sum / pairs.max(1) as f64
}
