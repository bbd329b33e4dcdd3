//! What ends a statement, tried on a real socket with rows that come from here.

use super::*;
use crate::gateway::{Connectors, Gateway};
use crate::outcome::Notice;
use crate::runtime::JobManager;
use crate::settings::Settings;
use crate::wire::Front;
use crate::wire::cancel::CancelKeys;
use crate::wire::socket::Socket;
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::store::{KeySource, Store};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// A connection, its client, and the directory of the gateway behind it.
struct Bench {
    connection: Connection,
    client: TcpStream,
    stop: watch::Sender<bool>,
    directory: PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Left behind, it costs little and harms no other test.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn bench() -> Bench {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("tidegate-wire-{}-{number}", std::process::id()));
    let gateway = Arc::new(Gateway {
        store: Arc::new(Store::open(&directory, KeySource::File).unwrap()),
        connectors: Connectors::built_in(),
        sessions: Default::default(),
        jobs: JobManager::new(Handle::current()),
        query_runtime: Handle::current(),
        discovery: Default::default(),
        query_memory_bytes: 64 << 20,
    });
    let (stop, shutdown) = watch::channel(false);
    let sessions = Arc::new(Semaphore::new(1));
    let permit = sessions.clone().try_acquire_owned().unwrap();
    let front = Arc::new(Front {
        gateway,
        tls: None,
        verifiers: None,
        cancel_keys: CancelKeys::default(),
        sessions,
        connections_max: 1,
        shutdown,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let (session, notices) = Session::new(1, "r".into(), "d".into(), peer.to_string(), Settings::new());
    let connection = Connection::new(front, Socket::new(stream, peer), session, notices, permit);
    Bench { connection, client, stop, directory }
}

fn columns() -> Vec<OutputColumn> {
    vec![OutputColumn {
        name: "n".into(),
        field: Field::new("n", DataType::Int64, true),
        type_oid: 20,
        type_modifier: -1,
    }]
}

fn batch(rows: usize) -> RecordBatch {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
    RecordBatch::try_new(Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)])), vec![array]).unwrap()
}

/// Batches without end; `pulled` counts them.
fn endless(pulled: Arc<AtomicUsize>) -> RowSource {
    let batches = futures::stream::repeat_with(move || {
        pulled.fetch_add(1, Ordering::Relaxed);
        Ok(batch(8192))
    });
    RowSource::new(columns(), Box::pin(batches))
}

/// Rows that never come.
fn stuck() -> RowSource {
    RowSource::new(columns(), Box::pin(futures::stream::pending()))
}

async fn send_all(bench: &mut Bench, mut source: RowSource) -> Stop {
    // Each statement is an exchange of its own.
    let session = bench.connection.session.clone();
    let mut limits = Limits::new(&session, session.canceled());
    match bench.connection.take_rows(&mut limits, &mut source, Rows::Send(&[false]), u64::MAX).await {
        Err(stop) => stop,
        Ok(count) => panic!("{count} rows"),
    }
}

