//! What the tests share: a source on a folder, writing a table, reading it back.

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use catalog::{Lineage, Position, Result, TableName, WriteMode};
use connector_api::{
    CommitKey, CommitSummary, ConfigValue, Connector, DiscoverRequest, Sink, SnapshotRequest, Source, SourceConfig,
    SplitGoal, TableCreation, TableRead, TableSchema, TableTarget, TableWrite, TableWriter, TargetColumn, WriteInput,
};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tidegate_connector_files::FilesConnector;

pub fn config(root: &Path, options: &[(&str, &str)]) -> SourceConfig {
    let mut map = BTreeMap::from([("path".to_owned(), ConfigValue::Text(root.display().to_string()))]);
    map.extend(options.iter().map(|(k, v)| ((*k).to_owned(), ConfigValue::Text((*v).to_owned()))));
    SourceConfig {
        name: "lake".to_owned(),
        source_id: 1,
        source_type: "files".to_owned(),
        options: Arc::new(map),
        secret_labels: Arc::default(),
    }
}

pub fn sink(config: &SourceConfig) -> Arc<dyn Sink> {
    FilesConnector.sink(config).unwrap()
}

pub fn source(config: &SourceConfig) -> Arc<dyn Source> {
    FilesConnector.source(config).unwrap()
}

pub fn name(table: &str) -> TableName {
    TableName::new("files", table)
}

pub fn key(run_id: i64) -> CommitKey {
    CommitKey { gateway_id: "3f0c-test".to_owned(), job_id: 1, mapping_id: 2, run_id }
}

pub fn position(run: i64) -> Position {
    Position::Snapshot { id: format!("run-{run}"), lineage: Lineage::default() }
}

pub fn target(name: &TableName, schema: &Schema, mode: WriteMode) -> TableTarget {
    let columns = schema.fields().iter().map(|field| TargetColumn {
        name: field.name().clone(),
        field: field.as_ref().clone(),
        source_type: None,
        source_family: None,
        is_nullable: field.is_nullable(),
        comment: None,
    });
    TableTarget {
        name: name.clone(),
        columns: columns.collect(),
        key: vec![],
        key_is_primary: false,
        mode,
        creation: TableCreation::Auto,
        options: BTreeMap::new(),
        comment: None,
    }
}

/// A mapping is one table.
pub fn key_of(table: &TableName, run_id: i64) -> CommitKey {
    CommitKey { mapping_id: table.table.bytes().map(i64::from).sum(), ..key(run_id) }
}

pub async fn open(sink: &dyn Sink, target: TableTarget, schema: SchemaRef, run: i64) -> Result<Box<dyn TableWriter>> {
    open_as(sink, target, schema, key(run)).await
}

pub async fn open_as(
    sink: &dyn Sink,
    target: TableTarget,
    schema: SchemaRef,
    commit_key: CommitKey,
) -> Result<Box<dyn TableWriter>> {
    let plan = sink.plan_table(&target).await?;
    let write = TableWrite {
        target,
        plan,
        input: WriteInput::Arrow(schema),
        commit_key,
        rows_estimate: None,
        tolerates_bad_rows: false,
    };
    sink.open(write).await
}

pub async fn write(
    config: &SourceConfig,
    name: &TableName,
    mode: WriteMode,
    run: i64,
    batches: &[RecordBatch],
) -> Result<CommitSummary> {
    let schema = batches[0].schema();
    let mut writer = open(sink(config).as_ref(), target(name, &schema, mode), schema, run).await?;
    for batch in batches {
        writer.write(batch.clone()).await?;
    }
    writer.commit(&position(run)).await
}

pub async fn describe(config: &SourceConfig, name: &TableName) -> Result<Option<Arc<TableSchema>>> {
    let request = DiscoverRequest::Describe { tables: vec![name.clone()] };
    Ok(FilesConnector.discover(config, &request).await?.pop().map(Arc::new))
}

pub async fn read_with(config: &SourceConfig, read: &TableRead, goal: SplitGoal) -> Result<Vec<RecordBatch>> {
    let source = source(config);
    let request = SnapshotRequest { tables: vec![read.table.clone()], connections_max: 4 };
    let snapshot = source.open_snapshot(request).await?;
    let mut batches = vec![];
    for split in snapshot.splits(read, goal).await? {
        let mut stream = snapshot.read(read, &split).await?;
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            assert_eq!(batch.schema(), read.schema(source.as_ref()));
            batches.push(batch);
        }
    }
    Ok(batches)
}

pub const ONE_SPLIT: SplitGoal = SplitGoal { splits_max: 1, rows_min: 1 };

pub async fn read_all(config: &SourceConfig, name: &TableName) -> Result<RecordBatch> {
    let table = describe(config, name).await?.expect("the table is there");
    let schema = table.arrow_schema();
    let batches = read_with(config, &TableRead::all(table), ONE_SPLIT).await?;
    Ok(arrow::compute::concat_batches(&schema, &batches).unwrap())
}

pub fn numbers(from: i64, count: i64, version: &str) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("version", DataType::Utf8, true),
    ]));
    let ids = Int64Array::from_iter_values(from..from + count);
    let versions = StringArray::from_iter_values((0..count).map(|_| version));
    RecordBatch::try_new(schema, vec![Arc::new(ids), Arc::new(versions)]).unwrap()
}

/// Everything below a folder, hidden things too, as relative paths.
pub fn everything(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
            if entry.file_type().unwrap().is_dir() {
                walk(root, &entry.path(), found);
            }
        }
    }
    let mut found = vec![];
    walk(root, root, &mut found);
    found.sort();
    found
}
