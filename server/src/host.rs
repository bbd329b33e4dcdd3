//! The process around the gateway: its three runtimes, what is opened in which order, and how all
//! of it ends.
//!
//! The wire, queries and jobs run on threads of their own, so that a busy query delays neither a
//! login nor a job. All threads have deep stacks: parsing and planning recurse as deep as SQL does.

use crate::gateway::{Connectors, Gateway};
use crate::runtime::JobManager;
use crate::session::SessionRegistry;
use crate::wire::{self, ListenOptions};
use catalog::store::{KeySource, Store};
use catalog::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Stack of every thread that may parse or plan.
pub const STACK_BYTES: usize = 16 << 20;
/// How long clients and jobs get to end before the process goes without them.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);
/// How long threads get to notice that they are not needed any more.
const THREADS_LIMIT: Duration = Duration::from_secs(1);
/// Fewest threads of queries and of jobs: one may be busy for long without a pause.
const WORKERS_MIN: usize = 2;
/// The wire only moves bytes and parses; more threads than this would idle.
const WIRE_WORKERS_MAX: usize = 4;
/// Threads per runtime for synchronous work (the store, the file system).
const BLOCKING_THREADS_MAX: usize = 64;

/// What a gateway is started with.
pub struct HostOptions {
    /// Directory of the catalog, made when absent.
    pub data_dir: PathBuf,
    /// Where the key that encrypts secrets at rest comes from.
    pub key: KeySource,
    /// Where and how to listen.
    pub listen: ListenOptions,
    /// Memory that the queries of all sessions may use together, in bytes.
    pub query_memory_bytes: usize,
}

/// A gateway that serves.
pub struct Host {
    gateway: Arc<Gateway>,
    local_addr: SocketAddr,
    stop: oneshot::Sender<()>,
    front: JoinHandle<Result<()>>,
    wire: Runtime,
    query: Runtime,
    jobs: Runtime,
}

impl Host {
    /// Binds the address, opens the data directory, goes on with the jobs that were running, and
    /// accepts connections. Must not be called on a thread of an asynchronous runtime.
    ///
    /// What is wrong with the options is found before the data directory is touched. Errors: those
    /// of [`wire::bind`] and [`Store::open`].
    pub fn start(options: HostOptions) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, |n| n.get()).max(WORKERS_MIN);
        let wire = runtime("wire", cores.min(WIRE_WORKERS_MAX))?;
        let listener = wire.block_on(wire::bind(options.listen))?;
        let local_addr = listener.local_addr();
        let store = Arc::new(Store::open(&options.data_dir, options.key)?);
        let query = runtime("query", cores)?;
        let jobs = runtime("jobs", cores)?;
        let gateway = Arc::new(Gateway {
            store,
            connectors: Connectors::built_in(),
            sessions: SessionRegistry::default(),
            jobs: JobManager::new(jobs.handle().clone()),
            query_runtime: query.handle().clone(),
            discovery: Default::default(),
            query_memory_bytes: options.query_memory_bytes,
        });
        if let Err(error) = jobs.block_on(gateway.jobs.resume(&gateway)) {
            // Serving is the way to mend whatever keeps a job from going on.
            tracing::error!(%error, detail = error.detail(), "not every job could go on after the start");
        }
        let (stop, stopped) = oneshot::channel();
        let front = wire.spawn(listener.serve(gateway.clone(), async move {
            // A sender that is gone means the same as one that has spoken.
            let _ = stopped.await;
        }));
        tracing::info!(address = %local_addr, directory = %options.data_dir.display(), "the gateway accepts connections");
        Ok(Self { gateway, local_addr, stop, front, wire, query, jobs })
    }

    /// The address that it listens on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The gateway itself.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Waits until the front ends by itself, which it does only by an error.
    pub async fn failed(&mut self) -> Error {
        match (&mut self.front).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => Error::internal("the gateway stopped accepting connections"),
            Err(panic) => Error::internal("the gateway stopped accepting connections").with_source(panic),
        }
    }

    /// Stops accepting, tells clients (57P01), interrupts jobs so that they go on after the next
    /// start, and closes the store. Waits for all of it, at most 10 s. Must not be called on a
    /// thread of an asynchronous runtime.
    pub fn shutdown(self) -> Result<()> {
        let Self { gateway, stop, mut front, wire, query, jobs, .. } = self;
        // Fails only when the front has ended already.
        let _ = stop.send(());
        let closing = async {
            // A front that had ended before has told why.
            if !front.is_finished()
                && let Ok(Err(error)) = (&mut front).await
            {
                tracing::warn!(%error, "the front ended with an error");
            }
        };
        let ending = async { tokio::join!(closing, gateway.jobs.shutdown()) };
        let ended = jobs.block_on(async { tokio::time::timeout(SHUTDOWN_LIMIT, ending).await });
        for runtime in [wire, query, jobs] {
            runtime.shutdown_timeout(THREADS_LIMIT);
        }
        drop(gateway);
        ended.map(|_| ()).map_err(|_| {
            Error::new(ErrorKind::Shutdown, format!("the gateway did not end within {} s", SHUTDOWN_LIMIT.as_secs()))
                .with_detail("Jobs go on from what is durable at their sinks when the gateway next starts.")
        })
    }
}

fn runtime(name: &'static str, workers: usize) -> Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Io, format!("could not start the threads of \"{name}\""))
                .with_detail(format!("The operating system said: {error}."))
        })
}
