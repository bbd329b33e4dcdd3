//! The sink's own memory: `tidegate.sink_positions` in the target database, one row per gateway, job
//! and mapping, written in the transaction that writes the rows.
//!
//! An advisory lock per row orders a write and whoever asks about it: a question waits until a
//! writer that may still be committing (its gateway is dead, its backend not yet) has ended.

use crate::client::{Client, connect, user};
use catalog::{Error, ErrorKind, Result, TableName, quote_ident};
use connector_api::{CommitKey, SourceConfig};
use std::time::Duration;

/// Longest wait for a lock of another session.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a dead writer's backend may take to end by itself before it is ended.
const DEAD_WRITER_TIME: Duration = Duration::from_secs(2);
/// The lock under which the table is made: "tidegate" in ASCII.
const CREATE_LOCK: i64 = 0x7469_6465_6761_7465;

/// The lock of one row: FNV-1a over its identity.
fn lock_number(key: &CommitKey) -> i64 {
    let text = format!("{}/{}/{}", key.gateway_id, key.job_id, key.mapping_id);
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
        as i64
}

/// Makes the table when it is absent. Safe against another gateway that does the same.
pub(crate) async fn ensure_table(client: &Client) -> Result<()> {
    const DOING: &str = "create table tidegate.sink_positions";
    let (has_schema, has_table) = look(client).await?;
    if has_table {
        return Ok(());
    }
    // CREATE SCHEMA IF NOT EXISTS asks for the right to create one even when it exists.
    let create_schema = if has_schema { "" } else { "CREATE SCHEMA IF NOT EXISTS tidegate;" };
    let statement = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock({CREATE_LOCK}); {create_schema}
         CREATE TABLE IF NOT EXISTS tidegate.sink_positions (
           gateway_id text NOT NULL, job_id bigint NOT NULL, mapping_id bigint NOT NULL, run_id bigint NOT NULL,
           position text NOT NULL, rows_written bigint NOT NULL, committed_at timestamptz NOT NULL DEFAULT now(),
           PRIMARY KEY (gateway_id, job_id, mapping_id));
         COMMENT ON TABLE tidegate.sink_positions IS
           'What tidegate wrote into this database, and up to where: written in the same transaction as the rows';
         COMMIT",
        LOCK_TIMEOUT.as_millis()
    );
    for attempt in 1.. {
        let Err(error) = client.run(DOING, client.batch_execute(&statement)).await else { break };
        client.run("roll back", client.batch_execute("ROLLBACK")).await?;
        match error.sqlstate() {
            // Somebody who does not take our lock was faster.
            "23505" | "42P06" | "42P07" if look(client).await?.1 => break,
            "23505" | "42P06" | "42P07" if attempt < 3 => {}
            "42501" => return Err(privilege_error(client.config(), has_schema, error)),
            _ => return Err(error),
        }
    }
    Ok(())
}

/// Makes a schema when it is absent, in a transaction of its own. Safe against others that do the same.
pub(crate) async fn ensure_schema(client: &Client, schema: &str) -> Result<()> {
    let doing = format!("create schema {}", quote_ident(schema));
    let exists = "select exists (select from pg_namespace where nspname = $1::text)";
    let statement = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock({CREATE_LOCK}); {}; COMMIT",
        LOCK_TIMEOUT.as_millis(),
        crate::ddl::create_schema(schema)
    );
    if client.run(&doing, client.query_one(exists, &[&schema])).await?.get(0) {
        return Ok(());
    }
    let Err(error) = client.run(&doing, client.batch_execute(&statement)).await else { return Ok(()) };
    client.run("roll back", client.batch_execute("ROLLBACK")).await?;
    // Somebody who does not take our lock may have been faster.
    match client.run(&doing, client.query_one(exists, &[&schema])).await?.get(0) {
        true => Ok(()),
        false => Err(error),
    }
}

fn privilege_error(config: &SourceConfig, has_schema: bool, cause: Error) -> Error {
    let error = Error::new(
        ErrorKind::Privilege,
        format!("user \"{}\" may not create the table tidegate.sink_positions on {}", user(config), config.label()),
    )
    .with_hint(format!("On that server: {}", create_hint(user(config), has_schema)));
    match cause.detail() {
        Some(detail) => error.with_detail(format!("tidegate keeps there what it has written. {detail}")),
        None => error,
    }
}

/// The statement that lets a user's gateway keep its memory.
pub(crate) fn create_hint(user: &str, has_schema: bool) -> String {
    let user = quote_ident(user);
    match has_schema {
        false => format!("CREATE SCHEMA tidegate AUTHORIZATION {user};"),
        true => format!(
            "GRANT USAGE, CREATE ON SCHEMA tidegate TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tidegate TO {user};"
        ),
    }
}

