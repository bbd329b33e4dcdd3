//! DataFusion's errors in PostgreSQL's words: SQLSTATE, message, hint and place in the text.
//!
//! Our own errors cross DataFusion as `External` and come out unchanged, however deep they were
//! wrapped. What only a bug can cause is XX000 and keeps DataFusion's text for the log alone.

use catalog::error::nearest;
use catalog::{Error, ErrorKind};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};

/// DataFusion's errors in PostgreSQL's words; our own errors pass unchanged.
pub fn map_error(error: DataFusionError) -> Error {
    convert(error, None).0
}

/// The same, with the place in the statement's text where that is known.
pub(crate) fn map_error_in(error: DataFusionError, text: &str) -> Error {
    let (error, span) = convert(error, None);
    match span {
        Some(span) if error.position().is_none() => {
            match position(text, span.start.line, span.start.column) {
                Some(position) => error.with_position(position),
                None => error,
            }
        }
        _ => error,
    }
}

/// The 1-based character offset of a line and a column, both from 1.
pub(crate) fn position(text: &str, line: u64, column: u64) -> Option<usize> {
    if line == 0 || column == 0 {
        return None;
    }
    let mut offset = 0usize;
    for (index, content) in text.split('\n').enumerate() {
        if index as u64 + 1 == line {
            let column = usize::try_from(column - 1).ok()?;
            return Some(offset + column.min(content.chars().count()) + 1);
        }
        offset += content.chars().count() + 1;
    }
    None
}

fn convert(error: DataFusionError, span: Option<Span>) -> (Error, Option<Span>) {
    use DataFusionError as E;
    match error {
        E::External(inner) => (external(inner), span),
        E::ArrowError(inner, _) => match *inner {
            ArrowError::ExternalError(inner) => (external(inner), span),
            other => (arrow(other), span),
        },
        E::Context(_, inner) => convert(*inner, span),
        E::Diagnostic(diagnostic, inner) => {
            let span = span.or(diagnostic.span);
            let (error, inner_span) = convert(*inner, span);
            (with_help(error, &diagnostic), inner_span)
        }
        E::Collection(mut all) if !all.is_empty() => convert(all.swap_remove(0), span),
        E::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => convert(inner, span),
            Err(shared) => (by_reference(&shared), span),
        },
        E::SchemaError(inner, _) => schema(*inner, span),
        E::SQL(inner, _) => (Error::new(ErrorKind::Syntax, tidy(&inner.to_string())), span),
        E::NotImplemented(text) => (Error::new(ErrorKind::Unsupported, tidy(&text)), span),
        E::Plan(text) => (plan(&text), span),
        E::Execution(text) => (execution(&text), span),
        E::Configuration(text) => (Error::new(ErrorKind::InvalidValue, tidy(&text)), span),
        E::ResourcesExhausted(text) => (out_of_memory(&text), span),
        E::IoError(inner) => (io(inner), span),
        other => {
            let error = match other {
                E::ParquetError(inner) => Error::new(ErrorKind::Io, tidy(&inner.to_string())).with_source(inner),
                E::ObjectStore(inner) => Error::new(ErrorKind::Io, tidy(&inner.to_string())).with_source(inner),
                other => internal(other),
            };
            (error, span)
        }
    }
}

fn internal(error: DataFusionError) -> Error {
    Error::internal("the query could not be planned or run, which is a bug of the gateway").with_source(error)
}

/// An error that others hold too: ours is copied, anything else is read from its text.
fn by_reference(error: &DataFusionError) -> Error {
    use DataFusionError as E;
    match error {
        E::External(inner) => match find_ours(inner.as_ref()) {
            Some(ours) => copy(ours),
            None => Error::new(ErrorKind::Internal, tidy(&inner.to_string())),
        },
        E::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::ExternalError(inner) => match find_ours(inner.as_ref()) {
                Some(ours) => copy(ours),
                None => Error::new(ErrorKind::Internal, tidy(&inner.to_string())),
            },
            ArrowError::DivideByZero => division_by_zero(),
            ArrowError::ArithmeticOverflow(text) => Error::new(ErrorKind::NumericRange, tidy(text)),
            ArrowError::CastError(text) | ArrowError::ParseError(text) => cast(text),
            other => execution(&other.to_string()),
        },
        E::Context(_, inner) | E::Diagnostic(_, inner) => by_reference(inner),
        E::Shared(inner) => by_reference(inner),
        E::Collection(all) if !all.is_empty() => by_reference(&all[0]),
        E::Plan(text) => plan(text),
        E::Execution(text) => execution(text),
        E::ResourcesExhausted(text) => out_of_memory(text),
        E::NotImplemented(text) => Error::new(ErrorKind::Unsupported, tidy(text)),
        E::IoError(inner) => Error::new(ErrorKind::Io, tidy(&inner.to_string())),
        other => Error::internal("the query could not be run, which is a bug of the gateway")
            .with_source(other.to_string()),
    }
}

