//! The progress of a job that a script waits for: a bar on a terminal, a line now and then elsewhere.
//!
//! Progress is read from the system tables over a second connection. It is a courtesy: when it
//! cannot be read, the statement goes on without it.

use super::connection::Target;
use super::console::Console;
use indicatif::{ProgressBar, ProgressStyle};
use planner::Statement;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// How often progress is read.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often a line is written where no bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(2);
/// Over how long the speed is averaged.
const SPEED_WINDOW: Duration = Duration::from_secs(5);

/// The job that a statement waits for, if it is one that may take long.
pub(super) fn waits_for(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::WaitForJob { name, .. }
        | Statement::RunJob { name, .. }
        | Statement::StartJob { name, .. }
        | Statement::StopJob { name, .. }
        | Statement::RetryJob { name, .. } => Some(name),
        _ => None,
    }
}

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    tables: u64,
    tables_done: u64,
    tables_failed: u64,
    rows_done: u64,
    /// None when a source does not know how many rows will come.
    rows_estimate: Option<u64>,
}

impl Progress {
    fn read(rows: &[SimpleQueryRow]) -> Self {
        let number =
            |row: &SimpleQueryRow, name: &str| -> Option<u64> { row.try_get(name).ok().flatten()?.parse().ok() };
        let mut progress = Self { rows_estimate: Some(0), ..Self::default() };
        for row in rows {
            let phase = row.try_get("phase").ok().flatten().unwrap_or_default();
            let done = number(row, "rows_done").unwrap_or(0);
            progress.tables += 1;
            progress.tables_done += u64::from(phase == "done");
            progress.tables_failed += u64::from(phase == "failed");
            progress.rows_done += done;
            // An estimate that was too low is corrected by what came.
            let total =
                if phase == "done" { Some(done) } else { number(row, "rows_total_estimate").map(|n| n.max(done)) };
            progress.rows_estimate = progress.rows_estimate.zip(total).map(|(a, b)| a + b);
        }
        progress
    }

    /// As a line of its own.
    fn sentence(&self, rows_per_second: Option<u64>) -> String {
        let tables = if self.tables == 1 { "table" } else { "tables" };
        let mut text = format!("{} of {} {tables}, {}", self.tables_done, self.tables, grouped(self.rows_done));
        match self.rows_estimate {
            Some(estimate) if estimate > self.rows_done => {
                text.push_str(&format!(" of about {} rows", grouped(estimate)))
            }
            _ => text.push_str(" rows"),
        }
        if self.tables_failed > 0 {
            text.push_str(&format!(", {} failed", self.tables_failed));
        }
        if let Some(speed) = rows_per_second {
            text.push_str(&format!(", {} rows/s", grouped(speed)));
        }
        text
    }

    /// Beside a bar, which shows the share: short enough for a terminal of 80 columns.
    fn caption(&self, rows_per_second: Option<u64>) -> String {
        let mut text = format!("{}/{} tables, {} rows", self.tables_done, self.tables, grouped(self.rows_done));
        if self.tables_failed > 0 {
            text.push_str(&format!(", {} failed", self.tables_failed));
        }
        if let Some(speed) = rows_per_second {
            text.push_str(&format!(", {} rows/s", grouped(speed)));
        }
        text
    }
}

/// Shows the progress of statements that wait. Keeps its connection between statements.
pub(super) struct ProgressView {
    target: Target,
    console: Arc<Console>,
    client: Option<Client>,
}

impl ProgressView {
    /// Connects when progress is first asked for.
    pub(super) fn new(target: Target, console: Arc<Console>) -> Self {
        Self { target, console, client: None }
    }

    /// Shows the progress of a job until the future is dropped; never ends by itself.
    pub(super) async fn show(&mut self, job: &str) {
        let mut shown = Shown::new(self.console.clone(), job);
        let query = format!(
            "SELECT job_name, source_table, phase, rows_total_estimate, rows_done \
             FROM tidegate.stat_progress_snapshot WHERE job_name = {}",
            catalog::quote_literal(job)
        );
        let mut clock = tokio::time::interval(POLL_INTERVAL);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Most statements end before progress is worth a connection.
        clock.tick().await;
        loop {
            clock.tick().await;
            match self.rows(&query).await {
                Some(rows) if !rows.is_empty() => shown.update(&Progress::read(&rows)),
                Some(_) => {}
                None => {
                    drop(shown);
                    return std::future::pending().await;
                }
            }
        }
    }

    /// One line about the last run of a job, once a statement that waited for it has ended.
    pub(super) async fn summary(&mut self, job: &str) -> Option<String> {
        let name = catalog::quote_literal(job);
        let run = self
            .rows(&format!(
                "SELECT state, rows_written, duration_ms FROM tidegate.job_runs WHERE job_name = {name} ORDER BY run_id DESC LIMIT 1"
            ))
            .await?;
        let tables =
            self.rows(&format!("SELECT mapping_id FROM tidegate.job_tables WHERE job_name = {name}")).await?.len();
        let run = run.first()?;
        let text = |column: &str| run.try_get(column).ok().flatten();
        let milliseconds: u64 = text("duration_ms")?.parse().ok()?;
        let word = if tables == 1 { "table" } else { "tables" };
        let mut line = format!("{job}: run {}, {tables} {word}", text("state")?);
        if let Some(rows) = text("rows_written").and_then(|rows| rows.parse::<u64>().ok()) {
            line.push_str(&format!(", {} rows", grouped(rows)));
            line.push_str(&format!(" in {:.1} s", milliseconds as f64 / 1e3));
            if let Some(rate) = rows.saturating_mul(1000).checked_div(milliseconds) {
                line.push_str(&format!(", {} rows/s", grouped(rate)));
            }
        }
        Some(line)
    }

