//! What every [`Sink`] promises, as checks. The harness looks at the tables by another way than the
//! sink, so that "nobody sees it yet" is asked of somebody else.
//!
//! The tables of the suite have a column `id` (whole numbers) and a column `name` (text). A check that
//! does not apply (a write mode that answers 0A000, no bad rows) says so on standard error and passes.

use super::{Failure, Outcome, Row, check, ensure, report, rows_of_all, said, same_rows};
use crate::sink::{
    Accepted, CommitKey, CommitSummary, DeliveryGuarantee, Sink, TableCreation, TableTarget, TableWrite, TableWriter,
    TargetColumn, WriteInput,
};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{Lineage, Position, TableName, WriteMode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// How long a dropped write may take to be gone for readers.
const DROP_TIME_MAX: Duration = Duration::from_secs(10);
/// Time between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Moments at which a commit is cancelled.
const CANCEL_DELAYS: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_micros(200),
    Duration::from_micros(600),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
];
/// Batches of the larger load, and rows of each.
const LOAD: (i64, i64) = (20, 1_000);

/// Rows that the sink must refuse one of.
#[derive(Debug, Clone)]
pub struct BadRows {
    /// What the badness is, for messages.
    pub what: &'static str,
    /// The table to write, made by the harness beforehand where that needs more than the suite's
    /// columns `id` and `name`, in this order.
    pub target: TableTarget,
    /// The `name` that is refused.
    pub bad_name: Option<String>,
}

/// What a connector's test knows of the system.
#[async_trait]
pub trait SinkHarness: Send + Sync {
    /// A sink on the system; every call may give a new one.
    fn sink(&self) -> Arc<dyn Sink>;

    /// The full name of a table called `table` at a place where the suite may make, replace and drop
    /// tables. The suite asks for some names that are hard to quote.
    fn name(&self, table: &str) -> TableName;

    /// What somebody else sees in a table now, in the order of its columns; None when there is no
    /// such table.
    async fn rows(&self, table: &TableName) -> Option<Vec<Row>>;

    /// Whatever is on the system that is no table: staging folders, temporary objects, records of
    /// writes. What lives as long as a job is remembered may be left out.
    async fn leftovers(&self) -> Vec<String>;

    /// Bad rows of every kind that the sink can meet, each for a table of its own; `table` is the
    /// beginning of a name for it.
    async fn bad_rows(&self, table: &str) -> Vec<BadRows>;
}

/// Runs every check.
///
/// # Panics
/// When any of them fails, with the messages of all that failed.
pub async fn run(harness: &dyn SinkHarness) {
    report("sink", &failures(harness).await);
}

/// Runs every check and answers what failed.
pub async fn failures(harness: &dyn SinkHarness) -> Vec<Failure> {
    let mut failures = vec![];
    let failed = &mut failures;
    check(failed, "planning is read only and repeatable", planning(harness)).await;
    check(failed, "nothing is visible before commit and all is after", visibility(harness)).await;
    check(failed, "position is remembered with the commit", memory(harness)).await;
    check(failed, "abort leaves nothing", abort(harness)).await;
    check(failed, "drop leaves nothing", dropped(harness)).await;
    check(failed, "a cancelled commit happened or did not", cancelled_commit(harness)).await;
    check(failed, "clean-up after a commit removes nothing visible", clean_up(harness)).await;
    check(failed, "overwrite replaces atomically", overwrite(harness)).await;
    check(failed, "append adds", append(harness)).await;
    check(failed, "upsert merges", upsert(harness)).await;
    check(failed, "modes that are not built answer 0A000", other_modes(harness)).await;
    check(failed, "a bad row leaves nothing of its batch", bad_rows(harness)).await;
    check(failed, "a write that failed can be given up", failed_write(harness)).await;
    check(failed, "two tables are written at once", two_tables(harness)).await;
    check(failed, "an empty load is a load", empty_load(harness)).await;
    check(failed, "every row of many batches arrives", many_batches(harness)).await;
    check(failed, "special identifiers are taken or refused", identifiers(harness)).await;
    check(failed, "a table that must exist is not made", must_exist(harness)).await;
    check(failed, "forget is idempotent", forget(harness)).await;
    failures
}

fn not_checked(what: &str) {
    eprintln!("not checked: {what}");
}

/// A key that nobody has used, of a gateway that nobody else is.
fn fresh_key() -> CommitKey {
    static RUNS: AtomicI64 = AtomicI64::new(1);
    let run_id = RUNS.fetch_add(1, Ordering::Relaxed);
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let gateway_id = format!("conformance-{}-{started}", std::process::id());
    CommitKey { gateway_id, job_id: 10 + run_id, mapping_id: 1, run_id }
}

