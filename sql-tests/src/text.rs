//! Binary values of the wire as PostgreSQL would print them, so that one `.slt` file holds for both protocols.

use std::error::Error;
use tokio_postgres::types::{FromSql, Kind, Type};

/// A value as text.
pub struct PgText(pub String);

impl<'a> FromSql<'a> for PgText {
    fn from_sql(data_type: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        text(data_type, raw).map(PgText)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

type Decoded<T> = Result<T, Box<dyn Error + Sync + Send>>;

fn bytes<const N: usize>(raw: &[u8]) -> Decoded<[u8; N]> {
    raw.get(..N).and_then(|b| b.try_into().ok()).ok_or_else(|| format!("{} bytes where {N} were due", raw.len()).into())
}

fn text(data_type: &Type, raw: &[u8]) -> Decoded<String> {
    if let Kind::Array(element) = data_type.kind() {
        return array(element, raw);
    }
    Ok(match *data_type {
        Type::BOOL => if raw == [1] { "t" } else { "f" }.to_owned(),
        Type::INT2 => i16::from_be_bytes(bytes(raw)?).to_string(),
        Type::INT4 => i32::from_be_bytes(bytes(raw)?).to_string(),
        Type::INT8 => i64::from_be_bytes(bytes(raw)?).to_string(),
        Type::OID | Type::REGCLASS | Type::REGTYPE | Type::REGPROC => u32::from_be_bytes(bytes(raw)?).to_string(),
        Type::FLOAT4 => float(f32::from_be_bytes(bytes(raw)?)),
        Type::FLOAT8 => float(f64::from_be_bytes(bytes(raw)?)),
        Type::NUMERIC => numeric(raw)?,
        Type::BYTEA => format!("\\x{}", raw.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Type::UUID => {
            let hex: String = raw.iter().map(|b| format!("{b:02x}")).collect();
            let cut = |a: usize, b: usize| hex.get(a..b).unwrap_or_default();
            [cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32)].join("-")
        }
        Type::DATE => date(i64::from(i32::from_be_bytes(bytes(raw)?))),
        Type::TIME => time(i64::from_be_bytes(bytes(raw)?)),
        Type::TIMESTAMP => timestamp(i64::from_be_bytes(bytes(raw)?)),
        Type::TIMESTAMPTZ => {
            let text = timestamp(i64::from_be_bytes(bytes(raw)?));
            if text.ends_with("infinity") { text } else { text + "+00" }
        }
        Type::JSONB => String::from_utf8(raw.get(1..).unwrap_or_default().to_vec())?,
        Type::INTERVAL => interval(raw)?,
        _ => String::from_utf8(raw.to_vec())?,
    })
}

fn float<T: std::fmt::Display + Into<f64> + Copy>(value: T) -> String {
    let as_double: f64 = value.into();
    if as_double.is_nan() {
        return "NaN".into();
    }
    if as_double.is_infinite() {
        return if as_double > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    value.to_string()
}

fn numeric(raw: &[u8]) -> Decoded<String> {
    let word = |i: usize| -> Decoded<i16> { Ok(i16::from_be_bytes(bytes(raw.get(i * 2..).unwrap_or_default())?)) };
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)? as u16, word(3)?);
    match sign {
        0xC000 => return Ok("NaN".into()),
        0xD000 => return Ok("Infinity".into()),
        0xF000 => return Ok("-Infinity".into()),
        _ => {}
    }
    let digits = (0..count as usize).map(|i| word(4 + i)).collect::<Decoded<Vec<i16>>>()?;
    let group = |at: i16| -> i16 {
        let index = i32::from(weight) - i32::from(at);
        usize::try_from(index).ok().and_then(|i| digits.get(i)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    if sign == 0x4000 {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    }
    for at in (0..=weight.max(-1)).rev() {
        let digits = group(at);
        if at == weight { text.push_str(&digits.to_string()) } else { text.push_str(&format!("{digits:04}")) }
    }
    if scale > 0 {
        let groups = (scale + 3) / 4;
        let fraction: String = (1..=groups).map(|i| format!("{:04}", group(-i))).collect();
        text.push('.');
        text.push_str(&fraction[..scale as usize]);
    }
    Ok(text)
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

fn timestamp(micros: i64) -> String {
    match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        _ => {
            let day = micros.div_euclid(MICROS_PER_DAY);
            let date = date(day);
            let time = time(micros.rem_euclid(MICROS_PER_DAY));
            match date.strip_suffix(" BC") {
                Some(date) => format!("{date} {time} BC"),
                None => format!("{date} {time}"),
            }
        }
    }
}

/// Days since 2000-01-01 by the proleptic Gregorian calendar.
fn date(days: i64) -> String {
    if days == i64::from(i32::MAX) {
        return "infinity".into();
    }
    if days == i64::from(i32::MIN) {
        return "-infinity".into();
    }
    // Days since 0000-03-01, so that a leap day is the last day of its year.
    let days = days + 730_425;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if year > 0 { format!("{year:04}-{month:02}-{day:02}") } else { format!("{:04}-{month:02}-{day:02} BC", 1 - year) }
}

fn time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

fn interval(raw: &[u8]) -> Decoded<String> {
    let micros = i64::from_be_bytes(bytes(raw)?);
    let days = i32::from_be_bytes(bytes(raw.get(8..).unwrap_or_default())?);
    let months = i32::from_be_bytes(bytes(raw.get(12..).unwrap_or_default())?);
    let mut parts = vec![];
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            parts.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if micros != 0 || parts.is_empty() {
        parts.push(format!("{}{}", if micros < 0 { "-" } else { "" }, time(micros.abs())));
    }
    Ok(parts.join(" "))
}

fn array(element: &Type, raw: &[u8]) -> Decoded<String> {
    let number = |at: usize| -> Decoded<i32> { Ok(i32::from_be_bytes(bytes(raw.get(at..).unwrap_or_default())?)) };
    let dimensions = usize::try_from(number(0)?)?;
    if dimensions == 0 {
        return Ok("{}".into());
    }
    let lengths = (0..dimensions).map(|i| Ok(usize::try_from(number(12 + i * 8)?)?)).collect::<Decoded<Vec<_>>>()?;
    let mut at = 12 + dimensions * 8;
    let mut values = vec![];
    for _ in 0..lengths.iter().product::<usize>() {
        let length = number(at)?;
        at += 4;
        match usize::try_from(length) {
            Err(_) => values.push("NULL".to_owned()),
            Ok(length) => {
                let value = text(element, raw.get(at..at + length).ok_or("an array element is cut off")?)?;
                values.push(quoted(&value));
                at += length;
            }
        }
    }
    for length in lengths.iter().rev() {
        values = values.chunks(*length.max(&1)).map(|chunk| format!("{{{}}}", chunk.join(","))).collect();
    }
    Ok(values.concat())
}

fn quoted(value: &str) -> String {
    let plain = !value.is_empty()
        && !value.eq_ignore_ascii_case("null")
        && !value.contains(|c: char| c.is_ascii_whitespace() || "{},\"\\".contains(c));
    if plain { value.to_owned() } else { format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_and_numbers_read_as_postgresql_prints_them() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-1), "1999-12-31");
        assert_eq!(date(59), "2000-02-29");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
        assert_eq!(timestamp(1_500_000), "2000-01-01 00:00:01.5");
        // 12345.678: groups 1, 2345, 6780 with weight 1 and scale 3.
        let raw: Vec<u8> = [3i16, 1, 0, 3, 1, 2345, 6780].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(numeric(&raw).unwrap(), "12345.678");
        // 0.05: one group 500 with weight -1 and scale 2.
        let raw: Vec<u8> = [1i16, -1, 0, 2, 500].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(numeric(&raw).unwrap(), "0.05");
    }
}
