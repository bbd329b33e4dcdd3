//! The sink against a real server: what is planned, what readers see while a load runs, what is left
//! when it dies, and that values arrive as they were.

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use catalog::definition::{AddedColumn, ColumnDef, SinkShape};
use catalog::{CreationMethod, ErrorKind, Lineage, Position, TableName, WriteMode};
use connector_api::{
    CommitKey, ConfigValue, Connector, RawChunk, RawFormat, Sink, SourceConfig, TYPE_KEY, TableCreation, TablePlan,
    TableTarget, TableWrite, TableWriter, TargetColumn, WIRE_KEY, WriteInput,
};
use tidegate_connector_postgres::PostgresConnector;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A server, a schema of the test's own, and the sink on it.
struct Server {
    admin: tokio_postgres::Client,
    sink: Arc<dyn Sink>,
    config: tokio_postgres::Config,
    schema: String,
}

static RUNS: AtomicI64 = AtomicI64::new(1);

async fn connect(config: &tokio_postgres::Config) -> tokio_postgres::Client {
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

fn source_config(config: &tokio_postgres::Config) -> SourceConfig {
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
    async fn start(schema: &str) -> Option<Self> {
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
    async fn run(&self, statement: &str) {
        self.admin.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    async fn text(&self, query: &str) -> String {
        let row = self.admin.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "NULL".to_owned())
    }
    async fn count(&self, table: &str) -> i64 {
        self.admin.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    }
    async fn plan(&self, target: &TableTarget) -> TablePlan {
        self.sink.plan_table(target).await.unwrap()
    }
    async fn open(&self, target: &TableTarget, key: &CommitKey) -> catalog::Result<Box<dyn TableWriter>> {
        let schema = Schema::new(target.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
        self.open_with(target, key, WriteInput::Arrow(Arc::new(schema)), false).await
    }
    async fn open_with(
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
    async fn load(&self, target: &TableTarget, batch: RecordBatch) -> catalog::Result<u64> {
        let mut writer = self.open(target, &key()).await?;
        writer.write(batch).await?;
        Ok(writer.commit(&position(1)).await?.rows_written)
    }
}

/// This process, so that positions of earlier ones are not ours.
fn gateway() -> String {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    NAME.get_or_init(|| format!("test-{}-{}", std::process::id(), now())).clone()
}

fn key() -> CommitKey {
    let run_id = RUNS.fetch_add(1, Ordering::Relaxed);
    CommitKey { gateway_id: gateway(), job_id: 1_000 + run_id, mapping_id: 2, run_id }
}

fn position(lsn: u64) -> Position {
    Position::Lsn { lsn, lineage: Lineage::default() }
}

fn arrives(name: &str, data_type: DataType, source_type: Option<&str>) -> TargetColumn {
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

fn target(schema: &str, table: &str, columns: Vec<TargetColumn>, key: &[&str], mode: WriteMode) -> TableTarget {
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

fn people(schema: &str, table: &str, mode: WriteMode) -> TableTarget {
    let columns = vec![
        arrives("id", DataType::Int32, Some("integer")),
        arrives("name", DataType::Utf8, Some("character varying(40)")),
    ];
    target(schema, table, columns, &["id"], mode)
}

fn batch(target: &TableTarget, arrays: Vec<ArrayRef>) -> RecordBatch {
    let schema = Schema::new(target.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), arrays).unwrap()
}

fn rows(target: &TableTarget, rows: &[(i32, &str)]) -> RecordBatch {
    let ids = Int32Array::from_iter_values(rows.iter().map(|row| row.0));
    let names = StringArray::from_iter_values(rows.iter().map(|row| row.1));
    batch(target, vec![Arc::new(ids), Arc::new(names)])
}

const ALL: &str = "select coalesce(string_agg(id || '=' || name, ',' order by id), '') from ";

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
    assert_eq!(
        server.text("select count(*)::text from pg_class where relname like 'tidegate_staging%'").await,
        "0"
    );
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
        assert_eq!((error.sqlstate(), error.column(), error.row_key()), (code, Some(column), Some(row_key)), "{error:?}");
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
    by_text.creation =
        ddl("CREATE TABLE t_shape.by_text (id int primary key, name text, at timestamptz default now()) WITH (fillfactor=70); CREATE INDEX ON t_shape.by_text (name)");
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
    for (name, mode) in [("postgres.copy_binary", WriteMode::Append), ("postgres.copy_text", WriteMode::Append), ("postgres.copy_text", WriteMode::Upsert)] {
        let target = people("t_raw", "people", mode);
        let format = RawFormat { name: name.into(), column_types: vec!["integer".into(), "character varying(40)".into()] };
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
    let list: Vec<u8> = [1i32, 0, 23, 2, 1].iter().flat_map(|n| n.to_be_bytes()).chain([0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 6]).collect();
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
    let Err(error) = server.open_with(&target, &key(), WriteInput::Arrow(schema), false).await else { panic!("opened") };
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
        let write = TableWrite { target: target.clone(), plan, input, commit_key: key.clone(), rows_estimate: None, tolerates_bad_rows: false };
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
            let write = TableWrite { target: target.clone(), plan, input, commit_key: key(), rows_estimate: None, tolerates_bad_rows: false };
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

/// xorshift; the seed is printed by the test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn text(&mut self) -> String {
        const SIGNS: &[&str] = &["a", "\\", "\t", "\n", "\r", "\"", "'", ",", "{", "}", "é", "😀", " ", "\\N", "\\.", "NULL", "\u{1}"];
        (0..self.next() % 12).map(|_| SIGNS[(self.next() % SIGNS.len() as u64) as usize]).collect()
    }
}

/// Random values of every Arrow type, through binary and through text, compared by the server itself
/// with what the same values are as SQL literals.
#[tokio::test]
async fn random_values_of_every_type_arrive_as_they_were() {
    let Some(server) = Server::start("t_random").await else { return };
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    let mut random = Random(seed);
    const ROWS: usize = 400;
    let nulls: NullBuffer = (0..ROWS).map(|_| random.next() % 7 != 0).collect();
    let r64: Vec<i64> = (0..ROWS).map(|_| (random.next() as i64) >> (random.next() % 63)).collect();
    let texts: Vec<String> = (0..ROWS).map(|_| random.text()).collect();
    let some = |array: ArrayRef| -> ArrayRef {
        arrow::array::make_array(array.to_data().into_builder().nulls(Some(nulls.clone())).build().unwrap())
    };
    let micros = |value: &i64| value.rem_euclid(250_000_000_000_000_000) - 100_000_000_000_000_000;
    let d256: Vec<arrow::datatypes::i256> = r64
        .iter()
        .map(|v| arrow::datatypes::i256::from_i128(i128::from(*v)) * arrow::datatypes::i256::from_i128(10i128.pow(30) + 7))
        .collect();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for (row, text) in texts.iter().enumerate() {
        for index in 0..row % 4 {
            if index == 2 { lists.values().append_null() } else { lists.values().append_value(text) }
        }
        lists.append(true);
    }
    // Arrow column, sink type, and the SQL text of each value (None: the Arrow text itself).
    let mut columns: Vec<(&str, &str, ArrayRef)> = vec![
        ("i8", "smallint", Arc::new(Int8Array::from_iter_values(r64.iter().map(|v| *v as i8)))),
        ("i16", "smallint", Arc::new(Int16Array::from_iter_values(r64.iter().map(|v| *v as i16)))),
        ("i32", "integer", Arc::new(Int32Array::from_iter_values(r64.iter().map(|v| *v as i32)))),
        ("i64", "bigint", Arc::new(Int64Array::from(r64.clone()))),
        ("u8", "smallint", Arc::new(UInt8Array::from_iter_values(r64.iter().map(|v| *v as u8)))),
        ("u16", "integer", Arc::new(UInt16Array::from_iter_values(r64.iter().map(|v| *v as u16)))),
        ("u32", "bigint", Arc::new(UInt32Array::from_iter_values(r64.iter().map(|v| *v as u32)))),
        ("u64", "numeric(20,0)", Arc::new(UInt64Array::from_iter_values(r64.iter().map(|v| *v as u64)))),
        ("f32", "real", Arc::new(Float32Array::from_iter_values(r64.iter().map(|v| f32::from_bits(*v as u32)).map(|v| if v.is_nan() { 0.1 } else { v })))),
        ("f64", "double precision", Arc::new(Float64Array::from_iter_values(r64.iter().map(|v| f64::from_bits(*v as u64)).map(|v| if v.is_nan() { f64::INFINITY } else { v })))),
        ("d128", "numeric(38,9)", Arc::new(Decimal128Array::from_iter_values(r64.iter().map(|v| i128::from(*v) * 1_000_000_007)).with_precision_and_scale(38, 9).unwrap())),
        ("d256", "numeric(76,20)", Arc::new(Decimal256Array::from_iter_values(d256).with_precision_and_scale(76, 20).unwrap())),
        ("txt", "text", Arc::new(StringArray::from(texts.clone()))),
        ("large", "text", Arc::new(LargeStringArray::from(texts.clone()))),
        ("view", "text", Arc::new(StringViewArray::from_iter_values(texts.iter()))),
        ("flag", "boolean", Arc::new(BooleanArray::from(r64.iter().map(|v| *v % 2 == 0).collect::<Vec<_>>()))),
        ("bin", "bytea", Arc::new(BinaryArray::from_iter_values(texts.iter()))),
        ("day", "date", Arc::new(Date32Array::from_iter_values(r64.iter().map(|v| if *v == 0 { i32::MAX } else { (*v % 900_000) as i32 })))),
        ("tod", "time", Arc::new(Time64MicrosecondArray::from_iter_values(r64.iter().map(|v| v.rem_euclid(86_400_000_001))))),
        ("ts", "timestamp", Arc::new(TimestampMicrosecondArray::from_iter_values(r64.iter().map(micros)))),
        ("tz", "timestamptz", Arc::new(TimestampMicrosecondArray::from_iter_values(r64.iter().map(micros)).with_timezone("UTC"))),
        ("tsms", "timestamp", Arc::new(TimestampMillisecondArray::from_iter_values(r64.iter().map(|v| v % 100_000_000_000_000)))),
        ("span", "interval", Arc::new(IntervalMonthDayNanoArray::from_iter_values(r64.iter().map(|v| IntervalMonthDayNano::new((*v % 5_000) as i32, (*v % 7_000) as i32, *v / 1000 * 1000))))),
        ("uid", "uuid", Arc::new(FixedSizeBinaryArray::try_from_iter(r64.iter().map(|v| (i128::from(*v) * 77_777).to_be_bytes())).unwrap())),
        ("json", "jsonb", Arc::new(StringArray::from_iter_values(r64.iter().map(|v| format!("{{\"a\": {v}}}"))))),
        ("list", "text[]", Arc::new(lists.finish())),
    ];
    for (_, _, array) in &mut columns {
        *array = some(array.clone());
    }
    // A dictionary is its values.
    let values: StringArray = texts.iter().map(|text| Some(text.as_str())).collect();
    let keys = Int32Array::from_iter_values((0..ROWS as i32).rev());
    columns.push(("dict", "text", Arc::new(DictionaryArray::new(keys, Arc::new(values)))));

    let id: ArrayRef = Arc::new(Int32Array::from_iter_values(0..ROWS as i32));
    let mut arriving = vec![arrives("id", DataType::Int32, None)];
    let mut arrays = vec![id];
    for (name, sink_type, array) in &columns {
        let mut column = arrives(name, array.data_type().clone(), None);
        if matches!(*sink_type, "uuid" | "jsonb") {
            column.field = column.field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), (*sink_type).to_owned())]));
        }
        arriving.push(column);
        arrays.push(array.clone());
    }
    let binary = target("t_random", "by_binary", arriving.clone(), &["id"], WriteMode::Append);
    let plan = server.plan(&binary).await;
    for ((_, sink_type, _), column) in columns.iter().zip(plan.columns.iter().skip(1)) {
        let printed = server.text(&format!("select format_type('{sink_type}'::regtype, null)")).await;
        assert!(column.data_type.starts_with(printed.trim_end_matches("[]")), "{column:?} {printed}");
    }
    assert_eq!(server.load(&binary, batch(&binary, arrays.clone())).await.unwrap(), ROWS as u64);
    // A column that only the server can read makes it a COPY of text.
    server.run("CREATE TABLE t_random.by_text (LIKE t_random.by_binary); ALTER TABLE t_random.by_text ADD words tsvector").await;
    arriving.push(arrives("words", DataType::Utf8, None));
    arrays.push(Arc::new(StringArray::from(vec!["a b"; ROWS])));
    let text = target("t_random", "by_text", arriving, &["id"], WriteMode::Append);
    assert_eq!(server.plan(&text).await.wire_encodings.iter().flatten().count(), 0);
    assert_eq!(server.load(&text, batch(&text, arrays)).await.unwrap(), ROWS as u64);
    for (name, _, array) in &columns {
        let unequal = server
            .text(&format!(
                "select count(*)::text from t_random.by_binary b join t_random.by_text t using (id)
                 where b.{name}::text is distinct from t.{name}::text"
            ))
            .await;
        assert_eq!(unequal, "0", "column {name}, seed {seed}");
        // And against Arrow's own text, where it is the server's too.
        if !matches!(*name, "i8" | "i16" | "i32" | "i64" | "u64" | "d128" | "d256" | "txt" | "view" | "flag") {
            continue;
        }
        let shown = arrow::compute::cast(array, &DataType::Utf8).unwrap();
        let shown = shown.as_string::<i32>();
        let found = server.admin.query(&format!("select {name}::text from t_random.by_binary order by id"), &[]).await.unwrap();
        for (row, found) in found.iter().enumerate() {
            let expected = shown.is_valid(row).then(|| shown.value(row).to_owned());
            assert_eq!(found.get::<_, Option<String>>(0), expected, "column {name}, row {row}, seed {seed}");
        }
    }
}