fn position(key: &CommitKey) -> Position {
    Position::Snapshot { id: format!("suite-{}", key.run_id), lineage: Lineage::default() }
}

/// A table of `id` and `name` that is made when it is absent; the key is `id` for an upsert.
pub fn target(name: &TableName, mode: WriteMode) -> TableTarget {
    named_target(name, mode, ["id", "name"])
}

fn named_target(name: &TableName, mode: WriteMode, columns: [&str; 2]) -> TableTarget {
    let column = |name: &str, data_type: DataType, is_nullable: bool| TargetColumn {
        name: name.to_owned(),
        field: Field::new(name, data_type, is_nullable),
        source_type: None,
        source_family: None,
        is_nullable,
        comment: None,
    };
    TableTarget {
        name: name.clone(),
        columns: vec![column(columns[0], DataType::Int64, false), column(columns[1], DataType::Utf8, true)],
        key: if mode == WriteMode::Upsert { vec![columns[0].to_owned()] } else { vec![] },
        key_is_primary: mode == WriteMode::Upsert,
        mode,
        creation: TableCreation::Auto,
        options: BTreeMap::new(),
        comment: None,
    }
}

fn schema_of(target: &TableTarget) -> SchemaRef {
    let field = |column: &TargetColumn| column.field.clone().with_name(&column.name);
    Arc::new(Schema::new(target.columns.iter().map(field).collect::<Vec<_>>()))
}

fn batch(target: &TableTarget, rows: &[(i64, Option<&str>)]) -> Outcome<RecordBatch> {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1)));
    let schema = schema_of(target);
    let cast = |array: ArrayRef, index: usize| {
        arrow::compute::cast(&array, schema.field(index).data_type()).map_err(|error| error.to_string())
    };
    RecordBatch::try_new(schema.clone(), vec![cast(ids, 0)?, cast(names, 1)?]).map_err(|error| error.to_string())
}

/// Rows that CSV, SQL and JSON each could trip over.
fn some_rows(first: i64) -> Vec<(i64, Option<&'static str>)> {
    let names = [
        Some("ann"),
        None,
        Some(""),
        Some("a,b;c\td"),
        Some("two\nlines\r\nhere"),
        Some("\"quoted\" and 'quoted'"),
        Some("back\\slash \\N \\. {}"),
        Some("żółć 🦀 \u{7f}"),
        Some("NULL"),
        Some(" spaces "),
    ];
    names.into_iter().enumerate().map(|(index, name)| (first + index as i64, name)).collect()
}

fn as_rows(rows: &[(i64, Option<&str>)]) -> Vec<Row> {
    rows.iter().map(|(id, name)| vec![Some(id.to_string()), name.map(str::to_owned)]).collect()
}

async fn open_with(
    sink: &dyn Sink,
    target: &TableTarget,
    key: &CommitKey,
    tolerates_bad_rows: bool,
) -> catalog::Result<Box<dyn TableWriter>> {
    let plan = sink.plan_table(target).await?;
    let write = TableWrite {
        target: target.clone(),
        plan,
        input: WriteInput::Arrow(schema_of(target)),
        commit_key: key.clone(),
        rows_estimate: None,
        tolerates_bad_rows,
    };
    sink.open(write).await
}

async fn open(sink: &dyn Sink, target: &TableTarget, key: &CommitKey) -> Outcome<Box<dyn TableWriter>> {
    open_with(sink, target, key, false).await.map_err(said(format!("opening a write of {}", target.name)))
}

/// Writes one batch and checks the answer.
async fn write(writer: &mut Box<dyn TableWriter>, batch: RecordBatch) -> Outcome {
    let due = batch.num_rows() as u64;
    let accepted = writer.write(batch).await.map_err(said("writing a batch"))?;
    let (Accepted::Accepted { rows, .. } | Accepted::Durable { rows, .. }) = accepted;
    ensure!(rows == due, "a batch of {due} rows is answered with {rows}");
    Ok(())
}

async fn commit(writer: Box<dyn TableWriter>, key: &CommitKey) -> Outcome<CommitSummary> {
    writer.commit(&position(key)).await.map_err(said("committing"))
}

/// Opens, writes and commits.
async fn load(sink: &dyn Sink, target: &TableTarget, rows: &[(i64, Option<&str>)]) -> Outcome<CommitKey> {
    let key = fresh_key();
    let mut writer = open(sink, target, &key).await?;
    write(&mut writer, batch(target, rows)?).await?;
    let summary = commit(writer, &key).await?;
    ensure!(
        summary.rows_written == rows.len() as u64,
        "{} rows were written, says the commit of {}",
        summary.rows_written,
        rows.len()
    );
    Ok(key)
}

