//! What VALIDATE SOURCE looks at: the way to the server, the login, and what the server grants for
//! reading, writing, creating and capturing. Every check is read only, and its hint is the
//! statement that mends what it found.

use crate::client::{Client, connect, database, host, port, user};
use crate::discover::get;
use catalog::{CheckStatus, Error, Result, TableName, quote_ident};
use connector_api::{Check, CheckRequest, Purpose, SourceConfig};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Oldest server that is supported.
const VERSION_MIN: u32 = 14;
/// Newest server that the tests run against.
const VERSION_MAX: u32 = 18;
/// Names in one message or hint; the rest is counted.
const NAMES_MAX: usize = 10;

/// What one check found.
struct Finding {
    status: CheckStatus,
    message: String,
    hint: Option<String>,
}

fn pass(message: impl Into<String>) -> Finding {
    Finding { status: CheckStatus::Pass, message: message.into(), hint: None }
}
fn warn(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { status: CheckStatus::Warn, message: message.into(), hint: Some(hint.into()) }
}
fn fail(message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { status: CheckStatus::Fail, message: message.into(), hint: Some(hint.into()) }
}

/// The rows so far.
#[derive(Default)]
struct Report {
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, name: &str, started: Instant, finding: Finding) {
        self.checks.push(Check {
            name: name.to_owned(),
            status: finding.status,
            message: finding.message,
            hint: finding.hint,
            elapsed: started.elapsed(),
        });
    }
    /// Adds a check's outcome; one that could not be made is a row too.
    fn outcome(&mut self, name: &str, started: Instant, outcome: Result<Finding>) {
        let finding = outcome.unwrap_or_else(|error| Finding {
            status: CheckStatus::Skip,
            message: format!("could not be checked: {}", sentence(&error)),
            hint: error.hint().map(str::to_owned),
        });
        self.add(name, started, finding);
    }
}

/// Message and detail of an error in one line.
fn sentence(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}; {}", error.message(), detail.trim_end_matches('.')),
        None => error.message().to_owned(),
    }
}

/// Answers [`connector_api::Connector::check`].
pub(crate) async fn check(config: &SourceConfig, request: &CheckRequest) -> Vec<Check> {
    let mut report = Report::default();
    let started = Instant::now();
    let is_late = tokio::time::timeout(request.timeout, run(config, request, &mut report)).await.is_err();
    if is_late {
        let finding = fail(
            format!("the checks did not end within {} ms", request.timeout.as_millis()),
            "Try again with a longer TIMEOUT, or see what keeps the server busy: SELECT * FROM pg_stat_activity;",
        );
        report.add("timeout", started, finding);
    }
    report.checks
}

async fn run(config: &SourceConfig, request: &CheckRequest, report: &mut Report) {
    let started = Instant::now();
    match reach(config).await {
        Ok(elapsed) => {
            let place = if host(config).starts_with('/') {
                host(config).to_owned()
            } else {
                format!("{}:{}", host(config), port(config))
            };
            report.add("resolve,connect", started, pass(format!("{place}, {} ms", elapsed.as_millis())));
        }
        Err(finding) => return report.add("resolve,connect", started, finding),
    }
    let started = Instant::now();
    let client = match connect(config, "check").await {
        Ok(client) => client,
        Err(error) => {
            let hint = error.hint().unwrap_or("Check the options \"user\", \"password\" and \"database\".").to_owned();
            return report.add("login", started, fail(sentence(&error), hint));
        }
    };
    report.outcome("login", started, login(&client, config).await);
    let started = Instant::now();
    report.outcome("server_version", started, server_version(&client).await);
    let started = Instant::now();
    report.outcome("encoding", started, encoding(&client).await);

    // Without a wish: what the connector is capable of.
    let asked = |purpose| match request.purposes.is_empty() {
        true => purpose != Purpose::Capture,
        false => request.purposes.contains(&purpose),
    };
    if asked(Purpose::Read) || asked(Purpose::Capture) {
        read_grants(&client, config, &request.tables, report).await;
    }
    if asked(Purpose::Capture) {
        capture(&client, config, &request.tables, report).await;
    }
    if asked(Purpose::Write) || asked(Purpose::Ddl) {
        let started = Instant::now();
        report.outcome("writable", started, writable(&client).await);
        let started = Instant::now();
        report.outcome("create_grants", started, create_grants(&client, config, &request.tables).await);
    }
    if asked(Purpose::Write) && !request.tables.is_empty() {
        let started = Instant::now();
        report.outcome("insert_grants", started, insert_grants(&client, config, &request.tables).await);
    }
}

