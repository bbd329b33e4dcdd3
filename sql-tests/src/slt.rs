//! Runs `.slt` files over the wire.
//!
//! Beside sqllogictest's own records a statement may begin with a backslash:
//!
//! | command | meaning |
//! |---|---|
//! | `\pg18 SQL`, `\pg15 SQL` | runs on the file's own database of that server |
//! | `\notices` | the notices since the last call, one row each: `NOTICE 42710: text DETAIL: text HINT: text` |
//! | `\position SQL` | the statement must fail; the row is the character that its error points at |
//! | `\kill` | kill -9 of the gateway, then a start on the same data directory |
//! | `\restart` | the same with SIGTERM |
//!
//! Comments at the head of a file set it up: `# needs: pg15 pg18`, `# engine: simple` (for what only
//! one protocol can do), `# log: pattern` (an expected WARN or ERROR line), `# argument: --flag=value`
//! and `# variable: NAME=value` for the gateway. `${PG18_PORT}`, `${PG18_DB}`, `${PG15_PORT}`,
//! `${PG15_DB}`, `${DIR}` (a folder of its own), `${CLOSED_PORT}` and `${PORT}` are filled in.
//!
//! An error is compared by SQLSTATE (`statement error (22023)`) or by its whole text, which begins
//! `ERROR 22023: ` and goes on with DETAIL and HINT lines. What a file creates it drops: anything
//! that is left in the catalog fails it.

use crate::client::{Answer, Client, Engine, Failure};
use crate::gateway::Gateway;
use crate::server::{self, Database};
use async_trait::async_trait;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Record, Runner};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How many failures of one file are shown.
const FAILURES_MAX: usize = 25;

/// What a file's head says.
#[derive(Default)]
struct Head {
    needs: Vec<String>,
    engine: Option<Engine>,
    log: Vec<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Head {
    fn read(script: &str) -> Self {
        let mut head = Self::default();
        for line in script.lines().take_while(|line| line.starts_with('#')) {
            let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once(": ") else { continue };
            let value = value.trim();
            match key {
                "needs" => head.needs = value.split_whitespace().map(str::to_owned).collect(),
                "engine" => head.engine = Some(if value == "simple" { Engine::Simple } else { Engine::Extended }),
                "log" => head.log.push(value.to_owned()),
                "argument" => head.arguments.push(value.to_owned()),
                "variable" => {
                    let (name, value) = value.split_once('=').expect("# variable: NAME=value");
                    head.variables.push((name.to_owned(), value.to_owned()));
                }
                _ => {}
            }
        }
        head
    }
}

/// What the connections of one file share.
struct Shared {
    gateway: Mutex<Gateway>,
    conninfo: String,
    pg15: Option<Database>,
    pg18: Option<Database>,
    engine: Engine,
}

/// One connection of a file.
struct Connection {
    shared: Arc<Shared>,
    client: Client,
}

impl Connection {
    async fn remote(&self, database: &Option<Database>, sql: &str) -> Result<Answer, Failure> {
        let database = database.as_ref().expect("the file says which servers it needs");
        database.connect().await.run(Engine::Simple, sql).await
    }

    async fn answer(&mut self, sql: &str) -> Result<Answer, Failure> {
        let Some(command) = sql.strip_prefix('\\') else {
            if self.client.is_closed() {
                self.client = Client::connect(&self.shared.conninfo).await?;
            }
            return self.client.run(self.shared.engine, sql).await;
        };
        let (word, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match word {
            "pg15" => self.remote(&self.shared.pg15, rest).await,
            "pg18" => self.remote(&self.shared.pg18, rest).await,
            "notices" => {
                let notices = self.client.notices().into_iter();
                let rows = notices.map(|notice| vec![Some(notice.replace('\n', " "))]).collect();
                Ok(Answer { columns: vec!["notice".into()], rows, affected: 0 })
            }
            "position" => {
                let failure = self.client.must_fail(rest).await;
                let rows = vec![vec![failure.position.map(|p| p.to_string())]];
                Ok(Answer { columns: vec!["position".into()], rows, affected: 0 })
            }
            "kill" | "restart" => {
                let mut gateway = self.shared.gateway.lock().await;
                if word == "kill" {
                    gateway.kill();
                } else {
                    let status = gateway.stop();
                    assert!(status.success(), "SIGTERM must end the gateway cleanly, not with {status}");
                }
                gateway.start_again();
                self.client = gateway.connect().await;
                Ok(Answer::default())
            }
            _ => panic!("unknown command \\{word}"),
        }
    }
}

#[async_trait]
impl AsyncDB for Connection {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        let answer = self.answer(sql).await?;
        if answer.columns.is_empty() {
            return Ok(DBOutput::StatementComplete(answer.affected));
        }
        let shown = |value: Option<String>| match value {
            None => "NULL".to_owned(),
            Some(text) if text.is_empty() => "(empty)".to_owned(),
            Some(text) => text,
        };
        let rows = answer.rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; answer.columns.len()], rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.shared.engine {
            Engine::Simple => "simple",
            Engine::Extended => "extended",
        }
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn run_command(command: std::process::Command) -> std::io::Result<std::process::Output> {
        tokio::process::Command::from(command).output().await
    }

