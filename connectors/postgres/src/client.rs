//! One connection to a PostgreSQL server, with the session settings that make values exact, and
//! the one place that turns the driver's errors into ours.

use crate::tls::Tls;
use catalog::{Error, ErrorKind, Result};
use connector_api::SourceConfig;
use std::error::Error as _;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::{CancelToken, SimpleQueryMessage};

/// How long an idle connection may take to say goodbye before it is cut.
const GOODBYE_TIME: Duration = Duration::from_secs(2);
/// Default of the option `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection.
///
/// Dropping it ends the session: politely when it is idle, and with a cancel request and a cut
/// socket while [`Client::run`] or [`Client::busy`] says that a statement is under way, so that no
/// backend keeps working for nobody.
pub(crate) struct Client {
    inner: tokio_postgres::Client,
    config: SourceConfig,
    tls: Tls,
    server_version: u32,
    busy: Arc<AtomicUsize>,
    task: tokio::task::AbortHandle,
    runtime: tokio::runtime::Handle,
    // Dropped with the client: tells the connection's task that nobody listens any more.
    _closing: oneshot::Sender<()>,
}

/// Marks a client as working on a statement until it is dropped. Forget it (or leave it alive) and
/// drop the client to have the statement canceled.
pub(crate) struct Busy(Arc<AtomicUsize>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Deref for Client {
    type Target = tokio_postgres::Client;
    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl Client {
    /// The configuration that it was made from.
    pub(crate) fn config(&self) -> &SourceConfig {
        &self.config
    }
    /// `server_version_num`: 180004 for 18.4.
    pub(crate) fn server_version(&self) -> u32 {
        self.server_version
    }
    /// Turns a driver's error into ours; `doing` completes "could not ..".
    pub(crate) fn error(&self, doing: &str, error: tokio_postgres::Error) -> Error {
        remote_error(&self.config, doing, error)
    }
    /// Awaits a statement and maps its error. If the future is dropped before it ends, dropping
    /// the client cancels the statement on the server.
    pub(crate) async fn run<T>(
        &self,
        doing: &str,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        let outcome = statement.await;
        self.busy.fetch_sub(1, Ordering::AcqRel);
        outcome.map_err(|error| self.error(doing, error))
    }
    /// Marks the client as busy for as long as the mark lives.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(self.busy.clone())
    }
    /// Whether a statement is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }
    /// Asks the server to cancel what this connection is doing. Ends when the server has passed the
    /// request on; never fails, since there is nothing else that a caller could do.
    pub(crate) fn cancel(&self) -> impl Future<Output = ()> + Send + 'static {
        let token = self.inner.cancel_token();
        let tls = self.tls.clone();
        let label = self.config.label();
        async move {
            if let Err(error) = cancel(token, tls).await {
                tracing::warn!(%label, error = %error, "a cancel request did not reach the server");
            }
        }
    }
    /// The runtime that the connection lives on.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }
}

async fn cancel(token: CancelToken, tls: Tls) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    tokio::time::timeout(CONNECT_TIMEOUT, token.cancel_query(tls.connect)).await??;
    Ok(())
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.is_busy() {
            if !self.inner.is_closed() {
                self.runtime.spawn(self.cancel());
            }
            self.task.abort();
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("source", &self.config.name).field("is_busy", &self.is_busy()).finish()
    }
}

