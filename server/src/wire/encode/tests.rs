//! Values of every Arrow type, as text and as binary.

use super::*;
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use std::sync::Arc;

fn style() -> Style {
    Style::of(&Settings::new())
}

fn shown(array: impl Array + 'static) -> Vec<Option<String>> {
    shown_as(Arc::new(array), None)
}

fn shown_as(array: ArrayRef, type_oid: Option<u32>) -> Vec<Option<String>> {
    let field = Field::new("c", array.data_type().clone(), true);
    let type_oid = type_oid.unwrap_or_else(|| pg_types::pg_type_of(&field).0);
    (0..array.len()).map(|row| value_as_text(&array, row, type_oid, &style()).unwrap()).collect()
}

fn binary(array: impl Array + 'static, type_oid: u32) -> Vec<u8> {
    let array: ArrayRef = Arc::new(array);
    let mut out = BytesMut::new();
    Cells::new(&array, type_oid, true).unwrap().write(0, &style(), &mut out).unwrap();
    out.to_vec()
}

fn texts(values: &[Option<&str>]) -> Vec<Option<String>> {
    values.iter().map(|v| v.map(str::to_owned)).collect()
}

#[test]
fn scalars_as_text() {
    assert_eq!(shown(BooleanArray::from(vec![Some(true), Some(false), None])), texts(&[Some("t"), Some("f"), None]));
    assert_eq!(shown(UInt64Array::from(vec![u64::MAX])), texts(&[Some("18446744073709551615")]));
    assert_eq!(shown(Int8Array::from(vec![-128])), texts(&[Some("-128")]));
    assert_eq!(shown(NullArray::new(2)), texts(&[None, None]));
    assert_eq!(shown(StringViewArray::from(vec!["ä"])), texts(&[Some("ä")]));
    assert_eq!(shown(BinaryArray::from(vec![&b"\x00\xff"[..]])), texts(&[Some("\\x00ff")]));
    let decimals = Decimal128Array::from(vec![12_345, -5]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(shown(decimals), texts(&[Some("123.45"), Some("-0.05")]));
    let wide = Decimal256Array::from(vec![i256::from_string("123456789012345678901234567890123456789012345").unwrap()]);
    let wide = wide.with_precision_and_scale(76, 5).unwrap();
    assert_eq!(shown(wide), texts(&[Some("1234567890123456789012345678901234567890.12345")]));
    assert_eq!(shown(Time64NanosecondArray::from(vec![86_399_999_999_999])), texts(&[Some("23:59:59.999999")]));
    assert_eq!(shown(Date32Array::from(vec![19_782])), texts(&[Some("2024-02-29")]));
    assert_eq!(shown(DurationMillisecondArray::from(vec![-1_500])), texts(&[Some("-00:00:01.5")]));
}

#[test]
fn uuids_by_the_words_of_the_source() {
    let bytes: Vec<u8> = (0..16).collect();
    let array = FixedSizeBinaryArray::try_from_iter([bytes].into_iter()).unwrap();
    let array: ArrayRef = Arc::new(array);
    assert_eq!(shown_as(array.clone(), Some(oid::UUID)), texts(&[Some("00010203-0405-0607-0809-0a0b0c0d0e0f")]));
    assert_eq!(shown_as(array, None), texts(&[Some("\\x000102030405060708090a0b0c0d0e0f")]));
}

#[test]
fn dictionaries_and_runs_are_their_values() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    assert_eq!(shown(dictionary), texts(&[Some("a"), None, Some("a")]));
    let runs = RunArray::<Int32Type>::try_new(&Int32Array::from(vec![2, 3]), &Int32Array::from(vec![7, 8])).unwrap();
    assert_eq!(shown(runs), texts(&[Some("7"), Some("7"), Some("8")]));
}

#[test]
fn lists_are_quoted_arrays() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for item in [Some("plain"), Some(""), Some("a,b"), Some("q\"\\"), Some("NULL"), None] {
        builder.values().append_option(item);
    }
    builder.append(true);
    builder.append(true);
    builder.append(false);
    let shown = shown(builder.finish());
    assert_eq!(shown, texts(&[Some("{plain,\"\",\"a,b\",\"q\\\"\\\\\",\"NULL\",NULL}"), Some("{}"), None]));
}

#[test]
fn lists_in_binary() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7), None])]);
    let expected: Vec<u8> = [36i32, 1, 1, 23, 2, 1, 4, 7, -1].iter().flat_map(|n| n.to_be_bytes()).collect();
    let written = binary(list, 1007);
    assert_eq!(written[4..], expected[4..]);
    assert_eq!(written.len(), 36);
    let empty = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![])]);
    assert_eq!(binary(empty, 1007), [12i32, 0, 0, 23].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>());
}

#[test]
fn vectors_of_the_catalog() {
    let list = ListArray::from_iter_primitive::<Int16Type, _, _>([Some(vec![Some(1), Some(2)])]);
    assert_eq!(shown_as(Arc::new(list), Some(oid::INT2VECTOR)), texts(&[Some("1 2")]));
}

#[test]
fn parts_are_json() {
    let fields = Fields::from(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("b\"", DataType::Utf8, true),
        Field::new("c", DataType::Float64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![None])),
        Arc::new(StringArray::from(vec!["x\n"])),
        Arc::new(Float64Array::from(vec![f64::NAN])),
    ];
    let parts = StructArray::new(fields, columns, None);
    assert_eq!(shown(parts), texts(&[Some("{\"a\":null,\"b\\\"\":\"x\\n\",\"c\":\"NaN\"}")]));
    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![])]);
    let field = Arc::new(Field::new("item", inner.data_type().clone(), true));
    let outer = ListArray::new(field, OffsetBuffer::from_lengths([2]), Arc::new(inner), None);
    assert_eq!(shown(outer), texts(&[Some("[[1],[]]")]));
}

#[test]
fn binary_counts_from_2000() {
    assert_eq!(binary(Date32Array::from(vec![10_958]), oid::DATE), [0, 0, 0, 4, 0, 0, 0, 1]);
    let at = TimestampMillisecondArray::from(vec![946_684_800_001]);
    assert_eq!(binary(at, oid::TIMESTAMP), [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(binary(Int64Array::from(vec![5]), oid::OID), [0, 0, 0, 4, 0, 0, 0, 5]);
    assert_eq!(binary(Int8Array::from(vec![-1]), oid::INT2), [0, 0, 0, 2, 0xff, 0xff]);
    assert_eq!(binary(StringArray::from(vec!["{}"]), oid::JSONB), [0, 0, 0, 3, 1, b'{', b'}']);
}

#[test]
fn a_row_that_fails_leaves_no_bytes_behind() {
    let schema = Arc::new(Schema::new(vec![Field::new("c", DataType::Int64, true)]));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1, -1]))]).unwrap();
    let columns =
        [OutputColumn { name: "c".into(), field: schema.field(0).clone(), type_oid: oid::OID, type_modifier: -1 }];
    let style = style();
    let encoder = RowEncoder::new(&batch, &columns, &[true], &style).unwrap();
    let mut out = BytesMut::new();
    encoder.row(0, &mut out).unwrap();
    assert_eq!(&out[..], [b'D', 0, 0, 0, 14, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1]);
    assert_eq!(encoder.row(1, &mut out).unwrap_err().sqlstate(), "22003");
    assert_eq!(out.len(), 15);
}
