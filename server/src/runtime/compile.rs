//! From a mapping to the work that fills it: a query is planned through DataFusion, the sink is
//! asked what it would do, and the fastest exact way between the two is chosen.
//!
//! 1. The query is planned with every column as Arrow, to learn which columns are only passed on.
//! 2. The sink plans the table from what will arrive.
//! 3. When nothing is transformed and both ends agree on a raw format, rows pass as bytes.
//! 4. Otherwise the query is planned again with passed-on columns as wire bytes (or as the
//!    source's text) where the sink takes them, so that only used columns are decoded.

use super::facts::Facts;
use super::options;
use super::query_shape::{Origin, QueryShape};
use crate::gateway::Gateway;
use crate::query::{CheckedArithmetic, map_error};
use catalog::definition::*;
use catalog::store::Snapshot;
use catalog::{Error, ErrorKind, MappingStatus, Path3, Result, WriteMode, force_quote_ident, quote_ident};
use connector_api::{
    ColumnFormat, RawFormat, ReadProgress, RemoteTable, Sink, SnapshotRequest, SnapshotSlot, SplitGoal, TYPE_KEY,
    TableCreation, TablePlan, TableRead, TableTarget, TargetColumn, WIRE_KEY, WriteInput,
};
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::unparser::Unparser;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A mapping that is ready to run.
pub struct Compiled {
    /// The mapping with what is known now (status, key, write mode, columns).
    pub mapping: Mapping,
    /// What is written.
    pub target: TableTarget,
    /// What the sink will do.
    pub plan: TablePlan,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How rows get there.
    pub work: Work,
    /// Estimates of the one table that is read.
    pub estimates: (Option<u64>, Option<u64>),
}

/// How rows get from source to sink.
pub enum Work {
    /// As bytes, unparsed.
    Raw {
        /// What is read.
        read: TableRead,
        /// The format that both ends agree on.
        format: RawFormat,
        /// The snapshot.
        slot: Arc<SnapshotSlot>,
        /// How finely to split.
        goal: SplitGoal,
    },
    /// Through DataFusion.
    Query {
        /// Optimised logical plan.
        logical: LogicalPlan,
        /// Plans and runs it.
        context: SessionContext,
        /// The schema that the writer is told, with the sink's names and the metadata of columns.
        schema: SchemaRef,
    },
}

impl Work {
    /// What the writer is given.
    pub fn input(&self) -> WriteInput {
        match self {
            Self::Raw { format, .. } => WriteInput::Raw(format.clone()),
            Self::Query { schema, .. } => WriteInput::Arrow(schema.clone()),
        }
    }
    /// The physical plan of a query; its source snapshots are opened now.
    pub async fn physical(logical: &LogicalPlan, context: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
        context.state().query_planner().create_physical_plan(logical, &context.state()).await.map_err(map_error)
    }
}

/// What mappings of one run share: facts, and one snapshot per source.
pub struct Compiler {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// Definitions when the run began.
    pub snapshot: Arc<Snapshot>,
    /// The job.
    pub job: Arc<Job>,
    /// What is known of sources.
    pub facts: Facts,
    /// One per source; see [`Compiler::prepare`].
    pub slots: BTreeMap<String, Arc<SnapshotSlot>>,
}

impl Compiler {
    /// Nothing is known yet.
    pub fn new(gateway: Arc<Gateway>, snapshot: Arc<Snapshot>, job: Arc<Job>) -> Self {
        Self { gateway, snapshot, job, facts: Facts::default(), slots: BTreeMap::new() }
    }

