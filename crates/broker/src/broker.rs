//! A running broker.

use crate::catalog::Catalog;
use crate::error::Error;
use crate::housekeeping;
use crate::hub::{Hub, Report};
use crate::push;
use crate::server;
use crate::store::{RealDisk, Store, StoreOptions};
use crate::tasks::spawn;
use crate::tls::{self, TlsFiles};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How a broker is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The folder of its data.
    pub data: PathBuf,
    /// What calls must show as `Authorization: Bearer TOKEN`.
    pub token: Option<String>,
    /// What pushes show that are configured with an OIDC token.
    pub push_token: Option<String>,
    /// Speaks TLS with these, else plain.
    pub tls: Option<TlsFiles>,
    /// Whether it may listen without a token where other machines reach it.
    pub open: bool,
}

impl Options {
    /// A broker that asks for no token.
    pub fn new(listen: SocketAddr, data: impl Into<PathBuf>) -> Self {
        Options { listen, data: data.into(), token: None, push_token: None, tls: None, open: false }
    }
}

/// A running broker. Dropping it stops it without ceremony; see [`stop`](Broker::stop).
#[derive(Debug)]
pub struct Broker {
    runtime: Runtime,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
    store: Store,
    hub: Arc<Hub>,
}

/// Looks at how many messages wait in a broker.
#[derive(Clone, Debug)]
pub struct Backlogs(Arc<Hub>);

impl Backlogs {
    /// By full name of each subscription: messages that are not acknowledged, whether they were delivered or not.
    pub fn read(&self) -> Vec<(String, u64)> {
        let all = self.0.catalog.subscriptions();
        all.iter().map(|s| (s.name().to_owned(), s.waiting())).collect()
    }
}

impl Broker {
    /// Starts a broker. `report` is told what happens that no client is told.
    pub fn start(options: &Options, report: Report) -> Result<Self, Error> {
        if !options.listen.ip().is_loopback() && options.token.is_none() && !options.open {
            return Err(Error::Options(format!(
                "{} can be reached from other machines, and everybody there could read and publish: give a --token, \
                 or say --allow-anyone",
                options.listen
            )));
        }
        let tls = options.tls.as_ref().map(tls::acceptor).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        // First the port: a second broker is told so before it touches the data of the first.
        let listener = runtime.block_on(TcpListener::bind(options.listen)).map_err(|source| {
            if source.kind() == std::io::ErrorKind::AddrInUse {
                Error::InUse(options.listen)
            } else {
                Error::Listen { address: options.listen, source }
            }
        })?;
        let address =
            listener.local_addr().map_err(|source| Error::Listen { address: options.listen, source })?;
        let disk = Arc::new(
            RealDisk::new(&options.data)
                .map_err(|source| Error::Data { folder: options.data.clone(), why: source.to_string() })?,
        );
        let (store, recovery) = Store::open(disk, StoreOptions::default())?;
        for damage in &recovery.damage {
            report(&format!("{}: {} (byte {}): {}", damage.path, damage.why, damage.position, damage.done));
        }
        let (stop, stopping) = watch::channel(false);
        let hub = Arc::new(Hub {
            catalog: Catalog::open(&store)?,
            report,
            pushing: watch::Sender::new(0),
            push_token: options.push_token.clone(),
            token: options.token.clone(),
            validators: Mutex::default(),
            stopping,
        });
        runtime.block_on(async {
            spawn(housekeeping::run(hub.clone()));
            spawn(push::supervise(hub.clone()));
        });
        let server = runtime.spawn(server::serve(hub.clone(), listener, tls));
        Ok(Broker { runtime, address, stop, server, store, hub })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For those who want to see how many messages wait.
    pub fn backlogs(&self) -> Backlogs {
        Backlogs(self.hub.clone())
    }

    /// Stops: streams end with `UNAVAILABLE`, calls in flight are answered, what waits is written.
    pub fn stop(self) {
        self.stop.send_replace(true);
        // A server that panicked has stopped as well.
        let _ended = self.runtime.block_on(self.server);
        self.store.close();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