/// What readers see must be exactly this.
async fn sees(harness: &dyn SinkHarness, what: &str, table: &TableName, rows: &[Row]) -> Outcome {
    match harness.rows(table).await {
        Some(found) => same_rows(&format!("{table} {what}"), rows, &found),
        None => Err(format!("{table} {what}: there is no such table")),
    }
}

/// Readers must see no row; a table without rows may be there.
async fn sees_nothing(harness: &dyn SinkHarness, what: &str, table: &TableName) -> Outcome {
    match harness.rows(table).await {
        Some(rows) if !rows.is_empty() => Err(format!("{table} {what}: {} rows are visible", rows.len())),
        _ => Ok(()),
    }
}

async fn left_as(harness: &dyn SinkHarness, what: &str, before: &[String]) -> Outcome {
    let left: Vec<String> = harness.leftovers().await.into_iter().filter(|thing| !before.contains(thing)).collect();
    ensure!(left.is_empty(), "{what} leaves {}", left.join(", "));
    Ok(())
}

async fn recovered(sink: &dyn Sink, key: &CommitKey, table: &TableName) -> Outcome<Option<String>> {
    sink.recovered_position(key, table).await.map_err(said("asking for the position"))
}

async fn not_committed(sink: &dyn Sink, what: &str, key: &CommitKey, table: &TableName) -> Outcome {
    match recovered(sink, key, table).await? {
        None => Ok(()),
        Some(position) => Err(format!("{what}, position {position} is remembered")),
    }
}

async fn planning(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let before = harness.leftovers().await;
    let table = harness.name("suite_plan");
    for mode in [WriteMode::Append, WriteMode::Overwrite] {
        let target = target(&table, mode);
        let plan = sink.plan_table(&target).await.map_err(said("planning"))?;
        ensure!(plan.misfits.is_empty(), "a table that is absent has misfits: {:?}", plan.misfits);
        let count = target.columns.len();
        ensure!(plan.columns.len() == count, "the plan has {} columns for {count}", plan.columns.len());
        let names = plan.columns.iter().map(|column| &column.name);
        ensure!(names.eq(target.columns.iter().map(|column| &column.name)), "the plan names other columns");
        ensure!(plan.wire_encodings.len() == count, "{} wire encodings", plan.wire_encodings.len());
        ensure!(plan.needs_text.len() == count, "needs_text has {} entries", plan.needs_text.len());
        let (again, third) = futures::join!(sink.plan_table(&target), sink.plan_table(&target));
        for again in [again, third] {
            let again = again.map_err(said("planning again"))?;
            ensure!(format!("{again:?}") == format!("{plan:?}"), "planned again: {again:?}, before: {plan:?}");
        }
    }
    ensure!(harness.rows(&table).await.is_none(), "planning made the table");
    left_as(harness, "planning", &before).await?;
    // A table that is there stays as it is.
    let rows = some_rows(1);
    load(sink.as_ref(), &target(&table, WriteMode::Append), &rows).await?;
    let before = harness.leftovers().await;
    for mode in [WriteMode::Append, WriteMode::Overwrite] {
        let plan = sink.plan_table(&target(&table, mode)).await.map_err(said("planning"))?;
        ensure!(plan.misfits.is_empty(), "what was written does not fit itself: {:?}", plan.misfits);
        ensure!(plan.creation_method == catalog::CreationMethod::Existing, "a table that is there is to be made");
    }
    sees(harness, "after planning", &table, &as_rows(&rows)).await?;
    left_as(harness, "planning", &before).await
}

async fn visibility(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_visible");
    let target = target(&table, WriteMode::Append);
    let key = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    let rows = [some_rows(1), some_rows(100)];
    let is_transactional = sink.guarantee() == DeliveryGuarantee::ExactlyOnce;
    for rows in &rows {
        write(&mut writer, batch(&target, rows)?).await?;
        if is_transactional {
            sees_nothing(harness, "before commit", &table).await?;
        }
    }
    let summary = commit(writer, &key).await?;
    let all = as_rows(&rows.concat());
    ensure!(summary.rows_written == all.len() as u64, "the commit tells of {} rows", summary.rows_written);
    sees(harness, "after commit", &table, &all).await
}

