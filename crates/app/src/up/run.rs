//! Holds everything together: lock, broker, pipelines, the project file, signals.

use super::files::Files;
use super::keeper::{self, Kept, Shared};
use super::lock::Lock;
use super::pipe::{Failure, Pipe};
use super::project::{Entry, Project, Pubsub};
use super::record::Record;
use super::resources::Needs;
use super::tally::Tallies;
use super::threads;
use crate::checkpoints::Place;
use crate::pipeline::{Pipeline, PipelineOptions};
use purlin_api::{Error, ErrorKind, EventTime, Result};
use purlin_broker::{Backlogs, Broker, Options};
use purlin_engine::clock::{Clock, SystemClock};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often the project file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is running, for those who ask.
#[derive(Debug)]
pub struct Up {
    /// The project's name.
    pub name: String,
    /// Where the broker listens, if there is one in this process.
    pub broker: Option<SocketAddr>,
    /// The data folder.
    pub data: PathBuf,
    /// When it started, in processing time.
    pub started: EventTime,
    pipes: RwLock<Vec<Arc<Pipe>>>,
    backlogs: Option<Backlogs>,
    /// Why the project file, as it is now, is refused.
    refused: RwLock<Option<Failure>>,
    /// True once the pipelines are known.
    has_begun: AtomicBool,
}

impl Up {
    /// How many messages wait in each subscription of the broker of this process; empty without one.
    pub fn backlogs(&self) -> Vec<(String, u64)> {
        self.backlogs.as_ref().map(Backlogs::read).unwrap_or_default()
    }

