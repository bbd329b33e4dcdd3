//! The statements of tidegate, as parsed. Stock SQL stays sqlparser's own AST.
//!
//! Names are already folded (unquoted identifiers to lower case, as PostgreSQL does). A bind
//! parameter that stands where a literal may stand is a [`Literal::Parameter`].

use catalog::definition::{AddedColumn, OnError, Selection, SinkDest, SinkShape, TableItem};
use catalog::name::{Path3, TableName};
use catalog::{Mode, WriteMode};
use datafusion_sql::sqlparser::ast;

/// A parsed statement with its place in the text.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it is.
    pub statement: Statement,
    /// 0-based byte offset of its first token in the whole text.
    pub start: usize,
    /// 0-based byte offset after its last token, without the semicolon.
    pub end: usize,
    /// Its text with secret literals masked: the only form that may be logged or shown.
    pub redacted: String,
    /// The highest `$n` that occurs in one of our own statements; 0 when none does.
    /// (Stock SQL takes its parameters from the plan.)
    pub parameter_count: usize,
}

/// A literal in one of our statements.
#[derive(Clone, PartialEq)]
pub enum Literal {
    /// A string, number or boolean, as text.
    Text(String),
    /// `$n`, from 1.
    Parameter(usize),
}

impl std::fmt::Debug for Literal {
    /// Literals may be secrets: they never show in debug output.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::Parameter(n) => write!(f, "${n}"),
        }
    }
}

/// The value of `key = ...` in WITH.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionInput {
    /// One literal.
    Literal(Literal),
    /// `( lit, ... )`
    List(Vec<Literal>),
    /// `SECRET name`
    Secret(String),
    /// `DEFAULT`
    Default,
}

/// One `key = value` with the place of the key (1-based character offset in the whole text).
#[derive(Debug, Clone, PartialEq)]
pub struct OptionEntry {
    /// Key; the parser has refused duplicates.
    pub key: String,
    /// Value.
    pub value: OptionInput,
    /// Where the key stands.
    pub position: usize,
}

/// The value of CREATE or ALTER SECRET.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretInput {
    /// AS lit
    Literal(Literal),
    /// FROM ENV lit
    Env(Literal),
    /// FROM FILE lit
    File(Literal),
}

/// What a name names, in statements that take several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    Secret,
    Source,
    SinkTable,
    SourceTable,
    Job,
}

impl ObjectKind {
    /// As it reads in messages: `sink table`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Source => "source",
            Self::SinkTable => "sink table",
            Self::SourceTable => "source table",
            Self::Job => "job",
        }
    }
}

/// The name of an object: tables have three parts, all others one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    Simple(String),
    Path(Path3),
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simple(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{path}"),
        }
    }
}

/// FOR READ, CAPTURE, WRITE, DDL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    Read,
    Capture,
    Write,
    Ddl,
}

/// What VALIDATE SOURCE looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum ValidateTarget {
    /// An existing source.
    Source(String),
    /// `TYPE t WITH (..)`: before creation.
    Inline { source_type: String, options: Vec<OptionEntry> },
}

/// ALTER SOURCE ...
#[derive(Debug, Clone, PartialEq)]
pub enum AlterSource {
    Set(Vec<OptionEntry>),
    Reset(Vec<String>),
    Rename(String),
    Owner(String),
    /// Empty: all schemas.
    Refresh(Vec<String>),
}

/// ALTER SECRET ...
#[derive(Debug, Clone, PartialEq)]
pub enum AlterSecret {
    Value(SecretInput),
    Rename(String),
    Owner(String),
}

/// ALTER JOB ...
#[derive(Debug, Clone, PartialEq)]
pub enum AlterJob {
    Set(Vec<OptionEntry>),
    Reset(Vec<String>),
    /// SET clause, for the clauses that are built.
    SetMode(Mode),
    SetWrite {
        write: WriteMode,
        key: Vec<String>,
    },
    SetOnError(OnError),
    AddTables(Vec<TableItem>),
    DropTables(Vec<TableItem>),
    Query(String),
    Rename(String),
    Owner(String),
}

/// CREATE SYNC JOB.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSyncJob {
    pub if_not_exists: bool,
    pub name: String,
    pub target: SyncTargetInput,
    /// None: not written, which means FULL THEN REALTIME is not assumed; the default is FULL.
    pub mode: Option<Mode>,
    pub write: Option<WriteMode>,
    pub key: Vec<String>,
    pub on_error: Option<OnError>,
    pub options: Vec<OptionEntry>,
}

/// The two forms of CREATE SYNC JOB.
#[derive(Debug, Clone, PartialEq)]
pub enum SyncTargetInput {
    Query {
        sink: Path3,
        columns: Vec<String>,
        /// The query's text as written, from its first token to its last.
        query: String,
        /// 0-based byte offset of the query in the whole text, for error positions.
        query_start: usize,
        /// Parsed once here, so that a syntax error is found with its position.
        ast: Box<ast::Query>,
    },
    Tables {
        source: String,
        selection: Selection,
        except: Vec<TableItem>,
        dest: SinkDest,
    },
}

/// RETRY JOB j [RUN n] [STEP n | TABLES (..)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RetryWhat {
    pub run: Option<i64>,
    pub step: Option<i32>,
    /// Source-side names; empty: every failed table.
    pub tables: Vec<TableItem>,
}

/// What WAIT FOR JOB waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitFor {
    State(String),
    Phase(String),
    Run(i64),
    LagUnder(Literal),
}