async fn memory(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_memory");
    let target = target(&table, WriteMode::Append);
    let key = fresh_key();
    not_committed(sink.as_ref(), "before anything was written", &key, &table).await?;
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &some_rows(1))?).await?;
    commit(writer, &key).await?;
    let due = Some(position(&key).to_string());
    for sink in [&sink, &harness.sink()] {
        let found = recovered(sink.as_ref(), &key, &table).await?;
        ensure!(found == due, "after the commit, position {found:?} is remembered instead of {due:?}");
    }
    let others = [
        ("of another run", CommitKey { run_id: key.run_id + 1, ..key.clone() }),
        ("of an earlier run", CommitKey { run_id: 0, ..key.clone() }),
        ("of another mapping", CommitKey { mapping_id: key.mapping_id + 1, ..key.clone() }),
        ("of another job", CommitKey { job_id: key.job_id + 1_000_000, ..key.clone() }),
        ("of another gateway", CommitKey { gateway_id: format!("{}-other", key.gateway_id), ..key.clone() }),
    ];
    for (what, other) in others {
        not_committed(sink.as_ref(), what, &other, &table).await?;
    }
    // The next run of the job has its own answer.
    let next = CommitKey { run_id: key.run_id + 1_000_000, ..key.clone() };
    let mut writer = open(sink.as_ref(), &target, &next).await?;
    write(&mut writer, batch(&target, &some_rows(50))?).await?;
    commit(writer, &next).await?;
    let found = recovered(sink.as_ref(), &next, &table).await?;
    ensure!(found == Some(position(&next).to_string()), "after the next commit, position {found:?} is remembered");
    Ok(())
}

/// Cleans up twice; the second time there must be nothing.
async fn clean_twice(sink: &dyn Sink, key: &CommitKey, table: &TableName) -> Outcome {
    sink.clean_up(key, table).await.map_err(said("cleaning up"))?;
    let again = sink.clean_up(key, table).await.map_err(said("cleaning up again"))?;
    ensure!(again.is_empty(), "cleaning up again removes {}", again.join(", "));
    Ok(())
}

async fn abort(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let before = harness.leftovers().await;
    let table = harness.name("suite_abort");
    let target = target(&table, WriteMode::Overwrite);
    let key = fresh_key();
    for batches in [0, 1, 3] {
        let mut writer = open(sink.as_ref(), &target, &key).await?;
        for _ in 0..batches {
            write(&mut writer, batch(&target, &some_rows(1))?).await?;
        }
        writer.abort().await.map_err(said("aborting"))?;
        sees_nothing(harness, "after an abort", &table).await?;
        left_as(harness, "an abort", &before).await?;
        not_committed(sink.as_ref(), "after an abort", &key, &table).await?;
    }
    clean_twice(sink.as_ref(), &key, &table).await?;
    // The same key may be written again: a step that is tried again has the run's key.
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &some_rows(7))?).await?;
    commit(writer, &key).await?;
    sees(harness, "written again after an abort", &table, &as_rows(&some_rows(7))).await?;
    // An aborted replacement leaves the old rows.
    let next = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &next).await?;
    write(&mut writer, batch(&target, &some_rows(900))?).await?;
    writer.abort().await.map_err(said("aborting"))?;
    sees(harness, "after an aborted overwrite", &table, &as_rows(&some_rows(7))).await
}

async fn dropped(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let before = harness.leftovers().await;
    let table = harness.name("suite_drop");
    let target = target(&table, WriteMode::Overwrite);
    let key = fresh_key();
    for batches in [0, 1, 3] {
        let mut writer = open(sink.as_ref(), &target, &key).await?;
        for _ in 0..batches {
            write(&mut writer, batch(&target, &some_rows(1))?).await?;
        }
        drop(writer);
        sees_nothing(harness, "after a drop", &table).await?;
        // This is what the runtime does at once when a task was cancelled.
        sink.clean_up(&key, &table).await.map_err(said("cleaning up after a drop"))?;
        not_committed(sink.as_ref(), "after a drop", &key, &table).await?;
        let started = std::time::Instant::now();
        while let Err(message) = left_as(harness, "a drop with clean-up", &before).await {
            ensure!(started.elapsed() < DROP_TIME_MAX, "{message}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        clean_twice(sink.as_ref(), &key, &table).await?;
    }
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &some_rows(7))?).await?;
    commit(writer, &key).await?;
    sees(harness, "written again after a drop", &table, &as_rows(&some_rows(7))).await
}

