//! Queries against a gateway with one sample source, as a session runs them.

use super::*;
use crate::gateway::Connectors;
use crate::runtime::JobManager;
use crate::settings::Settings;
use catalog::definition::{Source, now};
use catalog::option::OptionValue;
use catalog::store::{Change, KeySource, Store};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use std::collections::BTreeMap;
use tokio::runtime::{Builder, Runtime};

/// A gateway with the sample source `demo`, and a session in one of its databases.
pub(crate) struct Bench {
    pub gateway: Arc<Gateway>,
    pub session: Arc<Session>,
    runtime: Runtime,
    _directory: tempfile::TempDir,
}

/// A result: names, and rows as text.
#[derive(Debug)]
pub(crate) struct Answer {
    pub names: Vec<String>,
    pub types: Vec<u32>,
    pub rows: Vec<Vec<String>>,
}

impl Bench {
    pub(crate) fn new(database: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_stack_size(16 << 20).enable_all().build().unwrap();
        let store = Arc::new(Store::open(directory.path(), KeySource::File).unwrap());
        let source = |id, name: &str, usage: &str| Source {
            id,
            name: name.to_owned(),
            source_type: "sample".to_owned(),
            options: BTreeMap::from([
                ("scale_factor".to_owned(), OptionValue::Text("0.001".to_owned())),
                ("usage".to_owned(), OptionValue::Text(usage.to_owned())),
            ]),
            owner: "ann".to_owned(),
            comment: None,
            created_at: now(),
            altered_at: now(),
        };
        let changes =
            vec![Change::PutSource(source(1, "demo", "both")), Change::PutSource(source(2, "lake", "destination"))];
        store.commit(store.snapshot().version, changes).unwrap();
        let gateway = Arc::new(Gateway {
            store,
            connectors: Connectors::built_in(),
            sessions: Default::default(),
            jobs: JobManager::new(runtime.handle().clone()),
            query_runtime: runtime.handle().clone(),
            discovery: Default::default(),
            query_memory_bytes: 256 << 20,
        });
        let (session, _) = Session::new(7, "ann".into(), database.into(), "127.0.0.1:5".into(), Settings::new());
        gateway.sessions.add(session.clone());
        Self { gateway, session, runtime, _directory: directory }
    }

    pub(crate) fn plan(&self, sql: &str, types: &[Option<u32>]) -> Result<PlannedQuery> {
        let parsed = planner::parse(sql)?.remove(0);
        let planner::Statement::Sql(statement) = parsed.statement else { panic!("{sql}") };
        self.runtime.block_on(plan(&self.gateway, &self.session, &statement, sql, types))
    }

    pub(crate) fn run(&self, planned: &PlannedQuery, parameters: Vec<ScalarValue>) -> Result<Answer> {
        let batches: Vec<RecordBatch> = self
            .runtime
            .block_on(async { planned.execute(&self.gateway, &self.session, parameters).await?.try_collect().await })?;
        let options = FormatOptions::default().with_null("NULL");
        let mut rows = vec![];
        for batch in &batches {
            assert_eq!(batch.num_columns(), planned.columns.len());
            for (array, column) in batch.columns().iter().zip(&planned.columns) {
                assert_eq!(array.data_type(), column.field.data_type(), "{}", column.name);
            }
            let formatters: Vec<ArrayFormatter<'_>> =
                batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
            rows.extend(
                (0..batch.num_rows()).map(|i| formatters.iter().map(|f| f.value(i).to_string()).collect::<Vec<_>>()),
            );
        }
        Ok(Answer {
            names: planned.columns.iter().map(|c| c.name.clone()).collect(),
            types: planned.columns.iter().map(|c| c.type_oid).collect(),
            rows,
        })
    }

    pub(crate) fn query(&self, sql: &str) -> Result<Answer> {
        self.run(&self.plan(sql, &[])?, vec![])
    }

    fn row(&self, sql: &str) -> Vec<String> {
        self.query(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).rows.remove(0)
    }
}

