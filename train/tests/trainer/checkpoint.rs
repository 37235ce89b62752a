use std::path::Path;

use dmdx_train::TrainError;
use dmdx_train::session::logs::LogLengths;
use dmdx_train::store::{State, StateTensor};
use dmdx_train::trainer::Checkpoints;
use dmdx_train::trainer::checkpoint::Position;

use super::toy;

fn state(value: f32) -> State {
    State {
        tensors: [
            ("a.w".to_string(), StateTensor::new(vec![2, 3], vec![value; 6]).unwrap()),
            ("scalar".to_string(), StateTensor::new(vec![], vec![-0.0]).unwrap()),
            ("none".to_string(), StateTensor::new(vec![0, 3], vec![]).unwrap()),
        ]
        .into(),
        counters: [("steps".to_string(), u64::MAX)].into(),
    }
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
    assert_eq!(all.newest().unwrap(), (None, vec![]));
    all.save(&position(0, "adp", 10, false), &state(1.5)).unwrap();
    let (found, warnings) = all.newest().unwrap();
    let found = found.unwrap();
    assert_eq!((found.position, found.state), (position(0, "adp", 10, false), state(1.5)));
    assert!(warnings.is_empty());
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
        all.save(&position(0, "adp", iteration, false), &state(0.0)).unwrap();
    }
    assert_eq!(names(folder.path()), ["00-adp-000000020.safetensors", "00-adp-000000030.safetensors"]);
    // An interruption's own checkpoint stays until the next one that is due.
    all.save(&position(0, "adp", 33, false), &state(0.0)).unwrap();
    assert_eq!(names(folder.path()).len(), 3);
    all.save(&position(0, "adp", 35, true), &state(0.0)).unwrap();
    all.save(&position(1, "adm", 10, false), &state(0.0)).unwrap();
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
        all.save(&position(0, "adp", iteration, false), &state(0.0)).unwrap();
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
    all.save(&position(0, "adp", 10, false), &state(1.0)).unwrap();
    all.save(&position(0, "adp", 20, false), &state(2.0)).unwrap();
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
fn states_that_do_not_fit_are_refused_by_name() {
    let state = state(0.0);
    assert!(state.tensor("adp", "a.w", &[2, 3]).is_ok());
    for (found, sentence) in [
        (
            state.tensor("adp", "a.w", &[3, 2]).unwrap_err(),
            "the checkpoint of phase adp does not fit: tensor a.w has shape [2, 3], not [3, 2]",
        ),
        (state.tensor("adp", "b.w", &[1]).unwrap_err(), "the checkpoint of phase adp does not fit: tensor b.w is missing"),
        (state.counter("adp", "count").unwrap_err(), "the checkpoint of phase adp does not fit: counter count is missing"),
        (StateTensor::new(vec![2], vec![1.0]).unwrap_err(), "a tensor of shape [2] cannot hold 1 values"),
        (
            StateTensor::new(vec![usize::MAX, 2], vec![]).unwrap_err(),
            "a tensor of shape [18446744073709551615, 2] cannot hold 0 values",
        ),
    ] {
        assert_eq!(found.to_string(), sentence);
    }
    assert_eq!(state.role("a").map(|(name, _)| name).collect::<Vec<_>>(), ["w"]);
}
