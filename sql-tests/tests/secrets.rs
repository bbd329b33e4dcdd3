//! Planted secrets are nowhere but in the encrypted store.

use tidegate_sql_tests::client::{Client, Engine};
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::server;

/// Every text that system tables show, in one string.
async fn all_system_rows(client: &mut Client) -> String {
    let tables = client.must("SELECT table_name FROM information_schema.tables WHERE table_schema = 'tidegate'").await;
    let mut text = String::new();
    for row in tables.rows {
        let name = row[0].clone().expect("a table has a name");
        let answer = client.must(&format!("SELECT * FROM tidegate.{name}")).await;
        assert!(!answer.columns.is_empty(), "tidegate.{name} has columns");
        for value in answer.rows.into_iter().flatten().flatten() {
            text.push_str(&value);
            text.push('\n');
        }
    }
    text
}

#[tokio::test]
async fn planted_secrets_are_in_no_log_error_system_table_or_file() {
    let Some(server) = server::pg15() else { return };
    let database = server.database("secrets");
    let mut gateway = Gateway::builder().args(["--log=debug"]).start();
    gateway.allow_log(".");
    let mut client = gateway.connect().await;

    let planted: Vec<String> = (0..8).map(|i| format!("planted-{i}-{}", "qzxj".repeat(3))).collect();
    for secret in &planted {
        gateway.plant(secret);
    }
    let p = |i: usize| planted[i].as_str();
    let mut said = String::new();
    let options = database.source_options();

    client.must(&format!("CREATE SECRET named AS '{}'", p(0))).await;
    client.must(&format!("ALTER SECRET named AS '{}'", p(1))).await;
    client.must(&format!("CREATE SOURCE by_literal TYPE postgres WITH ({options}, password = '{}')", p(2))).await;
    client.must(&format!("CREATE SOURCE by_name TYPE postgres WITH ({options}, password = SECRET named)")).await;
    client.must("VALIDATE SOURCE by_name").await;

    // Statements that fail in every way: to parse, to be known, to log in.
    for sql in [
        format!("CREATE SECRET AS '{}'", p(3)),
        format!("CREATE SECRET broken AS '{}", p(4)),
        format!("CREATE SOURCE x TYPE postgres WITH (host = 'h', pasword = '{}', user = 'u')", p(5)),
        format!(
            "CREATE SOURCE x TYPE postgres WITH (host = '127.0.0.1', port = 'fast', user = 'u', password = '{}')",
            p(6)
        ),
        format!("ALTER SOURCE by_literal SET (password = '{}', nothing = '1')", p(7)),
    ] {
        for engine in [Engine::Simple, Engine::Extended] {
            let failure = client.run(engine, &sql).await.expect_err("this must fail");
            said.push_str(&failure.text);
        }
    }
    // A secret may travel as a bind value.
    client.inner().execute("CREATE SECRET bound AS $1", &[&p(3)]).await.expect("a secret as a bind value");
    said.push_str(&client.notices().join("\n"));
    for statement in
        ["SHOW CREATE SOURCE by_literal", "SHOW CREATE SOURCE by_name", "DESCRIBE SOURCE by_literal", "SHOW SECRETS"]
    {
        said.push_str(&format!("{:?}", client.must(statement).await));
    }
    let rows = all_system_rows(&mut client).await;
    for secret in &planted {
        assert!(!said.contains(secret.as_str()), "{secret} came back to the client:\n{said}");
        assert!(!rows.contains(secret.as_str()), "{secret} is in a system table");
    }
    // The store works for all that: a restart still opens the source.
    gateway.stop();
    gateway.start_again();
    let mut client = gateway.connect().await;
    assert_eq!(client.value("SELECT count(*) FROM tidegate.secrets WHERE name = 'bound'").await, "1");
    client.must("VALIDATE SOURCE by_name").await;
    client.must("DROP SOURCE by_literal, by_name").await;
    client.must("DROP SECRET named, bound").await;
    // The gateway greps its log and its directory when it is dropped.
}

#[cfg(unix)]
#[test]
fn the_key_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let gateway = Gateway::start();
    let mut keys = 0;
    for entry in std::fs::read_dir(gateway.data_dir()).expect("the data directory").flatten() {
        if entry.file_name().to_string_lossy().contains("key") {
            let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", entry.path().display());
            keys += 1;
        }
    }
    assert_eq!(keys, 1, "one key file in the data directory");
}
