//! Values through the sink: every type arrives as it was, also where rows come as several copies.

use crate::support::*;
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use catalog::WriteMode;
use connector_api::TYPE_KEY;
use std::collections::HashMap;
use std::sync::Arc;

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
        const SIGNS: &[&str] =
            &["a", "\\", "\t", "\n", "\r", "\"", "'", ",", "{", "}", "é", "😀", " ", "\\N", "\\.", "NULL", "\u{1}"];
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
    let nulls: NullBuffer = (0..ROWS).map(|_| !random.next().is_multiple_of(7)).collect();
    let r64: Vec<i64> = (0..ROWS).map(|_| (random.next() as i64) >> (random.next() % 63)).collect();
    let texts: Vec<String> = (0..ROWS).map(|_| random.text()).collect();
    let some = |array: ArrayRef| -> ArrayRef {
        arrow::array::make_array(array.to_data().into_builder().nulls(Some(nulls.clone())).build().unwrap())
    };
    let micros = |value: &i64| value.rem_euclid(250_000_000_000_000_000) - 100_000_000_000_000_000;
    let d256: Vec<arrow::datatypes::i256> = r64
        .iter()
        .map(|v| {
            arrow::datatypes::i256::from_i128(i128::from(*v)) * arrow::datatypes::i256::from_i128(10i128.pow(30) + 7)
        })
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
        (
            "f32",
            "real",
            Arc::new(Float32Array::from_iter_values(
                r64.iter().map(|v| f32::from_bits(*v as u32)).map(|v| if v.is_nan() { 0.1 } else { v }),
            )),
        ),
        (
            "f64",
            "double precision",
            Arc::new(Float64Array::from_iter_values(
                r64.iter().map(|v| f64::from_bits(*v as u64)).map(|v| if v.is_nan() { f64::INFINITY } else { v }),
            )),
        ),
        (
            "d128",
            "numeric(38,9)",
            Arc::new(
                Decimal128Array::from_iter_values(r64.iter().map(|v| i128::from(*v) * 1_000_000_007))
                    .with_precision_and_scale(38, 9)
                    .unwrap(),
            ),
        ),
        (
            "d256",
            "numeric(76,20)",
            Arc::new(Decimal256Array::from_iter_values(d256).with_precision_and_scale(76, 20).unwrap()),
        ),
        ("txt", "text", Arc::new(StringArray::from(texts.clone()))),
        ("large", "text", Arc::new(LargeStringArray::from(texts.clone()))),
        ("view", "text", Arc::new(StringViewArray::from_iter_values(texts.iter()))),
        ("flag", "boolean", Arc::new(BooleanArray::from(r64.iter().map(|v| *v % 2 == 0).collect::<Vec<_>>()))),
        ("bin", "bytea", Arc::new(BinaryArray::from_iter_values(texts.iter()))),
        (
            "day",
            "date",
            Arc::new(Date32Array::from_iter_values(
                r64.iter().map(|v| if *v == 0 { i32::MAX } else { (*v % 900_000) as i32 }),
            )),
        ),
        (
            "tod",
            "time",
            Arc::new(Time64MicrosecondArray::from_iter_values(r64.iter().map(|v| v.rem_euclid(86_400_000_001)))),
        ),
        ("ts", "timestamp", Arc::new(TimestampMicrosecondArray::from_iter_values(r64.iter().map(micros)))),
        (
            "tz",
            "timestamptz",
            Arc::new(TimestampMicrosecondArray::from_iter_values(r64.iter().map(micros)).with_timezone("UTC")),
        ),
        (
            "tsms",
            "timestamp",
            Arc::new(TimestampMillisecondArray::from_iter_values(r64.iter().map(|v| v % 100_000_000_000_000))),
        ),
        (
            "span",
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from_iter_values(
                r64.iter()
                    .map(|v| IntervalMonthDayNano::new((*v % 5_000) as i32, (*v % 7_000) as i32, *v / 1000 * 1000)),
            )),
        ),
        (
            "uid",
            "uuid",
            Arc::new(
                FixedSizeBinaryArray::try_from_iter(r64.iter().map(|v| (i128::from(*v) * 77_777).to_be_bytes()))
                    .unwrap(),
            ),
        ),
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
    server
        .run("CREATE TABLE t_random.by_text (LIKE t_random.by_binary); ALTER TABLE t_random.by_text ADD words tsvector")
        .await;
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
        let found =
            server.admin.query(&format!("select {name}::text from t_random.by_binary order by id"), &[]).await.unwrap();
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
    assert_eq!(
        types,
        ["t_types.mood", "text", "t_types.positive", "t_types.mood[]", "numeric", "interval day to second(3)"]
    );
    assert!(plan.columns.iter().all(|column| !column.is_lossy), "{plan:?}");
    assert_eq!(plan.needs_text, [true; 6], "an array of an enum can only be read by the server");
    let one = |texts: [&str; 5], dom: i32| {
        let text = |index: usize| -> ArrayRef { Arc::new(StringArray::from(vec![texts[index]])) };
        vec![text(0), text(1), Arc::new(Int32Array::from(vec![dom])) as ArrayRef, text(2), text(3), text(4)]
    };
    let good = one(["ok", "any", "{ok,sad}", "NaN", "1 day 00:00:01.5"], 5);
    assert_eq!(server.load(&target, batch(&target, good)).await.unwrap(), 1);
    assert_eq!(
        server.text("select t::text from t_types.t t").await,
        "(ok,any,5,\"{ok,sad}\",NaN,\"1 day 00:00:01.5\")"
    );
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
    assert_eq!(
        (error.sqlstate(), error.column(), error.row_key()),
        ("22001", Some("name"), Some("row 271")),
        "{error:?}"
    );
    assert_eq!(server.count("t_large.t").await, 300);
}
