//! A client over tokio-postgres that keeps the notices and speaks both protocols.

use crate::text::PgText;
use futures::{StreamExt, TryStreamExt, future, stream};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Config, NoTls, SimpleQueryMessage};

/// How statements travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One Query message; results are text.
    Simple,
    /// Parse, Bind, Execute; results are binary.
    Extended,
}

/// What a statement answered, as text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Column names; empty when there was no result.
    pub columns: Vec<String>,
    /// Rows; None is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// The count of the command tag.
    pub affected: u64,
}

/// What went wrong, as a client sees it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// SQLSTATE; None when the connection broke.
    pub sqlstate: Option<String>,
    /// 1-based character offset.
    pub position: Option<u32>,
    /// `ERROR 22023: message`, then DETAIL and HINT lines.
    pub text: String,
}

impl Failure {
    fn new(error: &tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self { sqlstate: None, position: None, text: format!("connection: {error:?}") };
        };
        Self {
            sqlstate: Some(db.code().code().to_owned()),
            position: db.position().and_then(|p| match p {
                tokio_postgres::error::ErrorPosition::Original(at) => Some(*at),
                tokio_postgres::error::ErrorPosition::Internal { .. } => None,
            }),
            text: describe(db),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

fn describe(db: &DbError) -> String {
    let mut text = format!("{} {}: {}", db.severity(), db.code().code(), db.message());
    for (word, line) in [("DETAIL", db.detail()), ("HINT", db.hint())] {
        if let Some(line) = line {
            text.push_str(&format!("\n{word}: {line}"));
        }
    }
    text
}

/// A connection.
pub struct Client {
    inner: tokio_postgres::Client,
    notices: Arc<Mutex<VecDeque<String>>>,
    /// Position of the last error.
    pub last_position: Option<u32>,
}

impl Client {
    /// Connects with a connection string as libpq writes it.
    pub async fn connect(conninfo: &str) -> Result<Self, Failure> {
        let config: Config = conninfo.parse().expect("the harness writes valid connection strings");
        let (inner, mut connection) = config.connect(NoTls).await.map_err(|e| Failure::new(&e))?;
        let notices = Arc::new(Mutex::new(VecDeque::new()));
        let kept = notices.clone();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notice(notice)) => kept.lock().unwrap().push_back(describe(&notice)),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        Ok(Self { inner, notices, last_position: None })
    }

    /// The connection underneath.
    pub fn inner(&self) -> &tokio_postgres::Client {
        &self.inner
    }

    /// Whether the server has gone.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    /// The notices since the last call.
    pub fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().drain(..).collect()
    }

    /// Runs one statement and reads all of its rows.
    pub async fn run(&mut self, engine: Engine, sql: &str) -> Result<Answer, Failure> {
        let answer = match engine {
            Engine::Simple => self.simple(sql).await,
            Engine::Extended => self.extended(sql).await,
        };
        let answer = answer.map_err(|error| Failure::new(&error));
        if let Err(failure) = &answer {
            self.last_position = failure.position;
        }
        answer
    }

    async fn simple(&self, sql: &str) -> Result<Answer, tokio_postgres::Error> {
        let mut answer = Answer::default();
        for message in self.inner.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    answer = Answer::default();
                    answer.columns = columns.iter().map(|c| c.name().to_owned()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    answer.rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(count) => answer.affected = count,
                _ => {}
            }
        }
        Ok(answer)
    }

    async fn extended(&self, sql: &str) -> Result<Answer, tokio_postgres::Error> {
        let statement = self.inner.prepare(sql).await?;
        let columns = statement.columns().iter().map(|c| c.name().to_owned()).collect();
        let stream = self.inner.query_raw(&statement, Vec::<i32>::new()).await?;
        futures::pin_mut!(stream);
        let mut rows = vec![];
        while let Some(row) = stream.try_next().await? {
            rows.push((0..row.len()).map(|i| row.get::<_, Option<PgText>>(i).map(|text| text.0)).collect());
        }
        Ok(Answer { columns, rows, affected: stream.rows_affected().unwrap_or(0) })
    }

    /// Runs statements and forgets their rows; panics with the server's words when one fails.
    pub async fn must(&mut self, sql: &str) -> Answer {
        match self.run(Engine::Simple, sql).await {
            Ok(answer) => answer,
            Err(failure) => panic!("{failure}\nstatement: {sql}"),
        }
    }

    /// The first value of the first row.
    pub async fn value(&mut self, sql: &str) -> String {
        let answer = self.must(sql).await;
        let first = answer.rows.into_iter().next().and_then(|row| row.into_iter().next());
        first.flatten().unwrap_or_else(|| "NULL".to_owned())
    }

    /// The failure of a statement that must fail.
    pub async fn must_fail(&mut self, sql: &str) -> Failure {
        match self.run(Engine::Simple, sql).await {
            Ok(answer) => panic!("this was to fail and answered {answer:?}\nstatement: {sql}"),
            Err(failure) => failure,
        }
    }

    /// Asks again until a query's first value is the expected one.
    pub async fn until(&mut self, sql: &str, expected: &str, seconds_max: u64) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds_max);
        let mut last = String::new();
        while std::time::Instant::now() < deadline {
            last = self.value(sql).await;
            if last == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("after {seconds_max} s this is still {last:?}, not {expected:?}: {sql}");
    }
}

/// Lets a future finish or panics.
pub async fn within<T>(seconds_max: u64, what: &str, future: impl future::Future<Output = T>) -> T {
    match tokio::time::timeout(std::time::Duration::from_secs(seconds_max), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {seconds_max} s"),
    }
}
