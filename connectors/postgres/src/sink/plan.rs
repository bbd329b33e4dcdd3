//! What a write will do to one table: the statements, the columns with their types, the formats, and
//! every reason why it cannot be done. Reads the server and changes nothing.

use super::fit::{Fit, arriving_type, fit, is_encodable, wire_encoding};
use super::position::create_hint;
use super::table::{ExistingTable, Inspection, ResolvedType, inspect, resolve_types};
use crate::client::Client;
use crate::ddl::{NewColumn, NewTable, added_columns, identifiers, new_columns, plain_type, written_columns};
use crate::types::is_binary_stable;
use catalog::definition::SinkShape;
use catalog::option::parse_bool;
use catalog::{CreationMethod, Error, ErrorKind, Result, WriteMode, quote_ident};
use connector_api::{Misfit, RawFormat, SinkColumn, TableCreation, TablePlan, TableTarget};
use std::collections::HashMap;

/// Raw format of binary COPY rows.
pub(crate) const COPY_BINARY: &str = "postgres.copy_binary";
/// Raw format of text COPY rows.
pub(crate) const COPY_TEXT: &str = "postgres.copy_text";

/// A column of the sink for what arrives.
#[derive(Debug, Clone)]
pub(crate) struct LayoutColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub resolved: ResolvedType,
    /// NOT NULL.
    pub is_not_null: bool,
}

/// Where the table comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It is there.
    Existing,
    /// Our statements make it, with these columns.
    New,
    /// A text of the user's makes it: its columns are known afterwards.
    Ddl,
}

/// A plan with what only this connector needs of it.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The plan.
    pub plan: TablePlan,
    /// Where the table comes from.
    pub origin: Origin,
    /// Columns in arrival order; empty when they are not known or there are misfits.
    pub layout: Vec<LayoutColumn>,
    /// The kind of error that each misfit is.
    pub misfit_kinds: Vec<ErrorKind>,
    /// Whether it is a partitioned table.
    pub is_partitioned: bool,
    /// Whether triggers or rules fire.
    pub has_triggers: bool,
    /// Whether an identity column GENERATED ALWAYS gets values.
    pub overrides_identity: bool,
}

/// Every misfit as one error; Ok when there is none.
pub(crate) fn check(planned: &Planned, target: &TableTarget) -> Result<()> {
    let Some(kind) = planned.misfit_kinds.first() else { return Ok(()) };
    let messages: Vec<&str> = planned.plan.misfits.iter().map(|misfit| misfit.message.as_str()).collect();
    let mut error = Error::new(kind.clone(), format!("sink table {} does not fit what is to be written", target.name))
        .with_detail(messages.join(" "))
        .with_table(&target.name.schema, &target.name.table);
    if let Some(column) = planned.plan.misfits.iter().find_map(|misfit| misfit.column.as_ref()) {
        error = error.with_column(column);
    }
    Err(error)
}

/// Plans one table.
pub(crate) async fn plan(client: &Client, target: &TableTarget) -> Result<Planned> {
    if target.mode == WriteMode::OverwritePartitions {
        return Err(Error::unsupported("WRITE OVERWRITE PARTITIONS into postgres"));
    }
    let inspection = inspect(client, &target.name).await?;
    let mut builder = Builder::new(target, &inspection);
    match &inspection.table {
        Some(table) => match on_exists(target) {
            OnExists::Use => Ok(builder.existing(table)),
            OnExists::Error => {
                builder.refuse(
                    ErrorKind::DuplicateTable,
                    None,
                    format!("Table {} exists and on_exists is \"error\".", target.name),
                );
                Ok(builder.existing(table))
            }
            OnExists::Recreate if !matches!(table.kind, 'r' | 'p') => Ok(builder.existing(table)),
            OnExists::Recreate => {
                let drop = format!("DROP TABLE {}", target.name.quoted());
                builder.create(client, vec![drop]).await
            }
        },
        None => builder.create(client, vec![]).await,
    }
}

enum OnExists {
    Use,
    Error,
    Recreate,
}

