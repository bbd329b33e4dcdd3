//! Every type, compared with what the server itself says that its values are.

use crate::harness::*;
use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use connector_api::{ColumnFormat, TYPE_KEY, TableRead};

const SETUP: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\"');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN posint AS int CHECK (VALUE > 0);
    CREATE DOMAIN amount AS numeric(12,2);
    CREATE DOMAIN amount_2 AS amount;
    CREATE DOMAIN short AS char(5);
    CREATE DOMAIN pairs AS pair[];
    CREATE TYPE floatrange AS RANGE (subtype = float8);";

/// Type, and literals of it.
const VALUES: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int2", &["-32768", "32767", "0"]),
    ("int4", &["-2147483648", "2147483647"]),
    ("int8", &["-9223372036854775808", "9223372036854775807"]),
    ("oid", &["0", "4294967295"]),
    ("float4", &["1.1", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38"]),
    ("float8", &["0.1", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308"]),
    (
        "numeric",
        &["0", "-0.000001", "NaN", "Infinity", "1e100", "123456789012345678901234567890123456789012.5", "1.500"],
    ),
    ("numeric(5,2)", &["0", "999.99", "-999.99", "0.01", "1", "-0.10"]),
    ("numeric(38,0)", &["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999", "10000"]),
    ("numeric(38,38)", &["0.99999999999999999999999999999999999999", "-0.00000000000000000000000000000000000001"]),
    ("numeric(38,5)", &["999999999999999999999999999999999.99999", "-1.00001", "20000.5"]),
    (
        "numeric(76,10)",
        &["999999999999999999999999999999999999999999999999999999999999999999.9999999999", "-0.0000000001", "5"],
    ),
    ("numeric(100,2)", &["1e97", "0.01"]),
    ("money", &["12.34", "-92233720368547758.08"]),
    ("text", &["", "é\u{1F600}", "a\nb\tc\\", "NULL"]),
    ("varchar(10)", &["x ", "  "]),
    ("char(5)", &["ab", ""]),
    ("name", &["pg_class"]),
    ("\"char\"", &["a", ""]),
    ("bytea", &["\\x", "\\x00ff10"]),
    ("date", &["1970-01-01", "2000-02-29", "infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "0001-01-01"]),
    ("time", &["00:00:00", "23:59:59.999999", "24:00:00"]),
    ("timetz", &["00:00:00+15", "23:59:59.999999-08:30"]),
    (
        "timestamp",
        &["1970-01-01", "1969-12-31 23:59:59.999999", "infinity", "-infinity", "4713-01-01 BC", "9999-12-31 23:59:59"],
    ),
    ("timestamptz", &["2024-06-01 12:00:00+02", "infinity", "-infinity", "0001-01-01 00:00:00+00"]),
    ("interval", &["1 year 2 mons -3 days 04:05:06.789", "178000000 years", "-00:00:00.000001"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("json", &["{\"a\":  1, \"a\": 2}", "null", "[1, 2.00]"]),
    ("jsonb", &["{\"b\": 1.50, \"a\": [null]}", "\"x\""]),
    ("xml", &["<a>1</a>"]),
    ("inet", &["192.168.1.1", "192.168.1.1/24", "::1"]),
    ("cidr", &["10.0.0.0/8"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("bit(3)", &["101"]),
    ("varbit", &["", "10101"]),
    ("point", &["(1,2)", "(0.1,-Infinity)"]),
    ("line", &["{1,2,3}"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("box", &["(1,1),(0,0)"]),
    ("path", &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", &["((0,0),(1,1),(2,0))"]),
    ("circle", &["<(0,0),1.5>"]),
    ("tsvector", &["'a':1A 'b':2"]),
    ("tsquery", &["'a' & !'b'"]),
    ("pg_lsn", &["16/B374D848"]),
    ("tid", &["(0,1)"]),
    ("xid8", &["42"]),
    ("regclass", &["pg_class"]),
    ("regtype", &["integer"]),
    ("jsonpath", &["$.a"]),
    ("int4range", &["[1,5)", "empty", "(,)"]),
    ("numrange", &["[1.1,2.2]"]),
    ("tstzrange", &["[2024-01-01 00:00:00+00,)"]),
    ("int4multirange", &["{[1,3),[5,7)}", "{}"]),
    ("floatrange", &["[1.5,2.5)"]),
    ("int4[]", &["{1,NULL,3}", "{}", "{{1,2},{3,4}}", "[0:1]={5,6}"]),
    ("text[]", &["{\"a,b\",\"\",NULL,\"NULL\"}"]),
    ("numeric(5,2)[]", &["{1.50,NULL}"]),
    ("mood", &["sad", "it's \"fine\""]),
    ("mood[]", &["{sad,ok}"]),
    ("pair", &["(1,\"a,b\")", "(,)"]),
    ("pair[]", &["{\"(1,a)\"}"]),
    ("posint", &["7"]),
    ("amount", &["1234567890.12"]),
    ("amount_2", &["-0.01"]),
    ("short", &["ab"]),
    ("pairs", &["{\"(1,a)\",\"(2,b)\"}"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_built_in_type_arrives_exactly() {
    let Some(db) = Database::new(SETUP).await else { return };
    // The session of the comparison prints as ours does.
    db.client
        .batch_execute(
            "SET timezone TO 'UTC'; SET datestyle TO 'ISO, YMD'; SET intervalstyle TO 'postgres'; SET search_path TO pg_catalog, pg_temp",
        )
        .await
        .unwrap();
    let bare = ["mood", "mood[]", "pair", "pair[]", "posint", "amount", "amount_2", "short", "pairs", "floatrange"];
    let mut columns = vec![];
    for (index, (kind, _)) in VALUES.iter().enumerate() {
        let kind = if bare.contains(kind) { format!("public.{kind}") } else { (*kind).to_owned() };
        columns.push(format!("c{index} {kind}"));
    }
    let with_geometry = format!("CREATE TABLE public.t (id int, {})", columns.join(", "));
    db.client.batch_execute(&with_geometry).await.unwrap();
    let most = VALUES.iter().map(|(_, values)| values.len()).max().unwrap();
    // One row more than values: the last is NULL throughout.
    for row in 0..=most {
        let values: Vec<String> = VALUES
            .iter()
            .map(|(_, values)| values.get(row).map_or("NULL".to_owned(), |v| format!("$q${v}$q$")))
            .collect();
        db.client.batch_execute(&format!("INSERT INTO public.t VALUES ({row}, {})", values.join(", "))).await.unwrap();
    }
    let table = db.describe("public.t").await;
    let names: Vec<String> = (0..VALUES.len()).map(|i| format!("c{i}")).collect();
    // COPY's text is every type's output function.
    let theirs = db.text(&format!("SELECT {} FROM public.t ORDER BY id", names.join(", "))).await;

    // As text: what the output function says, to the letter.
    let snapshot = snapshot(&db.config, &[&table], 4).await;
    let as_text = TableRead { formats: vec![ColumnFormat::Text; table.columns.len()], ..TableRead::all(table.clone()) };
    let splits = snapshot.splits(&as_text, ONE).await.unwrap();
    let batches = read_splits(&snapshot, &as_text, &splits).await;
    for (index, (kind, _)) in VALUES.iter().enumerate() {
        let ours = column(&batches, &names[index]);
        let expected: Vec<Option<String>> = theirs.iter().map(|row| row[index].clone()).collect();
        assert_eq!(ours, expected, "{kind} as text");
    }

    // As Arrow: decoded values say the same in Arrow's own words, where it has some.
    let read = TableRead::all(table.clone());
    let batches = read_splits(&snapshot, &read, &splits).await;
    assert_eq!(rows(&batches), most + 1);
    let batch = &batches[0];
    for (index, (kind, _)) in VALUES.iter().enumerate() {
        let array = batch.column_by_name(&names[index]).unwrap();
        let field = batch.schema().field(index + 1).clone();
        assert!(field.metadata().contains_key(TYPE_KEY), "{kind}");
        for (row, expected) in theirs.iter().enumerate() {
            let expected = expected[index].as_deref();
            assert_eq!(array.is_null(row), expected.is_none(), "{kind} {row}");
            let Some(expected) = expected else { continue };
            let ours = render(&db, array.as_ref(), row, kind).await;
            assert_eq!(ours, expected, "{kind}");
        }
    }
    drop(snapshot);
    db.drop().await;
}

/// An Arrow value as the server would print it; dates and times are rendered by the server itself
/// from the number that we decoded.
async fn render(db: &Database, array: &dyn Array, row: usize, kind: &str) -> String {
    match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            format!("\\x{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        DataType::FixedSizeBinary(16) => {
            let hex: String = array.as_fixed_size_binary().value(row).iter().map(|b| format!("{b:02x}")).collect();
            db.one(&format!("SELECT '{hex}'::uuid")).await
        }
        DataType::Float32 => {
            let bits = array.as_primitive::<Float32Type>().value(row);
            db.one(&format!("SELECT '{}'::float4", format!("{bits:?}").replace("inf", "Infinity"))).await
        }
        DataType::Float64 => {
            let bits = array.as_primitive::<Float64Type>().value(row);
            db.one(&format!("SELECT '{}'::float8", format!("{bits:?}").replace("inf", "Infinity"))).await
        }
        DataType::Date32 => match array.as_primitive::<Date32Type>().value(row) {
            i32::MAX => "infinity".to_owned(),
            i32::MIN => "-infinity".to_owned(),
            days => db.one(&format!("SELECT date '1970-01-01' + {days}")).await,
        },
        DataType::Time64(_) => match array.as_primitive::<Time64MicrosecondType>().value(row) {
            86_400_000_000 => "24:00:00".to_owned(),
            us => db.one(&format!("SELECT time '00:00' + {us} * interval '1 microsecond'")).await,
        },
        DataType::Timestamp(_, zone) => match array.as_primitive::<TimestampMicrosecondType>().value(row) {
            i64::MAX => "infinity".to_owned(),
            i64::MIN => "-infinity".to_owned(),
            us => {
                let (epoch, unit) = if zone.is_some() {
                    ("timestamptz '1970-01-01 00:00:00+00'", "")
                } else {
                    ("timestamp '1970-01-01'", "")
                };
                let (days, rest) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000));
                db.one(&format!("SELECT {epoch} + {days} * interval '1 day' + {rest} * interval '1 microsecond'{unit}"))
                    .await
            }
        },
        _ => {
            let text = arrow::util::display::array_value_to_string(array, row).unwrap();
            assert!(!kind.is_empty());
            text
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_decimal_cannot_hold_names_its_column() {
    let Some(db) =
        Database::new("CREATE TABLE t (id int, n numeric(5,2)); INSERT INTO t VALUES (1, 1), (2, 'NaN')").await
    else {
        return;
    };
    let table = db.describe("public.t").await;
    let snapshot = snapshot(&db.config, &[&table], 2).await;
    let read = TableRead::all(table.clone());
    let splits = snapshot.splits(&read, ONE).await.unwrap();
    use futures::TryStreamExt;
    let error = snapshot.read(&read, &splits[0]).await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.sqlstate(), error.column()), ("22003", Some("n")));
    assert!(error.message().contains("has the value NaN"));
    drop(snapshot);
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_numbers_are_decoded_as_the_server_prints_them() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() % 1_000_000;
    println!("seed {seed}");
    let Some(db) = Database::new(&format!(
        "SELECT setseed({seed} / 1000000.0);
         CREATE TABLE t AS SELECT g AS id,
             (random() * power(10::float8, (random() * 14)::int) * sign(random() - 0.5))::numeric(20,4) AS a,
             trunc((random()::numeric * power(10::numeric, (random() * 30)::int)), 7)::numeric(38,7) AS b,
             (-random()::numeric * power(10::numeric, (random() * 55)::int))::numeric(76,15) AS c,
             random()::numeric(38,38) AS d
         FROM generate_series(1, 5000) g;"
    ))
    .await
    else {
        return;
    };
    let table = db.describe("public.t").await;
    let (batches, _) = read_all(&db.config, &table, ONE).await;
    for name in ["a", "b", "c", "d"] {
        let theirs: Vec<Option<String>> =
            db.text(&format!("SELECT {name} FROM t ORDER BY ctid")).await.into_iter().map(|r| r[0].clone()).collect();
        assert!(column(&batches, name) == theirs, "{name} seed {seed}");
    }
    db.drop().await;
}
