//! Tests of the encoder: cells as bytes and as text, chunks, and errors with column and row. Whether
//! the server reads them back as the same values is tested against it in `tests/sink.rs`.

use super::*;
use arrow::array::*;
use arrow::datatypes::{Schema, i256};
use std::collections::HashMap;

fn table() -> TableName {
    TableName::new("s", "t")
}

fn encoder(format: CopyFormat, columns: Vec<(ArrayRef, ColumnType)>, key: Vec<usize>) -> (RowEncoder, RecordBatch) {
    let mut fields = vec![];
    let mut arrays = vec![];
    let mut targets = vec![];
    for (index, (array, column_type)) in columns.into_iter().enumerate() {
        let name = format!("c{index}");
        fields.push(Field::new(&name, array.data_type().clone(), true));
        arrays.push(array);
        targets.push(EncodeColumn { name, column_type, is_not_null: false });
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    (RowEncoder::new(table(), format, &schema, targets, key).unwrap(), batch)
}

fn encode(encoder: &RowEncoder, batch: &RecordBatch) -> Result<Vec<u8>> {
    let prepared = encoder.prepare(batch)?;
    let mut buffer = BytesMut::new();
    let has_more = encoder.cursor(&prepared, 0, 0)?.fill(&mut buffer, usize::MAX)?;
    assert!(!has_more);
    Ok(buffer.to_vec())
}

/// The cells of the rows, None for NULL.
fn cells(bytes: &[u8]) -> Vec<Vec<Option<Vec<u8>>>> {
    let mut rest = bytes;
    let mut rows = vec![];
    while !rest.is_empty() {
        let count = i16::from_be_bytes([rest[0], rest[1]]);
        rest = &rest[2..];
        let mut row = vec![];
        for _ in 0..count {
            let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
            rest = &rest[4..];
            if length < 0 {
                row.push(None);
            } else {
                row.push(Some(rest[..length as usize].to_vec()));
                rest = &rest[length as usize..];
            }
        }
        rows.push(row);
    }
    rows
}

fn one(array: impl Array + 'static, to: ColumnType) -> Result<Vec<u8>> {
    let (encoder, batch) = encoder(CopyFormat::Binary, vec![(Arc::new(array), to)], vec![]);
    Ok(cells(&encode(&encoder, &batch)?).remove(0).remove(0).unwrap())
}

fn text(array: impl Array + 'static, to: ColumnType) -> String {
    let (encoder, batch) = encoder(CopyFormat::Text, vec![(Arc::new(array), to)], vec![]);
    String::from_utf8(encode(&encoder, &batch).unwrap()).unwrap()
}

#[test]
fn cells_have_the_bytes_of_the_protocol() {
    use ColumnType as To;
    assert_eq!(one(Int16Array::from(vec![-2]), To::Int2).unwrap(), (-2i16).to_be_bytes());
    assert_eq!(one(Int16Array::from(vec![-2]), To::Int8).unwrap(), (-2i64).to_be_bytes());
    assert_eq!(one(UInt32Array::from(vec![u32::MAX]), To::Oid).unwrap(), u32::MAX.to_be_bytes());
    assert_eq!(one(Float32Array::from(vec![0.5]), To::Float8).unwrap(), 0.5f64.to_be_bytes());
    assert_eq!(one(BooleanArray::from(vec![true]), To::Bool).unwrap(), [1]);
    assert_eq!(one(StringArray::from(vec!["é"]), To::Text).unwrap(), "é".as_bytes());
    assert_eq!(one(StringViewArray::from(vec!["{}"]), To::Jsonb).unwrap(), b"\x01{}");
    assert_eq!(one(BinaryArray::from(vec![b"\0a".as_ref()]), To::Bytea).unwrap(), b"\0a");
    assert_eq!(one(Date32Array::from(vec![10_957]), To::Date).unwrap(), [0; 4]);
    assert_eq!(one(Date32Array::from(vec![i32::MAX]), To::Date).unwrap(), i32::MAX.to_be_bytes());
    assert_eq!(one(Date32Array::from(vec![i32::MIN]), To::Timestamp).unwrap(), i64::MIN.to_be_bytes());
    assert_eq!(
        one(TimestampNanosecondArray::from(vec![946_684_800_000_000_000 - 1]), To::Timestamp).unwrap(),
        (-1i64).to_be_bytes()
    );
    assert_eq!(one(TimestampMicrosecondArray::from(vec![i64::MAX]), To::Timestamp).unwrap(), i64::MAX.to_be_bytes());
    assert_eq!(one(Time32SecondArray::from(vec![86_400]), To::Time).unwrap(), 86_400_000_000i64.to_be_bytes());
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    let bytes: Vec<u8> = (0..16).map(|n| n * 0x11).collect();
    assert_eq!(one(StringArray::from(vec![uuid]), To::Uuid).unwrap(), bytes);
    assert_eq!(one(StringArray::from(vec!["{00112233445566778899AABBCCDDEEFF}"]), To::Uuid).unwrap(), bytes);
    let fixed = FixedSizeBinaryArray::try_from_iter(std::iter::once(bytes.clone())).unwrap();
    assert_eq!(one(fixed, To::Uuid).unwrap(), bytes);
    let huge = Decimal256Array::from(vec![i256::from_i128(i128::MAX) * i256::from_i128(10)])
        .with_precision_and_scale(60, 5)
        .unwrap();
    assert_eq!(
        one(huge, To::Numeric(None)).unwrap()[..],
        one(StringArray::from(vec!["17014118346046923173168730371588410.57270"]), To::Numeric(None)).unwrap()[..]
    );
}

#[test]
fn lists_are_arrays_and_nested_values_are_json() {
    let mut builder = ListBuilder::new(Int32Builder::new());
    builder.values().append_value(5);
    builder.values().append_null();
    builder.append(true);
    let list = builder.finish();
    let to = ColumnType::Array { element_oid: 23, element: Box::new(ColumnType::Int4) };
    let expected: Vec<u8> = [1i32, 1, 23, 2, 1, 4, 5, -1].iter().flat_map(|n| n.to_be_bytes()).collect();
    assert_eq!(one(list.clone(), to.clone()).unwrap(), expected);
    assert_eq!(text(list.clone(), to.clone()), "{\"5\",NULL}\n");
    assert_eq!(one(list, ColumnType::Jsonb).unwrap(), b"\x01[5,null]");
    let mut empty = ListBuilder::new(Int32Builder::new());
    empty.append(true);
    let expected: Vec<u8> = [0i32, 0, 23].iter().flat_map(|n| n.to_be_bytes()).collect();
    assert_eq!(one(empty.finish(), to).unwrap(), expected);
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
    let nested = StructArray::new(
        fields,
        vec![Arc::new(Int32Array::from(vec![Some(1)])), Arc::new(StringArray::from(vec![None::<&str>]))],
        None,
    );
    assert_eq!(one(nested.clone(), ColumnType::Jsonb).unwrap(), b"\x01{\"a\":1,\"b\":null}");
    assert_eq!(text(nested, ColumnType::Text), "{\"a\":1,\"b\":null}\n");
}

#[test]
fn text_is_escaped_and_null_is_not_the_word() {
    let strings = StringArray::from(vec![Some("a\tb\\N"), None, Some("\\N"), Some(""), Some("\r\n")]);
    let (encoder, batch) = encoder(
        CopyFormat::Text,
        vec![(Arc::new(strings.clone()), ColumnType::Text), (Arc::new(strings), ColumnType::Other)],
        vec![],
    );
    let expected = "a\\tb\\\\N\ta\\tb\\\\N\n\\N\t\\N\n\\\\N\t\\\\N\n\t\n\\r\\n\t\\r\\n\n";
    assert_eq!(String::from_utf8(encode(&encoder, &batch).unwrap()).unwrap(), expected);
    assert_eq!(text(BinaryArray::from(vec![b"\x01\xff".as_ref()]), ColumnType::Bytea), "\\\\x01ff\n");
    assert_eq!(text(Float64Array::from(vec![1e300]), ColumnType::Float8), "1e300\n");
    assert_eq!(text(Float64Array::from(vec![f64::NEG_INFINITY]), ColumnType::Float8), "-Infinity\n");
    assert_eq!(text(Float32Array::from(vec![0.1]), ColumnType::Float4), "0.1\n");
    assert_eq!(
        text(Decimal128Array::from(vec![-5]).with_precision_and_scale(10, 3).unwrap(), ColumnType::Numeric(None)),
        "-0.005\n"
    );
    assert_eq!(text(Int32Array::from(vec![7]), ColumnType::Other), "7\n");
    assert_eq!(
        text(TimestampMicrosecondArray::from(vec![500_000]).with_timezone("UTC"), ColumnType::Timestamptz),
        "1970-01-01 00:00:00.500000+00\n"
    );
}

#[test]
fn wire_bytes_are_copied_and_dictionaries_unpacked() {
    let wire = Field::new("c0", DataType::Binary, true)
        .with_metadata(HashMap::from([(WIRE_KEY.into(), "postgres.binary:1007".into())]));
    let dictionary: DictionaryArray<arrow::datatypes::Int8Type> =
        vec![Some("x"), None, Some("x")].into_iter().collect();
    let schema = Arc::new(Schema::new(vec![wire, Field::new("c1", dictionary.data_type().clone(), true)]));
    let columns = vec![
        EncodeColumn { name: "c0".into(), column_type: ColumnType::Other, is_not_null: false },
        EncodeColumn { name: "c1".into(), column_type: ColumnType::Text, is_not_null: false },
    ];
    let bytes = BinaryArray::from_opt_vec(vec![Some(b"\0\x01".as_ref()), None, Some(b"")]);
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(bytes), Arc::new(dictionary)]).unwrap();
    let encoder = RowEncoder::new(table(), CopyFormat::Binary, &schema, columns.clone(), vec![]).unwrap();
    let rows = cells(&encode(&encoder, &batch).unwrap());
    assert_eq!(rows[0], [Some(vec![0, 1]), Some(b"x".to_vec())]);
    assert_eq!(rows[1], [None, None]);
    assert_eq!(rows[2], [Some(vec![]), Some(b"x".to_vec())]);
    // Bytes have no text.
    assert!(RowEncoder::new(table(), CopyFormat::Text, &schema, columns, vec![]).is_err());
}

