//! Session settings: what SET, SHOW, RESET and `pg_settings` know.
//!
//! One table names every setting with its type, default and description. Values follow
//! transactions as PostgreSQL's do: SET is undone by ROLLBACK, SET LOCAL by the end of the block.
//! This file knows no wire: it says which values a client is told of, the front tells it.

use arrow::array::timezone::Tz;
use catalog::error::nearest;
use catalog::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::time::Duration;

/// The server version that clients parse.
pub const SERVER_VERSION: &str = concat!("16.0 (tidegate ", env!("CARGO_PKG_VERSION"), ")");

/// The type of a setting's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SettingType {
    /// on, off
    Bool,
    /// A whole number in a range.
    Integer(i64, i64),
    /// A time, kept in milliseconds; units us, ms, s, min, h and d may be written.
    Milliseconds,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
    /// A time zone: UTC, an IANA name or an offset.
    TimeZone,
    /// `ISO, MDY`
    DateStyle,
    /// UTF8 under its names.
    Encoding,
    /// Schema names.
    SearchPath,
}

/// Who may change a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingContext {
    /// Nobody: it says what the gateway is.
    Internal,
    /// The session.
    User,
}

/// One setting as the table knows it.
#[derive(Debug)]
pub struct SettingSpec {
    /// Name as SHOW ALL writes it.
    pub name: &'static str,
    /// Type of its values.
    pub value_type: SettingType,
    /// Value of a new session.
    pub default_value: &'static str,
    /// Who may change it.
    pub context: SettingContext,
    /// Whether clients are told of every change (ParameterStatus).
    pub is_reported: bool,
    /// One sentence.
    pub description: &'static str,
}

const fn user(
    name: &'static str,
    value_type: SettingType,
    default_value: &'static str,
    description: &'static str,
) -> SettingSpec {
    SettingSpec { name, value_type, default_value, context: SettingContext::User, is_reported: false, description }
}

const fn internal(name: &'static str, default_value: &'static str, description: &'static str) -> SettingSpec {
    SettingSpec {
        name,
        value_type: SettingType::Text,
        default_value,
        context: SettingContext::Internal,
        is_reported: false,
        description,
    }
}

const fn reported(spec: SettingSpec) -> SettingSpec {
    SettingSpec { is_reported: true, ..spec }
}

const ISOLATION: SettingType =
    SettingType::Enum(&["serializable", "repeatable read", "read committed", "read uncommitted"]);