/// Resolves the name and opens a TCP connection; how long that took.
async fn reach(config: &SourceConfig) -> Result<Duration, Finding> {
    let started = Instant::now();
    let (host, port) = (host(config), port(config));
    if host.starts_with('/') {
        // The folder of a Unix socket; the login shows the rest.
        return Ok(started.elapsed());
    }
    let addresses: Vec<std::net::SocketAddr> = match tokio::net::lookup_host((host, port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(fail(
                format!("host name \"{host}\" could not be resolved: {error}"),
                "Correct the option \"host\", or mend the name service of this host.",
            ));
        }
    };
    let limit = config.duration("connect_timeout").filter(|t| !t.is_zero()).unwrap_or(Duration::from_secs(10));
    let mut last = format!("host name \"{host}\" has no address");
    for address in addresses {
        match tokio::time::timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(started.elapsed()),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {} ms", limit.as_millis()),
        }
    }
    Err(fail(
        format!("could not connect to {host}:{port} ({last})"),
        "Check host and port, that the server listens there (listen_addresses), and that no firewall is in between.",
    ))
}

async fn login(client: &Client, config: &SourceConfig) -> Result<Finding> {
    let row = client
        .run(
            "look at the session",
            client.query_one(
                "SELECT current_user::text, current_setting('server_version'), \
                        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)",
                &[],
            ),
        )
        .await?;
    let (role, version, is_encrypted): (String, String, bool) =
        (get(client, &row, 0)?, get(client, &row, 1)?, get(client, &row, 2)?);
    let tls = if is_encrypted { "encrypted" } else { "not encrypted" };
    Ok(pass(format!("user {role}, database {}, server {version}, {tls}", database(config))))
}

async fn server_version(client: &Client) -> Result<Finding> {
    let number = client.server_version();
    let (major, minor) = (number / 10_000, number % 10_000);
    Ok(if major < VERSION_MIN {
        fail(
            format!("server {major}.{minor} is older than the supported versions {VERSION_MIN} to {VERSION_MAX}"),
            format!("Upgrade the server to PostgreSQL {VERSION_MIN} or newer."),
        )
    } else if major > VERSION_MAX {
        warn(
            format!("server {major}.{minor} is newer than the tested versions {VERSION_MIN} to {VERSION_MAX}"),
            "Use it, and look for a newer tidegate.",
        )
    } else {
        pass(format!("{major}.{minor}"))
    })
}

async fn encoding(client: &Client) -> Result<Finding> {
    let row = client.run("look at the encoding", client.query_one("SHOW server_encoding", &[])).await?;
    let encoding: String = get(client, &row, 0)?;
    Ok(if encoding == "SQL_ASCII" {
        warn(
            "the database has no encoding (SQL_ASCII): text that is not UTF-8 will stop a read",
            "Load the data into a database made with: CREATE DATABASE .. ENCODING 'UTF8' TEMPLATE template0;",
        )
    } else {
        pass(encoding)
    })
}

/// A table and what we may do with it.
struct TableGrants {
    name: TableName,
    has_usage: bool,
    can_select: bool,
    hides_rows: bool,
    can_insert: bool,
    replica_identity: String,
    has_primary_key: bool,
}