#[tokio::test]
async fn types_that_the_sink_lacks_become_text() {
    let Some(server) = Server::start("t_types").await else { return };
    server.run("CREATE TYPE t_types.mood AS ENUM ('ok', 'sad'); CREATE DOMAIN t_types.positive AS int NOT NULL CHECK (value > 0)").await;
    let columns = vec![
        arrives("known", DataType::Utf8, Some("t_types.mood")),
        arrives("unknown", DataType::Utf8, Some("elsewhere.mood")),
        arrives("dom", DataType::Int32, Some("t_types.positive")),
        arrives("list", DataType::Utf8, Some("t_types.mood[]")),
        arrives("num", DataType::Utf8, Some("numeric")),
        arrives("span", DataType::Utf8, Some("interval day to second(3)")),
    ];
    let target = target("t_types", "t", columns, &[], WriteMode::Append);
    let plan = server.plan(&target).await;
    let types: Vec<&str> = plan.columns.iter().map(|column| column.data_type.as_str()).collect();
    assert_eq!(types, ["t_types.mood", "text", "t_types.positive", "t_types.mood[]", "numeric", "interval day to second(3)"]);
    assert!(plan.columns.iter().all(|column| !column.is_lossy), "{plan:?}");
    assert_eq!(plan.needs_text, [true; 6], "an array of an enum can only be read by the server");
    let one = |texts: [&str; 5], dom: i32| {
        let text = |index: usize| -> ArrayRef { Arc::new(StringArray::from(vec![texts[index]])) };
        vec![text(0), text(1), Arc::new(Int32Array::from(vec![dom])) as ArrayRef, text(2), text(3), text(4)]
    };
    let good = one(["ok", "any", "{ok,sad}", "NaN", "1 day 00:00:01.5"], 5);
    assert_eq!(server.load(&target, batch(&target, good)).await.unwrap(), 1);
    assert_eq!(server.text("select t::text from t_types.t t").await, "(ok,any,5,\"{ok,sad}\",NaN,\"1 day 00:00:01.5\")");
    let bad = one(["happy", "any", "{ok}", "1", "1 day"], 5);
    let error = server.load(&target, batch(&target, bad)).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.column()), ("22P02", Some("known")), "{error:?}");
}

