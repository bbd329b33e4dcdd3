//! Random rows of every type, copied between real servers and compared there.

use std::fmt::Write;
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::random::Random;
use tidegate_sql_tests::server::{self, Database};

const ROWS: usize = 300;

/// A column type, and a value of it as a SQL literal.
struct Column {
    data_type: &'static str,
    literal: fn(&mut Random) -> String,
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn any_text(random: &mut Random) -> String {
    const PARTS: &[&str] = &[
        "", "a", "Ä", "日本", "🙂", " ", "\t", "\n", "\\", "'", "\"", "\\N", "{}", ",", "NULL", "\u{feff}", "x\u{301}",
        "\r\n", "\u{7f}", "%s", "$1",
    ];
    (0..random.below(8)).map(|_| *random.pick(PARTS)).collect()
}

fn digits(random: &mut Random, count_max: u64) -> String {
    let count = 1 + random.below(count_max);
    (0..count).map(|_| char::from(b'0' + random.below(10) as u8)).collect()
}

fn hex(random: &mut Random, bytes_max: u64) -> String {
    (0..random.below(bytes_max)).map(|_| format!("{:02x}", random.below(256))).collect()
}

fn date(random: &mut Random) -> String {
    match random.below(12) {
        0 => "infinity".into(),
        1 => "-infinity".into(),
        2 => "4713-01-01 BC".into(),
        3 => "0001-01-01".into(),
        4 => "5874897-12-31".into(),
        _ => format!("{:04}-{:02}-{:02}", 1 + random.below(9999), 1 + random.below(12), 1 + random.below(28)),
    }
}

fn clock(random: &mut Random) -> String {
    format!("{:02}:{:02}:{:02}.{:06}", random.below(24), random.below(60), random.below(60), random.below(1_000_000))
}

fn instant(random: &mut Random) -> String {
    match random.below(10) {
        0 => "infinity".into(),
        1 => "-infinity".into(),
        2 => "4713-01-02 00:00:00 BC".into(),
        3 => "294276-12-31 23:59:59.999999".into(),
        _ => format!(
            "{:04}-{:02}-{:02} {}",
            1 + random.below(9999),
            1 + random.below(12),
            1 + random.below(28),
            clock(random)
        ),
    }
}

fn number(random: &mut Random) -> String {
    match random.below(12) {
        0 => "NaN".into(),
        1 => "Infinity".into(),
        2 => "-Infinity".into(),
        3 => "0".into(),
        4 => "0.000".into(),
        5 => format!("{}.{}", digits(random, 200), digits(random, 200)),
        6 => format!("1e-{}", random.below(300)),
        7 => format!("-0.{}{}", "0".repeat(random.below(20) as usize), digits(random, 5)),
        _ => format!("{}{}.{}", ["", "-"][random.below(2) as usize], digits(random, 20), digits(random, 10)),
    }
}

const COLUMNS: &[Column] = &[
    Column { data_type: "boolean", literal: |r| ["true", "false"][r.below(2) as usize].into() },
    Column { data_type: "smallint", literal: |r| format!("'{}'", r.bits() as i16) },
    Column { data_type: "integer", literal: |r| format!("'{}'", r.bits() as i32) },
    Column { data_type: "bigint", literal: |r| format!("'{}'", r.bits() as i64) },
    Column { data_type: "oid", literal: |r| format!("'{}'", r.bits() as u32) },
    Column { data_type: "real", literal: |r| quoted(&float(f32::from_bits(r.bits() as u32))) },
    Column { data_type: "double precision", literal: |r| quoted(&float(f64::from_bits(r.bits()))) },
    Column { data_type: "numeric", literal: |r| quoted(&number(r)) },
    Column { data_type: "numeric(20,5)", literal: |r| format!("'{}.{}'", digits(r, 14), digits(r, 5)) },
    Column { data_type: "numeric(60,30)", literal: |r| format!("'{}.{}'", digits(r, 29), digits(r, 30)) },
    Column { data_type: "numeric(5,-2)", literal: |r| format!("'{}00'", digits(r, 4)) },
    Column { data_type: "money", literal: |r| format!("'{}.{:02}'", r.bits() as i32, r.below(100)) },
    Column { data_type: "text", literal: |r| quoted(&any_text(r)) },
    Column { data_type: "varchar(40)", literal: |r| quoted(&any_text(r).chars().take(40).collect::<String>()) },
    Column { data_type: "char(12)", literal: |r| quoted(&any_text(r).chars().take(12).collect::<String>()) },
    Column { data_type: "\"char\"", literal: |r| format!("'{}'", char::from(b'a' + r.below(26) as u8)) },
    Column { data_type: "name", literal: |r| quoted(&any_text(r).chars().take(10).collect::<String>()) },
    Column { data_type: "bytea", literal: |r| format!("'\\x{}'", hex(r, 40)) },
    Column { data_type: "date", literal: |r| quoted(&date(r)) },
    Column { data_type: "time", literal: |r| if r.below(9) == 0 { "'24:00:00'".into() } else { quoted(&clock(r)) } },
    Column {
        data_type: "timetz",
        literal: |r| format!("'{}{:+03}:{:02}'", clock(r), r.below(28) as i64 - 14, r.below(60)),
    },
    Column { data_type: "timestamp", literal: |r| quoted(&instant(r)) },
    Column {
        data_type: "timestamptz",
        literal: |r| {
            let text = instant(r);
            quoted(&if text.contains("inf") {
                text
            } else {
                text.replace(" BC", "") + "+00" + if text.contains("BC") { " BC" } else { "" }
            })
        },
    },
    Column {
        data_type: "interval",
        literal: |r| format!("'{} months {} days {} microseconds'", r.bits() as i16, r.bits() as i16, r.bits() as i32),
    },
    Column {
        data_type: "uuid",
        literal: |r| {
            format!(
                "'{:08x}-{:04x}-{:04x}-{:04x}-{:012x}'",
                r.bits() as u32,
                r.bits() as u16,
                r.bits() as u16,
                r.bits() as u16,
                r.bits() >> 16
            )
        },
    },
    Column { data_type: "json", literal: |r| quoted(&json(r, 3)) },
    Column { data_type: "jsonb", literal: |r| quoted(&json(r, 3)) },
    Column { data_type: "xml", literal: |r| format!("'<a b=\"{}\">x</a>'", r.below(1000)) },
    Column { data_type: "inet", literal: |r| format!("'{}.{}.0.1/{}'", r.below(256), r.below(256), r.below(33)) },
    Column { data_type: "cidr", literal: |r| format!("'{}.0.0.0/8'", r.below(256)) },
    Column { data_type: "macaddr", literal: |r| format!("'08:00:2b:01:02:{:02x}'", r.below(256)) },
    Column { data_type: "macaddr8", literal: |r| format!("'08:00:2b:01:02:03:04:{:02x}'", r.below(256)) },
    Column { data_type: "bit(5)", literal: |r| format!("B'{:05b}'", r.below(32)) },
    Column { data_type: "varbit", literal: |r| format!("B'{:b}'", r.bits() >> r.below(60)) },
    Column { data_type: "point", literal: |r| format!("'({},{})'", r.bits() as i16, r.bits() as i16) },
    Column { data_type: "polygon", literal: |r| format!("'((0,0),({},1),(1,0))'", r.bits() as i16) },
    Column { data_type: "tsvector", literal: |r| format!("'a:{} fat:2B cat'", 1 + r.below(100)) },
    Column { data_type: "tsquery", literal: |_| "'fat & (rat | !cat)'".into() },
    Column {
        data_type: "int4range",
        literal: |r| ["'empty'", "'[1,5)'", "'(,3]'", "'(,)'"][r.below(4) as usize].into(),
    },
    Column { data_type: "tstzrange", literal: |r| format!("'[2020-01-{:02} 00:00+00,)'", 1 + r.below(28)) },
    Column { data_type: "int4multirange", literal: |r| format!("'{{[1,3),[{},100)}}'", 5 + r.below(50)) },
    Column {
        data_type: "integer[]",
        literal: |r| ["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"][r.below(4) as usize].into(),
    },
    Column {
        data_type: "text[]",
        literal: |r| format!("ARRAY[{}, NULL, {}]::text[]", quoted(&any_text(r)), quoted(&any_text(r))),
    },
    Column { data_type: "numeric[]", literal: |r| format!("ARRAY[{}, NULL]::numeric[]", quoted(&number(r))) },
    Column { data_type: "timestamptz[]", literal: |_| "'{2020-01-01 00:00+00,infinity,NULL}'".into() },
    Column { data_type: "mood", literal: |r| ["'sad'", "'ok'", "'so ''so'"][r.below(3) as usize].into() },
    Column { data_type: "mood[]", literal: |_| "'{sad,ok,NULL}'".into() },
    Column { data_type: "positive", literal: |r| (1 + r.below(1000)).to_string() },
    Column { data_type: "pair", literal: |r| format!("ROW({}, {})::pair", r.bits() as i32, quoted(&any_text(r))) },
    Column {
        data_type: "pair[]",
        literal: |r| format!("ARRAY[ROW({}, {})::pair, NULL]", r.bits() as i32, quoted(&any_text(r))),
    },
    Column { data_type: "pg_lsn", literal: |r| format!("'{:X}/{:X}'", r.bits() as u32, r.bits() as u32) },
    Column {
        data_type: "hstore",
        literal: |r| format!("hstore({}, {})", quoted(&format!("k{}", r.below(10))), quoted(&any_text(r))),
    },
    Column { data_type: "citext", literal: |r| quoted(&any_text(r)) },
    Column { data_type: "ltree", literal: |r| format!("'Top.Science.n{}'", r.below(100)) },
];

fn float<T: std::fmt::Debug + PartialEq + Copy + Into<f64>>(value: T) -> String {
    let as_double: f64 = value.into();
    if as_double.is_nan() {
        return "NaN".into();
    }
    if as_double.is_infinite() {
        return if as_double > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    format!("{value:?}")
}

fn json(random: &mut Random, depth: u32) -> String {
    let text = |random: &mut Random| {
        let raw: String = any_text(random).chars().filter(|c| !c.is_control() && *c != '\u{7f}').collect();
        serde_json::to_string(&raw).expect("text is JSON")
    };
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => "null".into(),
        1 => "true".into(),
        2 => format!("{}.{}", random.below(1000), digits(random, 30)),
        3 => "1e10".into(),
        4 => text(random),
        5 => format!("[{}, {}]", json(random, depth - 1), json(random, depth - 1)),
        _ => format!("{{{}: {}}}", text(random), json(random, depth - 1)),
    }
}

const TYPES: &str = "CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; \
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'so ''so'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0); \
    CREATE TYPE pair AS (n integer, t text);";

/// The whole table as one digest of its text form; PostgreSQL itself is the judge.
fn digest(database: &Database, table: &str) -> String {
    database.psql(&format!(
        "SET extra_float_digits = 3; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; \
         SELECT count(*) || ' ' || md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM {table} t"
    ))
}

/// The first column that differs, with both values: what somebody who mends it needs to see.
fn first_difference(source: &Database, sink: &Database, sink_table: &str) -> String {
    for (at, column) in COLUMNS.iter().enumerate() {
        let sql = |table: &str| {
            format!(
                "SET extra_float_digits = 3; SET TimeZone = 'UTC'; SELECT id || ' ' || coalesce(c{at}::text, 'NULL') FROM {table} ORDER BY id"
            )
        };
        let (left, right) = (source.psql(&sql("public.v")), sink.psql(&sql(sink_table)));
        if let Some((l, r)) = left.lines().zip(right.lines()).find(|(l, r)| l != r) {
            return format!("column c{at} {}: {l:?} became {r:?}", column.data_type);
        }
    }
    "no single column differs".into()
}

async fn copy_and_compare(from: &server::Server, to: &server::Server) {
    let mut random = Random::new(&format!("values from {} to {}", from.name, to.name));
    let (source, sink) = (from.database("values"), to.database("values"));
    source.psql(TYPES);
    sink.psql(TYPES);
    let columns: Vec<String> = COLUMNS.iter().enumerate().map(|(at, c)| format!("c{at} {}", c.data_type)).collect();
    source.psql(&format!("CREATE TABLE public.v (id int PRIMARY KEY, {})", columns.join(", ")));
    let mut script = String::from("SET TimeZone = 'UTC';\nBEGIN;\n");
    for id in 0..ROWS {
        let values: Vec<String> = COLUMNS
            .iter()
            .map(|column| {
                if random.below(10) == 0 {
                    return "NULL".to_owned();
                }
                (column.literal)(&mut random)
            })
            .collect();
        writeln!(script, "INSERT INTO public.v VALUES ({id}, {});", values.join(", ")).expect("a string can grow");
    }
    script.push_str("COMMIT;");
    source.psql(&script);
    let expected = digest(&source, "public.v");

    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE a TYPE postgres WITH ({})", source.source_options())).await;
    client.must(&format!("CREATE SOURCE b TYPE postgres WITH ({})", sink.source_options())).await;
    // Untouched, the bytes pass through.
    client.must("CREATE SYNC JOB whole FROM a FOR TABLES (public.v) INTO b MODE FULL WRITE OVERWRITE").await;
    client.must("WAIT FOR JOB whole STATE finished TIMEOUT '60s'").await;
    assert_eq!(digest(&sink, "public.v"), expected, "passed through: {}", first_difference(&source, &sink, "public.v"));
    // Through a query every column is decoded or kept as it came.
    let names: Vec<String> = (0..COLUMNS.len()).map(|at| format!("c{at}")).collect();
    client
        .must(&format!(
            "CREATE SYNC JOB query INTO b.public.q MODE FULL WRITE OVERWRITE KEY (id) AS SELECT id + 0 AS id, {} FROM a.public.v WHERE id >= 0",
            names.join(", ")
        ))
        .await;
    client.must("WAIT FOR JOB query STATE finished TIMEOUT '60s'").await;
    assert_eq!(
        digest(&sink, "public.q"),
        expected,
        "through a query: {}",
        first_difference(&source, &sink, "public.q")
    );
    // Upsert over rows that are there.
    client
        .must("CREATE SYNC JOB merge INTO b.public.v MODE FULL WRITE UPSERT KEY (id) AS SELECT * FROM a.public.v")
        .await;
    client.must("WAIT FOR JOB merge STATE finished TIMEOUT '60s'").await;
    assert_eq!(digest(&sink, "public.v"), expected, "upserted: {}", first_difference(&source, &sink, "public.v"));
    client.must("DROP JOB whole, query, merge").await;
    client.must("DROP SOURCE a, b").await;
}

#[tokio::test]
async fn random_rows_of_every_type_travel_from_15_to_18_unchanged() {
    let (Some(from), Some(to)) = (server::pg15(), server::pg18()) else { return };
    copy_and_compare(&from, &to).await;
}

#[tokio::test]
async fn random_rows_of_every_type_travel_from_18_to_15_unchanged() {
    let (Some(from), Some(to)) = (server::pg18(), server::pg15()) else { return };
    copy_and_compare(&from, &to).await;
}

#[tokio::test]
async fn tables_of_every_kind_arrive_whole() {
    let (Some(from), Some(to)) = (server::pg15(), server::pg18()) else { return };
    let (source, sink) = (from.database("kinds"), to.database("kinds"));
    source.psql(
        "CREATE SCHEMA k; \
         CREATE TABLE k.parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); \
         CREATE TABLE k.parted_a PARTITION OF k.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); \
         CREATE TABLE k.parted_b PARTITION OF k.parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
         INSERT INTO k.parted SELECT g, date '2026-01-01' + g % 59 FROM generate_series(1, 5000) g; \
         CREATE TABLE k.parent (id int PRIMARY KEY, v text); CREATE TABLE k.child (extra int) INHERITS (k.parent); \
         INSERT INTO k.parent VALUES (1, 'p'); INSERT INTO k.child VALUES (2, 'c', 9); \
         CREATE TABLE k.empty (id int PRIMARY KEY); \
         CREATE TABLE k.toasted (id int PRIMARY KEY, v text); \
         INSERT INTO k.toasted SELECT g, (SELECT string_agg(md5((g * 1000 + i)::text), '') FROM generate_series(1, 2000) i) FROM generate_series(1, 40) g; \
         CREATE TABLE k.wide (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED, dropped int); ALTER TABLE k.wide DROP COLUMN dropped; \
         INSERT INTO k.wide SELECT g FROM generate_series(1, 100) g; \
         CREATE VIEW k.seen AS SELECT id, v FROM k.parent WHERE id > 1; \
         CREATE MATERIALIZED VIEW k.kept AS SELECT count(*) AS n FROM k.parted; \
         CREATE UNLOGGED TABLE k.light (id int); INSERT INTO k.light VALUES (1)",
    );
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE a TYPE postgres WITH ({})", source.source_options())).await;
    client.must(&format!("CREATE SOURCE b TYPE postgres WITH ({})", sink.source_options())).await;
    client.must("CREATE SYNC JOB kinds FROM a FOR TABLES IN SCHEMA k INTO b MODE FULL WRITE OVERWRITE").await;
    client.must("WAIT FOR JOB kinds STATE finished TIMEOUT '60s'").await;
    for (table, rows) in [("parted", "5000"), ("empty", "0"), ("toasted", "40"), ("wide", "100"), ("light", "1")] {
        assert_eq!(sink.psql(&format!("SELECT count(*) FROM k.{table}")), rows, "{table}");
    }
    let digest = "SELECT md5(string_agg(v, ',' ORDER BY id)) FROM k.toasted";
    assert_eq!(sink.psql(digest), source.psql(digest));
    assert_eq!(sink.psql("SELECT max(g) FROM k.wide"), "200");
    // Views and materialized views are read when they are named.
    client.must("CREATE SYNC JOB views FROM a FOR TABLES (k.seen, k.kept) INTO b.v MODE FULL WRITE OVERWRITE").await;
    client.must("WAIT FOR JOB views STATE finished TIMEOUT '60s'").await;
    assert_eq!(sink.psql("SELECT string_agg(v, ',') FROM v.seen"), "c");
    assert_eq!(sink.psql("SELECT n FROM v.kept"), "5000");
    client.must("DROP JOB kinds, views").await;
    client.must("DROP SOURCE a, b").await;
}

#[tokio::test]
async fn row_level_security_is_an_error_and_never_a_silent_subset() {
    let Some(server) = server::pg15() else { return };
    let database = server.database("rls");
    let role = format!("{}_reader", database.name);
    database.psql(&format!(
        "CREATE ROLE \"{role}\" LOGIN; CREATE TABLE public.t (id int PRIMARY KEY, owner text); INSERT INTO public.t VALUES (1, '{role}'), (2, 'x'); \
         ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON public.t USING (owner = current_user); GRANT SELECT ON public.t TO \"{role}\""
    ));
    let mut gateway = Gateway::start();
    gateway.allow_log("row|policy|secur");
    let mut client = gateway.connect().await;
    let options = database.source_options().replace("user = 'postgres'", &format!("user = '{role}'"));
    client.must(&format!("CREATE SOURCE a TYPE postgres WITH ({options})")).await;
    let failure = client.must_fail("SELECT * FROM a.public.t").await;
    assert!(failure.text.contains("row-level security"), "{failure}");
    client.must("DROP SOURCE a").await;
    database.psql(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\""));
}