/// Grants on these tables, or on all tables of the database; the names that are not there besides.
async fn table_grants(client: &Client, tables: &[TableName]) -> Result<(Vec<TableGrants>, Vec<TableName>)> {
    let schemas: Vec<&str> = tables.iter().map(|t| t.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|t| t.table.as_str()).collect();
    let rows = client
        .run(
            "look at the grants on tables",
            client.query(
                "SELECT n.nspname::text, c.relname::text, has_schema_privilege(n.oid, 'USAGE'), \
                        has_any_column_privilege(c.oid, 'SELECT'), row_security_active(c.oid), \
                        has_any_column_privilege(c.oid, 'INSERT'), c.relreplident::text, \
                        EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid) \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' \
                   AND CASE WHEN cardinality($1::text[]) > 0 \
                            THEN (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[])) \
                            ELSE NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
                                 AND n.nspname !~ '^pg_(toast_)?temp_' END \
                 ORDER BY n.nspname, c.relname",
                &[&schemas, &names],
            ),
        )
        .await?;
    let mut found = vec![];
    for row in &rows {
        found.push(TableGrants {
            name: TableName::new(get::<String>(client, row, 0)?, get::<String>(client, row, 1)?),
            has_usage: get(client, row, 2)?,
            can_select: get(client, row, 3)?,
            hides_rows: get(client, row, 4)?,
            can_insert: get(client, row, 5)?,
            replica_identity: get(client, row, 6)?,
            has_primary_key: get(client, row, 7)?,
        });
    }
    let there: BTreeSet<&TableName> = found.iter().map(|table| &table.name).collect();
    let missing = tables.iter().filter(|name| !there.contains(name)).cloned().collect();
    Ok((found, missing))
}

fn names<'a>(tables: impl Iterator<Item = &'a TableName>) -> String {
    let all: Vec<String> = tables.map(|name| name.to_string()).collect();
    match all.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", all[..NAMES_MAX].join(", ")),
        None => all.join(", "),
    }
}

/// The statements that let `role` do `what` with tables.
fn grants(role: &str, what: &str, tables: &[&TableGrants]) -> String {
    let role = quote_ident(role);
    let schemas: BTreeSet<String> =
        tables.iter().filter(|t| !t.has_usage).map(|t| quote_ident(&t.name.schema)).collect();
    let mut statements = vec![];
    if !schemas.is_empty() {
        statements
            .push(format!("GRANT USAGE ON SCHEMA {} TO {role};", schemas.into_iter().collect::<Vec<_>>().join(", ")));
    }
    let shown: Vec<String> = tables.iter().take(NAMES_MAX).map(|t| t.name.to_string()).collect();
    statements.push(format!("GRANT {what} ON {} TO {role};", shown.join(", ")));
    if tables.len() > NAMES_MAX {
        statements.push(format!("The same for {} more tables.", tables.len() - NAMES_MAX));
    }
    statements.join(" ")
}

async fn read_grants(client: &Client, config: &SourceConfig, tables: &[TableName], report: &mut Report) {
    let started = Instant::now();
    let (found, missing) = match table_grants(client, tables).await {
        Ok(found) => found,
        Err(error) => return report.outcome("select_grants", started, Err(error)),
    };
    if !missing.is_empty() {
        let finding = fail(
            format!("{} of {} tables do not exist: {}", missing.len(), tables.len(), names(missing.iter())),
            format!("Correct the names. See: SHOW TABLES FROM SOURCE {};", quote_ident(&config.name)),
        );
        report.add("tables", started, finding);
    }
    // Of tables that nobody asked for, an unreadable one is worth a warning only.
    let bad = |message: String, hint: String| if tables.is_empty() { warn(message, hint) } else { fail(message, hint) };
    let denied: Vec<&TableGrants> = found.iter().filter(|t| !t.has_usage || !t.can_select).collect();
    let readable = found.len() - denied.len();
    let mut message = format!("{readable} of {} tables readable", found.len());
    let finding = if denied.is_empty() {
        pass(message)
    } else {
        message.push_str(&format!("; not {}", names(denied.iter().map(|t| &t.name))));
        bad(message, grants(user(config), "SELECT", &denied))
    };
    report.add("select_grants", started, finding);
    let started = Instant::now();
    let hidden: Vec<&TableGrants> = found.iter().filter(|t| t.hides_rows).collect();
    let finding = if hidden.is_empty() {
        pass("no table hides rows from this user")
    } else {
        bad(
            format!(
                "row-level security would hide rows of {} tables: {}",
                hidden.len(),
                names(hidden.iter().map(|t| &t.name))
            ),
            format!("ALTER ROLE {} BYPASSRLS;", quote_ident(user(config))),
        )
    };
    report.add("row_level_security", started, finding);
}

