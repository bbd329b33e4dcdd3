//! The sink against a real server: what is planned, what readers see while a load runs, what is left
//! when it dies, and that values arrive as they were.

use crate::support::*;
use arrow::array::*;
use arrow::datatypes::*;
use catalog::definition::{AddedColumn, ColumnDef, SinkShape};
use catalog::{CreationMethod, ErrorKind, WriteMode};
use connector_api::{CommitKey, Connector, RawChunk, RawFormat, TableCreation, TableWrite, WIRE_KEY, WriteInput};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tidegate_connector_postgres::PostgresConnector;

#[tokio::test]
async fn a_table_is_created_loaded_and_keyed() {
    let Some(server) = Server::start("t_create").await else { return };
    let mut target = people("t_create_new", "people", WriteMode::Upsert);
    server.run("DROP SCHEMA IF EXISTS t_create_new CASCADE").await;
    target.comment = Some("who is who".into());
    target.columns[1].comment = Some("it's a name".into());
    let plan = server.plan(&target).await;
    assert_eq!(plan.creation_method, CreationMethod::Auto);
    assert_eq!(
        plan.ddl,
        [
            "CREATE SCHEMA IF NOT EXISTS t_create_new",
            "CREATE TABLE t_create_new.people (id integer NOT NULL, name character varying(40))",
            "COMMENT ON TABLE t_create_new.people IS 'who is who'",
            "COMMENT ON COLUMN t_create_new.people.name IS 'it''s a name'",
        ]
    );
    assert_eq!(plan.ddl_after, ["ALTER TABLE t_create_new.people ADD PRIMARY KEY (id)"]);
    assert_eq!(plan.wire_encodings, [Some("postgres.binary:23".to_owned()), Some("postgres.binary:1043".to_owned())]);
    assert_eq!(plan.raw_formats[0].name, "postgres.copy_binary");
    assert_eq!(plan.raw_formats[0].column_types, ["integer", "character varying(40)"]);
    assert!(plan.misfits.is_empty(), "{:?}", plan.misfits);

    let batch = rows(&target, &[(2, "b"), (1, "a")]);
    let key = key();
    let mut writer = server.open(&target, &key).await.unwrap();
    writer.write(batch).await.unwrap();
    assert_eq!(server.text("select to_regclass('t_create_new.people')::text").await, "NULL");
    let summary = writer.commit(&position(77)).await.unwrap();
    assert_eq!(summary.rows_written, 2);
    assert_eq!(server.text(&format!("{ALL} t_create_new.people")).await, "1=a,2=b");
    assert_eq!(
        server.text("select string_agg(pg_get_constraintdef(oid), ';') from pg_constraint where conrelid = 't_create_new.people'::regclass and contype = 'p'").await,
        "PRIMARY KEY (id)"
    );
    let known = server.sink.recovered_position(&key, &target.name).await.unwrap();
    assert_eq!(known.as_deref(), Some("0/4D"));
    let other = CommitKey { run_id: key.run_id + 1_000_000, ..key.clone() };
    assert_eq!(server.sink.recovered_position(&other, &target.name).await.unwrap(), None);

    // Now it exists.
    let plan = server.plan(&target).await;
    assert_eq!(plan.creation_method, CreationMethod::Existing);
    assert!(plan.ddl.is_empty() && plan.ddl_after.is_empty() && plan.misfits.is_empty(), "{plan:?}");
    assert!(server.sink.clean_up(&key, &target.name).await.unwrap().is_empty());
    for _ in 0..2 {
        server.sink.forget(&gateway(), Some(key.job_id), std::slice::from_ref(&target.name)).await.unwrap();
    }
    assert_eq!(server.sink.recovered_position(&key, &target.name).await.unwrap(), None);
    assert_eq!(server.text("select to_regclass('t_create_new.people')::text").await, "NULL");
}