/// Every setting, by name.
pub const SETTINGS: &[SettingSpec] = {
    use SettingType::*;
    &[
        reported(user("application_name", Text, "", "Name of the application, shown in tidegate.stat_activity.")),
        internal("block_size", "8192", "Shows the size of a disk block; kept for clients that ask."),
        user("bytea_output", Enum(&["hex", "escape"]), "hex", "Output format of bytea."),
        reported(user("client_encoding", Encoding, "UTF8", "The client's character set encoding; always UTF8.")),
        user(
            "client_min_messages",
            Enum(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]),
            "notice",
            "Messages of lower levels than this are not sent to the client.",
        ),
        reported(user(
            "DateStyle",
            DateStyle,
            "ISO, MDY",
            "Display format of dates and the order of day and month in input; the format is always ISO.",
        )),
        user("default_transaction_deferrable", Bool, "off", "Whether new transactions are deferrable; has no effect."),
        user(
            "default_transaction_isolation",
            ISOLATION,
            "read committed",
            "Isolation level of new transactions; has no effect.",
        ),
        reported(user(
            "default_transaction_read_only",
            Bool,
            "off",
            "Whether new transactions refuse to change definitions.",
        )),
        user(
            "escape_string_warning",
            Bool,
            "on",
            "Whether backslashes in plain strings are warned about; has no effect.",
        ),
        user(
            "extra_float_digits",
            Integer(-15, 3),
            "1",
            "Digits of floating-point output; 1 and above give the shortest exact form.",
        ),
        user(
            "idle_in_transaction_session_timeout",
            Milliseconds,
            "0",
            "Time after which a session that idles in a transaction is ended; 0 is never.",
        ),
        user("idle_session_timeout", Milliseconds, "0", "Time after which an idle session is ended; 0 is never."),
        reported(internal("in_hot_standby", "off", "Shows whether the server is a standby.")),
        reported(internal("integer_datetimes", "on", "Shows whether datetimes are integers.")),
        reported(user("IntervalStyle", Enum(&["postgres", "iso_8601"]), "postgres", "Display format of intervals.")),
        reported(internal("is_superuser", "on", "Shows whether the role may do everything.")),
        user("jit", Bool, "off", "Whether just-in-time compilation is allowed; has no effect."),
        internal("lc_collate", "C", "Shows the collation order: bytes."),
        internal("lc_ctype", "C", "Shows the character classification."),
        user("lc_messages", Enum(&["C", "en_US.UTF-8", "en_US.utf8"]), "C", "Language of messages."),
        user("lc_monetary", Enum(&["C", "en_US.UTF-8", "en_US.utf8"]), "C", "Format of money; has no effect."),
        user("lc_numeric", Enum(&["C", "en_US.UTF-8", "en_US.utf8"]), "C", "Format of numbers; has no effect."),
        user("lc_time", Enum(&["C", "en_US.UTF-8", "en_US.utf8"]), "C", "Format of dates; has no effect."),
        user("lock_timeout", Milliseconds, "0", "Longest wait for a lock; has no effect, nothing waits for locks."),
        internal("max_connections", "100", "Shows how many connections are allowed."),
        internal("max_function_args", "100", "Shows how many arguments a function may have."),
        internal("max_identifier_length", "63", "Shows how many bytes a name may have."),
        internal("max_index_keys", "32", "Shows how many keys an index may have."),
        internal("max_prepared_transactions", "0", "Shows how many prepared transactions are allowed."),
        user("role", Text, "none", "The current role; only the role that logged in and none are allowed."),
        user("row_security", Bool, "on", "Whether row security applies; has no effect."),
        user("search_path", SearchPath, "\"$user\", public", "Schemas that are searched for names without a schema."),
        reported(internal("server_encoding", "UTF8", "Shows the server's character set encoding.")),
        reported(internal("server_version", SERVER_VERSION, "Shows the server's version.")),
        internal("server_version_num", "160000", "Shows the server's version as a number."),
        reported(user(
            "session_authorization",
            Text,
            "",
            "The role of the session; only the role that logged in is allowed.",
        )),
        internal("ssl", "off", "Shows whether TLS is offered."),
        reported(user(
            "standard_conforming_strings",
            Bool,
            "on",
            "Whether backslashes in plain strings are ordinary characters; always on.",
        )),
        user(
            "statement_timeout",
            Milliseconds,
            "0",
            "Longest time that a statement may take, sending included; 0 is no limit.",
        ),
        user(
            "synchronous_commit",
            Enum(&["on", "off", "local", "remote_write", "remote_apply"]),
            "on",
            "How durable a commit is; has no effect, every commit is durable.",
        ),
        user("tcp_keepalives_idle", Milliseconds, "0", "Time between keepalives; has no effect."),
        reported(user("TimeZone", TimeZone, "UTC", "Time zone in which timestamps are shown and read.")),
        user("transaction_deferrable", Bool, "off", "Whether the transaction is deferrable; has no effect."),
        user(
            "transaction_isolation",
            ISOLATION,
            "read committed",
            "Isolation level of the transaction; has no effect.",
        ),
        user("transaction_read_only", Bool, "off", "Whether the transaction refuses to change definitions."),
        user("vacuum_cost_delay", Milliseconds, "0", "Has no effect."),
        user("work_mem", Text, "4MB", "Has no effect: the memory of queries is limited together."),
        user("xmlbinary", Enum(&["base64", "hex"]), "base64", "Has no effect."),
        user("xmloption", Enum(&["content", "document"]), "content", "Has no effect."),
    ]
};

/// The values that differ from the defaults, by lower-case name.
type Values = BTreeMap<String, String>;

