//! The program's own face: help, version, options by flag, variable and file, `run` and `demo`.

use std::fs;
use tidegate_sql_tests::gateway::{Gateway, run_command};

#[test]
fn help_and_version_read_well() {
    let (status, help, _) = run_command(&["--help"], None);
    assert!(status.success());
    for word in ["serve", "run", "demo", "Usage"] {
        assert!(help.contains(word), "--help lacks {word}:\n{help}");
    }
    for command in ["serve", "run", "demo"] {
        let (status, help, _) = run_command(&[command, "--help"], None);
        assert!(status.success() && help.contains("--data-dir"), "{command} --help:\n{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 120), "{command} --help has lines that are too long");
    }
    let (status, version, _) = run_command(&["--version"], None);
    assert!(status.success());
    assert!(version.starts_with("tidegate "), "{version}");
}

#[test]
fn unknown_flags_commands_and_keys_are_errors_that_name_them() {
    let (status, _, stderr) = run_command(&["serve", "--lisen", "x"], None);
    assert!(!status.success() && stderr.contains("--lisen") && stderr.contains("--listen"), "{stderr}");
    let (status, _, stderr) = run_command(&["sevre"], None);
    assert!(!status.success() && stderr.contains("serve"), "{stderr}");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidegate.toml");
    fs::write(&config, "lisen = \"127.0.0.1:0\"\n").unwrap();
    let (status, _, stderr) = run_command(&["serve", "--config", config.to_str().unwrap()], None);
    assert!(!status.success() && stderr.contains("lisen"), "{stderr}");
    let (status, _, stderr) = run_command(&["serve", "--config", "/no/such/file.toml"], None);
    assert!(!status.success() && stderr.contains("/no/such/file.toml"), "{stderr}");
    let (status, _, stderr) = run_command(&["serve", "--listen", "nowhere"], None);
    assert!(!status.success() && stderr.contains("nowhere"), "{stderr}");
}

#[tokio::test]
async fn a_variable_and_a_file_say_the_same_as_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidegate.toml");
    fs::write(&config, "log = \"warn\"\n").unwrap();
    let gateway = Gateway::builder().args(["--config", config.to_str().unwrap()]).env("TIDEGATE_LOG", "error").start();
    let mut client = gateway.connect().await;
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn sigterm_ends_it_cleanly_and_clients_hear_why() {
    let mut gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SECRET s AS 'x'").await;
    assert!(gateway.stop().success());
    assert!(client.run(tidegate_sql_tests::client::Engine::Simple, "SELECT 1").await.is_err());
    gateway.start_again();
    let mut client = gateway.connect().await;
    assert_eq!(client.value("SELECT count(*) FROM tidegate.secrets").await, "1");
    client.must("DROP SECRET s").await;
}

#[test]
fn run_executes_a_script_embedded_and_stops_at_the_first_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let script = folder.path().join("migrate.sql");
    let lake = folder.path().join("lake");
    fs::write(
        &script,
        format!(
            "CREATE SOURCE IF NOT EXISTS tpch TYPE sample;\nCREATE SOURCE IF NOT EXISTS lake TYPE files WITH (path = '{}');\n\
             CREATE SYNC JOB IF NOT EXISTS nation INTO lake.files.nation MODE FULL WRITE OVERWRITE AS SELECT * FROM tpch.tpch.nation;\n\
             WAIT FOR JOB nation STATE finished TIMEOUT '30s';\nSELECT count(*) AS nations FROM lake.files.nation;\n",
            lake.display()
        ),
    )
    .unwrap();
    // A migration script may be run twice.
    for _ in 0..2 {
        let (status, stdout, stderr) = run_command(&["run", script.to_str().unwrap(), "--data-dir", data_dir], None);
        assert!(status.success(), "{stdout}\n{stderr}");
        assert!(stdout.contains("nations") && stdout.contains("25"), "{stdout}");
    }
    let broken = "SELECT 1;\nSELECT 2;\n\nSELECT nothing FROM\n tidegate.jobs;\nSELECT 3;\n";
    let (status, stdout, stderr) = run_command(&["run", "-", "--data-dir", data_dir], Some(broken));
    assert!(!status.success());
    assert!(stderr.contains("42703") && stderr.contains("4"), "the error names code and line:\n{stderr}");
    assert!(!stdout.contains('3'), "nothing after the error runs:\n{stdout}");
}

#[tokio::test]
async fn run_executes_a_script_on_a_remote_gateway() {
    let gateway = Gateway::start();
    let url = format!("postgres://tester@127.0.0.1:{}/tidegate", gateway.port());
    let (status, stdout, stderr) = run_command(
        &["run", "-", "--url", &url],
        Some("CREATE SECRET s AS 'x';\nSELECT count(*) FROM tidegate.secrets;\n"),
    );
    assert!(status.success(), "{stdout}\n{stderr}");
    assert_eq!(gateway.connect().await.value("SELECT count(*) FROM tidegate.secrets").await, "1");
    let (status, _, stderr) = run_command(&["run", "-", "--url", "postgres://127.0.0.1:1/x"], Some("SELECT 1"));
    assert!(!status.success() && stderr.contains("127.0.0.1:1"), "{stderr}");
    let (status, _, stderr) = run_command(&["run", "/no/such/file.sql"], None);
    assert!(!status.success() && stderr.contains("/no/such/file.sql"), "{stderr}");
}

#[test]
fn demo_loads_queries_and_shows_statistics_without_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("demo");
    let arguments = ["demo", "--no-serve", "--scale-factor", "0.001", "--data-dir", data_dir.to_str().unwrap()];
    // Twice: the second run finds what the first one made.
    for _ in 0..2 {
        let (status, stdout, stderr) = run_command(&arguments, None);
        assert!(status.success(), "{stdout}\n{stderr}");
        let shown = format!("{stdout}{stderr}");
        for word in ["lineitem", "6005", "rows"] {
            assert!(shown.contains(word), "the demo does not show {word}:\n{shown}");
        }
    }
}
