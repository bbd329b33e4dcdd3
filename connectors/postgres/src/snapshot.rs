//! The source: one exported snapshot for all tables of a run, its splits, and the way to its reads.

use crate::client::{Client, connect, user};
use crate::decode::BinaryRows;
use crate::discover::{TypeCatalog, get};
use crate::filter;
use crate::pool::{BEGIN, Pool, READING_SESSION};
use crate::read::{self, Raw, Selection, TableFacts};
use crate::split::{self, Leaf, Part};
use crate::types::{is_binary_stable, oid_of_type_text};
use arrow::datatypes::DataType;
use async_trait::async_trait;
use catalog::name::force_quote_ident;
use catalog::{Error, ErrorKind, Lineage, Position, Result, TableName, quote_ident};
use connector_api::{
    BatchStream, ChangeStream, FilterPushdown, RawFormat, RawStream, Snapshot, SnapshotRequest, Source, SourceConfig,
    Split, SplitGoal, TableRead, TableSchema,
};
use datafusion::logical_expr::Expr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the raw format with rows in the server's binary form.
pub(crate) const COPY_BINARY: &str = "postgres.copy_binary";
/// Name of the raw format with rows in the server's text form.
pub(crate) const COPY_TEXT: &str = "postgres.copy_text";
/// With more tables than this in one snapshot they are not locked at its start: the server's lock
/// table is shared by everybody. A TRUNCATE between snapshot and read would then be seen.
const LOCKED_TABLES_MAX: usize = 500;
/// How often the start is tried again when a table vanishes between two of its statements.
const ATTEMPTS_MAX: usize = 3;

/// PostgreSQL as source.
#[derive(Debug, Clone)]
pub(crate) struct PostgresSource {
    config: SourceConfig,
}

impl PostgresSource {
    /// For this configuration; connects to nothing.
    pub(crate) fn new(config: SourceConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn open_snapshot(&self, request: SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
        let limit = self.config.int("max_connections").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Ok(Arc::new(PostgresSnapshot::open(self, &request, request.connections_max.min(limit)).await?))
    }

    async fn changes(&self, _tables: &[Arc<TableSchema>], _from: &Position) -> Result<ChangeStream> {
        Err(Error::unsupported("change capture from PostgreSQL"))
    }

    async fn acknowledge(&self, _upto: &Position) -> Result<()> {
        // A snapshot keeps nothing on the server that an acknowledgement could free.
        Ok(())
    }

    async fn release(&self) -> Result<()> {
        // Snapshots leave nothing behind; slots and publications come with change capture.
        Ok(())
    }

    fn push_filter(&self, table: &TableSchema, expression: &Expr) -> FilterPushdown {
        filter::push(table, expression)
    }

    fn wire_encoding(&self, table: &TableSchema, column: usize) -> Option<String> {
        let oid = oid_of_type_text(&table.columns.get(column)?.data_type)?;
        is_binary_stable(oid).then(|| format!("postgres.binary:{oid}"))
    }

    fn raw_formats(&self, read: &TableRead) -> Vec<RawFormat> {
        let mut column_types = vec![];
        let mut is_binary = true;
        for &index in &read.columns {
            let Some(column) = read.table.columns.get(index) else { return vec![] };
            column_types.push(column.data_type.clone());
            is_binary &= match oid_of_type_text(&column.data_type) {
                Some(oid) => is_binary_stable(oid),
                // A type that is not built in but read into an Arrow twin is a domain, whose bytes
                // are those of the type behind it. Of the others only the server knows.
                None => *column.field.data_type() != DataType::Utf8,
            };
        }
        // Rows without a column have no text form that can be counted.
        if column_types.is_empty() {
            return vec![];
        }
        let format = |name: &str| RawFormat { name: name.to_owned(), column_types: column_types.clone() };
        if is_binary { vec![format(COPY_BINARY), format(COPY_TEXT)] } else { vec![format(COPY_TEXT)] }
    }
}

/// One exported snapshot.
struct PostgresSnapshot {
    source: PostgresSource,
    position: Position,
    pool: Arc<Pool>,
    types: TypeCatalog,
    /// What is known of each table; an error is kept, so that one bad table stops only itself.
    tables: Mutex<HashMap<TableName, Arc<TableFacts>>>,
}

impl PostgresSnapshot {
    async fn open(source: &PostgresSource, request: &SnapshotRequest, connections_max: usize) -> Result<Self> {
        let config = &source.config;
        let client = connect(config, "snapshot").await?;
        client.run("open a snapshot", client.batch_execute(READING_SESSION)).await?;
        let position = position(&client).await?;
        let names: Vec<TableName> = request.tables.iter().map(|table| table.name.clone()).collect();
        let mut attempt = 1;
        let snapshot_id = loop {
            match begin(&client, &names).await {
                Ok(id) => break id,
                // A table was dropped, or taken from us, after we had seen it.
                Err(error)
                    if attempt < ATTEMPTS_MAX
                        && matches!(
                            error.kind(),
                            ErrorKind::UndefinedTable | ErrorKind::UndefinedSchema | ErrorKind::Privilege
                        ) =>
                {
                    attempt += 1;
                    client.run("open a snapshot", client.batch_execute("ROLLBACK")).await?;
                }
                Err(error) => return Err(error),
            }
        };
        let types = TypeCatalog::load(&client).await?;
        let tables = facts(&client, &types, &names).await?;
        Ok(Self {
            source: source.clone(),
            position,
            pool: Pool::new(config.clone(), client, snapshot_id, connections_max),
            types,
            tables: Mutex::new(tables.into_iter().map(|(name, facts)| (name, Arc::new(facts))).collect()),
        })
    }

