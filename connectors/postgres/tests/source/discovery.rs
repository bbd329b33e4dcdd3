//! What discovery finds.

use crate::harness::*;
use arrow::datatypes::DataType;
use connector_api::{Connector, DiscoverRequest, TableKind};
use std::time::{Duration, Instant};
use tidegate_connector_postgres::PostgresConnector;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_described_complete() {
    let Some(db) = Database::new(
        "CREATE DOMAIN amount AS numeric(12,2);
         CREATE TABLE orders (
             tenant int NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, code varchar(20) NOT NULL DEFAULT 'x',
             total amount, twice numeric GENERATED ALWAYS AS (tenant * 2) STORED, gone int, note text,
             PRIMARY KEY (id, tenant), UNIQUE (code), UNIQUE (note));
         ALTER TABLE orders DROP COLUMN gone;
         CREATE UNIQUE INDEX ON orders (code, tenant) WHERE tenant > 0;
         CREATE UNIQUE INDEX ON orders (lower(code));
         CREATE UNIQUE INDEX ON orders (tenant, code) INCLUDE (note);
         COMMENT ON TABLE orders IS 'All orders';
         COMMENT ON COLUMN orders.code IS 'The code';
         CREATE SCHEMA app; CREATE VIEW app.v AS SELECT code FROM orders;
         CREATE MATERIALIZED VIEW app.m AS SELECT code FROM orders;
         CREATE FOREIGN DATA WRAPPER none; CREATE SERVER s FOREIGN DATA WRAPPER none;
         CREATE FOREIGN TABLE app.f (id int) SERVER s;
         CREATE TABLE app.p (id int) PARTITION BY RANGE (id);
         CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES FROM (0) TO (1000);
         CREATE TABLE app.p2 PARTITION OF app.p FOR VALUES FROM (1000) TO (9000);
         INSERT INTO app.p SELECT generate_series(1, 5000);
         ANALYZE app.p;
         CREATE TEMP TABLE nobody_sees (id int);",
    )
    .await
    else {
        return;
    };
    let orders = db.describe("public.orders").await;
    let names: Vec<&str> = orders.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["tenant", "id", "code", "total", "twice", "note"]);
    assert_eq!(orders.primary_key, ["id", "tenant"]);
    assert_eq!(orders.unique_keys, [vec!["code".to_owned()], vec!["tenant".to_owned(), "code".to_owned()]]);
    assert_eq!(orders.comment.as_deref(), Some("All orders"));
    assert_eq!((orders.kind, orders.rows_estimate), (TableKind::Table, None));
    let column = |name: &str| &orders.columns[orders.column_index(name).unwrap()];
    assert_eq!(column("code").data_type, "character varying(20)");
    assert_eq!(column("code").comment.as_deref(), Some("The code"));
    assert_eq!(column("code").default_expr.as_deref(), Some("'x'::character varying"));
    assert!(!column("code").is_nullable && column("note").is_nullable);
    assert!(column("twice").is_generated && column("twice").default_expr.is_none() && !column("id").is_generated);
    assert_eq!(column("total").data_type, "public.amount");
    assert_eq!(column("total").field.data_type(), &DataType::Decimal128(12, 2));
    assert_eq!(column("twice").field.data_type(), &DataType::Utf8);

    for (table, kind) in [
        ("app.v", TableKind::View),
        ("app.m", TableKind::MaterializedView),
        ("app.f", TableKind::Foreign),
        ("app.p", TableKind::Partitioned),
        ("app.p1", TableKind::Table),
    ] {
        assert_eq!(db.describe(table).await.kind, kind, "{table}");
    }
    assert_eq!(db.describe("app.p").await.rows_estimate, Some(5_000));
    assert!(db.describe("app.p").await.bytes_estimate.unwrap() > 100_000);

    let list = |schemas: &[&str]| {
        let request = DiscoverRequest::List { schemas: schemas.iter().map(|s| (*s).to_owned()).collect() };
        let config = db.config.clone();
        async move {
            let tables = PostgresConnector.discover(&config, &request).await.unwrap();
            tables.into_iter().map(|t| t.name.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(&[]).await, ["app.f", "app.m", "app.p", "app.v", "public.orders"]);
    assert_eq!(list(&["public"]).await, ["public.orders"]);
    assert!(list(&["nope"]).await.is_empty());
    let request = DiscoverRequest::Describe { tables: vec![name("public.nope"), name("app.v"), name("no.t")] };
    let found = PostgresConnector.discover(&db.config, &request).await.unwrap();
    assert_eq!(found.len(), 1);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_tables_are_described_in_seconds() {
    let Some(db) = Database::new("").await else { return };
    for step in 0..10 {
        let from = step * 500 + 1;
        db.client
            .batch_execute(&format!(
                "SET synchronous_commit TO off; DO $$ BEGIN FOR i IN {from}..{} LOOP
                     EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a text, b numeric(10,2), c timestamptz, d int[])', i);
                 END LOOP; END $$;",
                from + 499
            ))
            .await
            .unwrap();
    }
    let started = Instant::now();
    let listed = PostgresConnector.discover(&db.config, &DiscoverRequest::List { schemas: vec![] }).await.unwrap();
    assert_eq!(listed.len(), 5_000);
    let listing = started.elapsed();
    let tables = listed.into_iter().map(|t| t.name).collect();
    let described = PostgresConnector.discover(&db.config, &DiscoverRequest::Describe { tables }).await.unwrap();
    println!("listed in {listing:?}, described in {:?}", started.elapsed() - listing);
    assert_eq!(described.len(), 5_000);
    assert!(described.iter().all(|t| t.columns.len() == 5 && t.primary_key == ["id"]));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    db.drop().await;
}