    /// Collects the facts of all mappings with one question per source, and makes one snapshot slot
    /// per source over all of its tables. A table that is gone stays unknown: its mapping fails
    /// when it is compiled, and only that one.
    pub async fn prepare(&mut self, mappings: &[Arc<Mapping>]) -> Result<()> {
        let mut paths: Vec<Path3> = mappings.iter().filter_map(|m| m.source.clone()).collect();
        if let JobSpec::Sync(SyncSpec { target: SyncTarget::Query { query, .. }, .. }) = &self.job.spec {
            paths.extend(tables_of(&parse_query(query)?)?);
        }
        for mapping in mappings {
            if let Some(SinkTable { shape: SinkShape::Like { path, .. }, .. }) =
                self.snapshot.sink_table(&mapping.sink).map(|t| t.as_ref())
            {
                paths.push(path.clone());
            }
        }
        paths.sort();
        paths.dedup();
        let (gateway, snapshot) = (self.gateway.clone(), self.snapshot.clone());
        self.facts.describe(&gateway, &snapshot, &paths, true).await?;
        for mapping in mappings {
            self.facts.source(&gateway, &snapshot, &mapping.sink.source, true).await?;
        }
        let mut tables: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (path, table) in &self.facts.tables {
            tables.entry(path.source.clone()).or_default().push(table.clone());
        }
        let readers = options::number(&self.job, "read_parallelism");
        let parallel = options::number(&self.job, "snapshot_tables_in_parallel");
        for (name, tables) in tables {
            let Some(facts) = self.facts.sources.get(&name) else { continue };
            let limit = facts.config.int("max_connections").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            let request = SnapshotRequest { tables, connections_max: (readers * parallel).clamp(1, limit.max(1)) };
            let source = facts.connector.source(&facts.config)?;
            self.slots.insert(name, SnapshotSlot::lazy(source, request));
        }
        Ok(())
    }

    fn goal(&self) -> SplitGoal {
        SplitGoal {
            splits_max: options::number(&self.job, "read_parallelism"),
            rows_min: options::number(&self.job, "split_rows") as u64,
        }
    }

    fn sync(&self) -> &SyncSpec {
        let JobSpec::Sync(spec) = &self.job.spec;
        spec
    }

    /// The query of a mapping as SQL text, with the added columns of its sink table.
    fn query_text(&self, mapping: &Mapping) -> Result<String> {
        let base = match (&self.sync().target, &mapping.source) {
            (SyncTarget::Query { query, .. }, _) => query.clone(),
            (SyncTarget::Tables { .. }, Some(source)) => {
                let list = if mapping.columns.is_empty() {
                    "*".to_owned()
                } else {
                    mapping.columns.iter().map(|c| force_quote_ident(c)).collect::<Vec<_>>().join(", ")
                };
                let filter = mapping.filter.as_ref().map(|f| format!(" WHERE ({f})")).unwrap_or_default();
                format!(
                    "SELECT {list} FROM {}.{}.{}{filter}",
                    force_quote_ident(&source.source),
                    force_quote_ident(&source.name.schema),
                    force_quote_ident(&source.name.table)
                )
            }
            (SyncTarget::Tables { .. }, None) => return Err(Error::internal("a mapping has no source table")),
        };
        let added = self.snapshot.sink_table(&mapping.sink).map(|t| t.added_columns.as_slice()).unwrap_or(&[]);
        if added.is_empty() {
            return Ok(base);
        }
        let extra: Vec<String> = added
            .iter()
            .map(|a| format!("CAST(({}) AS {}) AS {}", a.expr, a.data_type, force_quote_ident(&a.name)))
            .collect();
        Ok(format!("SELECT tg_rows.*, {} FROM ({base}) AS tg_rows", extra.join(", ")))
    }

