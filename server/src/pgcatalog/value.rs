//! Values of catalog rows, their text forms and their order.
//!
//! A value is of one of few forms; which PostgreSQL type it is of is known beside it, by oid. All
//! numbers without a fraction are one form, all text-like types another.

use crate::pg_types::{oid, parse_type, type_name};
use catalog::{Error, ErrorKind, Result};
use std::cmp::Ordering;
use std::sync::Arc;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Whole numbers and oids.
    Int(i64),
    Float(f64),
    /// Text, name, "char", json.
    Text(Arc<str>),
    /// Microseconds since 1970-01-01 UTC.
    Time(i64),
    List(Arc<Vec<Value>>),
    /// The fields of a composite value.
    Record(Arc<Vec<Value>>),
}

/// One row.
pub(crate) type Row = Vec<Value>;

impl Value {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }
    pub(crate) fn list(values: Vec<Value>) -> Self {
        Self::List(Arc::new(values))
    }
    pub(crate) fn texts<S: AsRef<str>>(values: impl IntoIterator<Item = S>) -> Self {
        Self::list(values.into_iter().map(Self::text).collect())
    }
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
    /// Whether a condition holds: NULL does not.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(n) => Some(*n),
            Self::Float(f) => Some(*f as i64),
            Self::Text(t) => t.trim().parse().ok(),
            _ => None,
        }
    }
    pub(crate) fn as_oid(&self) -> Option<u32> {
        u32::try_from(self.as_int()?).ok()
    }
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
    pub(crate) fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Self::Int(v.into())
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::text(v)
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::text(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Self::Null, Into::into)
    }
}

/// The order of two values that are not NULL; None when they cannot be compared.
pub(crate) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    use Value::*;
    match (a, b) {
        (Bool(a), Bool(b)) => Some(a.cmp(b)),
        (Int(a), Int(b)) => Some(a.cmp(b)),
        (Float(a), Float(b)) => Some(a.total_cmp(b)),
        (Int(a), Float(b)) => Some((*a as f64).total_cmp(b)),
        (Float(a), Int(b)) => Some(a.total_cmp(&(*b as f64))),
        (Text(a), Text(b)) => Some(a.cmp(b)),
        (Time(a), Time(b)) => Some(a.cmp(b)),
        (Int(_), Text(t)) => t.trim().parse::<i64>().ok().and_then(|n| compare(a, &Int(n))),
        (Text(_), Int(_)) => compare(b, a).map(Ordering::reverse),
        (Bool(_), Text(t)) => parse_bool(t).and_then(|v| compare(a, &Bool(v))),
        (Text(_), Bool(_)) => compare(b, a).map(Ordering::reverse),
        (List(a), List(b)) | (Record(a), Record(b)) => {
            for (x, y) in a.iter().zip(b.iter()) {
                let order = match (x.is_null(), y.is_null()) {
                    (true, true) => Ordering::Equal,
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    (false, false) => compare(x, y)?,
                };
                if order != Ordering::Equal {
                    return Some(order);
                }
            }
            Some(a.len().cmp(&b.len()))
        }
        _ => None,
    }
}

/// The order of ORDER BY: NULLs are greater than everything.
pub(crate) fn sort_order(a: &Value, b: &Value) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare(a, b).unwrap_or(Ordering::Equal),
    }
}

/// A value as the key of a hash table: equal values have equal keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(Arc<str>),
    List(Vec<Key>),
}

pub(crate) fn key(value: &Value) -> Key {
    match value {
        Value::Null => Key::Null,
        Value::Bool(v) => Key::Bool(*v),
        Value::Int(v) | Value::Time(v) => Key::Int(*v),
        Value::Float(v) if v.fract() == 0.0 && v.abs() < 9e15 => Key::Int(*v as i64),
        Value::Float(v) => Key::Float(v.to_bits()),
        Value::Text(v) => Key::Text(v.clone()),
        Value::List(v) | Value::Record(v) => Key::List(v.iter().map(key).collect()),
    }
}

pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "on" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The element type of an array or vector type.
pub(crate) fn element_of(type_oid: u32) -> Option<u32> {
    match type_oid {
        oid::INT2VECTOR => Some(oid::INT2),
        oid::OIDVECTOR => Some(oid::OID),
        other => super::layout::type_of(other).filter(|t| t.length == -1 && t.element != 0).map(|t| t.element),
    }
}

/// The array type over an element type; text[] for a type that has none.
pub(crate) fn array_of(element: u32) -> u32 {
    super::layout::type_of(element).map(|t| t.array).filter(|a| *a != 0).unwrap_or(1009)
}