#[tokio::test]
async fn append_upsert_and_overwrite_do_what_they_say() {
    let Some(server) = Server::start("t_modes").await else { return };
    server.run("CREATE TABLE t_modes.people (id int primary key, name varchar(40), extra int default 5)").await;
    let table = "t_modes.people";
    let append = people("t_modes", "people", WriteMode::Append);
    assert_eq!(server.load(&append, rows(&append, &[(1, "a"), (2, "b")])).await.unwrap(), 2);
    assert_eq!(server.load(&append, rows(&append, &[(3, "c")])).await.unwrap(), 1);
    assert_eq!(server.text(&format!("{ALL} {table}")).await, "1=a,2=b,3=c");
    server.run("UPDATE t_modes.people SET extra = 9 WHERE id = 2").await;

    // Columns that do not arrive are kept; of two rows with one key the last one wins.
    let upsert = people("t_modes", "people", WriteMode::Upsert);
    server.load(&upsert, rows(&upsert, &[(2, "x"), (4, "d"), (2, "y"), (2, "z")])).await.unwrap();
    assert_eq!(server.text(&format!("{ALL} {table}")).await, "1=a,2=z,3=c,4=d");
    assert_eq!(server.text("select extra::text from t_modes.people where id = 2").await, "9");

    let error = server.load(&append, rows(&append, &[(7, "g"), (1, "again")])).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.table()), ("23505", Some("people")));
    assert!(error.row_key().is_some(), "{error:?}");
    assert_eq!(server.count(table).await, 4);

    // Readers see the old rows until the commit, and then the new ones.
    let overwrite = people("t_modes", "people", WriteMode::Overwrite);
    let mut writer = server.open(&overwrite, &key()).await.unwrap();
    writer.write(rows(&overwrite, &[(10, "j")])).await.unwrap();
    let reader = connect(&server.config).await;
    reader.batch_execute("SET lock_timeout = '2s'; BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let old: String = reader.query_one(&format!("{ALL} {table}"), &[]).await.unwrap().get(0);
    assert_eq!(old, "1=a,2=z,3=c,4=d");
    writer.commit(&position(2)).await.unwrap();
    let still: String = reader.query_one(&format!("{ALL} {table}"), &[]).await.unwrap().get(0);
    assert_eq!(still, old);
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(server.text(&format!("{ALL} {table}")).await, "10=j");
    // Nothing to write is a run too.
    let writer = server.open(&overwrite, &key()).await.unwrap();
    assert_eq!(writer.commit(&position(3)).await.unwrap().rows_written, 0);
    assert_eq!(server.count(table).await, 0);
}

#[tokio::test]
async fn duplicates_in_a_first_upsert_name_the_key() {
    let Some(server) = Server::start("t_dup").await else { return };
    let upsert = people("t_dup", "people", WriteMode::Upsert);
    let error = server.load(&upsert, rows(&upsert, &[(1, "a"), (1, "b")])).await.unwrap_err();
    assert_eq!(error.sqlstate(), "23505");
    assert_eq!(error.row_key(), Some("id=1"), "{error:?}");
    assert_eq!(server.text("select to_regclass('t_dup.people')::text").await, "NULL");
}

