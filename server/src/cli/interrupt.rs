//! Ctrl-C and SIGTERM.

use catalog::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The runtime of a command itself: its connections and its signals, on the command's own thread.
pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Io, "could not start the program's event loop")
            .with_detail(format!("The operating system said: {error}."))
    })
}

/// The two signals that end a command. From the first call on they do not end the process.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Starts to listen for them.
    pub(super) fn new(runtime: &Runtime) -> Result<Self> {
        let _entered = runtime.enter();
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Error::new(ErrorKind::Io, "could not listen for signals")
                    .with_detail(format!("The operating system said: {error}."))
            })
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one; gives the exit code of a program that a signal ended.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