    /// A context in which the known tables stand under their three-part names.
    fn context(
        &self,
        formats: &BTreeMap<Path3, Vec<ColumnFormat>>,
        progress: &Arc<ReadProgress>,
    ) -> Result<SessionContext> {
        let config = SessionConfig::new()
            .with_target_partitions(options::number(&self.job, "read_parallelism"))
            .with_batch_size(8192)
            .with_information_schema(false)
            .set_str("datafusion.sql_parser.dialect", "PostgreSQL")
            .set_bool("datafusion.sql_parser.parse_float_as_decimal", true)
            .set_str("datafusion.execution.time_zone", "UTC")
            // A load writes rows in any order: splitting or coalescing small work costs and gains nothing.
            .set_bool("datafusion.optimizer.repartition_file_scans", false)
            .set_bool("datafusion.optimizer.enable_round_robin_repartition", false)
            .set_bool("datafusion.execution.coalesce_batches", false);
        let context = SessionContext::new_with_config_rt(config, self.gateway.jobs.runtime_env());
        // A number that wraps around would arrive as a wrong value.
        context.add_analyzer_rule(Arc::new(CheckedArithmetic));
        let mut catalogs: BTreeMap<&str, Arc<MemoryCatalogProvider>> = BTreeMap::new();
        for (path, table) in &self.facts.tables {
            let Some(slot) = self.slots.get(&path.source) else { continue };
            let catalog = catalogs.entry(&path.source).or_insert_with(|| Arc::new(MemoryCatalogProvider::new()));
            let schema = match catalog.schema(&path.name.schema) {
                Some(schema) => schema,
                None => {
                    let schema: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
                    catalog.register_schema(&path.name.schema, schema.clone()).map_err(map_error)?;
                    schema
                }
            };
            let formats = formats.get(path).cloned().unwrap_or_else(|| vec![ColumnFormat::Arrow; table.columns.len()]);
            let remote = RemoteTable::new(slot.clone(), table.clone(), formats, self.goal(), progress.clone());
            schema
                .register_table(path.name.table.clone(), Arc::new(remote) as Arc<dyn TableProvider>)
                .map_err(map_error)?;
        }
        for (name, catalog) in catalogs {
            context.register_catalog(name, catalog);
        }
        Ok(context)
    }

