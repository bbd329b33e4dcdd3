//! Reading: pruning, splits, files of other programs, snapshots that stay.

use crate::support::*;
use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use catalog::{TableName, WriteMode};
use connector_api::{Connector, DiscoverRequest, FilterPushdown, SnapshotRequest, SplitGoal, TableKind, TableRead};
use datafusion::logical_expr::{Expr, col, lit};
use futures::StreamExt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tidegate_connector_files::FilesConnector;

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids: Vec<i64> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn row_groups_that_cannot_match_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[("row_group_rows", "1000")]);
    write(&config, &name("t"), WriteMode::Append, 1, &[numbers(0, 10_000, "a"), numbers(10_000, 500, "b")])
        .await
        .unwrap();
    let table = describe(&config, &name("t")).await.unwrap().unwrap();
    assert_eq!(table.rows_estimate, Some(10_500));
    let cases: [(Expr, usize, u64); 8] = [
        (col("id").gt_eq(lit(9_500_i64)), 2, 1500),
        (col("id").lt(lit(1000_i64)), 1, 1000),
        (col("id").eq(lit(4321_i64)), 1, 1000),
        (col("id").in_list(vec![lit(1_i64), lit(9999_i64)], false), 2, 2000),
        (col("version").eq(lit("b")), 1, 500),
        (col("version").is_null(), 0, 0),
        (col("id").gt(lit(1_000_000_i64)), 0, 0),
        (col("id").is_not_null(), 11, 10_500),
    ];
    for (filter, groups, rows) in cases {
        let FilterPushdown::Inexact(text) = source(&config).push_filter(&table, &filter) else {
            panic!("{filter} is pushed");
        };
        let read = TableRead { filters: vec![text.clone()], ..TableRead::all(table.clone()) };
        let snapshot = source(&config)
            .open_snapshot(SnapshotRequest { tables: vec![table.clone()], connections_max: 1 })
            .await
            .unwrap();
        let splits = snapshot.splits(&read, SplitGoal { splits_max: 4, rows_min: 1 }).await.unwrap();
        assert!(!splits.is_empty());
        read_with(&config, &read, SplitGoal { splits_max: 4, rows_min: 1 }).await.unwrap();
        assert_eq!(read.progress.rows.load(Ordering::Relaxed), rows, "{text}");
        let described: usize =
            splits.iter().map(|split| split.description.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(described, groups, "{text}: {splits:?}");
    }
}

#[tokio::test]
async fn splits_cover_every_row_once_and_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[("row_group_rows", "1000"), ("file_rows_max", "3000")]);
    write(&config, &name("t"), WriteMode::Append, 1, &[numbers(0, 10_500, "a")]).await.unwrap();
    assert_eq!(fs::read_dir(folder.path().join("t")).unwrap().count(), 4);
    let table = describe(&config, &name("t")).await.unwrap().unwrap();
    for splits_max in [1, 3, 100] {
        let read = TableRead::all(table.clone());
        let batches = read_with(&config, &read, SplitGoal { splits_max, rows_min: 1 }).await.unwrap();
        assert_eq!(ids(&batches), (0..10_500).collect::<Vec<_>>());
    }
    let read = TableRead { limit: Some(1234), ..TableRead::all(table.clone()) };
    let batches = read_with(&config, &read, ONE_SPLIT).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1234);
    let read = TableRead { columns: vec![], formats: vec![], ..TableRead::all(table) };
    let batches = read_with(&config, &read, ONE_SPLIT).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10_500);
}

#[tokio::test]
async fn a_snapshot_stays_when_the_table_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["parquet", "csv", "json"] {
        let config = config(folder.path(), &[("format", format)]);
        let table_name = TableName::new("s", format);
        write(&config, &table_name, WriteMode::Overwrite, 1, &[numbers(0, 20_000, "old")]).await.unwrap();
        let table = describe(&config, &table_name).await.unwrap().unwrap();
        let request = SnapshotRequest { tables: vec![table.clone()], connections_max: 1 };
        let snapshot = source(&config).open_snapshot(request.clone()).await.unwrap();
        write(&config, &table_name, WriteMode::Overwrite, 2, &[numbers(7, 5, "new")]).await.unwrap();
        let read = TableRead::all(table);
        let split = snapshot.splits(&read, ONE_SPLIT).await.unwrap().remove(0);
        let batches: Vec<RecordBatch> =
            snapshot.read(&read, &split).await.unwrap().map(|batch| batch.unwrap()).collect().await;
        assert_eq!(ids(&batches), (0..20_000).collect::<Vec<_>>());
        let later = source(&config).open_snapshot(request).await.unwrap();
        assert_ne!(later.position(), snapshot.position());
    }
}

