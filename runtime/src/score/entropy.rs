//! How different pictures of one prompt are in what no prompt asks for: the entropy of what a classifier reads there.

use std::collections::BTreeMap;

/// What was read, by prompt.
#[derive(Debug, Default)]
pub(super) struct Readings(BTreeMap<usize, BTreeMap<Vec<usize>, usize>>);

impl Readings {
    /// Counts one reading, a label of every output, of a picture of a prompt.
    pub fn add(&mut self, prompt: usize, reading: Vec<usize>) {
        *self.0.entry(prompt).or_default().entry(reading).or_default() += 1;
    }

    /// `sum p ln (1 / p)` over the readings of a prompt, in nats, and of that the mean over the prompts of several pictures; `None`
    /// where every prompt has one. It is that of the counts: of few pictures lower than that of many.
    pub fn entropy(&self) -> Option<f64> {
        let several = self.0.values().map(|counts| (counts, counts.values().sum::<usize>())).filter(|(_, all)| *all > 1);
        let entropies: Vec<f64> = several
            .map(|(counts, all)| {
                let shares = counts.values().map(|&count| count as f64 / all as f64);
                shares.map(|share| share * share.recip().ln()).sum()
            })
            .collect();
        (!entropies.is_empty()).then(|| entropies.iter().sum::<f64>() / entropies.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::Readings;

    #[test]
    fn entropy_is_of_one_prompts_pictures_and_averaged_over_prompts() {
        let mut readings = Readings::default();
        assert_eq!(readings.entropy(), None);
        readings.add(7, vec![0, 0]);
        assert_eq!(readings.entropy(), None, "one picture of a prompt says nothing");
        // Four equal readings of the first prompt, of which two outputs make one; a quarter and three of the second.
        for reading in [[0, 1], [1, 0], [1, 1]] {
            readings.add(7, reading.to_vec());
        }
        assert!((readings.entropy().unwrap() - 4f64.ln()).abs() < 1e-12);
        for reading in [0, 1, 1, 1] {
            readings.add(2, vec![reading]);
        }
        let second = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((readings.entropy().unwrap() - (4f64.ln() + second) / 2.0).abs() < 1e-12);
    }
}
