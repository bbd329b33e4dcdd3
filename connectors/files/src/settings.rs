//! The options of a files source, resolved once.

use catalog::option::{Alterable, OptionSpec, ValueType};
use catalog::{Error, ErrorKind, Result};
use connector_api::SourceConfig;
use std::path::PathBuf;

/// A file format, known by the file's extension when reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values; NULL is an empty field, the empty text is `""`.
    Csv,
    /// JSON lines: one object a line.
    Json,
}

impl Format {
    /// The word of the option.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
    /// The extension of files that are written.
    pub fn extension(&self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "jsonl",
        }
    }
    /// The format of a file by its name; None for other files and for hidden ones.
    pub fn of_file(name: &str) -> Option<Self> {
        if name.starts_with(['.', '_']) {
            return None;
        }
        match name.rsplit_once('.')?.1 {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// How Parquet pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// zstd, level 1.
    Zstd,
    /// snappy.
    Snappy,
    /// Not at all; the only choice for CSV and JSON lines.
    None,
}

impl Compression {
    /// The word of the option.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::None => "none",
        }
    }
}

/// Rows that type inference looks at unless the option says otherwise.
const INFER_ROWS: u64 = 1000;

/// The options, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How messages name the source.
    pub label: String,
    /// The folder, absolute.
    pub root: PathBuf,
    /// Format of files that are written.
    pub format: Format,
    /// Compression of files that are written.
    pub compression: Compression,
    /// Whether CSV files begin with the column names.
    pub csv_header: bool,
    /// The byte between CSV fields.
    pub csv_delimiter: u8,
    /// Most rows of a Parquet row group.
    pub row_group_rows: usize,
    /// Most rows of a file; None for one file per write.
    pub file_rows_max: Option<u64>,
    /// Whether columns of CSV and JSON files that tidegate did not write get types from a sample.
    pub infer_types: bool,
    /// Rows in that sample.
    pub infer_rows: usize,
}

/// The options of `CREATE SOURCE .. TYPE files`.
pub const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("path", ValueType::Text, "The folder; a relative path starts at the gateway's working directory.")
        .required()
        .alterable(Alterable::Restart),
    OptionSpec::new(
        "format",
        ValueType::Enum(&["parquet", "csv", "json"]),
        "Format of files that are written (json is JSON lines); files are read by their extension.",
    )
    .default("parquet"),
    OptionSpec::new(
        "compression",
        ValueType::Enum(&["zstd", "snappy", "none"]),
        "Compression of Parquet files that are written: zstd unless given. CSV and JSON are not compressed.",
    ),
    OptionSpec::new("csv_header", ValueType::Bool, "Whether CSV files begin with the column names.").default("true"),
    OptionSpec::new("csv_delimiter", ValueType::Text, "The one ASCII character between CSV fields.").default(","),
    OptionSpec::new(
        "row_group_rows",
        ValueType::Int { min: 1000, max: 10_000_000 },
        "Most rows of a Parquet row group; a group is also closed when it holds 24 MiB of encoded data.",
    )
    .default("131072"),
    OptionSpec::new(
        "file_rows_max",
        ValueType::Int { min: 1000, max: i64::MAX },
        "Most rows of one file; without it a write makes one file. Appending to a table that has rows always makes one.",
    ),
    OptionSpec::new(
        "infer_types",
        ValueType::Bool,
        "Whether CSV and JSON files of other programs get column types from a sample; else every column is text.",
    )
    .default("true"),
    OptionSpec::new("infer_rows", ValueType::Int { min: 1, max: 1_000_000 }, "Rows in that sample.").default("1000"),
];

fn bad_value(option: &str, value: &str, hint: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("invalid value \"{value}\" for option \"{option}\"")).with_hint(hint)
}

fn positive(config: &SourceConfig, option: &str) -> Result<Option<u64>> {
    match config.text(option) {
        None => Ok(None),
        Some(text) => match text.trim().parse::<u64>() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(bad_value(option, text, "Use a whole number above 0.")),
        },
    }
}

