//! Ctrl-C: finish the iteration, save, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::TrainError;

/// A request to stop at the next safe point. Clones share the request.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// One that Ctrl-C (and the system's request to terminate) sets. A second Ctrl-C ends the process at once, which
    /// costs no more than the iterations since the last checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Environment`] where the process already has a handler.
    pub fn on_signal() -> Result<Self, TrainError> {
        let interrupt = Self::default();
        let shared = interrupt.clone();
        ctrlc::set_handler(move || {
            if shared.requested.swap(true, Ordering::SeqCst) {
                std::process::exit(130);
            }
            eprintln!("interrupted: finishing this step and saving; once more to stop at once");
        })
        .map_err(|error| TrainError::Environment { what: "the handler of Ctrl-C".to_string(), reason: error.to_string() })?;
        Ok(interrupt)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked to stop.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// An error where somebody asked to stop.
    ///
    /// # Errors
    /// [`TrainError::Interrupted`] with `place`.
    pub fn check(&self, place: impl FnOnce() -> String) -> Result<(), TrainError> {
        if self.requested() { Err(TrainError::Interrupted { place: place() }) } else { Ok(()) }
    }
}
