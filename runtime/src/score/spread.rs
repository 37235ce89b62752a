//! How different pictures of one prompt are.

/// The spread of pictures that come prompt by prompt: of all pairs of pictures of a prompt the mean of the root mean square of
/// their difference, and of that the mean over the prompts. Black is -1 and white 1, and what is beyond is as black or white as
/// the picture files make it.
///
/// The pictures of one prompt are held, and no others.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    held: Vec<Vec<f32>>,
    sum: f64,
    prompts: usize,
}

impl Spread {
    /// Adds a picture of the same prompt as the one before.
    pub fn add(&mut self, picture: &[f32]) {
        self.held.push(picture.iter().map(|value| value.clamp(-1.0, 1.0)).collect());
    }

    /// The pictures that come next are of another prompt.
    pub fn next_prompt(&mut self) {
        let held = std::mem::take(&mut self.held);
        let pairs = held.iter().enumerate().flat_map(|(index, one)| held[index + 1..].iter().map(move |other| apart(one, other)));
        let (sum, count) = pairs.fold((0.0, 0usize), |(sum, count), distance| (sum + distance, count + 1));
        if count > 0 {
            self.sum += sum / count as f64;
            self.prompts += 1;
        }
    }

    /// The spread of all; none where no prompt had two pictures.
    pub fn finish(mut self) -> Option<f64> {
        self.next_prompt();
        (self.prompts > 0).then(|| self.sum / self.prompts as f64)
    }

    /// The spread of pictures of `values` numbers each that are there all at once, in any order of their prompts.
    pub fn of<P: PartialEq>(pictures: &[f32], values: usize, prompts: &[P]) -> Option<f64> {
        let mut spread = Self::default();
        let is_first = |index: &usize| !prompts[..*index].contains(&prompts[*index]);
        for first in (0..prompts.len()).filter(is_first) {
            let of_prompt = pictures.chunks_exact(values.max(1)).zip(prompts).filter(|(_, prompt)| **prompt == prompts[first]);
            of_prompt.for_each(|(picture, _)| spread.add(picture));
            spread.next_prompt();
        }
        spread.finish()
    }
}

fn apart(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    (squares.sum::<f64>() / a.len().max(1) as f64).sqrt()
}
