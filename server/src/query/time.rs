//! Functions of time that DataFusion lacks or reads differently: AT TIME ZONE, and `to_char` with
//! PostgreSQL's patterns.

use catalog::{Error, ErrorKind};
use chrono::{Datelike, LocalResult, NaiveDateTime, Offset, TimeZone, Timelike};
use connector_api::to_datafusion;
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::arrow::temporal_conversions::timestamp_us_to_datetime;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

type Result<T, E = DataFusionError> = std::result::Result<T, E>;

/// The functions of this file.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(ScalarUDF::from(AtTimeZone { signature: Signature::any(2, Volatility::Immutable) })),
        Arc::new(ScalarUDF::from(ToChar { signature: Signature::any(2, Volatility::Stable) })),
    ]
}

/// A time as it is written with its seconds: PostgreSQL also reads `10:00`, Arrow does not.
pub(super) fn with_seconds(text: &str) -> Option<String> {
    let time = text.find(':')?;
    let rest = text.get(time + 1..)?;
    let minutes = rest.bytes().take_while(u8::is_ascii_digit).count();
    if minutes != 2 || rest.as_bytes().get(2) == Some(&b':') {
        return None;
    }
    let (head, tail) = text.split_at(time + 1 + minutes);
    Some(format!("{head}:00{tail}"))
}

fn zone(name: &str) -> Result<Tz> {
    name.parse()
        .map_err(|_| to_datafusion(Error::new(ErrorKind::InvalidValue, format!("time zone \"{name}\" not recognized"))))
}

/// `time AT TIME ZONE zone`: a time without a zone is one in that zone, a moment becomes the time
/// that clocks show there.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AtTimeZone {
    signature: Signature,
}

impl ScalarUDFImpl for AtTimeZone {
    fn name(&self) -> &str {
        "timezone"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.get(1) {
            Some(DataType::Timestamp(_, Some(_))) => Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            Some(DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 | DataType::Null) => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
            }
            // A literal is a moment, as in PostgreSQL.
            Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                Ok(DataType::Timestamp(TimeUnit::Microsecond, None))
            }
            _ => Err(to_datafusion(Error::new(
                ErrorKind::UndefinedFunction,
                "AT TIME ZONE takes a timestamp with or without time zone",
            ))),
        }
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = args.return_field.data_type().clone();
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [zones, times] = arrays.as_slice() else {
            return Err(to_datafusion(Error::internal("AT TIME ZONE has other than two operands")));
        };
        let zones = cast(zones, &DataType::Utf8)?;
        let zones = zones.as_string::<i32>();
        let to_local = matches!(wanted, DataType::Timestamp(_, None));
        let input = DataType::Timestamp(TimeUnit::Microsecond, to_local.then(|| "UTC".into()));
        let times = cast(times, &input)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut out: Vec<Option<i64>> = Vec::with_capacity(times.len());
        let mut known: Option<(String, Tz)> = None;
        for row in 0..times.len() {
            if times.is_null(row) || zones.is_null(row) {
                out.push(None);
                continue;
            }
            let name = zones.value(row);
            let tz = match &known {
                Some((same, tz)) if same == name => *tz,
                _ => {
                    let tz = zone(name)?;
                    known = Some((name.to_owned(), tz));
                    tz
                }
            };
            let micros = times.value(row);
            out.push(Some(if to_local { local(micros, &tz)? } else { moment(micros, &tz)? }));
        }
        let zone = match &wanted {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let result: ArrayRef = Arc::new(TimestampMicrosecondArray::from(out).with_timezone_opt(zone));
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn naive(micros: i64) -> Result<NaiveDateTime> {
    timestamp_us_to_datetime(micros)
        .ok_or_else(|| to_datafusion(Error::new(ErrorKind::Remote("22008".into()), "timestamp out of range")))
}

/// What clocks show at a moment, as microseconds of that clock.
fn local(micros: i64, tz: &Tz) -> Result<i64> {
    let offset = tz.offset_from_utc_datetime(&naive(micros)?).fix().local_minus_utc();
    Ok(micros + i64::from(offset) * 1_000_000)
}

/// The moment at which clocks show this time; the first one when they show it twice, and as if
/// they had not been set forward when they skip it.
fn moment(micros: i64, tz: &Tz) -> Result<i64> {
    let shown = naive(micros)?;
    let offset = match tz.offset_from_local_datetime(&shown) {
        LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix(),
        LocalResult::None => {
            let before = shown - chrono::Duration::hours(3);
            tz.offset_from_utc_datetime(&before).fix()
        }
    };
    Ok(micros - i64::from(offset.local_minus_utc()) * 1_000_000)
}

/// `to_char(time, pattern)` with PostgreSQL's patterns.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToChar {
    signature: Signature,
}

