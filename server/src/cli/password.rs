//! `tidegate hash-password`: reads a password and prints its line for the users file. The password
//! itself is never shown, stored or given as an argument.

use super::args::HashPasswordArgs;
use super::{eprint, users};
use crate::wire;
use catalog::store::SecretText;
use catalog::{Error, ErrorKind, Result};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, RawFd};

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Runs the command.
pub(super) fn hash_password(args: &HashPasswordArgs) -> Result<u8> {
    users::check_name(&args.user)?;
    let password = if std::io::stdin().is_terminal() {
        let password = ask("Password: ")?;
        if ask("Again: ")?.expose() != password.expose() {
            return Err(Error::new(ErrorKind::InvalidValue, "the two passwords are not the same"));
        }
        password
    } else {
        read_line()?
    };
    if password.expose().is_empty() {
        return Err(Error::new(ErrorKind::InvalidValue, "the password is empty"));
    }
    let line = format!("{}:{}\n", args.user, wire::scram_verifier(password.expose())?);
    std::io::stdout().lock().write_all(line.as_bytes()).map_err(|error| {
        Error::new(ErrorKind::Io, "could not write to standard output")
            .with_detail(format!("The operating system said: {error}."))
    })?;
    Ok(0)
}

/// Asks on the terminal, which shows nothing of the answer.
fn ask(prompt: &str) -> Result<SecretText> {
    eprint(prompt);
    let password = {
        let _silent = NoEcho::begin(std::io::stdin().as_raw_fd())?;
        read_line()
    };
    eprint("\n");
    password
}

/// The first line of standard input, without its end.
fn read_line() -> Result<SecretText> {
    let mut line = vec![];
    std::io::stdin().lock().take(PASSWORD_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(|error| {
        Error::new(ErrorKind::Io, "could not read the password")
            .with_detail(format!("The operating system said: {error}."))
    })?;
    if line.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::InvalidValue,
            format!("the password is longer than {PASSWORD_BYTES_MAX} bytes"),
        ));
    }
    for end in [b'\n', b'\r'] {
        if line.last() == Some(&end) {
            line.pop();
        }
    }
    match String::from_utf8(line) {
        Ok(text) => Ok(SecretText::new(text)),
        Err(_) => Err(Error::new(ErrorKind::InvalidText, "the password is not UTF-8")),
    }
}

/// Keeps a terminal from showing what is typed until it is dropped.
struct NoEcho {
    terminal: RawFd,
    before: libc::termios,
}

impl NoEcho {
    fn begin(terminal: RawFd) -> Result<Self> {
        let failed = || {
            Error::new(ErrorKind::Io, "could not keep the terminal from showing the password")
                .with_detail(format!("The operating system said: {}.", std::io::Error::last_os_error()))
        };
        let mut state = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the pointer is to memory of the right type, which the call fills when it succeeds.
        let before = unsafe {
            if libc::tcgetattr(terminal, state.as_mut_ptr()) != 0 {
                return Err(failed());
            }
            state.assume_init()
        };
        let mut silent = before;
        silent.c_lflag &= !libc::ECHO;
        // SAFETY: the pointer is to a value that tcgetattr filled.
        if unsafe { libc::tcsetattr(terminal, libc::TCSAFLUSH, &silent) } != 0 {
            return Err(failed());
        }
        Ok(Self { terminal, before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // SAFETY: the pointer is to a value that tcgetattr filled.
        unsafe {
            libc::tcsetattr(self.terminal, libc::TCSAFLUSH, &self.before);
        }
    }
}
