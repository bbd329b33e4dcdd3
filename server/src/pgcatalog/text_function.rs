//! Functions over text, arrays and numbers that clients use in catalog queries, and patterns.

use super::function::{Call, Function, MANY, Returns, strict};
use super::object::name_parts;
use super::value::{Value, compare, key};
use crate::pg_types::oid;
use catalog::{Error, ErrorKind, Result, quote_ident, quote_literal};
use parking_lot::Mutex;
use regex::Regex;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use Returns::{ArrayOf, Is, Same};
const TEXT: Returns = Is(oid::TEXT);
const INT4: Returns = Is(oid::INT4);
const FLOAT: Returns = Is(oid::FLOAT8);
const JSON: Returns = Is(oid::JSON);

const fn relaxed(
    name: &'static str,
    arguments: (usize, usize),
    returns: Returns,
    call: fn(&Call<'_>) -> Result<Value>,
) -> Function {
    Function { name, arguments, returns, is_strict: false, call }
}

pub(super) const FUNCTIONS: &[Function] = &[
    strict("lower", (1, 1), TEXT, |c| Ok(string(c, 0).to_lowercase().into())),
    strict("upper", (1, 1), TEXT, |c| Ok(string(c, 0).to_uppercase().into())),
    strict("length", (1, 1), INT4, |c| Ok(Value::Int(string(c, 0).chars().count() as i64))),
    strict("char_length", (1, 1), INT4, |c| Ok(Value::Int(string(c, 0).chars().count() as i64))),
    strict("character_length", (1, 1), INT4, |c| Ok(Value::Int(string(c, 0).chars().count() as i64))),
    strict("octet_length", (1, 1), INT4, |c| Ok(Value::Int(string(c, 0).len() as i64))),
    relaxed("concat", (1, MANY), TEXT, |c| {
        Ok((0..c.arguments.len()).filter_map(|i| c.text(i)).collect::<String>().into())
    }),
    relaxed("concat_ws", (2, MANY), TEXT, |c| match c.text(0) {
        Some(separator) => {
            Ok((1..c.arguments.len()).filter_map(|i| c.text(i)).collect::<Vec<_>>().join(&separator).into())
        }
        None => Ok(Value::Null),
    }),
    strict("replace", (3, 3), TEXT, |c| Ok(string(c, 0).replace(&string(c, 1), &string(c, 2)).into())),
    strict("substring", (2, 3), TEXT, substring),
    strict("substr", (2, 3), TEXT, substring),
    strict("strpos", (2, 2), INT4, |c| Ok(position(&string(c, 0), &string(c, 1)))),
    strict("position", (2, 2), INT4, |c| Ok(position(&string(c, 1), &string(c, 0)))),
    strict("split_part", (3, 3), TEXT, |c| {
        let (text, delimiter) = (string(c, 0), string(c, 1));
        let parts: Vec<&str> = text.split(delimiter.as_str()).collect();
        let part = match c.int(2).unwrap_or(0) {
            0 => return Err(Error::new(ErrorKind::InvalidValue, "field position must not be zero")),
            n if n > 0 => usize::try_from(n - 1).ok().and_then(|i| parts.get(i)),
            n => usize::try_from(-n).ok().and_then(|back| parts.len().checked_sub(back)).and_then(|i| parts.get(i)),
        };
        Ok(part.copied().unwrap_or("").into())
    }),
    strict("btrim", (1, 2), TEXT, |c| Ok(trim(c, true, true))),
    strict("ltrim", (1, 2), TEXT, |c| Ok(trim(c, true, false))),
    strict("rtrim", (1, 2), TEXT, |c| Ok(trim(c, false, true))),
    strict("left", (2, 2), TEXT, |c| {
        let text = string(c, 0);
        let count = text.chars().count() as i64;
        let take = c.int(1).map_or(0, |n| if n < 0 { (count + n).max(0) } else { n });
        Ok(text.chars().take(usize::try_from(take).unwrap_or(0)).collect::<String>().into())
    }),
    strict("right", (2, 2), TEXT, |c| {
        let text = string(c, 0);
        let count = text.chars().count() as i64;
        let skip = c.int(1).map_or(0, |n| if n < 0 { -n } else { (count - n).max(0) });
        Ok(text.chars().skip(usize::try_from(skip).unwrap_or(0)).collect::<String>().into())
    }),
    strict("reverse", (1, 1), TEXT, |c| Ok(string(c, 0).chars().rev().collect::<String>().into())),
    strict("starts_with", (2, 2), Is(oid::BOOL), |c| Ok(string(c, 0).starts_with(&string(c, 1)).into())),
    strict("quote_ident", (1, 1), TEXT, |c| Ok(quote_ident(&string(c, 0)).into())),
    strict("quote_literal", (1, 1), TEXT, |c| Ok(quote_literal(&string(c, 0)).into())),
    relaxed("quote_nullable", (1, 1), TEXT, |c| {
        Ok(c.text(0).map_or_else(|| "NULL".to_owned(), |t| quote_literal(&t)).into())
    }),
    relaxed("format", (1, MANY), TEXT, format),
    strict("parse_ident", (1, 2), Is(1009), |c| {
        let text = string(c, 0);
        let parts = name_parts(&text).ok_or_else(|| {
            Error::new(ErrorKind::InvalidValue, format!("string is not a valid identifier: \"{text}\""))
        })?;
        Ok(Value::texts(parts))
    }),
    strict("regexp_replace", (3, 4), TEXT, |c| {
        let flags = c.text(3).unwrap_or_default();
        let pattern = regex(&string(c, 1), flags.contains('i'))?;
        let text = string(c, 0);
        // PostgreSQL writes \1 where the library writes ${1}.
        let mut replacement = String::new();
        let with = string(c, 2).replace('$', "$$");
        let mut chars = with.chars().peekable();
        while let Some(ch) = chars.next() {
            match (ch, chars.peek().copied()) {
                ('\\', Some(digit)) if digit.is_ascii_digit() => {
                    chars.next();
                    replacement.push_str(&format!("${{{digit}}}"));
                }
                ('\\', Some('&')) => {
                    chars.next();
                    replacement.push_str("${0}");
                }
                ('\\', Some('\\')) => {
                    chars.next();
                    replacement.push('\\');
                }
                (ch, _) => replacement.push(ch),
            }
        }
        let replaced = match flags.contains('g') {
            true => pattern.replace_all(&text, replacement.as_str()),
            false => pattern.replace(&text, replacement.as_str()),
        };
        Ok(replaced.into_owned().into())
    }),
    strict("regexp_match", (2, 3), Is(1009), |c| {
        let pattern = regex(&string(c, 1), c.text(2).is_some_and(|f| f.contains('i')))?;
        let text = string(c, 0);
        let Some(found) = pattern.captures(&text) else { return Ok(Value::Null) };
        let from = usize::from(found.len() > 1);
        let groups = (from..found.len()).map(|i| found.get(i).map(|m| m.as_str()).into()).collect();
        Ok(Value::list(groups))
    }),
    // Arrays. Those of the catalog have one dimension, from 1; the vectors are counted from 0.
    strict("array_length", (2, 2), INT4, |c| Ok(bound(c, 0))),
    strict("array_upper", (2, 2), INT4, |c| Ok(bound(c, lowest(c)))),
    strict("array_lower", (2, 2), INT4, |c| {
        Ok(if bound(c, 0).is_null() { Value::Null } else { Value::Int(lowest(c) + 1) })
    }),
    strict("array_ndims", (1, 1), INT4, |c| Ok(c.list(0).filter(|l| !l.is_empty()).map(|_| 1i64).into())),
    strict("cardinality", (1, 1), INT4, |c| Ok(c.list(0).map(|l| l.len() as i64).into())),
    relaxed("array_to_string", (2, 3), TEXT, |c| {
        let (Some(list), Some(separator)) = (c.list(0), c.text(1)) else { return Ok(Value::Null) };
        let null = c.text(2);
        let element = super::value::element_of(c.type_of(0)).unwrap_or(oid::TEXT);
        let items: Vec<String> =
            list.iter().filter_map(|v| super::object::text(v, element, c.catalog).or_else(|| null.clone())).collect();
        Ok(items.join(&separator).into())
    }),
    relaxed("string_to_array", (2, 3), Is(1009), |c| {
        let Some(text) = c.text(0) else { return Ok(Value::Null) };
        let null = c.text(2);
        if text.is_empty() {
            return Ok(Value::list(vec![]));
        }
        let parts: Vec<String> = match c.text(1) {
            None => text.chars().map(String::from).collect(),
            Some(separator) if separator.is_empty() => vec![text],
            Some(separator) => text.split(separator.as_str()).map(str::to_owned).collect(),
        };
        Ok(Value::list(
            parts.into_iter().map(|p| if Some(&p) == null.as_ref() { Value::Null } else { p.into() }).collect(),
        ))
    }),
    relaxed("array_append", (2, 2), Same(0), |c| Ok(joined(c.list(0), Some(&c.arguments[1..2])))),
    relaxed("array_prepend", (2, 2), Same(1), |c| Ok(joined(Some(&c.arguments[0..1]), c.list(1)))),
    relaxed("array_cat", (2, 2), Same(0), |c| Ok(joined(c.list(0), c.list(1)))),
    relaxed("array_remove", (2, 2), Same(0), |c| {
        let Some(list) = c.list(0) else { return Ok(Value::Null) };
        let item = key(&c.arguments[1]);
        Ok(Value::list(list.iter().filter(|v| key(v) != item).cloned().collect()))
    }),
    relaxed("array_position", (2, 2), INT4, |c| {
        let item = key(&c.arguments[1]);
        let place = c.list(0).and_then(|list| list.iter().position(|v| key(v) == item));
        Ok(place.map(|i| i as i64 + 1).into())
    }),
    relaxed("array_positions", (2, 2), Is(1007), |c| {
        let Some(list) = c.list(0) else { return Ok(Value::Null) };
        let item = key(&c.arguments[1]);
        Ok(Value::list(
            list.iter().enumerate().filter(|(_, v)| key(v) == item).map(|(i, _)| Value::Int(i as i64 + 1)).collect(),
        ))
    }),
    relaxed("array_fill", (2, 2), ArrayOf(0), |c| {
        let count = c.list(1).and_then(|l| l.first()).and_then(Value::as_int).unwrap_or(0).clamp(0, 10_000);
        Ok(Value::list(vec![c.arguments[0].clone(); count as usize]))
    }),
    // Numbers.
    strict("abs", (1, 1), Same(0), |c| {
        Ok(match &c.arguments[0] {
            Value::Float(f) => Value::Float(f.abs()),
            other => other.as_int().map(i64::wrapping_abs).into(),
        })
    }),
    strict("floor", (1, 1), FLOAT, |c| Ok(float(c, 0)?.map_or(Value::Null, |f| Value::Float(f.floor())))),
    strict("ceil", (1, 1), FLOAT, |c| Ok(float(c, 0)?.map_or(Value::Null, |f| Value::Float(f.ceil())))),
    strict("round", (1, 2), FLOAT, |c| {
        let scale = 10f64.powi(i32::try_from(c.int(1).unwrap_or(0)).unwrap_or(0).clamp(-15, 15));
        Ok(float(c, 0)?.map_or(Value::Null, |f| Value::Float((f * scale).round() / scale)))
    }),
    strict("mod", (2, 2), Same(0), |c| match (c.int(0), c.int(1)) {
        (_, Some(0)) => Err(Error::new(ErrorKind::DivisionByZero, "division by zero")),
        (Some(a), Some(b)) => Ok(Value::Int(a.wrapping_rem(b))),
        _ => Ok(Value::Null),
    }),
    relaxed("greatest", (1, MANY), Same(0), |c| Ok(extreme(c, Ordering::Greater))),
    relaxed("least", (1, MANY), Same(0), |c| Ok(extreme(c, Ordering::Less))),
    // JSON, as far as catalog queries build it.
    relaxed("json_build_object", (0, MANY), JSON, json_object),
    relaxed("jsonb_build_object", (0, MANY), Is(oid::JSONB), json_object),
    relaxed("json_build_array", (0, MANY), JSON, |c| {
        Ok(serde_json::Value::Array(c.arguments.iter().map(json).collect()).to_string().into())
    }),
    strict("to_json", (1, 1), JSON, |c| Ok(json(&c.arguments[0]).to_string().into())),
    strict("to_jsonb", (1, 1), Is(oid::JSONB), |c| Ok(json(&c.arguments[0]).to_string().into())),
];

fn string(call: &Call<'_>, index: usize) -> String {
    call.text(index).unwrap_or_default()
}

fn float(call: &Call<'_>, index: usize) -> Result<Option<f64>> {
    Ok(match call.arguments.get(index) {
        Some(Value::Float(f)) => Some(*f),
        Some(Value::Int(n)) => Some(*n as f64),
        Some(Value::Text(text)) => Some(text.trim().parse().map_err(|_| {
            Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type double precision: \"{text}\""))
        })?),
        _ => None,
    })
}

