//! The face of the connector: its options, its capabilities, and the way to its parts.

use crate::tls::TLS_WORDS;
use async_trait::async_trait;
use catalog::option::{Alterable, OptionSpec, ValueType};
use catalog::{Error, ErrorKind, Result};
use connector_api::{
    Capabilities, Check, CheckRequest, Connector, ConnectorInfo, DiscoverRequest, Sink, Source, SourceConfig,
    TableSchema,
};
use std::sync::Arc;

/// PostgreSQL, in both directions.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostgresConnector;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("host", ValueType::Text, "Host name or address of the server, or the folder of its Unix socket.")
        .required(),
    OptionSpec::new("port", ValueType::Int { min: 1, max: 65_535 }, "TCP port of the server.").default("5432"),
    OptionSpec::new("database", ValueType::Text, "Database to connect to; the user's name when it is not given."),
    OptionSpec::new("user", ValueType::Text, "Role to log in as.").required(),
    OptionSpec::new("password", ValueType::Text, "Password of the role; not needed where the server trusts the client.")
        .secret(),
    OptionSpec::new(
        "tls",
        ValueType::Enum(TLS_WORDS),
        "Encryption: disable, prefer (if the server has it), require, verify_ca (and check its certificate), verify_full (and its name).",
    )
    .default("prefer"),
    OptionSpec::new(
        "tls_ca",
        ValueType::Text,
        "Certificate authority that the server's certificate is checked against, as PEM text or a file path; the system's own when it is not given.",
    ),
    OptionSpec::new(
        "connect_timeout",
        ValueType::Duration { min_ms: 100, max_ms: 600_000 },
        "Longest time for connecting and logging in together.",
    )
    .default("10s")
    .alterable(Alterable::Online),
    OptionSpec::new(
        "query_timeout",
        ValueType::Duration { min_ms: 0, max_ms: 604_800_000 },
        "Longest time for one statement on the server (its statement_timeout), the reading of a split included; 0 is no limit.",
    )
    .default("0"),
    OptionSpec::new(
        "application_name",
        ValueType::Text,
        "Name of our sessions in the server's pg_stat_activity.",
    )
    .default("tidegate"),
    OptionSpec::new(
        "max_connections",
        ValueType::Int { min: 1, max: 1_000 },
        "Most connections that one run or statement opens to the server at once.",
    )
    .default("8"),
    OptionSpec::new(
        "publication",
        ValueType::Text,
        "Publication that change capture uses or creates; accepted now, used by the release that brings change capture.",
    ),
    OptionSpec::new(
        "slot_prefix",
        ValueType::Text,
        "First characters of the names of replication slots that change capture makes; accepted now, used by the release that brings change capture.",
    )
    .default("tidegate_"),
    OptionSpec::new(
        "slot_failover",
        ValueType::Bool,
        "Whether replication slots are kept on standby servers too (PostgreSQL 17 and newer); accepted now, used by the release that brings change capture.",
    )
    .default("false"),
    OptionSpec::new(
        "heartbeat_interval",
        ValueType::Duration { min_ms: 1_000, max_ms: 3_600_000 },
        "How often change capture writes a heartbeat so that an idle database does not hold back the log; accepted now, used by the release that brings change capture.",
    )
    .default("10s"),
];

#[async_trait]
impl Connector for PostgresConnector {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Capabilities { read: true, capture: false, write: true, ddl: true },
            positions: &["lsn"],
            fixed_schemas: &[],
            description: "PostgreSQL 14 to 18, as source and as sink.",
        }
    }

    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }

    fn check_options(&self, config: &SourceConfig) -> Result<()> {
        for name in ["host", "user", "database", "password", "application_name"] {
            let Some(value) = config.text(name) else { continue };
            if value.contains('\0') {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    format!("option \"{name}\" of {} contains a zero byte", config.label()),
                ));
            }
            if value.is_empty() && matches!(name, "host" | "user") {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    format!("option \"{name}\" of {} is empty", config.label()),
                ));
            }
        }
        let is_verified = config
            .text("tls")
            .is_some_and(|word| word.eq_ignore_ascii_case("verify_ca") || word.eq_ignore_ascii_case("verify_full"));
        if is_verified && config.text("host").is_some_and(|host| host.starts_with('/')) {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("option \"tls\" of {} cannot be verified over a Unix socket", config.label()),
            )
            .with_hint("Set tls = 'disable', or give a host name."));
        }
        let is_clear = config.text("tls").is_some_and(|word| word.eq_ignore_ascii_case("disable"));
        if is_clear && config.text("tls_ca").is_some_and(|ca| !ca.trim().is_empty()) {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("options \"tls\" and \"tls_ca\" of {} exclude each other: tls is disable", config.label()),
            )
            .with_hint("Set tls = 'verify_full', or leave tls_ca out."));
        }
        if let Some(prefix) = config.text("slot_prefix") {
            let is_slot_name = prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !is_slot_name || prefix.len() > 30 {
                return Err(Error::new(
                    ErrorKind::InvalidValue,
                    format!("invalid value \"{prefix}\" for option \"slot_prefix\" of {}", config.label()),
                )
                .with_hint("Use at most 30 lower-case letters, digits and underscores, as slot names must be."));
            }
        }
        // Text is checked here; a file is read when a connection is made.
        if config.text("tls_ca").is_some_and(|ca| ca.contains("-----BEGIN")) {
            crate::tls::Tls::new(config)?;
        }
        Ok(())
    }

    async fn check(&self, config: &SourceConfig, request: &CheckRequest) -> Vec<Check> {
        crate::check::check(config, request).await
    }

    async fn discover(&self, config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>> {
        crate::discover::discover(config, request).await
    }

    fn source(&self, config: &SourceConfig) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(crate::snapshot::PostgresSource::new(config.clone())))
    }

    fn sink(&self, config: &SourceConfig) -> Result<Arc<dyn Sink>> {
        crate::sink::open_sink(config)
    }
}
