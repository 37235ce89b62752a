use std::collections::BTreeMap;
use std::path::Path;

use dmdx_train::TrainError;
use dmdx_train::error::StateDefect;
use dmdx_train::session::logs::LogLengths;
use dmdx_train::store::{Parameters, Role, hash};
use dmdx_train::trainer::Checkpoints;
use dmdx_train::trainer::checkpoint::Position;

use super::toy;

/// SHA-256 of the file of `the_format_is_that_of_earlier_versions`.
const EARLIER: &str = "22d05e0ccd8b1a1ab2ded67591b39cda8d934275fdb686bd429ca13162d083dd";

/// Tensors on the host, each with a second moment of twice its values where `moments` names it.
#[derive(Clone, Debug, PartialEq)]
struct Fixed {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    moments: BTreeMap<String, Vec<f32>>,
    steps: u64,
}

fn fixed(value: f32) -> Fixed {
    let tensor = |name: &str, shape: &[usize], values: Vec<f32>| (name.to_string(), (shape.to_vec(), values));
    Fixed {
        tensors: [tensor("w", &[2, 3], vec![value; 6]), tensor("scalar", &[], vec![-0.0]), tensor("none", &[0, 3], vec![])]
            .into(),
        moments: [("w".to_string(), vec![value * 2.0; 6]), ("none".to_string(), vec![])].into(),
        steps: u64::MAX,
    }
}

impl Fixed {
    fn empty() -> Self {
        let mut fixed = fixed(f32::NAN);
        fixed.moments = [("scalar".to_string(), vec![3.0])].into();
        fixed
    }

    /// Every bit of it.
    fn bits(&self) -> String {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let tensors: Vec<_> = self.tensors.iter().map(|(name, (shape, values))| (name, shape, bits(values))).collect();
        let moments: Vec<_> = self.moments.iter().map(|(name, values)| (name, bits(values))).collect();
        format!("{tensors:?} {moments:?} {}", self.steps)
    }
}

impl Parameters for Fixed {
    fn parameters(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect()
    }

    fn parameter(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(self.tensors[name].1.clone())
    }

    fn set_parameter(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.tensors.get_mut(name).unwrap().1 = values;
        Ok(())
    }
}

impl Role for Fixed {
    fn moments(&self) -> Vec<String> {
        self.moments.keys().cloned().collect()
    }

    fn moment(&self, name: &str) -> Result<Vec<f32>, TrainError> {
        Ok(self.moments[name].clone())
    }

    fn set_moment(&mut self, name: &str, values: Vec<f32>) -> Result<(), TrainError> {
        self.moments.insert(name.to_string(), values);
        Ok(())
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn restart(&mut self, steps: u64) {
        self.moments.clear();
        self.steps = steps;
    }
}

fn save(all: &Checkpoints, position: &Position, value: f32) {
    all.save(position, &vec![("a", &mut fixed(value))], |_, _| Ok(())).unwrap();
}

fn position(phase_index: usize, phase: &str, iteration: u64, complete: bool) -> Position {
    Position {
        phase_index,
        phase: phase.to_string(),
        iteration,
        complete,
        logs: LogLengths { metrics: 1, events: 2, iterations: 3 },
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn checkpoints(folder: &Path) -> Checkpoints {
    Checkpoints::new(folder, &toy::recipe(&["checkpoint.every=10", "checkpoint.keep=2"]).checkpoint)
}

#[test]
fn what_is_saved_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    let (found, warnings) = all.newest().unwrap();
    assert!(found.is_none() && warnings.is_empty());
    save(&all, &position(0, "adp", 10, false), 1.5);
    let (found, warnings) = all.newest().unwrap();
    let found = found.unwrap();
    assert_eq!(found.position, position(0, "adp", 10, false));
    assert!(warnings.is_empty());
    let mut role = Fixed::empty();
    found.state.load(vec![("a", &mut role)]).unwrap();
    assert_eq!(role.bits(), fixed(1.5).bits());
    let bytes = std::fs::read(folder.path().join("00-adp-000000010.safetensors")).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(parsed.tensor("a.w").unwrap().shape(), [2, 3]);
    assert_eq!(bytes.len() % 4, 0);
}

#[test]
fn only_those_that_are_needed_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    for iteration in [10, 20, 30] {
        save(&all, &position(0, "adp", iteration, false), 0.0);
    }
    assert_eq!(names(folder.path()), ["00-adp-000000020.safetensors", "00-adp-000000030.safetensors"]);
    // An interruption's own checkpoint stays until the next one that is due.
    save(&all, &position(0, "adp", 33, false), 0.0);
    assert_eq!(names(folder.path()).len(), 3);
    save(&all, &position(0, "adp", 35, true), 0.0);
    save(&all, &position(1, "adm", 10, false), 0.0);
    assert_eq!(
        names(folder.path()),
        ["00-adp-000000030.safetensors", "00-adp-000000035-end.safetensors", "01-adm-000000010.safetensors"]
    );
    assert_eq!(all.end_of("adp").unwrap().unwrap().position, position(0, "adp", 35, true));
    assert!(all.end_of("adm").unwrap().is_none());
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    for iteration in [10, 20, 30] {
        save(&all, &position(0, "adp", iteration, false), 0.0);
    }
    let last = folder.path().join("00-adp-000000030.safetensors");
    std::fs::copy(&last, folder.path().join("00-adp-000000010.safetensors")).unwrap();
    all.newest().unwrap();
    assert_eq!(names(folder.path()), ["00-adp-000000020.safetensors", "00-adp-000000030.safetensors"]);
}

/// Every way in which the newest file can be torn or rotten: cut anywhere, any byte changed.
#[test]
fn a_damaged_newest_checkpoint_falls_back_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    save(&all, &position(0, "adp", 10, false), 1.0);
    save(&all, &position(0, "adp", 20, false), 2.0);
    let newest = folder.path().join("00-adp-000000020.safetensors");
    let whole = std::fs::read(&newest).unwrap();
    let falls_back = |bytes: &[u8], what: &str| {
        std::fs::write(&newest, bytes).unwrap();
        let (found, warnings) = all.newest().unwrap();
        assert_eq!(found.unwrap().position.iteration, 10, "{what}");
        assert_eq!(warnings.len(), 2, "{what}");
        assert!(warnings[0].contains("000000020.safetensors is damaged: it"), "{}", warnings[0]);
        assert!(warnings[1].contains("continuing from") && warnings[1].contains("000000010.safetensors"), "{}", warnings[1]);
    };
    for length in (0..whole.len()).step_by(7) {
        falls_back(&whole[..length], &format!("cut at {length}"));
    }
    for place in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        // Blanks that pad the header may change without a change of contents, and nothing else may.
        if whole[place] == b' ' && all_blank(&whole, place) {
            continue;
        }
        falls_back(&bytes, &format!("byte {place}"));
    }
    assert!(!newest.exists(), "what is of no use is removed");
    std::fs::write(&newest, &whole).unwrap();
    assert_eq!(all.newest().unwrap().0.unwrap().position.iteration, 20);
}