#[test]
fn names_and_types_of_results_are_postgresqls() {
    let bench = Bench::new("tidegate");
    let answer =
        bench.query("select 1, 1+1, 'x', null, true, count(*), 1.5 as a, 2 as a, current_user, 3000000000").unwrap();
    let names =
        ["?column?", "?column?", "?column?", "?column?", "?column?", "count", "a", "a", "current_user", "?column?"];
    assert_eq!(answer.names, names);
    assert_eq!(answer.types, [23, 23, 25, 25, 16, 20, 1700, 23, 19, 20]);
    assert_eq!(answer.rows[0][8], "ann");
    let answer = bench.query("select *, name from sources limit 0").unwrap();
    assert_eq!(answer.names.first().map(String::as_str), Some("source_id"));
    assert_eq!(answer.names.last().map(String::as_str), Some("name"));
}

#[test]
fn values_are_postgresqls() {
    let bench = Bench::new("tidegate");
    for (sql, expected) in [
        ("select 2.5::int, 1.7::int, 'abc'::varchar(2), 'a'::char(3)", "3|2|ab|a  "),
        ("select to_char(timestamp '2024-05-06 07:08', 'YYYY-MM-DD HH24:MI')", "2024-05-06 07:08"),
        ("select timestamptz '2024-07-01 12:00+00' at time zone 'Europe/Berlin'", "2024-07-01T14:00:00"),
        ("select date '2024-01-31' + interval '1 hour'", "2024-01-31T01:00:00"),
        ("select '{1,NULL,3}'::int[]", "[1, NULL, 3]"),
        ("select 'a' like 'a' escape '/', 'a%' like 'a/%' escape '/'", "true|true"),
        ("select array(select n_nationkey from demo.tpch.nation where n_nationkey < 2 order by 1)", "[0, 1]"),
        ("select sum(g) from generate_series(1, 4) g", "10"),
    ] {
        assert_eq!(bench.row(sql).join("|"), expected, "{sql}");
    }
    assert_eq!(bench.query("select generate_series(1, 3)").unwrap().rows.len(), 3);
}

#[test]
fn errors_have_code_place_and_hint() {
    let bench = Bench::new("tidegate");
    for (sql, code, position, hint) in [
        ("select nmae from sources", "42703", 8, "sources.name"),
        ("select * from sorces", "42P01", 15, "\"sources\""),
        ("select * from demo.tpch.nations", "42P01", 15, "demo.tpch.nation"),
        ("select * from demo.tpc.nation", "3F000", 15, "\"tpch\""),
        ("select * from dem.tpch.nation", "42704", 15, "\"demo\""),
        ("select * from demo.nation", "42P01", 15, "source.schema.table"),
        ("select * from pg_catalog.pg_clas", "42P01", 15, "pg_catalog.pg_class"),
        ("select relnam from pg_class", "42703", 8, "pg_class.relname"),
        ("select uper('x')", "42883", 8, "\"upper\""),
        ("select 1/0", "22012", 0, ""),
        ("select 'x'::int", "22P02", 0, ""),
        ("select 2147483647 + 1", "22003", 0, ""),
        ("select n_name, count(*) from demo.tpch.nation", "42803", 8, ""),
        ("select * from sources, sources", "42712", 0, ""),
        ("select name, source_type from sources join source_types on true", "42702", 14, ""),
        ("select * from lake.tpch.nation", "55000", 15, "ALTER SOURCE lake"),
        ("select 1::nosuch", "42704", 0, ""),
        ("select (select n_name from demo.tpch.nation)", "21000", 0, ""),
        ("delete from sources", "0A000", 0, "CREATE SYNC JOB"),
    ] {
        let error = bench.query(sql).map(|a| a.rows).expect_err(sql);
        assert_eq!(error.sqlstate(), code, "{sql}: {error}");
        assert_eq!(error.position().unwrap_or(0), position, "{sql}: {error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{sql}: {:?}", error.hint());
    }
}

