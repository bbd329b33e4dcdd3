//! Names and numbers of objects, and casts between types: what `regclass` and its kin read and show.

use super::layout::type_of;
use super::rows::relation_text;
use super::server_rows::{procedure_names, procedure_oid};
use super::snapshot::Catalog;
use super::value::{self, Value, element_of, is_integer, is_numbered, is_reg, is_textual, written_type};
use crate::pg_types::{oid, type_name};
use catalog::{Error, ErrorKind, Result, quote_ident};

/// The value of a cast.
pub(crate) fn cast(value: Value, from: u32, to: u32, modifier: i32, catalog: &Catalog) -> Result<Value> {
    if value.is_null() || from == to && modifier < 0 {
        return Ok(value);
    }
    if let (Value::List(list), Some(element)) = (&value, element_of(to)) {
        let from = element_of(from).unwrap_or(oid::TEXT);
        let items: Result<Vec<Value>> = list.iter().map(|v| cast(v.clone(), from, element, -1, catalog)).collect();
        return Ok(Value::list(items?));
    }
    if is_textual(to) {
        let text = text(&value, from, catalog).unwrap_or_default();
        return Ok(match (to, usize::try_from(modifier - 4)) {
            (oid::VARCHAR | oid::BPCHAR, Ok(length)) => Value::text(text.chars().take(length).collect::<String>()),
            (oid::NAME | oid::CHAR, _) => value::from_text(&text, to)?,
            _ => Value::text(text),
        });
    }
    Ok(match (&value, to) {
        (Value::Text(text), to) if is_reg(to) => match object_oid(text, to, catalog)? {
            Some(found) => Value::from(found),
            None => return Err(missing_object(text, to)),
        },
        (Value::Text(text), to) => value::from_text(text, to)?,
        (Value::Int(_), to) if is_numbered(to) => value,
        (Value::Int(number), to) if is_integer(to) => {
            let fits = match to {
                oid::INT2 => i16::try_from(*number).is_ok(),
                oid::INT4 => i32::try_from(*number).is_ok(),
                _ => true,
            };
            if !fits {
                let name = type_name(to).unwrap_or_default();
                return Err(Error::new(ErrorKind::NumericRange, format!("{name} out of range")));
            }
            value
        }
        (Value::Int(number), oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC) => Value::Float(*number as f64),
        (Value::Int(number), oid::BOOL) => Value::Bool(*number != 0),
        (Value::Bool(flag), to) if is_integer(to) => Value::Int((*flag).into()),
        (Value::Float(number), to) if is_integer(to) => Value::Int(number.round_ties_even() as i64),
        (Value::Float(_), oid::FLOAT4 | oid::FLOAT8 | oid::NUMERIC) => value,
        (Value::Time(_), oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::DATE) => value,
        _ if from == to => value,
        _ => {
            let name = |t| type_name(t).or(type_of(t).map(|t| t.name.to_owned())).unwrap_or_else(|| "record".into());
            return Err(Error::new(
                ErrorKind::CannotCoerce,
                format!("cannot cast type {} to {}", name(from), name(to)),
            ));
        }
    })
}

/// The text of a value; of a number of an object its name.
pub(crate) fn text(value: &Value, type_oid: u32, catalog: &Catalog) -> Option<String> {
    match value {
        Value::Int(number) if is_reg(type_oid) => Some(object_text(*number, type_oid, catalog)),
        Value::List(list) if element_of(type_oid).is_some_and(is_reg) => {
            let element = element_of(type_oid)?;
            let names = list.iter().map(|v| text(v, element, catalog).map_or(Value::Null, Value::text)).collect();
            value::to_text(&Value::list(names), 1009)
        }
        other => value::to_text(other, type_oid),
    }
}

/// The name that stands for an object's number; the number itself when there is no such object.
pub(crate) fn object_text(number: i64, type_oid: u32, catalog: &Catalog) -> String {
    let Ok(object) = u32::try_from(number) else { return number.to_string() };
    if object == 0 {
        return "-".to_owned();
    }
    let name = match type_oid {
        oid::REGCLASS => relation_text(catalog, object),
        oid::REGTYPE => Some(format_type(catalog, object, None)).filter(|name| name != "???"),
        oid::REGNAMESPACE => catalog.namespace(object).map(|n| quote_ident(&n.name)),
        oid::REGROLE => catalog.role(object).map(|r| quote_ident(&r.name)),
        oid::REGPROC | 2202 => procedure_names().into_iter().find(|n| procedure_oid(n) == object).map(str::to_owned),
        _ => None,
    };
    name.unwrap_or_else(|| number.to_string())
}

