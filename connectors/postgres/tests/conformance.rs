//! The contract's suite on a real server. What somebody else sees is asked of the server by a session
//! of the test's own.

use crate::harness::{Database, describe, source};
use async_trait::async_trait;
use catalog::{TableName, WriteMode, quote_ident, quote_literal};
use connector_api::conformance::Row;
use connector_api::conformance::sink::{BadRows, SinkHarness, target};
use connector_api::conformance::source::{KnownRows, KnownTable, SourceHarness};
use connector_api::{Connector, Sink, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_connector_postgres::PostgresConnector;

/// A table of many pages with a key, dead rows and rows that moved; values that are hard to carry; a
/// partitioned table; and tables without rows and without a key.
const TABLES: &str = "
CREATE TABLE many (id bigint PRIMARY KEY, name text, amount int);
INSERT INTO many SELECT g, CASE WHEN g % 5 > 0 THEN 'name ' || g END, g % 1000 FROM generate_series(1, 5000) g;
DELETE FROM many WHERE id % 7 = 0;
UPDATE many SET name = repeat('long ', 20) WHERE id % 11 = 0;
ANALYZE many;
CREATE TABLE \"Hard values\" (\"Id\" bigint, \"sel\"\"ect\" text, small smallint, word varchar(20));
INSERT INTO \"Hard values\" VALUES (-9223372036854775808, NULL, NULL, ''), (9223372036854775807, '', -32768, ' x '),
  (0, E'a,b\\t\\\\N\\n\\r\\\\.', 32767, 'Ann'), (0, E'a,b\\t\\\\N\\n\\r\\\\.', 32767, 'ann'), (NULL, 'żółć 🦀', 0, NULL);
CREATE TABLE parts (id bigint NOT NULL, name text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (1000) TO (1000000);
INSERT INTO parts SELECT g, 'p' || g FROM generate_series(1, 1500) g;
CREATE TABLE none (id bigint PRIMARY KEY, name text);
CREATE TABLE unkeyed (id bigint, name text);
INSERT INTO unkeyed SELECT g % 10, 'again' FROM generate_series(1, 100) g;
";

struct Server {
    database: Database,
    changes: AtomicU64,
}

impl Server {
    async fn values(&self, table: &TableName) -> Vec<Row> {
        self.database.text(&format!("SELECT * FROM {table}")).await
    }
}

#[async_trait]
impl SourceHarness for Server {
    fn source(&self) -> Arc<dyn Source> {
        source(&self.database.config)
    }
    async fn tables(&self) -> Vec<KnownTable> {
        let mut tables = vec![];
        for table in ["many", "Hard values", "parts", "none", "unkeyed"] {
            let schema = describe(&self.database.config, &format!("public.{table}")).await;
            let rows = KnownRows::Values(self.values(&schema.name).await);
            tables.push(KnownTable { schema, rows });
        }
        tables
    }
    async fn change(&self, table: &KnownTable) -> Option<Vec<Row>> {
        let name = &table.schema.name;
        let id = quote_ident(&table.schema.columns[0].name);
        let text = quote_ident(&table.schema.columns[1].name);
        let number = 10_000 * (1 + self.changes.fetch_add(1, Ordering::Relaxed));
        let statements = format!(
            "BEGIN;
             INSERT INTO {name} ({id}, {text}) SELECT g, 'new' FROM generate_series({number}, {number} + 200) g;
             UPDATE {name} SET {text} = 'changed {number}' WHERE {id} % 13 = 1;
             UPDATE {name} SET {id} = {number} + 500 WHERE {id} = {number} + 1;
             DELETE FROM {name} WHERE {id} % 17 = 3;
             COMMIT;
             DELETE FROM {name} WHERE {id} = {number} + 2;"
        );
        self.database.client.batch_execute(&statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
        Some(self.values(name).await)
    }
}

#[async_trait]
impl SinkHarness for Server {
    fn sink(&self) -> Arc<dyn Sink> {
        PostgresConnector.sink(&self.database.config).expect("a sink")
    }
    fn name(&self, table: &str) -> TableName {
        TableName::new("The suite", table)
    }
    async fn rows(&self, table: &TableName) -> Option<Vec<Row>> {
        let exists = format!("SELECT to_regclass({}) IS NOT NULL", quote_literal(&table.quoted()));
        if self.database.one(&exists).await == "f" {
            return None;
        }
        Some(self.values(table).await)
    }
    /// Relations that are neither the suite's nor the sink's memory, locks of writes, and transactions
    /// that stay open.
    async fn leftovers(&self) -> Vec<String> {
        // A session ends a moment after its connection is closed.
        self.database
            .text(
                "SELECT 'relation ' || oid::regclass FROM pg_class WHERE relkind IN ('r', 'v', 'S', 'm', 'p')
                   AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                   AND relnamespace::regnamespace::text NOT IN ('pg_toast', '\"The suite\"', 'tidegate', 'public')
                 UNION ALL SELECT 'transaction of session ' || pid FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'",
            )
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect()
    }
    async fn bad_rows(&self, table: &str) -> Vec<BadRows> {
        let mut bad = vec![];
        // What the encoder finds, what the server finds while it reads a row, and what a constraint finds.
        let cases = [
            ("text with U+0000", "zero", "", "text", Some("a\0b")),
            (
                "text that is too long",
                "long",
                "",
                "varchar(40)",
                Some("long long long long long long long long long long"),
            ),
            ("a NULL where none may be", "null", "", "text", None),
            ("a row that a check refuses", "check", ", CHECK (name <> 'bad')", "text", Some("bad")),
        ];
        for (what, suffix, constraint, data_type, bad_name) in cases {
            let name = self.name(&format!("{table}_{suffix}"));
            if bad_name.is_none() {
                // The suite's good rows hold NULL too, so this column takes one of them only.
                let statement = format!(
                    "CREATE SCHEMA IF NOT EXISTS {}; CREATE TABLE {name} (id bigint, name text, \
                     CHECK (name IS NOT NULL OR id < 100 OR id >= 200))",
                    quote_ident(&name.schema)
                );
                self.database.client.batch_execute(&statement).await.expect("a table of the test");
            } else {
                let statement = format!(
                    "CREATE SCHEMA IF NOT EXISTS {}; CREATE TABLE {name} (id bigint, name {data_type}{constraint})",
                    quote_ident(&name.schema)
                );
                self.database.client.batch_execute(&statement).await.expect("a table of the test");
            }
            let target = target(&name, WriteMode::Append);
            bad.push(BadRows { what, target, bad_name: bad_name.map(str::to_owned) });
        }
        bad
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_the_contract_of_a_source() {
    let Some(database) = Database::new(TABLES).await else { return };
    let server = Server { database, changes: AtomicU64::new(0) };
    connector_api::conformance::source::run(&server).await;
    server.database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_the_contract_of_a_sink() {
    let Some(database) = Database::new("").await else { return };
    let server = Server { database, changes: AtomicU64::new(0) };
    connector_api::conformance::sink::run(&server).await;
    server.database.drop().await;
}
