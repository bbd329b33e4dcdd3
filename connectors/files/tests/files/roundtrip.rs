//! Every Arrow type that can be stored comes back as it was, from every format.

use crate::support::{config, describe, name, read_all, read_with, write};
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use catalog::WriteMode;
use connector_api::{ColumnFormat, SplitGoal, TYPE_KEY, TableRead};
use std::collections::HashMap;
use std::sync::Arc;

fn values(rows: usize) -> Vec<Option<i64>> {
    let mut state = 0x5EED_u64;
    (0..rows)
        .map(|row| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            match row % 8 {
                0 => None,
                1 => Some(0),
                2 => Some(i64::MIN),
                3 => Some(i64::MAX),
                _ => Some(state as i64 >> (state % 60)),
            }
        })
        .collect()
}

fn texts(rows: usize) -> Vec<Option<String>> {
    let special = ["", " ", "null", "NULL", "a,b", "\"", "\\", "x\ny", "\r\n", "é\u{1F600}", "#", "\u{1}", "0", "true"];
    values(rows)
        .into_iter()
        .enumerate()
        .map(|(row, value)| Some(format!("{}{}", special[row % special.len()], value.unwrap_or(row as i64) % 3)))
        .enumerate()
        .map(|(row, text)| match row % 5 {
            0 => None,
            1 => Some(special[row % special.len()].to_owned()),
            _ => text,
        })
        .collect()
}

/// One column of each type; some are of layouts that are stored as another type.
pub fn every_type(rows: usize) -> RecordBatch {
    let ints = values(rows);
    let texts = texts(rows);
    let mut columns: Vec<(String, ArrayRef)> = vec![];
    macro_rules! ints {
        ($($kind:ty),+) => {$(
            let array: PrimitiveArray<$kind> = ints.iter().map(|v| v.map(|v| v as _)).collect();
            columns.push((format!("{}", <$kind>::DATA_TYPE), Arc::new(array)));
        )+};
    }
    ints!(Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type);
    ints!(Date32Type, DurationMicrosecondType, DurationNanosecondType, IntervalYearMonthType);
    ints!(TimestampMillisecondType, TimestampMicrosecondType, TimestampNanosecondType);
    let times: Time64MicrosecondArray = ints.iter().map(|v| v.map(|v| v.rem_euclid(86_400_000_000))).collect();
    columns.push(("time".to_owned(), Arc::new(times)));
    let times: Time32MillisecondArray = ints.iter().map(|v| v.map(|v| v.rem_euclid(86_400_000) as i32)).collect();
    columns.push(("time32".to_owned(), Arc::new(times)));
    let instants: TimestampMicrosecondArray = ints.iter().copied().collect();
    columns.push(("timestamptz".to_owned(), Arc::new(instants.with_timezone("UTC"))));
    let floats: Float64Array = ints
        .iter()
        .enumerate()
        .map(|(row, v)| match row % 11 {
            4 => Some(f64::NAN),
            5 => Some(f64::INFINITY),
            6 => Some(f64::NEG_INFINITY),
            7 => Some(-0.0),
            _ => v.map(|v| f64::from_bits(v as u64)).filter(|v| !v.is_nan()),
        })
        .collect();
    columns.push(("double".to_owned(), Arc::new(floats)));
    let floats: Float32Array =
        ints.iter().map(|v| v.map(|v| f32::from_bits(v as u32)).filter(|v| !v.is_nan())).collect();
    columns.push(("real".to_owned(), Arc::new(floats)));
    let decimals: Decimal128Array = ints.iter().map(|v| v.map(i128::from)).collect();
    columns.push(("numeric".to_owned(), Arc::new(decimals.with_precision_and_scale(38, 9).unwrap())));
    let decimals: Decimal256Array =
        ints.iter().map(|v| v.map(|v| i256::from_i128(i128::from(v) * 1_000_003))).collect();
    columns.push(("numeric_long".to_owned(), Arc::new(decimals.with_precision_and_scale(76, 30).unwrap())));
    let intervals: IntervalMonthDayNanoArray = ints
        .iter()
        .map(|v| v.map(|v| IntervalMonthDayNanoType::make_value((v >> 7) as i32, (v >> 11) as i32, v)))
        .collect();
    columns.push(("interval".to_owned(), Arc::new(intervals)));
    columns
        .push(("boolean".to_owned(), Arc::new(ints.iter().map(|v| v.map(|v| v % 2 == 0)).collect::<BooleanArray>())));
    columns.push(("text".to_owned(), Arc::new(StringArray::from(texts.clone()))));
    columns.push(("text_view".to_owned(), Arc::new(StringViewArray::from(texts.clone()))));
    columns.push(("text_large".to_owned(), Arc::new(LargeStringArray::from(texts.clone()))));
    let dictionary: DictionaryArray<Int32Type> = texts.iter().map(Option::as_deref).collect();
    columns.push(("text_dictionary".to_owned(), Arc::new(dictionary)));
    let bytes: Vec<Option<&[u8]>> = texts.iter().map(|t| t.as_ref().map(|t| t.as_bytes())).collect();
    columns.push(("bytea".to_owned(), Arc::new(BinaryArray::from(bytes))));
    let uuids = ints.iter().map(|v| v.map(|v| [v.to_be_bytes(), v.to_le_bytes()].concat()));
    let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids, 16).unwrap();
    columns.push(("uuid".to_owned(), Arc::new(uuids)));
    columns.push(("nothing".to_owned(), Arc::new(NullArray::new(rows))));
    let mut lists = ListBuilder::new(StringBuilder::new());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for (row, int) in ints.iter().enumerate() {
        for text in texts.iter().skip(row % 3).take(row % 4) {
            lists.values().append_option(text.as_deref());
            maps.keys().append_value(format!("k{row}{text:?}"));
            maps.values().append_option(*int);
        }
        lists.append(row % 6 != 0);
        maps.append(row % 6 != 1).unwrap();
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    columns.push(("list".to_owned(), lists.clone()));
    columns.push(("map".to_owned(), Arc::new(maps.finish())));
    let numbers: ArrayRef = Arc::new(ints.iter().map(|v| v.map(i128::from)).collect::<Decimal128Array>());
    let fields: Fields =
        vec![Field::new("n", numbers.data_type().clone(), true), Field::new("l", lists.data_type().clone(), true)]
            .into();
    let valid: NullBuffer = (0..rows).map(|row| row % 7 != 0).collect();
    columns.push(("struct".to_owned(), Arc::new(StructArray::new(fields, vec![numbers, lists], Some(valid)))));
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| {
            let field = Field::new(name, array.data_type().clone(), true);
            match name.as_str() {
                "uuid" => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "uuid".to_owned())])),
                "text" => field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "citext".to_owned())])),
                _ => field,
            }
        })
        .collect();
    let columns = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