/// The settings of one session.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Values that RESET goes back to: the defaults with what the client asked for at its start.
    start: Values,
    /// Values in force.
    current: Values,
    /// Inside of a transaction block: what COMMIT and what ROLLBACK leave.
    block: Option<Block>,
    /// Grows with every change, so that plans that depend on settings know.
    generation: u64,
}

#[derive(Debug, Clone)]
struct Block {
    at_begin: Values,
    after_commit: Values,
    /// Name, and what was in force and what COMMIT would have left when it was made.
    savepoints: Vec<(String, Values, Values)>,
}

/// One line of SHOW ALL and `pg_settings`.
#[derive(Debug, Clone)]
pub struct SettingRow {
    /// Name.
    pub name: String,
    /// Value in force.
    pub value: String,
    /// Value that RESET goes back to.
    pub reset_value: String,
    /// Value of a new session.
    pub default_value: String,
    /// `bool`, `integer`, `enum` or `string`.
    pub value_type: &'static str,
    /// `ms` for times.
    pub unit: Option<&'static str>,
    /// Words that an enum allows.
    pub allowed: Option<&'static [&'static str]>,
    /// `internal` or `user`.
    pub context: &'static str,
    /// One sentence.
    pub description: &'static str,
}

impl Settings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a value of the session's start, also of a setting that only the gateway sets. RESET
    /// goes back to it.
    pub fn start_with(&mut self, name: &str, value: &str) -> Result<()> {
        let value = match find(name)? {
            Some(spec) if spec.context == SettingContext::User => check(spec, value)?,
            _ => value.to_owned(),
        };
        self.start.insert(name.to_lowercase(), value.clone());
        self.current.insert(name.to_lowercase(), value);
        self.generation += 1;
        Ok(())
    }

    /// The value in force, None for a name that nobody knows. Times are in milliseconds with their
    /// unit as SHOW writes them (`5s`); see [`Settings::duration`].
    pub fn get(&self, name: &str) -> Option<String> {
        let key = name.to_lowercase();
        match (self.current.get(&key), find(name)) {
            (Some(value), _) => Some(value.clone()),
            (None, Ok(Some(spec))) => Some(spec.default_value.to_owned()),
            (None, _) => None,
        }
    }

    /// The value as SHOW shows it, or 42704 with the nearest name.
    pub fn show(&self, name: &str) -> Result<(String, String)> {
        match find(name)? {
            Some(spec) => Ok((spec.name.to_owned(), self.get(spec.name).unwrap_or_default())),
            None => match self.current.get(&name.to_lowercase()) {
                Some(value) => Ok((name.to_owned(), value.clone())),
                None => Err(unknown(name)),
            },
        }
    }

    /// A boolean setting's value; false for a name that nobody knows.
    pub fn bool(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("on")
    }

    /// A time; None when it is 0, which means never.
    pub fn duration(&self, name: &str) -> Option<Duration> {
        let milliseconds = parse_milliseconds(&self.get(name)?)?;
        (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
    }

    /// The session's time zone.
    pub fn time_zone(&self) -> Tz {
        let zone = self.get("TimeZone").and_then(|name| name.parse().ok());
        zone.unwrap_or_else(|| "+00:00".parse().expect("a fixed offset is a time zone"))
    }

    /// Sets a value; `local` until the end of the transaction block.
    ///
    /// Errors: 42704 with the nearest name, 22023 for a value that does not fit, 55P02 for a
    /// setting that nobody may change.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<()> {
        let value = match find(name)? {
            Some(spec) => {
                if spec.context == SettingContext::Internal {
                    return Err(cannot_change(spec));
                }
                if matches!(spec.name, "role" | "session_authorization") {
                    self.check_role(spec, value)?
                } else {
                    check(spec, value)?
                }
            }
            None => value.to_owned(),
        };
        self.put(&name.to_lowercase(), Some(value), local);
        Ok(())
    }

    /// Goes back to the value of the session's start.
    pub fn reset(&mut self, name: &str, local: bool) -> Result<()> {
        if let Some(spec) = find(name)? {
            if spec.context == SettingContext::Internal {
                return Err(cannot_change(spec));
            }
        } else if !self.current.contains_key(&name.to_lowercase()) && !name.contains('.') {
            return Err(unknown(name));
        }
        let key = name.to_lowercase();
        let value = self.start.get(&key).cloned();
        self.put(&key, value, local);
        Ok(())
    }

    /// Goes back to the session's start with everything.
    pub fn reset_all(&mut self) {
        self.current = self.start.clone();
        if let Some(block) = &mut self.block {
            block.after_commit = self.start.clone();
        }
        self.generation += 1;
    }

    fn put(&mut self, key: &str, value: Option<String>, local: bool) {
        let into = |values: &mut Values| match &value {
            Some(value) => {
                values.insert(key.to_owned(), value.clone());
            }
            None => {
                values.remove(key);
            }
        };
        match &mut self.block {
            // Outside of a block SET LOCAL lasts for its own statement only, as in PostgreSQL.
            None if local => return,
            None => into(&mut self.current),
            Some(block) => {
                into(&mut self.current);
                if !local {
                    into(&mut block.after_commit);
                }
            }
        }
        self.generation += 1;
    }

    fn check_role(&self, spec: &SettingSpec, value: &str) -> Result<String> {
        let own = self.start.get("session_authorization").map(String::as_str).unwrap_or_default();
        match value {
            "none" if spec.name == "role" => Ok("none".into()),
            _ if value == own => Ok(value.into()),
            _ => Err(Error::new(ErrorKind::Privilege, format!("permission denied to set role \"{value}\""))
                .with_detail("A session keeps the role that it logged in with.")),
        }
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Names and values of which the client is told.
    pub fn reported(&self) -> Vec<(&'static str, String)> {
        SETTINGS.iter().filter(|s| s.is_reported).filter_map(|s| Some((s.name, self.get(s.name)?))).collect()
    }

    /// All settings with their descriptions, custom ones last.
    pub fn rows(&self) -> Vec<SettingRow> {
        let known = SETTINGS.iter().map(|spec| SettingRow {
            name: spec.name.to_owned(),
            value: self.get(spec.name).unwrap_or_default(),
            reset_value: self.start.get(&spec.name.to_lowercase()).cloned().unwrap_or(spec.default_value.to_owned()),
            default_value: spec.default_value.to_owned(),
            value_type: match spec.value_type {
                SettingType::Bool => "bool",
                SettingType::Integer(..) | SettingType::Milliseconds => "integer",
                SettingType::Enum(_) => "enum",
                _ => "string",
            },
            unit: (spec.value_type == SettingType::Milliseconds).then_some("ms"),
            allowed: match spec.value_type {
                SettingType::Enum(words) => Some(words),
                _ => None,
            },
            context: match spec.context {
                SettingContext::Internal => "internal",
                SettingContext::User => "user",
            },
            description: spec.description,
        });
        let custom = self.current.iter().filter(|(name, _)| name.contains('.')).map(|(name, value)| SettingRow {
            name: name.clone(),
            value: value.clone(),
            reset_value: self.start.get(name).cloned().unwrap_or_default(),
            default_value: String::new(),
            value_type: "string",
            unit: None,
            allowed: None,
            context: "user",
            description: "Set by the client; has no effect.",
        });
        known.chain(custom).collect()
    }

    // Transactions.

    /// A block begins.
    pub fn begin(&mut self) {
        self.block =
            Some(Block { at_begin: self.current.clone(), after_commit: self.current.clone(), savepoints: vec![] });
    }
    /// The block ends well: SET stays, SET LOCAL goes.
    pub fn commit(&mut self) {
        if let Some(block) = self.block.take() {
            self.current = block.after_commit;
            self.generation += 1;
        }
    }
    /// The block is undone.
    pub fn rollback(&mut self) {
        if let Some(block) = self.block.take() {
            self.current = block.at_begin;
            self.generation += 1;
        }
    }
    /// SAVEPOINT.
    pub fn savepoint(&mut self, name: &str) {
        if let Some(block) = &mut self.block {
            block.savepoints.push((name.to_owned(), self.current.clone(), block.after_commit.clone()));
        }
    }
    /// RELEASE SAVEPOINT.
    pub fn release(&mut self, name: &str) {
        if let Some(block) = &mut self.block
            && let Some(at) = block.savepoints.iter().rposition(|s| s.0 == name)
        {
            block.savepoints.truncate(at);
        }
    }
    /// ROLLBACK TO SAVEPOINT.
    pub fn rollback_to(&mut self, name: &str) {
        if let Some(block) = &mut self.block
            && let Some(at) = block.savepoints.iter().rposition(|s| s.0 == name)
        {
            block.savepoints.truncate(at + 1);
            let (_, current, after_commit) = block.savepoints[at].clone();
            self.current = current;
            block.after_commit = after_commit;
            self.generation += 1;
        }
    }
}

