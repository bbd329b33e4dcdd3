//! DataFusion's errors in PostgreSQL's words: SQLSTATE, message, hint and place in the text.
//!
//! Our own errors cross DataFusion as `External` and come out unchanged, however deep they were
//! wrapped. What only a bug can cause is XX000 and keeps DataFusion's text for the log alone.

use catalog::error::nearest;
use catalog::{Error, ErrorKind};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, DataFusionError, Diagnostic, SchemaError, Span};
use regex::Regex;
use std::sync::LazyLock;

/// DataFusion's errors in PostgreSQL's words; our own errors pass unchanged.
pub fn map_error(error: DataFusionError) -> Error {
    convert(error, None).0
}

/// The same, with the place in the statement's text where that is known.
pub(crate) fn map_error_in(error: DataFusionError, text: &str) -> Error {
    let (error, span) = convert(error, None);
    match span {
        Some(span) if error.position().is_none() => match position(text, span.start.line, span.start.column) {
            Some(position) => error.with_position(position),
            None => error,
        },
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
        E::NotImplemented(text) => (not_implemented(&text), span),
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
        E::NotImplemented(text) => not_implemented(text),
        E::IoError(inner) => Error::new(ErrorKind::Io, tidy(&inner.to_string())),
        other => {
            Error::internal("the query could not be run, which is a bug of the gateway").with_source(other.to_string())
        }
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

/// PostgreSQL's word for an Arrow type as DataFusion prints it.
pub(super) fn type_word(arrow: &str) -> String {
    let head = arrow.split('(').next().unwrap_or(arrow).trim();
    match head {
        "Int8" | "Int16" | "UInt8" => "smallint",
        "Int32" | "UInt16" => "integer",
        "Int64" | "UInt32" => "bigint",
        "UInt64" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => "numeric",
        "Float16" | "Float32" => "real",
        "Float64" => "double precision",
        "Utf8" | "LargeUtf8" | "Utf8View" => "text",
        "Binary" | "LargeBinary" | "BinaryView" => "bytea",
        "Boolean" => "boolean",
        "Date32" | "Date64" => "date",
        "Time32" | "Time64" => "time",
        "Timestamp" if arrow.contains("None") || !arrow.contains(',') => "timestamp",
        "Timestamp" => "timestamp with time zone",
        "Interval" | "Duration" => "interval",
        "Null" => "unknown",
        other => return other.to_owned(),
    }
    .to_owned()
}

/// A value that is not of its type: 22P02 for text, 22003 for a number that is too large.
fn cast(text: &str) -> Error {
    static OUT_OF_RANGE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"Can't cast value (.+) to type (\S+)").ok());
    if let Some(found) = OUT_OF_RANGE.as_ref().and_then(|r| r.captures(text)) {
        let type_name = type_word(&found[2]);
        return Error::new(
            ErrorKind::NumericRange,
            format!("value \"{}\" is out of range for type {type_name}", &found[1]),
        );
    }
    let quoted = text.split('\'').nth(1).or_else(|| text.split('"').nth(1));
    let is_text = text.contains("Cannot cast string") || text.contains("Error parsing") || text.contains("parse");
    match quoted {
        Some(value) if is_text => {
            const TYPES: &[&str] = &[
                "Int8",
                "Int16",
                "Int32",
                "Int64",
                "UInt8",
                "UInt16",
                "UInt32",
                "UInt64",
                "Float32",
                "Float64",
                "Boolean",
                "Decimal128",
                "Decimal256",
                "Date32",
                "Date64",
                "Time64",
                "timestamp",
                "Timestamp",
                "Interval",
            ];
            match TYPES.iter().filter(|word| text.contains(**word)).max_by_key(|word| word.len()) {
                Some(word) => {
                    let word = if *word == "timestamp" { "timestamp".to_owned() } else { type_word(word) };
                    Error::new(ErrorKind::InvalidText, format!("invalid input syntax for type {word}: \"{value}\""))
                }
                None => Error::new(ErrorKind::InvalidText, tidy(text)),
            }
        }
        _ if text.contains("out of range") || text.contains("too large") || text.contains("overflow") => {
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

fn not_implemented(text: &str) -> Error {
    if text.contains("logical expression Exists") {
        return Error::new(ErrorKind::Unsupported, "EXISTS in a select list is not supported")
            .with_hint("Use it in WHERE, or count the rows of the subquery.");
    }
    Error::new(ErrorKind::Unsupported, tidy(text))
}

fn plan(text: &str) -> Error {
    let lower = text.to_ascii_lowercase();
    if lower.contains("correlated scalar subquery must be aggregated") {
        return Error::new(
            ErrorKind::Unsupported,
            "a subquery that refers to the outer query is not supported here unless it is an aggregate",
        )
        .with_hint("Use max(..) or min(..) in the subquery, or join its table.");
    }
    let quoted = text.split('\'').nth(1).unwrap_or("");
    if lower.starts_with("invalid function") || lower.contains("table function '") {
        let error = Error::new(ErrorKind::UndefinedFunction, format!("function {quoted} does not exist"));
        // DataFusion always names some function; only a near one helps.
        return match text.split("Did you mean '").nth(1).and_then(|rest| rest.split('\'').next()) {
            Some(near) if nearest(quoted, [near]).is_some() => {
                error.with_hint(format!("Perhaps you meant \"{near}\"."))
            }
            _ => error.with_hint("No function of that name is known here."),
        };
    }
    if lower.starts_with("table '") && lower.contains("not found") {
        return Error::new(ErrorKind::UndefinedTable, format!("relation \"{quoted}\" does not exist"));
    }
    if let Some(error) = operator_or_function(text) {
        return error;
    }
    if lower.contains("unique expression names")
        || lower.contains("specified more than once")
        || lower.contains("duplicate")
    {
        return Error::new(ErrorKind::DuplicateColumn, tidy(text));
    }
    if lower.contains("must appear in the group by clause") {
        let column = text.split("column \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
        let column = column.rsplit('.').next().unwrap_or(column);
        return Error::new(
            ErrorKind::Remote("42803".into()),
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function"),
        );
    }
    if lower.contains("group by") || lower.contains("non-aggregate") {
        return Error::new(ErrorKind::Remote("42803".into()), tidy(text));
    }
    if lower.contains("non-boolean predicate") {
        return Error::new(ErrorKind::TypeMismatch, "argument of WHERE must be type boolean");
    }
    if lower.starts_with("invalid qualifier") {
        let table = text.trim_start_matches("Invalid qualifier").trim();
        return Error::new(ErrorKind::UndefinedTable, format!("missing FROM-clause entry for table \"{table}\""));
    }
    if lower.starts_with("limit must be") || lower.starts_with("offset must be") {
        return Error::new(ErrorKind::Remote("2201W".into()), tidy(text));
    }
    if lower.starts_with("order by column out of bounds") {
        return Error::new(ErrorKind::NoKey, "ORDER BY position is not in select list");
    }
    if lower.contains("different number of columns") {
        return Error::new(ErrorKind::Syntax, "each query of a set operation must have the same number of columns");
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

/// An operator or a function that is there, but not for these types.
fn operator_or_function(text: &str) -> Option<Error> {
    const HINT: &str =
        "No function or operator of that name takes these argument types. You might need to add explicit type casts.";
    static OPERATOR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?:arithmetic expression|comparison operation|coerce) (\S+(?:\([^)]*\))?) (\S+) (\S+(?:\([^)]*\))?)(?: to valid types|\s*$)").ok()
    });
    let lower = text.to_ascii_lowercase();
    if (lower.contains("cannot coerce arithmetic expression") || lower.contains("cannot infer common argument type"))
        && let Some(found) = OPERATOR.as_ref().and_then(|r| r.captures(text))
    {
        let (left, right) = (type_word(&found[1]), type_word(&found[3]));
        let message = format!("operator does not exist: {left} {} {right}", &found[2]);
        return Some(Error::new(ErrorKind::UndefinedFunction, message).with_hint(HINT));
    }
    let is_about_arguments = lower.contains("failed to coerce arguments")
        || lower.contains("failed to match any signature")
        || lower.contains("no function matches")
        || lower.contains("candidate functions")
        || lower.contains("does not support zero arguments")
        || lower.contains("expects ") && lower.contains("argument")
        || lower.contains("function '") && lower.contains(" requires ")
        || lower.contains("cannot infer common argument type")
        || lower.contains("cannot coerce");
    if !is_about_arguments {
        return None;
    }
    let name = text.split("unction '").nth(1).and_then(|rest| rest.split('\'').next());
    let name = name.or_else(|| text.split("arguments for ").nth(1).and_then(|rest| rest.split_whitespace().next()));
    let message = match name.map(|n| n.trim_matches(['\'', '(', ')'])) {
        Some(name) => format!("function {name} does not exist for these arguments"),
        None => tidy(text),
    };
    Some(Error::new(ErrorKind::UndefinedFunction, message).with_hint(HINT))
}

fn schema(error: SchemaError, span: Option<Span>) -> (Error, Option<Span>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let span = span.or_else(|| field.spans.first());
            (missing_column(&field, &valid_fields), span)
        }
        SchemaError::AmbiguousReference { field } => {
            let span = span.or_else(|| field.spans.first());
            let error =
                Error::new(ErrorKind::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name))
                    .with_column(&field.name);
            (error, span)
        }
        SchemaError::DuplicateQualifiedField { qualifier, .. } => {
            let message = format!("table name \"{}\" specified more than once", qualifier.table());
            (Error::new(ErrorKind::Remote("42712".into()), message), span)
        }
        SchemaError::DuplicateUnqualifiedField { name } => {
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
    let error =
        Error::new(ErrorKind::UndefinedColumn, format!("column {written} does not exist")).with_column(&field.name);
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
    let line =
        text.split("\n\nbacktrace").next().unwrap_or(text).lines().next().unwrap_or("").trim().trim_end_matches('.');
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
                ArrowError::CastError("Can't cast value 300 to type Int16".into()),
                "22003",
                "value \"300\" is out of range for type smallint",
            ),
        ] {
            let error = map_error(DataFusionError::ArrowError(Box::new(error), None));
            assert_eq!((error.sqlstate(), error.message()), (code, message));
        }
    }

    #[test]
    fn missing_operators_and_functions_are_named() {
        for (text, code, message) in [
            (
                "Cannot coerce arithmetic expression Utf8 + Int64 to valid types",
                "42883",
                "operator does not exist: text + bigint",
            ),
            (
                "Function 'sum' failed to match any signature, errors: Error during planning: x",
                "42883",
                "function sum does not exist for these arguments",
            ),
            (
                "UNION queries have different number of columns",
                "42601",
                "each query of a set operation must have the same number of columns",
            ),
            ("Invalid qualifier nosuch", "42P01", "missing FROM-clause entry for table \"nosuch\""),
        ] {
            let error = map_error(DataFusionError::Plan(text.into()));
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