fn boolean(config: &SourceConfig, option: &str, default: bool) -> Result<bool> {
    match config.text(option) {
        None => Ok(default),
        Some(text) => catalog::option::parse_bool(text).ok_or_else(|| bad_value(option, text, "Use true or false.")),
    }
}

impl Settings {
    /// Resolves and checks the options. Touches no file.
    pub fn new(config: &SourceConfig) -> Result<Self> {
        let path = config.required("path")?;
        if path.trim().is_empty() || path.contains('\0') {
            return Err(bad_value("path", &path.replace('\0', "\\0"), "Give the path of a folder."));
        }
        let root = std::path::absolute(path)
            .map_err(|error| bad_value("path", path, "Give an absolute path.").with_source(error))?;
        let format = match config.text("format").unwrap_or("parquet").to_ascii_lowercase().as_str() {
            "parquet" => Format::Parquet,
            "csv" => Format::Csv,
            "json" => Format::Json,
            word => return Err(bad_value("format", word, "Use one of: parquet, csv, json.")),
        };
        let compression = match config.text("compression").map(str::to_ascii_lowercase).as_deref() {
            None if format == Format::Parquet => Compression::Zstd,
            None => Compression::None,
            Some("none") => Compression::None,
            Some(word @ ("zstd" | "snappy")) if format != Format::Parquet => {
                return Err(Error::unsupported(format!("compression '{word}' with format '{}'", format.word()))
                    .with_hint("Leave out the option compression, or use format = 'parquet'."));
            }
            Some("zstd") => Compression::Zstd,
            Some("snappy") => Compression::Snappy,
            Some(word) => return Err(bad_value("compression", word, "Use one of: zstd, snappy, none.")),
        };
        let delimiter = config.text("csv_delimiter").unwrap_or(",");
        let csv_delimiter = match delimiter.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => *byte,
            _ => {
                let hint = "Use one ASCII character other than a quote or a line end.";
                return Err(bad_value("csv_delimiter", delimiter, hint));
            }
        };
        Ok(Self {
            label: config.label(),
            root,
            format,
            compression,
            csv_header: boolean(config, "csv_header", true)?,
            csv_delimiter,
            row_group_rows: positive(config, "row_group_rows")?.unwrap_or(131_072) as usize,
            file_rows_max: positive(config, "file_rows_max")?,
            infer_types: boolean(config, "infer_types", true)?,
            infer_rows: positive(config, "infer_rows")?.unwrap_or(INFER_ROWS) as usize,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use connector_api::ConfigValue;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    pub(crate) fn config(pairs: &[(&str, &str)]) -> SourceConfig {
        let options: BTreeMap<String, ConfigValue> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), ConfigValue::Text((*v).to_owned()))).collect();
        SourceConfig {
            name: "lake".to_owned(),
            source_id: 1,
            source_type: "files".to_owned(),
            options: Arc::new(options),
            secret_labels: Arc::default(),
        }
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        for (pairs, sqlstate) in [
            (vec![], "22023"),
            (vec![("path", " ")], "22023"),
            (vec![("path", "a\0b")], "22023"),
            (vec![("path", "/x"), ("format", "orc")], "22023"),
            (vec![("path", "/x"), ("format", "csv"), ("compression", "zstd")], "0A000"),
            (vec![("path", "/x"), ("csv_delimiter", "\"")], "22023"),
            (vec![("path", "/x"), ("csv_delimiter", "ab")], "22023"),
            (vec![("path", "/x"), ("row_group_rows", "0")], "22023"),
        ] {
            assert_eq!(Settings::new(&config(&pairs)).unwrap_err().sqlstate(), sqlstate, "{pairs:?}");
        }
        let settings = Settings::new(&config(&[("path", "data")])).unwrap();
        assert!(settings.root.is_absolute());
        assert_eq!(settings.compression, Compression::Zstd);
    }
}