/// The setting of this name; None for a custom name (`a.b`), which anybody may invent.
fn find(name: &str) -> Result<Option<&'static SettingSpec>> {
    if let Some(spec) = SETTINGS.iter().find(|s| s.name.eq_ignore_ascii_case(name)) {
        return Ok(Some(spec));
    }
    match name.split_once('.') {
        Some((prefix, _)) if prefix.eq_ignore_ascii_case("datafusion") || prefix.eq_ignore_ascii_case("tidegate") => {
            Err(unknown(name))
        }
        Some((prefix, rest)) if !prefix.is_empty() && !rest.is_empty() => Ok(None),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    let hint = match nearest(&name.to_lowercase(), SETTINGS.iter().map(|s| s.name)) {
        Some(near) => format!("Perhaps you meant \"{near}\"."),
        None => "See: SHOW ALL;".to_owned(),
    };
    Error::new(ErrorKind::UndefinedObject, format!("unrecognized configuration parameter \"{name}\"")).with_hint(hint)
}

fn cannot_change(spec: &SettingSpec) -> Error {
    Error::new(ErrorKind::Remote("55P02".into()), format!("parameter \"{}\" cannot be changed", spec.name))
}

fn invalid(spec: &SettingSpec, value: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("invalid value for parameter \"{}\": \"{value}\"", spec.name))
}