#[tokio::test]
async fn files_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("mixed")).unwrap();
    fs::write(
        root.join("people.csv"),
        "id,name,born,score,code\n1,Ann,1990-02-28,1.5,007\n2,\"\",,2,008\n3,,2001-01-01,,\n",
    )
    .unwrap();
    fs::write(
        root.join("events.jsonl"),
        "{\"id\":1,\"big\":12345678901234567890123,\"tags\":[1, 2],\"ok\":true}\n\n{\"id\":2,\"extra\":\"x\",\"ok\":null}\n",
    )
    .unwrap();
    fs::write(root.join("mixed/a.csv"), "a\n1\n").unwrap();
    fs::write(root.join("mixed/b.jsonl"), "{}\n").unwrap();
    fs::write(root.join("notes.txt"), "not a table").unwrap();
    let config = config(root, &[]);
    let list = FilesConnector.discover(&config, &DiscoverRequest::List { schemas: vec![] }).await.unwrap();
    let names: Vec<String> = list.iter().map(|table| table.name.to_string()).collect();
    // The folder is a table, and a schema whose tables are its files.
    assert_eq!(names, ["files.events", "files.mixed", "files.people", "mixed.a", "mixed.b"]);
    assert!(list.iter().all(|table| table.kind == TableKind::Files && table.bytes_estimate.is_some()));

    let people = describe(&config, &name("people")).await.unwrap().unwrap();
    let words: Vec<&str> = people.columns.iter().map(|column| column.data_type.as_str()).collect();
    assert_eq!(words, ["bigint", "text", "date", "double precision", "text"]);
    let rows = read_all(&config, &name("people")).await.unwrap();
    let names = rows.column(1).as_string::<i32>();
    assert_eq!((names.value(1), arrow::array::Array::is_null(names, 2)), ("", true));

    let events = describe(&config, &name("events")).await.unwrap().unwrap();
    let words: Vec<(&str, &str)> =
        events.columns.iter().map(|column| (column.name.as_str(), column.data_type.as_str())).collect();
    assert_eq!(words, [("id", "bigint"), ("big", "text"), ("tags", "json"), ("ok", "boolean"), ("extra", "text")]);
    let rows = read_all(&config, &name("events")).await.unwrap();
    assert_eq!(rows.column(1).as_string::<i32>().value(0), "12345678901234567890123");
    assert_eq!(rows.column(2).as_string::<i32>().value(0), "[1, 2]");

    let error = describe(&config, &name("mixed")).await.unwrap_err();
    assert_eq!(error.message(), "table files.mixed has files of more than one format");
    assert!(describe(&config, &name("nowhere")).await.unwrap().is_none());
}

#[tokio::test]
async fn poison_in_text_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut text = "id\n".to_owned();
    for id in 0..50 {
        text.push_str(&format!("{id}\n"));
    }
    fs::write(root.join("late.csv"), text + "oops\n").unwrap();
    fs::write(root.join("short.csv"), "a,b\n1,2\n3\n").unwrap();
    fs::write(root.join("broken.jsonl"), "{\"a\":1}\n{\"a\":\n").unwrap();
    fs::write(root.join("junk.parquet"), "junk").unwrap();
    let config = config(root, &[("infer_rows", "10")]);
    let error = read_all(&config, &name("late")).await.unwrap_err();
    assert_eq!(error.sqlstate(), "22P02");
    assert_eq!(error.detail(), Some("The value \"oops\" is not of type bigint. It is at line 52."));
    assert!(error.hint().unwrap().contains("infer_rows"));
    let error = read_all(&config, &name("short")).await.unwrap_err();
    assert!(error.message().ends_with("cannot be read as csv at line 3"), "{}", error.message());
    let error = read_all(&config, &name("broken")).await.unwrap_err();
    assert!(error.message().ends_with("cannot be read as json at line 2"), "{}", error.message());
    let error = describe(&config, &name("junk")).await.unwrap_err();
    assert!(error.message().ends_with("junk.parquet\" cannot be read as parquet"), "{}", error.message());
    let as_text = crate::support::config(root, &[("infer_types", "false")]);
    assert_eq!(read_all(&as_text, &name("late")).await.unwrap().num_rows(), 51);
}

#[tokio::test]
async fn parquet_files_are_united_and_widened() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let table = folder.path().join("t");
    fs::create_dir_all(&table).unwrap();
    let save = |file: &str, batch: &RecordBatch| {
        let output = fs::File::create(table.join(file)).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(output, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    };
    let of = |fields: Vec<Field>, columns| RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    save("1.parquet", &of(vec![Field::new("a", DataType::Int32, false)], vec![Arc::new(Int32Array::from(vec![1, 2]))]));
    save(
        "2.parquet",
        &of(
            vec![Field::new("b", DataType::Int64, false), Field::new("a", DataType::Int64, false)],
            vec![Arc::new(Int64Array::from(vec![7])), Arc::new(Int64Array::from(vec![i64::MAX]))],
        ),
    );
    let described = describe(&config, &name("t")).await.unwrap().unwrap();
    let columns: Vec<(&str, &str, bool)> =
        described.columns.iter().map(|c| (c.name.as_str(), c.data_type.as_str(), c.is_nullable)).collect();
    assert_eq!(columns, [("a", "bigint", false), ("b", "bigint", true)]);
    let rows = read_all(&config, &name("t")).await.unwrap();
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[1, 2, i64::MAX]);
    assert_eq!(rows.column(1).null_count(), 2);
    save(
        "3.parquet",
        &of(vec![Field::new("a", DataType::Utf8, false)], vec![Arc::new(arrow::array::StringArray::from(vec!["x"]))]),
    );
    let error = describe(&config, &name("t")).await.unwrap_err();
    assert_eq!(error.sqlstate(), "42804");
    assert_eq!(error.detail(), Some("It is bigint in \"1.parquet\" and text in \"3.parquet\"."));
}

#[tokio::test]
async fn bad_names_are_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    for bad in [TableName::new("files", "../x"), TableName::new("..", "x"), TableName::new("a/b", "c"), name("a\0b")] {
        assert_eq!(describe(&config, &bad).await.unwrap_err().sqlstate(), "22023");
        let batch = numbers(0, 1, "x");
        let plan = sink(&config).plan_table(&target(&bad, &batch.schema(), WriteMode::Append)).await;
        assert_eq!(plan.unwrap_err().sqlstate(), "22023");
        assert!(sink(&config).clean_up(&key(1), &bad).await.unwrap().is_empty());
    }
}