    async fn plan_query(&self, context: &SessionContext, query: &ast::Query) -> Result<LogicalPlan> {
        let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))));
        let state = context.state();
        let plan = state.statement_to_plan(statement).await.map_err(map_error)?;
        state.optimize(&plan).map_err(map_error)
    }

    /// Compiles one mapping. Only reads, at both ends.
    pub async fn compile(&self, mapping: &Mapping, progress: &Arc<ReadProgress>) -> Result<Compiled> {
        let text = self.query_text(mapping)?;
        let query = parse_query(&text)?;
        for path in tables_of(&query)? {
            if !self.facts.tables.contains_key(&path) {
                return Err(Error::new(ErrorKind::UndefinedTable, format!("table {path} does not exist"))
                    .with_table(&path.name.schema, &path.name.table)
                    .with_hint(format!("See: SHOW TABLES FROM SOURCE {};", quote_ident(&path.source))));
            }
        }
        let context = self.context(&BTreeMap::new(), progress)?;
        let logical = self.plan_query(&context, &query).await?;
        let shape = QueryShape::of(&logical);
        let added = self.snapshot.sink_table(&mapping.sink).map_or(0, |t| t.added_columns.len());
        let names = self.output_names(&logical, added)?;
        let arriving = self.arriving(&logical, shape.as_ref(), &names);
        let (target, key_is_known) = self.target(mapping, shape.as_ref(), &names, arriving)?;
        let sink_facts =
            self.facts.sources.get(&mapping.sink.source).ok_or_else(|| Error::internal("a sink was not resolved"))?;
        let sink = sink_facts.connector.sink(&sink_facts.config)?;
        let plan = sink.plan_table(&target).await?;
        if target.mode == WriteMode::Upsert && plan.key.is_empty() && target.key.is_empty() {
            return Err(self.no_key(mapping, key_is_known));
        }
        let (work, target) = match self.raw_work(&logical, shape.as_ref(), &plan, progress)? {
            Some(work) => (work, target),
            None => self.query_work(&query, &context, logical, shape.as_ref(), &plan, target, progress).await?,
        };
        let estimates = shape
            .as_ref()
            .filter(|s| s.filter_free)
            .map_or((None, None), |s| (s.table().rows_estimate, s.table().bytes_estimate));
        let mapping = self.completed(mapping, shape.as_ref(), &logical_exprs(&work), &target, &plan);
        Ok(Compiled { mapping, target, plan, sink, work, estimates })
    }

    /// Whether the tables of a mapping may be read whole: 42501 where a right is missing or
    /// row-level security would hide rows. Opens the source's snapshot and reads no row.
    pub async fn check_readable(&self, mapping: &Mapping) -> Result<()> {
        for path in tables_of(&parse_query(&self.query_text(mapping)?)?)? {
            let (Some(table), Some(slot)) = (self.facts.tables.get(&path), self.slots.get(&path.source)) else {
                continue;
            };
            let read = TableRead::all(table.clone());
            slot.get().await?.splits(&read, SplitGoal { splits_max: 1, rows_min: u64::MAX }).await?;
        }
        Ok(())
    }

    fn no_key(&self, mapping: &Mapping, written: bool) -> Error {
        let name = mapping.source.as_ref().map_or_else(|| mapping.sink.to_string(), |s| s.name.to_string());
        if written {
            return Error::new(ErrorKind::NoKey, format!("the key of {} is not part of what is read", mapping.sink));
        }
        Error::new(
            ErrorKind::NoKey,
            format!("WRITE UPSERT needs a key, and {name} has no primary key or not-null unique index"),
        )
        .with_detail("Without a WRITE clause a job writes UPSERT.")
        .with_hint("Write WRITE APPEND, WRITE OVERWRITE, or WRITE UPSERT KEY (column, ..).")
    }

    /// The sink's column names: INTO t (a, b), else the query's own.
    fn output_names(&self, logical: &LogicalPlan, added: usize) -> Result<Vec<String>> {
        let own: Vec<String> = logical.schema().fields().iter().map(|f| f.name().clone()).collect();
        let names = match &self.sync().target {
            SyncTarget::Query { columns, .. } if !columns.is_empty() => {
                // What ADD COLUMNS of the sink table adds comes last and has its name there.
                let written = own.len().saturating_sub(added);
                if columns.len() != written {
                    return Err(Error::new(
                        ErrorKind::Syntax,
                        format!("INTO names {} columns and the query has {written}", columns.len()),
                    ));
                }
                columns.iter().chain(&own[written..]).cloned().collect()
            }
            SyncTarget::Query { .. } | SyncTarget::Tables { .. } => own,
        };
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return Err(Error::new(ErrorKind::DuplicateColumn, format!("column \"{name}\" is written twice"))
                    .with_hint("Give one of them another name with AS."));
            }
        }
        Ok(names)
    }

    fn arriving(&self, logical: &LogicalPlan, shape: Option<&QueryShape>, names: &[String]) -> Vec<TargetColumn> {
        let family = shape.map(|s| self.family(s));
        let expressions = top_expressions(logical);
        logical
            .schema()
            .fields()
            .iter()
            .zip(names)
            .enumerate()
            .map(|(i, (field, name))| match shape.map(|s| (s, &s.origins[i])) {
                Some((shape, Origin::Column(index))) => {
                    let column = &shape.table().columns[*index];
                    TargetColumn {
                        name: name.clone(),
                        field: column.field.clone().with_name(name),
                        source_type: Some(column.data_type.clone()),
                        source_family: family.clone().flatten(),
                        is_nullable: column.is_nullable,
                        comment: column.comment.clone(),
                    }
                }
                Some((_, Origin::Expression)) | None => TargetColumn {
                    name: name.clone(),
                    field: Field::new(name, field.data_type().clone(), field.is_nullable()).with_metadata(
                        field
                            .metadata()
                            .iter()
                            .filter(|(k, _)| *k == TYPE_KEY && !expressions.get(i).is_some_and(loses_type))
                            .map(|(k, v)| (k.clone(), v.clone()))
                            .collect(),
                    ),
                    source_type: None,
                    source_family: None,
                    is_nullable: field.is_nullable(),
                    comment: None,
                },
            })
            .collect()
    }

    fn family(&self, shape: &QueryShape) -> Option<String> {
        let path = self.facts.tables.iter().find(|(_, t)| Arc::ptr_eq(t, shape.table()))?.0;
        Some(self.facts.sources.get(&path.source)?.connector.name().to_owned())
    }

    fn target(
        &self,
        mapping: &Mapping,
        shape: Option<&QueryShape>,
        names: &[String],
        columns: Vec<TargetColumn>,
    ) -> Result<(TableTarget, bool)> {
        let spec = self.sync();
        let declared = self.snapshot.sink_table(&mapping.sink);
        let mut key_is_primary = false;
        let key: Vec<String> = if !spec.key.is_empty() {
            if let Some(missing) = spec.key.iter().find(|k| !names.contains(k)) {
                return Err(Error::new(ErrorKind::UndefinedColumn, format!("key column \"{missing}\" is not written"))
                    .with_column(missing)
                    .with_hint(format!("Columns: {}.", names.join(", "))));
            }
            spec.key.clone()
        } else if let Some(SinkShape::Explicit { primary_key, .. }) = declared.map(|t| &t.shape)
            && !primary_key.is_empty()
        {
            key_is_primary = true;
            primary_key.clone()
        } else if let Some(shape) = shape {
            key_is_primary = !shape.table().primary_key.is_empty();
            let found: Option<Vec<String>> = shape
                .table()
                .row_key()
                .iter()
                .map(|column| {
                    let index = shape.table().column_index(column)?;
                    let at = shape.origins.iter().position(|o| *o == Origin::Column(index))?;
                    Some(names[at].clone())
                })
                .collect();
            found.unwrap_or_default()
        } else {
            vec![]
        };
        let had_key = shape.is_some_and(|s| !s.table().row_key().is_empty());
        let mode = spec.write.unwrap_or(WriteMode::Upsert);
        // Rows that are added to those of earlier runs have the source's key once more: a key that
        // nobody has asked for would refuse the second run.
        let is_asked = !spec.key.is_empty() || declared.is_some();
        let (key, key_is_primary) =
            if mode == WriteMode::Append && !is_asked { (vec![], false) } else { (key, key_is_primary) };
        if mode == WriteMode::OverwritePartitions {
            return Err(Error::unsupported("WRITE OVERWRITE PARTITIONS"));
        }
        let creation = match declared.map(|t| t.as_ref()) {
            None => TableCreation::Auto,
            Some(SinkTable { shape: SinkShape::Inferred, .. }) => TableCreation::Auto,
            Some(SinkTable { shape: SinkShape::Existing, .. }) => TableCreation::MustExist,
            Some(table @ SinkTable { shape: SinkShape::Like { path, exclude }, .. }) => TableCreation::Shape {
                shape: self.like_shape(path, exclude)?,
                added_columns: table.added_columns.clone(),
            },
            Some(table @ SinkTable { shape: SinkShape::Explicit { .. } | SinkShape::Ddl { .. }, .. }) => {
                TableCreation::Shape { shape: table.shape.clone(), added_columns: table.added_columns.clone() }
            }
        };
        let mut merged: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in declared.iter().flat_map(|t| &t.options).chain(&self.job.options) {
            if let catalog::OptionValue::Text(text) = value {
                merged.insert(name.clone(), text.clone());
            }
        }
        let creation = match creation {
            TableCreation::Auto if !options::boolean(&self.job.options, "auto_create") => TableCreation::MustExist,
            other => other,
        };
        let target = TableTarget {
            name: mapping.sink.name.clone(),
            columns,
            key,
            key_is_primary,
            mode,
            creation,
            options: merged,
            comment: shape.and_then(|s| s.table().comment.clone()),
        };
        Ok((target, had_key))
    }

    /// LIKE: the columns and the key of the other table, in its own types.
    fn like_shape(&self, path: &Path3, exclude: &[String]) -> Result<SinkShape> {
        let table = self.facts.tables.get(path).ok_or_else(|| {
            Error::new(ErrorKind::UndefinedTable, format!("table {path} does not exist"))
                .with_table(&path.name.schema, &path.name.table)
        })?;
        if let Some(unknown) = exclude.iter().find(|c| table.column_index(c).is_none()) {
            return Err(Error::new(
                ErrorKind::UndefinedColumn,
                format!("column \"{unknown}\" of table {path} does not exist"),
            )
            .with_column(unknown));
        }
        let kept = |name: &str| !exclude.iter().any(|e| e == name);
        Ok(SinkShape::Explicit {
            columns: table
                .columns
                .iter()
                .filter(|c| kept(&c.name))
                .map(|c| ColumnDef {
                    name: c.name.clone(),
                    data_type: c.data_type.clone(),
                    is_nullable: c.is_nullable,
                    default_expr: None,
                })
                .collect(),
            primary_key: if table.primary_key.iter().all(|c| kept(c)) { table.primary_key.clone() } else { vec![] },
            indexes: vec![],
        })
    }

    fn raw_work(
        &self,
        logical: &LogicalPlan,
        shape: Option<&QueryShape>,
        plan: &TablePlan,
        progress: &Arc<ReadProgress>,
    ) -> Result<Option<Work>> {
        // Bad rows cannot be told apart in bytes.
        if matches!(self.sync().on_error, OnError::Skip { .. }) {
            return Ok(None);
        }
        let Some((shape, read)) = shape.and_then(|s| s.pass_through(logical, progress).map(|r| (s, r))) else {
            return Ok(None);
        };
        let offered = shape.source().raw_formats(&read);
        let Some(format) = offered.into_iter().find(|f| plan.raw_formats.contains(f)) else { return Ok(None) };
        let slot = self.slot_of(shape)?;
        Ok(Some(Work::Raw { read, format, slot, goal: self.goal() }))
    }

    fn slot_of(&self, shape: &QueryShape) -> Result<Arc<SnapshotSlot>> {
        self.facts
            .tables
            .iter()
            .find(|(_, t)| Arc::ptr_eq(t, shape.table()))
            .and_then(|(path, _)| self.slots.get(&path.source))
            .cloned()
            .ok_or_else(|| Error::internal("a table has no snapshot"))
    }

    /// Plans again with passed-on columns as wire bytes or text, where the sink takes them.
    #[allow(clippy::too_many_arguments)]
    async fn query_work(
        &self,
        query: &ast::Query,
        context: &SessionContext,
        logical: LogicalPlan,
        shape: Option<&QueryShape>,
        plan: &TablePlan,
        mut target: TableTarget,
        progress: &Arc<ReadProgress>,
    ) -> Result<(Work, TableTarget)> {
        let formats = shape.map(|s| s.formats(plan)).filter(|f| f.iter().any(|f| *f != ColumnFormat::Arrow));
        let (logical, context) = match (shape, formats) {
            (Some(shape), Some(formats)) => {
                let Some(path) =
                    self.facts.tables.iter().find(|(_, t)| Arc::ptr_eq(t, shape.table())).map(|(p, _)| p.clone())
                else {
                    return Err(Error::internal("a table is not known"));
                };
                let read = TableRead { formats: formats.clone(), ..TableRead::all(shape.table().clone()) };
                let fields = read.schema(shape.source().as_ref());
                for (column, origin) in target.columns.iter_mut().zip(&shape.origins) {
                    if let Origin::Column(index) = origin {
                        column.field = fields.field(*index).clone().with_name(&column.name);
                    }
                }
                let context = self.context(&BTreeMap::from([(path, formats)]), progress)?;
                let logical = self.plan_query(&context, query).await?;
                (logical, context)
            }
            _ => (logical, context.clone()),
        };
        // The schema of the batches is DataFusion's; names and metadata are ours.
        let fields: Vec<Field> = logical
            .schema()
            .fields()
            .iter()
            .zip(&target.columns)
            .map(|(planned, column)| {
                Field::new(&column.name, planned.data_type().clone(), planned.is_nullable()).with_metadata(
                    column
                        .field
                        .metadata()
                        .iter()
                        .filter(|(k, _)| *k == TYPE_KEY || *k == WIRE_KEY)
                        .map(|(k, v)| (k.clone(), v.clone()))
                        .collect(),
                )
            })
            .collect();
        Ok((Work::Query { logical, context, schema: Arc::new(Schema::new(fields)) }, target))
    }

    fn completed(
        &self,
        mapping: &Mapping,
        shape: Option<&QueryShape>,
        expressions: &[Option<String>],
        target: &TableTarget,
        plan: &TablePlan,
    ) -> Mapping {
        let mut mapping = mapping.clone();
        let lossy: Vec<&str> = plan.columns.iter().filter(|c| c.is_lossy).map(|c| c.name.as_str()).collect();
        (mapping.status, mapping.detail) = if !plan.misfits.is_empty() {
            let all: Vec<&str> = plan.misfits.iter().map(|m| m.message.as_str()).collect();
            (MappingStatus::Failed, Some(all.join(" ")))
        } else if !lossy.is_empty() {
            (MappingStatus::Alerting, Some(format!("Values may lose something in: {}.", lossy.join(", "))))
        } else {
            (MappingStatus::Completed, None)
        };
        mapping.creation_method = Some(plan.creation_method);
        mapping.key_columns = plan.key.clone();
        mapping.write_mode = Some(target.mode);
        mapping.column_map = target
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| {
                let source = shape.and_then(|s| match &s.origins[i] {
                    Origin::Column(index) => Some(&s.table().columns[*index]),
                    Origin::Expression => None,
                });
                MappingColumn {
                    source_column: source.map(|c| c.name.clone()),
                    source_type: source.map(|c| c.data_type.clone()),
                    expression: if source.is_some() { None } else { expressions.get(i).cloned().flatten() },
                    sink_column: column.name.clone(),
                    sink_type: plan.columns.get(i).map(|c| c.data_type.clone()),
                    is_key: plan.key.contains(&column.name),
                    is_lossy: plan.columns.get(i).is_some_and(|c| c.is_lossy),
                }
            })
            .collect();
        mapping
    }
}