async fn cancelled_commit(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_cancel");
    let target = target(&table, WriteMode::Append);
    let mut due = some_rows(1);
    load(sink.as_ref(), &target, &due).await?;
    for (turn, delay) in CANCEL_DELAYS.into_iter().enumerate() {
        let before = harness.leftovers().await;
        let key = fresh_key();
        let rows = some_rows(100 * (turn as i64 + 1));
        let mut writer = open(sink.as_ref(), &target, &key).await?;
        write(&mut writer, batch(&target, &rows)?).await?;
        let place = position(&key);
        let outcome = tokio::time::timeout(delay, writer.commit(&place)).await;
        let told = match outcome {
            Ok(outcome) => outcome.map(|_| true).map_err(said("committing"))?,
            Err(_) => false,
        };
        // What the sink says now is what the runtime goes by, so it must stay true.
        let found = recovered(sink.as_ref(), &key, &table).await?;
        ensure!(found.is_some() || !told, "a commit that was told is not remembered");
        sink.clean_up(&key, &table).await.map_err(said("cleaning up after a cancelled commit"))?;
        if found.is_some() {
            due.extend(rows);
        }
        let what = format!("after a commit that was cancelled after {delay:?}, remembered: {}", found.is_some());
        sees(harness, &what, &table, &as_rows(&due)).await?;
        tokio::time::sleep(LOOK_INTERVAL * 5).await;
        sees(harness, &format!("some time {what}"), &table, &as_rows(&due)).await?;
        let again = recovered(sink.as_ref(), &key, &table).await?;
        ensure!(again == found, "{what}, then {again:?} is remembered");
        left_as(harness, "a cancelled commit with clean-up", &before).await?;
    }
    Ok(())
}

async fn clean_up(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_clean_up");
    // What was never there is clean.
    let never = fresh_key();
    let removed = sink.clean_up(&never, &table).await.map_err(said("cleaning up what never was"))?;
    ensure!(removed.is_empty(), "cleaning up what never was removes {}", removed.join(", "));
    let rows = some_rows(1);
    for mode in [WriteMode::Append, WriteMode::Overwrite] {
        let key = load(sink.as_ref(), &target(&table, mode), &rows).await?;
        clean_twice(sink.as_ref(), &key, &table).await?;
        let found = recovered(sink.as_ref(), &key, &table).await?;
        ensure!(found == Some(position(&key).to_string()), "after clean-up, position {found:?} is remembered");
        sees(harness, "after clean-up", &table, &as_rows(&rows)).await?;
    }
    Ok(())
}

async fn overwrite(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_overwrite");
    let target = target(&table, WriteMode::Overwrite);
    let (old, new) = (some_rows(1), some_rows(1_000));
    load(sink.as_ref(), &target, &old).await?;
    let key = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &new)?).await?;
    let (old, new) = (as_rows(&old), as_rows(&new));
    sees(harness, "before the commit of an overwrite", &table, &old).await?;
    let is_done = AtomicBool::new(false);
    let look = async {
        while !is_done.load(Ordering::Relaxed) {
            let found = harness.rows(&table).await.ok_or("the table is gone while it is replaced")?;
            if same_rows("", &old, &found).is_err() {
                same_rows("a reader during the commit of an overwrite", &new, &found)?;
            }
            tokio::task::yield_now().await;
        }
        Outcome::Ok(())
    };
    let replace = async {
        let summary = commit(writer, &key).await;
        is_done.store(true, Ordering::Relaxed);
        summary
    };
    let (looked, summary) = futures::join!(look, replace);
    summary?;
    looked?;
    sees(harness, "after an overwrite", &table, &new).await
}

async fn append(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_append");
    let target = target(&table, WriteMode::Append);
    let (first, second) = (some_rows(1), some_rows(20));
    load(sink.as_ref(), &target, &first).await?;
    let key = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &second)?).await?;
    sees(harness, "before the commit of an append", &table, &as_rows(&first)).await?;
    writer.abort().await.map_err(said("aborting"))?;
    sees(harness, "after an aborted append", &table, &as_rows(&first)).await?;
    load(sink.as_ref(), &target, &second).await?;
    // Equal rows are rows.
    load(sink.as_ref(), &target, &second).await?;
    sees(harness, "after appends", &table, &as_rows(&[first, second.clone(), second].concat())).await
}