async fn writable(client: &Client) -> Result<Finding> {
    let row = client
        .run(
            "look at the server's state",
            client.query_one("SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool", &[]),
        )
        .await?;
    let (is_standby, is_read_only): (bool, bool) = (get(client, &row, 0)?, get(client, &row, 1)?);
    Ok(if is_standby {
        fail("the server is a standby and takes no writes", "Give the host of the primary server.")
    } else if is_read_only {
        fail(
            "transactions of this user are read only",
            "ALTER ROLE .. SET default_transaction_read_only = off; or the same for the database.",
        )
    } else {
        pass("the server takes writes")
    })
}

async fn create_grants(client: &Client, config: &SourceConfig, tables: &[TableName]) -> Result<Finding> {
    let schemas: BTreeSet<&str> = tables.iter().map(|t| t.schema.as_str()).collect();
    let schemas: Vec<&str> = schemas.into_iter().collect();
    let role = quote_ident(user(config));
    let row = client
        .run(
            "look at the grants on the database",
            client.query_one(
                "SELECT current_database()::text, has_database_privilege(current_database(), 'CREATE'), \
                   ARRAY(SELECT nspname::text FROM pg_namespace \
                         WHERE nspname = ANY($1::text[]) AND NOT (has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE'))), \
                   ARRAY(SELECT s FROM unnest($1::text[]) s WHERE s NOT IN (SELECT nspname FROM pg_namespace))",
                &[&schemas],
            ),
        )
        .await?;
    let (database, can_create): (String, bool) = (get(client, &row, 0)?, get(client, &row, 1)?);
    let (denied, absent): (Vec<String>, Vec<String>) = (get(client, &row, 2)?, get(client, &row, 3)?);
    let list = |names: &[String]| names.iter().map(|n| quote_ident(n)).collect::<Vec<_>>().join(", ");
    let database_grant = format!("GRANT CREATE ON DATABASE {} TO {role};", quote_ident(&database));
    Ok(if !denied.is_empty() {
        fail(
            format!("no tables can be created in schema {}", list(&denied)),
            format!("GRANT CREATE, USAGE ON SCHEMA {} TO {role};", list(&denied)),
        )
    } else if !can_create && !absent.is_empty() {
        fail(format!("schema {} does not exist and cannot be created", list(&absent)), database_grant)
    } else if !can_create {
        warn(format!("no schemas can be created in database \"{database}\""), database_grant)
    } else {
        pass(format!("schemas and tables can be created in database \"{database}\""))
    })
}

async fn insert_grants(client: &Client, config: &SourceConfig, tables: &[TableName]) -> Result<Finding> {
    let (found, missing) = table_grants(client, tables).await?;
    let denied: Vec<&TableGrants> = found.iter().filter(|t| !t.has_usage || !t.can_insert).collect();
    let absent = if missing.is_empty() { String::new() } else { format!(", {} to be created", missing.len()) };
    Ok(if denied.is_empty() {
        pass(format!("{} of {} tables writable{absent}", found.len(), found.len()))
    } else {
        fail(
            format!("may not write {} tables: {}", denied.len(), names(denied.iter().map(|t| &t.name))),
            grants(user(config), "SELECT, INSERT, UPDATE, DELETE, TRUNCATE", &denied),
        )
    })
}

