//! VALIDATE's checks, and the errors of a connection that cannot be made.

use crate::harness::*;
use catalog::CheckStatus;
use connector_api::{Check, CheckRequest, ConfigValue, Connector, DiscoverRequest, Purpose, SourceConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_connector_postgres::PostgresConnector;

async fn check(config: &SourceConfig, purposes: &[Purpose], tables: &[&str]) -> Vec<Check> {
    let request = CheckRequest {
        purposes: purposes.to_vec(),
        tables: tables.iter().map(|t| name(t)).collect(),
        timeout: Duration::from_secs(10),
    };
    PostgresConnector.check(config, &request).await
}

fn find<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("{name} in {checks:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_passes_and_a_poor_grant_fails_with_its_remedy() {
    let Some(db) = Database::new(
        "CREATE SCHEMA shop;
         CREATE TABLE shop.pay (id int PRIMARY KEY); CREATE TABLE shop.card (id int); CREATE TABLE public.free (id int);
         CREATE TABLE public.rls (id int); ALTER TABLE public.rls ENABLE ROW LEVEL SECURITY;
         DO $$ BEGIN CREATE ROLE tg_checked LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT SELECT ON public.free, public.rls TO tg_checked;",
    )
    .await
    else {
        return;
    };
    let all = [Purpose::Read, Purpose::Capture, Purpose::Write, Purpose::Ddl];
    let checks = check(&db.config, &all, &["shop.pay", "public.free"]).await;
    assert!(checks.iter().all(|c| matches!(c.status, CheckStatus::Pass | CheckStatus::Warn)), "{checks:#?}");
    assert_eq!(find(&checks, "select_grants").message, "2 of 2 tables readable");
    assert_eq!(find(&checks, "wal_level").message, "wal_level is \"logical\"");
    assert_eq!(
        find(&checks, "replica_identity").hint.as_deref(),
        Some("ALTER TABLE public.free REPLICA IDENTITY FULL;")
    );
    assert!(checks[0].name == "resolve,connect" && checks[1].name == "login");

    let limited = db.with(&[("user", "tg_checked")]);
    let checks = check(&limited, &all, &["shop.pay", "shop.card", "public.free", "public.rls", "public.none"]).await;
    let grants = find(&checks, "select_grants");
    assert_eq!(
        (grants.status, grants.message.as_str()),
        (CheckStatus::Fail, "2 of 4 tables readable; not shop.card, shop.pay")
    );
    let hint = grants.hint.clone().unwrap();
    assert_eq!(hint, "GRANT USAGE ON SCHEMA shop TO tg_checked; GRANT SELECT ON shop.card, shop.pay TO tg_checked;");
    // The hint can be pasted, and mends what it says.
    db.client.batch_execute(&hint).await.unwrap();
    let rls = find(&checks, "row_level_security");
    assert_eq!((rls.status, rls.hint.as_deref()), (CheckStatus::Fail, Some("ALTER ROLE tg_checked BYPASSRLS;")));
    assert!(find(&checks, "tables").message.contains("public.none"));
    assert_eq!(find(&checks, "replication_role").status, CheckStatus::Fail);
    assert_eq!(find(&checks, "create_grants").status, CheckStatus::Fail);
    assert_eq!(find(&checks, "insert_grants").status, CheckStatus::Fail);
    let checks = check(&limited, &[Purpose::Read], &["shop.pay", "shop.card"]).await;
    assert_eq!(find(&checks, "select_grants").status, CheckStatus::Pass);
    // Without a wish: reading and writing, and nothing about capture.
    let checks = check(&db.config, &[], &[]).await;
    assert!(checks.iter().all(|c| c.name != "wal_level"));
    assert!(checks.iter().any(|c| c.name == "create_grants"));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_one_row_and_a_clear_error() {
    let Some(db) = Database::new("").await else { return };
    // A port that was free a moment ago
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let nobody = db.with(&[("host", "127.0.0.1"), ("port", &port)]);
    let checks = check(&nobody, &[], &[]).await;
    assert_eq!(checks.len(), 1);
    assert_eq!((checks[0].name.as_str(), checks[0].status), ("resolve,connect", CheckStatus::Fail));
    assert!(checks[0].hint.is_some());
    let error = PostgresConnector.discover(&nobody, &DiscoverRequest::List { schemas: vec![] }).await.unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.message()),
        ("08001", format!("could not connect to source \"crm\" at 127.0.0.1:{port}").as_str())
    );
    assert!(error.is_retryable());
    let unknown = db.with(&[("host", "no.such.host.invalid")]);
    let checks = check(&unknown, &[], &[]).await;
    assert_eq!((checks.len(), checks[0].status), (1, CheckStatus::Fail));
    assert!(PostgresConnector.discover(&unknown, &DiscoverRequest::List { schemas: vec![] }).await.is_err());
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_lies_or_says_nothing_never_hangs() {
    let Some(db) = Database::new("").await else { return };
    for answer in [
        &b""[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"S\x15\x03\x01\x00\x02\x02\x28",
        b"N\x52\xff\xff\xff\xff",
        b"E\0\0\0\x04",
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = tokio::spawn(async move {
            let mut held = vec![];
            while let Ok((mut stream, _)) = listener.accept().await {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(answer).await;
                held.push(stream);
            }
        });
        let liar = db.with(&[("host", "127.0.0.1"), ("port", &port), ("connect_timeout", "700ms")]);
        let started = Instant::now();
        let error = PostgresConnector.discover(&liar, &DiscoverRequest::List { schemas: vec![] }).await.unwrap_err();
        assert!(matches!(error.sqlstate(), "08001" | "08P01" | "08006"), "{error}: {:?}", error.detail());
        assert!(started.elapsed() < Duration::from_secs(5), "{answer:?}");
        let checks = check(&liar, &[], &[]).await;
        assert_eq!(checks.last().unwrap().status, CheckStatus::Fail);
        server.abort();
    }
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_login_names_the_secret_and_never_tells_it() {
    let Some(db) = Database::new("").await else { return };
    let nobody = db.with(&[("user", "tg no such \"role\"")]);
    let error = PostgresConnector.discover(&nobody, &DiscoverRequest::List { schemas: vec![] }).await.unwrap_err();
    assert_eq!(error.sqlstate(), "28P01");
    assert!(error.detail().unwrap().starts_with("Remote said: "));
    let mut secret = nobody.clone();
    let mut options = (*secret.options).clone();
    options.insert("password".to_owned(), ConfigValue::Secret(catalog::store::SecretText::new("role".to_owned())));
    secret.options = Arc::new(options);
    secret.secret_labels = Arc::new([("password".to_owned(), "secret \"crm_pw\" version 3".to_owned())].into());
    let error = PostgresConnector.discover(&secret, &DiscoverRequest::List { schemas: vec![] }).await.unwrap_err();
    assert!(error.detail().unwrap().ends_with("Secret \"crm_pw\" version 3 was used."));
    assert_eq!(error.hint(), Some("ALTER SECRET crm_pw AS '...';"));
    let missing = db.with(&[("database", "no such database")]);
    let error = PostgresConnector.discover(&missing, &DiscoverRequest::List { schemas: vec![] }).await.unwrap_err();
    assert_eq!(error.sqlstate(), "3D000");
    let checks = check(&missing, &[], &[]).await;
    assert_eq!((checks.last().unwrap().name.as_str(), checks.last().unwrap().status), ("login", CheckStatus::Fail));
    db.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_ends_within_its_timeout() {
    let Some(db) = Database::new("").await else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let silent = db.with(&[("host", "127.0.0.1"), ("port", &port), ("connect_timeout", "60s")]);
    let started = Instant::now();
    let request = CheckRequest { purposes: vec![], tables: vec![], timeout: Duration::from_millis(500) };
    let checks = PostgresConnector.check(&silent, &request).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!((checks.last().unwrap().name.as_str(), checks.last().unwrap().status), ("timeout", CheckStatus::Fail));
    db.drop().await;
}