fn find_ours<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return Some(ours);
        }
        at = error.source();
    }
    None
}

/// Another value of the same error; its cause stays with the original.
fn copy(error: &Error) -> Error {
    let mut copy = Error::new(error.kind().clone(), error.message());
    if let Some(detail) = error.detail() {
        copy = copy.with_detail(detail);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    if let Some(position) = error.position() {
        copy = copy.with_position(position);
    }
    if let (Some(schema), Some(table)) = (error.schema(), error.table()) {
        copy = copy.with_table(schema, table);
    }
    if let Some(column) = error.column() {
        copy = copy.with_column(column);
    }
    if let Some(key) = error.row_key() {
        copy = copy.with_row_key(key);
    }
    copy
}

fn external(inner: Box<dyn std::error::Error + Send + Sync>) -> Error {
    let inner = match inner.downcast::<Error>() {
        Ok(ours) => return *ours,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<DataFusionError>() {
        Ok(error) => return convert(*error, None).0,
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<ArrowError>() {
        Ok(error) => return convert(DataFusionError::ArrowError(error, None), None).0,
        Err(inner) => inner,
    };
    match find_ours(inner.as_ref()) {
        Some(ours) => copy(ours),
        None => Error::internal("a part of the gateway failed").with_source(inner),
    }
}

fn io(error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        _ => ErrorKind::Io,
    };
    Error::new(kind, tidy(&error.to_string())).with_source(error)
}

fn out_of_memory(text: &str) -> Error {
    if text.contains("disk") || text.contains("spill") {
        return Error::new(ErrorKind::DiskFull, "the query needs more temporary disk space than there is")
            .with_detail(sentence(text));
    }
    Error::new(ErrorKind::OutOfMemory, "the query needs more memory than queries may use")
        .with_detail(sentence(text))
        .with_hint("Read fewer columns or rows, or start the gateway with more query memory.")
}

fn division_by_zero() -> Error {
    Error::new(ErrorKind::DivisionByZero, "division by zero")
}

fn arrow(error: ArrowError) -> Error {
    match error {
        ArrowError::DivideByZero => division_by_zero(),
        ArrowError::ArithmeticOverflow(text) => Error::new(ErrorKind::NumericRange, tidy(&text)),
        ArrowError::CastError(text) | ArrowError::ParseError(text) => cast(&text),
        ArrowError::NotYetImplemented(text) => Error::new(ErrorKind::Unsupported, tidy(&text)),
        ArrowError::MemoryError(text) => out_of_memory(&text),
        ArrowError::IoError(text, inner) => Error::new(ErrorKind::Io, tidy(&text)).with_source(inner),
        ArrowError::InvalidArgumentError(text) | ArrowError::ComputeError(text) => execution(&text),
        other => execution(&other.to_string()),
    }
}

/// A value that is not of its type: 22P02 for text, 22003 for a number that is too large.
fn cast(text: &str) -> Error {
    let quoted = text.split('\'').nth(1).or_else(|| text.split('"').nth(1));
    let is_text = text.contains("Cannot cast string") || text.contains("Error parsing") || text.contains("parse");
    match quoted {
        Some(value) if is_text => {
            let type_name = ["Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Boolean", "Decimal", "Date", "Time64", "timestamp", "Timestamp", "Interval"]
                .into_iter()
                .filter(|word| text.contains(word))
                .max_by_key(|word| word.len());
            let type_name = match type_name {
                Some("Int8" | "Int16" | "UInt8") => "smallint",
                Some("Int32" | "UInt16") => "integer",
                Some("Int64" | "UInt32" | "UInt64") => "bigint",
                Some("Float32") => "real",
                Some("Float64") => "double precision",
                Some("Boolean") => "boolean",
                Some("Decimal") => "numeric",
                Some("Date") => "date",
                Some("Time64") => "time",
                Some("Interval") => "interval",
                Some("timestamp" | "Timestamp") => "timestamp",
                _ => return Error::new(ErrorKind::InvalidText, tidy(text)),
            };
            Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type {type_name}: \"{value}\""))
        }
        _ if text.contains("Can't cast value") || text.contains("out of range") || text.contains("too large") || text.contains("overflow") => {
            Error::new(ErrorKind::NumericRange, tidy(text))
        }
        _ => Error::new(ErrorKind::InvalidText, tidy(text)),
    }
}

