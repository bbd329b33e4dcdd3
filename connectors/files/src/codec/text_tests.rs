//! Tests of [`super`].

use super::*;

fn there_and_back(array: ArrayRef) {
    let texts = to_strings(&array);
    let values: Vec<Option<Cow<'_, str>>> = texts.iter().map(|t| t.map(Cow::Borrowed)).collect();
    let back = decode(&values, array.data_type()).unwrap_or_else(|e| panic!("{}: {}", array.data_type(), e.message));
    assert_eq!(back.to_data(), array.to_data(), "{}: {texts:?}", array.data_type());
}

/// A small generator with a fixed seed, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn ints(&mut self, count: usize) -> Vec<Option<i64>> {
        (0..count)
            .map(|i| match i % 9 {
                0 => None,
                1 => Some(0),
                2 => Some(i64::MIN),
                3 => Some(i64::MAX),
                _ => {
                    let shift = self.next() % 64;
                    Some(self.next() as i64 >> shift)
                }
            })
            .collect()
    }
}

#[test]
fn every_value_survives_its_text() {
    let mut random = Random(0x5EED);
    let ints = random.ints(500);
    macro_rules! check {
        ($($kind:ty),+) => {$(
            let values: PrimitiveArray<$kind> = ints.iter().map(|v| v.map(|v| v as _)).collect();
            there_and_back(Arc::new(values));
        )+};
    }
    check!(Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type);
    check!(Date32Type, Date64Type, DurationSecondType, DurationNanosecondType, IntervalYearMonthType);
    check!(TimestampSecondType, TimestampMillisecondType, TimestampMicrosecondType, TimestampNanosecondType);
    let zoned: TimestampMicrosecondArray = ints.iter().copied().collect();
    there_and_back(Arc::new(zoned.with_timezone("UTC")));
    let times: Time64MicrosecondArray = ints.iter().map(|v| v.map(|v| v.rem_euclid(86_400_000_001))).collect();
    there_and_back(Arc::new(times));
    let times: Time32MillisecondArray = ints.iter().map(|v| v.map(|v| v.rem_euclid(86_400_000) as i32)).collect();
    there_and_back(Arc::new(times));
    let floats: Float64Array = ints.iter().map(|v| v.map(|v| f64::from_bits(v as u64))).collect();
    let floats: Float64Array = floats.iter().map(|v| v.filter(|v| !v.is_nan())).collect();
    there_and_back(Arc::new(floats));
    let floats: Float32Array =
        ints.iter().map(|v| v.map(|v| f32::from_bits(v as u32)).filter(|v| !v.is_nan())).collect();
    there_and_back(Arc::new(floats));
    let decimals: Decimal128Array = ints.iter().map(|v| v.map(i128::from)).collect();
    there_and_back(Arc::new(decimals.with_precision_and_scale(38, 10).unwrap()));
    let decimals: Decimal256Array = ints.iter().map(|v| v.map(|v| i256::from_i128(i128::from(v) * 3))).collect();
    there_and_back(Arc::new(decimals.with_precision_and_scale(70, 0).unwrap()));
    let intervals: IntervalMonthDayNanoArray =
        ints.iter().map(|v| v.map(|v| IntervalMonthDayNanoType::make_value(v as i32, (v >> 20) as i32, v))).collect();
    there_and_back(Arc::new(intervals));
    let intervals: IntervalDayTimeArray =
        ints.iter().map(|v| v.map(|v| IntervalDayTimeType::make_value(v as i32, (v >> 9) as i32))).collect();
    there_and_back(Arc::new(intervals));
    there_and_back(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
    there_and_back(Arc::new(StringArray::from(vec![Some(""), None, Some("null"), Some("a\"\n\\é\u{0}")])));
    there_and_back(Arc::new(BinaryArray::from(vec![Some(&b""[..]), None, Some(&[0, 255, 92][..])])));
    let uuids = vec![Some(vec![7_u8; 16]), None];
    there_and_back(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16).unwrap()));
    there_and_back(Arc::new(NullArray::new(3)));
}

