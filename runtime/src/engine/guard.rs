//! Keeps an engine's panics and hangs from becoming ours: damaged models make tract panic or loop (graph.md, 9.3).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::error::one_line;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// How a guarded call failed.
#[derive(Debug)]
pub enum Failure {
    /// It panicked with this message.
    Panic(String),
    /// It was not done in time; its thread is left behind.
    Timeout,
}

/// Runs `work` and turns a panic into its message, without the default report on standard error.
///
/// # Errors
/// [`Failure::Panic`].
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    silence_guarded_panics();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| Failure::Panic(message(payload.as_ref())))
}

/// Runs `work` on a thread of its own for at most `limit`, and turns a panic into its message.
///
/// # Errors
/// [`Failure`].
pub fn catch_within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let (sender, receiver) = channel();
    // Loading recurses over graphs; 64 MiB hold far more nodes in a row than any exporter writes.
    let thread = std::thread::Builder::new().name("model-loader".into()).stack_size(64 << 20);
    let spawned = thread.spawn(move || {
        let result = catch(work);
        // The receiver is gone only if it gave up waiting.
        let _ = sender.send(result);
    });
    if let Err(e) = spawned {
        return Err(Failure::Panic(format!("no thread could be started ({e})")));
    }
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(Failure::Timeout),
        Err(RecvTimeoutError::Disconnected) => Err(Failure::Panic("its thread ended without an answer".into())),
    }
}

fn silence_guarded_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                previous(info);
            }
        }));
    });
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    one_line(text)
}
