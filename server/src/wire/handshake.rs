//! The beginning of a connection: encryption, cancel requests, startup parameters, login.

use super::Front;
use super::connection::Connection;
use super::error::{coded, fatal_response, hide_internal, protocol_violation};
use super::message::Reader;
use super::run::stopping;
use super::socket::Socket;
use crate::session::Session;
use crate::settings::Settings;
use bytes::{Buf, Bytes};
use catalog::{Error, ErrorKind, Result};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// Time for everything up to the end of the login.
const LOGIN_WAIT: Duration = Duration::from_secs(10);
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a client asked for at its start.
struct Startup {
    minor: u16,
    parameters: Vec<(String, String)>,
}

impl Startup {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }
}

/// Everything that happens on one connection.
pub(super) async fn serve_connection(front: Arc<Front>, stream: TcpStream, peer: SocketAddr) {
    // Small answers go out at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "TCP_NODELAY not set");
    }
    probe(&stream);
    let mut shutdown = front.shutdown.clone();
    let login = tokio::time::timeout(LOGIN_WAIT, log_in(&front, Socket::new(stream, peer)));
    let connection = tokio::select! {
        biased;
        login = login => login,
        // A client that is not logged in yet has nothing to be told.
        () = stopping(&mut shutdown) => return,
    };
    match connection {
        Ok(Some(connection)) => connection.run().await,
        Ok(None) => {}
        Err(_) => tracing::debug!(%peer, "login not finished in time"),
    }
}

/// Lets the system find a client whose machine vanished without a word: after a minute of silence it
/// is asked every ten seconds, three times.
fn probe(stream: &TcpStream) {
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 60),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 10),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open for as long as `stream` is borrowed, and the option's value
        // is an int that outlives the call.
        let result = unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, (&raw const value).cast(), length) };
        if result != 0 {
            tracing::debug!(error = %std::io::Error::last_os_error(), name, "keepalive not set");
        }
    }
}

/// None when there is nothing more to do: a cancel request, or a refusal that the client was told of.
async fn log_in(front: &Arc<Front>, socket: Socket) -> Option<Connection> {
    let peer = socket.peer;
    match encrypt(front, socket).await {
        Ok(Some((mut socket, startup))) => match open(front, &mut socket, &startup).await {
            Ok(opened) => {
                tracing::debug!(%peer, pid = opened.session.pid, role = opened.session.role, "connection opened");
                Some(Connection::new(front.clone(), socket, opened.session, opened.notices, opened.permit))
            }
            Err(error) => {
                refuse(socket, error).await;
                None
            }
        },
        Ok(None) => None,
        Err(Refusal { socket, error }) => {
            match socket {
                Some(socket) => refuse(*socket, error).await,
                None => tracing::debug!(%peer, error = %error, "connection refused"),
            }
            None
        }
    }
}

async fn refuse(mut socket: Socket, error: Error) {
    tracing::debug!(peer = %socket.peer, sqlstate = error.sqlstate(), error = %error, "connection refused");
    if *error.kind() != ErrorKind::ConnectionLost {
        let error = hide_internal(error, "");
        if socket.put(&fatal_response(&error)).is_ok() {
            socket.close().await;
        }
    }
}

/// An error before the login, with the socket when there still is one to tell it on.
struct Refusal {
    socket: Option<Box<Socket>>,
    error: Error,
}

/// Reads requests until the real startup message; answers those for encryption.
async fn encrypt(front: &Arc<Front>, mut socket: Socket) -> Result<Option<(Socket, Startup)>, Refusal> {
    let gone = |error| Refusal { socket: None, error };
    if socket.begins_with_tls().await.map_err(gone)? {
        let Some(tls) = &front.tls else { return Err(gone(protocol_violation("TLS is not set up"))) };
        socket = socket.start_tls(&tls.acceptor, true).await.map_err(gone)?;
    }
    // A client asks at most once for each kind of encryption.
    for _ in 0..3 {
        let body = match socket.read_startup().await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Refusal { socket: Some(Box::new(socket)), error }),
        };
        let mut reader = Reader(body);
        let code = match reader.u32() {
            Ok(code) => code,
            Err(error) => return Err(Refusal { socket: Some(Box::new(socket)), error }),
        };
        match code {
            SSL_REQUEST => match &front.tls {
                Some(tls) if !socket.is_tls() => {
                    socket.put_byte(b'S');
                    socket.flush().await.map_err(gone)?;
                    socket = socket.start_tls(&tls.acceptor, false).await.map_err(gone)?;
                }
                _ => {
                    socket.put_byte(b'N');
                    socket.flush().await.map_err(gone)?;
                }
            },
            GSS_REQUEST => {
                socket.put_byte(b'N');
                socket.flush().await.map_err(gone)?;
            }
            CANCEL_REQUEST => {
                let pid = reader.i32().map_err(gone)?;
                front.cancel_keys.cancel(pid, &reader.rest());
                return Ok(None);
            }
            version => match startup(version, reader.rest()) {
                Ok(startup) => return Ok(Some((socket, startup))),
                Err(error) => return Err(Refusal { socket: Some(Box::new(socket)), error }),
            },
        }
    }
    Err(Refusal { socket: Some(Box::new(socket)), error: protocol_violation("too many requests for encryption") })
}

/// Reads the startup message behind its version.
fn startup(version: u32, body: Bytes) -> Result<Startup> {
    let (major, minor) = ((version >> 16) as u16, version as u16);
    if major != 3 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"),
        ));
    }
    let mut reader = Reader(body);
    let mut parameters = vec![];
    loop {
        let name = reader.text()?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, reader.text()?));
    }
    if reader.0.has_remaining() {
        return Err(protocol_violation("invalid startup packet layout: expected terminator as last byte"));
    }
    Ok(Startup { minor, parameters })
}