/// Opens a connection and sets its session: UTF-8, UTC, ISO dates, exact floats, hex bytea, the
/// search path `pg_catalog` (so that every other name is printed with its schema), no server-side
/// timeouts but `query_timeout`. `application` is appended to the option `application_name`.
///
/// The whole attempt, login included, ends within `connect_timeout`.
pub(crate) async fn connect(config: &SourceConfig, application: &str) -> Result<Client> {
    let tls = Tls::new(config)?;
    let timeout = config.duration("connect_timeout").filter(|t| !t.is_zero()).unwrap_or(CONNECT_TIMEOUT);
    let attempt = async {
        match open(config, application, &tls, timeout).await {
            // libpq's rule: a handshake that fails under `prefer` is tried once more in the clear.
            Err(error) if tls.mode == SslMode::Prefer && is_tls_error(&error) => {
                let clear = Tls { mode: SslMode::Disable, connect: tls.connect.clone() };
                open(config, application, &clear, timeout).await
            }
            outcome => outcome,
        }
        .map_err(|error| connect_error(config, error))
    };
    match tokio::time::timeout(timeout, attempt).await {
        Ok(outcome) => outcome,
        Err(_) => Err(unreachable_error(config)
            .with_detail(format!("There was no complete answer within {} ms.", timeout.as_millis()))),
    }
}

async fn open(
    config: &SourceConfig,
    application: &str,
    tls: &Tls,
    timeout: Duration,
) -> Result<Client, tokio_postgres::Error> {
    // Built piece by piece and never as a URL, so that no character of a password has a meaning.
    let mut driver = tokio_postgres::Config::new();
    driver
        .host(host(config))
        .port(port(config))
        .user(user(config))
        .dbname(database(config))
        .application_name(application_name(config, application))
        .ssl_mode(tls.mode)
        .connect_timeout(timeout)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3);
    if let Some(password) = config.text("password") {
        driver.password(password);
    }
    let (inner, connection) = driver.connect(tls.connect.clone()).await?;
    let (closing, closed) = oneshot::channel::<()>();
    let label = config.label();
    let task = tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = &mut connection => outcome,
            _ = closed => match tokio::time::timeout(GOODBYE_TIME, &mut connection).await {
                Ok(outcome) => outcome,
                Err(_) => Ok(()),
            },
        };
        if let Err(error) = outcome {
            tracing::debug!(%label, error = %error, "a connection ended with an error");
        }
    });
    let mut client = Client {
        inner,
        config: config.clone(),
        tls: tls.clone(),
        server_version: 0,
        busy: Arc::default(),
        task: task.abort_handle(),
        runtime: tokio::runtime::Handle::current(),
        _closing: closing,
    };
    let query_timeout = config.duration("query_timeout").map(|t| t.as_millis()).unwrap_or(0);
    let messages = client
        .inner
        .simple_query(&format!(
            "SET timezone TO 'UTC'; SET datestyle TO 'ISO, YMD'; SET intervalstyle TO 'postgres'; \
             SET extra_float_digits TO 1; SET bytea_output TO 'hex'; SET xmloption TO 'content'; \
             SET standard_conforming_strings TO on; SET statement_timeout TO {query_timeout}; \
             SET jit TO off; SET search_path TO pg_catalog, pg_temp; \
             SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN \
             ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout'); \
             SHOW server_version_num"
        ))
        .await?;
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            client.server_version = row.get(0).and_then(|text| text.parse().ok()).unwrap_or(0);
        }
    }
    Ok(client)
}

/// The option `host`, or the local machine.
pub(crate) fn host(config: &SourceConfig) -> &str {
    config.text("host").unwrap_or("127.0.0.1")
}
/// The option `port`.
pub(crate) fn port(config: &SourceConfig) -> u16 {
    config.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(5432)
}
/// The option `user`.
pub(crate) fn user(config: &SourceConfig) -> &str {
    config.text("user").unwrap_or("postgres")
}
/// The option `database`, which is the user's name by default, as with libpq.
pub(crate) fn database(config: &SourceConfig) -> &str {
    config.text("database").unwrap_or_else(|| user(config))
}

fn application_name(config: &SourceConfig, application: &str) -> String {
    let base = config.text("application_name").unwrap_or("tidegate");
    if application.is_empty() { base.to_owned() } else { format!("{base} {application}") }
}

fn is_tls_error(error: &tokio_postgres::Error) -> bool {
    // The driver's error kind is private; its text is the only sign of it.
    error.to_string() == "error performing TLS handshake"
}