fn sqlstate(stop: Stop) -> String {
    match stop {
        Stop::Statement(error) => error.sqlstate().to_owned(),
        Stop::Session(error) => format!("FATAL {}", error.sqlstate()),
        Stop::Gone => "gone".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_stops_the_query_and_can_still_cancel() {
    let mut bench = bench().await;
    let session = bench.connection.session.clone();
    let pulled = Arc::new(AtomicUsize::new(0));
    let watched = pulled.clone();
    let canceler = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let before = watched.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(watched.load(Ordering::Relaxed), before, "rows are pulled though nobody reads");
        session.cancel();
        Instant::now()
    });
    let stop = send_all(&mut bench, endless(pulled.clone())).await;
    let canceled_at = canceler.await.unwrap();
    assert!(canceled_at.elapsed() < Duration::from_millis(100));
    assert_eq!(sqlstate(stop), "57014");
    // What one buffer of ours and the kernel's buffers hold, not more.
    assert!(pulled.load(Ordering::Relaxed) < 100, "{pulled:?}");
    assert!(bench.connection.socket.output.len() < 4 * WRITE_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_query_ends_by_cancel_deadline_client_and_shutdown() {
    let mut bench = bench().await;
    let session = bench.connection.session.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        session.cancel();
    });
    assert_eq!(sqlstate(send_all(&mut bench, stuck()).await), "57014");

    bench.connection.session.settings.lock().set("statement_timeout", "30", false).unwrap();
    let began = Instant::now();
    assert_eq!(sqlstate(send_all(&mut bench, stuck()).await), "57014");
    assert!((30..130).contains(&began.elapsed().as_millis()));
    bench.connection.session.settings.lock().reset_all();

    // A client that only goes on talking is alive.
    bench.client.write_all(&[b'S', 0, 0, 0, 4]).await.unwrap();
    bench.connection.session.settings.lock().set("statement_timeout", "50", false).unwrap();
    assert_eq!(sqlstate(send_all(&mut bench, stuck()).await), "57014");
    bench.connection.session.settings.lock().reset_all();

    bench.client.shutdown().await.unwrap();
    assert_eq!(sqlstate(send_all(&mut bench, stuck()).await), "gone");

    let mut bench = self::bench().await;
    bench.stop.send(true).unwrap();
    assert_eq!(sqlstate(send_all(&mut bench, stuck()).await), "FATAL 57P01");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_rows_and_notices_arrive_while_the_statement_runs() {
    let mut bench = bench().await;
    let session = bench.connection.session.clone();
    let (mut client, local) = {
        // The bench keeps a client of its own, so that it can be dropped.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        (client, Socket::new(stream, peer))
    };
    bench.connection.socket = local;
    let reader = tokio::spawn(async move {
        let mut kinds = vec![];
        for _ in 0..3 {
            let mut head = [0u8; 5];
            client.read_exact(&mut head).await.unwrap();
            let mut body = vec![0u8; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
            client.read_exact(&mut body).await.unwrap();
            kinds.push(head[0] as char);
            if kinds.len() == 2 {
                session.notice(Notice::new("halfway"));
            }
        }
        session.cancel();
        kinds
    });
    let rows = futures::stream::iter([Ok(batch(2))]);
    let source = RowSource::new(columns(), Box::pin(futures::StreamExt::chain(rows, futures::stream::pending())));
    assert_eq!(sqlstate(send_all(&mut bench, source).await), "57014");
    assert_eq!(reader.await.unwrap(), ['D', 'D', 'N']);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_statement_only() {
    let mut bench = bench().await;
    let source = RowSource::new(columns(), Box::pin(futures::stream::poll_fn(|_| panic!("an invariant"))));
    assert_eq!(sqlstate(send_all(&mut bench, source).await), "XX000");
    let mut limits = bench.connection.limits();
    let apart =
        bench.connection.drive_apart(&mut limits, async { if true { panic!("another") } else { Ok(()) } }).await;
    assert_eq!(sqlstate(apart.err().unwrap()), "XX000");
    let here = bench.connection.drive(&mut limits, async { Ok(7) }.boxed()).await;
    assert!(matches!(here, Ok(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_taken_in_portions_across_batches() {
    let mut bench = bench().await;
    let rows = futures::stream::iter([Ok(batch(3)), Ok(batch(0)), Ok(batch(4))]);
    let mut source = RowSource::new(columns(), Box::pin(rows));
    let mut counts = vec![];
    for limit in [2, 2, 0, 10, 10] {
        let mut limits = bench.connection.limits();
        match bench.connection.take_rows(&mut limits, &mut source, Rows::Send(&[true]), limit).await {
            Ok(count) => counts.push(count),
            Err(stop) => panic!("{}", sqlstate(stop)),
        }
    }
    assert_eq!(counts, [2, 2, 0, 3, 0]);
}
