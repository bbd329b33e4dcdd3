//! System tables of definitions: sources, options, secrets, sink tables, jobs and their mappings.

use super::ColumnType::*;
use super::rows::{Row, Value, time, words};
use super::{RowContext, TableSpec, column};
use crate::gateway::{COMMON_SOURCE_OPTIONS, usage_of};
use crate::runtime::options::{SINK_TABLE_OPTIONS, SYNC_JOB_OPTIONS};
use catalog::definition::*;
use catalog::option::{OptionSpec, OptionValue, ValueType, format_duration, format_size};
use catalog::store::Snapshot;
use catalog::{Health, JobState, MappingState, Result};
use connector_api::Capabilities;
use std::collections::BTreeMap;

pub(super) const TABLES: &[TableSpec] = &[
    TableSpec {
        name: "sources",
        comment: "Data sources, one row each.",
        is_view: false,
        columns: &[
            column("source_id", Int8, "Identifies the source; never reused."),
            column("name", Text, "Name of the source."),
            column("source_type", Text, "Connector: a row of tidegate.source_types."),
            column("usage", Text, "What it may be used for: both, source or destination."),
            column("capabilities", TextArray, "What it can do: read, capture, write, ddl."),
            column("options_json", Text, "Options as JSON; secrets are shown as ***."),
            column("secret_names", TextArray, "Secrets that its options refer to by name."),
            column("owner", Text, "Role that owns it."),
            column("comment", Text, "Comment, set by COMMENT ON SOURCE."),
            column("definition", Text, "Statement that creates it again, with secrets masked."),
            column("definition_hash", Text, "Hash of the definition, to compare two gateways."),
            column("health", Text, "unknown, ok or failing, as last contact found it."),
            column("last_checked_at", TimestampTz, "When it was last checked."),
            column("last_error", Text, "What the last failed contact said."),
            column("job_count", Int8, "Jobs that read or write it."),
            column("created_at", TimestampTz, "When it was created."),
            column("altered_at", TimestampTz, "When it was last altered."),
        ],
        rows: sources,
    },
    TableSpec {
        name: "source_types",
        comment: "Connectors of this build, one row each.",
        is_view: false,
        columns: &[
            column("source_type", Text, "The word of CREATE SOURCE .. TYPE."),
            column("version", Text, "Version of the connector."),
            column("capabilities", TextArray, "What it can do: read, capture, write, ddl."),
            column("positions", TextArray, "Kinds of positions that it knows."),
            column("description", Text, "What it connects to."),
        ],
        rows: source_types,
    },
    TableSpec {
        name: "options",
        comment: "Every option that a WITH clause accepts.",
        is_view: false,
        columns: &[
            column("scope", Text, "Statement: source, sink_table or sync_job."),
            column("source_type", Text, "Connector, for the scope source."),
            column("name", Text, "Name of the option."),
            column("value_type", Text, "Type: text, int, float, bool, duration, size, enum or list."),
            column("default_value", Text, "Default; NULL when there is none."),
            column("is_required", Bool, "Whether the statement fails without it."),
            column("is_secret", Bool, "Whether its value is stored encrypted and never shown."),
            column("allowed_values", TextArray, "The words of an enum."),
            column("min_value", Text, "Smallest value."),
            column("max_value", Text, "Largest value."),
            column("alterable", Text, "When an ALTER takes effect: online, restart or never."),
            column("description", Text, "What it does."),
        ],
        rows: options,
    },
    TableSpec {
        name: "secrets",
        comment: "Secrets, one row each. No column holds a value.",
        is_view: false,
        columns: &[
            column("secret_id", Int8, "Identifies the secret; never reused."),
            column("name", Text, "Name of the secret; source.option for one that a literal option made."),
            column("backend", Text, "Where the value is: store, env or file."),
            column("version", Int4, "Grows with every ALTER SECRET."),
            column("owner", Text, "Role that owns it."),
            column("used_by_count", Int8, "Sources that use it."),
            column("created_at", TimestampTz, "When it was created."),
            column("altered_at", TimestampTz, "When it was last altered."),
            column("comment", Text, "Comment, set by COMMENT ON SECRET."),
        ],
        rows: secrets,
    },
    TableSpec {
        name: "tables",
        comment: "Tables that were declared: sink tables and source tables.",
        is_view: false,
        columns: TABLE_COLUMNS,
        rows: tables,
    },
    TableSpec {
        name: "sink_tables",
        comment: "Sink tables: the rows of tidegate.tables with direction sink.",
        is_view: true,
        columns: TABLE_COLUMNS,
        rows: tables,
    },
    TableSpec {
        name: "source_tables",
        comment: "Source tables: the rows of tidegate.tables with direction source.",
        is_view: true,
        columns: TABLE_COLUMNS,
        rows: |_| Ok(vec![]),
    },
    TableSpec {
        name: "table_columns",
        comment: "Columns of declared tables whose shape is written out.",
        is_view: false,
        columns: &[
            column("table_id", Int8, "The table: tidegate.tables.table_id."),
            column("ordinal", Int4, "Place of the column, from 1."),
            column("name", Text, "Name of the column."),
            column("data_type", Text, "Type as written."),
            column("is_nullable", Bool, "Whether NULL is allowed."),
            column("is_key", Bool, "Whether it is part of the primary key."),
            column("default_expr", Text, "DEFAULT, or the expression of an added column."),
            column("is_added", Bool, "Whether ADD COLUMNS added it."),
        ],
        rows: table_columns,
    },
    TableSpec {
        name: "jobs",
        comment: "Jobs, one row each.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "Identifies the job; never reused."),
            column("name", Text, "Name of the job."),
            column("job_kind", Text, "sync, verify, cleanup or ddl."),
            column("mode", Text, "full, realtime, full then realtime, incremental or merge."),
            column("source_name", Text, "Source that it reads; NULL when it reads several."),
            column("sink_name", Text, "Source that it writes."),
            column("desired_state", Text, "What was asked for: created, running, paused or stopped."),
            column(
                "state",
                Text,
                "What it is: created, starting, running, pausing, paused, stopping, stopped, failed or finished.",
            ),
            column("phase", Text, "Which part of its work it is in."),
            column("health", Text, "Measured: ok, degraded, stalled or failing."),
            column("state_changed_at", TimestampTz, "When the state last changed."),
            column("table_count", Int8, "Tables that it moves."),
            column("failed_table_count", Int8, "Tables that failed."),
            column("current_run_id", Int8, "The run that is going on."),
            column("last_error_id", Int8, "The last error: tidegate.errors.error_id."),
            column("restart_count", Int8, "How often the gateway started it again by itself."),
            column("next_retry_at", TimestampTz, "When the gateway will try again by itself."),
            column("owner", Text, "Role that owns it."),
            column("comment", Text, "Comment, set by COMMENT ON JOB."),
            column("definition", Text, "Statement that creates it again."),
            column("definition_hash", Text, "Hash of the definition."),
            column("definition_version", Int4, "Grows with every ALTER JOB that changes the definition."),
            column("created_at", TimestampTz, "When it was created."),
            column("altered_at", TimestampTz, "When it was last altered."),
        ],
        rows: jobs,
    },
    TableSpec {
        name: "job_tables",
        comment: "Mappings: each table of each job and the sink table that it fills.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "The job."),
            column("job_name", Text, "Its name."),
            column("mapping_id", Int8, "Identifies the mapping; never reused."),
            column("source_name", Text, "Source that is read; NULL for a query over several tables."),
            column("source_schema", Text, "Schema that is read."),
            column("source_table", Text, "Table that is read."),
            column("sink_name", Text, "Source that is written."),
            column("sink_schema", Text, "Schema that is written."),
            column("sink_table", Text, "Table that is written."),
            column("mapping_status", Text, "mapping, completed, incomplete, alerting, failed or abnormal."),
            column("mapping_detail", Text, "Why, for alerting, failed and abnormal."),
            column("creation_method", Text, "existing or auto; NULL until known."),
            column(
                "state",
                Text,
                "pending, ddl, snapshot, snapshot_done, catch_up, stream, paused, failed, excluded or removed.",
            ),
            column("state_changed_at", TimestampTz, "When the state last changed."),
            column("merge_group", Text, "Group of source tables that share the sink table."),
            column("key_columns", TextArray, "Key in use."),
            column("filter", Text, "Filter."),
            column("write_mode", Text, "Write mode in use; NULL until known."),
            column("snapshot_position", Text, "Position of the snapshot that filled it, in the source's notation."),
            column("last_error_id", Int8, "The last error: tidegate.errors.error_id."),
            column("last_error", Text, "Its message."),
            column("added_by", Text, "create, alter or ddl_event."),
            column("created_at", TimestampTz, "When it was added."),
        ],
        rows: job_tables,
    },
    TableSpec {
        name: "job_columns",
        comment: "Columns of each mapping, from source to sink; known after the mapping is completed.",
        is_view: false,
        columns: &[
            column("job_id", Int8, "The job."),
            column("mapping_id", Int8, "The mapping: tidegate.job_tables.mapping_id."),
            column("ordinal", Int4, "Place of the column, from 1."),
            column("source_column", Text, "Source column; NULL for an expression."),
            column("source_type", Text, "Its type in the source's words."),
            column("expression", Text, "Expression, when it is one."),
            column("sink_column", Text, "Sink column."),
            column("sink_type", Text, "Its type in the sink's words."),
            column("is_key", Bool, "Whether it is part of the key."),
            column("is_lossy", Bool, "Whether values may lose something on the way."),
        ],
        rows: job_columns,
    },
    TableSpec {
        name: "dependencies",
        comment: "Which object needs which other.",
        is_view: false,
        columns: &[
            column("object_kind", Text, "source, sink table or job."),
            column("object_id", Int8, "The object that needs."),
            column("name", Text, "Its name."),
            column("depends_on_kind", Text, "secret or source."),
            column("depends_on_id", Int8, "The object that is needed."),
            column("depends_on_name", Text, "Its name."),
        ],
        rows: dependencies,
    },
];

