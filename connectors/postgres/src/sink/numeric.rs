//! PostgreSQL's binary NUMERIC from integers and from decimal text: base-10000 digits, exact.

use bytes::{BufMut, BytesMut};

/// What `numeric(precision,scale)` can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NumericLimit {
    /// Significant digits, 1 to 1000.
    pub precision: u16,
    /// Digits after the point; negative means zeros before it.
    pub scale: i16,
}

/// Why a number cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumericFault {
    /// It is not the text of a number.
    NotANumber,
    /// It has more digits before the point than the column.
    TooLarge,
    /// It has more digits after the point than the column, and they are not zeros.
    TooFine,
}

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_NEGATIVE_INFINITY: u16 = 0xF000;
/// Most digits on either side of the point that PostgreSQL takes (its limit is 131072 and 16383).
const EXPONENT_MAX: i64 = 131_072;

/// Writes one cell (length and value) of `unscaled / 10^scale`. `scale` must not be negative.
///
/// Answers false, with nothing written, when the aligned value does not fit 128 bits; then the text
/// form must be used.
pub(crate) fn put_integer(unscaled: i128, scale: u8, buffer: &mut BytesMut) -> bool {
    let sign = if unscaled < 0 { SIGN_NEGATIVE } else { SIGN_POSITIVE };
    let magnitude = unscaled.unsigned_abs();
    // Digits are groups of four around the point, so the fraction is filled up to whole groups.
    let pad = (4 - scale % 4) % 4;
    let fraction_groups = (scale + pad) / 4;
    let Some(mut aligned) = magnitude.checked_mul(10u128.pow(u32::from(pad))) else { return false };
    let mut groups = [0i16; 12];
    let mut count = 0;
    while aligned > u128::from(u64::MAX) {
        groups[count] = (aligned % 10_000) as i16;
        aligned /= 10_000;
        count += 1;
    }
    let mut small = aligned as u64;
    while small > 0 {
        groups[count] = (small % 10_000) as i16;
        small /= 10_000;
        count += 1;
    }
    let zeros = groups[..count].iter().take_while(|group| **group == 0).count();
    let weight = if count == 0 { 0 } else { count as i16 - 1 - i16::from(fraction_groups) };
    let digits = count - zeros;
    buffer.reserve(12 + 2 * digits);
    buffer.put_i32(8 + 2 * digits as i32);
    buffer.put_i16(digits as i16);
    buffer.put_i16(weight);
    buffer.put_u16(if digits == 0 { SIGN_POSITIVE } else { sign });
    buffer.put_u16(u16::from(scale));
    for group in groups[zeros..count].iter().rev() {
        buffer.put_i16(*group);
    }
    true
}

