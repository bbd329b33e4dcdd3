//! Logs: structured, on stderr, quiet by default.
//!
//! Only events of the `tracing` crate are shown. The `log` crate stays unconnected on purpose: the
//! drivers below write whole statements there, and statements may hold secrets.

use super::args::{CommonArgs, LogFormat};
use catalog::{Error, ErrorKind, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Levels that may be given alone.
const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// Starts logging. Called once, before anything logs.
pub(super) fn start(args: &CommonArgs) -> Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&args.log)?).with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| Error::internal("logging was started twice").with_source(error))
}

/// A level alone is that of our own crates; libraries stay at warnings.
fn filter(text: &str) -> Result<EnvFilter> {
    let word = text.trim().to_ascii_lowercase();
    let directives = match word.as_str() {
        "off" | "error" | "warn" => word.clone(),
        "info" | "debug" | "trace" => [
            "tidegate",
            "tidegate_catalog",
            "tidegate_connector_api",
            "tidegate_connector_postgres",
            "tidegate_connector_files",
            "tidegate_connector_sample",
            "tidegate_planner",
        ]
        .iter()
        .fold("warn".to_owned(), |list, target| format!("{list},{target}={word}")),
        _ => text.trim().to_owned(),
    };
    // A single word that is no level would otherwise pass for the name of a module.
    let is_list = directives.contains(['=', ',']);
    EnvFilter::builder().parse(&directives).ok().filter(|_| is_list || LEVELS.contains(&word.as_str())).ok_or_else(
        || {
            let near = catalog::error::nearest(&word, LEVELS.iter().copied())
                .map(|n| format!("Perhaps you meant {n}. "))
                .unwrap_or_default();
            Error::new(ErrorKind::InvalidValue, format!("invalid value \"{text}\" for option \"log\""))
                .with_hint(format!("{near}Use one of: {}; or a list such as warn,tidegate=debug.", LEVELS.join(", ")))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_lists_are_read_and_other_words_are_refused() {
        for good in ["off", "WARN", "debug", "warn,tidegate=debug", "tidegate::wire=trace"] {
            filter(good).unwrap_or_else(|e| panic!("{good}: {e}"));
        }
        for bad in ["warning", "loud", "", "tidegate=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
        assert!(filter("debgu").unwrap_err().hint().unwrap().starts_with("Perhaps you meant debug."));
    }
}
