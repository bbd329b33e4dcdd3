//! `tidegate serve`.

use super::args::{Auth as AuthMethod, ServeArgs};
use super::directory::host_options;
use super::interrupt::{Interrupts, runtime};
use super::users;
use crate::host::Host;
use crate::wire::{Auth, ListenOptions, TlsFiles};
use catalog::{Error, ErrorKind, Result};
use std::io::Write;
use std::net::SocketAddr;

/// Serves until a signal or an error ends it.
pub(super) fn serve(args: ServeArgs) -> Result<u8> {
    let listen = listen_options(&args)?;
    let options = host_options(&args.storage, listen)?;
    let runtime = runtime()?;
    let mut interrupts = Interrupts::new(&runtime)?;
    let mut host = Host::start(options).map_err(in_flags)?;
    announce(host.local_addr())?;
    let failure = runtime.block_on(async {
        tokio::select! {
            _ = interrupts.next() => None,
            error = host.failed() => Some(error),
        }
    });
    let ended = host.shutdown();
    failure.map_or(ended, Err)?;
    Ok(0)
}

/// Errors of the listener with what can be done in this program's words; the front, which makes
/// them, knows nothing of flags. They are told apart by the beginnings of their messages.
pub(super) fn in_flags(error: Error) -> Error {
    if error.message().starts_with("cannot listen on") {
        return error.with_hint("Choose an address and port that are free with --listen HOST:PORT.");
    }
    if error.message().starts_with("will not listen on") {
        return error.with_hint("Give --tls-cert, --tls-key, --auth scram and --users-file, or listen on 127.0.0.1.");
    }
    error
}

/// The one line on stdout, for people and for whoever waits for the gateway.
pub(super) fn announce(address: SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "tidegate {} accepts connections on {address}", env!("CARGO_PKG_VERSION"))
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            Error::new(ErrorKind::Io, "could not write to standard output")
                .with_detail(format!("The operating system said: {error}."))
        })
}

fn listen_options(args: &ServeArgs) -> Result<ListenOptions> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert_file: cert.clone(), key_file: key.clone() }),
        (None, None) => None,
        (given, _) => {
            let (given, missing) = if given.is_some() { ("tls-cert", "tls-key") } else { ("tls-key", "tls-cert") };
            return Err(Error::new(ErrorKind::Prerequisite, format!("--{given} needs --{missing}"))
                .with_hint("TLS takes a certificate and its private key, both as PEM files."));
        }
    };
    let auth = match (args.auth, &args.users_file) {
        (AuthMethod::Trust, None) => Auth::Trust,
        (AuthMethod::Scram, Some(path)) => Auth::Scram { verifiers: users::load(path)? },
        (AuthMethod::Scram, None) => {
            return Err(Error::new(ErrorKind::Prerequisite, "--auth scram needs --users-file")
                .with_hint("Make the file with: tidegate hash-password USER >> users"));
        }
        // Somebody who names users expects that only they get in.
        (AuthMethod::Trust, Some(_)) => {
            return Err(Error::new(ErrorKind::Prerequisite, "--users-file needs --auth scram")
                .with_detail("With --auth trust everybody may log in without a password."));
        }
    };
    Ok(ListenOptions { address: args.listen.clone(), tls, auth, connections_max: args.connections_max as usize })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command};
    use clap::Parser;

    fn options(arguments: &[&str]) -> Result<ListenOptions> {
        match Cli::parse_from(["tidegate", "serve"].iter().chain(arguments)).command {
            Command::Serve(args) => listen_options(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        for (arguments, message) in [
            (vec!["--tls-cert", "c"], "--tls-cert needs --tls-key"),
            (vec!["--tls-key", "k"], "--tls-key needs --tls-cert"),
            (vec!["--auth", "scram"], "--auth scram needs --users-file"),
            (vec!["--users-file", "u"], "--users-file needs --auth scram"),
        ] {
            assert_eq!(options(&arguments).unwrap_err().message(), message);
        }
        let plain = options(&[]).unwrap();
        assert!(plain.tls.is_none() && matches!(plain.auth, Auth::Trust));
        assert!(options(&["--tls-cert", "c", "--tls-key", "k"]).unwrap().tls.is_some());
    }
}
