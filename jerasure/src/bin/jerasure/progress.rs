//! A progress bar, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Goes away when dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes. Stays hidden if standard error is not a terminal.
    pub(crate) fn new(what: &'static str, bytes: u64) -> Self {
        let bar =
            ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(10));
        let style = ProgressStyle::with_template(
            "{msg} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        )
        .expect("the template is well formed")
        .progress_chars("=> ");
        bar.set_style(style);
        bar.set_message(what);
        Self(bar)
    }

    /// So many bytes more are done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
