//! The server's binary `numeric`, decoded digit by digit into exact decimals.
//!
//! What does not fit the column's precision and scale is rejected and never rounded.

use crate::decode::{Reject, read_i16};
use arrow::datatypes::i256;

/// A `numeric` in the server's form: digits to the base 10000, the first of them worth
/// `10000 ^ weight`.
struct Numeric<'a> {
    weight: i32,
    is_negative: bool,
    digits: &'a [u8],
}

impl<'a> Numeric<'a> {
    fn parse(value: &'a [u8]) -> Result<Self, Reject> {
        let (Some(count), Some(weight), Some(sign), Some(digits)) =
            (read_i16(value, 0), read_i16(value, 2), read_i16(value, 4), value.get(8..))
        else {
            return Err(Reject::Malformed("its numeric header is cut off"));
        };
        let is_negative = match sign as u16 {
            0x0000 => false,
            0x4000 => true,
            0xC000 => return Err(Reject::NotANumber("NaN")),
            0xD000 => return Err(Reject::NotANumber("Infinity")),
            0xF000 => return Err(Reject::NotANumber("-Infinity")),
            _ => return Err(Reject::Malformed("its numeric sign is not known")),
        };
        if count < 0 || digits.len() != count as usize * 2 {
            return Err(Reject::Malformed("its number of digits is wrong"));
        }
        Ok(Self { weight: weight.into(), is_negative, digits })
    }

    /// Calls `step(factor, digit)` for `value = value * factor + digit` over all digits, and answers
    /// the power of ten that the result is still to be multiplied with, so that it is a whole number
    /// of `10 ^ -scale`.
    fn fold(&self, scale: u8, mut step: impl FnMut(u32, u32) -> Result<(), Reject>) -> Result<u32, Reject> {
        let mut power = 0;
        for (index, digit) in self.digits.chunks_exact(2).enumerate() {
            let digit = u32::from(u16::from_be_bytes([digit[0], digit[1]]));
            if digit > 9_999 {
                return Err(Reject::Malformed("one of its digits is above 9999"));
            }
            // The digit is worth 10 ^ exponent units of the scale.
            let exponent = 4 * (self.weight - index as i32) + i32::from(scale);
            if exponent >= 0 {
                step(10_000, digit)?;
                power = exponent as u32;
            } else {
                let cut = 10u32.pow(exponent.unsigned_abs().min(4));
                if digit % cut != 0 {
                    return Err(Reject::Malformed("it has more decimal places than its type"));
                }
                // After a whole digit's worth of places is cut off, nothing is left to shift for.
                if exponent > -4 {
                    step(10_000 / cut, digit / cut)?;
                }
                power = 0;
            }
        }
        Ok(power)
    }
}

const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// The value as a whole number of `10 ^ -scale`, below `10 ^ precision`.
pub(crate) fn decimal128(value: &[u8], precision: u8, scale: u8) -> Result<i128, Reject> {
    let numeric = Numeric::parse(value)?;
    let magnitude = if numeric.digits.len() <= 8 {
        // Up to four digits stay below 10^16: plain 64-bit arithmetic, the usual case.
        let mut small = 0u64;
        let power = numeric.fold(scale, |factor, digit| {
            small = small * u64::from(factor) + u64::from(digit);
            Ok(())
        })?;
        scaled128(i128::from(small), power)?
    } else {
        let mut wide = 0i128;
        let power = numeric.fold(scale, |factor, digit| {
            wide = wide
                .checked_mul(i128::from(factor))
                .and_then(|wide| wide.checked_add(i128::from(digit)))
                .ok_or(Reject::Range)?;
            Ok(())
        })?;
        scaled128(wide, power)?
    };
    if magnitude >= POWERS.get(usize::from(precision)).copied().unwrap_or(i128::MAX) {
        return Err(Reject::Range);
    }
    Ok(if numeric.is_negative { -magnitude } else { magnitude })
}

fn scaled128(value: i128, power: u32) -> Result<i128, Reject> {
    match value {
        0 => Ok(0),
        _ => POWERS.get(power as usize).and_then(|p| value.checked_mul(*p)).ok_or(Reject::Range),
    }
}

