//! `tidegate demo`: the main job with nothing else installed. It loads the sample's TPC-H tables
//! into Parquet files, queries them through SQL, shows the job's statistics, and serves.

use super::args::{DEFAULT_LISTEN, DemoArgs, Origin, StorageArgs};
use super::connection::Target;
use super::console::Console;
use super::directory::{absolute, host_options};
use super::executor::Executor;
use super::interrupt::{Interrupts, runtime};
use super::script::Script;
use super::serve::{announce, in_flags};
use crate::host::Host;
use crate::wire::ListenOptions;
use catalog::{Error, ErrorKind, Result, quote_literal};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many ports are tried when the usual one is taken.
const PORTS_TRIED: u16 = 100;
/// How many names are tried for a new directory.
const NAMES_TRIED: u32 = 1000;

/// Runs the demonstration; gives the exit code. `listen` says whether an address was asked for.
pub(super) fn demo(args: DemoArgs, listen: Origin) -> Result<u8> {
    let console = Arc::new(Console::new(false));
    let data_dir = match &args.data_dir {
        Some(given) => absolute(given)?,
        None => new_directory(&std::env::temp_dir())?,
    };
    let storage = StorageArgs { data_dir: Some(data_dir.clone()), query_memory: args.query_memory };
    let out = match &args.out {
        Some(given) => absolute(given)?,
        None => data_dir.join("lake"),
    };
    let address = match (&args.listen, args.no_serve) {
        (Some(given), false) if listen > Origin::Default => given.clone(),
        (_, true) => "127.0.0.1:0".to_owned(),
        (_, false) => free_address(&console)?,
    };

    let runtime = runtime()?;
    let interrupts = Interrupts::new(&runtime)?;
    let listen = ListenOptions { address, ..ListenOptions::default() };
    let mut host = Host::start(host_options(&storage, listen)?).map_err(in_flags)?;
    let outcome = runtime.block_on(present(&args, &console, &mut host, interrupts, &data_dir, &out));
    let ended = host.shutdown();
    let code = outcome?;
    ended.map(|()| code)
}

/// Everything between the start of the gateway and its end.
async fn present(
    args: &DemoArgs,
    console: &Arc<Console>,
    host: &mut Host,
    interrupts: Interrupts,
    data_dir: &Path,
    out: &Path,
) -> Result<u8> {
    std::fs::create_dir_all(out).map_err(|error| {
        Error::new(ErrorKind::Io, format!("could not create directory \"{}\"", out.display()))
            .with_detail(format!("The operating system said: {error}."))
    })?;
    let out_text = out.to_str().ok_or_else(|| {
        Error::new(ErrorKind::InvalidValue, format!("\"{}\" is not UTF-8", out.display()))
            .with_detail("The directory becomes part of a SQL statement.")
            .with_hint("Give another one with --out.")
    })?;
    console.print(&format!(
        "-- catalog: {}\n-- Parquet files: {}\n-- Each statement is printed before it runs; psql takes the same ones.\n\n",
        data_dir.display(),
        out.display()
    ))?;
    let address = host.local_addr();
    let mut executor = Executor::connect(Target::embedded(address)?, console.clone(), interrupts).await?;
    let script = Script::parse("demo".into(), statements(args.scale_factor, out_text))
        .map_err(|report| Error::internal("a statement of the demonstration is wrong").with_detail(report))?;
    let code = executor.run(&script, true).await?;
    if code != 0 || args.no_serve {
        return Ok(code);
    }
    announce(address)?;
    console.print(&format!(
        "Try next: psql -h {} -p {} tidegate\n\
         There: \\d lake.tpch.orders, SHOW JOBS; or SELECT * FROM tidegate.stat_job_tables;\n\
         Ctrl-C ends the gateway. To start it again: tidegate serve --data-dir {}\n",
        address.ip(),
        address.port(),
        data_dir.display()
    ))?;
    tokio::select! {
        _ = executor.interrupted() => Ok(0),
        error = host.failed() => Err(error),
    }
}