#[test]
fn errors_name_column_and_row_and_keep_the_rows_before() {
    let ids = StringArray::from(vec!["a", "b"]);
    let numbers = Int64Array::from(vec![1, 70_000]);
    let (encoder, batch) = encoder(
        CopyFormat::Binary,
        vec![(Arc::new(ids), ColumnType::Text), (Arc::new(numbers), ColumnType::Int2)],
        vec![0],
    );
    let prepared = encoder.prepare(&batch).unwrap();
    let mut buffer = BytesMut::new();
    let error = encoder.cursor(&prepared, 0, 10).unwrap().fill(&mut buffer, usize::MAX).unwrap_err();
    assert_eq!(error.message(), "value 70000 is out of range for type smallint in column \"c1\" of table s.t");
    assert_eq!(error.detail(), Some("The row is c0=b; it is row 12 of the load."));
    assert_eq!((error.sqlstate(), error.column(), error.row_key()), ("22003", Some("c1"), Some("c0=b")));
    assert_eq!(cells(&buffer).len(), 1);

    for array in
        [Arc::new(StringArray::from(vec!["ok", "a\0"])) as ArrayRef, Arc::new(StringViewArray::from(vec!["ok", "a\0"]))]
    {
        let (encoder, batch) = super::tests::encoder(CopyFormat::Binary, vec![(array, ColumnType::Text)], vec![]);
        let error = encode(&encoder, &batch).unwrap_err();
        assert_eq!((error.kind(), error.row_key()), (&ErrorKind::InvalidText, Some("row 2")));
    }
    assert!(one(StringArray::from(vec!["0011"]), ColumnType::Uuid).is_err());
    assert!(one(Float64Array::from(vec![1e300]), ColumnType::Float4).is_err());
    assert!(one(Int64Array::from(vec![(1 << 53) + 1]), ColumnType::Float8).is_err());
    assert!(one(Date64Array::from(vec![1]), ColumnType::Date).is_err());
    assert!(one(TimestampSecondArray::from(vec![i64::MAX]), ColumnType::Timestamp).is_err());
}

