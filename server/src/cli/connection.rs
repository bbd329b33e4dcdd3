//! Connections to a gateway: where it is, how the way there is protected, and its notices.

use super::console::Console;
use super::tls;
use catalog::{Error, ErrorKind, Result};
use futures::StreamExt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Port of a gateway whose URL names none.
const DEFAULT_PORT: u16 = 7432;
/// How long an attempt may take, login included, when the URL does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a gateway is and how to reach it. Never shown: it may hold a password.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: MakeRustlsConnect,
    /// `host:port`, for messages.
    label: String,
}

impl Target {
    /// A gateway in this process.
    pub(super) fn embedded(address: SocketAddr) -> Result<Self> {
        let mut config = Config::new();
        config.host(address.ip().to_string()).port(address.port()).ssl_mode(SslMode::Disable);
        Self::finish(config, tls::connector("disable", None)?)
    }

    /// From `postgres://user:password@host:port/database?sslmode=..&sslrootcert=..`. The error of
    /// a URL that cannot be read names what is wrong and never quotes it.
    pub(super) fn from_url(url: &str) -> Result<Self> {
        let refused = |detail: String| {
            Error::new(ErrorKind::InvalidValue, "the URL of the gateway cannot be read")
                .with_detail(detail)
                .with_hint("Use --url postgres://user@host:7432/?sslmode=verify-full; special characters of a password are written %XX.")
        };
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(refused("It does not begin with postgres://.".into()));
        }
        // The driver knows fewer words for TLS than libpq, so they are read here.
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = "prefer".to_owned();
        let mut root = None;
        let mut rest = vec![];
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value.to_owned(),
                Some(("sslrootcert", value)) => {
                    root = Some(
                        percent_decoded(value)
                            .ok_or_else(|| refused("The value of sslrootcert is not percent-encoded text.".into()))?,
                    )
                }
                _ => rest.push(pair),
            }
        }
        let mut address = with_default_port(address);
        if !rest.is_empty() {
            address = format!("{address}?{}", rest.join("&"));
        }
        let mut config = Config::from_str(&address).map_err(|error| {
            // The driver's message names a parameter; the values stay out of it.
            let cause = std::error::Error::source(&error).map(|cause| cause.to_string()).unwrap_or_default();
            let is_safe = !cause.is_empty() && !config_values(url).any(|value| cause.contains(&value));
            refused(if is_safe { super::args::sentence(&cause) } else { "It is not a URL of the form below.".into() })
        })?;
        let tls = tls::connector(&mode, root.as_deref())?;
        config.ssl_mode(match mode.as_str() {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            _ => SslMode::Require,
        });
        if config.get_password().is_none()
            && let Some(password) = std::env::var("PGPASSWORD").ok().filter(|p| !p.is_empty())
        {
            config.password(password);
        }
        Self::finish(config, tls)
    }

    fn finish(mut config: Config, tls: MakeRustlsConnect) -> Result<Self> {
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("127.0.0.1");
        }
        if config.get_ports().is_empty() {
            config.port(DEFAULT_PORT);
        }
        if config.get_user().is_none() {
            config.user(std::env::var("USER").ok().filter(|u| !u.is_empty()).unwrap_or_else(|| "tidegate".into()));
        }
        if config.get_dbname().is_none() {
            config.dbname("tidegate");
        }
        if config.get_application_name().is_none() {
            config.application_name("tidegate run");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let label = format!("{host}:{}", config.get_ports().first().copied().unwrap_or(DEFAULT_PORT));
        Ok(Self { config, tls, label })
    }

    /// Connects; notices go to the console until the client is dropped, or nowhere without one.
    pub(super) async fn connect(&self, console: Option<Arc<Console>>) -> Result<Client> {
        let limit = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        let (client, mut connection) = match tokio::time::timeout(limit, self.config.connect(self.tls.clone())).await {
            Ok(Ok(connected)) => connected,
            Ok(Err(error)) => return Err(self.refused(&error)),
            Err(_) => {
                return Err(self.unreachable(format!("There was no complete answer within {} s.", limit.as_secs())));
            }
        };
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match (message, &console) {
                    (Ok(AsyncMessage::Notice(notice)), Some(console)) => {
                        console.notice(notice.severity(), notice.message(), notice.detail(), notice.hint());
                    }
                    (Ok(_), _) => {}
                    // Whoever waits for an answer gets the error too, and says so.
                    (Err(error), _) => {
                        tracing::debug!(%error, "the connection to the gateway ended with an error");
                        break;
                    }
                }
            }
        });
        Ok(client)
    }

    /// Asks the gateway to cancel what the client is doing.
    pub(super) async fn cancel(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        client.cancel_token().cancel_query(self.tls.clone()).await
    }

    fn unreachable(&self, detail: String) -> Error {
        Error::new(ErrorKind::Unreachable, format!("could not connect to the gateway at {}", self.label))
            .with_detail(detail)
            .with_hint("Check the address, and that a gateway runs there: tidegate serve")
    }

    fn refused(&self, error: &tokio_postgres::Error) -> Error {
        match error.as_db_error() {
            Some(said) => {
                let refused = Error::new(
                    ErrorKind::Remote(said.code().code().to_owned()),
                    format!("the gateway at {} refused the connection: {}", self.label, said.message()),
                );
                let refused = match said.detail() {
                    Some(detail) => refused.with_detail(detail),
                    None => refused,
                };
                match said.hint() {
                    Some(hint) => refused.with_hint(hint),
                    None => refused,
                }
            }
            None => self.unreachable(super::args::sentence(&causes(error))),
        }
    }
}