#[tokio::test]
async fn a_table_that_does_not_fit_says_every_reason_at_once() {
    let Some(server) = Server::start("t_misfit").await else { return };
    server
        .run(
            "CREATE TABLE t_misfit.t (id int, amount int, total int generated always as (amount * 2) stored, must int not null,
               small smallint, short varchar(3));
             CREATE UNIQUE INDEX ON t_misfit.t (id) WHERE id > 0; CREATE VIEW t_misfit.v AS SELECT 1 AS id",
        )
        .await;
    let columns = vec![
        arrives("id", DataType::Int32, Some("integer")),
        arrives("amount", DataType::Decimal128(10, 2), Some("numeric(10,2)")),
        arrives("total", DataType::Int32, Some("integer")),
        arrives("missing", DataType::Utf8, None),
        arrives("small", DataType::Int64, Some("bigint")),
        arrives("short", DataType::Utf8, Some("text")),
    ];
    let target_ = target("t_misfit", "t", columns, &["id"], WriteMode::Upsert);
    let plan = server.plan(&target_).await;
    let messages: Vec<&str> = plan.misfits.iter().map(|misfit| misfit.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "Column \"amount\" is integer in the sink and numeric(10,2) arrives.",
            "Column \"total\" is generated by the sink and takes no values.",
            "Column \"missing\" arrives and t_misfit.t has no such column.",
            "Column \"must\" of the sink allows no NULL, has no default, and nothing arrives for it.",
            "The key (id) is not unique in the sink: no primary key or full unique index of t_misfit.t has exactly these \
             columns; on that server: CREATE UNIQUE INDEX ON t_misfit.t (id);",
        ]
    );
    let lossy: Vec<&str> = plan.columns.iter().filter(|c| c.is_lossy).map(|c| c.name.as_str()).collect();
    assert_eq!(lossy, ["small", "short"]);
    let Err(error) = server.open(&target_, &key()).await else { panic!("it must not open") };
    assert_eq!(error.kind(), &ErrorKind::TypeMismatch);
    assert!(error.detail().unwrap().contains("\"amount\"") && error.detail().unwrap().contains("\"must\""));

    let view = target("t_misfit", "v", vec![arrives("id", DataType::Int32, None)], &[], WriteMode::Append);
    assert_eq!(server.plan(&view).await.misfits[0].message, "t_misfit.v is a view, not a table.");
    let mut absent = people("t_misfit", "absent", WriteMode::Append);
    absent.creation = TableCreation::MustExist;
    assert_eq!(
        server.plan(&absent).await.misfits[0].message,
        "Table t_misfit.absent does not exist, and it must exist already."
    );
    absent.creation = TableCreation::Auto;
    absent.options.insert("auto_create".into(), "false".into());
    assert_eq!(server.plan(&absent).await.misfits.len(), 1);
    let mut taken = people("t_misfit", "t", WriteMode::Append);
    taken.options.insert("on_exists".into(), "error".into());
    assert!(server.plan(&taken).await.misfits[0].message.contains("on_exists"));
}

#[tokio::test]
async fn missing_rights_come_with_the_grant() {
    let Some(server) = Server::start("t_rights").await else { return };
    server
        .run(
            "DROP ROLE IF EXISTS tg_poor; CREATE ROLE tg_poor LOGIN; CREATE TABLE t_rights.people (id int primary key, name text);
             CREATE SCHEMA IF NOT EXISTS tidegate",
        )
        .await;
    let mut config = server.config.clone();
    config.user("tg_poor");
    let poor = PostgresConnector.sink(&source_config(&config)).unwrap();
    let plan = poor.plan_table(&people("t_rights", "people", WriteMode::Upsert)).await.unwrap();
    let text = plan.misfits.iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("\n");
    assert!(text.contains("User \"tg_poor\" lacks INSERT, SELECT, UPDATE on t_rights.people"), "{text}");
    assert!(text.contains("GRANT INSERT, SELECT, UPDATE ON t_rights.people TO tg_poor;"), "{text}");
    let plan = poor.plan_table(&people("t_rights", "new", WriteMode::Append)).await.unwrap();
    let text = plan.misfits.iter().map(|m| m.message.clone()).collect::<Vec<_>>().join("\n");
    assert!(text.contains("GRANT CREATE, USAGE ON SCHEMA t_rights TO tg_poor;"), "{text}");
    server.run("DROP OWNED BY tg_poor; DROP ROLE tg_poor").await;
}