    /// All pipelines, in the order of the project file.
    pub fn pipes(&self) -> Vec<Arc<Pipe>> {
        self.pipes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True once all pipelines are known; before, there is only the broker.
    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Why the project file, as it is now, is refused; what it said before goes on.
    pub fn refused(&self) -> Option<Failure> {
        self.refused.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refuse(&self, why: Option<String>) {
        let why = why.map(|text| Failure { text, at: SystemClock.now() });
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The pipeline of this name.
    pub fn pipe(&self, name: &str) -> Option<Arc<Pipe>> {
        self.pipes().into_iter().find(|p| p.name == name)
    }

    fn show(&self, kept: &[Kept]) {
        let pipes = kept.iter().map(|k| k.pipe.clone()).collect();
        *self.pipes.write().unwrap_or_else(PoisonError::into_inner) = pipes;
    }
}

/// Runs a project until a signal comes. `announce` is told the addresses once all of it is started. True if it stopped
/// in order, false if a second signal made it stop at once.
///
/// # Errors
/// If the data folder, an address or the broker's data cannot be used. Pipelines that fail are no such reason.
pub fn up(project: &Project, load: PipelineOptions, announce: impl FnOnce(&Record)) -> Result<bool> {
    let _lock = Lock::take(&project.data)?;
    let signals = Arc::new(AtomicUsize::new(0));
    let stopped = listen_for_signals(signals.clone())?;
    let broker = project.broker.map(|at| start_broker(project, at.address, at.open)).transpose()?;
    let address = match (&project.pubsub, &broker) {
        (Pubsub::Embedded, Some(b)) => Some(b.address().to_string()),
        (Pubsub::At(at), _) => Some(at.clone()),
        _ => None,
    };
    let shared = Arc::new(Shared {
        data: project.data.clone(),
        checkpoints: project.checkpoints.clone().unwrap_or_else(|| Place::in_data(&project.data)),
        pubsub: project.pubsub.clone(),
        address,
        project: project.project.clone(),
        applies: project.apply && project.is_local(),
        load,
        commit_every: project.commit_every,
        try_refused_every: super::keeper::TRY_REFUSED_EVERY,
        tallies: Tallies::default(),
        signals,
        run: crate::run::run,
    });
    let up = Arc::new(Up {
        name: project.name.clone(),
        broker: broker.as_ref().map(Broker::address),
        data: project.data.clone(),
        started: SystemClock.now(),
        pipes: RwLock::default(),
        backlogs: broker.as_ref().map(Broker::backlogs),
        refused: RwLock::default(),
        has_begun: AtomicBool::new(false),
    });
    let server = crate::http::Server::start(project.http, up.clone())?;
    let record = Record {
        pid: std::process::id(),
        name: project.name.clone(),
        http: server.address(),
        broker: up.broker,
    };
    let _recorded = record.write(&project.data)?;
    apply_all(project, &shared);
    let mut fleet = Fleet { kept: Vec::new(), shared, up: up.clone() };
    fleet.hold(&project.pipelines);
    up.has_begun.store(true, Ordering::SeqCst);
    announce(&record);
    follow(project, &mut fleet, &stopped);
    tracing::info!("stopping");
    let shared = fleet.shared.clone();
    fleet.stop();
    server.stop();
    if let Some(broker) = broker {
        broker.stop();
    }
    Ok(shared.signals.load(Ordering::SeqCst) <= 1)
}

/// How long the second signal lets jobs clear up after themselves.
const HALT_MAX: Duration = Duration::from_secs(3);

/// The first signal stops in order, the second at once, as far as something outside lets it, the third does not wait.
fn listen_for_signals(signals: Arc<AtomicUsize>) -> Result<Receiver<()>> {
    let (tell, told) = sync_channel(1);
    let heard = move || {
        match signals.fetch_add(1, Ordering::SeqCst) {
            0 => {}
            // A writer may be stuck where nothing reaches it, such as in a pipe that nobody reads.
            1 => {
                let exit = threads::start("purlin-halt", || {
                    std::thread::park_timeout(HALT_MAX);
                    std::process::exit(1)
                });
                if exit.is_err() {
                    std::process::exit(1);
                }
            }
            _ => std::process::exit(1),
        }
        // Full: it has been told.
        let _told = tell.try_send(());
    };
    ctrlc::set_handler(heard)
        .map_err(|e| Error::new(ErrorKind::Exhausted, format!("cannot listen for signals: {e}")))?;
    Ok(told)
}

fn start_broker(project: &Project, address: SocketAddr, open: bool) -> Result<Broker> {
    let options = Options { open, ..Options::new(address, project.data.join("broker")) };
    let report = Arc::new(|text: &str| tracing::warn!("broker: {text}"));
    Broker::start(&options, report).map_err(|e| {
        let option = match e {
            purlin_broker::Error::InUse(_) => " with `broker: {listen: …}` or --broker",
            _ => "",
        };
        Error::new(ErrorKind::Config, format!("{e}{option}"))
    })
}

/// Makes what all pipelines need before any of them starts, so that nothing is published past a subscription that
/// another pipeline will read. What is wrong with one is said when it starts itself.
fn apply_all(project: &Project, shared: &Shared) {
    let mut needs = Needs::default();
    for entry in &project.pipelines {
        let pipeline = Pipeline::open(&entry.file, &shared.pipeline_options(entry));
        if let Some(spec) = pipeline.ok().and_then(|p| p.spec) {
            needs.add(&entry.file, &spec);
        }
    }
    if let Err(e) = shared.apply(&needs, None) {
        tracing::warn!("{e}");
    }
}

/// Follows the project file until a signal comes.
fn follow(project: &Project, fleet: &mut Fleet, stopped: &Receiver<()>) {
    let mut files = Files::watch(project.file.iter().map(PathBuf::from));
    // It may have changed since it was read, so that it is read again at first.
    let (mut is_new, mut last) = (true, None);
    loop {
        if let Some(file) = project.file.as_ref().filter(|_| files.changed() || is_new) {
            let new = read_again(file);
            fleet.up.refuse(new.as_ref().err().cloned());
            match new {
                Ok(new) => take_up(file, new, fleet, &mut last),
                Err(text) => tracing::error!("{file} is refused, what runs goes on:\n{text}"),
            }
        }
        is_new = false;
        match stopped.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Does what the project file says now. `last` is what it said besides its pipelines.
fn take_up(file: &str, new: Project, fleet: &mut Fleet, last: &mut Option<Project>) {
    fleet.hold(&new.pipelines);
    let rest = Project { pipelines: Vec::new(), ..new };
    if last.as_ref().is_some_and(|l| *l != rest) {
        tracing::warn!("{file}: only changes of `pipelines` are followed; start again for the others");
    }
    *last = Some(rest);
}

/// The project file as it is now, or why it is refused.
fn read_again(file: &str) -> Result<Project, String> {
    let read = Project::read(file).map_err(|e| e.to_string())?;
    read.project.ok_or_else(|| read.diagnostics.render(&read.sources))
}

/// All keepers.
struct Fleet {
    kept: Vec<Kept>,
    shared: Arc<Shared>,
    up: Arc<Up>,
}

impl Fleet {
    /// Stops what the project does not name any more, and starts what it names anew.
    fn hold(&mut self, entries: &[Entry]) {
        let (stay, go): (Vec<Kept>, Vec<Kept>) =
            self.kept.drain(..).partition(|k| entries.contains(&k.entry));
        go.iter().for_each(Kept::stop);
        go.into_iter().for_each(Kept::join);
        let mut stay: Vec<Option<Kept>> = stay.into_iter().map(Some).collect();
        for entry in entries {
            let old = stay.iter_mut().find(|k| k.as_ref().is_some_and(|k| k.entry == *entry));
            match old.and_then(Option::take) {
                Some(kept) => self.kept.push(kept),
                None => match keeper::start(entry.clone(), self.shared.clone()) {
                    Ok(kept) => self.kept.push(kept),
                    Err(e) => tracing::error!(pipeline = entry.name, "cannot start a thread: {e}"),
                },
            }
        }
        self.up.show(&self.kept);
    }

    fn stop(self) {
        self.kept.iter().for_each(Kept::stop);
        self.kept.into_iter().for_each(Kept::join);
    }
}
