//! Writing: all or nothing to whoever looks, what does not fit, a full disk.

use crate::support::*;
use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::definition::{ColumnDef, SinkShape};
use catalog::{CheckStatus, CreationMethod, TableName, WriteMode};
use connector_api::{CheckRequest, CommitKey, Connector, DeliveryGuarantee, Purpose, TableCreation, TableWriter};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_connector_files::FilesConnector;

/// What somebody sees who lists a folder and opens what he finds: rows of each file, or None when a
/// file went away between the two (then he has to list again).
fn look(folder: &Path) -> Option<Vec<i64>> {
    let mut rows = vec![];
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            let file = fs::File::open(&path).ok()?;
            let reader = SerializedFileReader::new(file).expect("a visible file is complete");
            rows.push(reader.metadata().file_metadata().num_rows());
        }
    }
    Some(rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_all_of_a_write_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[("file_rows_max", "2000"), ("row_group_rows", "1000")]);
    let stop = Arc::new(AtomicBool::new(false));
    let table_folder = folder.path().join("t");
    let looker = {
        let (stop, table_folder) = (stop.clone(), table_folder.clone());
        std::thread::spawn(move || {
            let mut seen = HashSet::new();
            while !stop.load(Ordering::Relaxed) {
                if let Some(rows) = look(&table_folder) {
                    seen.insert(rows.iter().sum::<i64>());
                }
            }
            seen
        })
    };
    // Our own reader never sees a mixture either, nor an error.
    let reader = {
        let (stop, config) = (stop.clone(), config.clone());
        tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let Ok(Some(_)) = describe(&config, &name("t")).await else { continue };
                let rows = read_all(&config, &name("t")).await.unwrap();
                assert!(rows.num_rows() % 5000 == 0 && rows.num_rows() > 0, "{}", rows.num_rows());
                let versions: HashSet<&str> =
                    arrow::array::AsArray::as_string::<i32>(rows.column(1)).iter().flatten().collect();
                assert_eq!(versions.len(), rows.num_rows() / 5000, "each write adds one version of 5000 rows");
                count += 1;
            }
            count
        })
    };
    for run in 0..20 {
        let batch = numbers(0, 5000, &format!("v{run}"));
        let mode = if run % 3 == 2 { WriteMode::Append } else { WriteMode::Overwrite };
        write(&config, &name("t"), mode, run, &[batch]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let seen = looker.join().unwrap();
    assert!(seen.iter().all(|rows| [0, 5000, 10_000].contains(rows)), "{seen:?}");
    assert!(reader.await.unwrap() > 0);
    let left: Vec<String> = everything(folder.path()).into_iter().filter(|path| path.contains("staging")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit_and_abort_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("not/there/yet");
    let config = config(&root, &[]);
    let batch = numbers(0, 1000, "a");
    let sink = sink(&config);
    let open_one = async |run| {
        open(sink.as_ref(), target(&name("t"), &batch.schema(), WriteMode::Append), batch.schema(), run).await
    };
    let mut writer = open_one(1).await.unwrap();
    writer.write(batch.clone()).await.unwrap();
    assert!(!root.join("t").exists());
    assert!(everything(&root).iter().all(|path| !path.ends_with(".parquet")), "{:?}", everything(&root));
    // The same key cannot be written twice at once, nor be cleaned up while it lives.
    assert_eq!(open_one(1).await.err().unwrap().sqlstate(), "55006");
    assert_eq!(sink.clean_up(&key(1), &name("t")).await.unwrap_err().sqlstate(), "55006");
    writer.abort().await.unwrap();
    assert_eq!(everything(&root), Vec::<String>::new());
    // Dropping is aborting.
    let mut writer = open_one(2).await.unwrap();
    writer.write(batch.clone()).await.unwrap();
    drop(writer);
    for _ in 0..100 {
        if everything(&root).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(everything(&root), Vec::<String>::new());
    assert_eq!(sink.recovered_position(&key(1), &name("t")).await.unwrap(), None);
    assert_eq!(sink.guarantee(), DeliveryGuarantee::ExactlyOnce);
}

#[tokio::test]
async fn a_commit_is_remembered_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let table = TableName::new("sales", "orders");
    for run in 1..=3 {
        let summary = write(&config, &table, WriteMode::Append, run, &[numbers(run * 10, 10, "a")]).await.unwrap();
        assert_eq!(summary.rows_written, 10);
        assert!(summary.bytes_written > 0);
    }
    assert_eq!(read_all(&config, &table).await.unwrap().num_rows(), 30);
    let sink = sink(&config);
    for run in 1..=3 {
        let expected = Some(format!("run-{run}"));
        assert_eq!(sink.recovered_position(&key(run), &table).await.unwrap(), expected);
        assert_eq!(sink.recovered_position(&key(run), &name("other")).await.unwrap(), None);
        let stranger = CommitKey { gateway_id: "another".to_owned(), ..key(run) };
        assert_eq!(sink.recovered_position(&stranger, &table).await.unwrap(), None);
        assert!(sink.clean_up(&key(run), &table).await.unwrap().is_empty());
    }
    // Replaced: what the runs before it wrote is no longer there.
    write(&config, &table, WriteMode::Overwrite, 4, &[numbers(0, 1, "b")]).await.unwrap();
    assert_eq!(sink.recovered_position(&key(3), &table).await.unwrap(), None);
    assert_eq!(sink.recovered_position(&key(4), &table).await.unwrap().as_deref(), Some("run-4"));
    sink.forget(&key(4).gateway_id, Some(99), &[]).await.unwrap();
    assert!(sink.recovered_position(&key(4), &table).await.unwrap().is_some());
    sink.forget(&key(4).gateway_id, Some(1), &[]).await.unwrap();
    assert_eq!(sink.recovered_position(&key(4), &table).await.unwrap(), None);
    assert!(describe(&config, &table).await.unwrap().is_some());
    sink.forget(&key(4).gateway_id, None, &[table.clone(), table.clone()]).await.unwrap();
    assert!(describe(&config, &table).await.unwrap().is_none());
    assert_eq!(everything(folder.path()), ["sales"]);
}

#[tokio::test]
async fn two_writers_of_one_table_do_not_interleave() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let writes = (0..8).map(|run| {
        let config = config.clone();
        async move {
            write(&config, &name("t"), WriteMode::Append, run, &[numbers(run * 100, 100, "a")]).await.unwrap();
        }
    });
    futures::future::join_all(writes).await;
    assert_eq!(read_all(&config, &name("t")).await.unwrap().num_rows(), 800);
}

#[tokio::test]
async fn what_does_not_fit_is_told_in_one_go() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let sink = sink(&config);
    write(&config, &name("t"), WriteMode::Append, 1, &[numbers(0, 10, "a")]).await.unwrap();
    let schema = Schema::new(vec![Field::new("id", DataType::Utf8, false), Field::new("color", DataType::Utf8, true)]);
    let plan = sink.plan_table(&target(&name("t"), &schema, WriteMode::Append)).await.unwrap();
    let messages: Vec<&str> = plan.misfits.iter().map(|misfit| misfit.message.as_str()).collect();
    assert_eq!(
        messages,
        ["Column \"id\" is bigint in the files and text arrives.", "Column \"color\" arrives and is not in the files.",]
    );
    assert_eq!(plan.creation_method, CreationMethod::Existing);
    let error = open(sink.as_ref(), target(&name("t"), &schema, WriteMode::Append), Arc::new(schema.clone()), 2)
        .await
        .err()
        .unwrap();
    assert_eq!((error.sqlstate(), error.detail().unwrap()), ("42804", messages.join(" ").as_str()));
    // Replacing the table with its structure is another thing.
    let mut recreate = target(&name("t"), &schema, WriteMode::Overwrite);
    assert_eq!(sink.plan_table(&recreate).await.unwrap().misfits.len(), 2);
    recreate.options.insert("on_exists".to_owned(), "recreate".to_owned());
    let plan = sink.plan_table(&recreate).await.unwrap();
    assert!(plan.misfits.is_empty());
    let folder_shown = folder.path().join("t");
    assert_eq!(
        plan.ddl,
        [format!(
            "-- folder {}: parquet, zstd; 1 files are replaced at once, columns as they arrive",
            folder_shown.display()
        )]
    );
    recreate.options.insert("on_exists".to_owned(), "error".to_owned());
    assert_eq!(sink.plan_table(&recreate).await.unwrap_err().sqlstate(), "42P07");
    let upsert = sink.plan_table(&target(&name("t"), &schema, WriteMode::Upsert)).await.unwrap_err();
    assert_eq!((upsert.sqlstate(), upsert.message()), ("0A000", "WRITE UPSERT into files is not supported yet"));
    let must_exist = connector_api::TableTarget {
        creation: TableCreation::MustExist,
        ..target(&name("absent"), &schema, WriteMode::Append)
    };
    assert_eq!(sink.plan_table(&must_exist).await.unwrap().misfits.len(), 1);
}