/// An error and its causes in one line, each once.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The user, the password and the values of a URL: what a message must not repeat.
fn config_values(url: &str) -> impl Iterator<Item = String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '@', ':', '?', '&', '='])
        .filter(|part| part.len() >= 3)
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The URL with our port where a host has none; the driver would take PostgreSQL's.
fn with_default_port(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |i| i + 1));
    let with_port = |host: &str| match host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        true => host.to_owned(),
        false if host.is_empty() => String::new(),
        false => format!("{host}:{DEFAULT_PORT}"),
    };
    let hosts: Vec<String> = hosts.split(',').map(with_port).collect();
    format!("{scheme}://{user}{}{path}", hosts.join(","))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_fills_in_what_it_leaves_out() {
        let target = Target::from_url("postgres://bi@gate.example").unwrap();
        assert_eq!(target.label, "gate.example:7432");
        assert_eq!((target.config.get_user(), target.config.get_dbname()), (Some("bi"), Some("tidegate")));
        assert_eq!(target.config.get_ssl_mode(), SslMode::Prefer);
        let target = Target::from_url("postgresql://u:p%40ss@h:5/db?sslmode=require&application_name=x").unwrap();
        assert_eq!(target.label, "h:5");
        assert_eq!(target.config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!(target.config.get_application_name(), Some("x"));
        assert_eq!(target.config.get_ssl_mode(), SslMode::Require);
        for (url, label) in [
            ("postgres://", "127.0.0.1:7432"),
            ("postgres://u@/db", "127.0.0.1:7432"),
            ("postgres://u:p@[::1]/db", "[::1]:7432"),
            ("postgres://[::1]:9", "[::1]:9"),
            ("postgres://a,b:9/db", "a:7432"),
        ] {
            assert_eq!(Target::from_url(url).unwrap_or_else(|e| panic!("{url}: {e} {:?}", e.detail())).label, label);
        }
    }

    #[test]
    fn a_url_that_cannot_be_read_is_never_quoted() {
        for url in [
            "mysql://u:hunter2@h",
            "postgres://u:hunter2@h:port/db",
            "postgres://u:hunter2@h/?hunter2=1",
            "postgres://u:hunter2@h/?sslmode=verify-all",
            "postgres://u:hunter2@h/?sslmode=verify-full&sslrootcert=/nonexistent.pem",
            "postgres://u:hunter2@h/?sslrootcert=%zz",
        ] {
            let error = Target::from_url(url).err().unwrap();
            let all = format!("{error} {:?} {:?}", error.detail(), error.hint());
            assert!(!all.contains("hunter2"), "{all}");
        }
    }

    #[test]
    fn percent_encoding_is_undone() {
        assert_eq!(percent_decoded("/a%20b/%C3%A4").as_deref(), Some("/a b/ä"));
        assert_eq!(percent_decoded("%4"), None);
    }
}