fn all_blank(bytes: &[u8], place: usize) -> bool {
    let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    place < end && bytes[place..end].iter().all(|&byte| byte == b' ')
}

#[test]
fn without_an_intact_checkpoint_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    std::fs::write(folder.path().join("00-adp-000000010.safetensors"), b"junk").unwrap();
    let error = all.newest().unwrap_err();
    assert!(matches!(error, TrainError::Damaged { .. }));
    assert_eq!(error.exit_code(), 1);
}

#[test]
fn states_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    save(&all, &position(0, "adp", 10, false), 1.5);
    let state = all.newest().unwrap().0.unwrap().state;
    let refused = |name: &'static str, change: fn(&mut Fixed), sentence: &str| {
        let mut role = Fixed::empty();
        change(&mut role);
        let before = role.bits();
        let error = state.load(vec![(name, &mut role)]).unwrap_err();
        assert_eq!(error.to_string(), format!("the checkpoint of phase adp does not fit: {sentence}"));
        assert_eq!(role.bits(), before);
    };
    refused("a", |role| set(role, "w", &[3, 2]), "tensor a.w has shape [2, 3], not [3, 2]");
    refused("a", |role| set(role, "none", &[3, 0]), "tensor a.none has shape [0, 3], not [3, 0]");
    refused("a", |role| set(role, "x", &[1]), "tensor a.x is missing");
    refused("b", |_| (), "counter b_optimizer.steps is missing");
    refused("a", |role| drop(role.tensors.remove("scalar")), "tensor a.scalar belongs to no parameter that is trained");
    refused("a", |role| drop(role.tensors.remove("w")), "tensor a.w belongs to no parameter that is trained");
    let mut role = Fixed::empty();
    role.tensors.remove("scalar");
    let error = state.load_weights("a", &mut role).unwrap_err().to_string();
    assert_eq!(error, "the checkpoint of phase adp does not fit: tensor a.scalar belongs to no parameter that is trained");
    assert!(matches!(state.tensor("b.w"), Err(TrainError::State { defect: StateDefect::NoTensor(name), .. }) if name == "b.w"));
    assert_eq!(state.under("a").map(|(name, _)| name).collect::<Vec<_>>(), ["none", "scalar", "w"]);
    assert_eq!(state.under("a_optimizer").map(|(name, _)| name).collect::<Vec<_>>(), ["none", "w"]);
}

fn set(role: &mut Fixed, name: &str, shape: &[usize]) {
    role.tensors.insert(name.to_string(), (shape.to_vec(), vec![7.0]));
}

#[test]
fn a_state_outlives_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    save(&all, &position(0, "adp", 10, false), 1.5);
    let state = all.newest().unwrap().0.unwrap().state;
    // The path gets another file; what was checked is what is read.
    save(&all, &position(0, "adp", 10, false), 2.5);
    assert_eq!(state.tensor("a.w").unwrap(), [1.5; 6]);
}

/// The bytes that earlier versions wrote, so that their runs can be resumed.
#[test]
fn the_format_is_that_of_earlier_versions() {
    let folder = tempfile::tempdir().unwrap();
    let all = checkpoints(folder.path());
    let other = &mut Fixed { tensors: [("v".to_string(), (vec![1], vec![0.25]))].into(), moments: BTreeMap::new(), steps: 0 };
    all.save(&position(0, "adp", 10, false), &vec![("b", other), ("a", &mut fixed(1.5))], |_, _| Ok(())).unwrap();
    assert_eq!(hash::file(&folder.path().join("00-adp-000000010.safetensors")).unwrap(), EARLIER);
}
