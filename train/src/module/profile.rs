//! Where the time goes: an optional clock around every operation of a module's forward pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Forward time and calls of one kind of operation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OpTime {
    /// How often it ran.
    pub calls: u64,
    /// All its calls together.
    pub time: Duration,
}

/// Times by operation and shape; shared by the modules that it is given to.
#[derive(Debug, Default)]
pub struct Profile {
    times: Mutex<BTreeMap<String, OpTime>>,
}

impl Profile {
    /// Runs `work` and, where there is a profile, adds its time under `name`.
    pub fn timed<T>(profile: Option<&Profile>, name: &str, work: impl FnOnce() -> T) -> T {
        let Some(profile) = profile else { return work() };
        let started = Instant::now();
        let result = work();
        profile.record(name, started.elapsed());
        result
    }

    /// Adds one call of `operation`.
    pub fn record(&self, operation: &str, time: Duration) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = times.entry(operation.to_string()).or_default();
        entry.calls += 1;
        entry.time += time;
    }

    /// All operations, the dearest first.
    pub fn ranking(&self) -> Vec<(String, OpTime)> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ranking: Vec<(String, OpTime)> = times.iter().map(|(name, time)| (name.clone(), *time)).collect();
        ranking.sort_by(|a, b| b.1.time.cmp(&a.1.time).then_with(|| a.0.cmp(&b.0)));
        ranking
    }
}