/// Whether the schema and the table are there. Needs no rights on them.
async fn look(client: &Client) -> Result<(bool, bool)> {
    let row = client
        .run(
            "look for table tidegate.sink_positions",
            client.query_one(
                "select n.oid is not null, c.oid is not null
                 from (values ('tidegate'::name)) as wanted(schema_name)
                 left join pg_namespace n on n.nspname = wanted.schema_name
                 left join pg_class c on c.relnamespace = n.oid and c.relname = 'sink_positions'",
                &[],
            ),
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

/// Takes the row's lock until the transaction ends; the write's transaction does so first of all.
pub(crate) async fn lock(client: &Client, key: &CommitKey, table: &TableName) -> Result<()> {
    let statement = format!("SELECT pg_advisory_xact_lock({})", lock_number(key));
    client.run(&format!("wait for an earlier write of table {table} to end"), client.batch_execute(&statement)).await
}

/// Writes the row, in the open transaction.
pub(crate) async fn remember(client: &Client, key: &CommitKey, position: &str, rows: u64) -> Result<()> {
    let rows = i64::try_from(rows).unwrap_or(i64::MAX);
    client
        .run(
            "write the position into tidegate.sink_positions",
            client.execute(
                "INSERT INTO tidegate.sink_positions AS known
                   (gateway_id, job_id, mapping_id, run_id, position, rows_written, committed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp())
                 ON CONFLICT (gateway_id, job_id, mapping_id) DO UPDATE SET run_id = EXCLUDED.run_id,
                   position = EXCLUDED.position, rows_written = EXCLUDED.rows_written,
                   committed_at = EXCLUDED.committed_at",
                &[&key.gateway_id, &key.job_id, &key.mapping_id, &key.run_id, &position, &rows],
            ),
        )
        .await?;
    Ok(())
}

/// The position that this key's run committed, and how many rows; None when it did not commit.
/// Waits until no writer of the key is at work any more.
pub(crate) async fn recall(config: &SourceConfig, key: &CommitKey) -> Result<Option<(String, u64)>> {
    let client = connect(config, "recovery").await?;
    if !look(&client).await?.1 {
        return Ok(None);
    }
    let doing = "read the position from tidegate.sink_positions";
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock_shared({})",
        LOCK_TIMEOUT.as_millis(),
        lock_number(key)
    );
    client.run(doing, client.batch_execute(&begin)).await?;
    let row = client
        .run(
            doing,
            client.query_opt(
                "select position, rows_written from tidegate.sink_positions
                 where gateway_id = $1 and job_id = $2 and mapping_id = $3 and run_id = $4",
                &[&key.gateway_id, &key.job_id, &key.mapping_id, &key.run_id],
            ),
        )
        .await?;
    client.run(doing, client.batch_execute("COMMIT")).await?;
    Ok(row.map(|row| (row.get(0), u64::try_from(row.get::<_, i64>(1)).unwrap_or(0))))
}

/// Ends backends that still work for a dead write of this key; answers what was ended.
pub(crate) async fn end_dead_writers(config: &SourceConfig, key: &CommitKey) -> Result<Vec<String>> {
    const DOING: &str = "end what is left of an earlier write";
    let client = connect(config, "recovery").await?;
    let number = lock_number(key);
    let begin = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock({number}); COMMIT",
        DEAD_WRITER_TIME.as_millis()
    );
    match client.run(DOING, client.batch_execute(&begin)).await {
        Ok(()) => return Ok(vec![]),
        Err(error) if error.sqlstate() == "55P03" => client.run(DOING, client.batch_execute("ROLLBACK")).await?,
        Err(error) => return Err(error),
    }
    let rows = client
        .run(
            DOING,
            client.query(
                "select l.pid, pg_terminate_backend(l.pid)
                 from pg_locks l
                 where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.pid <> pg_backend_pid()
                   and l.database = (select d.oid from pg_database d where d.datname = current_database())
                   and (l.classid::bigint << 32) | l.objid::bigint = $1",
                &[&number],
            ),
        )
        .await?;
    let ended: Vec<String> =
        rows.iter().map(|row| format!("server session {} that still wrote", row.get::<_, i32>(0))).collect();
    let wait = format!(
        "BEGIN; SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock({number}); COMMIT",
        LOCK_TIMEOUT.as_millis()
    );
    client.run(DOING, client.batch_execute(&wait)).await?;
    Ok(ended)
}

/// Deletes the rows of a job (of all jobs of the gateway without one), and drops tables, together.
pub(crate) async fn forget(
    config: &SourceConfig,
    gateway_id: &str,
    job_id: Option<i64>,
    drop_tables: &[TableName],
) -> Result<()> {
    let client = connect(config, "").await?;
    let begin = format!("BEGIN; SET LOCAL lock_timeout = '{}ms'", LOCK_TIMEOUT.as_millis());
    client.run("begin", client.batch_execute(&begin)).await?;
    if look(&client).await?.1 {
        client
            .run(
                "delete positions from tidegate.sink_positions",
                client.execute(
                    "delete from tidegate.sink_positions where gateway_id = $1 and ($2::bigint is null or job_id = $2)",
                    &[&gateway_id, &job_id],
                ),
            )
            .await?;
    }
    for table in drop_tables {
        // A schema that is gone makes IF EXISTS pass too.
        let statement = format!("DROP TABLE IF EXISTS {}", table.quoted());
        client
            .run(&format!("drop table {table}"), client.batch_execute(&statement))
            .await
            .map_err(|error| error.with_table(&table.schema, &table.table))?;
    }
    client.run("commit", client.batch_execute("COMMIT")).await
}
