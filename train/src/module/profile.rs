//! Where the time goes: an optional clock around a role's forward and backward passes, and around every operation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time and calls of one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// How often it ran.
    pub calls: u64,
    /// All its calls together.
    pub time: Duration,
}

/// Times by what was done; shared by the modules that it is given to.
///
/// A role called `generator` is recorded as `generator forward` and `generator backward`, its operations as
/// `generator: conv2d [1, 4, 8, 8] [8, 4, 3, 3]`. Devices that work behind the program's back, as GPUs do, are not waited
/// for: what is recorded then is the time until the work was handed over.
#[derive(Debug, Default)]
pub struct Profile {
    times: Mutex<BTreeMap<String, Spent>>,
    operations: bool,
}

impl Profile {
    /// One that every operation of the forward passes is recorded in too.
    pub fn with_operations() -> Self {
        Self { operations: true, ..Self::default() }
    }

    /// Whether operations are recorded.
    pub fn has_operations(&self) -> bool {
        self.operations
    }

    /// Runs `work` and, where there is a profile, adds its time under `name`.
    pub fn timed<T>(profile: Option<&Profile>, name: &str, work: impl FnOnce() -> T) -> T {
        let Some(profile) = profile else { return work() };
        let started = Instant::now();
        let result = work();
        profile.record(name, started.elapsed());
        result
    }

    /// Adds one call under `name`.
    pub fn record(&self, name: &str, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = times.entry(name.to_string()).or_default();
        entry.calls += 1;
        entry.time += time;
    }

    /// Everything, the dearest first.
    pub fn ranking(&self) -> Vec<(String, Spent)> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ranking: Vec<(String, Spent)> = times.iter().map(|(name, time)| (name.clone(), *time)).collect();
        ranking.sort_by(|a, b| b.1.time.cmp(&a.1.time).then_with(|| a.0.cmp(&b.0)));
        ranking
    }
}