fn substring(call: &Call<'_>) -> Result<Value> {
    let text = string(call, 0);
    // With text as the second argument it is a pattern.
    if let Some(Value::Text(pattern)) = call.arguments.get(1) {
        let found = regex(pattern, false)?;
        let captured = found.captures(&text).and_then(|c| c.get(usize::from(c.len() > 1)));
        return Ok(captured.map(|m| m.as_str()).into());
    }
    let from = call.int(1).unwrap_or(1);
    let end = match call.arguments.get(2) {
        Some(_) => {
            let length = call.int(2).unwrap_or(0);
            if length < 0 {
                return Err(Error::new(ErrorKind::Remote("22011".into()), "negative substring length not allowed"));
            }
            from.saturating_add(length)
        }
        None => i64::MAX,
    };
    let start = usize::try_from(from.max(1) - 1).unwrap_or(0);
    let count = usize::try_from((end - from.max(1)).max(0)).unwrap_or(usize::MAX);
    Ok(text.chars().skip(start).take(count).collect::<String>().into())
}

fn position(text: &str, part: &str) -> Value {
    Value::Int(text.find(part).map_or(0, |at| text[..at].chars().count() as i64 + 1))
}

fn trim(call: &Call<'_>, left: bool, right: bool) -> Value {
    let (text, set) = (string(call, 0), call.text(1).unwrap_or_else(|| " ".to_owned()));
    let mut rest = text.as_str();
    if left {
        rest = rest.trim_start_matches(|c| set.contains(c));
    }
    if right {
        rest = rest.trim_end_matches(|c| set.contains(c));
    }
    rest.into()
}

