//! The four drivers: psycopg, node-postgres, pgx and pgjdbc connect, prepare and read system tables.
//!
//! Each is a small program in `drivers/`. What it needs comes from its own registry once and is kept
//! in the services' cache; without its toolchain or registry the test is a visible skip.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::{own_file, skip};

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

#[test]
fn psycopg_connects_prepares_and_reads() {
    let folder = prepare("python");
    let venv = folder.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() && fetch(&folder, "psycopg", "python3", &["-m", "venv", venv.to_str().unwrap()]).is_none() {
        return;
    }
    let python = python.to_str().unwrap();
    if fetch(&folder, "psycopg", python, &["-m", "pip", "install", "-q", "-r", "requirements.txt"]).is_some() {
        drive(&folder, python, &["drive.py"]);
    }
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
