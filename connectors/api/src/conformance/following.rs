//! What a source promises of its changes: they continue the snapshot, in order, and a stream that is
//! opened at a commit goes on after it.

use super::source::{SourceHarness, count, goal, largest, not_checked, open, project, read_all};
use super::{Outcome, Row, ensure, rows_of, rows_of_all, said, same_rows};
use crate::changes::{ChangeBatch, ChangeEvent, ChangeOp, ChangeStream};
use crate::schema::TableSchema;
use crate::source::TableRead;
use arrow::array::RecordBatch;
use catalog::{Position, TableName};
use futures::StreamExt;
use std::cmp::Ordering as Order;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest wait for an event that must come.
const EVENT_TIME_MAX: Duration = Duration::from_secs(30);
/// How long nothing must come when everything has come.
const QUIET_TIME: Duration = Duration::from_millis(500);
/// Changes made for the check of a change stream.
const CHANGE_COUNT: usize = 4;

/// The order of two positions of one lineage; None where their notation has no total order.
fn order(a: &Position, b: &Position) -> Option<Order> {
    if a.lineage() != b.lineage() {
        return None;
    }
    match (a, b) {
        (Position::Lsn { lsn: a, .. }, Position::Lsn { lsn: b, .. }) => Some(a.cmp(b)),
        (Position::FileOffset { file: f, offset: a, .. }, Position::FileOffset { file: g, offset: b, .. }) => {
            Some((f.len(), f, a).cmp(&(g.len(), g, b)))
        }
        (Position::Offsets { offsets: a, .. }, Position::Offsets { offsets: b, .. }) => {
            let is_behind =
                a.iter().any(|(partition, offset)| b.iter().any(|(q, other)| q == partition && other < offset));
            Some(if a == b {
                Order::Equal
            } else if is_behind {
                Order::Greater
            } else {
                Order::Less
            })
        }
        _ => None,
    }
}

/// A table that changes are applied to, strictly: what does not fit was lost or came twice.
#[derive(Clone)]
struct Model {
    name: TableName,
    columns: Vec<String>,
    key: Vec<String>,
    rows: BTreeMap<Row, Row>,
}

impl Model {
    fn new(schema: &TableSchema, rows: &[Row]) -> Self {
        let mut model = Self {
            name: schema.name.clone(),
            columns: schema.columns.iter().map(|column| column.name.clone()).collect(),
            key: schema.row_key().to_vec(),
            rows: BTreeMap::new(),
        };
        for row in rows {
            model.rows.insert(model.key_of(row), row.clone());
        }
        model
    }
    fn key_of(&self, row: &Row) -> Row {
        self.key.iter().map(|name| self.columns.iter().position(|c| c == name).and_then(|at| row[at].clone())).collect()
    }
    fn all(&self) -> Vec<Row> {
        self.rows.values().cloned().collect()
    }
    fn apply(&mut self, change: &ChangeBatch) -> Outcome {
        ensure!(change.table == self.name, "a change of table {} arrives", change.table);
        ensure!(
            change.ops.len() == change.rows.num_rows(),
            "{} operations for {} rows",
            change.ops.len(),
            change.rows.num_rows()
        );
        let places = |batch: &RecordBatch, names: &[String]| -> Outcome<Vec<usize>> {
            let place =
                |name: &String| batch.schema().index_of(name).map_err(|_| format!("column {name} does not arrive"));
            names.iter().map(place).collect()
        };
        let at = places(&change.rows, &self.columns)?;
        let rows = rows_of(&change.rows);
        let old_keys = match &change.old_keys {
            Some(batch) => {
                ensure!(batch.num_rows() == rows.len(), "{} old keys for {} rows", batch.num_rows(), rows.len());
                Some(project(&rows_of(batch), &places(batch, &self.key)?))
            }
            None => None,
        };
        for (index, (op, arriving)) in change.ops.iter().zip(&rows).enumerate() {
            let mut row: Row = at.iter().map(|&at| arriving[at].clone()).collect();
            let old_key =
                old_keys.as_ref().map(|keys| keys[index].clone()).filter(|key| key.iter().any(Option::is_some));
            let key = old_key.unwrap_or_else(|| self.key_of(&row));
            match op {
                ChangeOp::Insert => {
                    ensure!(!self.rows.contains_key(&key), "an insert of {key:?} arrives twice, or its delete is lost");
                    self.rows.insert(key, row);
                }
                ChangeOp::Update => {
                    let Some(old) = self.rows.remove(&key) else {
                        return Err(format!("an update of {key:?} arrives and that row is not there"));
                    };
                    if let Some(unchanged) = &change.unchanged {
                        for (column, &at) in at.iter().enumerate() {
                            if unchanged.get(index * arriving.len() + at).copied().unwrap_or(false) {
                                row[column] = old[column].clone();
                            }
                        }
                    }
                    self.rows.insert(self.key_of(&row), row);
                }
                ChangeOp::Delete => {
                    ensure!(self.rows.remove(&key).is_some(), "a delete of {key:?} arrives and that row is not there");
                }
            }
        }
        Ok(())
    }
}