const TABLE_COLUMNS: &[super::ColumnSpec] = &[
    column("table_id", Int8, "Identifies the table; never reused."),
    column("direction", Text, "sink or source."),
    column("format", Text, "Format, for files and topics."),
    column("source_id", Int8, "The source: tidegate.sources.source_id."),
    column("source_name", Text, "Its name."),
    column("schema_name", Text, "Schema in the source."),
    column("table_name", Text, "Table in the source."),
    column("shape", Text, "How its shape is given: explicit, like, ddl, existing or inferred."),
    column("primary_key", TextArray, "Primary key, when it is written out."),
    column("partition_spec", TextArray, "PARTITION BY items."),
    column("properties_json", Text, "PROPERTIES as JSON."),
    column("is_auto_created", Bool, "Whether the gateway creates it at the sink."),
    column("remote_exists", Bool, "Whether it is there at the sink; NULL until a job has written it."),
    column("owner", Text, "Role that owns it."),
    column("definition", Text, "Statement that creates it again."),
    column("created_at", TimestampTz, "When it was declared."),
    column("altered_at", TimestampTz, "When it was last altered."),
];

pub(super) fn capability_words(c: Capabilities) -> Vec<String> {
    [(c.read, "read"), (c.capture, "capture"), (c.write, "write"), (c.ddl, "ddl")]
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, word)| (*word).to_owned())
        .collect()
}