/// What SHOW shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Show {
    Secrets {
        like: Option<String>,
    },
    Sources {
        like: Option<String>,
    },
    SourceTypes {
        like: Option<String>,
    },
    SinkTables {
        like: Option<String>,
    },
    Jobs {
        like: Option<String>,
    },
    Runs {
        job: String,
    },
    Schemas {
        source: String,
    },
    Tables {
        source: String,
        schema: Option<String>,
        like: Option<String>,
    },
    Columns {
        path: Path3,
    },
    /// `SHOW OPTIONS FOR SOURCE TYPE t | SYNC JOB | SINK TABLE`: (scope, source type)
    Options {
        scope: String,
        source_type: Option<String>,
    },
    Create {
        kind: ObjectKind,
        name: ObjectName,
    },
}

/// EXPLAIN's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExplainOptions {
    pub verbose: bool,
    pub tables: bool,
    pub ddl: bool,
    pub json: bool,
}

/// Cursor movement of FETCH and MOVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchCount {
    /// The next n rows.
    Forward(u64),
    /// All that are left.
    All,
}

/// Transaction and session statements, by their PostgreSQL meaning.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionStatement {
    Begin {
        read_only: Option<bool>,
    },
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    /// SET [SESSION|LOCAL] name {=|TO} value,... | DEFAULT. Also SET TIME ZONE, SET NAMES and
    /// SET SESSION CHARACTERISTICS, under their setting's name.
    Set {
        local: bool,
        name: String,
        /** None: DEFAULT. */
        value: Option<Vec<String>>,
    },
    /// SET TRANSACTION ...
    SetTransaction {
        read_only: Option<bool>,
    },
    /// SHOW name; `all` for SHOW ALL.
    ShowSetting(String),
    /// RESET name; `all` for RESET ALL.
    Reset(String),
    /// DISCARD ALL | PLANS | SEQUENCES | TEMP
    Discard(String),
    /// DEALLOCATE name; None for ALL.
    Deallocate(Option<String>),
    /// PREPARE name [(type, ...)] AS statement text; the types as written.
    Prepare {
        name: String,
        types: Vec<String>,
        text: String,
    },
    /// EXECUTE name (args): the arguments as expressions' text.
    Execute {
        name: String,
        arguments: Vec<String>,
    },
    DeclareCursor {
        name: String,
        hold: bool,
        query: Box<ast::Query>,
        query_text: String,
    },
    Fetch {
        name: String,
        count: FetchCount,
    },
    Move {
        name: String,
        count: FetchCount,
    },
    /// CLOSE name; None for ALL.
    Close(Option<String>),
    Listen(String),
    /// None: *.
    Unlisten(Option<String>),
    Notify(String),
}

/// A statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// SELECT, VALUES, WITH, TABLE, EXPLAIN of those, and whatever else sqlparser knows and we
    /// hand to DataFusion or refuse by name.
    Sql(Box<ast::Statement>),
    Session(SessionStatement),
    CreateSecret {
        or_replace: bool,
        if_not_exists: bool,
        name: String,
        value: SecretInput,
    },
    AlterSecret {
        name: String,
        action: AlterSecret,
    },
    CreateSource {
        or_replace: bool,
        if_not_exists: bool,
        name: String,
        source_type: String,
        /// 1-based character offset of the type, for the error about an unknown one.
        type_position: usize,
        options: Vec<OptionEntry>,
    },
    AlterSource {
        name: String,
        action: AlterSource,
    },
    ValidateSource {
        target: ValidateTarget,
        purposes: Vec<Purpose>,
        tables: Vec<TableName>,
        timeout: Option<Literal>,
    },
    CreateSinkTable {
        if_not_exists: bool,
        path: Path3,
        shape: SinkShape,
        added_columns: Vec<AddedColumn>,
        partition_by: Vec<String>,
        properties: Vec<(String, String)>,
        options: Vec<OptionEntry>,
    },
    CreateSyncJob(Box<CreateSyncJob>),
    AlterJob {
        name: String,
        action: AlterJob,
    },
    StartJob {
        name: String,
        /** Anything but a plain START is not built yet. */
        from: Option<String>,
    },
    StopJob {
        name: String,
        savepoint: Option<String>,
        force: bool,
    },
    RunJob {
        name: String,
        for_time: Option<Literal>,
    },
    CancelRun {
        name: String,
        run: i64,
    },
    RetryJob {
        name: String,
        what: RetryWhat,
    },
    WaitForJob {
        name: String,
        what: WaitFor,
        timeout: Option<Literal>,
    },
    RefreshMapping {
        name: String,
        tables: Vec<TableItem>,
    },
    Drop {
        kind: ObjectKind,
        if_exists: bool,
        names: Vec<ObjectName>,
        cascade: bool,
        /// DROP SINK TABLE .. INCLUDING REMOTE TABLE
        including_remote_table: bool,
        purge: bool,
        keep_slot: bool,
    },
    Show(Show),
    Describe {
        kind: ObjectKind,
        name: ObjectName,
    },
    Comment {
        kind: ObjectKind,
        name: ObjectName,
        text: Option<String>,
    },
    /// EXPLAIN of a job.
    ExplainJob {
        options: ExplainOptions,
        name: String,
    },
    /// EXPLAIN of a CREATE SYNC JOB that is not run.
    ExplainCreateJob {
        options: ExplainOptions,
        job: Box<CreateSyncJob>,
    },
    /// Parsed, specified, not built yet: `what` names the statement or clause for the 0A000.
    NotBuilt {
        what: String,
        position: usize,
    },
}