fn on_exists(target: &TableTarget) -> OnExists {
    match target.options.get("on_exists").map(|word| word.to_ascii_lowercase()).as_deref() {
        Some("error") => OnExists::Error,
        Some("recreate") => OnExists::Recreate,
        _ => OnExists::Use,
    }
}

struct Builder<'a> {
    target: &'a TableTarget,
    inspection: &'a Inspection,
    misfits: Vec<Misfit>,
    kinds: Vec<ErrorKind>,
}

impl<'a> Builder<'a> {
    fn new(target: &'a TableTarget, inspection: &'a Inspection) -> Self {
        let mut builder = Self { target, inspection, misfits: vec![], kinds: vec![] };
        if !inspection.can_remember {
            builder.refuse(
                ErrorKind::Privilege,
                None,
                format!(
                    "User \"{}\" may not keep positions in tidegate.sink_positions; on that server: {}",
                    inspection.user,
                    create_hint(&inspection.user, inspection.has_memory)
                ),
            );
        }
        if target.mode == WriteMode::Upsert && target.key.is_empty() {
            builder.refuse(ErrorKind::NoKey, None, "WRITE UPSERT needs a key, and there is none.".to_owned());
        }
        for key in &target.key {
            if !target.columns.iter().any(|column| column.name == *key) {
                builder.refuse(ErrorKind::NoKey, Some(key), format!("Key column \"{key}\" does not arrive."));
            }
        }
        builder
    }

    fn refuse(&mut self, kind: ErrorKind, column: Option<&str>, message: String) {
        self.misfits.push(Misfit { kind: kind.clone(), column: column.map(str::to_owned), message });
        self.kinds.push(kind);
    }

    /// A table that is there.
    fn existing(&mut self, table: &ExistingTable) -> Planned {
        let (target, name) = (self.target, &self.target.name);
        match table.kind {
            'r' | 'p' => {}
            kind => {
                let word = match kind {
                    'v' => "a view",
                    'm' => "a materialized view",
                    'f' => "a foreign table",
                    'S' => "a sequence",
                    _ => "a type",
                };
                self.refuse(ErrorKind::Remote("42809".to_owned()), None, format!("{name} is {word}, not a table."));
            }
        }
        if table.has_row_security {
            self.refuse(
                ErrorKind::Privilege,
                None,
                format!(
                    "Row-level security of {name} applies to user \"{user}\"; on that server: ALTER ROLE {quoted} BYPASSRLS;",
                    user = self.inspection.user,
                    quoted = quote_ident(&self.inspection.user)
                ),
            );
        }
        self.check_privileges(table);
        let mut layout = vec![];
        let mut fits = vec![];
        for column in &target.columns {
            let Some(existing) = table.columns.iter().find(|existing| existing.name == column.name) else {
                self.refuse(
                    ErrorKind::UndefinedColumn,
                    Some(&column.name),
                    format!("Column \"{}\" arrives and {name} has no such column.", column.name),
                );
                continue;
            };
            if existing.is_generated {
                self.refuse(
                    ErrorKind::TypeMismatch,
                    Some(&column.name),
                    format!("Column \"{}\" is generated by the sink and takes no values.", column.name),
                );
            }
            let how = fit(column, &existing.resolved);
            if how == Fit::Misfit {
                self.refuse(
                    ErrorKind::TypeMismatch,
                    Some(&column.name),
                    format!(
                        "Column \"{}\" is {} in the sink and {} arrives.",
                        column.name,
                        existing.resolved.text,
                        arriving_type(column)
                    ),
                );
            }
            if existing.is_identity_always && target.mode == WriteMode::Upsert && !target.key.contains(&column.name) {
                self.refuse(
                    ErrorKind::TypeMismatch,
                    Some(&column.name),
                    format!(
                        "Column \"{}\" is GENERATED ALWAYS AS IDENTITY in the sink and cannot be updated.",
                        column.name
                    ),
                );
            }
            fits.push(how);
            layout.push(LayoutColumn {
                name: column.name.clone(),
                resolved: existing.resolved.clone(),
                is_not_null: existing.is_not_null,
            });
        }
        for existing in &table.columns {
            let arrives = target.columns.iter().any(|column| column.name == existing.name);
            if !arrives && existing.is_not_null && !existing.has_default && !existing.is_generated {
                self.refuse(
                    ErrorKind::NotNullViolation,
                    Some(&existing.name),
                    format!(
                        "Column \"{}\" of the sink allows no NULL, has no default, and nothing arrives for it.",
                        existing.name
                    ),
                );
            }
        }
        let is_unique = !target.key.is_empty() && table.unique_keys.iter().any(|key| same_columns(key, &target.key));
        if target.mode == WriteMode::Upsert && !target.key.is_empty() && !is_unique {
            self.refuse(
                ErrorKind::NoKey,
                None,
                format!(
                    "The key ({key}) is not unique in the sink: no primary key or full unique index of {name} has exactly \
                     these columns; on that server: CREATE UNIQUE INDEX ON {name} ({key});",
                    key = identifiers(&target.key)
                ),
            );
        }
        let overrides_identity = table.columns.iter().any(|column| {
            column.is_identity_always && target.columns.iter().any(|arrives| arrives.name == column.name)
        });
        let key = if is_unique { target.key.clone() } else { vec![] };
        let mut planned = self.finish(CreationMethod::Existing, Origin::Existing, layout, fits, key);
        planned.is_partitioned = table.kind == 'p';
        planned.has_triggers = table.has_triggers;
        planned.overrides_identity = overrides_identity;
        planned
    }