/// Whether an expression is a cast to a type that Arrow has: the planner leaves on it the declared
/// type of what is cast, as if `document::text` still were jsonb.
fn loses_type(expression: &Expr) -> bool {
    match expression {
        Expr::Alias(alias) => loses_type(&alias.expr),
        Expr::Cast(cast) => !cast.field.metadata().contains_key(TYPE_KEY),
        Expr::TryCast(cast) => !cast.field.metadata().contains_key(TYPE_KEY),
        _ => false,
    }
}

/// The top expressions of an optimised query, with what the optimiser computes once for several of
/// them put back.
fn top_expressions(logical: &LogicalPlan) -> Vec<Expr> {
    let LogicalPlan::Projection(projection) = logical else { return vec![] };
    let LogicalPlan::Projection(inner) = projection.input.as_ref() else { return projection.expr.clone() };
    let common = |name: &str| {
        inner.expr.iter().find_map(|e| match e {
            Expr::Alias(alias) if alias.name == name => Some(alias.expr.as_ref().clone()),
            _ => None,
        })
    };
    let restored = |expression: &Expr| {
        expression.clone().transform_up(|e| {
            Ok(match &e {
                Expr::Column(column) => {
                    common(&column.name).map_or_else(|| Transformed::no(e.clone()), Transformed::yes)
                }
                _ => Transformed::no(e),
            })
        })
    };
    projection.expr.iter().map(|e| restored(e).map_or_else(|_| e.clone(), |restored| restored.data)).collect()
}

