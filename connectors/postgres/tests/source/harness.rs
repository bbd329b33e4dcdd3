//! A database of its own for each test, and short ways to the connector.

use arrow::record_batch::RecordBatch;
use catalog::TableName;
use connector_api::{
    ConfigValue, Connector, DiscoverRequest, Snapshot, SnapshotRequest, Source, SourceConfig, Split, SplitGoal,
    TableRead, TableSchema,
};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tidegate_connector_postgres::PostgresConnector;
use tokio_postgres::NoTls;

static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A fresh database on the test server.
pub struct Database {
    pub config: SourceConfig,
    pub client: tokio_postgres::Client,
    server: tokio_postgres::Config,
    name: String,
}

/// The server's address, or None when there is none and that is allowed.
pub fn server() -> Option<tokio_postgres::Config> {
    match std::env::var("TIDEGATE_TEST_PG") {
        Ok(text) if !text.trim().is_empty() => Some(text.parse().expect("TIDEGATE_TEST_PG is a connection string")),
        _ if std::env::var("TIDEGATE_REQUIRE_SERVERS").as_deref() == Ok("1") => {
            panic!("TIDEGATE_REQUIRE_SERVERS is set and TIDEGATE_TEST_PG names no server")
        }
        _ => {
            eprintln!("SKIPPED: TIDEGATE_TEST_PG names no server");
            None
        }
    }
}

pub async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(NoTls).await.expect("the test server answers");
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

impl Database {
    /// Makes the database and runs `setup` in it; None when tests without a server are skipped.
    pub async fn new(setup: &str) -> Option<Self> {
        let server = server()?;
        let name = format!("tg_src_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
            .await
            .expect("database");
        let mut own = server.clone();
        own.dbname(&name);
        let client = connect(&own).await;
        client.batch_execute(setup).await.unwrap_or_else(|error| panic!("setup: {error:?}"));
        let config = config(&own, own.get_user().unwrap_or("postgres"), &name);
        Some(Self { config, client, server, name })
    }

    /// The configuration for another role (or other changes).
    pub fn with(&self, changes: &[(&str, &str)]) -> SourceConfig {
        let mut config = self.config.clone();
        let mut options = (*config.options).clone();
        for (name, value) in changes {
            options.insert((*name).to_owned(), ConfigValue::Text((*value).to_owned()));
        }
        config.options = Arc::new(options);
        config
    }

    pub async fn describe(&self, table: &str) -> Arc<TableSchema> {
        describe(&self.config, table).await
    }

    pub async fn text(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let messages = self.client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect()
    }

    pub async fn one(&self, query: &str) -> String {
        self.text(query).await[0][0].clone().expect("a value")
    }

    /// Drops the database; a test that fails leaves it for a look.
    pub async fn drop(self) {
        let Self { client, server, name, .. } = self;
        drop(client);
        let admin = connect(&server).await;
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("drop database");
    }
}

pub fn config(server: &tokio_postgres::Config, user: &str, database: &str) -> SourceConfig {
    let host = match &server.get_hosts()[0] {
        tokio_postgres::config::Host::Tcp(host) => host.clone(),
        tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
    };
    let port = server.get_ports().first().copied().unwrap_or(5432);
    let options: BTreeMap<String, ConfigValue> = [
        ("host", host),
        ("port", port.to_string()),
        ("user", user.to_owned()),
        ("database", database.to_owned()),
        ("tls", "prefer".to_owned()),
        ("connect_timeout", "10s".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), ConfigValue::Text(value)))
    .collect();
    SourceConfig {
        name: "crm".to_owned(),
        source_id: 1,
        source_type: "postgres".to_owned(),
        options: Arc::new(options),
        secret_labels: Arc::default(),
    }
}

pub fn name(text: &str) -> TableName {
    let (schema, table) = text.split_once('.').expect("schema.table");
    TableName::new(schema, table)
}

pub async fn describe(config: &SourceConfig, table: &str) -> Arc<TableSchema> {
    let request = DiscoverRequest::Describe { tables: vec![name(table)] };
    let mut tables = PostgresConnector.discover(config, &request).await.expect("describe");
    Arc::new(tables.pop().unwrap_or_else(|| panic!("{table} is there")))
}

pub fn source(config: &SourceConfig) -> Arc<dyn Source> {
    PostgresConnector.source(config).expect("source")
}

pub async fn snapshot(
    config: &SourceConfig,
    tables: &[&Arc<TableSchema>],
    connections_max: usize,
) -> Arc<dyn Snapshot> {
    let request = SnapshotRequest { tables: tables.iter().map(|t| (*t).clone()).collect(), connections_max };
    source(config).open_snapshot(request).await.expect("snapshot")
}

/// Many small splits.
pub const FINE: SplitGoal = SplitGoal { splits_max: 7, rows_min: 100 };
/// One split.
pub const ONE: SplitGoal = SplitGoal { splits_max: 1, rows_min: 100 };

/// All splits read at once.
pub async fn read_splits(snapshot: &Arc<dyn Snapshot>, read: &TableRead, splits: &[Split]) -> Vec<RecordBatch> {
    let reads = splits.iter().map(|split| async move {
        snapshot.read(read, split).await.expect("read").try_collect::<Vec<_>>().await.expect("batches")
    });
    futures::future::join_all(reads).await.into_iter().flatten().collect()
}

/// All rows of a table through a fresh snapshot.
pub async fn read_all(config: &SourceConfig, table: &Arc<TableSchema>, goal: SplitGoal) -> (Vec<RecordBatch>, usize) {
    let snapshot = snapshot(config, &[table], 4).await;
    let read = TableRead::all(table.clone());
    let splits = snapshot.splits(&read, goal).await.expect("splits");
    let batches = read_splits(&snapshot, &read, &splits).await;
    for batch in &batches {
        assert_eq!(batch.schema(), read.schema(source(config).as_ref()));
    }
    assert_eq!(read.progress.rows.load(Ordering::Relaxed) as usize, rows(&batches));
    (batches, splits.len())
}

pub fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// A column of all batches as text, by Arrow's own display.
pub fn column(batches: &[RecordBatch], name: &str) -> Vec<Option<String>> {
    let mut values = vec![];
    for batch in batches {
        let array = batch.column_by_name(name).unwrap_or_else(|| panic!("column {name}"));
        for row in 0..array.len() {
            values.push(
                (!array.is_null(row)).then(|| arrow::util::display::array_value_to_string(array, row).expect("text")),
            );
        }
    }
    values
}

pub fn ints(batches: &[RecordBatch], name: &str) -> Vec<i64> {
    let mut values: Vec<i64> =
        column(batches, name).into_iter().map(|v| v.expect("not null").parse().expect("int")).collect();
    values.sort_unstable();
    values
}