fn unreachable_error(config: &SourceConfig) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("could not connect to {} at {}:{}", config.label(), host(config), port(config)),
    )
    .with_hint(match config.name.is_empty() {
        true => "Check host and port, and that this host may reach it.".to_owned(),
        false => format!(
            "Check that this host may reach it, then run: VALIDATE SOURCE {};",
            catalog::quote_ident(&config.name)
        ),
    })
}

/// An error of the connection attempt as a whole.
fn connect_error(config: &SourceConfig, error: tokio_postgres::Error) -> Error {
    if let Some(remote) = error.as_db_error() {
        return match remote.code().code() {
            "28P01" | "28000" => login_error(config, remote),
            code => Error::new(kind_of(code), format!("{} refused the connection", config.label())).with_detail(
                format!("Remote said: {} ({code}).", scrub(config, remote.message()).trim_end_matches('.')),
            ),
        };
    }
    let text = error.to_string();
    if let Some(cause) = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        use std::io::ErrorKind as Io;
        return match cause.kind() {
            // The second is what the driver says when a connection ends within what should be a message.
            kind if !is_tls_error(&error)
                && (matches!(kind, Io::InvalidData | Io::InvalidInput)
                    || cause.to_string() == "bytes remaining on stream") =>
            {
                Error::new(
                    ErrorKind::ProtocolViolation,
                    format!(
                        "{}:{} does not answer like a PostgreSQL server for {}",
                        host(config),
                        port(config),
                        config.label()
                    ),
                )
                .with_hint("Check host and port.")
                .with_source(error)
            }
            Io::UnexpectedEof => unreachable_error(config)
                .with_detail("What listens there closed the connection before it had answered.")
                .with_source(error),
            _ => unreachable_error(config)
                .with_detail(format!("{}.", scrub(config, &capitalized(&cause.to_string()))))
                .with_source(error),
        };
    }
    let cause = error.source().map(|cause| cause.to_string()).unwrap_or_else(|| text.clone());
    let detail = format!("{}.", scrub(config, &capitalized(&cause)));
    if text == "invalid configuration" {
        // The driver says so when the server asks for a password and none was given.
        return login_text(config, &cause);
    }
    if text == "authentication error" {
        return login_text(config, &cause);
    }
    if text.starts_with("unexpected message") || text.starts_with("error parsing") {
        return Error::new(
            ErrorKind::ProtocolViolation,
            format!(
                "{}:{} does not answer like a PostgreSQL server for {}",
                host(config),
                port(config),
                config.label()
            ),
        )
        .with_hint("Check host and port.")
        .with_source(error);
    }
    unreachable_error(config).with_detail(detail).with_source(error)
}

fn login_error(config: &SourceConfig, remote: &tokio_postgres::error::DbError) -> Error {
    login_text(config, &format!("{} ({})", remote.message(), remote.code().code()))
}

fn login_text(config: &SourceConfig, said: &str) -> Error {
    let mut detail = format!("Remote said: {}.", scrub(config, said).trim_end_matches('.'));
    let label = config.secret_labels.get("password");
    if let Some(label) = label {
        detail.push_str(&format!(" {} was used.", capitalized(label)));
    }
    let secret = label.and_then(|label| label.split('"').nth(1)).filter(|name| !name.is_empty());
    let hint = match secret {
        Some(secret) => format!("ALTER SECRET {} AS '...';", catalog::quote_ident(secret)),
        None if config.name.is_empty() => "Check the options \"user\" and \"password\".".to_owned(),
        None => format!("ALTER SOURCE {} SET (password = '...');", catalog::quote_ident(&config.name)),
    };
    Error::new(ErrorKind::LoginRejected, format!("{} rejected user \"{}\"", config.label(), user(config)))
        .with_detail(detail)
        .with_hint(hint)
}

