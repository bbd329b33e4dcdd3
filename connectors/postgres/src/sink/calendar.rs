//! Dates, times, timestamps and intervals: between Arrow's epoch of 1970 and PostgreSQL's of 2000,
//! and as PostgreSQL's ISO text.
//!
//! `infinity` and `-infinity` of dates and timestamps are the largest and the smallest integer in
//! Arrow (i32 days, i64 microseconds), the same numbers that PostgreSQL uses on the wire.

use std::io::Write;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// Days since 1970 as PostgreSQL's days since 2000; None when it has no such day.
pub(crate) fn date_to_postgres(days: i32) -> Option<i32> {
    match days {
        i32::MAX | i32::MIN => Some(days),
        days => days.checked_sub(EPOCH_DAYS),
    }
}

/// Microseconds since 1970 as PostgreSQL's microseconds since 2000; None when it has no such time.
pub(crate) fn timestamp_to_postgres(micros: i64) -> Option<i64> {
    match micros {
        i64::MAX | i64::MIN => Some(micros),
        micros => micros.checked_sub(EPOCH_MICROS),
    }
}

/// Days since 1970 as microseconds since 1970, infinity included.
pub(crate) fn date_to_micros(days: i32) -> Option<i64> {
    match days {
        i32::MAX => Some(i64::MAX),
        i32::MIN => Some(i64::MIN),
        days => i64::from(days).checked_mul(DAY_MICROS),
    }
}

/// Writes a date since 1970 as `2026-03-01`, `0044-03-15 BC` or `infinity`.
pub(crate) fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let is_before_christ = write_day(i64::from(days), out);
            if is_before_christ {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Writes microseconds since 1970 as `2026-03-01 12:00:00.5`, with `+00` when `is_utc`.
pub(crate) fn write_timestamp(micros: i64, is_utc: bool, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => return out.extend_from_slice(b"infinity"),
        i64::MIN => return out.extend_from_slice(b"-infinity"),
        _ => {}
    }
    let is_before_christ = write_day(micros.div_euclid(DAY_MICROS), out);
    out.push(b' ');
    write_time(micros.rem_euclid(DAY_MICROS), out);
    if is_utc {
        out.extend_from_slice(b"+00");
    }
    if is_before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Writes microseconds since midnight as `12:00:00` or `12:00:00.500000`.
pub(crate) fn write_time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    // Writing into a Vec does not fail.
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let _ = write!(out, ".{fraction:06}");
    }
}

/// Writes an interval in the style `postgres`, each part with its own sign.
pub(crate) fn write_interval(months: i32, days: i32, micros: i64, out: &mut Vec<u8>) {
    let _ = write!(out, "{months} mons {days} days ");
    if micros < 0 {
        out.push(b'-');
    }
    let magnitude = micros.unsigned_abs();
    let (seconds, fraction) = (magnitude / 1_000_000, magnitude % 1_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}.{fraction:06}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

/// Writes a day since 1970 in the proleptic Gregorian calendar; says whether the era is BC.
fn write_day(days: i64, out: &mut Vec<u8>) -> bool {
    // The calendar is computed from 1 March of year 0, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // There is no year 0: astronomical year 0 is 1 BC.
    let (shown, is_before_christ) = if year <= 0 { (1 - year, true) } else { (year, false) };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    is_before_christ
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i32) -> String {
        let mut out = vec![];
        write_date(days, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn days_are_written_as_postgres_writes_them() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_513, "2026-03-01"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "10000-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(date(days), text, "{days}");
        }
    }

    #[test]
    fn times_keep_microseconds_and_signs() {
        let mut out = vec![];
        write_timestamp(-1, true, &mut out);
        assert_eq!(out, b"1969-12-31 23:59:59.999999+00");
        out.clear();
        write_interval(-1, 2, -1_500_000, &mut out);
        assert_eq!(out, b"-1 mons 2 days -00:00:01.500000");
    }
}
