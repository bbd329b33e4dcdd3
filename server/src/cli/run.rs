//! `tidegate run`: a script on a gateway that runs, or on one that lives as long as the script.

use super::args::{Origin, RunArgs};
use super::connection::Target;
use super::console::Console;
use super::directory::host_options;
use super::executor::Executor;
use super::interrupt::{Interrupts, runtime};
use super::script::Script;
use super::{EXIT_STATEMENT, eprint};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::wire::ListenOptions;
use catalog::{Error, ErrorKind, JobState, Result};
use std::path::Path;
use std::sync::Arc;

/// Executes the script; gives the exit code. `url` and `data_dir` say where the two ways to a
/// gateway were named.
pub(super) fn run(args: RunArgs, url: Origin, data_dir: Origin) -> Result<u8> {
    let (name, text) = Script::read(&args.file)?;
    let script = match Script::parse(name, text) {
        Ok(script) => script,
        Err(report) => {
            eprint(&report);
            return Ok(EXIT_STATEMENT);
        }
    };
    let console = Arc::new(Console::new(args.quiet));
    let runtime = runtime()?;
    let interrupts = Interrupts::new(&runtime)?;
    if let Some(url) = remote(args.url.as_deref(), url, data_dir)? {
        let target = Target::from_url(url)?;
        return runtime
            .block_on(async { Executor::connect(target, console, interrupts).await?.run(&script, false).await });
    }

    let listen = ListenOptions { address: "127.0.0.1:0".into(), ..ListenOptions::default() };
    let host = Host::start(host_options(&args.storage, listen)?).map_err(beside_another)?;
    let outcome = Target::embedded(host.local_addr()).and_then(|target| {
        runtime
            .block_on(async { Executor::connect(target, console.clone(), interrupts).await?.run(&script, false).await })
    });
    say_what_still_runs(&console, host.gateway());
    let ended = host.shutdown();
    let code = outcome?;
    ended.map(|()| code)
}

/// The URL, unless the data directory was named in a stronger layer.
fn remote(url: Option<&str>, url_origin: Origin, data_dir_origin: Origin) -> Result<Option<&str>> {
    match url {
        Some(_) if url_origin == data_dir_origin => {
            Err(Error::new(ErrorKind::InvalidValue, "url and data_dir exclude each other")
                .with_detail("A script runs on the gateway at the URL, or on one of its own with the data directory."))
        }
        Some(url) if url_origin > data_dir_origin => Ok(Some(url)),
        _ => Ok(None),
    }
}

/// The hint for a directory that a gateway is serving: the script can run there.
fn beside_another(error: Error) -> Error {
    if *error.kind() != ErrorKind::InUse {
        return error;
    }
    error.with_hint("Run the script on that gateway: --url postgres://127.0.0.1:7432; or give it a directory of its own with --data-dir.")
}

/// Jobs that the end of this gateway interrupts.
fn say_what_still_runs(console: &Console, gateway: &Gateway) {
    let snapshot = gateway.store.snapshot();
    let mut names: Vec<&str> = snapshot
        .jobs
        .values()
        .filter(|job| matches!(job.state, JobState::Starting | JobState::Running))
        .map(|job| job.name.as_str())
        .collect();
    names.sort_unstable();
    let Some(first) = names.first() else { return };
    let message = match names.len() {
        1 => format!("job \"{first}\" is still running"),
        n => format!("{n} jobs are still running: {}", names.join(", ")),
    };
    let (they_go, name) = (if names.len() == 1 { "It goes" } else { "They go" }, catalog::quote_ident(first));
    console.notice(
        "NOTICE",
        &message,
        Some(&format!("{they_go} on when a gateway next opens {}.", shown(gateway.store.directory()))),
        Some(&format!("To wait at the end of the script: WAIT FOR JOB {name} STATE finished;")),
    );
}

fn shown(directory: &Path) -> String {
    format!("data directory \"{}\"", directory.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_layer_decides_where_a_script_runs() {
        let url = Some("postgres://h");
        assert_eq!(remote(url, Origin::Flag, Origin::Variable).unwrap(), url);
        assert_eq!(remote(url, Origin::File, Origin::Default).unwrap(), url);
        assert_eq!(remote(url, Origin::Variable, Origin::Flag).unwrap(), None);
        assert_eq!(remote(None, Origin::Default, Origin::Default).unwrap(), None);
        assert!(remote(url, Origin::Flag, Origin::Flag).is_err());
    }
}
