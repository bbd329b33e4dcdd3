//! The program `tidegate`: its commands, and the only place that reads arguments and environment.
//!
//! | file | what |
//! |---|---|
//! | `args`, `configuration` | options and the layers that their values come from |
//! | `serve`, `run`, `demo`, `password` | one file per command |
//! | `script`, `table`, `progress`, `console` | what a script is and how its results look |
//! | `connection`, `tls`, `users`, `directory` | the ways to a gateway, and what one is started with |

mod args;
mod configuration;
mod connection;
mod console;
mod demo;
mod directory;
mod executor;
mod interrupt;
mod logging;
mod password;
mod progress;
mod run;
mod script;
mod serve;
mod table;
mod tls;
mod users;

use args::{Command, Invocation, NoInvocation};
use catalog::{Error, Result};
use std::io::Write;
use std::process::ExitCode;

/// Exit code of a refusal: wrong usage, no connection, a gateway that cannot start.
const EXIT_REFUSED: u8 = 1;
/// Exit code of a script that ended with an error of a statement.
const EXIT_STATEMENT: u8 = 3;
/// Exit code after a panic, which is a bug of ours.
const EXIT_PANIC: u8 = 101;
/// Exit code when the reader of the results is gone, as of a program that died by SIGPIPE.
const EXIT_BROKEN_PIPE: u8 = 141;

/// Runs the program.
pub fn main() -> ExitCode {
    // Several libraries bring TLS; this says once which cryptography all of them use. It fails
    // only when somebody has said so already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Parsing recurses as deep as SQL does, and the main thread's stack is the shell's to choose.
    let worker = std::thread::Builder::new().name("main".into()).stack_size(crate::host::STACK_BYTES).spawn(execute);
    ExitCode::from(match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(_)) => EXIT_PANIC,
        Err(error) => {
            eprint(&format!("error: could not start a thread\ndetail: The operating system said: {error}.\n"));
            EXIT_REFUSED
        }
    })
}

fn execute() -> u8 {
    let outcome = match args::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(invocation) => logging::start(&invocation.cli.common).and_then(|()| command(invocation)),
        Err(NoInvocation::Text(text)) => {
            // A reader that is gone, as of `| head`, is no error of ours.
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            return 0;
        }
        Err(NoInvocation::Usage(text)) => {
            eprint(&text);
            return EXIT_REFUSED;
        }
        Err(NoInvocation::Refused(error)) => Err(error),
    };
    outcome.unwrap_or_else(|error| {
        eprint(&refusal(&error));
        EXIT_REFUSED
    })
}

fn command(invocation: Invocation) -> Result<u8> {
    let (url, data_dir) = (invocation.origin("url"), invocation.origin("data_dir"));
    let listen = invocation.origin("listen");
    match invocation.cli.command {
        Command::Serve(args) => serve::serve(args),
        Command::Run(args) => run::run(args, url, data_dir),
        Command::Demo(args) => demo::demo(args, listen),
        Command::HashPassword(args) => password::hash_password(&args),
    }
}

/// How a refusal reads.
fn refusal(error: &Error) -> String {
    let mut text = format!("error: {}\n", error.message());
    for (word, more) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(more) = more {
            text.push_str(&format!("{word}: {more}\n"));
        }
    }
    text
}

/// Writes to stderr; there is no place left that could tell of a failure.
fn eprint(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
