//! The front under load: streaming with flat memory, cancel and timeouts, clients that vanish, huge SQL.

use futures::TryStreamExt;
use std::time::{Duration, Instant};
use tidegate_sql_tests::client::{Engine, within};
use tidegate_sql_tests::gateway::Gateway;
use tokio_postgres::NoTls;

const MIB: u64 = 1 << 20;
/// lineitem at this scale has a little over 2 million rows.
const TWO_MILLION: &str = "CREATE SOURCE tpch TYPE sample WITH (scale_factor = '0.35')";

#[tokio::test]
async fn a_slow_client_reads_two_million_rows_through_a_cursor_with_flat_memory() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must(TWO_MILLION).await;
    client.must("BEGIN").await;
    let columns = "l_orderkey, l_linenumber, l_quantity, l_comment";
    let began = Instant::now();
    client.must(&format!("DECLARE c CURSOR FOR SELECT {columns} FROM tpch.tpch.lineitem")).await;
    let first = client.must("FETCH 1000 FROM c").await;
    assert_eq!(first.rows.len(), 1000);
    assert!(began.elapsed() < Duration::from_secs(5), "the first rows took {:?}", began.elapsed());
    let settled = gateway.rss_bytes();
    let mut rows = 1000;
    let mut fetches = 0u64;
    loop {
        let part = client.must("FETCH 20000 FROM c").await;
        rows += part.rows.len();
        fetches += 1;
        // Slow at first, so that whatever runs ahead of the client would pile up.
        if fetches <= 10 {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let grown = gateway.rss_bytes().saturating_sub(settled);
        assert!(grown < 64 * MIB, "after {rows} rows the gateway has grown by {} MiB", grown / MIB);
        if part.rows.is_empty() {
            break;
        }
    }
    assert!(rows > 2_000_000, "{rows} rows");
    client.must("COMMIT").await;
    client.must("DROP SOURCE tpch").await;
}

#[tokio::test]
async fn both_protocols_stream_and_wait_for_a_slow_reader() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must(TWO_MILLION).await;
    let settled = gateway.rss_bytes();
    let sql = "SELECT l_orderkey, l_comment FROM tpch.tpch.lineitem";

    let began = Instant::now();
    let stream = client.inner().query_raw(sql, Vec::<i32>::new()).await.expect("the extended protocol");
    futures::pin_mut!(stream);
    let mut rows = 0u64;
    while let Some(_row) = stream.try_next().await.expect("rows") {
        if rows == 0 {
            assert!(began.elapsed() < Duration::from_secs(3), "the first row took {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_secs(3)).await;
            let grown = gateway.rss_bytes().saturating_sub(settled);
            assert!(grown < 64 * MIB, "a reader that waits lets the gateway grow by {} MiB", grown / MIB);
        }
        rows += 1;
    }
    assert!(rows > 2_000_000, "{rows} rows");
    client.must("DROP SOURCE tpch").await;
}

#[tokio::test]
async fn a_cancel_ends_the_work_within_100_ms() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SOURCE tpch TYPE sample WITH (scale_factor = '5')").await;
    for engine in [Engine::Simple, Engine::Extended] {
        let token = client.inner().cancel_token();
        let canceler = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let at = Instant::now();
            token.cancel_query(NoTls).await.expect("a cancel request is taken");
            at
        });
        let sql = "SELECT l_shipmode, sum(l_quantity) FROM tpch.tpch.lineitem GROUP BY 1 ORDER BY 1";
        let failure = within(30, "the canceled query", client.run(engine, sql)).await.expect_err("it was canceled");
        let ended = Instant::now();
        assert_eq!(failure.sqlstate.as_deref(), Some("57014"), "{failure}");
        let took = ended.saturating_duration_since(canceler.await.expect("the canceler"));
        assert!(took < Duration::from_millis(100), "{engine:?}: the cancel took {took:?}");
        assert_eq!(client.value("SELECT 1").await, "1", "the session goes on");
    }
    client.must("DROP SOURCE tpch").await;
}