#[tokio::test]
async fn narrower_values_and_missing_columns_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    write(&config, &name("t"), WriteMode::Append, 1, &[numbers(0, 10, "a")]).await.unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, false)]));
    let batch = RecordBatch::try_new(schema, vec![Arc::new(Int32Array::from(vec![7, 8]))]).unwrap();
    write(&config, &name("t"), WriteMode::Append, 2, &[batch]).await.unwrap();
    let rows = read_all(&config, &name("t")).await.unwrap();
    assert_eq!((rows.num_rows(), rows.column(1).null_count()), (12, 2));
}

#[tokio::test]
async fn a_declared_table_gets_its_declared_types() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    let column = |name: &str, data_type: &str, is_nullable| ColumnDef {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        is_nullable,
        default_expr: None,
    };
    let shape = SinkShape::Explicit {
        columns: vec![
            column("id", "numeric(20,1)", false),
            column("version", "varchar(10)", true),
            column("at", "timestamptz", true),
        ],
        primary_key: vec!["id".to_owned()],
        indexes: vec![],
    };
    let batch = numbers(0, 10, "a");
    let mut target = target(&name("t"), &batch.schema(), WriteMode::Append);
    target.creation = TableCreation::Shape { shape, added_columns: vec![] };
    let sink = sink(&config);
    let mut writer = open(sink.as_ref(), target, batch.schema(), 1).await.unwrap();
    writer.write(batch).await.unwrap();
    writer.commit(&position(1)).await.unwrap();
    let table = describe(&config, &name("t")).await.unwrap().unwrap();
    let words: Vec<&str> = table.columns.iter().map(|column| column.data_type.as_str()).collect();
    assert_eq!(words, ["numeric(20,1)", "varchar(10)", "timestamptz"]);
    assert_eq!(table.columns[0].field.data_type(), &DataType::Decimal128(20, 1));
}

