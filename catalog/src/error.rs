//! The one error type: kind, message, detail, hint, position; and the one table that gives
//! SQLSTATE and retry advice.
//!
//! Messages follow PostgreSQL's style: lower case, no full stop, the object quoted; detail and
//! hint are full sentences and the hint can be pasted. Secrets never enter an error: whoever
//! quotes a remote's text passes it through scrubbing first.

use std::fmt;

/// The result type of the whole project.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a closed set: one row of [`ErrorKind::sqlstate`] each.
///
/// Match it without a wildcard wherever a new kind must make somebody think.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 42601
    Syntax,
    /// 42704: a secret, source, job, option or setting that is not there
    UndefinedObject,
    /// 42P01: a table that is not there, local or remote
    UndefinedTable,
    /// 3F000
    UndefinedSchema,
    /// 42703
    UndefinedColumn,
    /// 42883
    UndefinedFunction,
    /// 42702
    AmbiguousColumn,
    /// 42710
    DuplicateObject,
    /// 42P07
    DuplicateTable,
    /// 42701
    DuplicateColumn,
    /// HV00D: an option name that nobody knows
    UnknownOption,
    /// 22023: a value that does not fit its option or parameter
    InvalidValue,
    /// 22P02: text that does not parse as its type
    InvalidText,
    /// 22003
    NumericRange,
    /// 22012
    DivisionByZero,
    /// 23502
    NotNullViolation,
    /// 23505
    UniqueViolation,
    /// 23514
    CheckViolation,
    /// 42501
    Privilege,
    /// 28P01: a login was rejected (ours or the remote's)
    LoginRejected,
    /// 28000
    InvalidAuthorization,
    /// 08001
    Unreachable,
    /// 08006
    ConnectionLost,
    /// 08P01
    ProtocolViolation,
    /// 55000: a prerequisite is missing on the remote, or the object is in the wrong state
    Prerequisite,
    /// 55006
    InUse,
    /// 2BP01
    Dependents,
    /// 0A000: specified and not built yet, or not possible
    Unsupported,
    /// 25001
    InTransaction,
    /// 25P02
    TransactionAborted,
    /// 25006
    ReadOnly,
    /// 42P10
    NoKey,
    /// 42804
    TypeMismatch,
    /// 42846
    CannotCoerce,
    /// 57014
    Canceled,
    /// 57P01
    Shutdown,
    /// 53300
    LimitReached,
    /// 54001
    TooComplex,
    /// 53100
    DiskFull,
    /// 53200
    OutOfMemory,
    /// 58030
    Io,
    /// 34000
    UndefinedCursor,
    /// 26000
    UndefinedStatement,
    /// TG001
    PositionLost,
    /// TG002
    SchemaChangeRejected,
    /// TG003
    VerificationMismatch,
    /// TG004
    Stalled,
    /// TG005
    WaitTimeout,
    /// TG006
    StateIncompatible,
    /// TG007
    NameCollision,
    /// TG008
    ErrorLimitReached,
    /// A remote server's own SQLSTATE, passed on.
    Remote(String),
    /// XX000: a bug of ours
    Internal,
}