/// The number of a named object; None when there is none.
pub(crate) fn object_oid(text: &str, type_oid: u32, catalog: &Catalog) -> Result<Option<u32>> {
    let text = text.trim();
    if text == "-" {
        return Ok(Some(0));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Some).map_err(|_| {
            Error::new(ErrorKind::NumericRange, format!("value \"{text}\" is out of range for type oid"))
        });
    }
    if type_oid == oid::REGTYPE {
        let foreign = catalog.foreign_types.iter().find(|(_, name)| name == text).map(|(oid, _)| *oid);
        return Ok(written_type(text).map(|t| t.0).or(foreign));
    }
    let Some(parts) = name_parts(text) else {
        return Err(Error::new(ErrorKind::Remote("42602".into()), format!("invalid name syntax: \"{text}\"")));
    };
    let (last, before) = match parts.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => return Ok(None),
    };
    Ok(match (type_oid, before) {
        (oid::REGCLASS, []) => relation_or_index(catalog, None, last),
        (oid::REGCLASS, [schema]) => relation_or_index(catalog, Some(schema), last),
        (oid::REGCLASS, [database, schema]) => {
            let joined = format!("{database}.{schema}");
            let schema = if database == catalog.scope.database() { schema } else { &joined };
            relation_or_index(catalog, Some(schema), last)
        }
        (oid::REGNAMESPACE, []) => catalog.namespace_named(last).map(|n| n.oid),
        (oid::REGROLE, []) => catalog.roles.iter().find(|r| r.name == last).map(|r| r.oid),
        (oid::REGPROC | 2202, _) => procedure_names().contains(last).then(|| procedure_oid(last)),
        _ => None,
    })
}

fn relation_or_index(catalog: &Catalog, schema: Option<&str>, name: &str) -> Option<u32> {
    if let Some(relation) = catalog.relation_named(schema, name) {
        return Some(relation.oid);
    }
    let namespace = match schema {
        Some(schema) => Some(catalog.namespace_named(schema)?.oid),
        None => None,
    };
    catalog
        .relations
        .iter()
        .filter(|r| namespace.map_or_else(|| catalog.path.contains(&r.namespace), |n| n == r.namespace))
        .flat_map(|r| &r.keys)
        .find(|key| key.name == name)
        .map(|key| key.oid)
}

fn missing_object(text: &str, type_oid: u32) -> Error {
    let (kind, what) = match type_oid {
        oid::REGCLASS => (ErrorKind::UndefinedTable, "relation"),
        oid::REGTYPE => (ErrorKind::UndefinedObject, "type"),
        oid::REGNAMESPACE => (ErrorKind::UndefinedSchema, "schema"),
        oid::REGROLE => (ErrorKind::UndefinedObject, "role"),
        _ => (ErrorKind::UndefinedFunction, "function"),
    };
    Error::new(kind, format!("{what} \"{text}\" does not exist"))
}

/// The parts of a possibly quoted, dotted name, folded as identifiers are.
pub(crate) fn name_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![];
    let mut chars = text.chars().peekable();
    loop {
        let mut part = String::new();
        if chars.peek() == Some(&'"') {
            chars.next();
            loop {
                match chars.next()? {
                    '"' if chars.peek() == Some(&'"') => {
                        chars.next();
                        part.push('"');
                    }
                    '"' => break,
                    c => part.push(c),
                }
            }
        } else {
            while let Some(&c) = chars.peek() {
                if c == '.' || c == '"' {
                    break;
                }
                part.extend(c.to_lowercase());
                chars.next();
            }
            if part.trim().is_empty() {
                return None;
            }
        }
        parts.push(part);
        match chars.next() {
            None => return Some(parts),
            Some('.') => {}
            Some(_) => return None,
        }
    }
}

/// A type as `format_type` prints it.
pub(crate) fn format_type(catalog: &Catalog, type_oid: u32, modifier: Option<i64>) -> String {
    if let Some((_, name)) = catalog.foreign_types.iter().find(|(oid, _)| *oid == type_oid) {
        return name.clone();
    }
    if !matches!(type_oid, oid::INT2VECTOR | oid::OIDVECTOR)
        && let Some(element) = element_of(type_oid)
    {
        return format!("{}[]", format_type(catalog, element, modifier));
    }
    let Some(name) = type_name(type_oid).or_else(|| type_of(type_oid).map(|t| quote_ident(t.name))) else {
        return if type_oid == 0 { "-".to_owned() } else { "???".to_owned() };
    };
    let Some(modifier) = modifier.filter(|m| *m >= 0) else {
        return match (type_oid, modifier) {
            (oid::BPCHAR, Some(_)) => "bpchar".to_owned(),
            _ => name,
        };
    };
    match type_oid {
        oid::NUMERIC if modifier >= 4 => {
            let packed = modifier - 4;
            format!("numeric({},{})", packed >> 16 & 0xffff, packed & 0x7ff)
        }
        oid::VARCHAR | oid::BPCHAR if modifier >= 4 => format!("{name}({})", modifier - 4),
        oid::TIME | oid::TIMETZ | oid::TIMESTAMP | oid::TIMESTAMPTZ => match name.split_once(' ') {
            Some((head, tail)) => format!("{head}({modifier}) {tail}"),
            None => format!("{name}({modifier})"),
        },
        _ => name,
    }
}

/// The oid of the catalog relation that holds objects of a kind: `pg_class` for `pg_class`.
pub(crate) fn class_oid(name: &str) -> Option<u32> {
    super::layout::layout("pg_catalog", name.trim_start_matches("pg_catalog.")).map(|l| l.oid)
}

/// Whether a type is known by this oid.
pub(crate) fn is_type(catalog: &Catalog, type_oid: u32) -> bool {
    type_of(type_oid).is_some() || catalog.foreign_types.iter().any(|(oid, _)| *oid == type_oid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_are_cut_as_identifiers_are() {
        assert_eq!(name_parts("Public.\"A.b\"").unwrap(), ["public", "A.b"]);
        assert_eq!(name_parts("\"a\"\"b\"").unwrap(), ["a\"b"]);
        assert_eq!(name_parts("a."), None);
        assert_eq!(name_parts("\"a"), None);
    }
}