/// What is shown. It may be executed again: what is there already is left alone.
fn statements(scale_factor: f64, out: &str) -> String {
    let (scale_factor, out) = (quote_literal(&scale_factor.to_string()), quote_literal(out));
    format!(
        "CREATE SOURCE IF NOT EXISTS tpch TYPE sample WITH (scale_factor = {scale_factor});
CREATE SOURCE IF NOT EXISTS lake TYPE files WITH (path = {out});

CREATE SYNC JOB IF NOT EXISTS load_tpch
  FROM SOURCE tpch FOR ALL TABLES INTO lake
  MODE FULL WRITE OVERWRITE;

WAIT FOR JOB load_tpch STATE finished TIMEOUT '10min';

SELECT l_returnflag, l_linestatus, count(*) AS lines, sum(l_quantity) AS quantity,
       sum(l_extendedprice * (1 - l_discount)) AS revenue
  FROM lake.tpch.lineitem JOIN lake.tpch.orders ON o_orderkey = l_orderkey
 WHERE o_orderdate >= DATE '1995-01-01'
 GROUP BY l_returnflag, l_linestatus
 ORDER BY l_returnflag, l_linestatus;

SELECT source_table, sink_table, state, rows_read, rows_written, bytes_written
  FROM tidegate.stat_job_tables
 WHERE job_name = 'load_tpch'
 ORDER BY rows_written DESC, source_table;

SELECT run_id, state, started_at, duration_ms, rows_read, rows_written
  FROM tidegate.job_runs
 WHERE job_name = 'load_tpch'
 ORDER BY run_id DESC
 LIMIT 3;
"
    )
}

/// A new directory that nobody else has. Made here and not only named: in a folder that all users
/// share, somebody else may have made the name before.
fn new_directory(base: &Path) -> Result<PathBuf> {
    let process = std::process::id();
    for n in 0..NAMES_TRIED {
        let suffix = if n == 0 { String::new() } else { format!("-{n}") };
        let path = base.join(format!("tidegate-demo-{process}{suffix}"));
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::new(ErrorKind::Io, format!("could not create directory \"{}\"", path.display()))
                    .with_detail(format!("The operating system said: {error}."))
                    .with_hint("Give another one with --data-dir."));
            }
        }
    }
    Err(Error::new(ErrorKind::Io, format!("could not find a free name for a directory in \"{}\"", base.display()))
        .with_hint("Give one with --data-dir."))
}

/// The usual address, or the next free port when it is taken. Whoever takes the port between this
/// look and the start makes the start fail with the same words as any taken port.
fn free_address(console: &Console) -> Result<String> {
    let usual: SocketAddr = DEFAULT_LISTEN
        .parse()
        .map_err(|error| Error::internal("the default address is not an address").with_source(error))?;
    let is_free = |port: u16| TcpListener::bind((usual.ip(), port)).is_ok();
    let port = (usual.port()..usual.port() + PORTS_TRIED).find(|port| is_free(*port)).ok_or_else(|| {
        Error::new(
            ErrorKind::Prerequisite,
            format!("ports {} to {} are all in use", usual.port(), usual.port() + PORTS_TRIED - 1),
        )
        .with_hint("Choose one with --listen HOST:PORT, or end without serving: --no-serve")
    })?;
    if port != usual.port() {
        let message = format!("port {} is in use, taking {port} instead", usual.port());
        console.notice("NOTICE", &message, None, Some("Choose a port with --listen HOST:PORT."));
    }
    Ok(SocketAddr::new(usual.ip(), port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_are_ones_that_we_parse() {
        let text = statements(0.01, "/tmp/it's a lake");
        let parsed = planner::parse(&text).unwrap_or_else(|error| panic!("{error} {:?}", error.detail()));
        assert_eq!(parsed.len(), 7);
        assert!(!parsed.iter().any(|p| matches!(p.statement, planner::Statement::NotBuilt { .. })));
    }

    #[test]
    fn a_new_directory_is_private_and_new() {
        use std::os::unix::fs::PermissionsExt;
        let base = std::env::temp_dir();
        let (one, two) = (new_directory(&base).unwrap(), new_directory(&base).unwrap());
        assert_ne!(one, two);
        assert_eq!(std::fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o700);
        for path in [one, two] {
            std::fs::remove_dir(path).unwrap();
        }
    }
}