pub(crate) fn is_integer(type_oid: u32) -> bool {
    matches!(type_oid, oid::INT2 | oid::INT4 | oid::INT8) || is_numbered(type_oid)
}

/// Types whose values are numbers of objects.
pub(crate) fn is_numbered(type_oid: u32) -> bool {
    matches!(type_oid, oid::OID | oid::XID | 29) || is_reg(type_oid)
}

/// The types that show an object's name for its oid.
pub(crate) fn is_reg(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::REGPROC
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGNAMESPACE
            | oid::REGROLE
            | 2202
            | 2203
            | 2204
            | 3734
            | 3769
            | 4191
    )
}

pub(crate) fn is_textual(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::TEXT
            | oid::NAME
            | oid::CHAR
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::UNKNOWN
            | oid::JSON
            | oid::JSONB
            | 2275
            | 194
    )
}

/// The text of a value that does not name an object.
pub(crate) fn to_text(value: &Value, type_oid: u32) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) if v.fract() == 0.0 && v.abs() < 1e15 => format!("{v:.0}"),
        Value::Float(v) => v.to_string(),
        Value::Text(v) => v.to_string(),
        Value::Time(v) => time_text(*v),
        Value::List(list) if matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) => {
            list.iter().filter_map(|v| to_text(v, oid::INT8)).collect::<Vec<_>>().join(" ")
        }
        Value::List(list) => {
            let element = element_of(type_oid).unwrap_or(oid::TEXT);
            let items: Vec<String> = list
                .iter()
                .map(|v| match (to_text(v, element), v) {
                    (None, _) => "NULL".to_owned(),
                    (Some(text), Value::Bool(_)) => text[..1].to_owned(),
                    (Some(text), Value::List(_)) => text,
                    (Some(text), _) => quote_item(&text),
                })
                .collect();
            format!("{{{}}}", items.join(","))
        }
        Value::Record(fields) => {
            let items: Vec<String> = fields.iter().map(|v| to_text(v, oid::TEXT).unwrap_or_default()).collect();
            format!("({})", items.join(","))
        }
    })
}

fn quote_item(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\'));
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// A moment as `timestamptz` shows it in UTC.
pub(crate) fn time_text(micros: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(micros) {
        Some(at) if micros.rem_euclid(1_000_000) == 0 => at.format("%Y-%m-%d %H:%M:%S+00").to_string(),
        Some(at) => {
            let text = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            format!("{}+00", text.trim_end_matches('0'))
        }
        None => "infinity".to_owned(),
    }
}

/// A value of a type from its text. Types of objects (`regclass`) are not read here.
pub(crate) fn from_text(text: &str, type_oid: u32) -> Result<Value> {
    let invalid = || {
        let name = type_name(type_oid).or_else(|| super::layout::type_of(type_oid).map(|t| t.name.to_owned()));
        Error::new(
            ErrorKind::InvalidText,
            format!("invalid input syntax for type {}: \"{text}\"", name.unwrap_or_else(|| "unknown".into())),
        )
    };
    if matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR) {
        let items: Option<Vec<Value>> = text.split_whitespace().map(|n| n.parse().ok().map(Value::Int)).collect();
        return items.map(Value::list).ok_or_else(invalid);
    }
    if let Some(element) = element_of(type_oid) {
        return array_items(text)
            .ok_or_else(|| Error::new(ErrorKind::InvalidText, format!("malformed array literal: \"{text}\"")))?
            .into_iter()
            .map(|item| match item {
                Some(item) => from_text(&item, element),
                None => Ok(Value::Null),
            })
            .collect::<Result<Vec<_>>>()
            .map(Value::list);
    }
    Ok(match type_oid {
        oid::BOOL => Value::Bool(parse_bool(text).ok_or_else(invalid)?),
        t if is_integer(t) => {
            let number: i64 = text.trim().parse().map_err(|_| invalid())?;
            let fits = match t {
                oid::INT2 => i16::try_from(number).is_ok(),
                oid::INT4 => i32::try_from(number).is_ok(),
                oid::INT8 => true,
                _ => u32::try_from(number).is_ok() || i32::try_from(number).is_ok(),
            };
            if !fits {
                let name = type_name(t).unwrap_or_default();
                return Err(Error::new(
                    ErrorKind::NumericRange,
                    format!("value \"{text}\" is out of range for type {name}"),
                ));
            }
            Value::Int(number)
        }
        oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC => Value::Float(text.trim().parse().map_err(|_| invalid())?),
        oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::DATE => Value::Time(parse_time(text).ok_or_else(invalid)?),
        oid::CHAR => Value::text(text.chars().next().map(String::from).unwrap_or_default()),
        oid::NAME => Value::text(truncated(text, catalog::name::IDENT_BYTES_MAX)),
        _ => Value::text(text),
    })
}