/// A load of more bytes than one COPY takes: the rows of all of them count, and errors too.
#[tokio::test]
async fn a_large_load_is_several_copies_in_one_transaction() {
    let Some(server) = Server::start("t_large").await else { return };
    let columns = vec![
        arrives("id", DataType::Int32, Some("integer")),
        arrives("name", DataType::Utf8, Some("character varying(1000000)")),
    ];
    let target = target("t_large", "t", columns, &["id"], WriteMode::Upsert);
    let big = "x".repeat(1_000_000);
    let part = |from: i32, text: &str| rows(&target, &(from..from + 30).map(|id| (id, text)).collect::<Vec<_>>());
    let mut writer = server.open(&target, &key()).await.unwrap();
    for index in 0..10 {
        writer.write(part(index * 30, &big)).await.unwrap();
    }
    assert_eq!(writer.commit(&position(1)).await.unwrap().rows_written, 300);
    assert_eq!(server.count("t_large.t").await, 300);

    let mut writer = server.open(&target, &key()).await.unwrap();
    for index in 0..9 {
        writer.write(part(1000 + index * 30, &big)).await.unwrap();
    }
    writer.write(part(2000, &format!("{big}y"))).await.unwrap();
    let error = writer.commit(&position(1)).await.unwrap_err();
    assert_eq!((error.sqlstate(), error.column(), error.row_key()), ("22001", Some("name"), Some("row 271")), "{error:?}");
    assert_eq!(server.count("t_large.t").await, 300);
}
