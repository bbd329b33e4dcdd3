//! Options: what WITH may hold. Every option is an [`OptionSpec`], from which checks, hints,
//! `tidegate.options` and the reference documentation are made.

use crate::error::{Error, ErrorKind, Result, nearest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The type of an option's value. A value is always acceptable as a string literal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueType {
    /// Any text.
    Text,
    /// A whole number between the bounds, both inclusive.
    Int { min: i64, max: i64 },
    /// A real number between the bounds.
    Float { min: f64, max: f64 },
    /// true or false.
    Bool,
    /// A number with a unit (`30s`, `5 min`, `2h`), between the bounds in milliseconds.
    Duration { min_ms: u64, max_ms: u64 },
    /// Bytes with a unit (`64MiB`), between the bounds.
    Size { min: u64, max: u64 },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A list of texts.
    List,
}

impl ValueType {
    /// The word shown in `tidegate.options.value_type` and in errors.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int { .. } => "int",
            Self::Float { .. } => "float",
            Self::Bool => "bool",
            Self::Duration { .. } => "duration",
            Self::Size { .. } => "size",
            Self::Enum(_) => "enum",
            Self::List => "list",
        }
    }
}

/// When a change of the option takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alterable {
    /// At once.
    Online,
    /// At the next start of the jobs that use it.
    Restart,
    /// Never: it is fixed at creation.
    Never,
}

impl Alterable {
    /// The word of `tidegate.options.alterable`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Restart => "restart",
            Self::Never => "never",
        }
    }
}

/// One option that a statement's WITH accepts.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    /// snake_case name.
    pub name: &'static str,
    /// Type and bounds.
    pub value_type: ValueType,
    /// The default as text; None when there is none.
    pub default_value: Option<&'static str>,
    /// Whether the statement fails without it.
    pub is_required: bool,
    /// Whether its value is kept encrypted and never shown.
    pub is_secret: bool,
    /// When an ALTER takes effect.
    pub alterable: Alterable,
    /// One sentence for the reference.
    pub description: &'static str,
}

impl OptionSpec {
    /// An optional, open option that takes effect at the next start.
    pub const fn new(name: &'static str, value_type: ValueType, description: &'static str) -> Self {
        Self {
            name,
            value_type,
            default_value: None,
            is_required: false,
            is_secret: false,
            alterable: Alterable::Restart,
            description,
        }
    }
    /// With a default.
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default_value = Some(value);
        self
    }
    /// Required.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }
    /// Secret.
    pub const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }
    /// With another time of effect.
    pub const fn alterable(mut self, alterable: Alterable) -> Self {
        self.alterable = alterable;
        self
    }
}

/// The value of one option, as stored. A secret's value is never here, only what refers to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionValue {
    /// The canonical value: text.
    Text(String),
    /// A list.
    List(Vec<String>),
    /// A named secret (`SECRET name`), by id so that a rename does not break it.
    Secret(i64),
}

/// Options by name.
pub type OptionMap = BTreeMap<String, OptionValue>;

/// Checks names and values against the specs: unknown names (HV00D with the nearest name), ill-typed
/// or out-of-range values (22023), and, when `require` is set, missing required options.
/// `of_what` ends the message, for example `source type "postgres"`; `see` is a statement that lists them.
pub fn check_options(options: &OptionMap, specs: &[OptionSpec], require: bool, of_what: &str, see: &str) -> Result<()> {
    for (name, value) in options {
        let Some(spec) = specs.iter().find(|spec| spec.name == name) else {
            let mut hint = String::new();
            if let Some(near) = nearest(name, specs.iter().map(|s| s.name)) {
                hint = format!("Perhaps you meant \"{near}\". ");
            }
            return Err(Error::new(ErrorKind::UnknownOption, format!("unrecognized option \"{name}\" for {of_what}"))
                .with_hint(format!("{hint}See: {see}")));
        };
        match value {
            OptionValue::Text(text) => check_value(spec, text)?,
            OptionValue::List(_) if spec.value_type != ValueType::List => {
                return Err(bad_value(spec, "(..)", "Give one value, not a list."));
            }
            OptionValue::List(_) => {}
            OptionValue::Secret(_) if !spec.is_secret => {
                return Err(Error::new(ErrorKind::InvalidValue, format!("option \"{name}\" does not take a secret"))
                    .with_hint("Give the value as a string literal."));
            }
            OptionValue::Secret(_) => {}
        }
    }
    if require && let Some(missing) = specs.iter().find(|s| s.is_required && !options.contains_key(s.name)) {
        return Err(Error::new(
            ErrorKind::InvalidValue,
            format!("option \"{}\" is required for {of_what}", missing.name),
        )
        .with_hint(format!("Add {} = '..' to WITH. See: {see}", missing.name)));
    }
    Ok(())
}

fn bad_value(spec: &OptionSpec, value: &str, hint: impl Into<String>) -> Error {
    let shown = if spec.is_secret { "***" } else { value };
    Error::new(
        ErrorKind::InvalidValue,
        format!("invalid value \"{shown}\" for option \"{}\" of type {}", spec.name, spec.value_type.word()),
    )
    .with_hint(hint)
}