    async fn rows(&mut self, query: &str) -> Option<Vec<SimpleQueryRow>> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = match self.target.connect(None).await {
                Ok(client) => Some(client),
                Err(error) => {
                    tracing::debug!(%error, "progress cannot be shown");
                    return None;
                }
            };
        }
        match self.client.as_ref()?.simple_query(query).await {
            Ok(messages) => Some(
                messages
                    .into_iter()
                    .filter_map(|message| match message {
                        SimpleQueryMessage::Row(row) => Some(row),
                        _ => None,
                    })
                    .collect(),
            ),
            Err(error) => {
                tracing::debug!(%error, "progress cannot be read");
                None
            }
        }
    }
}

/// What is on the screen for one job.
struct Shown {
    console: Arc<Console>,
    job: String,
    bar: Option<ProgressBar>,
    samples: VecDeque<(Instant, u64)>,
    last_line: Option<(Instant, Progress)>,
}

impl Shown {
    fn new(console: Arc<Console>, job: &str) -> Self {
        Self { console, job: job.to_owned(), bar: None, samples: VecDeque::new(), last_line: None }
    }

    fn update(&mut self, progress: &Progress) {
        let now = Instant::now();
        let speed = self.speed(now, progress.rows_done);
        if self.console.has_bars {
            let bar = self.bar.get_or_insert_with(|| self.console.bars().add(bar(&self.job)));
            // Without an estimate the bar counts tables.
            let (done, total) = match progress.rows_estimate {
                Some(total) if total > 0 => (progress.rows_done, total),
                _ => (progress.tables_done, progress.tables),
            };
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(progress.caption(speed));
            bar.tick();
            return;
        }
        let is_due = match &self.last_line {
            None => true,
            Some((at, before)) => now - *at >= LINE_INTERVAL && before != progress,
        };
        if is_due {
            self.console.note(&format!("{}: {}\n", self.job, progress.sentence(speed)));
            self.last_line = Some((now, progress.clone()));
        }
    }

    /// Rows per second over the last seconds; None until there are two looks at the same run.
    fn speed(&mut self, now: Instant, rows: u64) -> Option<u64> {
        if self.samples.back().is_some_and(|(_, before)| rows < *before) {
            self.samples.clear();
        }
        self.samples.push_back((now, rows));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|(at, _)| now - *at >= SPEED_WINDOW) {
            self.samples.pop_front();
        }
        let (at, before) = *self.samples.front()?;
        let seconds = (now - at).as_secs_f64();
        (seconds > 0.0).then(|| ((rows - before) as f64 / seconds) as u64)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.console.bars().remove(bar);
        }
    }
}

fn bar(job: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix} [{bar:20}] {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(1).with_style(style.progress_chars("=> ")).with_prefix(job.to_owned())
}

/// A number with its thousands apart: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_sentence_says_what_is_known_and_nothing_else() {
        let mut progress =
            Progress { tables: 8, tables_done: 3, tables_failed: 0, rows_done: 1200, rows_estimate: Some(60000) };
        assert_eq!(progress.sentence(Some(2500)), "3 of 8 tables, 1,200 of about 60,000 rows, 2,500 rows/s");
        assert_eq!(progress.caption(Some(2500)), "3/8 tables, 1,200 rows, 2,500 rows/s");
        progress.rows_estimate = None;
        progress.tables_failed = 1;
        assert_eq!(progress.caption(None), "3/8 tables, 1,200 rows, 1 failed");
        assert_eq!(progress.sentence(None), "3 of 8 tables, 1,200 rows, 1 failed");
    }

    #[test]
    fn speed_is_that_of_the_last_seconds_and_starts_again_with_a_new_run() {
        let mut shown = Shown::new(Arc::new(Console::new(true)), "j");
        let start = Instant::now();
        assert_eq!(shown.speed(start, 0), None);
        assert_eq!(shown.speed(start + Duration::from_secs(1), 100), Some(100));
        for second in 2..20 {
            shown.speed(start + Duration::from_secs(second), 100 + (second - 1) * 1000);
        }
        assert_eq!(shown.speed(start + Duration::from_secs(20), 100 + 19 * 1000), Some(1000));
        assert_eq!(shown.speed(start + Duration::from_secs(21), 5), None);
    }

    #[test]
    fn statements_that_wait_name_their_job() {
        let waits = |sql: &str| waits_for(&planner::parse(sql).unwrap()[0].statement).map(str::to_owned);
        assert_eq!(waits("WAIT FOR JOB a STATE finished").as_deref(), Some("a"));
        assert_eq!(waits("RUN JOB \"B c\"").as_deref(), Some("B c"));
        assert_eq!(waits("SELECT 1"), None);
    }
}
