//! Progress on standard error: a bar on a terminal, a line every tenth elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The progress of one stage.
#[derive(Debug)]
pub struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
}

impl Progress {
    /// Begins stage `label` of `total` steps, `done` of which are done already.
    pub fn start(label: &str, total: u64, done: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{prefix:>8} {wide_bar} {pos}/{len} {elapsed}<{eta} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_prefix(label.to_string());
            bar.set_position(done);
            bar.reset_eta();
            bar
        });
        Self { label: label.to_string(), bar, total, done }
    }

    /// A progress that shows nothing.
    pub fn hidden() -> Self {
        Self { label: String::new(), bar: Some(ProgressBar::hidden()), total: 0, done: 0 }
    }

    /// `steps` more are done; `message` is asked for only when it is shown.
    pub fn advance(&mut self, steps: u64, message: impl FnOnce() -> String) {
        let tenths = |done: u64| (done * 10).checked_div(self.total).unwrap_or(0);
        let before = tenths(self.done);
        self.done += steps;
        match &self.bar {
            Some(bar) if bar.is_hidden() => {}
            Some(bar) => {
                bar.set_position(self.done);
                bar.set_message(message());
            }
            None if tenths(self.done) > before => {
                eprintln!("{} {}/{} {}", self.label, self.done, self.total, message());
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
