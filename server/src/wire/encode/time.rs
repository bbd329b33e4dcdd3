//! Dates, times, timestamps and intervals: ISO text, and PostgreSQL's binary counts from 2000.
//!
//! The calendar is computed here and not by chrono, whose years end at 262000 where Arrow's and
//! PostgreSQL's go on.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use bytes::{BufMut, BytesMut};
use catalog::{Error, ErrorKind, Result};
use chrono::{DateTime, Offset, TimeZone};

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
pub(in crate::wire) const EPOCH_DAYS: i64 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub(in crate::wire) const EPOCH_MICROSECONDS: i64 = EPOCH_DAYS * DAY;
const DAY: i64 = 86_400_000_000;

fn out_of_range(what: &str) -> Error {
    Error::new(ErrorKind::Remote("22008".into()), format!("{what} out of range"))
}

/// A count of any unit as microseconds; finer time is cut off toward the past.
pub(super) fn microseconds(value: i64, unit: TimeUnit) -> Result<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value.div_euclid(1_000)),
    }
    .ok_or_else(|| out_of_range("timestamp"))
}

/// `has_infinity`: the ends of Date32's range mean the infinities.
pub(super) fn write_date(days: i64, has_infinity: bool, is_binary: bool, out: &mut BytesMut) -> Result<()> {
    let infinite = has_infinity && (days == i64::from(i32::MAX) || days == i64::from(i32::MIN));
    if is_binary {
        let number = if infinite { days } else { days - EPOCH_DAYS };
        out.put_i32(i32::try_from(number).map_err(|_| out_of_range("date"))?);
        return Ok(());
    }
    if infinite {
        out.put_slice(if days > 0 { b"infinity" } else { b"-infinity" });
        return Ok(());
    }
    let is_bc = put_date(days, out);
    if is_bc {
        out.put_slice(b" BC");
    }
    Ok(())
}

/// The date without its era; answers whether it is before Christ.
fn put_date(days: i64, out: &mut BytesMut) -> bool {
    let (year, month, day) = civil(days);
    // There is no year 0: the year before 1 is 1 BC.
    let (shown, is_bc) = if year <= 0 { (1 - year, true) } else { (year, false) };
    out.put_slice(format!("{shown:04}-{month:02}-{day:02}").as_bytes());
    is_bc
}

/// Year, month and day of a count of days from 1970-01-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is the last day of a year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub(super) fn write_time(microseconds: i64, is_binary: bool, out: &mut BytesMut) {
    if is_binary { out.put_i64(microseconds) } else { put_time(microseconds, out) }
}

/// `04:05:06.7`; hours go on above 24.
fn put_time(microseconds: i64, out: &mut BytesMut) {
    let (seconds, fraction) = (microseconds.div_euclid(1_000_000), microseconds.rem_euclid(1_000_000));
    out.put_slice(format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60).as_bytes());
    put_fraction(fraction, out);
}

fn put_fraction(fraction: i64, out: &mut BytesMut) {
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        out.put_u8(b'.');
        out.put_slice(digits.trim_end_matches('0').as_bytes());
    }
}

/// `zone`: the zone in which a point in time is shown; None for a timestamp without one.
pub(super) fn write_timestamp(
    value: i64,
    unit: TimeUnit,
    zone: Option<&Tz>,
    is_binary: bool,
    out: &mut BytesMut,
) -> Result<()> {
    // The ends of the range of microseconds mean the infinities; in other units they are times.
    if unit == TimeUnit::Microsecond && (value == i64::MAX || value == i64::MIN) {
        if is_binary {
            out.put_i64(value);
        } else {
            out.put_slice(if value > 0 { b"infinity" } else { b"-infinity" });
        }
        return Ok(());
    }
    let value = microseconds(value, unit)?;
    if is_binary {
        out.put_i64(value.checked_sub(EPOCH_MICROSECONDS).ok_or_else(|| out_of_range("timestamp"))?);
        return Ok(());
    }
    let offset = zone.map(|zone| offset_seconds(zone, value));
    let local =
        value.checked_add(i64::from(offset.unwrap_or(0)) * 1_000_000).ok_or_else(|| out_of_range("timestamp"))?;
    let is_bc = put_date(local.div_euclid(DAY), out);
    out.put_u8(b' ');
    put_time(local.rem_euclid(DAY), out);
    if let Some(offset) = offset {
        put_offset(offset, out);
    }
    if is_bc {
        out.put_slice(b" BC");
    }
    Ok(())
}

/// Seconds east of UTC at a point in time. Beyond chrono's years a zone has no rules: UTC.
fn offset_seconds(zone: &Tz, microseconds: i64) -> i32 {
    match DateTime::from_timestamp_micros(microseconds) {
        Some(time) => zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc(),
        None => 0,
    }
}

/// `+02`, `+05:30`, `-00:01:15`
fn put_offset(offset: i32, out: &mut BytesMut) {
    out.put_u8(if offset < 0 { b'-' } else { b'+' });
    let offset = offset.abs();
    out.put_slice(format!("{:02}", offset / 3_600).as_bytes());
    if offset % 3_600 != 0 {
        out.put_slice(format!(":{:02}", offset / 60 % 60).as_bytes());
    }
    if offset % 60 != 0 {
        out.put_slice(format!(":{:02}", offset % 60).as_bytes());
    }
}