#[tokio::test]
async fn a_lost_or_given_up_load_leaves_nothing() {
    let Some(server) = Server::start("t_lost").await else { return };
    let target = people("t_lost", "people", WriteMode::Append);
    let many: Vec<(i32, &str)> = (0..50_000).map(|id| (id, "somebody with a name")).collect();
    for way in ["drop", "abort", "kill"] {
        let key = key();
        let mut writer = server.open(&target, &key).await.unwrap();
        writer.write(rows(&target, &many)).await.unwrap();
        match way {
            "drop" => drop(writer),
            "abort" => writer.abort().await.unwrap(),
            _ => {
                server
                    .run("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tidegate load' and state <> 'idle' and query like '%t_lost%'")
                    .await;
                let error = match writer.write(rows(&target, &many)).await {
                    Err(error) => error,
                    Ok(_) => writer.commit(&position(1)).await.unwrap_err(),
                };
                assert!(error.is_retryable(), "{error:?}");
            }
        }
        // The question waits for the dying session, so nothing can appear after it.
        assert_eq!(server.sink.recovered_position(&key, &target.name).await.unwrap(), None, "{way}");
        assert_eq!(server.text("select to_regclass('t_lost.people')::text").await, "NULL", "{way}");
    }
    assert_eq!(server.text("select count(*)::text from pg_class where relname like 'tidegate_staging%'").await, "0");
}

#[tokio::test]
async fn a_session_that_outlives_its_gateway_is_ended() {
    let Some(server) = Server::start("t_dead").await else { return };
    let target = people("t_dead", "people", WriteMode::Append);
    let key = key();
    let mut writer = server.open(&target, &key).await.unwrap();
    writer.write(rows(&target, &[(1, "a")])).await.unwrap();
    let ended = server.sink.clean_up(&key, &target.name).await.unwrap();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert!(writer.commit(&position(1)).await.is_err());
    assert_eq!(server.sink.recovered_position(&key, &target.name).await.unwrap(), None);
}

#[tokio::test]
async fn bad_rows_are_found_by_halving_and_the_others_stay() {
    let Some(server) = Server::start("t_bad").await else { return };
    server.run("CREATE TABLE t_bad.people (id int primary key, name varchar(5) check (name <> 'evil'))").await;
    for mode in [WriteMode::Append, WriteMode::Upsert] {
        server.run("TRUNCATE t_bad.people; INSERT INTO t_bad.people VALUES (1000, 'here')").await;
        let target = people("t_bad", "people", mode);
        let names: Vec<String> = (0..200)
            .map(|id| match id {
                17 => "too long".to_owned(),
                18 => "nul\0".to_owned(),
                150 if mode == WriteMode::Append => "evil".to_owned(),
                _ => format!("n{id}"),
            })
            .collect();
        let input = WriteInput::Arrow(rows(&target, &[]).schema());
        let mut writer = server.open_with(&target, &key(), input, true).await.unwrap();
        let mut bad = vec![];
        let mut ranges = vec![(0usize, 200usize)];
        while let Some((start, length)) = ranges.pop() {
            let part: Vec<(i32, &str)> = (start..start + length).map(|id| (id as i32, names[id].as_str())).collect();
            match writer.write(rows(&target, &part)).await {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.row_key().is_some(), "{error:?}");
                    if length == 1 {
                        bad.push((start, error.sqlstate().to_owned(), error.row_key().unwrap().to_owned()));
                    } else {
                        ranges.push((start, length / 2));
                        ranges.push((start + length / 2, length - length / 2));
                    }
                }
            }
        }
        let summary = writer.commit(&position(1)).await.unwrap();
        bad.sort();
        let mut expected =
            vec![(17, "22001".to_owned(), "id=17".to_owned()), (18, "22P02".to_owned(), "id=18".to_owned())];
        if mode == WriteMode::Append {
            expected.push((150, "23514".to_owned(), "id=150".to_owned()));
        }
        assert_eq!(bad, expected);
        assert_eq!(summary.rows_written, 200 - expected.len() as u64);
        assert_eq!(server.count("t_bad.people").await, 201 - expected.len() as i64);
    }
}