impl ErrorKind {
    /// The five characters that reach the client.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::Syntax => "42601",
            Self::UndefinedObject => "42704",
            Self::UndefinedTable => "42P01",
            Self::UndefinedSchema => "3F000",
            Self::UndefinedColumn => "42703",
            Self::UndefinedFunction => "42883",
            Self::AmbiguousColumn => "42702",
            Self::DuplicateObject => "42710",
            Self::DuplicateTable => "42P07",
            Self::DuplicateColumn => "42701",
            Self::UnknownOption => "HV00D",
            Self::InvalidValue => "22023",
            Self::InvalidText => "22P02",
            Self::NumericRange => "22003",
            Self::DivisionByZero => "22012",
            Self::NotNullViolation => "23502",
            Self::UniqueViolation => "23505",
            Self::CheckViolation => "23514",
            Self::Privilege => "42501",
            Self::LoginRejected => "28P01",
            Self::InvalidAuthorization => "28000",
            Self::Unreachable => "08001",
            Self::ConnectionLost => "08006",
            Self::ProtocolViolation => "08P01",
            Self::Prerequisite => "55000",
            Self::InUse => "55006",
            Self::Dependents => "2BP01",
            Self::Unsupported => "0A000",
            Self::InTransaction => "25001",
            Self::TransactionAborted => "25P02",
            Self::ReadOnly => "25006",
            Self::NoKey => "42P10",
            Self::TypeMismatch => "42804",
            Self::CannotCoerce => "42846",
            Self::Canceled => "57014",
            Self::Shutdown => "57P01",
            Self::LimitReached => "53300",
            Self::TooComplex => "54001",
            Self::DiskFull => "53100",
            Self::OutOfMemory => "53200",
            Self::Io => "58030",
            Self::UndefinedCursor => "34000",
            Self::UndefinedStatement => "26000",
            Self::PositionLost => "TG001",
            Self::SchemaChangeRejected => "TG002",
            Self::VerificationMismatch => "TG003",
            Self::Stalled => "TG004",
            Self::WaitTimeout => "TG005",
            Self::StateIncompatible => "TG006",
            Self::NameCollision => "TG007",
            Self::ErrorLimitReached => "TG008",
            Self::Remote(code) => code,
            Self::Internal => "XX000",
        }
    }

    /// Whether the same action may succeed later without anybody changing anything.
    ///
    /// The list is deliberately narrow: a lost or refused connection, a serialization failure or
    /// deadlock, a server that is starting or stopping, and exhausted slots on the remote.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable | Self::ConnectionLost => true,
            Self::Remote(code) => {
                code.starts_with("08")
                    || matches!(code.as_str(), "40001" | "40P01" | "53300" | "57P01" | "57P02" | "57P03" | "55P03")
            }
            _ => false,
        }
    }
}

/// One error, as it reaches a user, a system table and a log.
///
/// `source` is for the log alone; [`fmt::Display`] prints the message only.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
    schema: Option<String>,
    table: Option<String>,
    column: Option<String>,
    row_key: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error; `message` is lower case, without a full stop, and quotes the object.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            schema: None,
            table: None,
            column: None,
            row_key: None,
            source: None,
        }))
    }
    /// A feature that is specified and not built yet, named.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("{what} is not supported yet"))
    }
    /// A broken invariant of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
    /// Adds the DETAIL: full sentences.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }
    /// Adds the HINT: one action, with a statement that can be pasted.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
    /// Sets the 1-based character offset in the statement text.
    pub fn with_position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }
    /// Names the schema and table that the error is about.
    pub fn with_table(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.schema = Some(schema.into());
        self.0.table = Some(table.into());
        self
    }
    /// Names the column that the error is about.
    pub fn with_column(mut self, column: impl Into<String>) -> Self {
        self.0.column = Some(column.into());
        self
    }
    /// Names the key of the row that the error is about.
    pub fn with_row_key(mut self, row_key: impl Into<String>) -> Self {
        self.0.row_key = Some(row_key.into());
        self
    }
    /// Keeps the cause, for the log.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
    /// The kind.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }
    /// The five characters that reach the client.
    pub fn sqlstate(&self) -> &str {
        self.0.kind.sqlstate()
    }
    /// The primary message.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// The DETAIL, if any.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
    /// The HINT, if any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    /// 1-based character offset in the statement text.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }
    /// Schema that the error is about.
    pub fn schema(&self) -> Option<&str> {
        self.0.schema.as_deref()
    }
    /// Table that the error is about.
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }
    /// Column that the error is about.
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }
    /// Key of the row that the error is about, as text.
    pub fn row_key(&self) -> Option<&str> {
        self.0.row_key.as_deref()
    }
    /// Whether the same action may succeed later by itself.
    pub fn is_retryable(&self) -> bool {
        self.0.kind.is_retryable()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// The candidate nearest to `given` by edit distance, when it is near enough to be a typo.
pub fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (given.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|c| (distance(&given.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(d, c)| {
            *d <= limit || (given.len() >= 3 && (c.starts_with(given) || given.starts_with(c) || given.ends_with(c)))
        })
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Optimal string alignment distance: insert, delete, substitute and swap of neighbours cost one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substitute = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_neighbour_and_a_stranger_finds_none() {
        assert_eq!(nearest("hsot", ["host", "port", "user"]), Some("host"));
        assert_eq!(nearest("hostname", ["host", "port", "user"]), Some("host"));
        assert_eq!(nearest("zzz", ["host", "port", "user"]), None);
    }
}