impl ScalarUDFImpl for ToChar {
    fn name(&self) -> &str {
        "to_char"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        match args.arg_fields.first().map(|f| f.data_type()) {
            Some(DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null) => {
                Ok(Arc::new(Field::new(self.name(), DataType::Utf8, true)))
            }
            _ => Err(to_datafusion(Error::unsupported("to_char of anything but a date or a timestamp"))),
        }
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [times, patterns] = arrays.as_slice() else {
            return Err(to_datafusion(Error::internal("to_char has other than two arguments")));
        };
        let is_moment = matches!(times.data_type(), DataType::Timestamp(_, Some(_)));
        let tz = zone(args.config_options.execution.time_zone.as_deref().unwrap_or("UTC"))?;
        let input = DataType::Timestamp(TimeUnit::Microsecond, is_moment.then(|| "UTC".into()));
        let times = cast(times, &input)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let patterns = cast(patterns, &DataType::Utf8)?;
        let patterns = patterns.as_string::<i32>();
        let mut out = StringBuilder::new();
        for row in 0..times.len() {
            if times.is_null(row) || patterns.is_null(row) {
                out.append_null();
                continue;
            }
            let micros = times.value(row);
            let shown = naive(if is_moment { local(micros, &tz)? } else { micros })?;
            out.append_value(formatted(&shown, patterns.value(row)).map_err(to_datafusion)?);
        }
        let result: ArrayRef = Arc::new(out.finish());
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Patterns, the longer ones before those that they begin with.
const PATTERNS: &[&str] = &[
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "AM", "PM", "A.M.", "P.M.", "YYYY", "YYY", "YY",
    "Y,YYY", "Y", "IYYY", "IW", "IDDD", "ID", "MONTH", "MON", "MM", "DAY", "DDD", "DD", "DY", "D", "WW", "W", "Q",
    "CC", "J", "RM", "TZH", "TZM", "TZ", "OF", "BC", "AD", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
];

fn formatted(time: &NaiveDateTime, pattern: &str) -> std::result::Result<String, Error> {
    let mut out = String::new();
    let mut rest = pattern;
    let mut fills = true;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').unwrap_or(quoted.len());
            out.push_str(&quoted[..end]);
            rest = quoted.get(end + 1..).unwrap_or("");
            continue;
        }
        if rest.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("FM")) {
            fills = false;
            rest = &rest[2..];
            continue;
        }
        let found = PATTERNS.iter().find(|p| rest.get(..p.len()).is_some_and(|head| head.eq_ignore_ascii_case(p)));
        let Some(found) = found else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let written = &rest[..found.len()];
        rest = &rest[found.len()..];
        let number = |value: i64, width: usize| if fills { format!("{value:0width$}") } else { value.to_string() };
        let name = |name: &str, width: usize| {
            let text = match (written.chars().next().is_some_and(char::is_lowercase), written.chars().nth(1)) {
                (true, _) => name.to_lowercase(),
                (false, Some(second)) if second.is_uppercase() => name.to_uppercase(),
                _ => name.to_owned(),
            };
            if fills && width > 0 { format!("{text:width$}") } else { text }
        };
        let hour12 = i64::from(if time.hour().is_multiple_of(12) { 12 } else { time.hour() % 12 });
        let month = usize::try_from(time.month0()).unwrap_or(0);
        let day = usize::try_from(time.weekday().num_days_from_sunday()).unwrap_or(0);
        let micros = i64::from(time.nanosecond() / 1000).min(999_999);
        let year = i64::from(time.year());
        let text = match *found {
            "HH24" => number(time.hour().into(), 2),
            "HH12" | "HH" => number(hour12, 2),
            "MI" => number(time.minute().into(), 2),
            "SS" => number(time.second().into(), 2),
            "SSSSS" | "SSSS" => time.num_seconds_from_midnight().to_string(),
            "MS" | "FF3" => number(micros / 1000, 3),
            "US" | "FF6" => number(micros, 6),
            "FF1" => number(micros / 100_000, 1),
            "FF2" => number(micros / 10_000, 2),
            "FF4" => number(micros / 100, 4),
            "FF5" => number(micros / 10, 5),
            "AM" | "PM" => name(if time.hour() < 12 { "AM" } else { "PM" }, 0),
            "A.M." | "P.M." => name(if time.hour() < 12 { "A.M." } else { "P.M." }, 0),
            "YYYY" => number(year, 4),
            "YYY" => number(year % 1000, 3),
            "YY" => number(year % 100, 2),
            "Y" => number(year % 10, 1),
            "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
            "IYYY" => number(time.iso_week().year().into(), 4),
            "IW" => number(time.iso_week().week().into(), 2),
            "ID" => number(time.weekday().number_from_monday().into(), 1),
            "MONTH" => name(MONTHS[month], 9),
            "MON" => name(&MONTHS[month][..3], 0),
            "MM" => number(time.month().into(), 2),
            "DAY" => name(DAYS[day], 9),
            "DY" => name(&DAYS[day][..3], 0),
            "DDD" => number(time.ordinal().into(), 3),
            "DD" => number(time.day().into(), 2),
            "D" => number(day as i64 + 1, 1),
            "WW" => number(i64::from(time.ordinal0()) / 7 + 1, 2),
            "W" => number(i64::from(time.day0()) / 7 + 1, 1),
            "Q" => number(i64::from(time.month0()) / 3 + 1, 1),
            "CC" => number((year - 1) / 100 + 1, 2),
            "AD" | "BC" => name(if year > 0 { "AD" } else { "BC" }, 0),
            other => return Err(Error::unsupported(format!("pattern {other} of to_char"))),
        };
        fills = true;
        out.push_str(&text);
        // st, nd, rd, th.
        let suffix = rest.get(..2).filter(|s| s.eq_ignore_ascii_case("TH"));
        if let (Some(suffix), Some(last)) = (suffix, text.chars().last().and_then(|c| c.to_digit(10))) {
            let is_teen = text.len() > 1 && text[..text.len() - 1].ends_with('1');
            let ending = match (last, is_teen) {
                (1, false) => "st",
                (2, false) => "nd",
                (3, false) => "rd",
                _ => "th",
            };
            out.push_str(&if suffix == "TH" { ending.to_uppercase() } else { ending.to_owned() });
            rest = &rest[2..];
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_postgresqls() {
        let time = NaiveDateTime::parse_from_str("2024-05-06 07:08:09.012345", "%Y-%m-%d %H:%M:%S%.f").unwrap();
        for (pattern, expected) in [
            ("YYYY-MM-DD HH24:MI:SS", "2024-05-06 07:08:09"),
            ("yyyymmdd", "20240506"),
            ("HH12:MI AM", "07:08 AM"),
            ("FMMonth FMDDth, YYYY", "May 6th, 2024"),
            ("Mon DY day", "May MON monday   "),
            ("\"Q\"Q IYYY-IW MS US", "Q2 2024-19 012 012345"),
        ] {
            assert_eq!(formatted(&time, pattern).unwrap(), expected, "{pattern}");
        }
        assert_eq!(formatted(&time, "TZ").unwrap_err().sqlstate(), "0A000");
    }

    #[test]
    fn clocks_and_moments_are_each_others_inverse() {
        let tz: Tz = "Europe/Berlin".parse().unwrap();
        let noon = 1_720_000_000_000_000;
        assert_eq!(local(noon, &tz).unwrap() - noon, 7_200_000_000);
        assert_eq!(moment(local(noon, &tz).unwrap(), &tz).unwrap(), noon);
    }

    #[test]
    fn a_time_without_seconds_gets_them() {
        assert_eq!(with_seconds("2024-01-01 10:00").as_deref(), Some("2024-01-01 10:00:00"));
        assert_eq!(with_seconds("2024-01-01 10:00+02").as_deref(), Some("2024-01-01 10:00:00+02"));
        assert_eq!(with_seconds("2024-01-01 10:00:00"), None);
        assert_eq!(with_seconds("2024-01-01"), None);
    }
}