/// The statement that makes a source again, with secrets masked or by name.
pub fn source_definition(snapshot: &Snapshot, source: &Source) -> String {
    planner::source_definition(source, |id| {
        snapshot.secrets.get(&id).filter(|s| s.owned_by_source.is_none()).map(|s| s.name.clone())
    })
}

fn options_json(options: &catalog::OptionMap) -> String {
    let map: BTreeMap<&str, serde_json::Value> = options
        .iter()
        .map(|(name, value)| {
            let value = match value {
                OptionValue::Text(text) => text.clone().into(),
                OptionValue::List(list) => list.clone().into(),
                OptionValue::Secret(_) => "***".into(),
            };
            (name.as_str(), value)
        })
        .collect();
    serde_json::to_string(&map).unwrap_or_default()
}

fn sources(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let health = c.gateway.store.source_health()?;
    c.snapshot
        .sources
        .values()
        .map(|s| {
            let definition = source_definition(c.snapshot, s);
            let found = health.iter().find(|h| h.source_id == s.id);
            let capabilities =
                c.gateway.connectors.get(&s.source_type).ok().map(|k| capability_words(k.info().capabilities));
            let secret_names: Vec<String> = s
                .options
                .values()
                .filter_map(|v| if let OptionValue::Secret(id) = v { c.snapshot.secrets.get(id) } else { None })
                .filter(|secret| secret.owned_by_source.is_none())
                .map(|secret| secret.name.clone())
                .collect();
            Ok(vec![
                s.id.into(),
                s.name.clone().into(),
                s.source_type.clone().into(),
                usage_of(&s.options).into(),
                capabilities.into(),
                options_json(&s.options).into(),
                secret_names.into(),
                s.owner.clone().into(),
                s.comment.clone().into(),
                definition.clone().into(),
                planner::definition_hash(&definition).into(),
                found.map_or("unknown".to_owned(), |h| h.health.clone()).into(),
                time(found.and_then(|h| h.last_checked_at)),
                found.and_then(|h| h.last_error.clone()).into(),
                c.snapshot.users_of_source(&s.name).count().into(),
                time(s.created_at),
                time(s.altered_at),
            ])
        })
        .collect()
}