    fn check_privileges(&mut self, table: &ExistingTable) {
        let name = &self.target.name;
        let mut missing = vec![];
        if !table.can_insert {
            missing.push("INSERT");
        }
        match self.target.mode {
            WriteMode::Upsert if !table.can_upsert => missing.extend(["SELECT", "UPDATE"]),
            WriteMode::Overwrite | WriteMode::OverwritePartitions if !table.can_delete => {
                missing.extend(["SELECT", "DELETE"]);
            }
            _ => {}
        }
        if missing.is_empty() {
            return;
        }
        let user = &self.inspection.user;
        self.refuse(
            ErrorKind::Privilege,
            None,
            format!(
                "User \"{user}\" lacks {missing} on {name}; on that server: GRANT USAGE ON SCHEMA {schema} TO {role}; \
                 GRANT {missing} ON {name} TO {role};",
                missing = missing.join(", "),
                schema = quote_ident(&name.schema),
                role = quote_ident(user)
            ),
        );
    }

    /// A table that is to be made. `before` are statements that run first.
    async fn create(mut self, client: &Client, before: Vec<String>) -> Result<Planned> {
        let (target, name) = (self.target, &self.target.name);
        let must_exist = match &target.creation {
            TableCreation::MustExist | TableCreation::Shape { shape: SinkShape::Existing, .. } => {
                Some("it must exist already")
            }
            TableCreation::Auto | TableCreation::Shape { .. } => target
                .options
                .get("auto_create")
                .and_then(|word| parse_bool(word))
                .is_some_and(|is_wanted| !is_wanted)
                .then_some("auto_create is off"),
        };
        if let Some(reason) = must_exist {
            self.refuse(ErrorKind::UndefinedTable, None, format!("Table {name} does not exist, and {reason}."));
        } else if !self.inspection.can_create {
            self.refuse_creation();
        }
        let (table, origin) = match &target.creation {
            TableCreation::Auto | TableCreation::MustExist => (self.inferred(client, &[]).await?, Origin::New),
            TableCreation::Shape { shape, added_columns: added } => match shape {
                SinkShape::Inferred | SinkShape::Existing => (self.inferred(client, added).await?, Origin::New),
                SinkShape::Ddl { .. } => (self.inferred(client, added).await?, Origin::Ddl),
                SinkShape::Explicit { columns, primary_key, indexes } => {
                    let mut all = written_columns(columns);
                    let more: Vec<NewColumn> = added_columns(added, &target.columns)
                        .filter(|column| !all.iter().any(|known| known.name == column.name))
                        .collect();
                    all.extend(more);
                    let table = NewTable {
                        name: name.clone(),
                        columns: all,
                        primary_key: if primary_key.is_empty() { target.key.clone() } else { primary_key.clone() },
                        indexes: indexes.clone(),
                        comment: target.comment.clone(),
                    };
                    (table, Origin::New)
                }
                SinkShape::Like { path, .. } => {
                    return Err(Error::internal(format!(
                        "the shape LIKE {path} of sink table {name} was not resolved"
                    )));
                }
            },
        };
        let types =
            resolve_types(client, &name.schema, table.columns.iter().map(|column| column.data_type.clone())).await?;
        let (layout, fits) = if origin == Origin::Ddl { (vec![], vec![]) } else { self.new_layout(&table, &types) };
        if target.mode == WriteMode::Upsert && origin == Origin::New && !same_columns(&table.primary_key, &target.key) {
            self.refuse(
                ErrorKind::NoKey,
                None,
                format!(
                    "The key ({}) is not the primary key ({}) of the sink table.",
                    identifiers(&target.key),
                    identifiers(&table.primary_key)
                ),
            );
        }
        let key = table.primary_key.clone();
        let mut planned = self.finish(CreationMethod::Auto, origin, layout, fits, key);
        planned.plan.ddl = before;
        match &target.creation {
            TableCreation::Shape { shape: SinkShape::Ddl { text }, .. } => {
                // As for every other shape, unless the text sees to it itself.
                if !self.inspection.has_schema && !text.to_ascii_lowercase().contains("create schema") {
                    planned.plan.ddl.push(crate::ddl::create_schema(&target.name.schema));
                }
                planned.plan.ddl.push(text.clone());
                planned.plan.key = target.key.clone();
                planned.plan.columns = table
                    .columns
                    .iter()
                    .filter(|column| target.columns.iter().any(|arrives| arrives.name == column.name))
                    .map(|column| SinkColumn {
                        name: column.name.clone(),
                        data_type: column.data_type.clone(),
                        is_key: target.key.contains(&column.name),
                        is_lossy: false,
                    })
                    .collect();
            }
            _ => {
                planned.plan.ddl.extend(table.statements(self.inspection.has_schema));
                planned.plan.ddl_after = table.statements_after();
            }
        }
        Ok(planned)
    }

