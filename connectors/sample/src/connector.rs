//! The face of the connector: options, checks and discovery. Generation is in [`crate::snapshot`].

use crate::snapshot::SampleSource;
use crate::table::{SCHEMA, Scale, Table, TextPoolSize};
use async_trait::async_trait;
use catalog::option::{Alterable, OptionSpec, ValueType};
use catalog::{CheckStatus, Error, ErrorKind, Result};
use connector_api::{
    Capabilities, Check, CheckRequest, Connector, ConnectorInfo, DiscoverRequest, Purpose, Sink, Source, SourceConfig,
    TableSchema,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The source type `sample`.
#[derive(Debug, Default, Clone, Copy)]
pub struct SampleConnector;

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new(
        "scale_factor",
        ValueType::Float { min: 0.0001, max: 1000.0 },
        "TPC-H scale factor: 1 makes 6 001 215 line items and 1 500 000 orders.",
    )
    .default("0.01")
    .alterable(Alterable::Restart),
    OptionSpec::new(
        "text_pool",
        ValueType::Enum(&["small", "full"]),
        "Where comments are cut from: small (8 MiB of text, ready at once) or full (300 MiB, kept in memory; comments \
         are then those of dbgen to the letter).",
    )
    .default("small")
    .alterable(Alterable::Restart),
];

/// The scale that the options ask for; also refuses what an inline definition may have got wrong.
pub(crate) fn scale(config: &SourceConfig) -> Result<Scale> {
    let text = config.text("scale_factor").unwrap_or("0.01");
    let factor = match text.trim().parse::<f64>() {
        Ok(factor) if (0.0001..=1000.0).contains(&factor) => factor,
        _ => {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("invalid value \"{text}\" for option \"scale_factor\" of type float"),
            )
            .with_hint("Use a number between 0.0001 and 1000."));
        }
    };
    let pool = match config.text("text_pool").unwrap_or("small") {
        word if word.eq_ignore_ascii_case("small") => TextPoolSize::Small,
        word if word.eq_ignore_ascii_case("full") => TextPoolSize::Full,
        word => {
            return Err(Error::new(
                ErrorKind::InvalidValue,
                format!("invalid value \"{word}\" for option \"text_pool\" of type enum"),
            )
            .with_hint("Use one of: small, full."));
        }
    };
    Ok(Scale { factor, pool })
}