async fn upsert(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_upsert");
    let target = target(&table, WriteMode::Upsert);
    match sink.plan_table(&target).await {
        Err(error) if error.sqlstate() == "0A000" => {
            not_checked(&format!("upsert: {error}"));
            return Ok(());
        }
        Err(error) => return Err(said("planning an upsert")(error)),
        Ok(plan) => ensure!(plan.key == ["id"], "the key in use is {:?}", plan.key),
    }
    let first = [(1, Some("one")), (2, Some("two")), (3, None)];
    load(sink.as_ref(), &target, &first).await?;
    sees(harness, "after an upsert into nothing", &table, &as_rows(&first)).await?;
    let second = [(2, Some("zwei")), (4, Some("four")), (3, Some("three"))];
    load(sink.as_ref(), &target, &second).await?;
    let merged = [(1, Some("one")), (2, Some("zwei")), (3, Some("three")), (4, Some("four"))];
    sees(harness, "after an upsert", &table, &as_rows(&merged)).await?;
    // Of rows with one key the last one wins, within a batch and over batches.
    let key = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    write(&mut writer, batch(&target, &[(1, Some("a")), (5, Some("a")), (1, Some("b"))])?).await?;
    write(&mut writer, batch(&target, &[(5, None), (4, Some("d"))])?).await?;
    sees(harness, "before the commit of an upsert", &table, &as_rows(&merged)).await?;
    commit(writer, &key).await?;
    let last = [(1, Some("b")), (2, Some("zwei")), (3, Some("three")), (4, Some("d")), (5, None)];
    sees(harness, "after an upsert with repeated keys", &table, &as_rows(&last)).await?;
    // The same rows again change nothing.
    load(sink.as_ref(), &target, &last).await?;
    sees(harness, "after the same upsert again", &table, &as_rows(&last)).await
}

async fn other_modes(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_modes");
    for mode in [WriteMode::Upsert, WriteMode::OverwritePartitions] {
        let target = target(&table, mode);
        let outcome = match open_with(sink.as_ref(), &target, &fresh_key(), false).await {
            Ok(writer) => writer.abort().await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            ensure!(error.sqlstate() == "0A000", "mode {mode:?}: {} {error}", error.sqlstate());
        }
    }
    sees_nothing(harness, "after a refused mode", &table).await
}

async fn bad_rows(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let cases = harness.bad_rows("suite_bad").await;
    if cases.is_empty() {
        not_checked("bad rows: the harness has none");
    }
    for BadRows { what, target, bad_name } in cases {
        let key = fresh_key();
        let mut writer =
            open_with(sink.as_ref(), &target, &key, true).await.map_err(said("opening a tolerant write"))?;
        let mut due = some_rows(1);
        write(&mut writer, batch(&target, &due)?).await?;
        let bad = batch(&target, &[(101, Some("before")), (102, bad_name.as_deref()), (103, Some("after"))])?;
        let refused = |outcome: catalog::Result<Accepted>| match outcome {
            Ok(_) => Err(format!("{what}: the bad row is taken")),
            Err(error) => Ok(error),
        };
        refused(writer.write(bad.clone()).await)?;
        // Halving finds it: its neighbours are good.
        write(&mut writer, bad.slice(0, 1)).await.map_err(|message| format!("{what}: the row before: {message}"))?;
        let error = refused(writer.write(bad.slice(1, 1)).await)?;
        ensure!(
            error.row_key().is_some() || error.column().is_some(),
            "{what}: the error names neither row nor column: {error}"
        );
        ensure!(!error.is_retryable(), "{what}: a bad row is to be tried again: {} {error}", error.sqlstate());
        write(&mut writer, bad.slice(2, 1)).await.map_err(|message| format!("{what}: the row after: {message}"))?;
        due.extend([(101, Some("before")), (103, Some("after"))]);
        let rest = some_rows(200);
        write(&mut writer, batch(&target, &rest)?).await?;
        due.extend(rest);
        // The last thing that happens may be an error too.
        refused(writer.write(bad.slice(1, 1)).await)?;
        let summary = commit(writer, &key).await?;
        ensure!(summary.rows_written == due.len() as u64, "{what}: the commit tells of {} rows", summary.rows_written);
        sees(harness, what, &target.name, &as_rows(&due)).await?;
    }
    Ok(())
}

async fn failed_write(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    for BadRows { what, target, bad_name } in harness.bad_rows("suite_failed").await {
        let before = harness.leftovers().await;
        let key = fresh_key();
        let mut writer = open(sink.as_ref(), &target, &key).await?;
        write(&mut writer, batch(&target, &some_rows(1))?).await?;
        // Without tolerance the error may come with the commit.
        let bad = batch(&target, &[(101, Some("before")), (102, bad_name.as_deref())])?;
        let outcome = match writer.write(bad).await {
            Ok(_) => writer.commit(&position(&key)).await.map(|_| ()),
            Err(error) => {
                writer.abort().await.map_err(said("aborting"))?;
                Err(error)
            }
        };
        ensure!(outcome.is_err(), "{what}: the bad row is taken");
        sees_nothing(harness, &format!("after a failed write ({what})"), &target.name).await?;
        not_committed(sink.as_ref(), "after a failed write", &key, &target.name).await?;
        left_as(harness, "a failed write", &before).await?;
        clean_twice(sink.as_ref(), &key, &target.name).await?;
    }
    Ok(())
}