struct Opened {
    session: Arc<Session>,
    notices: tokio::sync::mpsc::UnboundedReceiver<crate::outcome::Notice>,
    permit: OwnedSemaphorePermit,
}

/// Login and the beginning of the session, up to what comes before the first ReadyForQuery.
async fn open(front: &Arc<Front>, socket: &mut Socket, startup: &Startup) -> Result<Opened> {
    // What we do not know of the protocol is named; the connection goes on without it.
    let unknown: Vec<String> =
        startup.parameters.iter().map(|(n, _)| n).filter(|n| n.starts_with("_pq_.")).cloned().collect();
    let minor = if startup.minor >= 2 { 2 } else { 0 };
    if startup.minor != minor || !unknown.is_empty() {
        socket.put(&NegotiateProtocolVersion::new((3 << 16) | i32::from(minor), unknown))?;
    }
    let role = startup.get("user").ok_or_else(|| {
        Error::new(ErrorKind::InvalidAuthorization, "no PostgreSQL user name specified in startup packet")
    })?;
    if role.len() > catalog::name::IDENT_BYTES_MAX {
        return Err(Error::new(ErrorKind::InvalidAuthorization, "the user name is too long"));
    }
    if matches!(startup.get("replication"), Some(value) if crate::settings::parse_bool(value) != Some(false)) {
        return Err(Error::unsupported("a replication connection"));
    }
    if !socket.peer.ip().to_canonical().is_loopback() && !socket.is_tls() {
        return Err(Error::new(ErrorKind::InvalidAuthorization, "connections from other machines must use TLS")
            .with_hint("Connect with sslmode=require."));
    }
    if let Some(verifiers) = &front.verifiers {
        verifiers.authenticate(socket, role, front.tls.as_ref()).await?;
    }
    let permit = front.sessions.clone().try_acquire_owned().map_err(|_| {
        Error::new(ErrorKind::LimitReached, "sorry, too many clients already")
            .with_detail(format!("At most {} sessions are allowed at the same time.", front.connections_max))
    })?;
    let settings = settings(front, startup, role)?;
    let database = startup.get("database").unwrap_or(role).to_owned();
    let pid = front.gateway.sessions.next_pid();
    let (session, notices) = Session::new(pid, role.to_owned(), database, socket.peer.to_string(), settings);
    socket.put(&Authentication::Ok)?;
    let key = front.cancel_keys.add(&session, minor >= 2)?;
    socket.put(&BackendKeyData::new(pid, key))?;
    Ok(Opened { session, notices, permit })
}

/// The settings of a session's start: the gateway's facts, the client's parameters, its `options`.
fn settings(front: &Front, startup: &Startup, role: &str) -> Result<Settings> {
    let mut settings = Settings::new();
    settings.start_with("session_authorization", role)?;
    settings.start_with("max_connections", &front.connections_max.to_string())?;
    settings.start_with("ssl", if front.tls.is_some() { "on" } else { "off" })?;
    let given = match startup.get("options") {
        Some(options) => parse_options(options)?,
        None => vec![],
    };
    let direct = startup
        .parameters
        .iter()
        .filter(|(name, _)| {
            !matches!(name.as_str(), "user" | "database" | "options" | "replication") && !name.starts_with("_pq_.")
        })
        .cloned();
    for (name, value) in given.into_iter().chain(direct) {
        settings.set(&name, &value, false)?;
        let value = settings.get(&name).unwrap_or(value);
        settings.start_with(&name, &value)?;
    }
    Ok(settings)
}

/// `-c name=value`, `-cname=value`, `--name=value`; a backslash takes a blank into a value.
fn parse_options(options: &str) -> Result<Vec<(String, String)>> {
    let wrong = |word: &str| coded("42601", format!("invalid command-line argument for server process: {word}"));
    let mut words = vec![];
    let mut word = String::new();
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            c if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let mut words = words.into_iter().filter(|w| !w.is_empty());
    let mut settings = vec![];
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
            Some("") => words.next().ok_or_else(|| wrong(&word))?,
            Some(rest) => rest.to_owned(),
            None => return Err(wrong(&word)),
        };
        let (name, value) = assignment.split_once('=').ok_or_else(|| wrong(&assignment))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_command_line() {
        let parsed = parse_options("-c statement_timeout=5s -cdatestyle=ISO,\\ DMY --search-path=a").unwrap();
        let pairs: Vec<(&str, &str)> = parsed.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("statement_timeout", "5s"), ("datestyle", "ISO, DMY"), ("search_path", "a")]);
        for wrong in ["-c", "-c x", "-d 5", "x=1"] {
            assert!(parse_options(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn startup_messages_are_read_to_the_last_byte() {
        let body = Bytes::from_static(b"user\0a\0database\0\0\0");
        let read = startup(3 << 16 | 2, body).unwrap();
        assert_eq!((read.minor, read.get("user"), read.get("database")), (2, Some("a"), None));
        assert_eq!(startup(2 << 16, Bytes::new()).err().unwrap().sqlstate(), "0A000");
        for wrong in [&b""[..], b"user\0", b"user\0a\0", b"\0x"] {
            assert_eq!(startup(3 << 16, Bytes::copy_from_slice(wrong)).err().unwrap().sqlstate(), "08P01");
        }
    }
}