/// Checks one text value against its spec.
pub fn check_value(spec: &OptionSpec, text: &str) -> Result<()> {
    match spec.value_type {
        ValueType::Text | ValueType::List => Ok(()),
        ValueType::Int { min, max } => match text.trim().parse::<i64>() {
            Ok(n) if (min..=max).contains(&n) => Ok(()),
            _ => Err(bad_value(spec, text, format!("Use a whole number between {min} and {max}."))),
        },
        ValueType::Float { min, max } => match text.trim().parse::<f64>() {
            Ok(n) if n >= min && n <= max => Ok(()),
            _ => Err(bad_value(spec, text, format!("Use a number between {min} and {max}."))),
        },
        ValueType::Bool => parse_bool(text).map(|_| ()).ok_or_else(|| bad_value(spec, text, "Use true or false.")),
        ValueType::Duration { min_ms, max_ms } => match parse_duration(text) {
            Some(d) if (min_ms as u128..=max_ms as u128).contains(&d.as_millis()) => Ok(()),
            _ => Err(bad_value(
                spec,
                text,
                format!(
                    "Use a number and unit between {} and {}, for example '30s'.",
                    format_duration(min_ms),
                    format_duration(max_ms)
                ),
            )),
        },
        ValueType::Size { min, max } => match parse_size(text) {
            Some(n) if (min..=max).contains(&n) => Ok(()),
            _ => Err(bad_value(
                spec,
                text,
                format!(
                    "Use a number and unit between {} and {}, for example '64MiB'.",
                    format_size(min),
                    format_size(max)
                ),
            )),
        },
        ValueType::Enum(words) => {
            if words.iter().any(|w| w.eq_ignore_ascii_case(text)) {
                return Ok(());
            }
            let near =
                nearest(text, words.iter().copied()).map(|n| format!("Perhaps you meant '{n}'. ")).unwrap_or_default();
            Err(bad_value(spec, text, format!("{near}Use one of: {}.", words.join(", "))))
        }
    }
}

/// true, false, on, off, yes, no, 1, 0.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" | "t" => Some(true),
        "false" | "off" | "no" | "0" | "f" => Some(false),
        _ => None,
    }
}

/// `500ms`, `30s`, `5 min`, `2h`, `7 days`; a bare number is milliseconds as in PostgreSQL's timeouts.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().ok()?;
    let ms = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "ms" => 1.0,
        "s" | "sec" | "second" | "seconds" => 1e3,
        "min" | "m" | "minute" | "minutes" => 6e4,
        "h" | "hour" | "hours" => 3.6e6,
        "d" | "day" | "days" => 8.64e7,
        _ => return None,
    };
    let total = number * ms;
    (total.is_finite() && total < 1e15).then(|| Duration::from_micros((total * 1e3).round() as u64))
}

/// `1024`, `64kB`, `64MiB`, `2GiB`; kB, MB and GB are powers of 1024 as in PostgreSQL.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let factor: u64 = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "kib" | "k" => 1 << 10,
        "mb" | "mib" | "m" => 1 << 20,
        "gb" | "gib" | "g" => 1 << 30,
        "tb" | "tib" | "t" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The shortest exact form of a number of milliseconds.
pub fn format_duration(ms: u64) -> String {
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

/// The shortest exact form of a number of bytes.
pub fn format_size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("kB", 10)] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[OptionSpec] = &[
        OptionSpec::new("host", ValueType::Text, "Host.").required(),
        OptionSpec::new("port", ValueType::Int { min: 1, max: 65535 }, "Port.").default("5432"),
        OptionSpec::new("timeout", ValueType::Duration { min_ms: 1000, max_ms: 3_600_000 }, "Timeout."),
    ];

    fn map(pairs: &[(&str, &str)]) -> OptionMap {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), OptionValue::Text((*v).to_owned()))).collect()
    }

    #[test]
    fn an_unknown_option_names_its_neighbour() {
        let e = check_options(&map(&[("hsot", "x")]), SPECS, true, "source type \"postgres\"", "SHOW;").unwrap_err();
        assert_eq!(e.sqlstate(), "HV00D");
        assert!(e.hint().unwrap().starts_with("Perhaps you meant \"host\""));
    }

    #[test]
    fn bounds_and_types_are_kept() {
        for (name, value) in [("port", "0"), ("port", "x"), ("timeout", "fast"), ("timeout", "2 days")] {
            let e = check_options(&map(&[("host", "h"), (name, value)]), SPECS, true, "t", "s").unwrap_err();
            assert_eq!(e.sqlstate(), "22023", "{name}={value}");
        }
        let e = check_options(&map(&[]), SPECS, true, "t", "s").unwrap_err();
        assert_eq!(e.message(), "option \"host\" is required for t");
        check_options(&map(&[("host", "h"), ("port", "1"), ("timeout", "5 min")]), SPECS, true, "t", "s").unwrap();
    }

    #[test]
    fn units_are_read_and_written() {
        assert_eq!(parse_duration("5 min").unwrap().as_secs(), 300);
        assert_eq!(parse_size("64MiB"), Some(64 << 20));
        assert_eq!(format_size(64 << 20), "64MiB");
        assert_eq!(format_duration(300_000), "5min");
    }
}