fn source_types(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.gateway
        .connectors
        .iter()
        .map(|k| {
            let info = k.info();
            vec![
                k.name().into(),
                info.version.into(),
                capability_words(info.capabilities).into(),
                words(info.positions.iter().copied()),
                info.description.into(),
            ]
        })
        .collect())
}

fn options(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for connector in c.gateway.connectors.iter() {
        for spec in connector.options().iter().chain(COMMON_SOURCE_OPTIONS) {
            rows.push(option_row("source", Some(connector.name()), spec));
        }
    }
    rows.extend(SINK_TABLE_OPTIONS.iter().map(|spec| option_row("sink_table", None, spec)));
    rows.extend(SYNC_JOB_OPTIONS.iter().map(|spec| option_row("sync_job", None, spec)));
    Ok(rows)
}

fn option_row(scope: &str, source_type: Option<&str>, spec: &OptionSpec) -> Row {
    let (min, max): (Value, Value) = match spec.value_type {
        ValueType::Int { min, max } => (min.to_string().into(), max.to_string().into()),
        ValueType::Float { min, max } => (min.to_string().into(), max.to_string().into()),
        ValueType::Duration { min_ms, max_ms } => (format_duration(min_ms).into(), format_duration(max_ms).into()),
        ValueType::Size { min, max } => (format_size(min).into(), format_size(max).into()),
        ValueType::Text | ValueType::Bool | ValueType::Enum(_) | ValueType::List => (Value::Null, Value::Null),
    };
    let allowed = if let ValueType::Enum(list) = spec.value_type { words(list.iter().copied()) } else { Value::Null };
    vec![
        scope.into(),
        source_type.into(),
        spec.name.into(),
        spec.value_type.word().into(),
        spec.default_value.into(),
        spec.is_required.into(),
        spec.is_secret.into(),
        allowed,
        min,
        max,
        spec.alterable.word().into(),
        spec.description.into(),
    ]
}