/// The top expressions of a query as text, for `tidegate.job_columns`.
fn logical_exprs(work: &Work) -> Vec<Option<String>> {
    let Work::Query { logical, .. } = work else { return vec![] };
    top_expressions(logical).iter().map(|e| Some(expression_text(e))).collect()
}

/// An expression as SQL, with columns by their plain names; as the planner writes it where SQL has no
/// form for it.
fn expression_text(expression: &Expr) -> String {
    let plain = expression.clone().unalias().transform_up(|e| {
        Ok(match e {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::new_unqualified(column.name))),
            Expr::ScalarFunction(mut call) if call.args.len() == 2 => {
                // Checked arithmetic is written as the operator that it stands for.
                let operator = match call.func.name() {
                    "checked_plus" => Operator::Plus,
                    "checked_minus" => Operator::Minus,
                    "checked_times" => Operator::Multiply,
                    _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
                };
                let (right, left) = (call.args.remove(1), call.args.remove(0));
                Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right))))
            }
            other => Transformed::no(other),
        })
    });
    let text = plain.and_then(|plain| Unparser::default().expr_to_sql(&plain.data));
    text.map_or_else(|_| expression.to_string(), |sql| sql.to_string())
}

/// All misfits of a plan as one error.
pub fn misfit_error(compiled: &Compiled) -> Option<Error> {
    let first = compiled.plan.misfits.first()?;
    let all: Vec<&str> = compiled.plan.misfits.iter().map(|m| m.message.as_str()).collect();
    let (sink, table) = (&compiled.mapping.sink, &compiled.target.name);
    // Rights that are missing say nothing of the structure, and are mended elsewhere.
    let is_privilege = compiled.plan.misfits.iter().all(|m| m.kind == ErrorKind::Privilege);
    let error = if is_privilege {
        Error::new(ErrorKind::Privilege, format!("sink table {sink} may not be written"))
            .with_hint("Run the GRANT statements of the DETAIL there, then try again.")
    } else {
        Error::new(ErrorKind::TypeMismatch, format!("sink table {sink} does not fit what arrives"))
            .with_hint("Change the sink table, or choose and convert columns with AS SELECT.")
    };
    let error = error.with_table(&table.schema, &table.table).with_detail(all.join(" "));
    Some(match &first.column {
        Some(column) => error.with_column(column),
        None => error,
    })
}

/// Parses one query; a job's query was parsed when the job was created.
pub fn parse_query(text: &str) -> Result<ast::Query> {
    let mut parsed = planner::parse(text)?;
    match (parsed.len(), parsed.pop().map(|p| p.statement)) {
        (1, Some(planner::Statement::Sql(statement))) => match *statement {
            ast::Statement::Query(query) => Ok(*query),
            _ => Err(Error::new(ErrorKind::Syntax, "a job needs a query")),
        },
        _ => Err(Error::new(ErrorKind::Syntax, "a job needs one query")),
    }
}

/// The tables that a query reads; each must have three parts.
pub fn tables_of(query: &ast::Query) -> Result<Vec<Path3>> {
    let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))));
    let (tables, _) = resolve_table_references(&statement, true).map_err(map_error)?;
    tables
        .iter()
        .map(|reference| match (reference.catalog(), reference.schema()) {
            (Some(source), Some(schema)) => Ok(Path3::new(source, schema, reference.table())),
            _ => Err(Error::new(ErrorKind::UndefinedTable, format!("\"{reference}\" is not a three-part name"))
                .with_hint("In a job's query every table is written source.schema.table.")),
        })
        .collect()
}