#[tokio::test]
async fn errors_of_values_name_column_and_row() {
    let Some(server) = Server::start("t_values").await else { return };
    server.run("CREATE TABLE t_values.t (id int primary key, n smallint not null, d numeric(5,2), at date)").await;
    let columns = vec![
        arrives("id", DataType::Int32, None),
        arrives("n", DataType::Int64, None),
        arrives("d", DataType::Decimal128(12, 4), None),
        arrives("at", DataType::Date32, None),
    ];
    let target = target("t_values", "t", columns, &["id"], WriteMode::Append);
    let one = |n: Option<i64>, d: i128, at: i32| {
        let d = Decimal128Array::from(vec![d]).with_precision_and_scale(12, 4).unwrap();
        batch(
            &target,
            vec![
                Arc::new(Int32Array::from(vec![7])),
                Arc::new(Int64Array::from(vec![n])),
                Arc::new(d),
                Arc::new(Date32Array::from(vec![at])),
            ],
        )
    };
    for (n, d, at, code, column, row_key) in [
        (Some(40_000), 0, 0, "22003", "n", "id=7"),
        (None, 0, 0, "23502", "n", "id=7"),
        (Some(1), 12_345, 0, "22003", "d", "id=7"),
        (Some(1), 10_000_000, 0, "22003", "d", "id=7"),
        (Some(1), 0, i32::MIN + 1, "22003", "at", "id=7"),
        (Some(1), 0, -2_600_000, "22008", "at", "row 1"),
    ] {
        let error = server.load(&target, one(n, d, at)).await.unwrap_err();
        assert_eq!(
            (error.sqlstate(), error.column(), error.row_key()),
            (code, Some(column), Some(row_key)),
            "{error:?}"
        );
    }
    assert_eq!(server.load(&target, one(Some(-5), 9_999_900, i32::MAX)).await.unwrap(), 1);
    assert_eq!(server.text("select (t.*)::text from t_values.t").await, "(7,-5,999.99,infinity)");
}

#[tokio::test]
async fn odd_names_travel() {
    let Some(server) = Server::start("T \"odd\".schema").await else { return };
    let long = "ü".repeat(31);
    let name = "ta\"ble.with 'all' \\ of it, line 3";
    for mode in [WriteMode::Upsert, WriteMode::Upsert, WriteMode::Overwrite] {
        let columns = vec![
            arrives("select", DataType::Int32, Some("integer")),
            arrives("Weird \"col\", column", DataType::Utf8, Some("text")),
            arrives(&long, DataType::Utf8, Some("text")),
        ];
        let target = target(&server.schema, name, columns, &["select", "Weird \"col\", column"], mode);
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![1, 2])),
            Arc::new(StringArray::from(vec!["it's", "\\"])),
            Arc::new(StringArray::from(vec![Some("x"), None])),
        ];
        assert_eq!(server.load(&target, batch(&target, arrays)).await.unwrap(), 2);
        assert_eq!(server.count(&target.name.quoted()).await, 2);
    }
    server.run("DROP SCHEMA \"T \"\"odd\"\".schema\" CASCADE").await;
}