fn secrets(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.snapshot
        .secrets
        .values()
        .map(|s| {
            let backend = match s.backend {
                SecretBackend::Store => "store",
                SecretBackend::Env { .. } => "env",
                SecretBackend::File { .. } => "file",
            };
            vec![
                s.id.into(),
                s.name.clone().into(),
                backend.into(),
                s.version.into(),
                s.owner.clone().into(),
                c.snapshot.users_of_secret(s.id).count().into(),
                time(s.created_at),
                time(s.altered_at),
                s.comment.clone().into(),
            ]
        })
        .collect())
}

fn tables(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.snapshot
        .sink_tables
        .values()
        .map(|t| {
            let primary_key = match &t.shape {
                SinkShape::Explicit { primary_key, .. } => Some(primary_key.clone()),
                SinkShape::Like { .. } | SinkShape::Ddl { .. } | SinkShape::Existing | SinkShape::Inferred => None,
            };
            let written =
                c.snapshot.mappings.values().any(|m| m.sink == t.path && m.state == MappingState::SnapshotDone);
            vec![
                t.id.into(),
                "sink".into(),
                Value::Null,
                c.snapshot.source(&t.path.source).map(|s| s.id).into(),
                t.path.source.clone().into(),
                t.path.name.schema.clone().into(),
                t.path.name.table.clone().into(),
                t.shape.word().into(),
                primary_key.into(),
                t.partition_by.clone().into(),
                serde_json::to_string(&t.properties).unwrap_or_default().into(),
                (!matches!(t.shape, SinkShape::Existing)).into(),
                if written { Value::Bool(true) } else { Value::Null },
                t.owner.clone().into(),
                planner::sink_table_definition(t).into(),
                time(t.created_at),
                time(t.altered_at),
            ]
        })
        .collect())
}

fn table_columns(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for t in c.snapshot.sink_tables.values() {
        let mut ordinal = 0;
        let mut push = |name: &str, data_type: &str, nullable: bool, key: bool, default: Option<&str>, added: bool| {
            ordinal += 1;
            rows.push(vec![
                t.id.into(),
                Value::Int(ordinal),
                name.into(),
                data_type.into(),
                nullable.into(),
                key.into(),
                default.into(),
                added.into(),
            ]);
        };
        if let SinkShape::Explicit { columns, primary_key, .. } = &t.shape {
            for column in columns {
                let is_key = primary_key.contains(&column.name);
                push(
                    &column.name,
                    &column.data_type,
                    column.is_nullable && !is_key,
                    is_key,
                    column.default_expr.as_deref(),
                    false,
                );
            }
        }
        for column in &t.added_columns {
            push(&column.name, &column.data_type, true, false, Some(&column.expr), true);
        }
    }
    Ok(rows)
}

/// The sources of a job as `tidegate.jobs` names them: what is read, when it is one, and what is written.
pub fn ends_of(job: &Job, snapshot: &Snapshot) -> (Option<String>, String) {
    let JobSpec::Sync(spec) = &job.spec;
    match &spec.target {
        SyncTarget::Tables { source, dest, .. } => (Some(source.clone()), dest.source.clone()),
        SyncTarget::Query { sink, .. } => {
            let read = snapshot.mappings_of(job.id).find_map(|m| m.source.as_ref().map(|s| s.source.clone()));
            (read, sink.source.clone())
        }
    }
}

