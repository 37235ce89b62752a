//! How much memory a state costs beside the roles that it is of.

use std::collections::BTreeMap;
use std::path::Path;

use dmdx_train::TrainError;
use dmdx_train::store::tensor_file::TensorFile;
use dmdx_train::store::{NamedRoles, Parameters, Role, StoredState, state};

use super::counting;

const TENSORS: usize = 12;
/// Bytes of one tensor.
const SIZE: usize = 4 << 20;

/// A role whose tensors are nowhere: made when they are read, dropped when they are set.
#[derive(Default)]
struct Hollow {
    sums: BTreeMap<String, f64>,
    steps: u64,
}

fn values(name: &str) -> Vec<f32> {
    let start = name.bytes().map(f32::from).sum::<f32>();
    (0..SIZE / 4).map(|i| start + (i % 1000) as f32).collect()
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

impl Parameters for Hollow {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        (0..TENSORS).map(|i| (format!("layer.{i}"), vec![SIZE / 4])).collect()
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(values(name))
    }

    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.sums.insert(name.to_string(), sum(&values));
        Ok(())
    }
}

impl Role for Hollow {
    fn moments(&self) -> Vec<String> {
        self.parameters().into_iter().map(|(name, _)| name).collect()
    }

    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(values(&format!("{name} squared")))
    }

    fn set_moment(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.sums.insert(format!("{name} squared"), sum(&values));
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn restart(&mut self, steps: u64) {
        self.steps = steps;
    }
}

fn save(path: &Path, roles: &NamedRoles<'_>) -> Result<(), TrainError> {
    state::save(path, &BTreeMap::new(), roles, |_, _| Ok(()))
}

#[test]
fn a_state_needs_room_for_one_tensor_however_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (mut a, mut b) = (Hollow { steps: 3, ..Hollow::default() }, Hollow { steps: 4, ..Hollow::default() });
    let roles: NamedRoles<'_> = vec![("a", &mut a), ("b", &mut b)];
    let counters = state::counters(&roles);
    // One tensor, the writer's buffer, and some names.
    let limit = SIZE + (3 << 20);
    let ((), saving) = counting::peak(|| save(&path, &roles).unwrap());
    assert!((SIZE..limit).contains(&saving), "saving held {saving} bytes");
    assert!(std::fs::metadata(&path).unwrap().len() as usize > 4 * TENSORS * SIZE);

    let (state, opening) = counting::peak(|| StoredState::new("adp", counters, TensorFile::open(&path).unwrap()).unwrap());
    assert!(opening < 1 << 20, "opening held {opening} bytes");
    let ((), loading) = counting::peak(|| state.load(roles).unwrap());
    assert!((SIZE..limit).contains(&loading), "loading held {loading} bytes");
    assert_eq!((a.steps, b.steps, a.sums.len(), b.sums.len()), (3, 4, 2 * TENSORS, 2 * TENSORS));
    for (name, found) in a.sums.iter().chain(&b.sums) {
        assert_eq!(*found, sum(&values(name)), "{name}");
    }
}
