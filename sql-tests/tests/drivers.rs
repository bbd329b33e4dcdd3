//! Other programs: psycopg, node-postgres, pgx and pgjdbc connect, prepare and read system tables;
//! DuckDB reads the Parquet files that we write.
//!
//! Each is a small program in `drivers/`. What it needs comes from its own registry once and is kept
//! in the services' cache; without its toolchain or registry the test is a visible skip.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::{own_file, server, skip};

/// Where downloads are kept between runs.
fn cache() -> PathBuf {
    let root = std::env::var_os("TIDEGATE_TEST_DRIVERS").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".cache")));
        home.unwrap_or_else(std::env::temp_dir).join("tidegate/drivers")
    });
    std::fs::create_dir_all(&root).expect("the cache of drivers");
    root
}

/// Copies a driver's program to the cache, where its toolchain may write beside it.
fn prepare(name: &str) -> PathBuf {
    let folder = cache().join(name);
    std::fs::create_dir_all(&folder).expect("a folder for the driver");
    for entry in std::fs::read_dir(own_file("drivers").join(name)).expect("the driver's program").flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("the program can be copied");
        }
    }
    folder
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    Command::new(program).args(arguments).current_dir(folder).output().ok()
}

/// Fetches what the program needs; None is a skip that has been said.
fn fetch(folder: &Path, what: &str, program: &str, arguments: &[&str]) -> Option<()> {
    match run(folder, program, arguments) {
        None => skip::skipped(&format!("{what}: {program} is not installed")),
        Some(output) if !output.status.success() => skip::skipped(&format!(
            "{what}: its packages could not be fetched: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
        )),
        Some(_) => return Some(()),
    }
    None
}

/// Runs the program against a gateway of its own; it prints `ok` at its end.
fn drive(folder: &Path, program: &str, arguments: &[&str]) {
    let gateway = Gateway::start();
    let port = gateway.port().to_string();
    let arguments: Vec<&str> = arguments.iter().copied().chain([port.as_str()]).collect();
    let output = run(folder, program, &arguments).expect("it was there a moment ago");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.trim_end().ends_with("ok"), "{program} said:\n{stdout}\n{stderr}");
}

/// A Python with what a list of requirements names; None is a skip that has been said.
fn python(folder: &Path, what: &str, requirements: &str) -> Option<String> {
    // One for each list: tests run beside each other, and pip does not.
    let venv = folder.join(requirements.trim_end_matches(".txt"));
    let python = venv.join("bin/python");
    if !python.exists() {
        fetch(folder, what, "python3", &["-m", "venv", venv.to_str()?])?;
    }
    let python = python.to_str()?.to_owned();
    fetch(folder, what, &python, &["-m", "pip", "install", "-q", "-r", requirements])?;
    Some(python)
}

#[test]
fn psycopg_connects_prepares_and_reads() {
    let folder = prepare("python");
    if let Some(python) = python(&folder, "psycopg", "requirements.txt") {
        drive(&folder, &python, &["drive.py"]);
    }
}

#[tokio::test]
async fn duckdb_reads_the_parquet_that_we_write() {
    let Some(server) = server::pg15() else { return };
    let folder = prepare("python");
    let Some(python) = python(&folder, "duckdb", "requirements-duck.txt") else { return };
    let database = server.database("duck");
    database.psql(
        "CREATE TABLE public.t (id int PRIMARY KEY, small smallint, big bigint, price numeric(20,5), exact numeric, f real, d double precision, \
         yes boolean, name text, raw bytea, day date, clock time, at timestamp, moment timestamptz, key uuid, doc jsonb, list int[]); \
         INSERT INTO public.t VALUES (1, -32768, 9223372036854775807, -123456789012345.00001, 0.1234567890123456789012345678901234567890123, \
         1.5, 1e300, true, 'Ä日🙂', '\\x00ff', '2026-02-03', '23:59:59.999999', '1999-12-31 23:59:59.999999', '2026-01-01 12:00:00+02', \
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, null]}', '{1,NULL,3}'); INSERT INTO public.t (id) VALUES (2)",
    );
    let gateway = Gateway::start();
    let files = gateway.folder().join("lake");
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE shop TYPE postgres WITH ({})", database.source_options())).await;
    client.must(&format!("CREATE SOURCE lake TYPE files WITH (path = '{}')", files.display())).await;
    client.must("CREATE SYNC JOB duck FROM shop FOR TABLES (public.t) INTO lake MODE FULL WRITE OVERWRITE").await;
    client.must("WAIT FOR JOB duck STATE finished TIMEOUT '30s'").await;
    let glob = format!("{}/public/t/*.parquet", files.display());
    let output = run(&folder, &python, &["duck.py", &glob]).expect("python was there a moment ago");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        lines[0],
        "id:INTEGER small:SMALLINT big:BIGINT price:DECIMAL(20,5) exact:VARCHAR f:FLOAT d:DOUBLE yes:BOOLEAN name:VARCHAR raw:BLOB \
         day:DATE clock:TIME at:TIMESTAMP moment:TIMESTAMP WITH TIME ZONE key:UUID doc:JSON list:VARCHAR"
    );
    assert_eq!(lines.len(), 3, "{stdout}");
    for word in [
        "-32768",
        "9223372036854775807",
        "-123456789012345.00001",
        "0.1234567890123456789012345678901234567890123",
        "Ä日🙂",
        "1e+300",
        "1999-12-31 23:59:59.999999",
        "2026-01-01 10:00:00+00",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ] {
        assert!(lines[1].contains(word), "{word} is missing in {}", lines[1]);
    }
    client.must("DROP JOB duck").await;
    client.must("DROP SOURCE shop, lake").await;
}

#[test]
fn node_postgres_connects_prepares_and_reads() {
    let folder = prepare("node");
    if fetch(&folder, "node-postgres", "npm", &["install", "--silent", "--no-audit", "--no-fund"]).is_some() {
        drive(&folder, "node", &["drive.js"]);
    }
}

#[test]
fn pgx_connects_prepares_and_reads() {
    let folder = prepare("go");
    if fetch(&folder, "pgx", "go", &["build", "-o", "drive", "."]).is_some() {
        drive(&folder, "./drive", &[]);
    }
}

#[test]
fn pgjdbc_connects_prepares_and_reads() {
    let folder = prepare("java");
    let arguments = ["-q", "-B", "package", "dependency:copy-dependencies", "-DoutputDirectory=target/lib"];
    if fetch(&folder, "pgjdbc", "mvn", &arguments).is_some() {
        drive(&folder, "java", &["-cp", "target/classes:target/lib/*", "Drive"]);
    }
}
