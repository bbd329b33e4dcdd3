//! The system in memory as the suite sees it.

use arrow::datatypes::DataType;
use async_trait::async_trait;
use catalog::TableName;
use connector_api::conformance::Row;
use connector_api::conformance::memory::{MemorySystem, RowChange};
use connector_api::conformance::sink::{BadRows, SinkHarness, target};
use connector_api::conformance::source::{KnownRows, KnownTable, SourceHarness};
use connector_api::{Sink, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub struct MemoryHarness {
    system: MemorySystem,
    source: Arc<dyn Source>,
    sink: Arc<dyn Sink>,
    changes: AtomicU64,
}

impl MemoryHarness {
    pub fn of_source(system: &MemorySystem, source: Arc<dyn Source>) -> Self {
        Self { system: system.clone(), source, sink: system.sink(), changes: AtomicU64::new(0) }
    }
    pub fn of_sink(system: &MemorySystem, sink: Arc<dyn Sink>) -> Self {
        Self { system: system.clone(), source: system.source(), sink, changes: AtomicU64::new(0) }
    }
}

pub fn name(table: &str) -> TableName {
    TableName::new("main", table)
}

pub fn row(id: u64, text: Option<&str>) -> Row {
    vec![Some(id.to_string()), text.map(str::to_owned)]
}

/// A table of some thousand rows, one without a key and with NULLs, and an empty one.
pub fn filled() -> MemorySystem {
    let system = MemorySystem::new();
    let columns = [("id", DataType::Int64), ("name", DataType::Utf8)];
    let many = (1..=3_000).map(|id| row(id, (id % 5 != 0).then_some("x"))).collect();
    let few = vec![row(1, None), row(1, None), vec![None, Some("ż".to_owned())], row(u64::pow(2, 63) - 1, Some(""))];
    system.create(&name("many"), &columns, &["id"], many).expect("a table of rows that fit");
    system.create(&name("few"), &columns, &[], few).expect("a table of rows that fit");
    system.create(&name("none"), &columns, &["id"], vec![]).expect("a table without rows");
    system
}

#[async_trait]
impl SourceHarness for MemoryHarness {
    fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }
    async fn tables(&self) -> Vec<KnownTable> {
        ["many", "few", "none"]
            .into_iter()
            .map(|table| KnownTable {
                schema: self.system.schema(&name(table)).expect("the table is there"),
                rows: KnownRows::Values(self.system.rows(&name(table)).expect("the table is there")),
            })
            .collect()
    }
    async fn change(&self, table: &KnownTable) -> Option<Vec<Row>> {
        let name = &table.schema.name;
        if table.schema.primary_key.is_empty() {
            return None;
        }
        let number = 10_000 * (1 + self.changes.fetch_add(1, Ordering::Relaxed));
        let key = |row: &Row| vec![row[0].clone()];
        let rows = self.system.rows(name)?;
        let mut changes = vec![RowChange::Insert(row(number, Some("new")))];
        if let [first, second, third, ..] = rows.as_slice() {
            changes.push(RowChange::Update {
                key: key(first),
                row: vec![first[0].clone(), Some(format!("changed {number}"))],
            });
            changes.push(RowChange::Update { key: key(second), row: row(number + 1, None) });
            changes.push(RowChange::Delete { key: key(third) });
        }
        self.system.apply(name, changes).expect("changes of rows that are there");
        self.system.apply(name, vec![RowChange::Insert(row(number + 2, None))]).expect("a new row");
        self.system.rows(name)
    }
}

#[async_trait]
impl SinkHarness for MemoryHarness {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink.clone()
    }
    fn name(&self, table: &str) -> TableName {
        name(table)
    }
    async fn rows(&self, table: &TableName) -> Option<Vec<Row>> {
        self.system.rows(table)
    }
    async fn leftovers(&self) -> Vec<String> {
        self.system.open_writes()
    }
    async fn bad_rows(&self, table: &str) -> Vec<BadRows> {
        let target = target(&name(&format!("{table}_zero")), catalog::WriteMode::Append);
        vec![BadRows { what: "text with U+0000", target, bad_name: Some("a\0b".to_owned()) }]
    }
}
