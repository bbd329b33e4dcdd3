//! `numeric`: decimal digits as text, and as groups of four in PostgreSQL's binary form.

use crate::wire::error::coded;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use catalog::{Error, Result};

/// Digits of a whole number with the last `scale` of them behind a point.
pub(super) fn place_point(digits: &str, scale: i8) -> String {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    match usize::try_from(scale) {
        Ok(0) => format!("{sign}{digits}"),
        Ok(scale) if digits.len() > scale => {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        }
        Ok(scale) => format!("{sign}0.{digits:0>scale$}"),
        Err(_) if digits == "0" => "0".to_owned(),
        Err(_) => format!("{sign}{digits}{}", "0".repeat(scale.unsigned_abs().into())),
    }
}

/// Writes `-12.340` in the binary form: how many groups, weight of the first, sign, digits behind
/// the point, groups.
pub(super) fn write_binary(text: &str, out: &mut BytesMut) -> Result<()> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (0x4000u16, rest),
        None => (0, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(Error::internal("a number does not consist of digits"));
    }
    let whole_groups = whole.len().div_ceil(4);
    let digits = format!(
        "{whole:0>width$}{fraction:0<behind$}",
        width = whole_groups * 4,
        behind = fraction.len().div_ceil(4) * 4
    );
    let mut groups: Vec<u16> = digits
        .as_bytes()
        .chunks(4)
        .map(|chunk| chunk.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
        .collect();
    let mut weight = whole_groups as i16 - 1;
    let zeros = groups.iter().take_while(|g| **g == 0).count();
    groups.drain(..zeros);
    weight -= zeros as i16;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.put_u16(groups.len() as u16);
    out.put_i16(weight);
    out.put_u16(if groups.is_empty() { 0 } else { sign });
    out.put_u16(fraction.len() as u16);
    groups.iter().for_each(|group| out.put_u16(*group));
    Ok(())
}

/// A number as digits: what `numeric` values are between the wire and Arrow.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) struct DecimalText {
    /// Sign and digits without a point.
    pub digits: String,
    /// How many of them stand behind the point.
    pub scale: usize,
}

impl DecimalText {
    /// From `-12.5`, `.5`, `1e-3`; None for anything else, `NaN` included.
    pub(in crate::wire) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (sign, rest) = match text.as_bytes().first()? {
            b'-' => ("-", &text[1..]),
            b'+' => ("", &text[1..]),
            _ => ("", text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], rest[at + 1..].parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if (whole.is_empty() && fraction.is_empty())
            || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let mut digits = format!("{whole}{fraction}");
        // A point moved far to the right makes zeros; far to the left a scale. 1000 is beyond any
        // decimal that we have.
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent).filter(|s| s.abs() <= 1_000)?;
        if scale < 0 {
            digits.push_str(&"0".repeat(scale.unsigned_abs() as usize));
        }
        let scale = scale.max(0) as usize;
        let kept = digits.trim_start_matches('0');
        let kept = if kept.is_empty() { "0" } else { kept };
        let sign = if kept == "0" { "" } else { sign };
        Some(Self { digits: format!("{sign}{kept}"), scale })
    }
}

/// Reads the binary form. NaN and infinities, which no decimal of ours can hold, are 22003.
pub(in crate::wire) fn parse_numeric_binary(mut bytes: Bytes) -> Result<DecimalText> {
    let wrong = || coded("22P03", "incorrect binary data format for type numeric");
    if bytes.len() < 8 {
        return Err(wrong());
    }
    let (count, weight) = (usize::from(bytes.get_u16()), i32::from(bytes.get_i16()));
    let (sign, scale) = (bytes.get_u16(), usize::from(bytes.get_u16()));
    if bytes.len() != count * 2 {
        return Err(wrong());
    }
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        0xc000 | 0xd000 | 0xf000 => {
            return Err(coded("22003", "NaN and infinity are not supported in numeric parameters"));
        }
        _ => return Err(wrong()),
    };
    if weight.abs() > 250 || scale > 1_000 {
        return Err(coded("22003", "value overflows numeric format"));
    }
    let mut whole = String::new();
    let mut fraction = String::new();
    for i in 0..count {
        let group = bytes.get_u16();
        if group > 9_999 {
            return Err(wrong());
        }
        let text = format!("{group:04}");
        if i as i32 <= weight { whole.push_str(&text) } else { fraction.push_str(&text) }
    }
    // Groups of zeros are left out at both ends.
    if weight >= 0 {
        let missing = (weight as usize + 1).saturating_sub(count);
        whole.push_str(&"0000".repeat(missing));
    } else {
        fraction.insert_str(0, &"0000".repeat((-weight - 1) as usize));
    }
    let fraction = if fraction.len() >= scale { fraction[..scale].to_owned() } else { format!("{fraction:0<scale$}") };
    DecimalText::parse(&format!("{sign}{whole}.{fraction}")).or_else(|| DecimalText::parse("0")).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_placed() {
        for (digits, scale, text) in [
            ("12345", 2, "123.45"),
            ("-5", 2, "-0.05"),
            ("0", 2, "0.00"),
            ("12", -2, "1200"),
            ("0", -2, "0"),
            ("7", 0, "7"),
            ("100", 3, "0.100"),
        ] {
            assert_eq!(place_point(digits, scale), text);
        }
    }

    #[test]
    fn the_binary_form_is_read_as_it_was_written() {
        for text in
            ["0", "1", "-1.5", "10000", "12345678.00000001", "0.0001", "0.00001", "100000000", "-0.10", "99999.9999"]
        {
            let mut out = BytesMut::new();
            write_binary(text, &mut out).unwrap();
            assert_eq!(parse_numeric_binary(out.freeze()).unwrap(), DecimalText::parse(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn the_binary_form_is_that_of_postgresql() {
        let mut out = BytesMut::new();
        write_binary("-12345.678", &mut out).unwrap();
        let mut expected = BytesMut::new();
        for number in [3u16, 1, 0x4000, 3, 1, 2345, 6780] {
            expected.put_u16(number);
        }
        assert_eq!(out, expected);
    }

    #[test]
    fn text_is_read_with_exponents() {
        for (text, digits, scale) in
            [("1e3", "1000", 0), ("1.5E-3", "15", 4), (" -0.0 ", "0", 1), (".5", "5", 1), ("007", "7", 0)]
        {
            assert_eq!(DecimalText::parse(text).unwrap(), DecimalText { digits: digits.into(), scale }, "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "NaN", "1e", "0x1", "1e999999999"] {
            assert_eq!(DecimalText::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wrong_bytes_are_errors() {
        for bytes in [&b""[..], b"\0\x01\0\0\0\0\0\0", b"\0\x01\0\0\0\0\0\0\xff\xff", b"\0\0\0\0\x12\x34\0\0"] {
            assert_eq!(parse_numeric_binary(Bytes::copy_from_slice(bytes)).unwrap_err().sqlstate(), "22P03");
        }
    }
}