async fn two_tables(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let targets = ["suite_both_a", "suite_both_b"].map(|table| target(&harness.name(table), WriteMode::Append));
    let first = fresh_key();
    let keys = [first.clone(), CommitKey { mapping_id: first.mapping_id + 1, ..first }];
    let (one, two) =
        futures::join!(open(sink.as_ref(), &targets[0], &keys[0]), open(sink.as_ref(), &targets[1], &keys[1]));
    let (mut one, mut two) = (one?, two?);
    for turn in 0..3 {
        write(&mut one, batch(&targets[0], &some_rows(turn * 100))?).await?;
        write(&mut two, batch(&targets[1], &some_rows(turn * 100 + 50))?).await?;
    }
    let rows = |offset: i64| as_rows(&(0..3).flat_map(|turn| some_rows(turn * 100 + offset)).collect::<Vec<_>>());
    commit(one, &keys[0]).await?;
    sees(harness, "committed", &targets[0].name, &rows(0)).await?;
    sees_nothing(harness, "while only the other is committed", &targets[1].name).await?;
    commit(two, &keys[1]).await?;
    sees(harness, "committed later", &targets[1].name, &rows(50)).await?;
    sees(harness, "committed first", &targets[0].name, &rows(0)).await?;
    for (target, key) in targets.iter().zip(&keys) {
        let found = recovered(sink.as_ref(), key, &target.name).await?;
        ensure!(found == Some(position(key).to_string()), "{}: position {found:?} is remembered", target.name);
    }
    Ok(())
}

async fn empty_load(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    for (table, has_batch) in [("suite_empty", false), ("suite_empty_batch", true)] {
        let table = harness.name(table);
        for (mode, rows) in [
            (WriteMode::Append, vec![]),
            (WriteMode::Append, some_rows(1)),
            (WriteMode::Append, vec![]),
            (WriteMode::Overwrite, vec![]),
        ] {
            let target = target(&table, mode);
            let key = fresh_key();
            let mut writer = open(sink.as_ref(), &target, &key).await?;
            if has_batch || !rows.is_empty() {
                write(&mut writer, batch(&target, &rows)?).await?;
            }
            let is_kept = mode == WriteMode::Append && harness.rows(&table).await.is_some_and(|rows| !rows.is_empty());
            let due = if is_kept { some_rows(1) } else { rows.clone() };
            let summary = commit(writer, &key).await?;
            ensure!(
                summary.rows_written == rows.len() as u64,
                "the commit of {} rows tells of {}",
                rows.len(),
                summary.rows_written
            );
            sees(harness, &format!("after {mode:?} of {} rows", rows.len()), &table, &as_rows(&due)).await?;
            let found = recovered(sink.as_ref(), &key, &table).await?;
            ensure!(found.is_some(), "an empty load is not remembered");
        }
    }
    Ok(())
}

async fn many_batches(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let target = target(&harness.name("suite_many"), WriteMode::Append);
    let key = fresh_key();
    let mut writer = open(sink.as_ref(), &target, &key).await?;
    let mut batches = vec![];
    for number in 0..LOAD.0 {
        let rows: Vec<(i64, Option<&str>)> = (0..LOAD.1)
            .map(|row| (number * LOAD.1 + row, (row % 7 != 0).then_some("a name that is a little longer")))
            .collect();
        let batch = batch(&target, &rows)?;
        // Slices have offsets that a writer must mind.
        write(&mut writer, batch.slice(0, 300)).await?;
        write(&mut writer, batch.slice(300, batch.num_rows() - 300)).await?;
        batches.push(batch);
    }
    let summary = commit(writer, &key).await?;
    ensure!(summary.rows_written == (LOAD.0 * LOAD.1) as u64, "the commit tells of {} rows", summary.rows_written);
    ensure!(summary.bytes_written > 0, "the commit tells of no bytes");
    sees(harness, "after many batches", &target.name, &rows_of_all(&batches)).await
}