#[tokio::test]
async fn every_type_survives_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let batch = every_type(500);
    for options in [
        vec![("format", "parquet")],
        vec![("format", "parquet"), ("compression", "snappy")],
        vec![("format", "parquet"), ("compression", "none")],
        vec![("format", "csv")],
        vec![("format", "csv"), ("csv_header", "false"), ("csv_delimiter", "|")],
        vec![("format", "json")],
    ] {
        let config = config(folder.path(), &options);
        let table = name("every type");
        let parts = [batch.slice(0, 130), batch.slice(130, 370)];
        let run = options.len() as i64 + folder_entries(folder.path());
        let summary = write(&config, &table, WriteMode::Overwrite, run, &parts).await.unwrap();
        assert_eq!(summary.rows_written, 500);
        let back = read_all(&config, &table).await.unwrap();
        assert_eq!(back.num_rows(), 500, "{options:?}");
        for (field, (wrote, read)) in batch.schema().fields().iter().zip(batch.columns().iter().zip(back.columns())) {
            let name = field.name();
            // What differs in layout alone is compared in the stored layout.
            let expected = match name.as_str() {
                "text_view" | "text_large" | "text_dictionary" => batch.column_by_name("text").unwrap().clone(),
                _ => wrote.clone(),
            };
            assert_eq!(read.data_type(), expected.data_type(), "{name} {options:?}");
            assert_eq!(read.as_ref(), expected.as_ref(), "{name} {options:?}");
        }
        assert_eq!(back.schema().field_with_name("text").unwrap().metadata()[TYPE_KEY], "citext");
        assert_eq!(back.schema().field_with_name("uuid").unwrap().metadata()[TYPE_KEY], "uuid");
        // Options that say otherwise do not change how our own files are read.
        let other = crate::support::config(folder.path(), &[("csv_delimiter", ";"), ("infer_types", "false")]);
        assert_eq!(read_all(&other, &table).await.unwrap(), back);
    }
}

fn folder_entries(root: &std::path::Path) -> i64 {
    crate::support::everything(root).len() as i64 * 10
}

#[tokio::test]
async fn the_text_form_of_every_type_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &[]);
    write(&config, &name("t"), WriteMode::Append, 1, &[every_type(50)]).await.unwrap();
    let table = describe(&config, &name("t")).await.unwrap().unwrap();
    let mut read = TableRead::all(table);
    read.formats.fill(ColumnFormat::Text);
    let batches = read_with(&config, &read, SplitGoal { splits_max: 4, rows_min: 1 }).await.unwrap();
    assert!(batches[0].columns().iter().all(|column| column.data_type() == &DataType::Utf8));
    let zeros = batches[0].column_by_name("timestamptz").unwrap().as_string::<i32>().value(1);
    assert_eq!(zeros, "1970-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_table_without_rows_keeps_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["parquet", "csv", "json"] {
        let config = config(folder.path(), &[("format", format)]);
        let empty = every_type(8).slice(0, 0);
        let summary =
            write(&config, &name(format), WriteMode::Overwrite, 1, std::slice::from_ref(&empty)).await.unwrap();
        assert_eq!(summary.rows_written, 0);
        let back = read_all(&config, &name(format)).await.unwrap();
        assert_eq!((back.num_rows(), back.num_columns()), (0, empty.num_columns()));
    }
}