#[test]
fn nested_values_survive_their_json() {
    let mut lists = ListBuilder::new(Decimal128Builder::new().with_precision_and_scale(30, 3).unwrap());
    lists.append_value([Some(1_234_567_890_123_456_789_012_i128), None]);
    lists.append_null();
    lists.append_value([]);
    let lists: ArrayRef = Arc::new(lists.finish());
    there_and_back(lists.clone());
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    maps.keys().append_value("a\"b");
    maps.values().append_value(i64::MAX);
    maps.append(true).unwrap();
    maps.append(false).unwrap();
    maps.append(true).unwrap();
    let maps: ArrayRef = Arc::new(maps.finish());
    there_and_back(maps.clone());
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"x\":1}"), None, Some("null")]));
    let fields: Fields = vec![
        Field::new("l", lists.data_type().clone(), true),
        Field::new("m", maps.data_type().clone(), true),
        Field::new("t", DataType::Utf8, true),
    ]
    .into();
    let nulls = NullBuffer::from(vec![true, false, true]);
    there_and_back(Arc::new(StructArray::new(fields, vec![lists, maps, texts], Some(nulls))));
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (days, text) in [
        (0, "1970-01-01"),
        (-1, "1969-12-31"),
        (11_016, "2000-02-29"),
        (-719_162, "0001-01-01"),
        (-719_529, "-0001-12-31"),
        (2_932_897, "+10000-01-01"),
    ] {
        let mut out = String::new();
        push_date(days, &mut out);
        assert_eq!(out, text);
        assert_eq!(parse_date(text), Some(days));
    }
    for text in ["2023-02-29", "2023-13-01", "1900-02-29", "23-01-01", "2023-1-1", "2023-01-01-01", "", "-"] {
        assert_eq!(parse_date(text), None, "{text}");
    }
}

#[test]
fn nothing_is_rounded_or_shifted_in_silence() {
    let scaled = |text: &str, scale| scaled_digits(text, scale);
    assert_eq!(scaled("1.250", 2).as_deref(), Some("125"));
    assert_eq!(scaled("1.255", 2), None);
    assert_eq!(scaled("-1.2e3", 2).as_deref(), Some("-120000"));
    assert_eq!(scaled("-0.00", 2).as_deref(), Some("0"));
    assert_eq!(scaled("1e999999999", 2), None);
    assert_eq!(scaled("NaN", 2), None);
    assert_eq!(parse_timestamp("2024-01-01T00:00:00+02:00", 1, false), None);
    assert_eq!(parse_timestamp("1970-01-01T02:00:00+02:00", 1, true), Some(0));
    assert_eq!(parse_timestamp("1970-01-01 00:00:00.1234567", 1_000_000, false), None);
    assert_eq!(parse_timestamp("1970-01-01 00:00:00.1200000", 1_000_000, false), Some(120_000));
}

#[test]
fn inference_stays_with_text_when_unsure() {
    let infer_of = |texts: &[&'static str]| infer(texts.iter().copied());
    assert_eq!(infer_of(&["1", "-20"]), DataType::Int64);
    assert_eq!(infer_of(&["1", "007"]), DataType::Utf8);
    assert_eq!(infer_of(&["1.5", "2"]), DataType::Float64);
    assert_eq!(infer_of(&["0.12345678901234567890"]), DataType::Utf8);
    assert_eq!(infer_of(&["2024-01-01"]), DataType::Date32);
    assert_eq!(infer_of(&["2024-01-01T10:00:00"]), DataType::Timestamp(TimeUnit::Microsecond, None));
    assert_eq!(infer_of(&["2024-01-01T10:00:00Z"]), DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
    assert_eq!(infer_of(&["true", "false"]), DataType::Boolean);
    assert_eq!(infer_of(&["true", "1"]), DataType::Utf8);
    assert_eq!(infer_of(&[]), DataType::Utf8);
}