    /// What is known of a table, or why it cannot be read whole.
    async fn table(&self, name: &TableName) -> Result<Arc<TableFacts>> {
        let known = |snapshot: &Self| snapshot.tables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let facts = match known(self) {
            Some(facts) => facts,
            None => {
                // Not among the tables of the request, or not there: asked for once more.
                let name = std::slice::from_ref(name);
                let found = match self.pool.coordinator() {
                    Some(client) => facts(client, &self.types, name).await?,
                    None => {
                        let lease = self.pool.acquire().await?;
                        let found = facts(lease.client()?, &self.types, name).await?;
                        lease.finish();
                        found
                    }
                };
                let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
                for (name, facts) in found {
                    tables.insert(name, Arc::new(facts));
                }
                let name = &name[0];
                tables.get(name).cloned().ok_or_else(|| {
                    Error::new(
                        ErrorKind::UndefinedTable,
                        format!("table {name} does not exist on {}", self.source.config.label()),
                    )
                    .with_hint(format!("ALTER SOURCE {} REFRESH;", quote_ident(&self.source.config.name)))
                    .with_table(&name.schema, &name.table)
                })?
            }
        };
        facts.check(&self.source.config, name)?;
        Ok(facts)
    }

    /// The relations that hold the table's rows; None when it is to be read in one piece. Looks
    /// through the coordinator, so that cutting one table never waits for the reads of others.
    async fn leaves(&self, facts: &TableFacts) -> Result<Option<Vec<Leaf>>> {
        match self.pool.coordinator() {
            Some(client) => leaves(client, facts).await,
            None => {
                let lease = self.pool.acquire().await?;
                let leaves = leaves(lease.client()?, facts).await?;
                lease.finish();
                Ok(leaves)
            }
        }
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn position(&self) -> &Position {
        &self.position
    }

    async fn splits(&self, read: &TableRead, goal: SplitGoal) -> Result<Vec<Split>> {
        self.pool.check()?;
        let name = &read.table.name;
        let facts = self.table(name).await?;
        let whole = Leaf { name: name.clone(), pages: None, bytes: 0, rows: None, is_only: false };
        let can_be_cut = matches!(facts.kind, 'r' | 'p' | 'm') && facts.is_granted && goal.splits_max > 1;
        let leaves = match can_be_cut {
            true => self.leaves(&facts).await?.unwrap_or_else(|| vec![whole]),
            false => vec![whole],
        };
        split::cut(name, &leaves, goal)
    }

    async fn read(&self, read: &TableRead, split: &Split) -> Result<BatchStream> {
        self.pool.check()?;
        let facts = self.table(&read.table.name).await?;
        let parts = split::parts(split)?;
        let selection = Selection::batches(&self.pool, &self.types, &facts, read)?;
        read::batches(&self.pool, &selection, &parts, read, read.schema(&self.source)).await
    }

    async fn read_raw(&self, read: &TableRead, split: &Split, format: &RawFormat) -> Result<RawStream> {
        self.pool.check()?;
        let facts = self.table(&read.table.name).await?;
        let parts: Vec<Part> = split::parts(split)?;
        let selection = Selection::raw(&self.pool, &facts, read)?;
        let raw = match format.name.as_str() {
            COPY_BINARY => Raw::Binary(BinaryRows::new(read.columns.len())),
            COPY_TEXT => Raw::Text,
            other => return Err(Error::internal(format!("raw format \"{other}\" was not offered"))),
        };
        read::chunks(&self.pool, &selection, &parts, read, raw).await
    }
}

impl TableFacts {
    fn check(&self, config: &SourceConfig, name: &TableName) -> Result<()> {
        let role = quote_ident(user(config));
        let place = if config.name.is_empty() { String::new() } else { format!("On {}: ", config.name) };
        if self.hides_rows {
            return Err(Error::new(
                ErrorKind::Privilege,
                format!(
                    "row-level security on table {name} would hide rows from user \"{}\" of {}",
                    user(config),
                    config.label()
                ),
            )
            .with_detail("What could be read would silently be a part of the table.")
            .with_hint(format!("{place}ALTER ROLE {role} BYPASSRLS;"))
            .with_table(&name.schema, &name.table));
        }
        if !self.is_readable {
            return Err(Error::new(
                ErrorKind::Privilege,
                format!("user \"{}\" of {} may not read table {name}", user(config), config.label()),
            )
            .with_hint(format!(
                "{place}GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {name} TO {role};",
                quote_ident(&name.schema)
            ))
            .with_table(&name.schema, &name.table));
        }
        Ok(())
    }
}

/// See [`PostgresSnapshot::leaves`].
async fn leaves(client: &Client, facts: &TableFacts) -> Result<Option<Vec<Leaf>>> {
    // UNION drops what is inherited over two ways: such a child is read once.
    let rows = client
        .run(
            "find the partitions of a table",
            client.query(
                "WITH RECURSIVE tree(oid) AS (SELECT $1::oid \
                    UNION SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid \
                    WHERE NOT i.inhdetachpending) \
                 SELECT n.nspname::text, c.relname::text, c.relkind::text, coalesce(am.amname::text, ''), \
                        coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8, \
                        coalesce(pg_table_size(c.oid), 0), c.reltuples::float8, c.relpages::int8, \
                        has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') \
                            AND NOT row_security_active(c.oid) \
                 FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 LEFT JOIN pg_am am ON am.oid = c.relam \
                 WHERE c.relkind <> 'p' AND c.relpersistence <> 't' ORDER BY c.oid",
                &[&facts.oid],
            ),
        )
        .await?;
    let mut leaves = vec![];
    let mut is_readable = true;
    for row in &rows {
        let kind: String = get(client, row, 2)?;
        let access_method: String = get(client, row, 3)?;
        let pages = u64::try_from(get::<i64>(client, row, 4)?).unwrap_or(0);
        let tuples: f64 = get(client, row, 6)?;
        let pages_then: i64 = get(client, row, 7)?;
        is_readable &= get::<bool>(client, row, 8)?;
        // The estimate is as old as the last ANALYZE; it grows with the relation.
        let rows = match (tuples, pages_then) {
            (tuples, then) if tuples >= 0.0 && then > 0 => Some((tuples / then as f64 * pages as f64) as u64),
            _ => None,
        };
        let is_heap =
            access_method == "heap" && matches!(kind.as_str(), "r" | "m") && client.server_version() >= 140_000;
        leaves.push(Leaf {
            name: TableName::new(get::<String>(client, row, 0)?, get::<String>(client, row, 1)?),
            pages: is_heap.then_some(pages),
            bytes: u64::try_from(get::<i64>(client, row, 5)?).unwrap_or(0),
            rows,
            is_only: matches!(kind.as_str(), "r" | "f"),
        });
    }
    // A grant on the root covers its partitions only in a read through the root.
    Ok(is_readable.then_some(leaves))
}

/// Where the log stands, read before the snapshot is taken: what was committed before it is in
/// the snapshot, and some of what comes after may be too.
async fn position(client: &Client) -> Result<Position> {
    let doing = "read the position of the log";
    let row = client
        .run(
            doing,
            client.query_one(
                "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END \
                         - '0/0'::pg_lsn)::text, \
                        has_function_privilege('pg_control_system()', 'EXECUTE') \
                        AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE')",
                &[],
            ),
        )
        .await?;
    let lsn: Option<String> = get(client, &row, 0)?;
    let mut lineage = Lineage::default();
    // Hosted servers may keep these to themselves; then the history has no name.
    if get::<bool>(client, &row, 1)? {
        let row = client
            .run(
                doing,
                client.query_one(
                    "SELECT s.system_identifier::text, c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c",
                    &[],
                ),
            )
            .await?;
        lineage.system_identifier = get(client, &row, 0)?;
        lineage.timeline = u32::try_from(get::<i32>(client, &row, 1)?).unwrap_or(0);
    }
    Ok(Position::Lsn { lsn: lsn.and_then(|lsn| lsn.parse().ok()).unwrap_or(0), lineage })
}

/// Begins the transaction, locks the tables against structural change and TRUNCATE (which no
/// snapshot protects from), and only then takes and exports the snapshot.
async fn begin(client: &Client, names: &[TableName]) -> Result<String> {
    let mut begin = BEGIN.to_owned();
    if names.len() <= LOCKED_TABLES_MAX {
        let (schemas, tables) = arrays(names);
        let rows = client
            .run(
                "look at tables",
                client.query(
                    "SELECT n.nspname::text, c.relname::text \
                     FROM unnest($1::text[], $2::text[]) AS r(nspname, relname) \
                     JOIN pg_namespace n ON n.nspname = r.nspname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.relname \
                     WHERE c.relkind IN ('r', 'p') AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')",
                    &[&schemas, &tables],
                ),
            )
            .await?;
        let mut locks = vec![];
        for row in &rows {
            let (schema, table): (String, String) = (get(client, row, 0)?, get(client, row, 1)?);
            locks.push(format!("{}.{}", force_quote_ident(&schema), force_quote_ident(&table)));
        }
        if !locks.is_empty() {
            begin.push_str(&format!("; LOCK TABLE {} IN ACCESS SHARE MODE", locks.join(", ")));
        }
    }
    client.run("open a snapshot", client.batch_execute(&begin)).await?;
    let row = client.run("export a snapshot", client.query_one("SELECT pg_export_snapshot()", &[])).await?;
    get(client, &row, 0)
}

fn arrays(names: &[TableName]) -> (Vec<&str>, Vec<&str>) {
    (names.iter().map(|n| n.schema.as_str()).collect(), names.iter().map(|n| n.table.as_str()).collect())
}

/// The tables as they are in the snapshot; one that is not there is left out.
async fn facts(client: &Client, types: &TypeCatalog, names: &[TableName]) -> Result<HashMap<TableName, TableFacts>> {
    let (schemas, tables) = arrays(names);
    let doing = "look at tables";
    let rows = client
        .run(
            doing,
            client.query(
                "SELECT n.nspname::text, c.relname::text, c.oid, c.relkind::text, has_table_privilege(c.oid, 'SELECT'), \
                        has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'), \
                        row_security_active(c.oid) \
                 FROM unnest($1::text[], $2::text[]) AS r(nspname, relname) \
                 JOIN pg_namespace n ON n.nspname = r.nspname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.relname \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')",
                &[&schemas, &tables],
            ),
        )
        .await?;
    let mut by_oid: HashMap<u32, (TableName, TableFacts)> = HashMap::new();
    for row in &rows {
        let name = TableName::new(get::<String>(client, row, 0)?, get::<String>(client, row, 1)?);
        let oid = get(client, row, 2)?;
        let facts = TableFacts {
            columns: HashMap::new(),
            oid,
            kind: get::<String>(client, row, 3)?.chars().next().unwrap_or('r'),
            is_granted: get(client, row, 4)?,
            is_readable: get(client, row, 5)?,
            hides_rows: get(client, row, 6)?,
        };
        by_oid.insert(oid, (name, facts));
    }
    let oids: Vec<u32> = by_oid.keys().copied().collect();
    let rows = client
        .run(
            doing,
            client.query(
                "SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, ty.typtype::text \
                 FROM pg_attribute a JOIN pg_type ty ON ty.oid = a.atttypid \
                 WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped",
                &[&oids],
            ),
        )
        .await?;
    for row in &rows {
        let typtype: String = get(client, row, 5)?;
        let base = types.base(get(client, row, 3)?, get(client, row, 4)?, typtype.chars().next().unwrap_or('b'));
        if let Some((_, facts)) = by_oid.get_mut(&get(client, row, 0)?) {
            facts.columns.insert(get(client, row, 1)?, (get(client, row, 2)?, base));
        }
    }
    Ok(by_oid.into_values().collect())
}
