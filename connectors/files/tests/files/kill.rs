//! kill -9 at random points. A child process writes run after run into two tables; the parent kills
//! it, and then everything must be as the last commit left it.

use crate::support::*;
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use catalog::WriteMode;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "TIDEGATE_FILES_KILL_CHILD";
const FIRST_RUN: &str = "TIDEGATE_FILES_KILL_RUN";
const FORMAT: &str = "TIDEGATE_FILES_KILL_FORMAT";
const ROWS: i64 = 500;
const KILLS: i64 = 30;

fn tables() -> [(catalog::TableName, WriteMode); 2] {
    [(catalog::TableName::new("s", "replaced"), WriteMode::Overwrite), (name("appended"), WriteMode::Append)]
}

fn options(format: &str) -> [(&str, &str); 2] {
    // Two files for a write that may have them, so that both ways of publication are killed.
    [("file_rows_max", "300"), ("format", format)]
}

/// Not a test of its own: what the parent starts and kills.
#[tokio::test]
async fn child_that_is_killed() {
    let Some(root) = std::env::var_os(CHILD) else { return };
    let config = config(Path::new(&root), &options(&std::env::var(FORMAT).unwrap()));
    let first: i64 = std::env::var(FIRST_RUN).unwrap().parse().unwrap();
    for run in first..first + 100_000 {
        for (table, mode) in tables() {
            println!("begin {run} {table}");
            let batches = [numbers(run * ROWS, 300, "x"), numbers(run * ROWS + 300, ROWS - 300, "x")];
            let target = target(&table, &batches[0].schema(), mode);
            let key = key_of(&table, run);
            let mut writer = open_as(sink(&config).as_ref(), target, batches[0].schema(), key).await.unwrap();
            for batch in batches {
                writer.write(batch).await.unwrap();
            }
            writer.commit(&position(run)).await.unwrap();
            println!("done {run} {table}");
        }
    }
}

fn kill_one(root: &Path, format: &str, first_run: i64, delay: Duration) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, root)
        .env(FORMAT, format)
        .env(FIRST_RUN, first_run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = vec![];
    // The delay counts from the first write on, not from the start of the process.
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some(at) = line.find("begin ") {
            seen.push(line[at..].to_owned());
            break;
        }
    }
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    seen.extend(lines.map_while(Result::ok));
    seen
}

#[tokio::test]
async fn after_a_kill_every_parquet_run_is_there_once_or_not_at_all() {
    kill_and_look("parquet").await;
}

#[tokio::test]
async fn after_a_kill_every_csv_run_is_there_once_or_not_at_all() {
    kill_and_look("csv").await;
}

async fn kill_and_look(format: &str) {
    let folder = tempfile::tempdir().unwrap();
    let root: PathBuf = folder.path().join("lake");
    let config = config(&root, &options(format));
    let sink = sink(&config);
    let mut next_run = 1;
    let mut committed: HashMap<i64, i64> = HashMap::new();
    for kill in 0..KILLS {
        let delay = Duration::from_micros(((kill * 7919) % 31) as u64 * 1700);
        let lines = kill_one(&root, format, next_run, delay);
        let count = |word: &str, table: &str| -> Vec<i64> {
            lines
                .iter()
                .filter(|line| line.starts_with(word) && line.ends_with(table))
                .map(|line| line.split(' ').nth(1).unwrap().parse().unwrap())
                .collect()
        };
        for (table, mode) in tables() {
            let begun = count("begin", &table.to_string());
            let done = count("done", &table.to_string());
            let Some(last) = begun.last().copied() else { continue };
            next_run = next_run.max(last + 1);
            let recovered = sink.recovered_position(&key_of(&table, last), &table).await.unwrap();
            if done.contains(&last) {
                assert_eq!(recovered, Some(format!("run-{last}")), "kill {kill}: a commit that returned is there");
            }
            sink.clean_up(&key_of(&table, last), &table).await.unwrap();
            assert_eq!(sink.recovered_position(&key_of(&table, last), &table).await.unwrap(), recovered);
            if mode == WriteMode::Append {
                committed.extend(done.iter().map(|run| (*run, ROWS)));
                if recovered.is_some() {
                    committed.insert(last, ROWS);
                }
            }
            let mut rows_of_run: HashMap<i64, i64> = HashMap::new();
            if describe(&config, &table).await.unwrap().is_some() {
                for id in read_all(&config, &table).await.unwrap().column(0).as_primitive::<Int64Type>().values() {
                    *rows_of_run.entry(id / ROWS).or_default() += 1;
                }
            }
            if mode == WriteMode::Append {
                assert_eq!(rows_of_run, committed, "kill {kill}");
            } else {
                assert!(rows_of_run.len() <= 1, "kill {kill}: {rows_of_run:?}");
                assert!(rows_of_run.values().all(|rows| *rows == ROWS), "kill {kill}: {rows_of_run:?}");
                assert_eq!(rows_of_run.contains_key(&last), recovered.is_some(), "kill {kill}");
            }
        }
        let left: Vec<String> =
            everything(&root).into_iter().filter(|p| p.contains("staging") || p.ends_with(".tmp")).collect();
        assert!(left.is_empty(), "kill {kill}: {left:?}");
    }
}