/// The value in its canonical form, or 22023.
fn check(spec: &SettingSpec, value: &str) -> Result<String> {
    match spec.value_type {
        SettingType::Text => Ok(value.to_owned()),
        SettingType::Bool => {
            let on = parse_bool(value).ok_or_else(|| {
                Error::new(ErrorKind::InvalidValue, format!("parameter \"{}\" requires a Boolean value", spec.name))
            })?;
            if spec.name == "standard_conforming_strings" && !on {
                return Err(Error::unsupported("standard_conforming_strings = off")
                    .with_hint("Write E'..' for strings with backslash escapes."));
            }
            Ok(if on { "on" } else { "off" }.to_owned())
        }
        SettingType::Integer(low, high) => {
            let number: i64 = value.trim().parse().map_err(|_| invalid(spec, value))?;
            if !(low..=high).contains(&number) {
                let message =
                    format!("{number} is outside the valid range for parameter \"{}\" ({low} .. {high})", spec.name);
                return Err(Error::new(ErrorKind::InvalidValue, message));
            }
            Ok(number.to_string())
        }
        SettingType::Milliseconds => {
            let milliseconds = parse_milliseconds(value).ok_or_else(|| {
                invalid(spec, value)
                    .with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")
            })?;
            if milliseconds > i32::MAX as u64 {
                let message = format!(
                    "{milliseconds} ms is outside the valid range for parameter \"{}\" (0 ms .. {} ms)",
                    spec.name,
                    i32::MAX
                );
                return Err(Error::new(ErrorKind::InvalidValue, message));
            }
            Ok(print_milliseconds(milliseconds))
        }
        SettingType::Enum(words) => match words.iter().find(|w| w.eq_ignore_ascii_case(value)) {
            Some(word) => Ok((*word).to_owned()),
            // PostgreSQL has more levels under other names.
            None if spec.name == "client_min_messages" && value.eq_ignore_ascii_case("debug") => Ok("debug2".into()),
            None if spec.name == "client_min_messages" && value.eq_ignore_ascii_case("info") => Ok("notice".into()),
            None => Err(invalid(spec, value).with_hint(format!("Available values: {}.", words.join(", ")))),
        },
        SettingType::Encoding => {
            let name: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
            match name.as_str() {
                "utf8" | "unicode" => Ok("UTF8".to_owned()),
                _ => Err(invalid(spec, value)
                    .with_detail("Only the encoding UTF8 is supported.")
                    .with_hint("SET client_encoding = 'UTF8';")),
            }
        }
        SettingType::DateStyle => date_style(spec, value),
        SettingType::TimeZone => time_zone(spec, value),
        SettingType::SearchPath => Ok(value.to_owned()),
    }
}

