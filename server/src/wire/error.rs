//! Errors and notices as messages of the protocol.
//!
//! An XX000 is a bug of ours: the client gets a number and the log gets the rest.

use crate::outcome::Notice;
use catalog::{Error, ErrorKind};
use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest text of one field: a remote's message may quote a whole row.
const FIELD_BYTES_MAX: usize = 16 << 10;

static NEXT_ERROR: AtomicU64 = AtomicU64::new(1);

/// An error that ends the statement.
pub(super) fn error_response(error: &Error) -> ErrorResponse {
    response(error, "ERROR")
}

/// An error that ends the session.
pub(super) fn fatal_response(error: &Error) -> ErrorResponse {
    response(error, "FATAL")
}

fn response(error: &Error, severity: &str) -> ErrorResponse {
    let mut fields = Fields::new(severity, error.sqlstate());
    fields.add(b'M', Some(error.message()));
    fields.add(b'D', error.detail());
    fields.add(b'H', error.hint());
    fields.add(b'P', error.position().map(|p| p.to_string()).as_deref());
    fields.add(b's', error.schema());
    fields.add(b't', error.table());
    fields.add(b'c', error.column());
    ErrorResponse::new(fields.0)
}

/// A notice.
pub(super) fn notice_response(notice: &Notice) -> NoticeResponse {
    let mut fields = Fields::new(notice.severity, &notice.code);
    fields.add(b'M', Some(&notice.message));
    fields.add(b'D', notice.detail.as_deref());
    fields.add(b'H', notice.hint.as_deref());
    NoticeResponse::new(fields.0)
}

struct Fields(Vec<(u8, String)>);

impl Fields {
    fn new(severity: &str, code: &str) -> Self {
        // A remote may invent its codes; ours have five characters.
        let code = if code.len() == 5 && code.bytes().all(|b| b.is_ascii_alphanumeric()) { code } else { "XX000" };
        Self(vec![(b'S', severity.to_owned()), (b'V', severity.to_owned()), (b'C', code.to_owned())])
    }

    fn add(&mut self, code: u8, text: Option<&str>) {
        let Some(text) = text else { return };
        let mut end = text.len().min(FIELD_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // A zero byte would end the field.
        let mut kept = text[..end].replace('\0', "\u{fffd}");
        if end < text.len() {
            kept.push_str(" ..");
        }
        self.0.push((code, kept));
    }
}

/// Whether the client sees a notice of this severity under `client_min_messages`.
pub(super) fn is_wanted(severity: &str, client_min_messages: &str) -> bool {
    let level = match severity {
        "WARNING" => 7,
        "INFO" => return true,
        _ => 6,
    };
    let least = match client_min_messages {
        "error" => 8,
        "warning" => 7,
        _ => 6,
    };
    level >= least
}

/// Logs a bug of ours under a number and answers what the client is told: never the cause, which
/// may quote anything.
pub(super) fn hide_internal(error: Error, statement: &str) -> Error {
    if !matches!(error.kind(), ErrorKind::Internal) {
        return error;
    }
    let number = NEXT_ERROR.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:x}-{number}", std::process::id());
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(error_id = %id, error = %error, cause, statement, "internal error");
    let position = error.position();
    let mut shown = Error::internal(error.message().to_owned())
        .with_detail(format!("This is a defect of tidegate. The log has more about it under the error id {id}."));
    if let Some(hint) = error.hint() {
        shown = shown.with_hint(hint.to_owned());
    }
    match position {
        Some(position) => shown.with_position(position),
        None => shown,
    }
}

/// What a panic in a statement becomes; its text goes to the log with the error id.
pub(super) fn panic_error(panic: Box<dyn std::any::Any + Send>) -> Error {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a text".to_owned(),
    };
    Error::internal("the statement ended in a panic").with_source(text)
}

/// `canceling statement due to ..` and what ends a session, in PostgreSQL's words.
pub(super) fn canceled(why: &str) -> Error {
    Error::new(ErrorKind::Canceled, format!("canceling statement due to {why}"))
}

/// 08P01.
pub(super) fn protocol_violation(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::ProtocolViolation, message)
}

/// Any SQLSTATE that no kind has.
pub(super) fn coded(sqlstate: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Remote(sqlstate.to_owned()), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_error_reaches_the_client() {
        let error = Error::new(ErrorKind::UndefinedColumn, "column \"x\" does not exist")
            .with_detail("D.")
            .with_hint("H.")
            .with_position(8)
            .with_table("s", "t")
            .with_column("c");
        let fields = error_response(&error).fields;
        let codes: String = fields.iter().map(|f| f.0 as char).collect();
        assert_eq!(codes, "SVCMDHPstc");
        assert_eq!(fields[2].1, "42703");
    }

    #[test]
    fn a_long_text_is_cut_and_a_strange_code_replaced() {
        let error = Error::new(ErrorKind::Remote("odd code".into()), "ä".repeat(20_000));
        let fields = error_response(&error).fields;
        assert_eq!(fields[2].1, "XX000");
        assert!(fields[3].1.len() < FIELD_BYTES_MAX + 8);
    }

    #[test]
    fn low_messages_are_kept_back_on_demand() {
        assert!(is_wanted("NOTICE", "notice"));
        assert!(!is_wanted("NOTICE", "warning"));
        assert!(is_wanted("WARNING", "warning"));
        assert!(!is_wanted("WARNING", "error"));
        assert!(is_wanted("INFO", "error"));
    }
}
