//! Tests of the parser: what each statement becomes, and what each mistake answers.

mod session;

use super::parse;
use crate::statement::*;
use crate::{command_tag, returns_rows};
use catalog::definition::{OnError, Selection, SinkDest, SinkShape, TableItem};
use catalog::{Mode, Path3, TableName, WriteMode};
use datafusion_sql::sqlparser::ast;

#[track_caller]
fn one(sql: &str) -> Statement {
    let mut parsed =
        parse(sql).unwrap_or_else(|e| panic!("{sql}\n{e} at {:?}: {:?} {:?}", e.position(), e.detail(), e.hint()));
    assert_eq!(parsed.len(), 1, "{sql}");
    parsed.remove(0).statement
}

#[track_caller]
fn session(sql: &str) -> SessionStatement {
    match one(sql) {
        Statement::Session(statement) => statement,
        other => panic!("{sql}: {other:?}"),
    }
}

#[track_caller]
fn not_built(sql: &str, expected: &str) {
    match one(sql) {
        Statement::NotBuilt { what, .. } => assert_eq!(what, expected, "{sql}"),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Asserts message and position; the position is where `mark` begins in the text (after the last character for "").
#[track_caller]
fn fails(sql: &str, message: &str, mark: &str) -> catalog::Error {
    let error = parse(sql).expect_err(sql);
    assert_eq!(error.message(), message, "{sql}");
    let byte = if mark.is_empty() { sql.len() } else { sql.rfind(mark).unwrap() };
    assert_eq!(error.position(), Some(sql[..byte].chars().count() + 1), "{sql}: {error}");
    error
}

#[track_caller]
fn syntax(sql: &str, near: &str) -> catalog::Error {
    let error = fails(sql, &format!("syntax error at or near \"{near}\""), near);
    assert_eq!(error.sqlstate(), "42601");
    error
}

fn text(text: &str) -> Literal {
    Literal::Text(text.into())
}

pub(super) const WORKED_EXAMPLES: &str = include_str!("worked_examples.sql");

#[test]
fn every_worked_example_parses() {
    let parsed =
        parse(WORKED_EXAMPLES).unwrap_or_else(|e| panic!("{e} at {:?} {:?} {:?}", e.position(), e.detail(), e.hint()));
    assert_eq!(parsed.len(), 45, "{:#?}", parsed.iter().map(|p| &p.redacted).collect::<Vec<_>>());
    let not_built: Vec<&str> = parsed
        .iter()
        .filter_map(|p| match &p.statement {
            Statement::NotBuilt { what, .. } => Some(what.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(
        not_built,
        [
            "CREATE SOURCE TABLE",
            "SHOW RECYCLE BIN",
            "UNDROP SOURCE",
            "UNDROP JOB",
            "PURGE RECYCLE BIN",
            "MODE FULL THEN REALTIME",
            "SCHEDULE in CREATE SYNC JOB",
            "MODE INCREMENTAL",
            "MODE REALTIME",
            "MODE MERGE",
            "MODE FULL THEN REALTIME",
            "RESYNC JOB",
            "PAUSE JOB",
            "CREATE VERIFY JOB",
            "CREATE CLEANUP JOB",
            "CREATE DDL JOB",
            "GRANT of a role",
            "GRANT of a role",
            "GRANT ON JOB",
            "GRANT ON SOURCE",
        ]
    );
    for p in &parsed {
        assert!(WORKED_EXAMPLES[p.start..p.end].len() >= 10, "{}", p.redacted);
        assert!(
            !p.redacted.contains("rotated") && !p.redacted.contains("'x'") && !p.redacted.contains("--"),
            "{}",
            p.redacted
        );
    }
}

#[test]
fn secrets() {
    for (sql, expected) in [
        ("CREATE SECRET a AS 'x''y'", SecretInput::Literal(text("x'y"))),
        ("create secret a as E'x\\ny'", SecretInput::Literal(text("x\ny"))),
        ("CREATE SECRET a AS $$x'y$$", SecretInput::Literal(text("x'y"))),
        ("CREATE SECRET a AS $q$x$$y$q$", SecretInput::Literal(text("x$$y"))),
        ("CREATE SECRET a AS -1.5", SecretInput::Literal(text("-1.5"))),
        ("CREATE SECRET a AS $3", SecretInput::Literal(Literal::Parameter(3))),
        ("CREATE SECRET a FROM ENV 'X'", SecretInput::Env(text("X"))),
        ("CREATE SECRET a FROM FILE '/x'", SecretInput::File(text("/x"))),
    ] {
        match one(sql) {
            Statement::CreateSecret { name, value, or_replace: false, if_not_exists: false } => {
                assert_eq!((name.as_str(), value), ("a", expected));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(one("CREATE OR REPLACE SECRET a AS ''"), Statement::CreateSecret { or_replace: true, .. }));
    assert!(
        matches!(one("CREATE SECRET IF NOT EXISTS \"A b\" AS ''"), Statement::CreateSecret { if_not_exists: true, name, .. } if name == "A b")
    );
    assert!(matches!(one("ALTER SECRET a AS 'y'"), Statement::AlterSecret { action: AlterSecret::Value(_), .. }));
    assert!(
        matches!(one("ALTER SECRET a RENAME TO B"), Statement::AlterSecret { action: AlterSecret::Rename(n), .. } if n == "b")
    );
    assert!(
        matches!(one("ALTER SECRET a OWNER TO B"), Statement::AlterSecret { action: AlterSecret::Owner(n), .. } if n == "b")
    );
    // A value without its quotes is not repeated.
    for sql in ["CREATE SECRET a AS hunter2", "CREATE SECRET a AS 'hun' ter2", "ALTER SECRET a AS 'hun''' 'ter2'"] {
        let error = parse(sql).unwrap_err();
        let whole = format!("{error:?}");
        assert!(!whole.contains("ter2") && !whole.contains("hun"), "{whole}");
        assert_eq!(error.message(), "syntax error at or near \"AS\"");
    }
    let error = parse("CREATE SOURCE a TYPE t WITH (password = hunter2)").unwrap_err();
    assert_eq!(error.message(), "syntax error at or near \"=\"");
    assert!(!format!("{error:?}").contains("hunter2"));
    // Debug output of a statement holds no value.
    assert!(!format!("{:?}", one("CREATE SECRET a AS 'hunter2'")).contains("hunter2"));
    fails(
        "CREATE OR REPLACE SECRET IF NOT EXISTS a AS ''",
        "OR REPLACE and IF NOT EXISTS cannot be used together",
        "IF",
    );
    syntax("CREATE SECRET a FROM ENVV 'x'", "ENVV");
}

#[test]
fn sources() {
    let sql = "CREATE SOURCE Shop TYPE Postgres WITH (Host='h', port=5432, on=true, \"a.B\"='x', l=('a', 2), pw=SECRET s, d=DEFAULT, n=-1)";
    let Statement::CreateSource { name, source_type, type_position, options, .. } = one(sql) else { panic!() };
    assert_eq!((name.as_str(), source_type.as_str(), type_position), ("shop", "postgres", 25));
    let values: Vec<(&str, OptionInput)> = options.iter().map(|o| (o.key.as_str(), o.value.clone())).collect();
    assert_eq!(
        values,
        [
            ("host", OptionInput::Literal(text("h"))),
            ("port", OptionInput::Literal(text("5432"))),
            ("on", OptionInput::Literal(text("true"))),
            ("a.B", OptionInput::Literal(text("x"))),
            ("l", OptionInput::List(vec![text("a"), text("2")])),
            ("pw", OptionInput::Secret("s".into())),
            ("d", OptionInput::Default),
            ("n", OptionInput::Literal(text("-1"))),
        ]
    );
    assert_eq!(options[1].position, sql.find("port").unwrap() + 1);
    assert!(matches!(
        one("CREATE SOURCE IF NOT EXISTS s TYPE sample"),
        Statement::CreateSource { if_not_exists: true, .. }
    ));
    fails("CREATE SOURCE s TYPE t WITH (a='1', b='2', A='3')", "option \"a\" is given twice", "A=");
    syntax("CREATE SOURCE s TYPE t WITH (a.b='1')", ".").hint().unwrap();
    syntax("CREATE SOURCE s TYPE t WITH (a=localhost)", "localhost").hint().unwrap();
    syntax("CREATE SOURCE s TYPE t WITH (a='1',)", ")");
    fails("CREATE SOURCE s TYPE t WITH (a='1'", "syntax error at end of input", "");
    fails("CREATE SOURCE a.b TYPE t", "\"a.b\" is not a source name, which has one part", "a.b");

    for (sql, expected) in [
        ("ALTER SOURCE s RESET (a, \"B\")", AlterSource::Reset(vec!["a".into(), "B".into()])),
        ("ALTER SOURCE s RENAME TO t", AlterSource::Rename("t".into())),
        ("ALTER SOURCE s OWNER TO t", AlterSource::Owner("t".into())),
        ("ALTER SOURCE s REFRESH", AlterSource::Refresh(vec![])),
        ("ALTER SOURCE s REFRESH SCHEMA a, b", AlterSource::Refresh(vec!["a".into(), "b".into()])),
    ] {
        assert!(
            matches!(one(sql), Statement::AlterSource { name, action } if name == "s" && action == expected),
            "{sql}"
        );
    }
    assert!(
        matches!(one("ALTER SOURCE s SET (a = 'b')"), Statement::AlterSource { action: AlterSource::Set(o), .. } if o.len() == 1)
    );

    let Statement::ValidateSource { target, purposes, tables, timeout } =
        one("VALIDATE SOURCE s FOR READ, CAPTURE, WRITE, DDL TABLES (a.b, c.\"D\") TIMEOUT '5s'")
    else {
        panic!()
    };
    assert_eq!(target, ValidateTarget::Source("s".into()));
    assert_eq!(purposes, [Purpose::Read, Purpose::Capture, Purpose::Write, Purpose::Ddl]);
    assert_eq!(tables, [TableName::new("a", "b"), TableName::new("c", "D")]);
    assert_eq!(timeout, Some(text("5s")));
    let Statement::ValidateSource { target, .. } = one("VALIDATE SOURCE TYPE \"t\" WITH (a = $1)") else { panic!() };
    assert!(matches!(target, ValidateTarget::Inline { source_type, .. } if source_type == "t"));
    assert!(
        matches!(one("VALIDATE SOURCE type FOR READ"), Statement::ValidateSource { target: ValidateTarget::Source(n), .. } if n == "type")
    );
}

#[test]
fn sink_tables() {
    let sql = "CREATE SINK TABLE IF NOT EXISTS lake.ods.user (id bigint PRIMARY KEY, v numeric(10,2) NOT NULL DEFAULT 1 + 2,
        at timestamp(3) with time zone, n int DEFAULT NULL NOT NULL, INDEX i (v, at), index text[])
        WITH (a='b') PROPERTIES (x = 1, \"y.z\" = 'q') PARTITION BY (v, DAY(at) AS dt FORMAT 'x', bucket(4, id), r = 'q')
        ADD COLUMNS (t text = upper('a' || (1, 2)::text), d double precision = 1)";
    let Statement::CreateSinkTable { if_not_exists, path, shape, added_columns, partition_by, properties, options } =
        one(sql)
    else {
        panic!()
    };
    assert!(if_not_exists);
    assert_eq!(path, Path3::new("lake", "ods", "user"));
    let SinkShape::Explicit { columns, primary_key, indexes } = shape else { panic!() };
    let columns: Vec<_> = columns
        .iter()
        .map(|c| (c.name.as_str(), c.data_type.as_str(), c.is_nullable, c.default_expr.as_deref()))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "bigint", false, None),
            ("v", "numeric(10,2)", false, Some("1 + 2")),
            ("at", "timestamp(3) with time zone", true, None),
            ("n", "int", false, Some("NULL")),
            ("index", "text[]", true, None),
        ]
    );
    assert_eq!(primary_key, ["id"]);
    assert_eq!(indexes, [("i".to_owned(), vec!["v".to_owned(), "at".to_owned()])]);
    assert_eq!(added_columns[0].expr, "upper('a' || (1, 2)::text)");
    assert_eq!(added_columns[1].data_type, "double precision");
    assert_eq!(partition_by, ["v", "DAY(at) AS dt FORMAT 'x'", "BUCKET(4, id)", "r = 'q'"]);
    assert_eq!(properties, [("x".to_owned(), "1".to_owned()), ("y.z".to_owned(), "q".to_owned())]);
    assert_eq!(options.len(), 1);

    for (sql, word) in [
        ("CREATE SINK TABLE a.b.c", "inferred"),
        ("CREATE SINK TABLE a.b.c EXISTING", "existing"),
        ("CREATE SINK TABLE a.b.c LIKE d.e.f EXCLUDE (x)", "like"),
        ("CREATE SINK TABLE a.b.c USING DDL $$x$$", "ddl"),
        ("CREATE SINK TABLE a.b.c (id character varying(10), PRIMARY KEY (id))", "explicit"),
    ] {
        assert!(matches!(one(sql), Statement::CreateSinkTable { shape, .. } if shape.word() == word), "{sql}");
    }
    not_built("CREATE OR REPLACE SINK TABLE a.b.c", "CREATE OR REPLACE SINK TABLE");
    not_built("CREATE SINK TABLE a.b.c (id int UNIQUE)", "UNIQUE in a column definition");
    for action in ["ADD COLUMN a int", "DROP COLUMN a", "SET PROPERTIES (a = 1)", "SET (a = 1)", "OWNER TO a"] {
        not_built(&format!("ALTER SINK TABLE a.b.c {action}"), "ALTER SINK TABLE");
        not_built(&format!("ALTER SOURCE TABLE a.b.c {action}"), "ALTER SOURCE TABLE");
    }
    not_built("CREATE SOURCE TABLE a.b.c INFER FORMAT csv", "CREATE SOURCE TABLE");
    fails("CREATE SINK TABLE a.b", "\"a.b\" is not a three-part name: source.schema.table", "a.b");
    fails("CREATE SINK TABLE a.b.c (id int, id text)", "column \"id\" is given twice", "id text");
    fails(
        "CREATE SINK TABLE a.b.c (i int PRIMARY KEY, PRIMARY KEY (i))",
        "more than one primary key is given",
        "PRIMARY",
    );
    fails("CREATE SINK TABLE a.b.c WITH (a=1) WITH (b=1)", "clause WITH is given twice", "WITH (b");
    fails("CREATE SINK TABLE a.b.c PARTITION BY (a = 'x', b)", "the fixed partition is not the last one", "b)");
    syntax("CREATE SINK TABLE a.b.c ADD COLUMNS (a int = 1 +)", ")");
    syntax("CREATE SINK TABLE a.b.c (user int)", "user").hint().unwrap();
    syntax("CREATE SOURCE TABLE a.b.c INFER FORMATT csv", "FORMATT");
}

#[test]
fn sync_jobs_of_one_table() {
    let sql =
        "/* ä */ CREATE SYNC JOB IF NOT EXISTS J INTO lake.ods.orders (a, b) WITH (x = '1') ON ERROR SKIP LIMIT 10
        WRITE UPSERT KEY (a, b) MODE FULL AS SELECT id, * EXCLUDE (pw) REPLACE (1 AS z)
        FROM a.b.c mode WHERE (x = 'MODE FULL') ;";
    let parsed = parse(sql).unwrap().remove(0);
    assert_eq!(&sql[parsed.start..parsed.start + 6], "CREATE");
    let Statement::CreateSyncJob(job) = parsed.statement else { panic!() };
    assert!(job.if_not_exists);
    assert_eq!(job.name, "j");
    assert_eq!(job.mode, Some(Mode::Full));
    assert_eq!(job.write, Some(WriteMode::Upsert));
    assert_eq!(job.key, ["a", "b"]);
    assert_eq!(job.on_error, Some(OnError::Skip { limit: Some(10) }));
    let SyncTargetInput::Query { sink, columns, query, query_start, ast } = job.target else { panic!() };
    assert_eq!(sink, Path3::new("lake", "ods", "orders"));
    assert_eq!(columns, ["a", "b"]);
    assert!(query.starts_with("SELECT id") && query.ends_with("'MODE FULL')"), "{query}");
    assert!(sql[query_start..].starts_with("SELECT id"));
    let ast::SetExpr::Select(select) = &*ast.body else { panic!() };
    assert_eq!(select.projection.len(), 2);

    let Statement::CreateSyncJob(job) = one("CREATE SYNC JOB j INTO a.b.c AS VALUES (1)") else { panic!() };
    assert_eq!((job.mode, job.write, job.on_error), (None, None, None));
}

#[test]
fn sync_jobs_of_many_tables() {
    let sql =
        "CREATE SYNC JOB j FROM SOURCE shop FOR TABLES (a.b (x, y) WHERE (x > (1)) AS c.d, MATCHING ('a.*', '\\d+'))
        EXCEPT (a.e) INTO lake.ods MODE FULL WRITE OVERWRITE PARTITIONS ON ERROR STOP";
    let Statement::CreateSyncJob(job) = one(sql) else { panic!() };
    let SyncTargetInput::Tables { source, selection, except, dest } = job.target else { panic!() };
    assert_eq!(source, "shop");
    assert_eq!(
        selection,
        Selection::Tables {
            items: vec![
                TableItem::Table {
                    name: TableName::new("a", "b"),
                    columns: vec!["x".into(), "y".into()],
                    filter: Some("x > (1)".into()),
                    rename: Some(TableName::new("c", "d")),
                },
                TableItem::Matching { schema: "a.*".into(), table: "\\d+".into() },
            ]
        }
    );
    assert_eq!(except.len(), 1);
    assert_eq!(dest, SinkDest { source: "lake".into(), schema: Some("ods".into()) });
    assert_eq!(job.write, Some(WriteMode::OverwritePartitions));

    let Statement::CreateSyncJob(job) = one("CREATE SYNC JOB j FROM shop FOR TABLES IN SCHEMA a, \"B\" INTO lake")
    else {
        panic!()
    };
    assert!(
        matches!(job.target, SyncTargetInput::Tables { selection: Selection::Schemas { schemas }, dest: SinkDest { schema: None, .. }, .. } if schemas == ["a", "B"])
    );
    let Statement::CreateSyncJob(job) = one("CREATE SYNC JOB j FROM source FOR ALL TABLES INTO lake") else { panic!() };
    assert!(
        matches!(job.target, SyncTargetInput::Tables { selection: Selection::AllTables, source, .. } if source == "source")
    );
    not_built(
        "CREATE SYNC JOB j FROM s FOR ALL TABLES INTO bus.topics.all_of_it",
        "INTO one table in a job FROM a source",
    );
}

#[test]
fn clauses_that_are_not_built_are_named_and_read_whole() {
    let clauses = [
        ("MODE REALTIME", "MODE REALTIME"),
        ("MODE FULL THEN REALTIME", "MODE FULL THEN REALTIME"),
        ("MODE INCREMENTAL BY (c) FROM '2026-01-01'", "MODE INCREMENTAL"),
        ("MODE MERGE (BASE a.b.c, LOG a.b.d)", "MODE MERGE"),
        ("SCHEDULE CRON '* * * * *' TIME ZONE 'UTC' ON OVERLAP QUEUE ON MISSED RUN", "SCHEDULE in CREATE SYNC JOB"),
        ("START AT GTID 'x'", "START AT in CREATE SYNC JOB"),
        ("ON DELETE SOFT (c)", "ON DELETE in CREATE SYNC JOB"),
        ("ON DDL (CREATE TABLE NORMAL, OTHERS ERROR)", "ON DDL in CREATE SYNC JOB"),
        ("ON ERROR DEAD LETTER a.b.c LIMIT 5", "ON ERROR DEAD LETTER in CREATE SYNC JOB"),
        (
            "NAME RULES (SCHEMA REPLACE 'a' BY 'b', TABLE REGEX 'a' BY 'b', COLUMN LOWER, TABLE PREFIX 'x')",
            "NAME RULES in CREATE SYNC JOB",
        ),
        ("ADD COLUMNS (a int = 1)", "ADD COLUMNS in CREATE SYNC JOB"),
        ("TABLE a.b INTO c.d KEY (x) AS (SELECT 1)", "TABLE in CREATE SYNC JOB"),
        (
            "MERGE TABLES MATCHING ('a', 'b') INTO c.d KEY (x) ADD COLUMNS (a int = 1)",
            "MERGE TABLES in CREATE SYNC JOB",
        ),
        ("VERIFY HASH DIFF EVERY '1h'", "VERIFY in CREATE SYNC JOB"),
    ];
    for (clause, what) in clauses {
        not_built(
            &format!("CREATE SYNC JOB j FROM s FOR ALL TABLES INTO d WRITE APPEND {clause} WITH (a = '1')"),
            what,
        );
        // Cut short anywhere, the clause is a syntax error or another statement, never a panic.
        for (i, _) in clause.char_indices() {
            let _ = parse(&format!("CREATE SYNC JOB j FROM s FOR ALL TABLES INTO d {}", &clause[..i]));
        }
    }
    let all = "CREATE SYNC JOB j FROM s FOR ALL TABLES INTO d";
    let sql = format!("{all} WRITE APPEND SCHEDULE EVERY '5s' ON DDL (OTHERS ERROR)");
    let Statement::NotBuilt { what, position } = one(&sql) else { panic!() };
    assert_eq!((what.as_str(), position), ("SCHEDULE in CREATE SYNC JOB", sql.find("SCHEDULE").unwrap() + 1));
    not_built(
        &format!("{all} TABLE a.b KEY (x) TABLE c.d KEY (x) MERGE TABLES MATCHING ('a','b') INTO c.d"),
        "TABLE in CREATE SYNC JOB",
    );
    syntax(&format!("{all} SCHEDULE CRONN 'x'"), "CRONN").hint().unwrap();
    syntax(&format!("{all} MODE MERGE (BASE a.b.c LOG d.e.f)"), "LOG");
    syntax(&format!("{all} TABLE a.b AS (SELECT 1 FROM a b c)"), "c");
    syntax(&format!("{all} ON DDL (ADD COLUMN MAYBE)"), "MAYBE");
    fails(&format!("{all} MODE FULL WRITE APPEND MODE FULL"), "clause MODE is given twice", "MODE FULL");
    fails(&format!("{all} ON DELETE APPLY ON DELETE IGNORE"), "clause ON DELETE is given twice", "ON DELETE IGNORE");
    fails(&format!("{all} WITH (a='1') WITH (a='1')"), "clause WITH is given twice", "WITH");
    fails(&format!("{all} EXCEPT (a.b)"), "syntax error at or near \"EXCEPT\"", "EXCEPT");
    fails(
        "CREATE SYNC JOB j FROM s FOR TABLES (MATCHING ('(', 'x')) INTO d",
        "invalid regular expression in MATCHING",
        "'('",
    );
    fails("CREATE SYNC JOB j FROM s FOR TABLES (a) INTO d", "\"a\" is not a two-part name: schema.table", "a)");
    syntax("CREATE SYNC JOB j FROM s FOR ALL TABLES INTO d AS SELECT 1", "AS").hint().unwrap();
    not_built("CREATE OR REPLACE SYNC JOB j INTO a.b.c AS SELECT 1", "CREATE OR REPLACE SYNC JOB");
}

#[test]
fn a_clause_after_the_query_is_found() {
    let hint = "In CREATE SYNC JOB the clauses come before AS; the query is the last part of the statement.";
    for (clause, near) in [
        ("MODE FULL", "MODE"),
        ("WRITE UPSERT KEY (id)", "WRITE"),
        ("ON ERROR SKIP", "ON"),
        ("WITH (a = '1')", "WITH"),
        ("SCHEDULE CRON 'x'", "SCHEDULE"),
    ] {
        for query in ["SELECT * FROM a.b.c", "SELECT * FROM a.b.c WHERE x = (SELECT 1)", "SELECT 1"] {
            let sql = format!("CREATE SYNC JOB j INTO x.y.z AS {query} {clause}");
            let error = parse(&sql).expect_err(&sql);
            assert_eq!(error.message(), format!("syntax error at or near \"{near}\""), "{sql}");
            assert_eq!(error.position(), Some(sql.len() - clause.len() + 1), "{sql}");
            assert_eq!(error.hint(), Some(hint), "{sql}");
        }
    }
    // An error inside the query has its own place.
    fails("CREATE SYNC JOB j INTO x.y.z AS SELECT a FROM b WHERE", "syntax error at end of input", "");
}

#[test]
fn a_job_query_is_a_query_without_parameters() {
    syntax_at("CREATE SYNC JOB j INTO x.y.z AS INSERT INTO a VALUES (1)", "INSERT");
    syntax_at("CREATE SYNC JOB j INTO x.y.z AS WITH q AS (SELECT 1) DELETE FROM a", "WITH");
    fails("CREATE SYNC JOB j INTO x.y.z AS SELECT $1", "there is no parameter $1", "$1");
    fails("CREATE SYNC JOB j INTO x.y.z WRITE APPEND", "syntax error at end of input", "").hint().unwrap();
    let error = fails("CREATE SYNC JOB j INTO x.y.z WRITE APPEND; SELECT 1", "syntax error at or near \";\"", ";");
    assert!(error.hint().unwrap().contains("AS query"));
}

#[track_caller]
fn syntax_at(sql: &str, near: &str) {
    fails(sql, &format!("syntax error at or near \"{near}\""), near);
}

#[test]
fn alter_job() {
    for (sql, expected) in [
        ("RESET (a)", AlterJob::Reset(vec!["a".into()])),
        ("SET MODE FULL", AlterJob::SetMode(Mode::Full)),
        ("SET WRITE UPSERT KEY (id)", AlterJob::SetWrite { write: WriteMode::Upsert, key: vec!["id".into()] }),
        ("SET ON ERROR SKIP", AlterJob::SetOnError(OnError::Skip { limit: None })),
        ("RENAME TO k", AlterJob::Rename("k".into())),
        ("OWNER TO k", AlterJob::Owner("k".into())),
        ("AS SELECT  1", AlterJob::Query("SELECT  1".into())),
        (
            "ADD TABLES (MATCHING ('a', 'b'))",
            AlterJob::AddTables(vec![TableItem::Matching { schema: "a".into(), table: "b".into() }]),
        ),
        (
            "DROP TABLES (a.b)",
            AlterJob::DropTables(vec![TableItem::Table {
                name: TableName::new("a", "b"),
                columns: vec![],
                filter: None,
                rename: None,
            }]),
        ),
    ] {
        for head in ["ALTER JOB j", "alter sync job J"] {
            let sql = format!("{head} {sql}");
            match one(&sql) {
                Statement::AlterJob { name, action } => assert_eq!((name.as_str(), &action), ("j", &expected), "{sql}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
    }
    assert!(
        matches!(one("ALTER JOB j SET (a = 1)"), Statement::AlterJob { action: AlterJob::Set(o), .. } if o.len() == 1)
    );
    not_built("ALTER JOB j SET SCHEDULE EVERY '5s'", "SET SCHEDULE in ALTER JOB");
    not_built("ALTER JOB j SET MODE REALTIME", "MODE REALTIME");
    not_built("ALTER JOB j DROP SCHEDULE", "DROP SCHEDULE in ALTER JOB");
    not_built("ALTER JOB j DROP ON DDL", "DROP ON DDL in ALTER JOB");
    not_built("ALTER VERIFY JOB j RENAME TO k", "ALTER VERIFY JOB");
    syntax("ALTER JOB j SET SOMETHING", "SOMETHING");
}

#[test]
fn lifecycle() {
    assert!(matches!(one("START JOB j"), Statement::StartJob { name, from: None } if name == "j"));
    assert!(
        matches!(one("START SYNC JOB j FROM SAVEPOINT s"), Statement::StartJob { from: Some(f), .. } if f == "SAVEPOINT s")
    );
    assert!(matches!(one("START JOB j FROM LSN '0/1'"), Statement::StartJob { from: Some(f), .. } if f == "LSN '0/1'"));
    assert!(
        matches!(one("STOP JOB j WITH SAVEPOINT s FORCE"), Statement::StopJob { savepoint: Some(s), force: true, .. } if s == "s")
    );
    assert!(matches!(one("RUN JOB j"), Statement::RunJob { for_time: None, .. }));
    assert!(matches!(one("RUN JOB j FOR TIME '2026-09-29'"), Statement::RunJob { for_time: Some(_), .. }));
    assert!(matches!(one("CANCEL JOB j RUN 7"), Statement::CancelRun { run: 7, .. }));
    assert!(matches!(one("RETRY JOB j"), Statement::RetryJob { what, .. } if what == RetryWhat::default()));
    assert!(matches!(
        one("RETRY JOB j RUN 3 STEP 2"),
        Statement::RetryJob { what: RetryWhat { run: Some(3), step: Some(2), .. }, .. }
    ));
    assert!(matches!(one("RETRY JOB j TABLES (a.b)"), Statement::RetryJob { what, .. } if what.tables.len() == 1));
    assert!(
        matches!(one("REFRESH MAPPING FOR JOB j TABLES (a.b)"), Statement::RefreshMapping { tables, .. } if tables.len() == 1)
    );
    for (sql, expected) in [
        ("STATE running", WaitFor::State("running".into())),
        ("PHASE Stream", WaitFor::Phase("stream".into())),
        ("RUN 5", WaitFor::Run(5)),
        ("LAG UNDER '5s'", WaitFor::LagUnder(text("5s"))),
    ] {
        let Statement::WaitForJob { what, timeout, .. } = one(&format!("WAIT FOR JOB j {sql} TIMEOUT '2h'")) else {
            panic!()
        };
        assert_eq!((what, timeout), (expected, Some(text("2h"))));
    }
    for (sql, what) in [
        ("PAUSE JOB j TABLES (a.b)", "PAUSE JOB"),
        ("RESUME JOB j", "RESUME JOB"),
        ("PAUSE ALL JOBS ON SOURCE s", "PAUSE ALL JOBS"),
        ("RESTART JOB j FROM BEGINNING", "RESTART JOB"),
        ("RESYNC JOB j TABLES (a.b) TRUNCATE", "RESYNC JOB"),
        ("CREATE SAVEPOINT s FOR JOB j", "CREATE SAVEPOINT"),
        ("DROP SAVEPOINT s FOR JOB j", "DROP SAVEPOINT"),
        ("START VERIFY JOB v", "START VERIFY JOB"),
    ] {
        not_built(sql, what);
    }
    syntax("PAUSE JOB j TABLES a.b", "a");
    syntax("START JOBB j", "JOBB").hint().unwrap();
    syntax("CANCEL JOB j RUN x", "x");
    syntax("WAIT FOR JOB j STAT running", "STAT");
}

#[test]
fn drop_and_its_neighbours() {
    let Statement::Drop { kind, if_exists, names, cascade, purge, keep_slot, including_remote_table } =
        one("DROP SINK TABLE IF EXISTS a.b.c, d.e.F INCLUDING REMOTE TABLE CASCADE")
    else {
        panic!()
    };
    assert_eq!(
        (kind, if_exists, cascade, purge, keep_slot, including_remote_table),
        (ObjectKind::SinkTable, true, true, false, false, true)
    );
    assert_eq!(names, [ObjectName::Path(Path3::new("a", "b", "c")), ObjectName::Path(Path3::new("d", "e", "f"))]);
    for (sql, kind) in [
        ("DROP SECRET a", ObjectKind::Secret),
        ("DROP SOURCE a, b RESTRICT", ObjectKind::Source),
        ("DROP SOURCE TABLE a.b.c", ObjectKind::SourceTable),
        ("DROP JOB a PURGE KEEP SLOT", ObjectKind::Job),
        ("DROP SYNC JOB a", ObjectKind::Job),
    ] {
        assert!(matches!(one(sql), Statement::Drop { kind: k, .. } if k == kind), "{sql}");
    }
    not_built("DROP VERIFY JOB a", "DROP VERIFY JOB");
    not_built("UNDROP SINK TABLE a.b.c RENAME TO d CASCADE", "UNDROP SINK TABLE");
    not_built("PURGE JOB ID 7", "PURGE JOB");
    not_built("PURGE RECYCLE BIN OLDER THAN '7 days'", "PURGE RECYCLE BIN");
    not_built("GRANT ALL PRIVILEGES, SELECT ON SINK TABLE a.b.c TO x, y", "GRANT ON SINK TABLE");
    not_built("REVOKE USAGE ON SECRET a, b FROM x", "REVOKE ON SECRET");
    not_built("REVOKE a FROM b", "REVOKE of a role");
    syntax("DROP SOURCE a CASCADE RESTRICT", "RESTRICT");
    syntax("DROP SOUCE a", "SOUCE").hint().unwrap();
    syntax("UNDROP SECRET a", "SECRET");
    syntax("GRANT USAGEE ON SOURCE a TO b", "USAGEE");
    syntax("GRANT USAGE ON SOURCE a FROM b", "FROM");
}

#[test]
fn show_and_describe() {
    for (sql, expected) in [
        ("SHOW SECRETS", Show::Secrets { like: None }),
        ("SHOW SOURCES LIKE 'a%'", Show::Sources { like: Some("a%".into()) }),
        ("SHOW SOURCE TYPES", Show::SourceTypes { like: None }),
        ("SHOW SINK TABLES", Show::SinkTables { like: None }),
        ("SHOW JOBS", Show::Jobs { like: None }),
        ("SHOW RUNS FOR JOB j", Show::Runs { job: "j".into() }),
        ("SHOW SCHEMAS FROM SOURCE s", Show::Schemas { source: "s".into() }),
        (
            "SHOW TABLES FROM SOURCE s SCHEMA x LIKE 'o%'",
            Show::Tables { source: "s".into(), schema: Some("x".into()), like: Some("o%".into()) },
        ),
        ("SHOW COLUMNS FROM a.b.c", Show::Columns { path: Path3::new("a", "b", "c") }),
        (
            "SHOW OPTIONS FOR SOURCE TYPE Mysql",
            Show::Options { scope: "source".into(), source_type: Some("mysql".into()) },
        ),
        ("SHOW OPTIONS FOR SINK TABLE", Show::Options { scope: "sink_table".into(), source_type: None }),
        ("SHOW OPTIONS FOR SYNC JOB", Show::Options { scope: "sync_job".into(), source_type: None }),
        ("SHOW CREATE SOURCE s", Show::Create { kind: ObjectKind::Source, name: ObjectName::Simple("s".into()) }),
        (
            "SHOW CREATE SINK TABLE a.b.c",
            Show::Create { kind: ObjectKind::SinkTable, name: ObjectName::Path(Path3::new("a", "b", "c")) },
        ),
        ("SHOW CREATE JOB j", Show::Create { kind: ObjectKind::Job, name: ObjectName::Simple("j".into()) }),
    ] {
        let statement = one(sql);
        assert!(returns_rows(&statement));
        match statement {
            Statement::Show(show) => assert_eq!(show, expected, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    for (sql, name) in [
        ("SHOW server_version", "server_version"),
        ("SHOW TIME ZONE", "timezone"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "transaction_isolation"),
        ("SHOW ALL", "all"),
        ("SHOW tidegate.retention_runs", "tidegate.retention_runs"),
    ] {
        assert_eq!(session(sql), SessionStatement::ShowSetting(name.into()), "{sql}");
    }
    not_built("SHOW SAVEPOINTS FOR JOB j", "SHOW SAVEPOINTS");
    not_built("SHOW RUNS FOR JOB j LIKE 'x'", "LIKE in SHOW RUNS");
    not_built("SHOW JOBS LIKE $1", "the parameter $1 in SHOW .. LIKE");
    assert!(fails("SHOW TABLES", "syntax error at end of input", "").hint().unwrap().contains("FROM SOURCE"));
    assert!(matches!(one("DESCRIBE SINK TABLE a.b.c"), Statement::Describe { kind: ObjectKind::SinkTable, .. }));
    assert!(matches!(one("DESCRIBE JOB j"), Statement::Describe { kind: ObjectKind::Job, .. }));
    assert!(matches!(one("DESCRIBE a.b.c"), Statement::Sql(s) if matches!(*s, ast::Statement::ExplainTable { .. })));
    assert!(matches!(one("DESCRIBE job"), Statement::Sql(_)));
    assert!(matches!(one("COMMENT ON SOURCE s IS 'x'"), Statement::Comment { text: Some(t), .. } if t == "x"));
    assert!(matches!(one("COMMENT ON JOB j IS $$x$$"), Statement::Comment { text: Some(t), .. } if t == "x"));
    assert!(matches!(one("COMMENT ON SECRET s IS NULL"), Statement::Comment { text: None, .. }));
    assert!(matches!(one("COMMENT ON TABLE t IS 'x'"), Statement::Sql(_)));
}

#[test]
fn explain() {
    let Statement::ExplainJob { options, name } = one("EXPLAIN (VERBOSE, TABLES ON, DDL, FORMAT JSON) JOB j") else {
        panic!()
    };
    assert_eq!((options, name.as_str()), (ExplainOptions { verbose: true, tables: true, ddl: true, json: true }, "j"));
    assert!(matches!(one("EXPLAIN VERBOSE SYNC JOB j"), Statement::ExplainJob { options, .. } if options.verbose));
    assert!(
        matches!(one("EXPLAIN (TABLES) CREATE SYNC JOB j INTO a.b.c AS SELECT 1"), Statement::ExplainCreateJob { job, .. } if job.name == "j")
    );
    not_built("EXPLAIN CREATE SYNC JOB j FROM s FOR ALL TABLES INTO d MODE REALTIME", "MODE REALTIME");
    not_built("EXPLAIN CREATE DDL JOB j FROM s FOR ALL TABLES INTO d", "CREATE DDL JOB");
    not_built("EXPLAIN ANALYZE JOB j", "EXPLAIN ANALYZE of a job");
    for sql in [
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT 1",
        "EXPLAIN VERBOSE SELECT 1",
        "EXPLAIN CREATE TABLE a AS SELECT 1",
    ] {
        assert!(matches!(one(sql), Statement::Sql(s) if matches!(*s, ast::Statement::Explain { .. })), "{sql}");
    }
    syntax("EXPLAIN (TABLE) JOB j", "TABLE");
}

#[test]
fn stock_statements() {
    for (sql, tag, rows) in [
        ("SELECT 1", "SELECT", true),
        ("(SELECT 1) UNION ALL SELECT 2", "SELECT", true),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "SELECT", true),
        ("VALUES (1), (2)", "SELECT", true),
        ("TABLE a", "SELECT", true),
        ("INSERT INTO a VALUES (1)", "INSERT", false),
        ("INSERT INTO a VALUES (1) RETURNING id", "INSERT", true),
        ("UPDATE a SET b = 1", "UPDATE", false),
        ("DELETE FROM a", "DELETE", false),
        ("COPY a FROM STDIN", "COPY", false),
        ("COPY (SELECT 1) TO STDOUT", "COPY", false),
        ("CREATE TABLE a (id int)", "CREATE TABLE", false),
        ("CREATE TABLE a AS SELECT 1", "SELECT", false),
        ("CREATE OR REPLACE VIEW a AS SELECT 1", "CREATE VIEW", false),
        ("CREATE ROLE bi LOGIN PASSWORD 'x'", "CREATE ROLE", false),
        ("DROP TABLE a", "DROP TABLE", false),
        ("DROP USER a", "DROP ROLE", false),
        ("ALTER USER a PASSWORD 'x'", "ALTER ROLE", false),
        ("GRANT SELECT ON t TO bi", "GRANT", false),
        ("TRUNCATE a", "TRUNCATE TABLE", false),
        ("EXPLAIN SELECT 1", "EXPLAIN", true),
    ] {
        let statement = one(sql);
        assert!(matches!(statement, Statement::Sql(_)), "{sql}: {statement:?}");
        assert_eq!((command_tag(&statement), returns_rows(&statement)), (tag, rows), "{sql}");
    }
    let Statement::Sql(user) = one("CREATE USER bi PASSWORD 'x'") else { panic!() };
    assert!(matches!(*user, ast::Statement::CreateRole(role) if role.login == Some(true)));
    not_built("DO $$ x $$", "DO");
    not_built("CREATE PUBLICATION p FOR ALL TABLES", "CREATE PUBLICATION");
    // COPY .. FROM STDIN takes nothing of what follows the semicolon.
    assert_eq!(parse("COPY a FROM STDIN; SELECT 1").unwrap().len(), 2);
    assert_eq!(parse(" ; ;").unwrap().len(), 0);
    assert_eq!(parse("").unwrap().len(), 0);
    assert_eq!(parse("-- nothing").unwrap().len(), 0);
}

#[test]
fn tags_of_our_own() {
    for (sql, tag) in [
        ("CREATE SOURCE a TYPE b", "CREATE SOURCE"),
        ("START JOB a", "START JOB"),
        ("DROP SINK TABLE a.b.c", "DROP SINK TABLE"),
        ("VALIDATE SOURCE a", "VALIDATE"),
        ("SHOW JOBS", "SHOW"),
        ("DECLARE a CURSOR FOR SELECT 1", "DECLARE CURSOR"),
        ("DEALLOCATE ALL", "DEALLOCATE ALL"),
    ] {
        assert_eq!(command_tag(&one(sql)), tag);
    }
}

#[test]
fn errors_have_postgresqls_form_and_place() {
    syntax("SELEC 1", "SELEC").hint().filter(|h| h.contains("SELECT")).unwrap();
    syntax("CREAT SOURCE a TYPE b", "CREAT").hint().filter(|h| h.contains("CREATE")).unwrap();
    syntax("CREATE SOUCE a TYPE b", "SOUCE").hint().filter(|h| h.contains("\"SOURCE\"")).unwrap();
    for word in ["CONNECTION", "PEER"] {
        syntax(&format!("CREATE {word} a"), word).hint().filter(|h| h.contains("CREATE SOURCE")).unwrap();
    }
    for word in ["MIRROR", "PIPELINE", "JOB"] {
        syntax(&format!("CREATE {word} a"), word).hint().filter(|h| h.contains("CREATE SYNC JOB")).unwrap();
    }
    syntax("SELECT 'ä', 'ö' FROM\n  x y z", "z");
    syntax("SELECT 1; SELECT 1 FROM a b c", "c");
    syntax("xyzzy", "xyzzy");
    syntax("SELECT 1 FROM a b c d", "c");
    fails("SELECT (1", "syntax error at end of input", "");
    fails("SELECT (1; SELECT 2", "syntax error at or near \";\"", "; SELECT 2");
    fails("SELECT 1 +", "syntax error at end of input", "");
    fails("CREATE", "syntax error at end of input", "");
    let error = parse("SELECT 'x").unwrap_err();
    assert_eq!((error.sqlstate(), error.position()), ("42601", Some(8)));
    for (sql, message) in [
        ("SELECT 'x", "unterminated quoted string"),
        ("SELECT E'x", "unterminated quoted string"),
        ("SELECT \"x", "unterminated quoted identifier"),
        ("SELECT $$x", "unterminated dollar-quoted string"),
        ("SELECT $q$x", "unterminated dollar-quoted string"),
        ("SELECT /* x", "unterminated /* comment"),
    ] {
        assert_eq!(parse(sql).unwrap_err().message(), message, "{sql}");
    }
    let long = "a".repeat(64);
    let error = parse(&format!("START JOB {long}")).unwrap_err();
    assert_eq!((error.sqlstate(), error.position()), ("22023", Some(11)));
    assert!(error.message().ends_with("is longer than 63 bytes"));
    assert!(parse(&format!("START JOB {}", &long[1..])).is_ok());
    fails("START JOB \"\"", "zero-length delimited identifier", "\"\"");
    // A literal in an error is masked: it may be a secret.
    let error = parse("CREATE ROLE a PASSWORD 'x' 'hunter2'").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn statements_keep_their_place_and_redacted_text() {
    let sql = "  SELECT 'ä' ;\n-- c\nCREATE SECRET a AS 'x' ; ";
    let parsed = parse(sql).unwrap();
    assert_eq!(&sql[parsed[0].start..parsed[0].end], "SELECT 'ä'");
    assert_eq!(&sql[parsed[1].start..parsed[1].end], "CREATE SECRET a AS 'x'");
    assert_eq!(parsed[1].redacted, "CREATE SECRET a AS '***'");
}