/// The same for decimals of up to 76 digits.
pub(crate) fn decimal256(value: &[u8], precision: u8, scale: u8) -> Result<i256, Reject> {
    let numeric = Numeric::parse(value)?;
    let mut wide = i256::ZERO;
    let power = numeric.fold(scale, |factor, digit| {
        wide = wide
            .checked_mul(i256::from_i128(factor.into()))
            .and_then(|wide| wide.checked_add(i256::from_i128(digit.into())))
            .ok_or(Reject::Range)?;
        Ok(())
    })?;
    if wide != i256::ZERO {
        if power > 76 {
            return Err(Reject::Range);
        }
        for _ in 0..power {
            wide = wide.checked_mul(i256::from_i128(10)).ok_or(Reject::Range)?;
        }
    }
    let limit = (0..precision).try_fold(i256::ONE, |limit, _| limit.checked_mul(i256::from_i128(10)));
    if limit.is_none_or(|limit| wide >= limit) {
        return Err(Reject::Range);
    }
    Ok(if numeric.is_negative { wide.wrapping_neg() } else { wide })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(weight: i16, sign: u16, digits: &[u16]) -> Vec<u8> {
        let mut bytes = vec![];
        bytes.extend((digits.len() as i16).to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(0u16.to_be_bytes());
        digits.iter().for_each(|d| bytes.extend(d.to_be_bytes()));
        bytes
    }

    #[test]
    fn numeric_digits_become_exact_decimals() {
        let d = |value: &[u8], p, s| decimal128(value, p, s);
        assert_eq!(d(&numeric(0, 0, &[]), 5, 2), Ok(0));
        assert_eq!(d(&numeric(0, 0, &[1]), 5, 2), Ok(100));
        assert_eq!(d(&numeric(0, 0x4000, &[12, 3400]), 6, 2), Ok(-1234));
        assert_eq!(d(&numeric(-1, 0, &[5000]), 3, 1), Ok(5));
        assert_eq!(d(&numeric(-2, 0, &[1]), 10, 8), Ok(1));
        assert_eq!(d(&numeric(2, 0, &[1]), 9, 0), Ok(100_000_000));
        assert_eq!(d(&numeric(1, 0, &[1, 0, 100]), 10, 2), Ok(1_000_001));
        // 38 nines, on a digit boundary and off it
        let nines = [99, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999];
        assert_eq!(d(&numeric(9, 0, &nines), 38, 0), Ok(POWERS[38] - 1));
        let mut off = vec![9999; 9];
        off.push(9900);
        assert_eq!(d(&numeric(-1, 0x4000, &off), 38, 38), Ok(-(POWERS[38] - 1)));
        let odd = [9, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9999, 9000];
        assert_eq!(d(&numeric(8, 0, &odd), 38, 5), Ok(POWERS[38] - 1));
        assert_eq!(decimal256(&numeric(9, 0x4000, &nines), 39, 0), Ok(i256::from_i128(-(POWERS[38] - 1))));
        let mut many = vec![9999u16; 19];
        assert!(decimal256(&numeric(18, 0, &many), 76, 0).is_ok());
        many.push(1);
        assert_eq!(decimal256(&numeric(19, 0, &many), 76, 0), Err(Reject::Range));
    }

    #[test]
    fn numbers_that_do_not_fit_are_rejected_and_never_cut() {
        assert_eq!(decimal128(&numeric(0, 0xC000, &[]), 5, 2), Err(Reject::NotANumber("NaN")));
        assert_eq!(decimal128(&numeric(0, 0xD000, &[]), 5, 2), Err(Reject::NotANumber("Infinity")));
        assert_eq!(decimal128(&numeric(0, 0xF000, &[]), 5, 2), Err(Reject::NotANumber("-Infinity")));
        assert_eq!(decimal128(&numeric(0, 0, &[1000]), 5, 2), Err(Reject::Range));
        assert_eq!(decimal128(&numeric(32_767, 0, &[1]), 38, 0), Err(Reject::Range));
        for bad in [numeric(-1, 0, &[1]), numeric(-2, 0, &[1]), numeric(-32_768, 0, &[1]), numeric(0, 0, &[10_000])] {
            assert!(matches!(decimal128(&bad, 5, 2), Err(Reject::Malformed(_))), "{bad:?}");
        }
        for length in 0..8 {
            assert!(matches!(decimal128(&numeric(0, 0, &[1])[..length], 5, 2), Err(Reject::Malformed(_))));
        }
        assert!(matches!(decimal128(&numeric(0, 0, &[1, 2])[..11], 5, 2), Err(Reject::Malformed(_))));
        assert!(matches!(decimal128(&numeric(0, 0x1234, &[1]), 5, 2), Err(Reject::Malformed(_))));
    }
}
