//! Snapshots, splits and reads of every kind of table.

use crate::harness::*;
use arrow::datatypes::DataType;
use connector_api::{ColumnFormat, SnapshotRequest, SplitGoal, TableRead, WIRE_KEY};
use datafusion::logical_expr::{col, lit};
use futures::{StreamExt, TryStreamExt};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn every_row_is_read_exactly_once_whatever_the_kind_of_table() {
    let Some(db) = Database::new(
        "CREATE TABLE plain AS SELECT g AS id, repeat('x', 200) AS v FROM generate_series(1, 20000) g;
         CREATE TABLE empty (id int, v text);
         CREATE TABLE nothing (id int);
         ALTER TABLE nothing DROP COLUMN id;
         INSERT INTO nothing SELECT FROM generate_series(1, 5);
         CREATE VIEW a_view AS SELECT id, v FROM plain WHERE id <= 100;
         CREATE MATERIALIZED VIEW a_matview AS SELECT id, v FROM plain;
         CREATE TABLE holes AS SELECT g AS id, 'y'::text AS v FROM generate_series(1, 20000) g;
         DELETE FROM holes WHERE id % 3 = 0;
         UPDATE holes SET v = 'z' WHERE id % 5 = 0;
         CREATE TABLE toast (id int, v text);
         ALTER TABLE toast ALTER v SET STORAGE EXTERNAL;
         INSERT INTO toast SELECT g, repeat(md5(g::text), 3000) FROM generate_series(1, 300) g;
         CREATE TABLE part (id int, region text, v text) PARTITION BY LIST (region);
         CREATE TABLE part_eu (v text, region text, junk int, id int);
         ALTER TABLE part_eu DROP COLUMN junk;
         ALTER TABLE part ATTACH PARTITION part_eu FOR VALUES IN ('eu');
         CREATE TABLE part_us PARTITION OF part FOR VALUES IN ('us') PARTITION BY RANGE (id);
         CREATE TABLE part_us_1 PARTITION OF part_us FOR VALUES FROM (0) TO (5000);
         CREATE TABLE part_us_2 PARTITION OF part_us FOR VALUES FROM (5000) TO (MAXVALUE);
         CREATE TABLE part_none PARTITION OF part DEFAULT;
         INSERT INTO part SELECT g, (ARRAY['eu', 'us', 'xx'])[1 + g % 3], 'v' || g FROM generate_series(1, 20000) g;
         CREATE TABLE part_empty (id int) PARTITION BY RANGE (id);
         CREATE TABLE parent (id int, v text);
         CREATE TABLE child_a (extra int) INHERITS (parent);
         CREATE TABLE child_b (extra int) INHERITS (parent);
         CREATE TABLE grandchild () INHERITS (child_a, child_b);
         INSERT INTO parent SELECT g, 'p' FROM generate_series(1, 3000) g;
         INSERT INTO child_a SELECT g, 'a' FROM generate_series(3001, 6000) g;
         INSERT INTO child_b SELECT g, 'b' FROM generate_series(6001, 9000) g;
         INSERT INTO grandchild SELECT g, 'g' FROM generate_series(9001, 12000) g;
         CREATE SCHEMA \"We ird.\"\"s\";
         CREATE TABLE \"We ird.\"\"s\".\"T'a\\b\" (\"I d\" int, \"select\" text);
         INSERT INTO \"We ird.\"\"s\".\"T'a\\b\" SELECT g, 'ü' FROM generate_series(1, 10) g;",
    )
    .await
    else {
        return;
    };
    for table in ["plain", "holes", "toast", "part", "parent", "a_matview"] {
        for analyzed in [false, true] {
            if analyzed {
                db.client.batch_execute(&format!("ANALYZE {table}")).await.unwrap();
            }
            let schema = db.describe(&format!("public.{table}")).await;
            let expected: Vec<i64> = db
                .text(&format!("SELECT id FROM {table} ORDER BY id"))
                .await
                .iter()
                .map(|r| r[0].clone().unwrap().parse().unwrap())
                .collect();
            for goal in [ONE, FINE, SplitGoal { splits_max: 64, rows_min: 1 }] {
                let (batches, splits) = read_all(&db.config, &schema, goal).await;
                assert_eq!(ints(&batches, "id"), expected, "{table} {goal:?} {analyzed}");
                assert!(splits <= goal.splits_max);
                assert!(goal.splits_max == 1 || splits > 1, "{table} is cut ({splits})");
                let mut pairs: Vec<(Option<String>, Option<String>)> =
                    column(&batches, "id").into_iter().zip(column(&batches, "v")).collect();
                let mut theirs: Vec<(Option<String>, Option<String>)> = db
                    .text(&format!("SELECT id, v FROM {table}"))
                    .await
                    .into_iter()
                    .map(|r| (r[0].clone(), r[1].clone()))
                    .collect();
                pairs.sort();
                theirs.sort();
                assert!(pairs == theirs, "{table}: values stay in their columns");
            }
        }
    }
    for (table, count) in [("empty", 0), ("part_empty", 0), ("a_view", 100), ("nothing", 5), ("part_eu", 6666)] {
        let schema = db.describe(&format!("public.{table}")).await;
        let (batches, splits) = read_all(&db.config, &schema, FINE).await;
        assert_eq!(rows(&batches), count, "{table}");
        assert!(splits >= 1);
    }
    let weird = catalog::TableName::new("We ird.\"s", "T'a\\b");
    let request = connector_api::DiscoverRequest::Describe { tables: vec![weird] };
    use connector_api::Connector;
    let found = tidegate_connector_postgres::PostgresConnector.discover(&db.config, &request).await.unwrap();
    let (batches, _) = read_all(&db.config, &std::sync::Arc::new(found[0].clone()), FINE).await;
    assert_eq!(ints(&batches, "I d"), (1..=10).collect::<Vec<_>>());
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_splits_of_all_tables_see_one_moment_while_others_write() {
    let Some(db) = Database::new(
        "CREATE TABLE a AS SELECT g AS id, 0 AS n FROM generate_series(1, 20000) g;
         CREATE TABLE b AS SELECT g AS id, 0 AS n FROM generate_series(1, 20000) g;",
    )
    .await
    else {
        return;
    };
    let (a, b) = (db.describe("public.a").await, db.describe("public.b").await);
    let snapshot = snapshot(&db.config, &[&a, &b], 3).await;
    let (read_a, read_b) = (TableRead::all(a.clone()), TableRead::all(b.clone()));
    let splits_a = snapshot.splits(&read_a, FINE).await.unwrap();
    let half = read_splits(&snapshot, &read_a, &splits_a[..3]).await;
    db.client
        .batch_execute(
            "BEGIN; UPDATE a SET n = 1; UPDATE b SET n = 1; DELETE FROM a WHERE id > 10000;
             INSERT INTO b SELECT g, 1 FROM generate_series(20001, 50000) g; COMMIT;",
        )
        .await
        .unwrap();
    let mut batches = half;
    batches.extend(read_splits(&snapshot, &read_a, &splits_a[3..]).await);
    assert_eq!(ints(&batches, "id"), (1..=20_000).collect::<Vec<_>>());
    assert!(ints(&batches, "n").iter().all(|n| *n == 0));
    // The table is larger now than when the snapshot was taken.
    let splits_b = snapshot.splits(&read_b, FINE).await.unwrap();
    let batches = read_splits(&snapshot, &read_b, &splits_b).await;
    assert_eq!(ints(&batches, "id"), (1..=20_000).collect::<Vec<_>>());
    assert!(ints(&batches, "n").iter().all(|n| *n == 0));
    // TRUNCATE, which no snapshot would protect from, waits for the snapshot's end.
    let truncate = db.client.batch_execute("SET lock_timeout = '200ms'; TRUNCATE a").await;
    assert_eq!(truncate.unwrap_err().code().unwrap().code(), "55P03");
    drop(snapshot);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_hidden_by_row_level_security_are_an_error() {
    let Some(db) = Database::new(
        "CREATE TABLE secret (id int, owner text);
         INSERT INTO secret VALUES (1, 'a'), (2, 'b');
         ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
         CREATE POLICY mine ON secret USING (owner = 'a');
         CREATE TABLE open (id int);
         INSERT INTO open VALUES (1);
         CREATE TABLE closed (id int);
         CREATE TABLE some_columns (id int, hidden int);
         INSERT INTO some_columns SELECT g, g FROM generate_series(1, 10) g;
         CREATE TABLE roots (id int) PARTITION BY RANGE (id);
         CREATE TABLE leaf_1 PARTITION OF roots FOR VALUES FROM (0) TO (5000);
         CREATE TABLE leaf_2 PARTITION OF roots FOR VALUES FROM (5000) TO (50000);
         INSERT INTO roots SELECT g FROM generate_series(1, 9999) g;
         CREATE VIEW through WITH (security_barrier) AS SELECT * FROM secret;
         DO $$ BEGIN CREATE ROLE tg_limited LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT SELECT ON secret, open, roots, through TO tg_limited;
         GRANT SELECT (id) ON some_columns TO tg_limited;",
    )
    .await
    else {
        return;
    };
    let limited = db.with(&[("user", "tg_limited")]);
    let secret = describe(&limited, "public.secret").await;
    let open = describe(&limited, "public.open").await;
    let closed = describe(&limited, "public.closed").await;
    // One bad table stops only itself.
    let both = snapshot(&limited, &[&secret, &open, &closed], 4).await;
    let error = both.splits(&TableRead::all(secret.clone()), FINE).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42501");
    assert_eq!(
        error.message(),
        "row-level security on table public.secret would hide rows from user \"tg_limited\" of source \"crm\""
    );
    assert_eq!(error.hint(), Some("On crm: ALTER ROLE tg_limited BYPASSRLS;"));
    let error = both.splits(&TableRead::all(closed.clone()), FINE).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42501");
    assert!(error.hint().unwrap().contains("GRANT SELECT ON public.closed TO tg_limited;"));
    let read = TableRead::all(open.clone());
    let splits = both.splits(&read, FINE).await.unwrap();
    assert_eq!(rows(&read_splits(&both, &read, &splits).await), 1);
    // The same table read by its owner is whole.
    assert_eq!(rows(&read_all(&db.config, &db.describe("public.secret").await, FINE).await.0), 2);
    // Partitions that are granted through their root only are read through it.
    let roots = describe(&limited, "public.roots").await;
    assert_eq!(rows(&read_all(&limited, &roots, FINE).await.0), 9_999);
    // A grant on a column is enough for that column.
    let some = describe(&limited, "public.some_columns").await;
    let snapshot = snapshot(&limited, &[&some], 4).await;
    let read = TableRead { columns: vec![0], formats: vec![ColumnFormat::Arrow], ..TableRead::all(some.clone()) };
    let splits = snapshot.splits(&read, FINE).await.unwrap();
    assert_eq!(rows(&read_splits(&snapshot, &read, &splits).await), 10);
    let read = TableRead::all(some.clone());
    let splits = snapshot.splits(&read, FINE).await.unwrap();
    let error = match snapshot.read(&read, &splits[0]).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.sqlstate(), "42501");
    drop((both, snapshot));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changed_since_discovery_is_an_error_that_names_the_column() {
    let Some(db) = Database::new("CREATE TABLE t (id int, v varchar(10)); INSERT INTO t VALUES (1, 'x');").await else {
        return;
    };
    let table = db.describe("public.t").await;
    db.client.batch_execute("ALTER TABLE t ALTER v TYPE varchar(20)").await.unwrap();
    let read = TableRead::all(table.clone());
    let first = snapshot(&db.config, &[&table], 2).await;
    let splits = first.splits(&read, ONE).await.unwrap();
    let error = first.read(&read, &splits[0]).await.err().unwrap();
    assert_eq!((error.sqlstate(), error.column()), ("42804", Some("v")));
    assert_eq!(error.hint(), Some("ALTER SOURCE crm REFRESH;"));
    drop(first);
    db.client.batch_execute("ALTER TABLE t DROP COLUMN v").await.unwrap();
    let second = snapshot(&db.config, &[&table], 2).await;
    assert_eq!(second.read(&read, &splits[0]).await.err().unwrap().sqlstate(), "42703");
    drop(second);
    db.client.batch_execute("DROP TABLE t").await.unwrap();
    let third = snapshot(&db.config, &[&table], 2).await;
    let error = third.splits(&read, ONE).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.message()), ("42P01", "table public.t does not exist on source \"crm\""));
    drop(third);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_projection_and_limit_run_on_the_server() {
    let Some(db) = Database::new(
        "CREATE TABLE t AS SELECT g AS id, 'v' || g AS v, g % 2 = 0 AS even, g::numeric(10,2) / 4 AS n,
             date '2024-01-01' + g AS d FROM generate_series(1, 10000) g; ALTER TABLE t ALTER n TYPE numeric(12,2);",
    )
    .await
    else {
        return;
    };
    let table = db.describe("public.t").await;
    let source = source(&db.config);
    let snapshot = snapshot(&db.config, &[&table], 4).await;
    let count = |filters: Vec<datafusion::logical_expr::Expr>, limit: Option<u64>| {
        let (source, snapshot, table) = (source.clone(), snapshot.clone(), table.clone());
        async move {
            let texts = filters
                .iter()
                .map(|filter| match source.push_filter(&table, filter) {
                    connector_api::FilterPushdown::Exact(text) => text,
                    other => panic!("{filter}: {other:?}"),
                })
                .collect();
            let read = TableRead {
                columns: vec![2, 0],
                formats: vec![ColumnFormat::Arrow; 2],
                filters: texts,
                limit,
                ..TableRead::all(table)
            };
            let splits = snapshot.splits(&read, FINE).await.unwrap();
            let batches = read_splits(&snapshot, &read, &splits).await;
            if let Some(batch) = batches.first() {
                assert_eq!(
                    batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
                    ["even", "id"]
                );
            }
            (rows(&batches), splits.len())
        }
    };
    use datafusion::common::ScalarValue;
    assert_eq!(count(vec![col("id").lt_eq(lit(10)), col("even")], None).await.0, 5);
    assert_eq!(count(vec![col("v").like(lit("v99%"))], None).await.0, 111);
    assert_eq!(count(vec![col("v").eq(lit("v42"))], None).await.0, 1);
    assert_eq!(count(vec![col("v").lt(lit("v2"))], None).await.0, 1_112);
    assert_eq!(count(vec![col("v").in_list(vec![lit("v1"), lit("v2"), lit("nope")], false)], None).await.0, 2);
    assert_eq!(count(vec![col("n").gt(lit(ScalarValue::Decimal128(Some(249_950), 12, 2)))], None).await.0, 2);
    assert_eq!(count(vec![col("d").eq(lit(ScalarValue::Date32(Some(19_724))))], None).await.0, 1);
    let (limited, splits) = count(vec![], Some(3)).await;
    assert_eq!(limited, 3 * splits);
    drop(snapshot);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_leaves_no_busy_backend() {
    let Some(db) = Database::new(
        "CREATE TABLE big AS SELECT g AS id, repeat(md5(g::text), 20) AS v FROM generate_series(1, 200000) g;
         CREATE VIEW slow AS SELECT pg_sleep(60)::text AS v FROM generate_series(1, 10);",
    )
    .await
    else {
        return;
    };
    let big = db.describe("public.big").await;
    let slow = db.describe("public.slow").await;
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'COPY (%' AND datname = current_database()";
    let idle = || async {
        let started = Instant::now();
        while db.one(busy).await != "0" {
            assert!(started.elapsed() < Duration::from_secs(5), "a backend is still busy");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    for connections_max in [1, 4] {
        let snapshot = snapshot(&db.config, &[&big, &slow], connections_max).await;
        let read = TableRead::all(big.clone());
        let splits = snapshot.splits(&read, ONE).await.unwrap();
        // Dropped in the middle of the rows
        let mut stream = snapshot.read(&read, &splits[0]).await.unwrap();
        let first = stream.next().await.unwrap().unwrap();
        assert!(first.num_rows() <= 8_192 && first.num_rows() > 0);
        drop(stream);
        idle().await;
        // Dropped while the server computes and sends nothing
        let read_slow = TableRead::all(slow.clone());
        let splits_slow = snapshot.splits(&read_slow, ONE).await.unwrap();
        let waiting = async {
            let stream = snapshot.read(&read_slow, &splits_slow[0]).await?;
            stream.try_collect::<Vec<_>>().await
        };
        assert!(tokio::time::timeout(Duration::from_millis(300), waiting).await.is_err());
        idle().await;
        // The snapshot lives on.
        let batches = read_splits(&snapshot, &read, &splits).await;
        assert_eq!(rows(&batches), 200_000);
        assert!(batches.iter().all(|batch| batch.get_array_memory_size() < 16 << 20));
        drop(snapshot);
    }
    // Nothing of a dropped snapshot stays connected.
    let started = Instant::now();
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tidegate%' AND datname = current_database()";
    while db.one(left).await != "0" {
        assert!(started.elapsed() < Duration::from_secs(5), "connections are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_holds_no_more_connections_than_it_may() {
    let Some(db) = Database::new("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 50000) g").await else {
        return;
    };
    let table = db.describe("public.t").await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tidegate%' AND datname = current_database()";
    for connections_max in [1, 2, 3] {
        let snapshot = snapshot(&db.config, &[&table], connections_max).await;
        let read = TableRead::all(table.clone());
        let splits = snapshot.splits(&read, SplitGoal { splits_max: 10, rows_min: 10 }).await.unwrap();
        assert_eq!(splits.len(), 10);
        let batches = read_splits(&snapshot, &read, &splits).await;
        assert_eq!(rows(&batches), 50_000);
        let held: usize = db.one(count).await.parse().unwrap();
        assert!(held <= connections_max, "{held} connections where {connections_max} are allowed");
        drop(snapshot);
        let started = Instant::now();
        while db.one(count).await != "0" {
            assert!(started.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_snapshot_is_a_retryable_error() {
    let Some(db) = Database::new("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 1000) g").await else {
        return;
    };
    let table = db.describe("public.t").await;
    for connections_max in [1, 4] {
        let snapshot = snapshot(&db.config, &[&table], connections_max).await;
        let read = TableRead::all(table.clone());
        let splits = snapshot.splits(&read, ONE).await.unwrap();
        db.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidegate%' AND datname = current_database()")
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let error = snapshot.splits(&read, FINE).await.err();
        let error = match error {
            Some(error) => error,
            None => match snapshot.read(&read, &splits[0]).await {
                Ok(stream) => stream.try_collect::<Vec<_>>().await.unwrap_err(),
                Err(error) => error,
            },
        };
        assert!(error.is_retryable(), "{error} {}", error.sqlstate());
        assert!(snapshot.read(&read, &splits[0]).await.is_err_and(|error| error.is_retryable()));
    }
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_rows_can_be_loaded_by_the_server_that_sent_them() {
    let Some(db) = Database::new(
        "CREATE TABLE t AS SELECT g AS id, E'a\\nb\\tc\\\\' || g AS v, g::numeric / 7 AS n, ARRAY[g, NULL] AS a,
             now() + g * interval '1 s' AS at FROM generate_series(1, 30000) g;
         INSERT INTO t VALUES (NULL, NULL, NULL, NULL, NULL);",
    )
    .await
    else {
        return;
    };
    let table = db.describe("public.t").await;
    let read = TableRead::all(table.clone());
    let source = source(&db.config);
    let formats = source.raw_formats(&read);
    assert_eq!(
        formats.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
        ["postgres.copy_binary", "postgres.copy_text"]
    );
    assert_eq!(formats[0].column_types, ["integer", "text", "numeric", "integer[]", "timestamp with time zone"]);
    let snapshot = snapshot(&db.config, &[&table], 4).await;
    for format in &formats {
        let splits = snapshot.splits(&read, FINE).await.unwrap();
        db.client.batch_execute("DROP TABLE IF EXISTS copy; CREATE TABLE copy (LIKE t)").await.unwrap();
        let word = format.name.rsplit('_').next().unwrap();
        let sink = db.client.copy_in(&format!("COPY copy FROM STDIN (FORMAT {word})")).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        use futures::SinkExt;
        if word == "binary" {
            sink.feed(bytes::Bytes::from_static(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")).await.unwrap();
        }
        let mut count = 0;
        for split in &splits {
            let mut stream = snapshot.read_raw(&read, split, format).await.unwrap();
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.unwrap();
                assert!(chunk.bytes.len() < 1 << 20);
                count += chunk.rows;
                sink.feed(chunk.bytes).await.unwrap();
            }
        }
        if word == "binary" {
            sink.feed(bytes::Bytes::from_static(b"\xff\xff")).await.unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 30_001);
        assert_eq!(count, 30_001);
        let differences = db
            .one("SELECT count(*) FROM ((TABLE t EXCEPT ALL TABLE copy) UNION ALL (TABLE copy EXCEPT ALL TABLE t)) d")
            .await;
        assert_eq!(differences, "0", "{word}");
    }
    drop(snapshot);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wire_columns_keep_the_servers_bytes() {
    let Some(db) =
        Database::new("CREATE TABLE t (id int, n numeric); INSERT INTO t VALUES (1, 'NaN'), (2, 12.5)").await
    else {
        return;
    };
    let table = db.describe("public.t").await;
    let source = source(&db.config);
    assert_eq!(source.wire_encoding(&table, 1).as_deref(), Some("postgres.binary:1700"));
    let snapshot = snapshot(&db.config, &[&table], 2).await;
    let read = TableRead { formats: vec![ColumnFormat::Text, ColumnFormat::Wire], ..TableRead::all(table.clone()) };
    let splits = snapshot.splits(&read, ONE).await.unwrap();
    let batches = read_splits(&snapshot, &read, &splits).await;
    let schema = batches[0].schema();
    assert_eq!(schema.field(1).metadata()[WIRE_KEY], "postgres.binary:1700");
    assert_eq!(schema.field(0).data_type(), &DataType::Utf8);
    assert_eq!(column(&batches, "id"), [Some("1".to_owned()), Some("2".to_owned())]);
    let expected = db.text("SELECT encode(numeric_send(n), 'hex') FROM t ORDER BY id").await;
    assert_eq!(column(&batches, "n"), expected.into_iter().map(|r| r[0].clone()).collect::<Vec<_>>());
    drop(snapshot);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_has_a_history_and_grows() {
    let Some(db) = Database::new("CREATE TABLE t (id int)").await else { return };
    let table = db.describe("public.t").await;
    let request = || SnapshotRequest { tables: vec![table.clone()], connections_max: 2 };
    let source = source(&db.config);
    let first = source.open_snapshot(request()).await.unwrap().position().clone();
    db.client.batch_execute("INSERT INTO t SELECT generate_series(1, 1000)").await.unwrap();
    let second = source.open_snapshot(request()).await.unwrap().position().clone();
    let (catalog::Position::Lsn { lsn: before, lineage: one }, catalog::Position::Lsn { lsn: after, lineage: two }) =
        (first, second)
    else {
        panic!("positions are log sequence numbers");
    };
    assert!(after > before);
    assert_eq!(one, two);
    assert_eq!(one.system_identifier, db.one("SELECT system_identifier FROM pg_control_system()").await);
    let error = source.changes(&[], &catalog::Position::Lsn { lsn: 0, lineage: one }).await.err().unwrap();
    assert_eq!(error.sqlstate(), "0A000");
    db.drop().await;
}