/// One less than the first index of an array: vectors count from 0.
fn lowest(call: &Call<'_>) -> i64 {
    if matches!(call.type_of(0), oid::INT2VECTOR | oid::OIDVECTOR) { -1 } else { 0 }
}

fn bound(call: &Call<'_>, add: i64) -> Value {
    match (call.list(0), call.int(1)) {
        (Some(list), Some(1)) if !list.is_empty() => Value::Int(list.len() as i64 + add),
        _ => Value::Null,
    }
}

fn joined(a: Option<&[Value]>, b: Option<&[Value]>) -> Value {
    match (a, b) {
        (None, None) => Value::Null,
        (a, b) => Value::list(a.into_iter().chain(b).flatten().cloned().collect()),
    }
}

fn extreme(call: &Call<'_>, wanted: Ordering) -> Value {
    let mut best: Option<&Value> = None;
    for value in call.arguments.iter().filter(|v| !v.is_null()) {
        if best.is_none_or(|b| compare(value, b) == Some(wanted)) {
            best = Some(value);
        }
    }
    best.cloned().unwrap_or(Value::Null)
}

fn format(call: &Call<'_>) -> Result<Value> {
    let Some(pattern) = call.text(0) else { return Ok(Value::Null) };
    let mut out = String::new();
    let mut next = 1;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut number = String::new();
        while let Some(digit) = chars.peek().filter(|d| d.is_ascii_digit()) {
            number.push(*digit);
            chars.next();
        }
        if !number.is_empty() && chars.peek() == Some(&'$') {
            chars.next();
            next = number.parse().unwrap_or(1);
        }
        let kind = chars.next();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        if next >= call.arguments.len() {
            return Err(Error::new(ErrorKind::InvalidValue, "too few arguments for format()"));
        }
        let value = call.text(next);
        next += 1;
        match (kind, value) {
            (Some('s'), value) => out.push_str(&value.unwrap_or_default()),
            (Some('I'), Some(value)) => out.push_str(&quote_ident(&value)),
            (Some('I'), None) => {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    "null values cannot be formatted as an SQL identifier",
                ));
            }
            (Some('L'), Some(value)) => out.push_str(&quote_literal(&value)),
            (Some('L'), None) => out.push_str("NULL"),
            _ => return Err(Error::new(ErrorKind::InvalidValue, "unrecognized format() type specifier")),
        }
    }
    Ok(out.into())
}