/// At most `max` bytes of a text, cut between characters.
fn truncated(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z") {
        return Some(at.timestamp_micros());
    }
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    if let Ok(at) = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f") {
        return Some(at.and_utc().timestamp_micros());
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// The items of an array literal `{a,"b c",NULL}`; nested arrays stay text.
fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = vec![];
    if inner.trim().is_empty() {
        return Some(items);
    }
    let mut item = String::new();
    let (mut in_quotes, mut was_quoted, mut depth) = (false, false, 0usize);
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => item.push(chars.next()?),
            '"' => {
                in_quotes = !in_quotes;
                was_quoted = true;
            }
            '{' if !in_quotes => {
                depth += 1;
                item.push(c);
            }
            '}' if !in_quotes => {
                depth = depth.checked_sub(1)?;
                item.push(c);
            }
            ',' if !in_quotes && depth == 0 => {
                items.push(finish(&mut item, &mut was_quoted));
            }
            c => item.push(c),
        }
    }
    if in_quotes || depth > 0 {
        return None;
    }
    items.push(finish(&mut item, &mut was_quoted));
    Some(items)
}

fn finish(item: &mut String, was_quoted: &mut bool) -> Option<String> {
    let text = std::mem::take(item);
    let quoted = std::mem::take(was_quoted);
    if quoted {
        return Some(text);
    }
    let text = text.trim();
    if text.eq_ignore_ascii_case("null") { None } else { Some(text.to_owned()) }
}

/// The oid and the modifier of a written type, also of those that results are never described with.
pub(crate) fn written_type(text: &str) -> Option<(u32, i32)> {
    let bare = text.trim();
    let bare = bare.strip_prefix("pg_catalog.").or_else(|| bare.strip_prefix("PG_CATALOG.")).unwrap_or(bare);
    if let Some(known) = parse_type(bare) {
        return Some(known);
    }
    if let Some(element) = bare.strip_suffix("[]") {
        let (element, _) = written_type(element)?;
        return Some((array_of(element), -1));
    }
    let name = bare.trim_matches('"').to_lowercase();
    // information_schema's domains are known by their base types.
    let name = match name.rsplit('.').next().unwrap_or(&name) {
        "sql_identifier" => "name",
        "character_data" | "yes_or_no" => "varchar",
        "cardinal_number" => "int4",
        other => other,
    };
    super::layout::type_named(name).map(|t| (t.oid, -1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_have_postgresqls_text_form_in_both_directions() {
        let value = from_text("{a,\"b c\",NULL,\"NULL\",\"\\\"\"}", 1009).unwrap();
        assert_eq!(value, Value::list(vec!["a".into(), "b c".into(), Value::Null, "NULL".into(), "\"".into()]));
        assert_eq!(to_text(&value, 1009).unwrap(), "{a,\"b c\",NULL,\"NULL\",\"\\\"\"}");
        assert_eq!(from_text("1 2", 22).unwrap(), Value::list(vec![1.into(), 2.into()]));
        assert_eq!(to_text(&Value::list(vec![1.into(), 2.into()]), 22).unwrap(), "1 2");
        assert_eq!(from_text("{0}", 1028).unwrap(), Value::list(vec![0.into()]));
        assert_eq!(from_text("x", 23).unwrap_err().sqlstate(), "22P02");
        assert_eq!(from_text("99999", 21).unwrap_err().sqlstate(), "22003");
    }

    #[test]
    fn written_types_are_found_under_every_name() {
        for (text, oid) in [
            ("pg_catalog.int4", 23),
            ("INT", 23),
            ("\"char\"", 18),
            ("pg_catalog.text", 25),
            ("name", 19),
            ("int2[]", 1005),
            ("pg_catalog.int2[]", 1005),
            ("regclass", 2205),
            ("inet", 869),
            ("TIMESTAMP WITH TIME ZONE", 1184),
            ("information_schema.sql_identifier", 19),
        ] {
            assert_eq!(written_type(text).map(|t| t.0), Some(oid), "{text}");
        }
        assert_eq!(written_type("nosuch"), None);
    }

    #[test]
    fn moments_are_shown_as_postgresql_shows_them() {
        assert_eq!(time_text(0), "1970-01-01 00:00:00+00");
        assert_eq!(time_text(1_500_000), "1970-01-01 00:00:01.5+00");
    }
}
