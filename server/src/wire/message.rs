//! Messages from clients, read with every length and every count checked.
//!
//! pgwire has readers of its own; these exist because input must never panic, never be read past
//! its message, never be repaired (text that is not UTF-8 is 22021), and never be kept in memory
//! beyond a limit of its kind.

use super::error::{coded, protocol_violation};
use bytes::{Buf, Bytes};
use catalog::{Error, Result};

/// Longest text of a statement, in bytes.
pub(super) const STATEMENT_BYTES_MAX: usize = 16 << 20;
/// Longest message that carries values, in bytes.
const BIND_BYTES_MAX: usize = 64 << 20;
/// Longest message of any other kind, in bytes.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Longest message before the login is done, in bytes.
pub(super) const STARTUP_BYTES_MAX: usize = 10_000;

/// A message from a client whose login is done.
#[derive(Debug)]
pub(super) enum Message {
    Query(String),
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    DescribeStatement(String),
    DescribePortal(String),
    Execute {
        portal: String,
        max_rows: usize,
    },
    CloseStatement(String),
    ClosePortal(String),
    Flush,
    Sync,
    Terminate,
    /// What a client still sends of a COPY that was refused.
    Copy,
}

impl Message {
    /// Whether an error in it makes the connection skip to the next Sync.
    pub(super) fn is_extended(&self) -> bool {
        !matches!(self, Self::Query(_) | Self::Terminate | Self::Copy)
    }
}

/// Bind.
#[derive(Debug)]
pub(super) struct Bind {
    pub portal: String,
    pub statement: String,
    /// 0 text, 1 binary; none: all text; one: for all.
    pub parameter_formats: Vec<i16>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// How long a message of a kind may be, without its kind and length; None for a kind that no
/// client may send.
pub(super) fn bytes_max(kind: u8) -> Option<usize> {
    match kind {
        b'Q' | b'P' => Some(STATEMENT_BYTES_MAX + SMALL_BYTES_MAX),
        b'B' => Some(BIND_BYTES_MAX),
        b'C' | b'D' | b'E' | b'H' | b'S' | b'X' | b'f' | b'c' => Some(SMALL_BYTES_MAX),
        b'd' => Some(BIND_BYTES_MAX),
        _ => None,
    }
}

/// What a message that is too long is answered with.
pub(super) fn too_long(kind: u8) -> Error {
    let (what, limit) = match kind {
        b'Q' | b'P' => ("a statement", STATEMENT_BYTES_MAX),
        b'B' => ("the values of one Bind", BIND_BYTES_MAX),
        b'd' => ("a message", BIND_BYTES_MAX),
        _ => ("a message", SMALL_BYTES_MAX),
    };
    coded("54000", format!("{what} may not be longer than {limit} bytes"))
}

/// Reads the body of a message.
pub(super) fn decode(kind: u8, body: Bytes) -> Result<Message> {
    let mut reader = Reader(body);
    let message = match kind {
        b'Q' => Message::Query(checked_text(reader.text()?)?),
        b'P' => {
            let (name, text) = (reader.text()?, checked_text(reader.text()?)?);
            let count = reader.count()?;
            Message::Parse { name, text, types: (0..count).map(|_| reader.u32()).collect::<Result<_>>()? }
        }
        b'B' => {
            let (portal, statement) = (reader.text()?, reader.text()?);
            let parameter_formats = reader.formats()?;
            let count = reader.count()?;
            let parameters = (0..count).map(|_| reader.value()).collect::<Result<_>>()?;
            Message::Bind(Bind { portal, statement, parameter_formats, parameters, result_formats: reader.formats()? })
        }
        b'D' | b'C' => {
            let (target, name) = (reader.u8()?, reader.text()?);
            match (kind, target) {
                (b'D', b'S') => Message::DescribeStatement(name),
                (b'D', b'P') => Message::DescribePortal(name),
                (_, b'S') => Message::CloseStatement(name),
                (_, b'P') => Message::ClosePortal(name),
                _ => return Err(protocol_violation(format!("invalid message subtype {target}"))),
            }
        }
        b'E' => {
            let (portal, max_rows) = (reader.text()?, reader.i32()?);
            // Zero and negative mean: all.
            Message::Execute {
                portal,
                max_rows: usize::try_from(max_rows).ok().filter(|n| *n > 0).unwrap_or(usize::MAX),
            }
        }
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'd' | b'c' | b'f' => return Ok(Message::Copy),
        _ => return Err(protocol_violation(format!("invalid frontend message type {kind}"))),
    };
    if !reader.0.is_empty() {
        return Err(protocol_violation("invalid message format"));
    }
    Ok(message)
}

fn checked_text(text: String) -> Result<String> {
    if text.len() > STATEMENT_BYTES_MAX { Err(too_long(b'Q')) } else { Ok(text) }
}

/// Reads a body from its front; whatever is missing is 08P01.
pub(super) struct Reader(pub Bytes);

impl Reader {
    fn need(&self, count: usize) -> Result<()> {
        if self.0.remaining() < count { Err(protocol_violation("insufficient data left in message")) } else { Ok(()) }
    }
    pub(super) fn u8(&mut self) -> Result<u8> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }
    pub(super) fn i32(&mut self) -> Result<i32> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }
    pub(super) fn u32(&mut self) -> Result<u32> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }
    fn count(&mut self) -> Result<usize> {
        self.need(2)?;
        Ok(self.0.get_u16().into())
    }
    fn formats(&mut self) -> Result<Vec<i16>> {
        let count = self.count()?;
        self.need(count * 2)?;
        let formats: Vec<i16> = (0..count).map(|_| self.0.get_i16()).collect();
        match formats.iter().find(|f| !matches!(f, 0 | 1)) {
            Some(format) => Err(coded("22023", format!("unsupported format code: {format}"))),
            None => Ok(formats),
        }
    }
    pub(super) fn value(&mut self) -> Result<Option<Bytes>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| protocol_violation("invalid message format"))?;
                self.need(length)?;
                Ok(Some(self.0.split_to(length)))
            }
        }
    }
    /// A text that a zero byte ends.
    pub(super) fn text(&mut self) -> Result<String> {
        let end = self.0.iter().position(|b| *b == 0).ok_or_else(|| protocol_violation("invalid string in message"))?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        utf8(&bytes).map(str::to_owned)
    }
    /// What is left.
    pub(super) fn rest(&mut self) -> Bytes {
        self.0.split_to(self.0.len())
    }
}