#[test]
fn parameters_get_their_types_from_the_query_and_from_the_client() {
    let bench = Bench::new("tidegate");
    let planned = bench.plan("select n_name from demo.tpch.nation where n_nationkey = $1 or n_name = $2", &[]).unwrap();
    assert_eq!(planned.parameter_types, [20, 25]);
    for _ in 0..2 {
        let answer = bench.run(&planned, vec![ScalarValue::Int64(Some(3)), ScalarValue::Utf8(None)]).unwrap();
        assert_eq!(answer.rows, [["CANADA"]]);
    }
    // An integer beside a decimal column.
    let planned = bench.plan("select count(*) from demo.tpch.customer where c_acctbal > $1", &[Some(21)]).unwrap();
    assert_eq!(planned.parameter_types, [21]);
    assert_eq!(bench.run(&planned, vec![ScalarValue::Int16(Some(-2000))]).unwrap().rows, [["150"]]);
    // Nothing decides but the cast, and nothing at all.
    let planned = bench.plan("select $1::int, $2", &[]).unwrap();
    assert_eq!(planned.parameter_types, [23, 25]);
    assert_eq!(planned.columns[1].type_oid, 25);
    let planned = bench.plan("select oid from pg_type where typname = $1 and oid = $2", &[None, Some(20)]).unwrap();
    assert_eq!(planned.parameter_types, [25, 20]);
    let parameters = vec![ScalarValue::Utf8(Some("int4".into())), ScalarValue::Int64(Some(23))];
    assert_eq!(bench.run(&planned, parameters).unwrap().rows, [["23"]]);
    let error = bench.run(&planned, vec![]).unwrap_err();
    assert_eq!(error.sqlstate(), "08P01");
}

#[test]
fn a_source_is_a_database_and_bare_names_are_its_tables() {
    let bench = Bench::new("demo");
    assert_eq!(bench.row("select count(*) from nation"), ["25"]);
    assert_eq!(
        bench.row("select count(*) from tpch.nation n join demo.tpch.region r on n.n_regionkey = r.r_regionkey"),
        ["25"]
    );
    assert_eq!(bench.row("select count(*) from Nation"), ["25"]);
    assert_eq!(bench.row("select current_database(), current_schema()"), ["demo", "tpch"]);
    assert_eq!(
        bench.query("select * from sources").map(|a| a.rows).unwrap_err().hint(),
        Some("Perhaps you meant \"tidegate.sources\".")
    );
    assert_eq!(bench.row("select count(*) from tidegate.sources"), ["2"]);
}

#[test]
fn names_in_another_case_are_found_when_only_one_fits() {
    let bench = Bench::new("tidegate");
    assert_eq!(bench.row("select N_NAME from DEMO.TPCH.NATION where N_NATIONKEY = 3"), ["CANADA"]);
    let error = bench.query("select \"N_NAME\" from demo.tpch.nation").map(|a| a.rows).unwrap_err();
    assert_eq!(error.sqlstate(), "42703");
    let error = bench.query("select 1 from demo.tpch.\"Nation\"").map(|a| a.rows).unwrap_err();
    assert_eq!(error.sqlstate(), "42P01");
}

#[test]
fn a_plan_is_shown_line_by_line() {
    let bench = Bench::new("tidegate");
    let answer = bench.query("explain select n_name from demo.tpch.nation where n_nationkey > 3").unwrap();
    assert_eq!(answer.names, ["QUERY PLAN"]);
    assert!(answer.rows.iter().any(|r| r[0].contains("SnapshotScanExec: table=tpch.nation")), "{:?}", answer.rows);
    let answer = bench.query("explain analyze select count(*) from demo.tpch.nation").unwrap();
    assert!(answer.rows.iter().any(|r| r[0].starts_with("Execution Time:")), "{:?}", answer.rows);
}

#[test]
fn a_query_ends_when_nobody_reads_it() {
    let bench = Bench::new("tidegate");
    let planned = bench
        .plan("select count(*) from generate_series(1, 100000000) a, generate_series(1, 100000000) b", &[])
        .unwrap();
    let alive = bench.runtime.block_on(async {
        let rows = planned.execute(&bench.gateway, &bench.session, vec![]).await.unwrap();
        drop(rows);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        bench.runtime.metrics().num_alive_tasks()
    });
    assert!(alive <= 4, "{alive} tasks are left");
}