#[tokio::test]
async fn shapes_are_made_as_they_were_written() {
    let Some(server) = Server::start("t_shape").await else { return };
    let mut target = people("t_shape", "explicit", WriteMode::Upsert);
    target.creation = TableCreation::Shape {
        shape: SinkShape::Explicit {
            columns: vec![
                ColumnDef { name: "id".into(), data_type: "bigint".into(), is_nullable: false, default_expr: None },
                ColumnDef { name: "name".into(), data_type: "text".into(), is_nullable: true, default_expr: None },
                ColumnDef { name: "n".into(), data_type: "bigserial".into(), is_nullable: false, default_expr: None },
            ],
            primary_key: vec!["id".into()],
            indexes: vec![("by_name".into(), vec!["name".into()])],
        },
        added_columns: vec![AddedColumn { name: "tenant".into(), data_type: "varchar(2)".into(), expr: "'cn'".into() }],
    };
    let plan = server.plan(&target).await;
    assert_eq!(plan.ddl_after.len(), 2);
    assert!(plan.misfits.is_empty(), "{:?}", plan.misfits);
    server.load(&target, rows(&target, &[(1, "a")])).await.unwrap();
    assert_eq!(server.text("select (t.*)::text from t_shape.explicit t").await, "(1,a,1,cn)");
    assert_eq!(server.text("select to_regclass('t_shape.by_name')::text").await, "t_shape.by_name");

    let mut wrong = target.clone();
    wrong.name.table = "wrong".into();
    if let TableCreation::Shape { shape: SinkShape::Explicit { columns, .. }, .. } = &mut wrong.creation {
        columns[1].data_type = "no_such_type".into();
        columns[0].data_type = "uuid".into();
    }
    let plan = server.plan(&wrong).await;
    assert_eq!(plan.misfits.len(), 2, "{:?}", plan.misfits);

    let mut by_text = people("t_shape", "by_text", WriteMode::Upsert);
    let ddl = |text: &str| TableCreation::Shape { shape: SinkShape::Ddl { text: text.into() }, added_columns: vec![] };
    by_text.creation = ddl(
        "CREATE TABLE t_shape.by_text (id int primary key, name text, at timestamptz default now()) WITH (fillfactor=70); CREATE INDEX ON t_shape.by_text (name)",
    );
    assert_eq!(server.plan(&by_text).await.ddl.len(), 1);
    server.load(&by_text, rows(&by_text, &[(1, "a"), (2, "b")])).await.unwrap();
    assert_eq!(server.text(&format!("{ALL} t_shape.by_text")).await, "1=a,2=b");
    for (text, code) in [
        ("CREATE TABLE t_shape.other (id int)", "42P01"),
        ("CREATE TABLE t_shape.nothing (id int)", "42703"),
        ("CREATE TABEL x", "42601"),
        ("CREATE TABLE t_shape.nothing (id int primary key, name text); COMMIT; BEGIN", "2D000"),
    ] {
        let mut other = people("t_shape", "nothing", WriteMode::Upsert);
        other.creation = ddl(text);
        let Err(error) = server.open(&other, &key()).await else { panic!("{text}") };
        assert_eq!(error.sqlstate(), code, "{text}: {error:?}");
    }
    let mut again = people("t_shape", "by_text", WriteMode::Append);
    again.options.insert("on_exists".into(), "recreate".into());
    server.load(&again, rows(&again, &[(9, "z")])).await.unwrap();
    assert_eq!(server.text("select string_agg(t::text, ';') from t_shape.by_text t").await, "(9,z)");
}

#[tokio::test]
async fn raw_rows_pass_unread() {
    let Some(server) = Server::start("t_raw").await else { return };
    server.run("CREATE TABLE t_raw.from (id int, name varchar(40)); INSERT INTO t_raw.from SELECT g, 'n' || g FROM generate_series(1, 1000) g").await;
    for (name, mode) in [
        ("postgres.copy_binary", WriteMode::Append),
        ("postgres.copy_text", WriteMode::Append),
        ("postgres.copy_text", WriteMode::Upsert),
    ] {
        let target = people("t_raw", "people", mode);
        let format =
            RawFormat { name: name.into(), column_types: vec!["integer".into(), "character varying(40)".into()] };
        assert!(server.plan(&target).await.raw_formats.contains(&format));
        let word = name.strip_prefix("postgres.copy_").unwrap();
        use futures::StreamExt;
        let stream = server.admin.copy_out(&format!("COPY t_raw.from TO STDOUT (FORMAT {word})")).await.unwrap();
        let bytes: Vec<u8> = stream.map(|piece| piece.unwrap().to_vec()).collect::<Vec<_>>().await.concat();
        let body = if word == "binary" { bytes[19..bytes.len() - 2].to_vec() } else { bytes };
        if mode == WriteMode::Append {
            server.run("DROP TABLE IF EXISTS t_raw.people").await;
        }
        let mut writer = server.open_with(&target, &key(), WriteInput::Raw(format), false).await.unwrap();
        writer.write_raw(RawChunk { bytes: body.into(), rows: 1000 }).await.unwrap();
        assert_eq!(writer.commit(&position(1)).await.unwrap().rows_written, 1000);
        assert_eq!(server.count("t_raw.people").await, 1000);
        assert_eq!(server.text("select name from t_raw.people where id = 1000").await, "n1000");
    }
}