/// Follows a stream until the model has the expected rows; answers each commit's position with the
/// model's state at it.
async fn follow(stream: &mut ChangeStream, model: &mut Model, expected: &[Row]) -> Outcome<Vec<(Position, Model)>> {
    let mut commits: Vec<(Position, Model)> = vec![];
    let mut is_open = false;
    loop {
        let event = match tokio::time::timeout(EVENT_TIME_MAX, stream.next()).await {
            Err(_) => {
                same_rows("when no more changes came", expected, &model.all())?;
                return Err("the last change was not committed".to_owned());
            }
            Ok(None) => return Err("the stream of changes ended".to_owned()),
            Ok(Some(event)) => event.map_err(said("following changes"))?,
        };
        match event {
            ChangeEvent::Begin { .. } => {
                ensure!(!is_open, "a transaction begins inside another");
                is_open = true;
            }
            ChangeEvent::Rows(batch) => {
                ensure!(is_open, "rows arrive outside a transaction");
                model.apply(&batch)?;
            }
            ChangeEvent::SchemaChange { .. } => {}
            ChangeEvent::Truncate { tables } => {
                ensure!(is_open, "a truncation arrives outside a transaction");
                if tables.contains(&model.name) {
                    model.rows.clear();
                }
            }
            ChangeEvent::Commit { position } => {
                ensure!(is_open, "a commit arrives outside a transaction");
                is_open = false;
                if let Some((last, _)) = commits.last() {
                    ensure!(*last != position, "two commits have position {position}");
                    ensure!(
                        order(last, &position).is_none_or(Order::is_lt),
                        "a commit at {position} follows one at {last}"
                    );
                }
                commits.push((position, model.clone()));
                if same_rows("", expected, &model.all()).is_ok() {
                    return Ok(commits);
                }
            }
            ChangeEvent::Heartbeat { position, .. } => {
                if let Some((last, _)) = commits.last() {
                    ensure!(
                        order(last, &position).is_none_or(Order::is_le),
                        "a heartbeat at {position} follows {last}"
                    );
                }
            }
        }
    }
}

pub(super) async fn changes(harness: &dyn SourceHarness) -> Outcome {
    let source = harness.source();
    let tables = harness.tables().await;
    let known = tables.iter().filter(|table| !table.schema.row_key().is_empty()).max_by_key(|table| count(table));
    let table = known.unwrap_or(largest(&tables)?);
    let snapshot = open(&source, std::slice::from_ref(table)).await?;
    let from = snapshot.position().clone();
    let read = TableRead::all(table.schema.clone());
    let before = rows_of_all(&read_all(source.as_ref(), snapshot.as_ref(), &read, goal(1)).await?);
    drop(snapshot);
    let followed = [table.schema.clone()];
    let mut stream = match source.changes(&followed, &from).await {
        Ok(stream) => stream,
        Err(error) => {
            ensure!(error.sqlstate() == "0A000", "changes() answers {} {error}", error.sqlstate());
            return Ok(());
        }
    };
    if table.schema.row_key().is_empty() {
        not_checked("changes: no table has a key");
        return Ok(());
    }
    let mut expected = before.clone();
    for _ in 0..CHANGE_COUNT {
        let Some(rows) = harness.change(table).await else {
            not_checked("changes: no table can be changed");
            return Ok(());
        };
        expected = rows;
    }
    let mut model = Model::new(&table.schema, &before);
    let commits = follow(&mut stream, &mut model, &expected).await?;
    drop(stream);
    // From every commit on, exactly the rest comes again.
    let positions: Vec<Position> = commits.iter().map(|(position, _)| position.clone()).collect();
    for (index, (position, state)) in commits.iter().enumerate() {
        let mut stream = source.changes(&followed, position).await.map_err(said("resuming"))?;
        let rest = &positions[index + 1..];
        if !rest.is_empty() {
            let again = follow(&mut stream, &mut state.clone(), &expected)
                .await
                .map_err(|message| format!("resumed from {position}: {message}"))?;
            let again: Vec<Position> = again.into_iter().map(|(position, _)| position).collect();
            ensure!(again == rest, "resumed from {position}, commits are at {again:?} instead of {rest:?}");
            continue;
        }
        while let Ok(event) = tokio::time::timeout(QUIET_TIME, stream.next()).await {
            match event {
                Some(Ok(ChangeEvent::Heartbeat { .. } | ChangeEvent::SchemaChange { .. })) => {}
                Some(Ok(event)) => return Err(format!("resumed from the last commit, {event:?} arrives")),
                Some(Err(error)) => return Err(said("resumed from the last commit")(error)),
                None => return Err("resumed from the last commit, the stream ends".to_owned()),
            }
        }
    }
    for position in &positions {
        source.acknowledge(position).await.map_err(said("acknowledging"))?;
    }
    Ok(())
}