/// Turns an error of an established connection into ours. `doing` completes "could not ..", for
/// example `read table public.orders`. The remote's SQLSTATE is kept, its text is scrubbed.
pub(crate) fn remote_error(config: &SourceConfig, doing: &str, error: tokio_postgres::Error) -> Error {
    if let Some(remote) = error.as_db_error() {
        let mut detail = format!(
            "Remote said: {} ({}).",
            scrub(config, remote.message()).trim_end_matches('.'),
            remote.code().code()
        );
        for more in [remote.detail(), remote.hint()].into_iter().flatten() {
            detail.push(' ');
            detail.push_str(&scrub(config, more));
        }
        let mut ours = Error::new(kind_of(remote.code().code()), format!("could not {doing} on {}", config.label()))
            .with_detail(detail);
        if let (Some(schema), Some(table)) = (remote.schema(), remote.table()) {
            ours = ours.with_table(schema, table);
        }
        if let Some(column) = remote.column() {
            ours = ours.with_column(column);
        }
        return ours;
    }
    let is_io = error.source().is_some_and(|cause| cause.is::<std::io::Error>());
    if error.is_closed() || (is_io && error.to_string() == "error communicating with the server") {
        return lost_error(config, doing).with_source(error);
    }
    let cause = error.source().map(|cause| cause.to_string()).unwrap_or_else(|| error.to_string());
    Error::new(ErrorKind::ProtocolViolation, format!("could not {doing} on {}", config.label()))
        .with_detail(format!("{}.", scrub(config, &capitalized(&cause))))
        .with_source(error)
}

/// The connection is gone.
pub(crate) fn lost_error(config: &SourceConfig, doing: &str) -> Error {
    Error::new(ErrorKind::ConnectionLost, format!("the connection to {} was lost", config.label()))
        .with_detail(format!("It broke in the attempt to {doing}."))
}

/// Our kind for a remote SQLSTATE; the code itself always stays the same.
fn kind_of(code: &str) -> ErrorKind {
    match code {
        "42501" => ErrorKind::Privilege,
        "28P01" => ErrorKind::LoginRejected,
        "28000" => ErrorKind::InvalidAuthorization,
        "42P01" => ErrorKind::UndefinedTable,
        "3F000" => ErrorKind::UndefinedSchema,
        "42703" => ErrorKind::UndefinedColumn,
        "42883" => ErrorKind::UndefinedFunction,
        "42704" => ErrorKind::UndefinedObject,
        "42P07" => ErrorKind::DuplicateTable,
        "42710" => ErrorKind::DuplicateObject,
        "42804" => ErrorKind::TypeMismatch,
        "42846" => ErrorKind::CannotCoerce,
        "22P02" => ErrorKind::InvalidText,
        "22003" => ErrorKind::NumericRange,
        "22012" => ErrorKind::DivisionByZero,
        "23502" => ErrorKind::NotNullViolation,
        "23505" => ErrorKind::UniqueViolation,
        "23514" => ErrorKind::CheckViolation,
        "25006" => ErrorKind::ReadOnly,
        "55000" => ErrorKind::Prerequisite,
        "55006" => ErrorKind::InUse,
        "57014" => ErrorKind::Canceled,
        "2BP01" => ErrorKind::Dependents,
        code => ErrorKind::Remote(code.to_owned()),
    }
}

/// Takes the source's secrets out of a remote's text.
pub(crate) fn scrub(config: &SourceConfig, text: &str) -> String {
    let mut text = text.to_owned();
    for (name, value) in config.options.iter() {
        let secret = match value {
            connector_api::ConfigValue::Secret(secret) => secret.expose(),
            connector_api::ConfigValue::Text(text) if name == "password" => text.as_str(),
            _ => continue,
        };
        if !secret.is_empty() && text.contains(secret) {
            text = text.replace(secret, "***");
        }
    }
    text
}

fn capitalized(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}