#[tokio::test]
async fn wire_bytes_and_text_meet_in_one_load() {
    let Some(server) = Server::start("t_wire").await else { return };
    let columns = vec![
        arrives("id", DataType::Int32, Some("integer")),
        arrives("list", DataType::Utf8, Some("integer[]")),
        arrives("span", DataType::Utf8, Some("interval")),
    ];
    let target = target("t_wire", "t", columns, &["id"], WriteMode::Append);
    let plan = server.plan(&target).await;
    assert_eq!(plan.wire_encodings[1].as_deref(), Some("postgres.binary:1007"));
    assert_eq!(plan.needs_text, [false; 3]);
    // The interval is used by an expression too, so it comes as text; the array as bytes.
    let wire = HashMap::from([(WIRE_KEY.to_owned(), "postgres.binary:1007".to_owned())]);
    let schema = Arc::new(Schema::new(vec![
        target.columns[0].field.clone(),
        Field::new("list", DataType::Binary, true).with_metadata(wire),
        target.columns[2].field.clone(),
    ]));
    let list: Vec<u8> = [1i32, 0, 23, 2, 1]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .chain([0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 6])
        .collect();
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(&list), None])),
        Arc::new(StringArray::from(vec![Some("1 mon -2 days"), None])),
    ];
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let mut writer = server.open_with(&target, &key(), WriteInput::Arrow(schema.clone()), false).await.unwrap();
    writer.write(batch).await.unwrap();
    writer.commit(&position(1)).await.unwrap();
    assert_eq!(
        server.text("select string_agg(t::text, ';' order by id) from t_wire.t").await,
        "(1,\"{5,6}\",\"1 mon -2 days\");(2,,)"
    );
    // Bytes of another type than planned are refused before anything is written.
    server.run("ALTER TABLE t_wire.t ALTER COLUMN list TYPE bigint[]").await;
    let Err(error) = server.open_with(&target, &key(), WriteInput::Arrow(schema), false).await else {
        panic!("opened")
    };
    assert_eq!(error.sqlstate(), "42804");
}

#[tokio::test]
async fn a_locked_table_is_waited_for_and_plans_do_not_wait() {
    let Some(server) = Server::start("t_lock").await else { return };
    server.run("CREATE TABLE t_lock.people (id int primary key, name text)").await;
    let target = people("t_lock", "people", WriteMode::Append);
    let other = connect(&server.config).await;
    other.batch_execute("BEGIN; LOCK TABLE t_lock.people IN ACCESS EXCLUSIVE MODE").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.plan(&target)).await.expect("a plan takes no lock");
    let key = key();
    let opening = server.open(&target, &key);
    tokio::pin!(opening);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut opening).await.is_err());
    other.batch_execute("ROLLBACK").await.unwrap();
    let mut writer = opening.await.unwrap();
    writer.write(rows(&target, &[(1, "a")])).await.unwrap();
    writer.commit(&position(1)).await.unwrap();
    assert_eq!(server.count("t_lock.people").await, 1);
}

