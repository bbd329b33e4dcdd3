//! The statement that makes an object again, from its definition.
//!
//! The text is canonical: the same structure always gives the same text, so that the hash of the text
//! is the hash of the structure. Parsing it gives the structure back. Secrets appear by name or as
//! `'***'`, never with their values. Owner, comment and states are not part of it.

use catalog::definition::*;
use catalog::name::force_quote_ident;
use catalog::{OptionMap, OptionValue, TableName, WriteMode, quote_ident, quote_literal};
use std::collections::BTreeMap;

/// What stands for a secret's value.
const MASK: &str = "'***'";

/// CREATE SECRET. The value in the store is masked; the name of a variable or file is not a secret.
pub fn secret_definition(secret: &Secret) -> String {
    let value = match &secret.backend {
        SecretBackend::Store => format!("AS {MASK}"),
        SecretBackend::Env { variable } => format!("FROM ENV {}", quote_literal(variable)),
        SecretBackend::File { path } => format!("FROM FILE {}", quote_literal(path)),
    };
    format!("CREATE SECRET {} {value}", quote_ident(&secret.name))
}

/// CREATE SOURCE. `secret_name` gives the name of a shared secret and None for one that the source owns.
pub fn source_definition(source: &Source, secret_name: impl Fn(i64) -> Option<String>) -> String {
    let mut text = format!("CREATE SOURCE {} TYPE {}", quote_ident(&source.name), quote_ident(&source.source_type));
    push_options(&mut text, &source.options, &secret_name);
    text
}

/// CREATE SINK TABLE.
pub fn sink_table_definition(table: &SinkTable) -> String {
    let mut text = format!("CREATE SINK TABLE {}", table.path);
    match &table.shape {
        SinkShape::Explicit { columns, primary_key, indexes } => {
            let mut items: Vec<String> = columns.iter().map(column).collect();
            if !primary_key.is_empty() {
                items.push(format!("PRIMARY KEY {}", names(primary_key)));
            }
            items.extend(
                indexes.iter().map(|(name, columns)| format!("INDEX {} {}", quote_ident(name), names(columns))),
            );
            text = format!("{text} ({})", items.join(", "));
        }
        SinkShape::Like { path, exclude } => {
            text = format!("{text} LIKE {path}");
            if !exclude.is_empty() {
                text = format!("{text} EXCLUDE {}", names(exclude));
            }
        }
        SinkShape::Ddl { text: ddl } => text = format!("{text} USING DDL {}", quote_literal(ddl)),
        SinkShape::Existing => text.push_str(" EXISTING"),
        SinkShape::Inferred => {}
    }
    if !table.added_columns.is_empty() {
        let columns = table.added_columns.iter();
        let columns =
            columns.map(|c| format!("{} {} = {}", quote_ident(&c.name), c.data_type, c.expr)).collect::<Vec<_>>();
        text = format!("{text} ADD COLUMNS ({})", columns.join(", "));
    }
    if !table.partition_by.is_empty() {
        text = format!("{text} PARTITION BY ({})", table.partition_by.join(", "));
    }
    push_properties(&mut text, &table.properties);
    push_options(&mut text, &table.options, &|_| None);
    text
}

/// CREATE SYNC JOB.
pub fn job_definition(job: &Job) -> String {
    let JobSpec::Sync(spec) = &job.spec;
    let mut text = format!("CREATE SYNC JOB {}", quote_ident(&job.name));
    match &spec.target {
        SyncTarget::Query { sink, columns, .. } => {
            text = format!("{text} INTO {sink}");
            if !columns.is_empty() {
                text = format!("{text} {}", names(columns));
            }
        }
        SyncTarget::Tables { source, selection: chosen, except, dest } => {
            text = format!("{text} FROM SOURCE {} FOR {}", quote_ident(source), selection(chosen));
            if !except.is_empty() {
                text = format!("{text} EXCEPT {}", items(except));
            }
            text = format!("{text} INTO {}", quote_ident(&dest.source));
            if let Some(schema) = &dest.schema {
                text = format!("{text}.{}", quote_ident(schema));
            }
        }
    }
    text = format!("{text} MODE {}", spec.mode.as_str().to_uppercase());
    if let Some(write) = &spec.write {
        text = format!("{text} WRITE {}", write_words(write));
        if !spec.key.is_empty() {
            text = format!("{text} KEY {}", names(&spec.key));
        }
    }
    match &spec.on_error {
        // The default is not written.
        OnError::Stop => {}
        OnError::Skip { limit: None } => text.push_str(" ON ERROR SKIP"),
        OnError::Skip { limit: Some(limit) } => text = format!("{text} ON ERROR SKIP LIMIT {limit}"),
    }
    push_options(&mut text, &job.options, &|_| None);
    if let SyncTarget::Query { query, .. } = &spec.target {
        text = format!("{text} AS {query}");
    }
    text
}

