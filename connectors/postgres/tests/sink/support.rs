//! What the tests of the sink share: a server with a schema of its own, and tables, columns and rows.

use arrow::array::*;
use arrow::datatypes::*;
use catalog::{Lineage, Position, TableName, WriteMode};
use connector_api::{
    CommitKey, ConfigValue, Connector, Sink, SourceConfig, TYPE_KEY, TableCreation, TablePlan, TableTarget, TableWrite,
    TableWriter, TargetColumn, WriteInput,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tidegate_connector_postgres::PostgresConnector;

/// A server, a schema of the test's own, and the sink on it.
pub(crate) struct Server {
    pub(crate) admin: tokio_postgres::Client,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) config: tokio_postgres::Config,
    pub(crate) schema: String,
}

pub(crate) static RUNS: AtomicI64 = AtomicI64::new(1);

pub(crate) async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

pub(crate) fn source_config(config: &tokio_postgres::Config) -> SourceConfig {
    let host = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(host) => host.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    };
    let mut options = BTreeMap::new();
    let mut set = |name: &str, value: String| options.insert(name.to_owned(), ConfigValue::Text(value));
    set("host", host);
    set("port", config.get_ports().first().copied().unwrap_or(5432).to_string());
    set("user", config.get_user().unwrap_or("postgres").to_owned());
    set("database", config.get_dbname().unwrap_or("postgres").to_owned());
    set("tls", "disable".to_owned());
    SourceConfig {
        name: "target".into(),
        source_id: 1,
        source_type: "postgres".into(),
        options: Arc::new(options),
        secret_labels: Arc::default(),
    }
}

impl Server {
    /// The server with a fresh schema; None when no server is given.
    pub(crate) async fn start(schema: &str) -> Option<Self> {
        let Ok(url) = std::env::var("TIDEGATE_TEST_PG") else {
            assert!(std::env::var("TIDEGATE_REQUIRE_SERVERS").is_err(), "TIDEGATE_TEST_PG is not set");
            eprintln!("skipped: TIDEGATE_TEST_PG is not set");
            return None;
        };
        let config: tokio_postgres::Config = url.parse().expect("TIDEGATE_TEST_PG is a URL");
        let admin = connect(&config).await;
        let quoted = catalog::quote_ident(schema);
        admin.batch_execute(&format!("DROP SCHEMA IF EXISTS {quoted} CASCADE; CREATE SCHEMA {quoted}")).await.unwrap();
        let sink = PostgresConnector.sink(&source_config(&config)).unwrap();
        Some(Self { admin, sink, config, schema: schema.to_owned() })
    }
    pub(crate) async fn run(&self, statement: &str) {
        self.admin.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    pub(crate) async fn text(&self, query: &str) -> String {
        let row = self.admin.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
    }
    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.admin.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    }
    pub(crate) async fn plan(&self, target: &TableTarget) -> TablePlan {
        self.sink.plan_table(target).await.unwrap()
    }
    pub(crate) async fn open(&self, target: &TableTarget, key: &CommitKey) -> catalog::Result<Box<dyn TableWriter>> {
        let schema = Schema::new(target.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
        self.open_with(target, key, WriteInput::Arrow(Arc::new(schema)), false).await
    }
    pub(crate) async fn open_with(
        &self,
        target: &TableTarget,
        key: &CommitKey,
        input: WriteInput,
        tolerates_bad_rows: bool,
    ) -> catalog::Result<Box<dyn TableWriter>> {
        let plan = self.plan(target).await;
        let write = TableWrite {
            target: target.clone(),
            plan,
            input,
            commit_key: key.clone(),
            rows_estimate: None,
            tolerates_bad_rows,
        };
        self.sink.open(write).await
    }
    /// Loads one batch and commits it.
    pub(crate) async fn load(&self, target: &TableTarget, batch: RecordBatch) -> catalog::Result<u64> {
        let mut writer = self.open(target, &key()).await?;
        writer.write(batch).await?;
        Ok(writer.commit(&position(1)).await?.rows_written)
    }
}

/// This process, so that positions of earlier ones are not ours.
pub(crate) fn gateway() -> String {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    NAME.get_or_init(|| format!("test-{}-{}", std::process::id(), now())).clone()
}

pub(crate) fn key() -> CommitKey {
    let run_id = RUNS.fetch_add(1, Ordering::Relaxed);
    CommitKey { gateway_id: gateway(), job_id: 1_000 + run_id, mapping_id: 2, run_id }
}

pub(crate) fn position(lsn: u64) -> Position {
    Position::Lsn { lsn, lineage: Lineage::default() }
}

pub(crate) fn arrives(name: &str, data_type: DataType, source_type: Option<&str>) -> TargetColumn {
    let metadata: HashMap<_, _> = source_type.map(|text| (TYPE_KEY.to_owned(), text.to_owned())).into_iter().collect();
    TargetColumn {
        name: name.to_owned(),
        field: Field::new(name, data_type, true).with_metadata(metadata),
        source_type: source_type.map(str::to_owned),
        source_family: source_type.map(|_| "postgres".to_owned()),
        is_nullable: true,
        comment: None,
    }
}

pub(crate) fn target(
    schema: &str,
    table: &str,
    columns: Vec<TargetColumn>,
    key: &[&str],
    mode: WriteMode,
) -> TableTarget {
    TableTarget {
        name: TableName::new(schema, table),
        columns,
        key: key.iter().map(|column| (*column).to_owned()).collect(),
        key_is_primary: true,
        mode,
        creation: TableCreation::Auto,
        options: BTreeMap::new(),
        comment: None,
    }
}

pub(crate) fn people(schema: &str, table: &str, mode: WriteMode) -> TableTarget {
    let columns = vec![
        arrives("id", DataType::Int32, Some("integer")),
        arrives("name", DataType::Utf8, Some("character varying(40)")),
    ];
    target(schema, table, columns, &["id"], mode)
}

pub(crate) fn batch(target: &TableTarget, arrays: Vec<ArrayRef>) -> RecordBatch {
    let schema = Schema::new(target.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), arrays).unwrap()
}

pub(crate) fn rows(target: &TableTarget, rows: &[(i32, &str)]) -> RecordBatch {
    let ids = Int32Array::from_iter_values(rows.iter().map(|row| row.0));
    let names = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    batch(target, vec![Arc::new(ids), Arc::new(names)])
}

pub(crate) const ALL: &str = "select coalesce(string_agg(id || '=' || name, ',' order by id), '') from ";