fn execution(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return division_by_zero();
    }
    if lower.contains("overflow") || lower.contains("out of range") || lower.contains("too large to store") {
        return Error::new(ErrorKind::NumericRange, tidy(text));
    }
    if lower.contains("cannot cast string") || lower.contains("error parsing") {
        return cast(text);
    }
    if lower.contains("scalar subquery returned more than one row") || lower.contains("more than one row returned") {
        return Error::new(
            ErrorKind::Remote("21000".into()),
            "more than one row returned by a subquery used as an expression",
        );
    }
    Error::new(ErrorKind::InvalidValue, tidy(text))
}

fn plan(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    let quoted = text.split('\'').nth(1).unwrap_or("");
    if lower.starts_with("invalid function") || lower.contains("table function '") {
        let error = Error::new(ErrorKind::UndefinedFunction, format!("function {quoted} does not exist"));
        // DataFusion always names some function; only a near one helps.
        return match text.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next()) {
            Some(near) if nearest(quoted, [near]).is_some() => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            _ => error.with_hint("No function of that name is known here."),
        };
    }
    if lower.starts_with("table '") && lower.contains("not found") {
        return Error::new(ErrorKind::UndefinedTable, format!("relation \"{quoted}\" does not exist"));
    }
    if lower.contains("failed to coerce arguments")
        || lower.contains("no function matches")
        || lower.contains("candidate functions")
        || lower.contains("does not support zero arguments")
        || lower.contains("expects ") && lower.contains("argument")
    {
        return Error::new(ErrorKind::UndefinedFunction, tidy(text))
            .with_hint("You might need to add explicit type casts.");
    }
    if lower.contains("cannot coerce arithmetic expression") || lower.contains("cannot infer common argument type") {
        return Error::new(ErrorKind::UndefinedFunction, tidy(text))
            .with_hint("No operator matches the given argument types. You might need to add explicit type casts.");
    }
    if lower.contains("unique expression names") || lower.contains("specified more than once") || lower.contains("duplicate") {
        return Error::new(ErrorKind::DuplicateColumn, tidy(text));
    }
    if lower.contains("group by") || lower.contains("non-aggregate") {
        return Error::new(ErrorKind::Remote("42803".into()), tidy(text));
    }
    if lower.contains("unsupported") || lower.contains("not supported") {
        return Error::new(ErrorKind::Unsupported, tidy(text));
    }
    if lower.contains("cannot cast") || lower.contains("can not cast") {
        return Error::new(ErrorKind::CannotCoerce, tidy(text));
    }
    if lower.contains("same number of columns") || lower.contains("compound identifier") {
        return Error::new(ErrorKind::Syntax, tidy(text));
    }
    Error::new(ErrorKind::TypeMismatch, tidy(text))
}

fn schema(error: SchemaError, span: Option<Span>) -> (Error, Option<Span>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let span = span.or_else(|| field.spans.first());
            (missing_column(&field, &valid_fields), span)
        }
        SchemaError::AmbiguousReference { field } => {
            let span = span.or_else(|| field.spans.first());
            let error = Error::new(ErrorKind::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name))
                .with_column(&field.name);
            (error, span)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            let error = Error::new(ErrorKind::DuplicateColumn, format!("column \"{name}\" specified more than once"))
                .with_column(name);
            (error, span)
        }
    }
}