#[tokio::test]
async fn overwrite_never_removes_what_is_not_data() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    write(&config, &TableName::new("sch", "t"), WriteMode::Append, 1, &[numbers(0, 10, "a")]).await.unwrap();
    write(&config, &name("sch"), WriteMode::Append, 2, &[numbers(0, 10, "a")]).await.unwrap();
    let error = write(&config, &name("sch"), WriteMode::Overwrite, 3, &[numbers(0, 1, "b")]).await.unwrap_err();
    assert!(error.detail().unwrap().contains("also holds t, which WRITE OVERWRITE would remove"), "{error:?}");
    assert_eq!(read_all(&config, &TableName::new("sch", "t")).await.unwrap().num_rows(), 10);
    // A link and a single file are not replaced either.
    std::os::unix::fs::symlink(folder.path().join("sch/t"), folder.path().join("link")).unwrap();
    let error = write(&config, &name("link"), WriteMode::Overwrite, 4, &[numbers(0, 1, "b")]).await.unwrap_err();
    assert!(error.detail().unwrap().contains("symbolic link"), "{error:?}");
    fs::write(folder.path().join("one.csv"), "a\n1\n").unwrap();
    let error = write(&config, &name("one"), WriteMode::Overwrite, 5, &[numbers(0, 1, "b")]).await.unwrap_err();
    assert!(error.detail().unwrap().contains("which is only read"), "{error:?}");
}

/// A file system of one mebibyte; None where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_leaves_nothing() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED a_full_disk_is_an_error_that_leaves_nothing: a tmpfs cannot be mounted here");
        return;
    };
    for (run, format) in ["parquet", "csv", "json"].into_iter().enumerate() {
        let run = run as i64 * 10;
        let config = config(disk.0.path(), &[("format", format), ("row_group_rows", "10000")]);
        write(&config, &name(format), WriteMode::Overwrite, run, &[numbers(0, 100, "small")]).await.unwrap();
        let before = everything(disk.0.path());
        // Values that do not compress.
        let noise = |seed: i64| {
            let values =
                (0..50_000_i64).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64).rotate_left(29));
            let ids = Int64Array::from_iter_values(values.clone());
            let texts =
                StringArray::from_iter_values(values.map(|v| format!("{:x}", v.wrapping_mul(0x5851_F42D_4C95_7F2D))));
            RecordBatch::try_new(numbers(0, 0, "").schema(), vec![Arc::new(ids), Arc::new(texts)]).unwrap()
        };
        let batches: Vec<RecordBatch> = (0..20).map(noise).collect();
        let error = write(&config, &name(format), WriteMode::Overwrite, run + 1, &batches).await.unwrap_err();
        assert_eq!(error.sqlstate(), "53100", "{format}: {error:?}");
        assert!(error.message().contains(&disk.0.path().display().to_string()), "{}", error.message());
        assert_eq!(everything(disk.0.path()), before, "{format}");
        assert_eq!(read_all(&config, &name(format)).await.unwrap().num_rows(), 100);
        assert_eq!(sink(&config).recovered_position(&key(run + 1), &name(format)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_null_for_a_column_that_has_none_is_an_error_and_the_write_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    write(&config, &name("t"), WriteMode::Append, 1, &[numbers(0, 10, "a")]).await.unwrap();
    let batch = numbers(0, 10, "b");
    let sink = sink(&config);
    let mut writer: Box<dyn TableWriter> =
        open(sink.as_ref(), target(&name("t"), &batch.schema(), WriteMode::Append), batch.schema(), 2).await.unwrap();
    let loose = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("version", DataType::Utf8, true),
    ]));
    let bad = RecordBatch::try_new(
        loose,
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["x"]))],
    );
    let error = writer.write(bad.unwrap()).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.column()), ("23502", Some("id")));
    writer.write(batch).await.unwrap();
    assert_eq!(writer.commit(&position(2)).await.unwrap().rows_written, 10);
    assert_eq!(read_all(&config, &name("t")).await.unwrap().num_rows(), 20);
}