/// `on` and its other spellings.
pub(crate) fn parse_bool(value: &str) -> Option<bool> {
    match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "t" | "tr" | "tru" | "yes" | "y" | "ye" | "1" => Some(true),
        "off" | "of" | "false" | "f" | "fa" | "fal" | "fals" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn parse_milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    Some((number * factor).round() as u64)
}

/// In the largest unit that divides it, as SHOW writes times.
fn print_milliseconds(milliseconds: u64) -> String {
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if milliseconds > 0 && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    if milliseconds == 0 { "0".to_owned() } else { format!("{milliseconds}ms") }
}

fn date_style(spec: &SettingSpec, value: &str) -> Result<String> {
    let mut order = "MDY";
    for word in value.split([',', ' ']).map(str::trim).filter(|w| !w.is_empty()) {
        match word.to_ascii_uppercase().as_str() {
            "ISO" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
            "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
            "YMD" => order = "YMD",
            "DEFAULT" => order = "MDY",
            "POSTGRES" | "SQL" | "GERMAN" => {
                return Err(
                    Error::unsupported(format!("the date style \"{word}\"")).with_hint("SET DateStyle = 'ISO, MDY';")
                );
            }
            _ => return Err(invalid(spec, value)),
        }
    }
    Ok(format!("ISO, {order}"))
}

/// The canonical name of a zone: an IANA name, or an offset as `+02:00`.
fn time_zone(spec: &SettingSpec, value: &str) -> Result<String> {
    let value = value.trim();
    if ["utc", "gmt", "z", "zulu", "default", "local"].contains(&value.to_ascii_lowercase().as_str()) {
        return Ok(if value.eq_ignore_ascii_case("gmt") { "GMT" } else { "UTC" }.to_owned());
    }
    // Hours east of UTC, as in SET TIME ZONE -7 and SET TIME ZONE 5.5.
    if let Ok(hours) = value.parse::<f64>()
        && (-14.0..=14.0).contains(&hours)
    {
        return Ok(offset_name((hours * 60.0).round() as i32));
    }
    // Offsets, also those of SET TIME ZONE INTERVAL.
    if value.starts_with(['+', '-']) {
        let (sign, rest) = value.split_at(1);
        let mut parts = rest.splitn(3, ':').map(|p| p.parse::<i32>());
        if let (Some(Ok(hours)), minutes) = (parts.next(), parts.next().unwrap_or(Ok(0)))
            && let Ok(minutes) = minutes
            && hours <= 14
            && minutes < 60
        {
            let offset = hours * 60 + minutes;
            return Ok(offset_name(if sign == "-" { -offset } else { offset }));
        }
        return Err(invalid(spec, value));
    }
    // `GMT-02:00` as Java's drivers write it: by POSIX a minus is east.
    if let Some(offset) = value.get(3..).filter(|_| ["GMT", "UTC"].iter().any(|p| value[..3].eq_ignore_ascii_case(p)))
        && offset.starts_with(['+', '-'])
    {
        let turned = if offset.starts_with('-') { "+" } else { "-" };
        return time_zone(spec, &format!("{turned}{}", &offset[1..]));
    }
    // Names are known in their own spelling; PostgreSQL takes any, so the usual ones are tried.
    let title = |separators: &[char]| {
        let mut start = true;
        value
            .chars()
            .map(|c| {
                let c = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
                start = separators.contains(&c);
                c
            })
            .collect::<String>()
    };
    let candidates = [value.to_owned(), title(&['/', '_', '-']), value.to_ascii_uppercase(), title(&['/'])];
    match candidates.into_iter().find(|name| name.parse::<Tz>().is_ok()) {
        Some(name) => Ok(name),
        None => Err(invalid(spec, value)
            .with_hint("Write an IANA name or an offset: SET TIME ZONE 'Europe/Berlin'; SET TIME ZONE '+02:00';")),
    }
}