    fn refuse_creation(&mut self) {
        let inspection = self.inspection;
        let schema = quote_ident(&self.target.name.schema);
        let role = quote_ident(&inspection.user);
        let grant = match inspection.has_schema {
            true => format!("GRANT CREATE, USAGE ON SCHEMA {schema} TO {role};"),
            false => format!("CREATE SCHEMA {schema} AUTHORIZATION {role};"),
        };
        self.refuse(
            ErrorKind::Privilege,
            None,
            format!("User \"{}\" may not create table {}; on that server: {grant}", inspection.user, self.target.name),
        );
    }

    /// The table as what arrives.
    async fn inferred(&self, client: &Client, added: &[catalog::definition::AddedColumn]) -> Result<NewTable> {
        let target = self.target;
        let same = target.columns.iter().filter_map(plain_type).map(str::to_owned);
        let known = resolve_types(client, &target.name.schema, same).await?;
        // Only a name that means the same type on both servers is kept.
        let mut columns = new_columns(&target.columns, |text| known.contains_key(text));
        for column in added_columns(added, &target.columns) {
            match columns.iter_mut().find(|known| known.name == column.name) {
                Some(known) => known.data_type = column.data_type,
                None => columns.push(column),
            }
        }
        Ok(NewTable {
            name: target.name.clone(),
            columns,
            primary_key: target.key.clone(),
            indexes: vec![],
            comment: target.comment.clone(),
        })
    }

