//! Where results, notices and progress are written, so that they do not run into each other.
//!
//! Results go to stdout, everything else to stderr. While a progress bar is on the terminal, it is
//! taken away for each write.

use catalog::{Error, ErrorKind, Result};
use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{IsTerminal, Write};

/// Both output streams.
pub(super) struct Console {
    bars: MultiProgress,
    /// Whether progress is drawn as a bar.
    pub(super) has_bars: bool,
    /// Whether only results, warnings and errors are wanted.
    pub(super) is_quiet: bool,
}

impl Console {
    /// Draws bars when stderr is a terminal.
    pub(super) fn new(is_quiet: bool) -> Self {
        let has_bars = std::io::stderr().is_terminal();
        let target = if has_bars { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), has_bars, is_quiet }
    }

    /// The bars on the terminal.
    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Writes to stdout at once. 58030 when that fails; 08006 when its reader is gone, which is
    /// how `| head` ends a script.
    pub(super) fn print(&self, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.bars
            .suspend(|| {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
            })
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::BrokenPipe => {
                    Error::new(ErrorKind::ConnectionLost, "the reader of the results is gone")
                }
                _ => Error::new(ErrorKind::Io, "could not write to standard output")
                    .with_detail(format!("The operating system said: {error}.")),
            })
    }

    /// Writes to stderr. A failure is passed over: there is no place left that could tell of it.
    pub(super) fn note(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        });
    }

    /// A notice as psql shows it. NOTICEs are passed over when quiet, warnings never.
    pub(super) fn notice(&self, severity: &str, message: &str, detail: Option<&str>, hint: Option<&str>) {
        if self.is_quiet && !severity.eq_ignore_ascii_case("WARNING") {
            return;
        }
        let mut text = format!("{severity}:  {message}\n");
        for (word, more) in [("DETAIL", detail), ("HINT", hint)] {
            if let Some(more) = more {
                text.push_str(&format!("{word}:  {more}\n"));
            }
        }
        self.note(&text);
    }
}