async fn capture(client: &Client, config: &SourceConfig, tables: &[TableName], report: &mut Report) {
    let started = Instant::now();
    let outcome = client
        .run(
            "look at the replication settings",
            client.query_one(
                "SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int8, \
                        (SELECT count(*) FROM pg_replication_slots), current_setting('max_wal_senders')::int8, \
                        (SELECT count(*) FROM pg_stat_replication), \
                        (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user) \
                        OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'MEMBER')), \
                        pg_is_in_recovery()",
                &[],
            ),
        )
        .await;
    let row = match outcome {
        Ok(row) => row,
        Err(error) => return report.outcome("wal_level", started, Err(error)),
    };
    report.outcome(
        "wal_level",
        started,
        (|| {
            let wal_level: String = get(client, &row, 0)?;
            Ok(match wal_level.as_str() {
                "logical" => pass("wal_level is \"logical\""),
                other => {
                    fail(format!("wal_level is \"{other}\""), "ALTER SYSTEM SET wal_level = logical; then restart")
                }
            })
        })(),
    );
    report.outcome(
        "slots_free",
        started,
        (|| {
            let (most, used): (i64, i64) = (get(client, &row, 1)?, get(client, &row, 2)?);
            let message = format!("{used} of {most} used");
            Ok(match used < most {
                true => pass(message),
                false => fail(message, format!("ALTER SYSTEM SET max_replication_slots = {}; then restart", most + 5)),
            })
        })(),
    );
    report.outcome(
        "wal_senders",
        started,
        (|| {
            let (most, used): (i64, i64) = (get(client, &row, 3)?, get(client, &row, 4)?);
            let message = format!("{used} of {most} used");
            Ok(match used < most {
                true => pass(message),
                false => fail(message, format!("ALTER SYSTEM SET max_wal_senders = {}; then restart", most + 5)),
            })
        })(),
    );
    report.outcome(
        "replication_role",
        started,
        (|| {
            let can_replicate: Option<bool> = get(client, &row, 5)?;
            Ok(match can_replicate.unwrap_or(false) {
                true => pass(format!("user {} may replicate", user(config))),
                false => fail(
                    format!("user {} may not replicate", user(config)),
                    format!("ALTER ROLE {} REPLICATION;", quote_ident(user(config))),
                ),
            })
        })(),
    );
    if get::<bool>(client, &row, 6).unwrap_or(false) {
        let finding = match client.server_version() >= 160_000 {
            true => warn(
                "the server is a standby",
                "Changes can be captured there, but no publication can be made: make it on the primary.",
            ),
            false => fail("the server is a standby older than 16", "Give the host of the primary server."),
        };
        report.add("primary", started, finding);
    }
    let started = Instant::now();
    report.outcome("replica_identity", started, replica_identity(client, tables).await);
    if let Some(publication) = config.text("publication").filter(|name| !name.is_empty()) {
        let started = Instant::now();
        report.outcome("publication", started, check_publication(client, publication).await);
    }
}

async fn replica_identity(client: &Client, tables: &[TableName]) -> Result<Finding> {
    let (found, _) = table_grants(client, tables).await?;
    let poor: Vec<&TableGrants> = found
        .iter()
        .filter(|t| match t.replica_identity.as_str() {
            "d" => !t.has_primary_key,
            "n" => true,
            _ => false,
        })
        .collect();
    let Some(first) = poor.first() else {
        return Ok(pass(format!("{} of {} tables identify their rows", found.len(), found.len())));
    };
    let hint = format!("ALTER TABLE {} REPLICA IDENTITY FULL;", first.name);
    let more = if poor.len() > 1 { " The same for the others, or give them a primary key." } else { "" };
    Ok(warn(
        format!(
            "{} of {} tables have no replica identity: {}",
            poor.len(),
            found.len(),
            names(poor.iter().map(|t| &t.name))
        ),
        format!("{hint}{more}"),
    ))
}

async fn check_publication(client: &Client, publication: &str) -> Result<Finding> {
    let row = client
        .run(
            "look at the publications",
            client.query_one(
                "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1::text), \
                        has_database_privilege(current_database(), 'CREATE')",
                &[&publication],
            ),
        )
        .await?;
    let (exists, can_create): (bool, bool) = (get(client, &row, 0)?, get(client, &row, 1)?);
    let quoted = quote_ident(publication);
    Ok(match (exists, can_create) {
        (true, _) => pass(format!("publication \"{publication}\" exists")),
        (false, true) => pass(format!("publication \"{publication}\" will be created")),
        (false, false) => fail(
            format!("publication \"{publication}\" does not exist and cannot be created"),
            format!("CREATE PUBLICATION {quoted} FOR ALL TABLES WITH (publish_via_partition_root = true);"),
        ),
    })
}