pub(super) fn write_interval(
    months: i32,
    days: i32,
    microseconds: i64,
    is_iso: bool,
    is_binary: bool,
    out: &mut BytesMut,
) {
    if is_binary {
        out.put_i64(microseconds);
        out.put_i32(days);
        out.put_i32(months);
    } else if is_iso {
        put_interval_iso(months, days, microseconds, out);
    } else {
        put_interval(months, days, microseconds, out);
    }
}

/// `1 year 2 mons -3 days +04:05:06.7`: a part after a negative one has its sign.
fn put_interval(months: i32, days: i32, microseconds: i64, out: &mut BytesMut) {
    let mut text = String::new();
    let mut was_negative = false;
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if number == 0 {
            continue;
        }
        let blank = if text.is_empty() { "" } else { " " };
        let plus = if was_negative && number > 0 { "+" } else { "" };
        let plural = if number == 1 { "" } else { "s" };
        text.push_str(&format!("{blank}{plus}{number} {unit}{plural}"));
        was_negative = number < 0;
    }
    if microseconds != 0 || text.is_empty() {
        if !text.is_empty() {
            text.push(' ');
        }
        out.put_slice(text.as_bytes());
        if microseconds < 0 {
            out.put_u8(b'-');
        } else if was_negative {
            out.put_u8(b'+');
        }
        put_magnitude(microseconds.unsigned_abs(), out);
    } else {
        out.put_slice(text.as_bytes());
    }
}

fn put_magnitude(microseconds: u64, out: &mut BytesMut) {
    let seconds = microseconds / 1_000_000;
    out.put_slice(format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60).as_bytes());
    put_fraction((microseconds % 1_000_000) as i64, out);
}

/// `P1Y2M-3DT4H5M6.7S`
fn put_interval_iso(months: i32, days: i32, microseconds: i64, out: &mut BytesMut) {
    if months == 0 && days == 0 && microseconds == 0 {
        return out.put_slice(b"PT0S");
    }
    let mut text = String::from("P");
    for (number, unit) in [(months / 12, 'Y'), (months % 12, 'M'), (days, 'D')] {
        if number != 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    if microseconds != 0 {
        text.push('T');
        let (hours, minutes) = (microseconds / 3_600_000_000, microseconds / 60_000_000 % 60);
        for (number, unit) in [(hours, 'H'), (minutes, 'M')] {
            if number != 0 {
                text.push_str(&format!("{number}{unit}"));
            }
        }
        let rest = microseconds % 60_000_000;
        if rest != 0 {
            let sign = if rest < 0 { "-" } else { "" };
            let rest = rest.unsigned_abs();
            let mut fraction = BytesMut::new();
            put_fraction((rest % 1_000_000) as i64, &mut fraction);
            text.push_str(&format!("{sign}{}{}S", rest / 1_000_000, String::from_utf8_lossy(&fraction)));
        }
    }
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn dates_are_those_of_the_gregorian_calendar() {
        for (days, shown) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "10000-01-01"),
            (i64::from(i32::MAX), "infinity"),
            (i64::from(i32::MIN), "-infinity"),
        ] {
            assert_eq!(text(|out| write_date(days, true, false, out).unwrap()), shown);
        }
    }

    #[test]
    fn points_in_time_are_shown_in_the_session_zone() {
        let at = 1_719_835_200_123_000; // 2024-07-01 12:00:00.123 UTC
        for (zone, shown) in [
            ("UTC", "2024-07-01 12:00:00.123+00"),
            ("Europe/Berlin", "2024-07-01 14:00:00.123+02"),
            ("Asia/Kolkata", "2024-07-01 17:30:00.123+05:30"),
            ("-07:00", "2024-07-01 05:00:00.123-07"),
        ] {
            let zone: Tz = zone.parse().unwrap();
            assert_eq!(text(|out| write_timestamp(at, TimeUnit::Microsecond, Some(&zone), false, out).unwrap()), shown);
        }
        assert_eq!(
            text(|out| write_timestamp(-1, TimeUnit::Nanosecond, None, false, out).unwrap()),
            "1969-12-31 23:59:59.999999"
        );
        assert_eq!(
            text(|out| write_timestamp(i64::MIN, TimeUnit::Microsecond, None, false, out).unwrap()),
            "-infinity"
        );
        assert!(write_timestamp(i64::MAX, TimeUnit::Second, None, false, &mut BytesMut::new()).is_err());
    }

    #[test]
    fn intervals_look_as_in_postgresql() {
        for (months, days, microseconds, shown, iso) in [
            (0, 0, 0, "00:00:00", "PT0S"),
            (14, 3, 14_706_700_000, "1 year 2 mons 3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S"),
            (-1, 2, -1_000_000, "-1 mons +2 days -00:00:01", "P-1M2DT-1S"),
            (0, -1, 3_600_000_000, "-1 days +01:00:00", "P-1DT1H"),
            (0, 0, 360_000_000_000, "100:00:00", "PT100H"),
        ] {
            assert_eq!(text(|out| write_interval(months, days, microseconds, false, false, out)), shown);
            assert_eq!(text(|out| write_interval(months, days, microseconds, true, false, out)), iso);
        }
    }
}
