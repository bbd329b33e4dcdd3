//! Floating-point numbers as PostgreSQL prints them: the shortest digits that read back as the same
//! number, with an exponent where the C library would use one.

use bytes::{BufMut, BytesMut};

pub(super) fn write_f64(value: f64, extra_float_digits: i32, out: &mut BytesMut) {
    if let Some(word) = special(value) {
        return out.put_slice(word.as_bytes());
    }
    let text = if extra_float_digits > 0 {
        format!("{value:e}")
    } else {
        format!("{value:.*e}", digits(15, extra_float_digits))
    };
    // Shortest output switches to an exponent at 15 digits, %.*g at its precision.
    lay_out(&text, if extra_float_digits > 0 { 15 } else { 15 + extra_float_digits }, out);
}

pub(super) fn write_f32(value: f32, extra_float_digits: i32, out: &mut BytesMut) {
    if let Some(word) = special(value.into()) {
        return out.put_slice(word.as_bytes());
    }
    let text = if extra_float_digits > 0 {
        format!("{value:e}")
    } else {
        format!("{value:.*e}", digits(6, extra_float_digits))
    };
    lay_out(&text, if extra_float_digits > 0 { 6 } else { 6 + extra_float_digits }, out);
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Digits behind the first one.
fn digits(all: i32, extra: i32) -> usize {
    (all + extra).max(1) as usize - 1
}

/// `-1.25e-7` as `-1.25e-07`, and without an exponent when that is short.
fn lay_out(scientific: &str, width: i32, out: &mut BytesMut) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let mut digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    while digits.len() > 1 && digits.ends_with('0') {
        digits.pop();
    }
    out.put_slice(sign.as_bytes());
    if exponent < -4 || exponent >= width.max(1) {
        out.put_slice(&digits.as_bytes()[..1]);
        if digits.len() > 1 {
            out.put_u8(b'.');
            out.put_slice(&digits.as_bytes()[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        out.put_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.put_slice(b"0.");
        out.put_bytes(b'0', (-exponent - 1) as usize);
        out.put_slice(digits.as_bytes());
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.put_slice(digits.as_bytes());
            out.put_bytes(b'0', whole - digits.len());
        } else {
            out.put_slice(&digits.as_bytes()[..whole]);
            out.put_u8(b'.');
            out.put_slice(&digits.as_bytes()[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64_text(value: f64, extra: i32) -> String {
        let mut out = BytesMut::new();
        write_f64(value, extra, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn numbers_look_as_in_postgresql() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456.789, "123456.789"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(f64_text(value, 1), text);
        }
        assert_eq!(f64_text(0.1 + 0.2, 0), "0.3");
        assert_eq!(f64_text(1.0 / 3.0, 0), "0.333333333333333");
        assert_eq!(f64_text(1.0 / 3.0, -15), "0.3");
        let mut out = BytesMut::new();
        write_f32(16_777_216.0, 1, &mut out);
        out.put_u8(b' ');
        write_f32(0.1, 1, &mut out);
        assert_eq!(&out[..], b"1.6777216e+07 0.1");
    }
}