#[tokio::test]
async fn checks_look_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("a/b");
    let request = |purposes: &[Purpose]| CheckRequest {
        purposes: purposes.to_vec(),
        tables: vec![name("t")],
        timeout: Duration::from_secs(5),
    };
    let statuses = async |config: &connector_api::SourceConfig, purposes: &[Purpose]| {
        let checks = FilesConnector.check(config, &request(purposes)).await;
        checks.into_iter().map(|check| (check.name, check.status)).collect::<Vec<_>>()
    };
    let of = |name: &str, status| (name.to_owned(), status);
    use CheckStatus::{Fail, Pass, Warn};
    let found = statuses(&config(&absent, &[]), &[Purpose::Write]).await;
    assert_eq!(found[..2], [of("path", Warn), of("writable", Pass)]);
    assert_eq!(found.last().unwrap(), &of("table", Pass));
    assert!(!absent.exists());
    let found = statuses(&config(&absent, &[]), &[Purpose::Read]).await;
    assert_eq!(found, [of("path", Fail), of("table", Fail)]);
    let found = statuses(&config(folder.path(), &[]), &[Purpose::Capture]).await;
    assert!(found.contains(&of("capture", Fail)));
    fs::write(folder.path().join("file"), "").unwrap();
    let found = statuses(&config(&folder.path().join("file"), &[]), &[]).await;
    assert_eq!(found, [of("path", Fail)]);
    assert_eq!(everything(folder.path()), ["file"]);
}

#[tokio::test]
async fn duckdb_reads_what_was_written() {
    let Some(python) = std::env::var_os("TIDEGATE_DUCKDB_PYTHON") else {
        eprintln!("SKIPPED duckdb_reads_what_was_written: TIDEGATE_DUCKDB_PYTHON names no python with duckdb");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (format, read) in [("parquet", "read_parquet"), ("csv", "read_csv"), ("json", "read_json")] {
        let config = config(folder.path(), &[("format", format)]);
        let table = TableName::new("s", format);
        for run in 1..=3 {
            let mode = if run == 2 { WriteMode::Overwrite } else { WriteMode::Append };
            write(&config, &table, mode, run, &[numbers(run, 1000, "a")]).await.unwrap();
        }
        // A write that goes on is not seen from anywhere.
        let batch = numbers(0, 1000, "b");
        let sink = sink(&config);
        let mut writer =
            open(sink.as_ref(), target(&table, &batch.schema(), WriteMode::Append), batch.schema(), 9).await.unwrap();
        writer.write(batch).await.unwrap();
        let extension = if format == "json" { "jsonl" } else { format };
        for glob in [format!("s/{format}/*.{extension}"), format!("**/*.{extension}")] {
            let query = format!(
                "import duckdb; print(duckdb.sql(\"select count(*), min(id), max(id), count(version) from {read}('{}/{glob}')\").fetchall())",
                folder.path().display()
            );
            let output = std::process::Command::new(&python).args(["-c", &query]).output().unwrap();
            let answer = String::from_utf8_lossy(&output.stdout);
            assert_eq!(answer.trim(), "[(2000, 2, 1002, 2000)]", "{glob}: {}", String::from_utf8_lossy(&output.stderr));
        }
        writer.abort().await.unwrap();
    }
    let config = config(folder.path(), &[]);
    write(&config, &name("types"), WriteMode::Append, 99, &[crate::roundtrip::every_type(500)]).await.unwrap();
    let query = format!(
        "import duckdb; print(duckdb.sql(\"select typeof(uuid), typeof(timestamptz), typeof(numeric), typeof(bytea), \
         typeof(list), typeof(Date32), count(*) from read_parquet('{}/types/*.parquet') group by all\").fetchall())",
        folder.path().display()
    );
    let output = std::process::Command::new(&python).args(["-c", &query]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "[('UUID', 'TIMESTAMP WITH TIME ZONE', 'DECIMAL(38,9)', 'BLOB', 'VARCHAR[]', 'DATE', 500)]",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
