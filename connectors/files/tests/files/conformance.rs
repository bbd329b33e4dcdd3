//! The contract's suite, on each format. What somebody else sees of a table is read through a new
//! source; that the sink leaves nothing else is seen in the folder itself.

use crate::support::{config, describe, everything, sink, source, write};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use catalog::{TableName, WriteMode};
use connector_api::conformance::sink::{BadRows, SinkHarness};
use connector_api::conformance::source::{KnownRows, KnownTable, SourceHarness};
use connector_api::conformance::{Row, rows_of, rows_of_all};
use connector_api::{Sink, SnapshotRequest, Source, SourceConfig, SplitGoal, TableRead};
use futures::TryStreamExt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use tempfile::TempDir;

/// Small files and row groups, so that a table of some thousand rows has several.
const OPTIONS: [(&str, &str); 2] = [("file_rows_max", "700"), ("row_group_rows", "250")];

struct Folder {
    root: TempDir,
    config: SourceConfig,
    /// The tables of the reading side: name and rows.
    tables: Mutex<Vec<(TableName, Vec<Row>)>>,
    runs: AtomicI64,
}

impl Folder {
    fn new(format: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options: Vec<(&str, &str)> = OPTIONS
            .into_iter()
            .filter(|(name, _)| format == "parquet" || *name != "row_group_rows")
            .chain([("format", format)])
            .collect();
        let config = config(root.path(), &options);
        Self { root, config, tables: Mutex::default(), runs: AtomicI64::new(1) }
    }
    /// Replaces a table and notes what it has.
    async fn fill(&self, name: &TableName, batch: RecordBatch) -> Vec<Row> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        write(&self.config, name, WriteMode::Overwrite, run, std::slice::from_ref(&batch)).await.unwrap();
        let rows = rows_of(&batch);
        let mut tables = self.tables.lock().unwrap();
        tables.retain(|(other, _)| other != name);
        tables.push((name.clone(), rows.clone()));
        rows
    }
}

fn batch(rows: Vec<(i64, Option<String>)>) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let names = StringArray::from_iter(rows.into_iter().map(|row| row.1));
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

#[async_trait]
impl SourceHarness for Folder {
    fn source(&self) -> Arc<dyn Source> {
        source(&self.config)
    }
    async fn tables(&self) -> Vec<KnownTable> {
        let tables = self.tables.lock().unwrap().clone();
        let mut known = vec![];
        for (name, rows) in tables {
            let schema = describe(&self.config, &name).await.unwrap().expect("the table is there");
            known.push(KnownTable { schema, rows: KnownRows::Values(rows) });
        }
        known
    }
    async fn change(&self, table: &KnownTable) -> Option<Vec<Row>> {
        let first = 100_000 + self.runs.load(Ordering::Relaxed);
        let rows = (first..first + 900).map(|id| (id, (id % 2 == 0).then(|| format!("changed {id}"))));
        Some(self.fill(&table.schema.name, batch(rows.collect())).await)
    }
}

#[async_trait]
impl SinkHarness for Folder {
    fn sink(&self) -> Arc<dyn Sink> {
        sink(&self.config)
    }
    fn name(&self, table: &str) -> TableName {
        TableName::new("suite", table)
    }
    async fn rows(&self, table: &TableName) -> Option<Vec<Row>> {
        let schema = describe(&self.config, table).await.unwrap()?;
        let source = source(&self.config);
        let request = SnapshotRequest { tables: vec![schema.clone()], connections_max: 1 };
        let snapshot = source.open_snapshot(request).await.unwrap();
        let read = TableRead::all(schema);
        let mut batches = vec![];
        for split in snapshot.splits(&read, SplitGoal { splits_max: 1, rows_min: 1 }).await.unwrap() {
            batches.extend(snapshot.read(&read, &split).await.unwrap().try_collect::<Vec<_>>().await.unwrap());
        }
        Some(rows_of_all(&batches))
    }
    async fn leftovers(&self) -> Vec<String> {
        everything(self.root.path()).into_iter().filter(|path| !path.ends_with(".commit") && !is_data(path)).collect()
    }
    async fn bad_rows(&self, _table: &str) -> Vec<BadRows> {
        // Files hold any text.
        vec![]
    }
}

/// A data file, or a folder that tables and their records stay in.
fn is_data(path: &str) -> bool {
    let is_hidden = path.starts_with(".tidegate");
    !is_hidden || matches!(path, ".tidegate" | ".tidegate/commits" | ".tidegate/schemas") || path.ends_with(".schema")
}

async fn source_suite(format: &str) {
    let folder = Folder::new(format);
    let many = (1..=3_000).map(|id| (id, (id % 5 != 0).then(|| format!("name {id}")))).collect();
    let few = vec![
        (i64::MIN, None),
        (i64::MAX, Some(String::new())),
        (0, Some("a,b\n\"c\" \\N".to_owned())),
        (0, Some("a,b\n\"c\" \\N".to_owned())),
        (7, Some("żółć 🦀".to_owned())),
    ];
    folder.fill(&TableName::new("suite", "many"), batch(many)).await;
    folder.fill(&TableName::new("files", "few"), batch(few)).await;
    folder.fill(&TableName::new("suite", "none"), batch(vec![])).await;
    connector_api::conformance::source::run(&folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files_keep_the_contract_of_a_source() {
    source_suite("parquet").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_files_keep_the_contract_of_a_source() {
    source_suite("csv").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_files_keep_the_contract_of_a_source() {
    source_suite("json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_files_keep_the_contract_of_a_sink() {
    connector_api::conformance::sink::run(&Folder::new("parquet")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_files_keep_the_contract_of_a_sink() {
    connector_api::conformance::sink::run(&Folder::new("csv")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_files_keep_the_contract_of_a_sink() {
    connector_api::conformance::sink::run(&Folder::new("json")).await;
}
