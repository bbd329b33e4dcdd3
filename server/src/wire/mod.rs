//! The front: PostgreSQL's protocol, versions 3.0 and 3.2, for any number of clients.
//!
//! Nothing outside of this folder names pgwire. From pgwire come the messages to clients, SCRAM and
//! the stream over TCP or TLS; reading, the order of things and the limits are ours: a connection
//! is one loop that waits for the statement, the client, a cancel request, the statement's deadline
//! and the end of the gateway at the same time. No code here is generic over the transport.

mod auth;
mod cancel;
mod connection;
mod cursor;
mod decode;
mod encode;
mod error;
mod extended;
mod handshake;
mod message;
mod prepared;
mod run;
mod session_statement;
mod simple;
mod socket;
mod tls;

pub use auth::{Auth, scram_verifier};
pub use tls::TlsFiles;

use crate::gateway::Gateway;
use auth::Verifiers;
use cancel::CancelKeys;
use catalog::{Error, ErrorKind, Result};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Connections above the limit that may still ask for a cancel or be told why they are refused.
const SPARE_CONNECTIONS: usize = 64;
/// How long sessions have to end when the gateway stops.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ListenOptions {
    /// `host:port`; port 0 takes a free one.
    pub address: String,
    /// Certificate and key; without them there is no TLS.
    pub tls: Option<TlsFiles>,
    /// How clients prove who they are.
    pub auth: Auth,
    /// Sessions at the same time.
    pub connections_max: usize,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { address: "127.0.0.1:7432".into(), tls: None, auth: Auth::Trust, connections_max: 100 }
    }
}

/// A listener that has its address and its keys, and accepts nothing yet.
pub struct BoundListener {
    listener: TcpListener,
    local_addr: SocketAddr,
    tls: Option<Tls>,
    verifiers: Option<Verifiers>,
    connections_max: usize,
}

/// What all connections of a listener share.
struct Front {
    gateway: Arc<Gateway>,
    tls: Option<Tls>,
    verifiers: Option<Verifiers>,
    cancel_keys: CancelKeys,
    /// One permit per session.
    sessions: Arc<Semaphore>,
    connections_max: usize,
    shutdown: watch::Receiver<bool>,
}

/// Takes the address and loads the keys. Fails closed: on any other address than loopback it is
/// 55000 without both TLS and SCRAM, and files that do not fit are errors, never plain text.
pub async fn bind(options: ListenOptions) -> Result<BoundListener> {
    let cannot = |error: std::io::Error| {
        Error::new(ErrorKind::Prerequisite, format!("cannot listen on \"{}\"", options.address))
            .with_detail(format!("{error}."))
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&options.address).await.map_err(cannot)?.collect();
    let is_loopback = addresses.iter().all(|a| a.ip().is_loopback());
    let has_scram = matches!(options.auth, Auth::Scram { .. });
    let is_protected = has_scram && options.tls.is_some();
    if !is_loopback && !is_protected {
        let missing = match (has_scram, options.tls.is_some()) {
            (false, false) => "passwords and TLS",
            (true, _) => "TLS",
            (false, true) => "passwords",
        };
        return Err(Error::new(
            ErrorKind::Prerequisite,
            format!("will not listen on \"{}\" without {missing}", options.address),
        )
        .with_detail(
            "Other machines can reach this address; without both, anybody there could read and change everything.",
        )
        .with_hint("Serve with --tls-cert, --tls-key, --auth scram and --users-file, or listen on 127.0.0.1."));
    }
    let tls = options.tls.as_ref().map(tls::load).transpose()?;
    let verifiers = match &options.auth {
        Auth::Trust => None,
        Auth::Scram { verifiers } => Some(Verifiers::new(verifiers)?),
    };
    let listener = TcpListener::bind(&addresses[..]).await.map_err(cannot)?;
    let local_addr = listener.local_addr().map_err(cannot)?;
    Ok(BoundListener { listener, local_addr, tls, verifiers, connections_max: options.connections_max.max(1) })
}

/// [`bind`] and [`BoundListener::serve`] in one.
pub async fn serve(gateway: Arc<Gateway>, options: ListenOptions, shutdown: impl Future<Output = ()>) -> Result<()> {
    bind(options).await?.serve(gateway, shutdown).await
}

impl BoundListener {
    /// The address that clients connect to, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is ready; then statements end, clients are told (57P01) and sessions
    /// have five seconds to close.
    pub async fn serve(self, gateway: Arc<Gateway>, shutdown: impl Future<Output = ()>) -> Result<()> {
        let (stop, stopped) = watch::channel(false);
        let front = Arc::new(Front {
            gateway,
            tls: self.tls,
            verifiers: self.verifiers,
            cancel_keys: CancelKeys::default(),
            sessions: Arc::new(Semaphore::new(self.connections_max)),
            connections_max: self.connections_max,
            shutdown: stopped,
        });
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => log_panic(ended),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if connections.len() >= self.connections_max + SPARE_CONNECTIONS => drop(stream),
                    Ok((stream, peer)) => {
                        connections.spawn(handshake::serve_connection(front.clone(), stream, peer));
                    }
                    Err(error) => {
                        // Most likely there are no file descriptors left: others must close first.
                        tracing::warn!(error = %error, "connection not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(self.listener);
        // Nobody listens when there is no connection.
        let _ = stop.send(true);
        let all_ended = async {
            while let Some(ended) = connections.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(SHUTDOWN_WAIT, all_ended).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections did not end in time");
            connections.shutdown().await;
        }
        Ok(())
    }
}

fn log_panic(ended: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(error = %error, "a connection ended in a panic");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_addresses_than_loopback_need_passwords_and_tls() {
        let options = ListenOptions { address: "0.0.0.0:0".into(), ..ListenOptions::default() };
        let error = bind(options.clone()).await.err().unwrap();
        assert_eq!(error.sqlstate(), "55000");
        assert_eq!(error.message(), "will not listen on \"0.0.0.0:0\" without passwords and TLS");
        let verifiers = [("a".to_owned(), scram_verifier("x").unwrap())].into();
        let error = bind(ListenOptions { auth: Auth::Scram { verifiers }, ..options }).await.err().unwrap();
        assert_eq!(error.message(), "will not listen on \"0.0.0.0:0\" without TLS");
        let bound = bind(ListenOptions { address: "127.0.0.1:0".into(), ..ListenOptions::default() }).await.unwrap();
        assert_ne!(bound.local_addr().port(), 0);
    }

    #[tokio::test]
    async fn a_key_that_is_not_there_keeps_the_listener_closed() {
        let tls = TlsFiles { cert_file: "/nonexistent/cert".into(), key_file: "/nonexistent/key".into() };
        let options = ListenOptions { address: "127.0.0.1:0".into(), tls: Some(tls), ..ListenOptions::default() };
        assert_eq!(bind(options).await.err().unwrap().sqlstate(), "55000");
    }
}
