//! kill -9 at random points of a load: afterwards the target equals the source and nothing is left over.

use std::time::Duration;
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::random::Random;
use tidegate_sql_tests::server;

/// Kills of a load that takes a moment, and of one whose single steps take long enough to be hit.
const KILLS: &[(usize, u64)] = &[(24, 30_000), (6, 500_000)];
/// Row count and a sum over rows that no order and no repetition leaves the same.
const DIGEST: &str = "SELECT string_agg(s, ' ' ORDER BY s) FROM (\
    SELECT 'keyed ' || count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) AS s FROM load.keyed t \
    UNION ALL SELECT 'keyless ' || count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM load.keyless t \
    UNION ALL SELECT 'empty ' || count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM load.empty t) d";
/// Everything at a sink that is neither one of the three tables nor the table in which the sink
/// remembers, in the transaction of the rows, which runs it has committed.
const LEFTOVERS: &str = "SELECT string_agg(n.nspname || '.' || c.relname, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%' AND n.nspname NOT LIKE 'pg_temp%' \
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT (n.nspname = 'load' AND c.relname IN ('keyed', 'keyless', 'empty')) \
    AND NOT (n.nspname = 'tidegate' AND c.relname = 'sink_positions')";
/// What the sink remembers of runs: the last one of each table at most.
const REMEMBERED: &str = "SELECT count(*) FROM tidegate.sink_positions";

#[tokio::test]
async fn whatever_is_killed_when_the_target_equals_the_source_and_nothing_is_left() {
    let mut random = Random::new("kill -9");
    for (kills, rows) in KILLS {
        kill_at_random_points(&mut random, *kills, *rows).await;
    }
}

async fn kill_at_random_points(random: &mut Random, kills: usize, rows: u64) {
    let (Some(source), Some(sink)) = (server::pg15(), server::pg18()) else { return };
    let (source, sink) = (source.database("crash"), sink.database("crash"));
    source.psql(&format!(
        "CREATE SCHEMA load; \
         CREATE TABLE load.keyed (id bigint PRIMARY KEY, v text NOT NULL, n numeric(20,5)); \
         INSERT INTO load.keyed SELECT g, md5(g::text) || repeat('x', 100), g * 1.00001 FROM generate_series(1, {rows}) g; \
         CREATE TABLE load.keyless (v text); INSERT INTO load.keyless SELECT md5((g % 500)::text) FROM generate_series(1, 20000) g; \
         CREATE TABLE load.empty (id int PRIMARY KEY)"
    ));
    // What readers must see until the load has succeeded once: the rows of before.
    sink.psql("CREATE SCHEMA load; CREATE TABLE load.keyed (id bigint PRIMARY KEY, v text NOT NULL, n numeric(20,5)); INSERT INTO load.keyed VALUES (-1, 'old', 0)");
    let expected = source.psql(DIGEST);

    let mut gateway = Gateway::start();
    gateway.allow_log("."); // a killed gateway warns about what it finds
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE shop TYPE postgres WITH ({})", source.source_options())).await;
    client.must(&format!("CREATE SOURCE wh TYPE postgres WITH ({})", sink.source_options())).await;
    client
        .must("CREATE SYNC JOB load FROM SOURCE shop FOR TABLES IN SCHEMA load INTO wh MODE FULL WRITE OVERWRITE WITH (autostart = false)")
        .await;
    // How long a whole run takes here tells where the random points lie.
    let began = std::time::Instant::now();
    client.must("START JOB load").await;
    client.must("WAIT FOR JOB load STATE finished TIMEOUT '60s'").await;
    let whole = began.elapsed();
    assert_eq!(sink.psql(DIGEST), expected, "the load is right before anything is killed");

    let mut hit = 0;
    for kill in 1..=kills {
        sink.psql("TRUNCATE load.keyed, load.keyless, load.empty; INSERT INTO load.keyed VALUES (-1, 'old', 0)");
        client.must("RUN JOB load").await;
        let point = whole.mul_f64(random.below(1200) as f64 / 1000.0);
        tokio::time::sleep(point).await;
        gateway.kill();
        // Old rows or all of the new ones, in every table by itself.
        let seen = sink.psql("SELECT count(*) FROM load.keyed");
        assert!(seen == "1" || seen == rows.to_string(), "kill {kill} after {point:?}: a reader sees {seen} rows");
        hit += usize::from(seen == "1");
        gateway.start_again();
        client = gateway.connect().await;
        let finished =
            "SELECT count(*) FROM tidegate.jobs WHERE name = 'load' AND state = 'finished' AND current_run_id IS NULL";
        client.until(finished, "1", 60).await;
        assert_eq!(
            sink.psql(DIGEST),
            expected,
            "kill {kill} after {point:?} of {whole:?}: the target equals the source"
        );
        assert_eq!(sink.psql(LEFTOVERS), "", "kill {kill} after {point:?} of {whole:?}: nothing is left at the sink");
        assert_eq!(sink.psql(REMEMBERED), "3", "kill {kill} after {point:?} of {whole:?}: one run for each table");
    }
    println!("{hit} of {kills} kills came before the largest of {rows} rows was there, in loads of {whole:?}");
    assert!(hit > 0, "no kill hit a load that was under way");
    let open = sink.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidegate%' AND state <> 'idle'");
    assert_eq!(open, "0", "no session of a killed gateway works on");
    client.must("DROP JOB load").await;
    assert_eq!(sink.psql(REMEMBERED), "0", "the sink forgets a job that is dropped");
    client.must("DROP SOURCE shop, wh").await;
}

#[tokio::test]
async fn a_sink_that_dies_fails_the_run_and_a_retry_ends_it() {
    let Some(server) = server::pg18() else { return };
    let database = server.database("cut");
    database.psql("CREATE TABLE public.t AS SELECT g AS id, repeat('x', 200) AS v FROM generate_series(1, 200000) g");
    let mut gateway = Gateway::start();
    gateway.allow_log(".");
    let mut client = gateway.connect().await;
    client.must(&format!("CREATE SOURCE s TYPE postgres WITH ({})", database.source_options())).await;
    client.must("CREATE SYNC JOB cut INTO s.public.copy MODE FULL WRITE OVERWRITE AS SELECT * FROM s.public.t").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    database.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
    // Either the cut came too late, or the run failed; both end in a state, and RETRY ends well.
    client
        .until("SELECT count(*) FROM tidegate.jobs WHERE name = 'cut' AND state IN ('finished', 'failed')", "1", 60)
        .await;
    if client.value("SELECT state FROM tidegate.jobs WHERE name = 'cut'").await == "failed" {
        let sqlstate = client
            .value("SELECT sqlstate FROM tidegate.errors WHERE job_name = 'cut' ORDER BY error_id DESC LIMIT 1")
            .await;
        assert!(sqlstate == "08006" || sqlstate == "57P01", "a lost connection is {sqlstate}");
        client.must("RETRY JOB cut").await;
        client.must("WAIT FOR JOB cut STATE finished TIMEOUT '60s'").await;
    }
    assert_eq!(database.psql("SELECT count(*) FROM public.copy"), "200000");
    client.must("DROP JOB cut").await;
    client.must("DROP SOURCE s").await;
}