pub(super) fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(v) => (*v).into(),
        Value::Int(v) => (*v).into(),
        Value::Float(v) => (*v).into(),
        Value::Text(v) => v.to_string().into(),
        Value::Time(v) => super::value::time_text(*v).into(),
        Value::List(list) | Value::Record(list) => serde_json::Value::Array(list.iter().map(json).collect()),
    }
}

fn json_object(call: &Call<'_>) -> Result<Value> {
    if call.arguments.len() % 2 == 1 {
        return Err(Error::new(ErrorKind::InvalidValue, "argument list must have even number of elements"));
    }
    let mut items = vec![];
    for pair in (0..call.arguments.len()).step_by(2) {
        let Some(name) = call.text(pair) else {
            return Err(Error::new(ErrorKind::InvalidValue, "null value not allowed for object key"));
        };
        items.push(format!("{} : {}", serde_json::Value::from(name), json(&call.arguments[pair + 1])));
    }
    Ok(format!("{{{}}}", items.join(", ")).into())
}

/// A compiled regular expression, kept for the next row.
pub(super) fn regex(pattern: &str, ignore_case: bool) -> Result<Arc<Regex>> {
    type Compiled = HashMap<(String, bool), Arc<Regex>>;
    static COMPILED: OnceLock<Mutex<Compiled>> = OnceLock::new();
    const KEPT_MAX: usize = 200;
    let mut compiled = COMPILED.get_or_init(Mutex::default).lock();
    if let Some(found) = compiled.get(&(pattern.to_owned(), ignore_case)) {
        return Ok(found.clone());
    }
    // psql writes ***: before a pattern that is an advanced expression, which all of them are.
    let source = pattern.strip_prefix("***:").unwrap_or(pattern);
    let built = regex::RegexBuilder::new(source).case_insensitive(ignore_case).size_limit(1 << 20).build();
    let built = Arc::new(built.map_err(|e| {
        Error::new(ErrorKind::Remote("2201B".into()), format!("invalid regular expression: \"{pattern}\""))
            .with_source(e)
    })?);
    if compiled.len() >= KEPT_MAX {
        compiled.clear();
    }
    compiled.insert((pattern.to_owned(), ignore_case), built.clone());
    Ok(built)
}