fn jobs(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.snapshot
        .jobs
        .values()
        .map(|j| {
            let JobSpec::Sync(spec) = &j.spec;
            let definition = planner::job_definition(j);
            let (source, sink) = ends_of(j, c.snapshot);
            let live: Vec<_> = c.snapshot.mappings_of(j.id).filter(|m| m.state != MappingState::Removed).collect();
            let failed = live.iter().filter(|m| m.state == MappingState::Failed).count();
            let health = match j.state {
                JobState::Failed => Health::Failing,
                _ if failed > 0 => Health::Degraded,
                _ => Health::Ok,
            };
            vec![
                j.id.into(),
                j.name.clone().into(),
                j.spec.kind().as_str().into(),
                spec.mode.as_str().into(),
                source.into(),
                sink.into(),
                j.desired_state.as_str().into(),
                j.state.as_str().into(),
                j.phase.as_str().into(),
                health.as_str().into(),
                time(j.state_changed_at),
                live.len().into(),
                failed.into(),
                j.current_run_id.into(),
                j.last_error_id.into(),
                j.restart_count.into(),
                Value::Null,
                j.owner.clone().into(),
                j.comment.clone().into(),
                definition.clone().into(),
                planner::definition_hash(&definition).into(),
                j.definition_version.into(),
                time(j.created_at),
                time(j.altered_at),
            ]
        })
        .collect())
}

fn job_name(snapshot: &Snapshot, id: i64) -> Value {
    snapshot.jobs.get(&id).map(|j| j.name.clone()).into()
}

fn job_tables(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.snapshot
        .mappings
        .values()
        .map(|m| {
            vec![
                m.job_id.into(),
                job_name(c.snapshot, m.job_id),
                m.id.into(),
                m.source.as_ref().map(|s| s.source.clone()).into(),
                m.source.as_ref().map(|s| s.name.schema.clone()).into(),
                m.source.as_ref().map(|s| s.name.table.clone()).into(),
                m.sink.source.clone().into(),
                m.sink.name.schema.clone().into(),
                m.sink.name.table.clone().into(),
                m.status.as_str().into(),
                m.detail.clone().into(),
                m.creation_method.map(|x| x.as_str()).into(),
                m.state.as_str().into(),
                time(m.state_changed_at),
                Value::Null,
                m.key_columns.clone().into(),
                m.filter.clone().into(),
                m.write_mode.map(|x| x.as_str()).into(),
                m.snapshot_position.clone().into(),
                m.last_error_id.into(),
                m.last_error.clone().into(),
                m.added_by.clone().into(),
                time(m.created_at),
            ]
        })
        .collect())
}

fn job_columns(c: &RowContext<'_>) -> Result<Vec<Row>> {
    Ok(c.snapshot
        .mappings
        .values()
        .flat_map(|m| {
            m.column_map.iter().enumerate().map(|(i, x)| {
                vec![
                    m.job_id.into(),
                    m.id.into(),
                    (i + 1).into(),
                    x.source_column.clone().into(),
                    x.source_type.clone().into(),
                    x.expression.clone().into(),
                    x.sink_column.clone().into(),
                    x.sink_type.clone().into(),
                    x.is_key.into(),
                    x.is_lossy.into(),
                ]
            })
        })
        .collect())
}

fn dependencies(c: &RowContext<'_>) -> Result<Vec<Row>> {
    let mut rows = vec![];
    for source in c.snapshot.sources.values() {
        for value in source.options.values() {
            if let OptionValue::Secret(id) = value
                && let Some(secret) = c.snapshot.secrets.get(id)
            {
                rows.push(vec![
                    "source".into(),
                    source.id.into(),
                    source.name.clone().into(),
                    "secret".into(),
                    secret.id.into(),
                    secret.name.clone().into(),
                ]);
            }
        }
        let mut depends = |kind: &str, id: i64, name: String| {
            rows.push(vec![
                kind.into(),
                id.into(),
                name.into(),
                "source".into(),
                source.id.into(),
                source.name.clone().into(),
            ]);
        };
        for table in c.snapshot.sink_tables.values().filter(|t| t.path.source == source.name) {
            depends("sink table", table.id, table.path.to_string());
        }
        for job in c.snapshot.users_of_source(&source.name) {
            depends("job", job.id, job.name.clone());
        }
    }
    Ok(rows)
}
