//! The socket of one client: whole messages in, buffered messages out, reading and writing at the
//! same time without one waiting for the other.

use super::error::protocol_violation;
use bytes::{Buf, Bytes, BytesMut};
use catalog::{Error, ErrorKind, Result};
use pgwire::messages::Message;
use pgwire::tokio::TlsAcceptor;
use pgwire::tokio::server::MaybeTls;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are sent together: rows are gathered up to this many.
pub(super) const WRITE_BYTES: usize = 64 << 10;
/// Bytes that are taken from a client while its statement runs, to see whether it is still there.
const AHEAD_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 16 << 10;

/// A message as it came: `body` is None when it was longer than its kind may be; it is skipped.
pub(super) struct Frame {
    pub kind: u8,
    pub body: Option<Bytes>,
}

/// What happened to the socket.
pub(super) enum Progress {
    /// Something was read or written.
    Moved,
    /// The client is gone.
    Ended,
}

/// One client's socket.
pub(super) struct Socket {
    stream: MaybeTls,
    /// The client's address.
    pub peer: SocketAddr,
    input: BytesMut,
    /// Messages that are not sent yet. Rows are written into it directly.
    pub output: BytesMut,
    /// Bytes of a message that is too long, still to be skipped.
    skip: usize,
    is_ended: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr) -> Self {
        Self::over(MaybeTls::Plain(stream), peer)
    }

    fn over(stream: MaybeTls, peer: SocketAddr) -> Self {
        Self { stream, peer, input: BytesMut::new(), output: BytesMut::new(), skip: 0, is_ended: false }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.stream, MaybeTls::Tls(_))
    }

    /// Begins TLS. `is_direct`: the client began with it and must have named the protocol.
    pub(super) async fn start_tls(self, acceptor: &TlsAcceptor, is_direct: bool) -> Result<Self> {
        // What came before TLS would be taken as if it had come through it.
        if !self.input.is_empty() {
            return Err(protocol_violation("received unencrypted data after SSL request")
                .with_detail("This could be a client bug or a man in the middle."));
        }
        let MaybeTls::Plain(stream) = self.stream else {
            return Err(protocol_violation("TLS is already in use"));
        };
        let stream = acceptor.accept(stream).await.map_err(lost)?;
        if is_direct && stream.get_ref().1.alpn_protocol() != Some(super::tls::ALPN) {
            return Err(protocol_violation(
                "received direct SSL connection request without ALPN protocol negotiation extension",
            ));
        }
        Ok(Self::over(MaybeTls::Tls(Box::new(stream)), self.peer))
    }

    /// Whether the client begins with TLS instead of asking for it.
    pub(super) async fn begins_with_tls(&self) -> Result<bool> {
        let MaybeTls::Plain(stream) = &self.stream else { return Ok(false) };
        let mut first = [0u8; 1];
        Ok(stream.peek(&mut first).await.map_err(lost)? == 1 && first[0] == 0x16)
    }

    /// A message without a kind, as they come before the login; its length included is in `body`
    /// no more. None when the client left.
    pub(super) async fn read_startup(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(head) = self.input.first_chunk::<4>() {
                let length = u32::from_be_bytes(*head) as usize;
                if !(8..=super::message::STARTUP_BYTES_MAX).contains(&length) {
                    return Err(protocol_violation("invalid length of startup packet"));
                }
                if self.input.len() >= length {
                    let mut body = self.input.split_to(length).freeze();
                    body.advance(4);
                    return Ok(Some(body));
                }
            }
            if self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// The next message; `bytes_max` says how long a message of a kind may be, None that the kind
    /// may not come. Ok(None) when the client left. Keeps what it has read when it is dropped.
    pub(super) async fn read_frame(&mut self, bytes_max: impl Fn(u8) -> Option<usize>) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take_frame(&bytes_max)? {
                return Ok(Some(frame));
            }
            if self.is_ended || self.read_more().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Whether a whole message or the end of one is there without waiting.
    fn take_frame(&mut self, bytes_max: &impl Fn(u8) -> Option<usize>) -> Result<Option<Frame>> {
        if self.skip > 0 {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 {
                return Ok(None);
            }
        }
        let Some([kind, length @ ..]) = self.input.first_chunk::<5>().copied() else { return Ok(None) };
        let Some(limit) = bytes_max(kind) else {
            return Err(protocol_violation(format!("invalid frontend message type {kind}")));
        };
        let length = u32::from_be_bytes(length) as usize;
        if !(4..=1 << 30).contains(&length) {
            return Err(protocol_violation("invalid message length"));
        }
        if length - 4 > limit {
            self.input.advance(5);
            self.skip = length - 4;
            return Ok(Some(Frame { kind, body: None }));
        }
        if self.input.len() < length + 1 {
            return Ok(None);
        }
        let mut body = self.input.split_to(length + 1).freeze();
        body.advance(5);
        Ok(Some(Frame { kind, body: Some(body) }))
    }

    async fn read_more(&mut self) -> Result<usize> {
        // The buffer grows with what has come, not with what a header promises.
        self.input.reserve(READ_BYTES.max(self.input.len().min(1 << 20)));
        let count = self.stream.read_buf(&mut self.input).await.map_err(lost)?;
        self.is_ended |= count == 0;
        Ok(count)
    }

    /// Adds a message to what is to be sent.
    pub(super) fn put(&mut self, message: &impl Message) -> Result<()> {
        message
            .encode(&mut self.output)
            .map_err(|e| Error::internal("a message could not be written").with_source(e.to_string()))
    }

    /// Adds one byte: the answer to a request for encryption.
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.output.extend_from_slice(&[byte]);
    }

    /// Sends everything.
    pub(super) async fn flush(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            self.stream.write_buf(&mut self.output).await.map_err(lost)?;
        }
        self.stream.flush().await.map_err(lost)
    }

    /// Waits until something was read or, when `may_write`, written. Loses nothing when dropped.
    pub(super) async fn progress(&mut self, may_write: bool) -> Result<Progress> {
        poll_fn(|context| self.poll_progress(context, may_write)).await.map_err(lost)
    }

    fn poll_progress(&mut self, context: &mut Context<'_>, may_write: bool) -> Poll<io::Result<Progress>> {
        if may_write && !self.output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Progress::Ended)),
                Poll::Ready(Ok(count)) => {
                    self.output.advance(count);
                    if self.output.is_empty()
                        && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context)
                    {
                        return Poll::Ready(Err(error));
                    }
                    return Poll::Ready(Ok(Progress::Moved));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        } else if may_write && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context) {
            return Poll::Ready(Err(error));
        }
        if self.is_ended {
            return Poll::Ready(Ok(Progress::Ended));
        }
        if self.input.len() >= AHEAD_BYTES_MAX {
            return Poll::Pending;
        }
        let mut chunk = [0u8; 4096];
        let mut chunk = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut chunk))?;
        if chunk.filled().is_empty() {
            self.is_ended = true;
            return Poll::Ready(Ok(Progress::Ended));
        }
        self.input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(Progress::Moved))
    }

    /// Ends the connection; what is left to be sent is sent, if the client takes it.
    pub(super) async fn close(mut self) {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), async {
            let _ = self.flush().await;
            let _ = self.stream.shutdown().await;
        })
        .await;
    }
}

/// The transport failed: there is nobody to tell.
fn lost(error: io::Error) -> Error {
    Error::new(ErrorKind::ConnectionLost, "the connection to the client was lost").with_source(error)
}