#[async_trait]
impl Connector for SampleConnector {
    fn name(&self) -> &'static str {
        "sample"
    }
    fn info(&self) -> ConnectorInfo {
        ConnectorInfo {
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Capabilities { read: true, capture: false, write: false, ddl: false },
            positions: &["snapshot"],
            fixed_schemas: &[SCHEMA],
            description: "Generated TPC-H tables for a first run and for benchmarks.",
        }
    }
    fn options(&self) -> &'static [OptionSpec] {
        OPTIONS
    }
    fn check_options(&self, config: &SourceConfig) -> Result<()> {
        scale(config).map(|_| ())
    }
    async fn check(&self, config: &SourceConfig, request: &CheckRequest) -> Vec<Check> {
        let started = Instant::now();
        let row = |name: &str, status, message: String, hint: Option<String>, elapsed: Duration| Check {
            name: name.to_owned(),
            status,
            message,
            hint,
            elapsed,
        };
        let mut checks = vec![];
        let scale = match scale(config) {
            Ok(scale) => scale,
            Err(error) => {
                let hint = error.hint().map(str::to_owned);
                return vec![row("options", CheckStatus::Fail, error.message().to_owned(), hint, started.elapsed())];
            }
        };
        let purposes: &[Purpose] =
            if request.purposes.is_empty() { &[Purpose::Read] } else { request.purposes.as_slice() };
        for purpose in purposes {
            let (name, word) = match purpose {
                Purpose::Read => {
                    let rows: u64 = Table::ALL.iter().map(|table| table.rows(scale).0).sum();
                    let message =
                        format!("{} tables at scale factor {}, about {rows} rows", Table::ALL.len(), scale.factor);
                    checks.push(row("read", CheckStatus::Pass, message, None, started.elapsed()));
                    continue;
                }
                Purpose::Capture => ("capture", "has no changes to capture"),
                Purpose::Write => ("write", "cannot be written"),
                Purpose::Ddl => ("ddl", "cannot hold new tables"),
            };
            let hint = Some("Use the sample for reading, and a source of another type for this.".to_owned());
            let message = format!("source type \"sample\" {word}");
            checks.push(row(name, CheckStatus::Fail, message, hint, started.elapsed()));
        }
        for name in &request.tables {
            match Table::find(name) {
                Some(_) => checks.push(row("table", CheckStatus::Pass, name.to_string(), None, started.elapsed())),
                None => {
                    let names: Vec<&str> = Table::ALL.iter().map(Table::name).collect();
                    let hint = Some(format!("The tables of schema {SCHEMA} are: {}.", names.join(", ")));
                    let message = format!("table {name} does not exist");
                    checks.push(row("table", CheckStatus::Fail, message, hint, started.elapsed()));
                }
            }
        }
        checks
    }
    async fn discover(&self, config: &SourceConfig, request: &DiscoverRequest) -> Result<Vec<TableSchema>> {
        let scale = scale(config)?;
        Ok(match request {
            DiscoverRequest::List { schemas } => {
                if !schemas.is_empty() && !schemas.iter().any(|schema| schema == SCHEMA) {
                    return Ok(vec![]);
                }
                let mut tables: Vec<TableSchema> = Table::ALL.iter().map(|table| table.schema(scale)).collect();
                for table in &mut tables {
                    table.columns.clear();
                    table.primary_key.clear();
                }
                tables
            }
            DiscoverRequest::Describe { tables } => {
                tables.iter().filter_map(Table::find).map(|table| table.schema(scale)).collect()
            }
        })
    }
    fn source(&self, config: &SourceConfig) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(SampleSource::new(scale(config)?)))
    }
    fn sink(&self, _config: &SourceConfig) -> Result<Arc<dyn Sink>> {
        Err(Error::unsupported("writing into source type \"sample\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::TableName;
    use connector_api::ConfigValue;
    use std::collections::BTreeMap;

    fn config(pairs: &[(&str, &str)]) -> SourceConfig {
        let options: BTreeMap<String, ConfigValue> =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), ConfigValue::Text((*v).to_owned()))).collect();
        SourceConfig {
            name: "demo".to_owned(),
            source_id: 1,
            source_type: "sample".to_owned(),
            options: Arc::new(options),
            secret_labels: Arc::default(),
        }
    }

    #[test]
    fn a_wrong_scale_is_refused() {
        for value in ["0", "1001", "x", "NaN", "-1"] {
            let error = SampleConnector.check_options(&config(&[("scale_factor", value)])).unwrap_err();
            assert_eq!(error.sqlstate(), "22023", "{value}");
        }
        SampleConnector.check_options(&config(&[])).unwrap();
    }

    #[test]
    fn it_cannot_be_written() {
        let error = SampleConnector.sink(&config(&[])).err().unwrap();
        assert_eq!(error.sqlstate(), "0A000");
        assert_eq!(error.message(), "writing into source type \"sample\" is not supported yet");
    }

    #[tokio::test]
    async fn discovery_lists_the_eight_tables_and_describes_what_is_asked() {
        let list = SampleConnector.discover(&config(&[]), &DiscoverRequest::List { schemas: vec![] }).await.unwrap();
        assert_eq!(list.len(), 8);
        assert!(list.iter().all(|table| table.columns.is_empty() && table.rows_estimate.is_some()));
        let none = SampleConnector
            .discover(&config(&[]), &DiscoverRequest::List { schemas: vec!["public".to_owned()] })
            .await
            .unwrap();
        assert!(none.is_empty());
        let tables = vec![TableName::new("tpch", "lineitem"), TableName::new("tpch", "nowhere")];
        let described = SampleConnector.discover(&config(&[]), &DiscoverRequest::Describe { tables }).await.unwrap();
        assert_eq!(described.len(), 1);
        assert_eq!(described[0].primary_key, ["l_orderkey", "l_linenumber"]);
        assert_eq!(described[0].columns[5].data_type, "numeric(15,2)");
        assert!(described[0].columns.iter().all(|column| !column.is_nullable));
    }

    #[tokio::test]
    async fn every_purpose_has_a_check_row() {
        let request = CheckRequest {
            purposes: vec![Purpose::Read, Purpose::Capture, Purpose::Write, Purpose::Ddl],
            tables: vec![TableName::new("tpch", "orders"), TableName::new("tpch", "nowhere")],
            timeout: Duration::from_secs(1),
        };
        let checks = SampleConnector.check(&config(&[]), &request).await;
        let statuses: Vec<CheckStatus> = checks.iter().map(|check| check.status).collect();
        use CheckStatus::{Fail, Pass};
        assert_eq!(statuses, [Pass, Fail, Fail, Fail, Pass, Fail]);
    }
}