#[test]
fn a_batch_is_cut_into_chunks_of_whole_rows() {
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..1000));
    let (encoder, batch) = encoder(CopyFormat::Binary, vec![(numbers, ColumnType::Int4)], vec![]);
    let prepared = encoder.prepare(&batch).unwrap();
    let (mut row, mut chunks, mut seen) = (0, 0, 0i32);
    loop {
        let mut buffer = BytesMut::new();
        let mut cursor = encoder.cursor(&prepared, row, 0).unwrap();
        let has_more = cursor.fill(&mut buffer, 100).unwrap();
        row = cursor.row();
        for cell in cells(&buffer) {
            assert_eq!(cell[0].as_deref(), Some(&seen.to_be_bytes()[..]));
            seen += 1;
        }
        chunks += 1;
        if !has_more {
            break;
        }
    }
    assert_eq!((seen, chunks), (1000, 100));
}

#[test]
fn sliced_arrays_are_read_from_their_own_start() {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for text in ["x", "y", "z"] {
        builder.values().append_value(text);
        builder.append(true);
    }
    let list = builder.finish().slice(1, 2);
    let to = ColumnType::Array { element_oid: 25, element: Box::new(ColumnType::Text) };
    assert_eq!(text(list, to), "{\"y\"}\n{\"z\"}\n");
    let strings = StringArray::from(vec![Some("\0"), None, Some("c")]).slice(1, 2);
    assert_eq!(text(strings, ColumnType::Text), "\\N\nc\n");
}