#[tokio::test]
async fn statement_timeout_ends_the_work_in_time() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SOURCE tpch TYPE sample WITH (scale_factor = '5')").await;
    client.must("SET statement_timeout = '500ms'").await;
    let began = Instant::now();
    let failure = client.must_fail("SELECT count(DISTINCT l_comment) FROM tpch.tpch.lineitem").await;
    assert_eq!(failure.sqlstate.as_deref(), Some("57014"));
    assert!(failure.text.contains("statement timeout"), "{failure}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_millis(700), "it took {took:?}");
    client.must("RESET statement_timeout").await;
    client.must("DROP SOURCE tpch").await;
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_query() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    client.must("CREATE SOURCE tpch TYPE sample WITH (scale_factor = '5')").await;
    let conninfo = gateway.conninfo();
    let doomed = tokio::spawn(async move {
        let (inner, connection) = tokio_postgres::connect(&conninfo, NoTls).await.expect("a connection");
        let _driver = tokio::spawn(connection);
        let _ = tokio::time::timeout(
            Duration::from_millis(800),
            inner.simple_query("SELECT count(DISTINCT l_comment) FROM tpch.tpch.lineitem"),
        )
        .await;
        _driver.abort();
    });
    doomed.await.expect("the doomed client");
    let others = "SELECT count(*) FROM tidegate.stat_activity WHERE query LIKE '%DISTINCT l_comment%' AND pid <> pg_backend_pid()";
    client.until(others, "0", 5).await;
    client.must("DROP SOURCE tpch").await;
}

#[tokio::test]
async fn sql_of_one_megabyte_is_answered_or_refused_and_never_crashes() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    let long_list =
        format!("SELECT 1 WHERE 1 IN ({})", (0..150_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", "));
    let deep = format!("SELECT {}1{}", "(".repeat(500_000), ")".repeat(500_000));
    let chain = format!("SELECT 1{}", " + 1".repeat(260_000));
    let nots = format!("SELECT {} true", "NOT ".repeat(250_000));
    let cases = format!("SELECT {} 1 {}", "CASE WHEN true THEN ".repeat(40_000), "END ".repeat(40_000));
    let quoted = format!("SELECT '{}'", "x".repeat(1 << 20));
    for sql in [long_list, deep, chain, nots, cases] {
        for engine in [Engine::Simple, Engine::Extended] {
            let head: String = sql.chars().take(30).collect();
            match within(60, &head, client.run(engine, &sql)).await {
                Ok(_) => {}
                Err(failure) => assert_eq!(failure.sqlstate.as_deref(), Some("54001"), "{head}: {failure}"),
            }
        }
    }
    assert_eq!(client.must(&quoted).await.rows[0][0].as_ref().map(String::len), Some(1 << 20));
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn bytes_that_are_no_protocol_end_only_their_own_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut gateway = Gateway::start();
    gateway.allow_log("protocol|startup|connection");
    let mut client = gateway.connect().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0, 0, 0, 8, 0, 3, 0, 0], &[0x16, 3, 1, 2, 0, 1]] {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", gateway.port())).await.expect("a socket");
        socket.write_all(garbage).await.expect("bytes can be sent");
        socket.shutdown().await.expect("the end can be sent");
        let mut answer = vec![];
        let _ = within(70, "the end of a wrong connection", socket.read_to_end(&mut answer)).await;
    }
    assert_eq!(client.value("SELECT 1").await, "1");
}

#[tokio::test]
async fn an_idle_gateway_and_a_small_job_are_small_and_quick() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    assert_eq!(client.value("SELECT count(*) FROM tidegate.jobs").await, "0");
    // The limit of the release build; the development build is larger by its symbols only.
    assert!(gateway.rss_bytes() < 120 * MIB, "an idle gateway has {} MiB", gateway.rss_bytes() / MIB);
    client.must("CREATE SOURCE tpch TYPE sample").await;
    let folder = gateway.folder();
    client.must(&format!("CREATE SOURCE out TYPE files WITH (path = '{}')", folder.display())).await;
    let began = Instant::now();
    client
        .must("CREATE SYNC JOB ten INTO out.files.ten MODE FULL WRITE OVERWRITE AS SELECT * FROM tpch.tpch.nation LIMIT 10")
        .await;
    client.must("WAIT FOR JOB ten STATE finished TIMEOUT '10s'").await;
    println!("a job of ten rows took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "a job of ten rows took {:?}", began.elapsed());
    client.must("DROP JOB ten").await;
    client.must("DROP SOURCE tpch, out").await;
}
