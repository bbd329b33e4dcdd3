//! The contracts of [`crate::Source`] and [`crate::Sink`] as checks that every connector's tests run
//! against the real system, and the doubles that tests of the runtime put in a connector's place.
//!
//! A connector implements [`source::SourceHarness`] or [`sink::SinkHarness`], which says how to reach
//! the system by another way than the connector, and calls [`source::run`] or [`sink::run`]. Checks
//! run one after the other and all of them: what failed is told together, each with its name.
//!
//! Rows are compared as multisets of displayed values, so that the suite needs to know no type.

pub mod doubles;
mod following;
pub mod memory;
pub mod sink;
pub mod source;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use catalog::Error;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// Longest time of one check: one that waits for itself must fail, not hang.
pub const CHECK_TIME_MAX: Duration = Duration::from_secs(120);

/// Rows of a difference that are shown.
const SHOWN_ROWS_MAX: usize = 3;

/// One row as text, as Arrow displays its values; None is NULL.
pub type Row = Vec<Option<String>>;

/// What a check ends with: the sentence says what was not as the contract has it.
pub(crate) type Outcome<T = ()> = std::result::Result<T, String>;

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check, as the list at the top of [`source`] or [`sink`] names it.
    pub check: &'static str,
    /// What was found.
    pub message: String,
}

/// Ends a check with a message unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

/// Runs one check with its time limit and notes its failure.
pub(crate) async fn check(failures: &mut Vec<Failure>, check: &'static str, run: impl Future<Output = Outcome>) {
    let outcome = match tokio::time::timeout(CHECK_TIME_MAX, run).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("it did not end within {} s", CHECK_TIME_MAX.as_secs())),
    };
    if let Err(message) = outcome {
        failures.push(Failure { check, message });
    }
}

/// Fails the test when anything failed.
pub(crate) fn report(side: &str, failures: &[Failure]) {
    if failures.is_empty() {
        return;
    }
    let lines: Vec<String> = failures.iter().map(|f| format!("  {}: {}", f.check, f.message)).collect();
    panic!("the {side} breaks its contract in {} checks:\n{}", failures.len(), lines.join("\n"));
}

/// Makes a failure's sentence of an error: `reading a split: 08006 connection lost (detail)`.
pub(crate) fn said(doing: impl Into<String>) -> impl FnOnce(Error) -> String {
    let doing = doing.into();
    move |error| {
        let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        format!("{doing}: {} {error}{detail}", error.sqlstate())
    }
}

/// The rows of a batch as text, in its order.
///
/// # Panics
/// When Arrow cannot display a column's type; no connector may give such a type.
pub fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a column of a type that arrow displays"))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let value = |(column, formatter): (&arrow::array::ArrayRef, &ArrayFormatter<'_>)| {
                (!column.is_null(row)).then(|| formatter.value(row).to_string())
            };
            batch.columns().iter().zip(&formatters).map(value).collect()
        })
        .collect()
}

/// The rows of several batches as text.
pub fn rows_of_all<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Vec<Row> {
    batches.into_iter().flat_map(rows_of).collect()
}

/// Compares two multisets of rows; the message tells some of the difference.
pub(crate) fn same_rows(what: &str, expected: &[Row], found: &[Row]) -> Outcome {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    for row in expected {
        *counts.entry(row).or_default() += 1;
    }
    for row in found {
        *counts.entry(row).or_default() -= 1;
    }
    let some = |sign: i64| {
        let rows: Vec<String> = counts
            .iter()
            .filter(|(_, count)| **count * sign > 0)
            .take(SHOWN_ROWS_MAX)
            .map(|(row, count)| format!("{row:?} x{}", count.abs()))
            .collect();
        rows.join(", ")
    };
    let (missing, surplus) = (some(1), some(-1));
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "{what}: {} rows instead of {}; missing: [{missing}]; too many: [{surplus}]",
        found.len(),
        expected.len()
    );
    Ok(())
}

/// Whether every row of `part` is in `whole`, as often as it is there.
pub(crate) fn within_rows(what: &str, part: &[Row], whole: &[Row]) -> Outcome {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    for row in whole {
        *counts.entry(row).or_default() += 1;
    }
    for row in part {
        let count = counts.entry(row).or_default();
        *count -= 1;
        ensure!(*count >= 0, "{what}: row {row:?} was not due, or not so often");
    }
    Ok(())
}