fn offset_name(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_kept_in_one_form() {
        let mut settings = Settings::new();
        for (name, value, shown) in [
            ("statement_timeout", "1500", "1500ms"),
            ("statement_timeout", "2 min", "2min"),
            ("TIMEZONE", "europe/berlin", "Europe/Berlin"),
            ("timezone", "-7", "-07:00"),
            ("timezone", "5.5", "+05:30"),
            ("timezone", "GMT-02:00", "+02:00"),
            ("timezone", "UTC+3", "-03:00"),
            ("datestyle", "iso, dmy", "ISO, DMY"),
            ("client_encoding", "utf-8", "UTF8"),
            ("row_security", "TRUE", "on"),
            ("my.own", "x", "x"),
        ] {
            settings.set(name, value, false).unwrap();
            assert_eq!(settings.get(name).as_deref(), Some(shown), "{name}");
        }
        assert_eq!(settings.duration("statement_timeout"), Some(Duration::from_secs(120)));
        assert_eq!(settings.duration("lock_timeout"), None);
        for (name, value, sqlstate) in [
            ("statement_timout", "1", "42704"),
            ("statement_timeout", "soon", "22023"),
            ("client_encoding", "LATIN1", "22023"),
            ("timezone", "Mars/Olympus", "22023"),
            ("timezone", "ÄÖÜ", "22023"),
            ("server_version", "9", "55P02"),
            ("datafusion.execution.batch_size", "1", "42704"),
            ("extra_float_digits", "9", "22023"),
            ("role", "boss", "42501"),
        ] {
            assert_eq!(settings.set(name, value, false).unwrap_err().sqlstate(), sqlstate, "{name}");
        }
        let error = settings.set("statement_timout", "1", false).unwrap_err();
        assert_eq!(error.hint(), Some("Perhaps you meant \"statement_timeout\"."));
    }

    #[test]
    fn values_follow_transactions() {
        let mut settings = Settings::new();
        settings.set("application_name", "a", false).unwrap();
        settings.begin();
        settings.set("application_name", "b", true).unwrap();
        settings.set("lock_timeout", "1s", false).unwrap();
        assert_eq!(settings.get("application_name").as_deref(), Some("b"));
        settings.savepoint("s");
        settings.set("lock_timeout", "2s", false).unwrap();
        settings.rollback_to("s");
        assert_eq!(settings.get("lock_timeout").as_deref(), Some("1s"));
        settings.commit();
        assert_eq!(settings.get("application_name").as_deref(), Some("a"));
        assert_eq!(settings.get("lock_timeout").as_deref(), Some("1s"));
        settings.begin();
        settings.set("lock_timeout", "9s", false).unwrap();
        settings.rollback();
        assert_eq!(settings.get("lock_timeout").as_deref(), Some("1s"));
        settings.reset_all();
        assert_eq!(settings.get("lock_timeout").as_deref(), Some("0"));
    }

    #[test]
    fn reset_goes_back_to_what_the_client_started_with() {
        let mut settings = Settings::new();
        settings.start_with("application_name", "psql").unwrap();
        settings.set("application_name", "other", false).unwrap();
        settings.reset("application_name", false).unwrap();
        assert_eq!(settings.get("application_name").as_deref(), Some("psql"));
        assert!(settings.reset("nothing", false).is_err());
    }
}