/// The bytes as text, or 22021 as in PostgreSQL.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| {
        let bad = &bytes[error.valid_up_to()..];
        let shown: Vec<String> =
            bad.iter().take(error.error_len().unwrap_or(1)).map(|b| format!("0x{b:02x}")).collect();
        coded("22021", format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_messages_are_read() {
        let body = Bytes::from_static(b"s\0select $1\0\0\x01\0\0\0\x17");
        match decode(b'P', body).unwrap() {
            Message::Parse { name, text, types } => {
                assert_eq!((name.as_str(), text.as_str(), types), ("s", "select $1", vec![23]))
            }
            other => panic!("{other:?}"),
        }
        let body = Bytes::from_static(b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0");
        match decode(b'B', body).unwrap() {
            Message::Bind(bind) => {
                assert_eq!(bind.statement, "s");
                assert_eq!(bind.parameters, vec![Some(Bytes::from_static(b"x")), None]);
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            decode(b'E', Bytes::from_static(b"\0\0\0\0\0")).unwrap(),
            Message::Execute { max_rows: usize::MAX, .. }
        ));
    }

    #[test]
    fn every_cut_of_a_message_is_an_error_and_never_a_panic() {
        let whole: &[(u8, &[u8])] = &[
            (b'Q', b"select 1\0"),
            (b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
            (b'B', b"\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\0"),
            (b'D', b"Sx\0"),
            (b'E', b"p\0\0\0\0\x05"),
        ];
        for (kind, body) in whole {
            decode(*kind, Bytes::from_static(body)).unwrap();
            for end in 0..body.len() {
                assert_eq!(decode(*kind, Bytes::copy_from_slice(&body[..end])).unwrap_err().sqlstate(), "08P01");
            }
            let longer = [*body, b"!"].concat();
            assert!(decode(*kind, longer.into()).is_err());
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_and_not_repaired() {
        let error = decode(b'Q', Bytes::from_static(b"select '\xff'\0")).unwrap_err();
        assert_eq!((error.sqlstate(), error.message()), ("22021", "invalid byte sequence for encoding \"UTF8\": 0xff"));
    }
}