/// Writes one cell (length and value) from decimal text: `-12.50`, `1e-7`, `NaN`, `-Infinity`.
pub(crate) fn put_text(text: &str, limit: Option<NumericLimit>, buffer: &mut BytesMut) -> Result<(), NumericFault> {
    let text = text.trim();
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let special = match unsigned.to_ascii_lowercase().as_str() {
        "nan" if !negative => Some(SIGN_NAN),
        "infinity" | "inf" => Some(if negative { SIGN_NEGATIVE_INFINITY } else { SIGN_INFINITY }),
        _ => None,
    };
    if let Some(sign) = special {
        buffer.put_i32(8);
        buffer.put_i16(0);
        buffer.put_i16(0);
        buffer.put_u16(sign);
        buffer.put_u16(0);
        return Ok(());
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i64>().map_err(|_| NumericFault::NotANumber)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return Err(NumericFault::NotANumber);
    }
    if exponent.abs() > EXPONENT_MAX {
        return Err(NumericFault::TooLarge);
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    // How many of the digits stand after the point; below zero, zeros are missing before it.
    let mut scale = fraction.len() as i64 - exponent;
    if scale < 0 {
        digits.resize(digits.len() + scale.unsigned_abs() as usize, 0);
        scale = 0;
    }
    check(&digits, scale, limit)?;
    put_digits(negative, &digits, scale as usize, buffer)
}

fn check(digits: &[u8], scale: i64, limit: Option<NumericLimit>) -> Result<(), NumericFault> {
    let Some(limit) = limit else { return Ok(()) };
    let surplus = scale - i64::from(limit.scale);
    if surplus > 0 && digits.iter().rev().take(surplus as usize).any(|digit| *digit != 0) {
        return Err(NumericFault::TooFine);
    }
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let significant = digits.len() - leading;
    let whole = significant as i64 - scale;
    if significant > 0 && whole > i64::from(limit.precision) - i64::from(limit.scale) {
        return Err(NumericFault::TooLarge);
    }
    Ok(())
}

fn put_digits(negative: bool, digits: &[u8], scale: usize, buffer: &mut BytesMut) -> Result<(), NumericFault> {
    let whole = digits.len().saturating_sub(scale);
    let missing = scale.saturating_sub(digits.len());
    let front = (4 - whole % 4) % 4;
    let back = (4 - scale % 4) % 4;
    // Digits with zeros put before and behind, so that the point falls between two groups.
    let padded = std::iter::repeat_n(0u8, front)
        .chain(digits[..whole].iter().copied())
        .chain(std::iter::repeat_n(0u8, missing))
        .chain(digits[whole..].iter().copied())
        .chain(std::iter::repeat_n(0u8, back));
    let mut groups: Vec<i16> = Vec::with_capacity((digits.len() + missing) / 4 + 2);
    let mut group = 0i16;
    for (index, digit) in padded.enumerate() {
        group = group * 10 + i16::from(digit);
        if index % 4 == 3 {
            groups.push(group);
            group = 0;
        }
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().skip(leading).rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    let weight = (whole + front) as i64 / 4 - 1 - leading as i64;
    let scale = u16::try_from(scale).ok().filter(|scale| *scale <= 16_383).ok_or(NumericFault::TooFine)?;
    let length = i32::try_from(8 + 2 * kept.len()).map_err(|_| NumericFault::TooLarge)?;
    let count = i16::try_from(kept.len()).map_err(|_| NumericFault::TooLarge)?;
    let weight = i16::try_from(weight).map_err(|_| NumericFault::TooLarge)?;
    buffer.put_i32(length);
    buffer.put_i16(count);
    buffer.put_i16(if kept.is_empty() { 0 } else { weight });
    buffer.put_u16(if negative && !kept.is_empty() { SIGN_NEGATIVE } else { SIGN_POSITIVE });
    buffer.put_u16(scale);
    for group in kept {
        buffer.put_i16(*group);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut buffer = BytesMut::new();
        put_text(text, None, &mut buffer).unwrap();
        buffer.to_vec()
    }

    /// (digits, weight, sign, scale), without the cell's length.
    fn parts(cell: &[u8]) -> (Vec<i16>, i16, u16, u16) {
        let word = |at: usize| i16::from_be_bytes([cell[at], cell[at + 1]]);
        assert_eq!(i32::from_be_bytes(cell[..4].try_into().unwrap()) as usize, cell.len() - 4);
        let digits = (0..word(4) as usize).map(|i| word(12 + 2 * i)).collect();
        (digits, word(6), word(8) as u16, word(10) as u16)
    }

    #[test]
    fn text_becomes_groups_of_four() {
        assert_eq!(parts(&text("12345.678")), (vec![1, 2345, 6780], 1, 0, 3));
        assert_eq!(parts(&text("-0.00012")), (vec![1, 2000], -1, SIGN_NEGATIVE, 5));
        assert_eq!(parts(&text("0.000000012")), (vec![1, 2000], -2, 0, 9).clone());
        assert_eq!(parts(&text("100000000")), (vec![1], 2, 0, 0));
        assert_eq!(parts(&text("1.5e3")), (vec![1500], 0, 0, 0));
        assert_eq!(parts(&text("1e-7")), (vec![10], -2, 0, 7));
        assert_eq!(parts(&text("0.00")), (vec![], 0, 0, 2));
        assert_eq!(parts(&text("NaN")), (vec![], 0, SIGN_NAN, 0));
        assert_eq!(parts(&text("-Infinity")), (vec![], 0, SIGN_NEGATIVE_INFINITY, 0));
    }

    #[test]
    fn integers_and_their_text_give_the_same_bytes() {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        println!("seed {seed}");
        let mut state = seed | 1;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let wide = (i128::from(next()) << 64 | i128::from(next())) >> (next() % 127);
            let value = if wide.unsigned_abs() < 10u128.pow(38) { wide } else { wide / 10 };
            let scale = (next() % 39) as u8;
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let shown = format!("{}{whole}.{fraction}", if value < 0 { "-" } else { "" });
            let mut buffer = BytesMut::new();
            if put_integer(value, scale, &mut buffer) {
                assert_eq!(buffer.to_vec(), text(&shown), "{shown} scale {scale} seed {seed}");
            } else {
                assert!(buffer.is_empty());
            }
        }
    }

    #[test]
    fn a_limit_refuses_what_would_be_rounded_or_cut() {
        let limit = Some(NumericLimit { precision: 5, scale: 2 });
        let put = |text: &str| put_text(text, limit, &mut BytesMut::new());
        assert_eq!(put("999.99"), Ok(()));
        assert_eq!(put("999.9900"), Ok(()));
        assert_eq!(put("0.001"), Err(NumericFault::TooFine));
        assert_eq!(put("1000"), Err(NumericFault::TooLarge));
        assert_eq!(put("12x"), Err(NumericFault::NotANumber));
        assert_eq!(put(""), Err(NumericFault::NotANumber));
        assert_eq!(put("."), Err(NumericFault::NotANumber));
        let coarse = Some(NumericLimit { precision: 2, scale: -3 });
        assert_eq!(put_text("12000", coarse, &mut BytesMut::new()), Ok(()));
        assert_eq!(put_text("12500", coarse, &mut BytesMut::new()), Err(NumericFault::TooFine));
        assert_eq!(put_text("100000", coarse, &mut BytesMut::new()), Err(NumericFault::TooLarge));
    }
}
