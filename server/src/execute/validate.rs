//! VALIDATE SOURCE: every check as a row, with the statement that mends it.

use super::Context;
use super::option::{Owner, duration, resolve};
use super::source::option_words;
use crate::gateway::find_source;
use crate::outcome::{Outcome, OutputColumn};
use crate::runtime::blocking;
use catalog::option::check_options;
use catalog::store::{SourceCheck, SourceHealth};
use catalog::{CheckStatus, OptionMap, OptionValue, Result, TableName, now};
use connector_api::{Check, CheckRequest, ConfigValue, Purpose as CheckPurpose};
use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use planner::{Literal, Purpose, ValidateTarget};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long all checks may take together when TIMEOUT is not written.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The columns of the answer.
pub(super) fn columns() -> Vec<OutputColumn> {
    let mut columns: Vec<OutputColumn> =
        ["check", "status", "message", "hint"].iter().map(|n| OutputColumn::text(n)).collect();
    columns.push(OutputColumn {
        name: "elapsed_ms".into(),
        field: Field::new("elapsed_ms", DataType::Int64, true),
        type_oid: 20,
        type_modifier: -1,
    });
    columns
}

pub(super) async fn validate(
    c: &Context<'_>,
    target: ValidateTarget,
    purposes: Vec<Purpose>,
    tables: Vec<TableName>,
    timeout: Option<Literal>,
) -> Result<Outcome> {
    let base = c.snapshot();
    let timeout = match &timeout {
        Some(value) => duration("TIMEOUT", value)?,
        None => TIMEOUT,
    };
    let (stored, connector, config) = match target {
        ValidateTarget::Source(name) => {
            let source = find_source(&base, &name)?;
            let (gateway, session, snapshot, definition) =
                (c.gateway.clone(), c.session.clone(), base.clone(), source.clone());
            let (connector, config) =
                blocking(move || gateway.resolve_in(Some(&session), &snapshot, &definition)).await?;
            (Some(source), connector, config)
        }
        ValidateTarget::Inline { source_type, options } => {
            let connector = c.gateway.connectors.get(&source_type)?.clone();
            let specs = c.gateway.connectors.options(&source_type)?;
            let (of_what, see) = option_words(&source_type);
            let empty = OptionMap::new();
            let owner = Owner { source_id: 0, name: "", role: &c.session.role, current: &empty };
            let resolved = resolve(&options, &specs, &base, &owner, || c.next_id(), (&of_what, &see))?;
            // A literal secret counts as given, though it is not among the stored options.
            let mut given = resolved.options.clone();
            given.extend(resolved.literals.keys().map(|k| (k.clone(), OptionValue::Text(String::new()))));
            check_options(&given, &specs, true, &of_what, &see)?;
            let mut values = BTreeMap::new();
            for (name, value) in &resolved.options {
                let value = match value {
                    OptionValue::Text(text) => ConfigValue::Text(text.clone()),
                    OptionValue::List(list) => ConfigValue::List(list.clone()),
                    OptionValue::Secret(id) => {
                        ConfigValue::Secret(super::source::secret_value(c, &resolved, &base, *id).await?)
                    }
                };
                values.insert(name.clone(), value);
            }
            values.extend(resolved.literals.into_iter().map(|(name, value)| (name, ConfigValue::Secret(value))));
            let config = c.gateway.configure(&connector, "", 0, values, BTreeMap::new())?;
            (None, connector, config)
        }
    };
    let purposes = purposes
        .into_iter()
        .map(|p| match p {
            Purpose::Read => CheckPurpose::Read,
            Purpose::Capture => CheckPurpose::Capture,
            Purpose::Write => CheckPurpose::Write,
            Purpose::Ddl => CheckPurpose::Ddl,
        })
        .collect();
    let checks = connector.check(&config, &CheckRequest { purposes, tables, timeout }).await;
    if let Some(source) = stored {
        remember(c, &source.name, source.id, &checks).await?;
    }
    rows(&checks)
}

async fn remember(c: &Context<'_>, name: &str, source_id: i64, checks: &[Check]) -> Result<()> {
    let at = now();
    let rows = checks
        .iter()
        .map(|check| SourceCheck {
            id: 0,
            source_name: name.to_owned(),
            checked_at: at,
            check_name: check.name.clone(),
            status: check.status,
            message: check.message.clone(),
            hint: check.hint.clone(),
            elapsed_ms: i64::try_from(check.elapsed.as_millis()).unwrap_or(i64::MAX),
        })
        .collect();
    let failed = checks.iter().find(|check| check.status == CheckStatus::Fail);
    let health = SourceHealth {
        source_id,
        health: if failed.is_some() { "failing" } else { "ok" }.to_owned(),
        last_checked_at: Some(at),
        last_error: failed.map(|check| check.message.clone()),
    };
    let gateway = c.gateway.clone();
    blocking(move || {
        // A source that this session has not committed yet has no place for its checks.
        if gateway.store.snapshot().sources.contains_key(&source_id) {
            gateway.store.put_source_checks(rows)?;
            gateway.store.put_source_health(&health)?;
        }
        Ok(())
    })
    .await
}

fn rows(checks: &[Check]) -> Result<Outcome> {
    let columns = columns();
    let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
    let text = |f: fn(&Check) -> Option<&str>| Arc::new(checks.iter().map(f).collect::<StringArray>());
    let batch = RecordBatch::try_new(
        schema,
        vec![
            text(|x| Some(&x.name)),
            text(|x| Some(x.status.as_str())),
            text(|x| Some(&x.message)),
            text(|x| x.hint.as_deref()),
            Arc::new(checks.iter().map(|x| i64::try_from(x.elapsed.as_millis()).ok()).collect::<Int64Array>()),
        ],
    )
    .map_err(|e| catalog::Error::internal("the checks could not be shown").with_source(e))?;
    Ok(Outcome::Rows { columns, rows: Box::pin(futures::stream::iter([Ok(batch)])), tag: "VALIDATE" })
}