/// Passes bytes on. The first client message with `word` in it breaks its connection: before it
/// reaches the server, or after, so that only the answer is lost.
async fn cutting_proxy(server: &tokio_postgres::Config, word: &'static str, is_delivered: bool) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let port = server.get_ports()[0];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_port = listener.local_addr().unwrap().port();
    let is_cut = Arc::new(std::sync::atomic::AtomicBool::new(false));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let is_cut = is_cut.clone();
            tokio::spawn(async move {
                let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length) = from_client.read(&mut buffer).await {
                    let bytes = &buffer[..length];
                    let is_last = bytes.windows(word.len()).any(|window| window == word.as_bytes());
                    if length == 0 || is_last && !is_cut.swap(true, Ordering::SeqCst) {
                        answers.abort();
                        if is_delivered && length > 0 {
                            to_server.write_all(bytes).await.unwrap();
                            // The server has to read it before it sees the end.
                            tokio::time::sleep(Duration::from_millis(300)).await;
                        }
                        return;
                    }
                    to_server.write_all(bytes).await.unwrap();
                }
            });
        }
    });
    proxy_port
}

#[tokio::test]
async fn a_lost_answer_to_commit_is_looked_up() {
    let Some(server) = Server::start("t_commit").await else { return };
    for is_delivered in [true, false] {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(cutting_proxy(&server.config, "COMMIT\0", is_delivered).await);
        config.user(server.config.get_user().unwrap_or("postgres"));
        config.dbname(server.config.get_dbname().unwrap_or("postgres"));
        let sink = PostgresConnector.sink(&source_config(&config)).unwrap();
        let target = people("t_commit", if is_delivered { "late" } else { "never" }, WriteMode::Append);
        // The positions table is made by a COMMIT of its own.
        server.load(&people("t_commit", "first", WriteMode::Overwrite), rows(&target, &[])).await.unwrap();
        let plan = sink.plan_table(&target).await.unwrap();
        let key = key();
        let input = WriteInput::Arrow(rows(&target, &[]).schema());
        let write = TableWrite {
            target: target.clone(),
            plan,
            input,
            commit_key: key.clone(),
            rows_estimate: None,
            tolerates_bad_rows: false,
        };
        let mut writer = sink.open(write).await.unwrap();
        writer.write(rows(&target, &[(1, "a")])).await.unwrap();
        let outcome = writer.commit(&position(5)).await;
        let known = sink.recovered_position(&key, &target.name).await.unwrap();
        if is_delivered {
            assert_eq!(outcome.unwrap().rows_written, 1);
            assert_eq!(known.as_deref(), Some("0/5"));
            assert_eq!(server.count("t_commit.late").await, 1);
        } else {
            assert!(outcome.unwrap_err().is_retryable());
            assert_eq!(known, None);
            assert_eq!(server.text("select to_regclass('t_commit.never')::text").await, "NULL");
        }
    }
}

#[tokio::test]
async fn many_first_writes_at_once_make_one_memory() {
    let Some(server) = Server::start("t_race").await else { return };
    server.run("DROP DATABASE IF EXISTS tg_race WITH (FORCE)").await;
    server.run("CREATE DATABASE tg_race").await;
    let mut config = server.config.clone();
    config.dbname("tg_race");
    let sink = PostgresConnector.sink(&source_config(&config)).unwrap();
    let loads = (0..8).map(|index| {
        let sink = sink.clone();
        tokio::spawn(async move {
            let target = people("made", &format!("t{index}"), WriteMode::Append);
            let plan = sink.plan_table(&target).await?;
            let input = WriteInput::Arrow(rows(&target, &[]).schema());
            let write = TableWrite {
                target: target.clone(),
                plan,
                input,
                commit_key: key(),
                rows_estimate: None,
                tolerates_bad_rows: false,
            };
            let mut writer = sink.open(write).await?;
            writer.write(rows(&target, &[(1, "a")])).await?;
            writer.commit(&position(1)).await
        })
    });
    for load in loads.collect::<Vec<_>>() {
        assert_eq!(load.await.unwrap().unwrap().rows_written, 1);
    }
    let admin = connect(&config).await;
    let count: i64 = admin.query_one("select count(*) from tidegate.sink_positions", &[]).await.unwrap().get(0);
    assert_eq!(count, 8);
    drop(admin);
    server.run("DROP DATABASE tg_race WITH (FORCE)").await;
}