/// LIKE: whether the whole text matches.
pub(super) fn like(text: &str, pattern: &str, escape: Option<char>, ignore_case: bool) -> Result<bool> {
    let mut expression = String::from("^(?s:");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        let literal = match c {
            c if Some(c) == escape => chars.next().ok_or_else(|| {
                Error::new(ErrorKind::Remote("22025".into()), "LIKE pattern must not end with escape character")
            })?,
            '%' => {
                expression.push_str(".*");
                continue;
            }
            '_' => {
                expression.push('.');
                continue;
            }
            c => c,
        };
        expression.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
    }
    expression.push_str(")$");
    Ok(regex(&expression, ignore_case)?.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_postgresqls() {
        for (text, pattern, escape, expected) in [
            ("orders", "or%", Some('\\'), true),
            ("pg_toast", "pg\\_%", Some('\\'), true),
            ("pgxtoast", "pg\\_%", Some('\\'), false),
            ("pg_toast", "pg/_%", Some('/'), true),
            ("a\nb", "a_b", Some('\\'), true),
            ("a.b", "a.b", Some('\\'), true),
            ("axb", "a.b", Some('\\'), false),
        ] {
            assert_eq!(like(text, pattern, escape, false).unwrap(), expected, "{text} like {pattern}");
        }
        assert!(like("A", "a", None, true).unwrap());
        assert_eq!(like("a", "\\", Some('\\'), false).unwrap_err().sqlstate(), "22025");
    }
}