    fn error_sql_state(failure: &Failure) -> Option<String> {
        failure.sqlstate.clone()
    }
}

/// A port of 127.0.0.1 where nobody listens.
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Runs one file over one protocol on a gateway of its own.
pub async fn run_file(path: &Path, engine: Engine) {
    let script = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let head = Head::read(&script);
    if head.engine.is_some_and(|only| only != engine) {
        return;
    }
    let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a file name");
    let mut databases = [None, None];
    for need in &head.needs {
        let (at, server) = match need.as_str() {
            "pg15" => (0, server::pg15()),
            "pg18" => (1, server::pg18()),
            other => panic!("unknown need {other}"),
        };
        let Some(server) = server else { return };
        databases[at] = Some(server.database(name));
    }
    let [pg15, pg18] = databases;

    let mut builder = Gateway::builder().args(head.arguments);
    for (variable, value) in &head.variables {
        builder = builder.env(variable, value);
    }
    let mut gateway = builder.start();
    for pattern in &head.log {
        gateway.allow_log(pattern);
    }
    let mut script = script
        .replace("${DIR}", &gateway.folder().display().to_string())
        .replace("${PORT}", &gateway.port().to_string())
        .replace("${CLOSED_PORT}", &closed_port().to_string());
    for (word, database) in [("PG15", &pg15), ("PG18", &pg18)] {
        if let Some(database) = database {
            script = script
                .replace(&format!("${{{word}_PORT}}"), &database.server.port.to_string())
                .replace(&format!("${{{word}_DB}}"), &database.name);
        }
    }
    assert!(!script.contains("${PG"), "{name} uses a server that its `# needs:` does not name");

    let conninfo = gateway.conninfo();
    let shared = Arc::new(Shared { gateway: Mutex::new(gateway), conninfo, pg15, pg18, engine });
    let connect = {
        let shared = shared.clone();
        move || {
            let shared = shared.clone();
            async move {
                let client = Client::connect(&shared.conninfo).await?;
                Ok(Connection { shared, client })
            }
        }
    };
    let mut runner = Runner::new(connect);
    let shown_name = format!("slt/{name}.slt ({engine:?})");
    let records = sqllogictest::parse_with_name(&script, shown_name).unwrap_or_else(|e| panic!("{e}"));
    // What follows a wrong answer is tried as well: one run shows everything that somebody has to mend.
    let mut failures = vec![];
    for record in records {
        if matches!(record, Record::Halt { .. }) {
            break;
        }
        if let Err(error) = runner.run_async(record).await {
            failures.push(error.display(false).to_string());
        }
        if failures.len() == FAILURES_MAX {
            break;
        }
    }
    assert!(failures.is_empty(), "{} failures, or as many as are shown:\n{}", failures.len(), failures.join("\n\n"));
    let mut client = match Client::connect(&shared.conninfo).await {
        Ok(client) => client,
        Err(failure) => panic!("the gateway is gone after {name}: {failure}"),
    };
    let left = client
        .must(
            "SELECT 'source ' || name FROM tidegate.sources UNION ALL SELECT 'secret ' || name FROM tidegate.secrets \
             UNION ALL SELECT 'job ' || name FROM tidegate.jobs UNION ALL SELECT 'table ' || table_name FROM tidegate.tables",
        )
        .await;
    assert!(left.rows.is_empty(), "{name} leaves behind: {:?}", left.rows);
}
