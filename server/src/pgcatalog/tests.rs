//! What clients send, run against a gateway.

use crate::pgcatalog::{CatalogQuery, asks_for_catalog};
use crate::query::resolve::{Scope, relations};
use crate::query::tests::Bench;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;

const PSQL: &str = include_str!("data/psql_15.sql");
const DRIVERS: &str = include_str!("data/drivers.sql");

fn recorded(file: &str) -> Vec<String> {
    let text: String = file.lines().filter(|l| !l.starts_with("-- ")).map(|l| format!("{l}\n")).collect();
    text.split("----\n").map(|q| q.trim().to_owned()).filter(|q| !q.is_empty()).collect()
}

fn parsed(sql: &str) -> Box<ast::Query> {
    let statement = planner::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e}")).remove(0).statement;
    let planner::Statement::Sql(statement) = statement else { panic!("{sql}") };
    let ast::Statement::Query(query) = *statement else { panic!("{sql}") };
    query
}

#[test]
fn every_recorded_query_is_answered_without_the_engine() {
    for database in ["tidegate", "demo"] {
        let bench = Bench::new(database);
        let scope = Scope::new(&bench.gateway, &bench.session);
        let table = if database == "demo" { "tpch.nation" } else { "tidegate.jobs" };
        let oid = bench.query(&format!("select '{table}'::regclass::oid")).unwrap().rows[0][0].clone();
        for sql in recorded(PSQL).into_iter().chain(recorded(DRIVERS)) {
            let query = parsed(&sql);
            if relations(&query).is_empty() && !asks_for_catalog(&query) {
                continue;
            }
            let bound = CatalogQuery::bind(&scope, &query, &sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let sql = sql.replace("16385", &oid).replace("16393", &oid).replace("'v1'", &format!("'{table}'"));
            let planned = bench.plan(&sql, &[]).unwrap_or_else(|e| panic!("{sql}: {e}"));
            let parameters = bound
                .parameter_types()
                .iter()
                .map(|t| match t {
                    20 | 21 | 23 | 26 => ScalarValue::Int64(Some(1)),
                    _ => ScalarValue::Utf8(Some("nation".into())),
                })
                .collect();
            bench.run(&planned, parameters).unwrap_or_else(|e| panic!("{sql}: {e}"));
        }
    }
}

#[test]
fn psql_describes_a_table_of_the_clients_source() {
    let bench = Bench::new("demo");
    let found = bench
        .query(
            "SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class c
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname OPERATOR(pg_catalog.~) '^(nation)$' COLLATE pg_catalog.default
             AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 2, 3",
        )
        .unwrap();
    assert_eq!(found.rows.len(), 1);
    let oid = &found.rows[0][0];
    assert_eq!(found.rows[0][1..], ["tpch", "nation"]);
    let columns = bench
        .query(&format!(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
               (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d
                WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef),
               a.attnotnull, pg_catalog.col_description(a.attrelid, a.attnum)
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = '{oid}' AND a.attnum > 0 ORDER BY a.attnum"
        ))
        .unwrap();
    assert_eq!(columns.rows[0], ["n_nationkey", "bigint", "NULL", "true", "NULL"]);
    assert_eq!(columns.rows[2][4], "Region of the nation: region.r_regionkey.");
    let keys = bench
        .query(&format!(
            "SELECT c2.relname, i.indisprimary, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true),
               pg_catalog.pg_get_constraintdef(con.oid, true)
             FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i
               LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x'))
             WHERE c.oid = '{oid}' AND c.oid = i.indrelid AND i.indexrelid = c2.oid"
        ))
        .unwrap();
    let expected = [
        "nation_pkey",
        "true",
        "CREATE UNIQUE INDEX nation_pkey ON tpch.nation USING btree (n_nationkey)",
        "PRIMARY KEY (n_nationkey)",
    ];
    assert_eq!(keys.rows, [expected]);
}

#[test]
fn other_sources_are_schemas_that_are_asked_only_when_named() {
    let bench = Bench::new("tidegate");
    let of = |pattern: &str| {
        let sql = format!(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname ~ '{pattern}' and c.relkind in ('r', 'p') order by 1"
        );
        bench.query(&sql).unwrap().rows.concat()
    };
    assert!(of("^demo").is_empty());
    assert_eq!(of("^(demo\\.tpch)$").len(), 8);
    // From now on they are known.
    assert_eq!(of("^demo").len(), 8);
    let databases = bench.query("select datname from pg_database order by 1").unwrap();
    assert_eq!(databases.rows.concat(), ["demo", "lake", "tidegate"]);
    assert_eq!(bench.query("select count(*) from \"demo.tpch\".nation").unwrap().rows, [["25"]]);
}

#[test]
fn the_evaluator_computes_as_postgresql_does() {
    let bench = Bench::new("tidegate");
    for (sql, expected) in [
        // Every row carries the oid of a type by which it is found again.
        (
            "select 'int4'::regtype, 'int4'::regtype::oid, 23::regtype::text, 'pg_class'::regclass::oid",
            "integer|23|integer|1259",
        ),
        ("select array(select oid from pg_am order by 1), array_to_string('{a,b}'::text[], '-')", "[2, 403]|a-b"),
        ("select (information_schema._pg_expandarray('{7,8}'::int2[])).n from pg_am where oid = 2", "1"),
        (
            "select s.r, (current_schemas(false))[s.r] from generate_series(1, array_upper(current_schemas(false), 1)) as s(r)",
            "1|tidegate",
        ),
        ("select count(*), max(typname), bool_or(oid = 23) from pg_type where oid in (20, 23)", "2|int8|true"),
        (
            "select typname, row_number() over (order by oid desc) from pg_type where typname like 'int_' order by 1 limit 1",
            "int2|2",
        ),
        ("select x from unnest('{b,a}'::text[]) with ordinality as t(x, n) order by n desc limit 1", "a"),
        (
            "with recursive t(n) as (select 1 union all select n + 1 from t where n < 5) select max(n), count(*), pg_backend_pid() from t",
            "5|5|7",
        ),
        (
            "select t.typname from pg_type t left join pg_range r on r.rngtypid = t.oid where r.rngsubtype = 23",
            "int4range",
        ),
        ("select case 3 when 1 then 'a' else pg_get_userbyid(10) end", "tidegate"),
        ("select count(*) from (select relkind from pg_class except select 'r') x", "1"),
        (
            "select not exists (select 1 from pg_enum), 1 in (select 1 from pg_am), null = any ('{1}'::int[]), current_user",
            "true|true|NULL|ann",
        ),
        ("select distinct on (relkind) relkind from pg_class order by relkind desc limit 1", "v"),
        ("select format('%I.%s', 'A', 1), pg_typeof(1::int8), quote_ident('a b')", "\"A\".1|bigint|\"a b\""),
        ("select string_agg(amname, ',' order by amname desc) from pg_am", "heap,btree"),
        (
            "select c.relname from pg_class c join lateral (select c.oid as o) x on x.o = c.oid where c.relname = 'pg_am'",
            "pg_am",
        ),
        ("select count(*) from pg_am a right join pg_tablespace t on false", "2"),
        ("select count(*) from pg_am a full join pg_tablespace t on false", "4"),
        ("select pg_size_pretty(pg_relation_size('pg_class')), version() ~ '^PostgreSQL 16'", "0 bytes|true"),
    ] {
        let answer = bench.query(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(answer.rows.first().map(|r| r.join("|")).as_deref(), Some(expected), "{sql}");
    }
    for (sql, code) in [
        ("select 'nosuch'::regclass", "42P01"),
        ("select nosuch from pg_class", "42703"),
        ("select oid from pg_class, pg_type", "42702"),
        ("select (select oid from pg_type), current_schema()", "21000"),
        ("select current_setting('nosuch')", "42704"),
        ("select * from pg_class where oid = 'x'", "22P02"),
        ("select relname ~ '(' from pg_class", "2201B"),
    ] {
        let error = bench.query(sql).map(|a| a.rows).expect_err(sql);
        assert_eq!(error.sqlstate(), code, "{sql}: {error}");
    }
}

#[test]
fn catalog_relations_also_join_other_tables() {
    let bench = Bench::new("tidegate");
    let answer = bench
        .query("select s.name, d.datname, pg_get_userbyid(d.datdba) from sources s join pg_database d on d.datname = s.name order by 1")
        .unwrap();
    assert_eq!(answer.rows, [["demo", "demo", "ann"], ["lake", "lake", "ann"]]);
}

#[test]
fn all_relations_can_be_read_whole() {
    let bench = Bench::new("demo");
    for layout in super::layout::layouts() {
        let sql = format!("select * from {}.{}", layout.schema, layout.name);
        let answer = bench.query(&sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(answer.names.len(), layout.columns.len(), "{sql}");
    }
}

#[test]
fn what_a_session_says_of_itself_is_true() {
    let bench = Bench::new("tidegate");
    let answer = bench.query("select datname, usename, client_addr, pid from pg_stat_activity").unwrap();
    assert_eq!(answer.rows, [["tidegate", "ann", "127.0.0.1", "7"]]);
    let answer = bench.query("select set_config('search_path', 'pg_catalog', false), current_schemas(false)").unwrap();
    assert_eq!(answer.rows, [["pg_catalog", "[tidegate]"]]);
    let answer = bench.query("select setting from pg_settings where name = 'search_path'").unwrap();
    assert_eq!(answer.rows, [["pg_catalog"]]);
}
