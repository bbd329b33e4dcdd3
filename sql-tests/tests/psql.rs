//! psql itself: the backslash commands over sources and system tables, and completion of table names.

use std::process::Command;
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::psql::{Output, run};
use tidegate_sql_tests::{own_file, server};

fn ask(gateway: &Gateway, script: &str) -> Output {
    let output = run(gateway.port(), "tester", "tidegate", &[], script);
    assert!(output.is_ok, "psql failed on {script}\n{}\n{}", output.stdout, output.stderr);
    assert!(output.stderr.is_empty(), "psql complained on {script}\n{}", output.stderr);
    output
}

fn has(output: &Output, words: &[&str]) {
    for word in words {
        assert!(output.stdout.contains(word), "{word:?} is missing in:\n{}", output.stdout);
    }
}

#[tokio::test]
async fn backslash_commands_work_over_system_tables() {
    let gateway = Gateway::start();
    has(&ask(&gateway, "\\l"), &["tidegate", "UTF8"]);
    has(&ask(&gateway, "\\dn"), &["tidegate"]);
    has(&ask(&gateway, "\\dt tidegate.*"), &["jobs", "sources", "job_runs"]);
    has(&ask(&gateway, "\\d tidegate.jobs"), &["job_id", "bigint", "state", "text", "timestamp with time zone"]);
    has(&ask(&gateway, "\\d+ tidegate.jobs"), &["Description", "job_id"]);
    has(&ask(&gateway, "\\dv tidegate.*"), &["sink_tables"]);
    has(&ask(&gateway, "\\conninfo"), &["tidegate"]);
    has(
        &ask(&gateway, "\\x on\nSELECT * FROM tidegate.source_types WHERE source_type = 'sample'"),
        &["source_type", "sample"],
    );
    // What is asked for and not there is psql's own message, not an error of ours.
    let absent = run(gateway.port(), "tester", "tidegate", &[], "\\d tidegate.nothing");
    assert!(absent.stderr.contains("Did not find any relation"), "{}", absent.stderr);
}

#[tokio::test]
async fn backslash_commands_work_over_sources() {
    let Some(server) = server::pg15() else { return };
    let database = server.database("psql");
    database.psql("CREATE TABLE public.orders (id bigint PRIMARY KEY, amount numeric(12,2) NOT NULL, tags text[]); CREATE TABLE public.\"Mixed Case\" (x int)");
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE shop TYPE postgres WITH ({})", database.source_options())).await;
    client.must("CREATE SOURCE tpch TYPE sample").await;

    // A source is a database of its own, and beside the system tables a schema `source.schema`.
    has(&ask(&gateway, "\\l"), &["tidegate", "shop", "tpch"]);
    has(&ask(&gateway, "\\dn"), &["tidegate", "tpch.tpch"]);
    has(&ask(&gateway, "\\dt \"shop.public\".*"), &["orders", "Mixed Case"]);
    has(&ask(&gateway, "\\dt *.*"), &["orders", "job_runs"]);
    has(&ask(&gateway, "\\dt \"tpch.tpch\".*"), &["lineitem", "nation"]);
    let columns = &["id", "bigint", "not null", "amount", "numeric(12,2)", "text[]", "PRIMARY KEY"];
    has(&ask(&gateway, "\\d \"shop.public\".orders"), columns);
    let inside = ask(&gateway, "\\c shop\n\\dn\n\\dt\n\\d orders\nSELECT count(*) FROM orders");
    has(&inside, &["public", "Mixed Case"]);
    has(&inside, columns);
    has(&ask(&gateway, "SELECT count(*) FROM shop.public.\"Mixed Case\""), &["0"]);
    client.must("DROP SOURCE shop, tpch").await;
}

#[tokio::test]
async fn statements_and_their_tags_read_well_in_psql() {
    let gateway = Gateway::start();
    let output = run(
        gateway.port(),
        "tester",
        "tidegate",
        &[],
        "CREATE SOURCE a TYPE sample;\nCREATE SOURCE IF NOT EXISTS a TYPE sample;\nBEGIN;\nDROP SOURCE a;\nCOMMIT;\n\\gset\n",
    );
    for tag in ["CREATE SOURCE", "BEGIN", "DROP SOURCE", "COMMIT"] {
        assert!(output.stdout.contains(tag), "{tag} is missing in {output:?}");
    }
    assert!(output.stderr.contains("NOTICE:  source \"a\" already exists, skipping"), "{output:?}");
    let wrong =
        run(gateway.port(), "tester", "tidegate", &["-v", "VERBOSITY=verbose"], "SELECT nmae\nFROM tidegate.jobs;\n");
    assert!(!wrong.is_ok);
    assert!(wrong.stderr.contains("42703"), "{}", wrong.stderr);
    assert!(wrong.stderr.contains("LINE 1: SELECT nmae"), "{}", wrong.stderr);
}

#[tokio::test]
async fn tab_completes_table_names() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SOURCE tpch TYPE sample").await;
    // psql completes only on a terminal: a small program gives it one and types.
    let cases = [
        ("SELECT * FROM tidegate.job_r", "tidegate.job_runs"),
        ("SELECT * FROM tidegate.secr", "tidegate.secrets"),
        ("\\d tidegate.source_ch", "tidegate.source_checks"),
    ];
    for (typed, completed) in cases {
        let output = Command::new("python3")
            .arg(own_file("drivers/python/psql_tab.py"))
            .args([&gateway.port().to_string(), typed])
            .output()
            .expect("python3 is there");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            shown.contains(completed),
            "{typed}<TAB> showed {shown:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    client.must("DROP SOURCE tpch").await;
}