fn missing_column(field: &Column, valid: &[Column]) -> Error {
    let written = match &field.relation {
        Some(relation) => format!("{}.{}", relation.table(), field.name),
        None => format!("\"{}\"", field.name),
    };
    let table_is_known = match &field.relation {
        Some(relation) => valid
            .iter()
            .any(|c| c.relation.as_ref().is_some_and(|known| known.table().eq_ignore_ascii_case(relation.table()))),
        None => true,
    };
    if let Some(relation) = &field.relation
        && !table_is_known
        && !valid.is_empty()
    {
        return Error::new(
            ErrorKind::UndefinedTable,
            format!("missing FROM-clause entry for table \"{}\"", relation.table()),
        );
    }
    let error = Error::new(ErrorKind::UndefinedColumn, format!("column {written} does not exist")).with_column(&field.name);
    match nearest(&field.name, valid.iter().map(|c| c.name.as_str())) {
        Some(near) => {
            let full = valid.iter().find(|c| c.name == near).map(|c| match &c.relation {
                Some(relation) => format!("{}.{}", relation.table(), c.name),
                None => c.name.clone(),
            });
            error.with_hint(format!("Perhaps you meant to reference the column \"{}\".", full.unwrap_or_default()))
        }
        None => error,
    }
}

/// The helps of a diagnostic, unless the error already has a hint of its own.
fn with_help(error: Error, diagnostic: &Diagnostic) -> Error {
    match diagnostic.helps.first() {
        Some(help) if error.hint().is_none() => error.with_hint(sentence(&help.message)),
        _ => error,
    }
}

/// A foreign message in our style: one line, lower case, no full stop.
fn tidy(text: &str) -> String {
    let text = text.strip_prefix("Error during planning: ").unwrap_or(text);
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    let line = text.split("\n\nbacktrace").next().unwrap_or(text).lines().next().unwrap_or("").trim().trim_end_matches('.');
    let mut chars = line.chars();
    match (chars.next(), line.chars().nth(1)) {
        // An acronym or a code stays as it is.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => line.to_owned(),
    }
}

fn sentence(text: &str) -> String {
    let text = text.split("\n\nbacktrace").next().unwrap_or(text).trim();
    let mut chars = text.chars();
    let mut sentence: String = match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => return String::new(),
    };
    if !sentence.ends_with(['.', ';', '!']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn our_errors_come_out_unchanged_from_any_depth() {
        let ours = || Error::new(ErrorKind::Unreachable, "could not connect").with_hint("Try.").with_detail("Because.");
        let deep = DataFusionError::Context(
            "scan".into(),
            Box::new(DataFusionError::ArrowError(
                Box::new(ArrowError::ExternalError(Box::new(DataFusionError::External(Box::new(ours()))))),
                None,
            )),
        );
        let shared = Arc::new(DataFusionError::External(Box::new(ours())));
        let held = DataFusionError::Shared(shared.clone());
        for error in [map_error(deep), map_error(held)] {
            assert_eq!(error.sqlstate(), "08001");
            assert_eq!(error.hint(), Some("Try."));
            assert_eq!(error.detail(), Some("Because."));
        }
        drop(shared);
    }

    #[test]
    fn values_that_do_not_fit_have_the_codes_of_postgresql() {
        for (error, code, message) in [
            (ArrowError::DivideByZero, "22012", "division by zero"),
            (
                ArrowError::CastError("Cannot cast string 'x' to value of Int32 type".into()),
                "22P02",
                "invalid input syntax for type integer: \"x\"",
            ),
            (
                ArrowError::CastError("Can't cast value 300 to type Int8".into()),
                "22003",
                "can't cast value 300 to type Int8",
            ),
        ] {
            let error = map_error(DataFusionError::ArrowError(Box::new(error), None));
            assert_eq!((error.sqlstate(), error.message()), (code, message));
        }
    }

    #[test]
    fn positions_are_characters_of_the_whole_text() {
        assert_eq!(position("select ä,\n  x", 2, 3), Some(13));
        assert_eq!(position("select 1", 1, 8), Some(8));
        assert_eq!(position("select 1", 9, 1), None);
    }
}