/// 16 hexadecimal digits of a definition's text; the same on every machine and in every version.
///
/// It tells two definitions apart and is no protection against somebody who wants them to look alike.
pub fn definition_hash(text: &str) -> String {
    // FNV-1a with 64 bits: its two constants are fixed by its definition.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

fn write_words(write: &WriteMode) -> String {
    write.as_str().to_uppercase()
}

fn names(names: &[String]) -> String {
    format!("({})", names.iter().map(|name| quote_ident(name)).collect::<Vec<_>>().join(", "))
}

fn column(column: &ColumnDef) -> String {
    let mut text = format!("{} {}", quote_ident(&column.name), column.data_type);
    if !column.is_nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default_expr {
        text = format!("{text} DEFAULT {default}");
    }
    text
}

fn selection(selection: &Selection) -> String {
    match selection {
        Selection::AllTables => "ALL TABLES".to_owned(),
        Selection::Schemas { schemas } => {
            format!("TABLES IN SCHEMA {}", schemas.iter().map(|s| quote_ident(s)).collect::<Vec<_>>().join(", "))
        }
        Selection::Tables { items: chosen } => format!("TABLES {}", items(chosen)),
    }
}

fn items(items: &[TableItem]) -> String {
    format!("({})", items.iter().map(item).collect::<Vec<_>>().join(", "))
}

fn item(item: &TableItem) -> String {
    match item {
        TableItem::Matching { schema, table } => {
            format!("MATCHING ({}, {})", quote_literal(schema), quote_literal(table))
        }
        TableItem::Table { name, columns, filter, rename } => {
            let mut text = table_name(name);
            if !columns.is_empty() {
                text = format!("{text} {}", names(columns));
            }
            if let Some(filter) = filter {
                text = format!("{text} WHERE ({filter})");
            }
            if let Some(rename) = rename {
                text = format!("{text} AS {}", table_name(rename));
            }
            text
        }
    }
}

/// A schema named `matching` is quoted, so that it never reads as the word.
fn table_name(name: &TableName) -> String {
    let schema = if name.schema == "matching" { force_quote_ident(&name.schema) } else { quote_ident(&name.schema) };
    format!("{schema}.{}", quote_ident(&name.table))
}

/// A key may be any word, reserved ones too.
fn key(name: &str) -> String {
    let plain =
        name.bytes().enumerate().all(|(i, b)| b.is_ascii_lowercase() || b == b'_' || (i > 0 && b.is_ascii_digit()));
    if plain && !name.is_empty() { name.to_owned() } else { force_quote_ident(name) }
}

fn push_properties(text: &mut String, properties: &BTreeMap<String, String>) {
    if !properties.is_empty() {
        let pairs = properties.iter().map(|(name, value)| format!("{} = {}", key(name), quote_literal(value)));
        text.push_str(&format!(" PROPERTIES ({})", pairs.collect::<Vec<_>>().join(", ")));
    }
}

fn push_options(text: &mut String, options: &OptionMap, secret_name: &dyn Fn(i64) -> Option<String>) {
    if options.is_empty() {
        return;
    }
    let pairs = options.iter().map(|(name, value)| {
        let value = match value {
            OptionValue::Text(text) => quote_literal(text),
            OptionValue::List(texts) => {
                format!("({})", texts.iter().map(|text| quote_literal(text)).collect::<Vec<_>>().join(", "))
            }
            OptionValue::Secret(id) => match secret_name(*id) {
                Some(name) => format!("SECRET {}", quote_ident(&name)),
                None => MASK.to_owned(),
            },
        };
        format!("{} = {value}", key(name))
    });
    text.push_str(&format!(" WITH ({})", pairs.collect::<Vec<_>>().join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{Literal, OptionEntry, OptionInput, SecretInput, Statement, SyncTargetInput};
    use catalog::state::*;
    use catalog::{Mode, Path3};

    fn one(sql: &str) -> Statement {
        let mut parsed = crate::parse(sql).unwrap_or_else(|e| panic!("{sql}: {e} {:?}", e.detail()));
        assert_eq!(parsed.len(), 1);
        parsed.remove(0).statement
    }

    /// Options as the gateway would store them; a reference by name is its length as id.
    fn stored(options: &[OptionEntry]) -> OptionMap {
        let text = |literal: &Literal| match literal {
            Literal::Text(text) => text.clone(),
            Literal::Parameter(_) => panic!("no parameters here"),
        };
        options
            .iter()
            .map(|option| {
                let value = match &option.value {
                    OptionInput::Literal(literal) => OptionValue::Text(text(literal)),
                    OptionInput::List(list) => OptionValue::List(list.iter().map(text).collect()),
                    OptionInput::Secret(name) => OptionValue::Secret(name.len() as i64),
                    OptionInput::Default => panic!("no defaults here"),
                };
                (option.key.clone(), value)
            })
            .collect()
    }

    fn options() -> OptionMap {
        [
            ("host", OptionValue::Text("it's \\ h".into())),
            ("user", OptionValue::Text(String::new())),
            ("Odd.Key", OptionValue::List(vec!["a".into(), "b,'".into()])),
            ("none", OptionValue::List(vec![])),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
    }

    fn sink_table(shape: SinkShape) -> SinkTable {
        SinkTable {
            id: 1,
            path: Path3::new("lake", "Ods", "order"),
            shape,
            added_columns: vec![
                AddedColumn { name: "tenant".into(), data_type: "text".into(), expr: "'cn'".into() },
                AddedColumn { name: "Day".into(), data_type: "date".into(), expr: "run_date() + (1, 2)".into() },
            ],
            partition_by: vec![
                "DAY(created_at) AS dt FORMAT 'yyyyMMdd'".into(),
                "BUCKET(16, id)".into(),
                "src = 'shop'".into(),
            ],
            properties: [("write.format".to_owned(), "parquet".to_owned())].into(),
            options: options(),
            owner: "o".into(),
            comment: None,
            created_at: 0,
            altered_at: 0,
        }
    }

    fn job(target: SyncTarget, write: Option<WriteMode>, key: &[&str], on_error: OnError, options: OptionMap) -> Job {
        let key = key.iter().map(|k| (*k).to_owned()).collect();
        Job {
            id: 1,
            name: "My job".into(),
            spec: JobSpec::Sync(SyncSpec { target, mode: Mode::Full, write, key, on_error }),
            options,
            desired_state: DesiredState::Created,
            state: JobState::Created,
            phase: JobPhase::Idle,
            state_changed_at: 0,
            definition_version: 1,
            restart_count: 0,
            current_run_id: None,
            last_error_id: None,
            owner: "o".into(),
            comment: None,
            created_at: 0,
            altered_at: 0,
        }
    }

    #[test]
    fn a_source_comes_back_from_its_definition() {
        let mut all = options();
        all.insert("password".into(), OptionValue::Secret(7));
        all.insert("s3_secret_key".into(), OptionValue::Secret(8));
        let source = Source {
            id: 1,
            name: "select".into(),
            source_type: "postgres".into(),
            options: all.clone(),
            owner: "o".into(),
            comment: None,
            created_at: 0,
            altered_at: 0,
        };
        let text = source_definition(&source, |id| (id == 7).then(|| "shop_pw".to_owned()));
        assert!(text.contains("password = SECRET shop_pw") && text.contains("s3_secret_key = '***'"), "{text}");
        let Statement::CreateSource { name, source_type, options, .. } = one(&text) else { panic!("{text}") };
        all.insert("s3_secret_key".into(), OptionValue::Text("***".into()));
        assert_eq!((name.as_str(), source_type.as_str(), stored(&options)), ("select", "postgres", all));
    }

    #[test]
    fn a_secret_comes_back_without_its_value() {
        let mut secret = Secret {
            id: 1,
            name: "shop.password".into(),
            backend: SecretBackend::Store,
            version: 1,
            owned_by_source: None,
            owner: "o".into(),
            comment: None,
            created_at: 0,
            altered_at: 0,
        };
        assert_eq!(secret_definition(&secret), "CREATE SECRET \"shop.password\" AS '***'");
        for (backend, expected) in [
            (SecretBackend::Env { variable: "SHOP_PW".into() }, SecretInput::Env(Literal::Text("SHOP_PW".into()))),
            (SecretBackend::File { path: "/run/a'b".into() }, SecretInput::File(Literal::Text("/run/a'b".into()))),
        ] {
            secret.backend = backend;
            let Statement::CreateSecret { name, value, .. } = one(&secret_definition(&secret)) else { panic!() };
            assert_eq!((name, value), (secret.name.clone(), expected));
        }
    }

    #[test]
    fn sink_tables_of_every_shape_come_back() {
        let explicit = SinkShape::Explicit {
            columns: vec![
                ColumnDef { name: "id".into(), data_type: "bigint".into(), is_nullable: false, default_expr: None },
                ColumnDef {
                    name: "at".into(),
                    data_type: "timestamp(3) with time zone".into(),
                    is_nullable: false,
                    default_expr: Some("coalesce(now(), NULL)".into()),
                },
                ColumnDef {
                    name: "Tags".into(),
                    data_type: "text[]".into(),
                    is_nullable: true,
                    default_expr: Some("a IS NOT NULL".into()),
                },
                ColumnDef {
                    name: "index".into(),
                    data_type: "numeric(10,2)".into(),
                    is_nullable: true,
                    default_expr: None,
                },
            ],
            primary_key: vec!["id".into()],
            indexes: vec![("by_at".into(), vec!["at".into(), "Tags".into()])],
        };
        let like = SinkShape::Like { path: Path3::new("a", "b", "c"), exclude: vec!["password".into()] };
        let ddl = SinkShape::Ddl { text: "CREATE TABLE t (v text DEFAULT '$$')".into() };
        for shape in [explicit, like, ddl, SinkShape::Existing, SinkShape::Inferred] {
            let table = sink_table(shape);
            let text = sink_table_definition(&table);
            let Statement::CreateSinkTable { path, shape, added_columns, partition_by, properties, options, .. } =
                one(&text)
            else {
                panic!("{text}")
            };
            assert_eq!(
                (path, shape, added_columns, partition_by, properties.into_iter().collect(), stored(&options)),
                (
                    table.path.clone(),
                    table.shape.clone(),
                    table.added_columns.clone(),
                    table.partition_by.clone(),
                    table.properties.clone(),
                    table.options.clone()
                ),
                "{text}"
            );
            let bare = SinkTable {
                added_columns: vec![],
                partition_by: vec![],
                properties: BTreeMap::new(),
                options: OptionMap::new(),
                ..table
            };
            assert!(matches!(one(&sink_table_definition(&bare)), Statement::CreateSinkTable { .. }));
        }
    }

    #[test]
    fn jobs_of_both_forms_come_back() {
        let items = vec![
            TableItem::Table {
                name: TableName::new("public", "Order"),
                columns: vec!["id".into(), "user".into()],
                filter: Some("(a > 1) AND b IN (1, 2)".into()),
                rename: Some(TableName::new("ods", "orders")),
            },
            TableItem::Table { name: TableName::new("matching", "t"), columns: vec![], filter: None, rename: None },
            TableItem::Matching { schema: "shop_\\d+".into(), table: ".*".into() },
        ];
        let tables = |selection, schema: Option<&str>| SyncTarget::Tables {
            source: "crm".into(),
            selection,
            except: items.clone(),
            dest: SinkDest { source: "lake".into(), schema: schema.map(str::to_owned) },
        };
        let query = SyncTarget::Query {
            sink: Path3::new("lake", "ods", "Orders"),
            columns: vec!["id".into(), "Total".into()],
            query: "SELECT id, * EXCLUDE (pw)\nFROM crm.public.\"Orders\" WHERE a = 'x''y'".into(),
        };
        let jobs = [
            job(query, Some(WriteMode::Upsert), &["id", "Region"], OnError::Skip { limit: Some(10) }, options()),
            job(tables(Selection::AllTables, None), None, &[], OnError::Stop, OptionMap::new()),
            job(
                tables(Selection::Schemas { schemas: vec!["a".into(), "B".into()] }, Some("S")),
                Some(WriteMode::Append),
                &[],
                OnError::Skip { limit: None },
                options(),
            ),
            job(
                tables(Selection::Tables { items: items.clone() }, Some("ods")),
                Some(WriteMode::OverwritePartitions),
                &[],
                OnError::Stop,
                options(),
            ),
        ];
        for job in jobs {
            let text = job_definition(&job);
            let Statement::CreateSyncJob(parsed) = one(&text) else { panic!("{text}") };
            let JobSpec::Sync(spec) = &job.spec;
            let target = match parsed.target {
                SyncTargetInput::Query { sink, columns, query, .. } => SyncTarget::Query { sink, columns, query },
                SyncTargetInput::Tables { source, selection, except, dest } => {
                    SyncTarget::Tables { source, selection, except, dest }
                }
            };
            let back = SyncSpec {
                target,
                mode: parsed.mode.unwrap(),
                write: parsed.write,
                key: parsed.key,
                on_error: parsed.on_error.unwrap_or(OnError::Stop),
            };
            assert_eq!((&parsed.name, &back, &stored(&parsed.options)), (&job.name, spec, &job.options), "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_same_everywhere() {
        assert_eq!(definition_hash(""), "cbf29ce484222325");
        assert_eq!(definition_hash("a"), "af63dc4c8601ec8c");
    }
}
