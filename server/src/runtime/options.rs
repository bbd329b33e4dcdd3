//! The options of jobs and sink tables that are built, and the names of those that are not.

use catalog::definition::Job;
use catalog::option::{Alterable, OptionSpec, OptionValue, ValueType, check_options, parse_bool};
use catalog::{Error, OptionMap, Result};

/// Options of CREATE SYNC JOB.
pub const SYNC_JOB_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("autostart", ValueType::Bool, "Whether the job starts at the COMMIT of its creation.")
        .default("true")
        .alterable(Alterable::Never),
    OptionSpec::new(
        "snapshot_tables_in_parallel",
        ValueType::Int { min: 1, max: 64 },
        "Tables that are loaded at the same time.",
    )
    .default("2"),
    OptionSpec::new(
        "read_parallelism",
        ValueType::Int { min: 1, max: 64 },
        "Readers of one table; a table is cut into at most this many splits.",
    )
    .default("2"),
    OptionSpec::new(
        "split_rows",
        ValueType::Int { min: 1000, max: 1_000_000_000 },
        "A split is not made smaller than this many rows.",
    )
    .default("100000"),
];

/// Options of CREATE SINK TABLE, also usable in CREATE SYNC JOB for the tables that the job creates.
pub const SINK_TABLE_OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("auto_create", ValueType::Bool, "Whether a table that is absent at the sink is created there.")
        .default("true"),
    OptionSpec::new(
        "on_exists",
        ValueType::Enum(&["use", "error"]),
        "What to do when the table to be created is there already.",
    )
    .default("use"),
];

/// Specified in the dialect and not built yet: these answer 0A000 by name.
const NOT_BUILT: &[&str] = &[
    "checkpoint_interval",
    "checkpoint_timeout",
    "checkpoints_retained",
    "stall_timeout",
    "max_lag_warn",
    "parallelism",
    "memory_limit",
    "restart_strategy",
    "restart_max_attempts",
    "restart_delay",
    "restart_max_delay",
    "restart_multiplier",
    "restart_reset_after",
    "restart_window",
    "split_column",
    "fetch_size",
    "watermark_lag",
    "watermark_inclusive",
    "consistent_snapshot",
    "write_parallelism",
    "batch_rows",
    "batch_bytes",
    "flush_interval",
    "on_conflict",
    "pre_sql",
    "post_sql",
    "commit_mode",
    "consistency",
    "rate_limit_rows",
    "rate_limit_bytes",
    "window",
    "create_remote",
    "case",
    "varchar_length_factor",
    "engine",
];

/// Checks the options of a job or a sink table.
pub fn check(options: &OptionMap, specs: &[&[OptionSpec]], of_what: &str, see: &str) -> Result<()> {
    let known: Vec<OptionSpec> = specs.iter().flat_map(|s| s.iter().copied()).collect();
    if let Some(name) = options.keys().find(|n| NOT_BUILT.contains(&n.as_str()) && !known.iter().any(|k| k.name == **n))
    {
        return Err(Error::unsupported(format!("option \"{name}\" for {of_what}")));
    }
    check_options(options, &known, true, of_what, see)
}

/// The value of an option, or its default.
pub fn text<'a>(options: &'a OptionMap, name: &str) -> Option<&'a str> {
    match options.get(name) {
        Some(OptionValue::Text(text)) => Some(text),
        Some(OptionValue::List(_) | OptionValue::Secret(_)) => None,
        None => SYNC_JOB_OPTIONS.iter().chain(SINK_TABLE_OPTIONS).find(|s| s.name == name)?.default_value,
    }
}

/// A whole number; options are checked when they are set, so a number is there.
pub fn number(job: &Job, name: &str) -> usize {
    text(&job.options, name).and_then(|t| t.trim().parse().ok()).unwrap_or(1)
}

/// A boolean.
pub fn boolean(options: &OptionMap, name: &str) -> bool {
    text(options, name).and_then(parse_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> OptionMap {
        OptionMap::from([(name.to_owned(), OptionValue::Text(value.to_owned()))])
    }

    #[test]
    fn what_is_specified_and_not_built_is_not_unknown() {
        let check = |name: &str| check(&one(name, "1"), &[SYNC_JOB_OPTIONS], "a sync job", "s").unwrap_err();
        assert_eq!(check("batch_rows").sqlstate(), "0A000");
        assert_eq!(check("batch_row").sqlstate(), "HV00D");
    }

    #[test]
    fn every_default_is_a_value_that_its_own_option_takes() {
        for spec in SYNC_JOB_OPTIONS.iter().chain(SINK_TABLE_OPTIONS) {
            if let Some(default) = spec.default_value {
                catalog::option::check_value(spec, default).unwrap();
            }
        }
    }
}