    fn new_layout(&mut self, table: &NewTable, types: &HashMap<String, ResolvedType>) -> (Vec<LayoutColumn>, Vec<Fit>) {
        let target = self.target;
        let mut layout = vec![];
        let mut fits = vec![];
        for column in &table.columns {
            if !types.contains_key(&column.data_type) {
                self.refuse(
                    ErrorKind::UndefinedObject,
                    Some(&column.name),
                    format!(
                        "Column \"{}\" has type {}, which does not exist in the sink.",
                        column.name, column.data_type
                    ),
                );
            }
            let arrives = target.columns.iter().any(|arriving| arriving.name == column.name);
            let is_serial = column.data_type.to_ascii_lowercase().contains("serial");
            if !arrives && column.is_not_null && column.default_expr.is_none() && !is_serial {
                self.refuse(
                    ErrorKind::NotNullViolation,
                    Some(&column.name),
                    format!("Column \"{}\" allows no NULL, has no default, and nothing arrives for it.", column.name),
                );
            }
        }
        for key in &table.primary_key {
            if !table.columns.iter().any(|column| column.name == *key) {
                self.refuse(
                    ErrorKind::UndefinedColumn,
                    Some(key),
                    format!("Key column \"{key}\" is not a column of the sink table."),
                );
            }
        }
        for column in &target.columns {
            let Some(new) = table.columns.iter().find(|new| new.name == column.name) else {
                self.refuse(
                    ErrorKind::UndefinedColumn,
                    Some(&column.name),
                    format!("Column \"{}\" arrives and the sink table has no such column.", column.name),
                );
                continue;
            };
            let Some(resolved) = types.get(&new.data_type) else { continue };
            let how = fit(column, resolved);
            if how == Fit::Misfit {
                self.refuse(
                    ErrorKind::TypeMismatch,
                    Some(&column.name),
                    format!(
                        "Column \"{}\" is {} in the sink and {} arrives.",
                        column.name,
                        resolved.text,
                        arriving_type(column)
                    ),
                );
            }
            fits.push(how);
            layout.push(LayoutColumn {
                name: column.name.clone(),
                resolved: resolved.clone(),
                is_not_null: new.is_not_null || table.primary_key.contains(&column.name),
            });
        }
        (layout, fits)
    }

    fn finish(
        &mut self,
        creation_method: CreationMethod,
        origin: Origin,
        layout: Vec<LayoutColumn>,
        fits: Vec<Fit>,
        key: Vec<String>,
    ) -> Planned {
        let target = self.target;
        let is_complete = layout.len() == target.columns.len() && self.misfits.is_empty();
        let arriving = || {
            layout.iter().zip(&fits).filter_map(|(column, how)| {
                Some((target.columns.iter().find(|arrives| arrives.name == column.name)?, column, *how))
            })
        };
        let columns = arriving()
            .map(|(_, column, how)| SinkColumn {
                name: column.name.clone(),
                data_type: column.resolved.text.clone(),
                is_key: key.contains(&column.name),
                is_lossy: how == Fit::Lossy,
            })
            .collect();
        let count = target.columns.len();
        let (mut raw_formats, mut wire_encodings, mut needs_text) = (vec![], vec![None; count], vec![false; count]);
        if is_complete && count > 0 {
            let wire: Vec<Option<String>> =
                arriving().map(|(arrives, column, how)| wire_encoding(arrives, &column.resolved, how)).collect();
            let is_binary = arriving()
                .zip(&wire)
                .all(|((arrives, column, _), wire)| wire.is_some() || is_encodable(arrives, &column.resolved));
            if is_binary {
                wire_encodings = wire;
            } else {
                // One COPY has one format. What is plain comes as text then: nothing is decoded.
                needs_text = target.columns.iter().map(|column| plain_type(column).is_some()).collect();
            }
            if arriving().all(|(arrives, column, _)| plain_type(arrives) == Some(&column.resolved.text)) {
                let column_types: Vec<String> = layout.iter().map(|column| column.resolved.text.clone()).collect();
                if layout.iter().all(|column| is_binary_stable(column.resolved.oid)) {
                    raw_formats.push(RawFormat { name: COPY_BINARY.to_owned(), column_types: column_types.clone() });
                }
                raw_formats.push(RawFormat { name: COPY_TEXT.to_owned(), column_types });
            }
        }
        Planned {
            plan: TablePlan {
                creation_method,
                ddl: vec![],
                ddl_after: vec![],
                columns,
                key,
                misfits: std::mem::take(&mut self.misfits),
                raw_formats,
                wire_encodings,
                needs_text,
            },
            origin,
            layout: if is_complete { layout } else { vec![] },
            misfit_kinds: std::mem::take(&mut self.kinds),
            is_partitioned: false,
            has_triggers: false,
            overrides_identity: false,
        }
    }
}

fn same_columns(left: &[String], right: &[String]) -> bool {
    left.len() == right.len() && left.iter().all(|column| right.contains(column))
}
