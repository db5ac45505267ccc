//! What `purlin up` answers over HTTP: is it well, figures for Prometheus, and an API about pipelines.
//!
//! It only looks: nothing can be changed here. [`openapi`] describes all of it, and a test compares it with what is
//! answered.

mod metrics;
pub mod openapi;
mod problem;
mod routes;
mod serve;
mod views;

use crate::up::Up;
use crate::up::project::Listen;
use purlin_api::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use routes::paths;

/// Threads of the server: those who ask are few.
const THREADS: usize = 1;
/// How long answers in flight are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    runtime: Runtime,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Starts one.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn start(listen: Listen, up: Arc<Up>) -> Result<Self> {
        let address = listen.address;
        let cannot = |e: std::io::Error| {
            let why = if e.kind() == std::io::ErrorKind::AddrInUse {
                "something listens there already; use another with `http: {listen: …}` or --http".to_owned()
            } else {
                e.to_string()
            };
            Error::new(ErrorKind::Config, format!("cannot serve HTTP on {address}: {why}"))
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("purlin-http")
            .enable_all()
            .build()
            .map_err(cannot)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let (stop, stopping) = watch::channel(false);
        let serving = runtime.spawn(serve::serve(listener, routes::router(up, listen.open), stopping));
        Ok(Server { address, runtime, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it.
    pub fn stop(self) {
        self.stop.send_replace(true);
        // Who takes longer to listen is cut off.
        let _answered =
            self.runtime.block_on(async { tokio::time::timeout(LAST_ANSWERS, self.serving).await });
        self.runtime.shutdown_background();
    }
}