async fn identifiers(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let long = "l".repeat(catalog::name::IDENT_BYTES_MAX);
    let tables = [
        "select",
        "Mixed Case",
        "quo\"te",
        "apo'strophe",
        "semi;colon --x",
        "dots..and/slashes",
        "ümläut 表",
        "%d {} $1",
        "..",
        "back\\slash",
        &long,
    ];
    let columns = [
        ["id", "name"],
        ["select", "from"],
        ["Mixed", "mixed"],
        ["quo\"te", "apo'strophe"],
        ["ü", "表 表"],
        ["$1", "%s {}"],
        ["a.b", "a,b"],
        ["new\nline", "tab\there"],
    ];
    let names = tables
        .iter()
        .map(|table| (*table, columns[0]))
        .chain(columns.iter().skip(1).map(|columns| ("suite_columns", *columns)));
    for (table, columns) in names {
        let before = harness.leftovers().await;
        let name = harness.name(table);
        let target = TableTarget {
            options: BTreeMap::from([("on_exists".to_owned(), "recreate".to_owned())]),
            ..named_target(&name, WriteMode::Overwrite, columns)
        };
        let what = format!("{name} with columns {columns:?}");
        let key = fresh_key();
        let mut writer = match open_with(sink.as_ref(), &target, &key, false).await {
            Ok(writer) => writer,
            // What a system cannot name it refuses before anything is written, and not by accident.
            Err(error) => {
                ensure!(error.sqlstate() != "XX000", "{what}: XX000 {error}");
                left_as(harness, &format!("the refusal of {what}"), &before).await?;
                not_checked(&format!("{what}: {} {error}", error.sqlstate()));
                continue;
            }
        };
        let rows = some_rows(1);
        write(&mut writer, batch(&target, &rows)?).await.map_err(|message| format!("{what}: {message}"))?;
        commit(writer, &key).await.map_err(|message| format!("{what}: {message}"))?;
        sees(harness, &what, &name, &as_rows(&rows)).await?;
        let found = recovered(sink.as_ref(), &key, &name).await?;
        ensure!(found.is_some(), "{what}: no position is remembered");
        clean_twice(sink.as_ref(), &key, &name).await?;
        // The next case has other columns, and the same table where the case is about columns.
        sink.forget(&key.gateway_id, Some(key.job_id), std::slice::from_ref(&name))
            .await
            .map_err(said(format!("dropping {what}")))?;
        ensure!(harness.rows(&name).await.is_none(), "{what} is there after it was dropped");
    }
    Ok(())
}

async fn must_exist(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let before = harness.leftovers().await;
    let table = harness.name("suite_must_exist");
    let target = TableTarget { creation: TableCreation::MustExist, ..target(&table, WriteMode::Append) };
    match sink.plan_table(&target).await {
        Ok(plan) => ensure!(!plan.misfits.is_empty(), "a table that must exist and does not has no misfit"),
        Err(error) => ensure!(error.sqlstate() != "XX000", "planning: {} {error}", error.sqlstate()),
    }
    let outcome = open_with(sink.as_ref(), &target, &fresh_key(), false).await;
    match outcome {
        Ok(_) => return Err("a table that must exist and does not is opened".to_owned()),
        Err(error) => ensure!(error.sqlstate() != "XX000", "opening: {} {error}", error.sqlstate()),
    }
    ensure!(harness.rows(&table).await.is_none(), "the table was made");
    left_as(harness, "a refused write", &before).await
}

async fn forget(harness: &dyn SinkHarness) -> Outcome {
    let sink = harness.sink();
    let table = harness.name("suite_forget");
    let target = target(&table, WriteMode::Append);
    let rows = as_rows(&some_rows(1));
    let key = load(sink.as_ref(), &target, &some_rows(1)).await?;
    let other_job = key.job_id + 5_000_000;
    let forget = async |gateway: &str, job: Option<i64>, tables: &[TableName]| {
        sink.forget(gateway, job, tables).await.map_err(said("forgetting"))
    };
    forget(&key.gateway_id, Some(other_job), &[]).await?;
    forget("a gateway that never was", None, &[]).await?;
    let found = recovered(sink.as_ref(), &key, &table).await?;
    ensure!(found.is_some(), "another job's positions are forgotten too");
    for _ in 0..2 {
        forget(&key.gateway_id, Some(key.job_id), &[]).await?;
        not_committed(sink.as_ref(), "after the job is forgotten", &key, &table).await?;
        sees(harness, "after the job is forgotten", &table, &rows).await?;
    }
    let key = load(sink.as_ref(), &target, &some_rows(30)).await?;
    for _ in 0..2 {
        forget(&key.gateway_id, None, std::slice::from_ref(&table)).await?;
        not_committed(sink.as_ref(), "after the gateway is forgotten", &key, &table).await?;
        ensure!(harness.rows(&table).await.is_none(), "the table is there after it was dropped");
    }
    // It can be made anew.
    load(sink.as_ref(), &target, &some_rows(1)).await?;
    sees(harness, "made anew", &table, &rows).await
}
