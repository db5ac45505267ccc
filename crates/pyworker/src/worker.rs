//! A worker: a thread that keeps a process busy, starts it again when it dies, and finds out which row it was.

use crate::bundle::{Results, failure, request};
use crate::process::{Death, Limits, Process, Slot, lock, thread};
use arrow_array::{Array, BinaryArray};
use purlin_api::source::BoxFuture;
use purlin_api::{Error, ErrorKind, Evaluator, Result};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Bundles that may wait; more than a lane keeps in flight.
const REQUESTS_MAX: usize = 64;

struct Request {
    rows: BinaryArray,
    reply: oneshot::Sender<Result<Vec<BinaryArray>>>,
}

/// The handle of a worker. The process ends when it is dropped.
pub(crate) struct Worker {
    requests: Option<SyncSender<Request>>,
    slot: Arc<Mutex<Slot>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread; the process starts with the first bundle.
    pub(crate) fn start(
        path: &str,
        label: &str,
        lane: usize,
        setup: Vec<u8>,
        limits: Limits,
    ) -> Result<Worker> {
        let jobs = jobs(&setup)?;
        let (requests, inbox) = sync_channel(REQUESTS_MAX);
        let slot = Arc::new(Mutex::new(Slot::default()));
        let keeper = Keeper { path: path.to_owned(), setup, jobs, limits, slot: slot.clone(), process: None };
        let name = format!("purlin-python {label}/{lane}").replace('\0', "");
        let thread = thread(&name, move || keeper.serve(&inbox))?;
        Ok(Worker { requests: Some(requests), slot, thread: Some(thread) })
    }
}

/// How many results each row has.
fn jobs(setup: &[u8]) -> Result<usize> {
    let setup: serde_json::Value =
        serde_json::from_slice(setup).map_err(|e| Error::internal(format!("the setup is not JSON: {e}")))?;
    let jobs = setup.pointer("/code/jobs").and_then(serde_json::Value::as_array);
    jobs.map(Vec::len).ok_or_else(|| Error::internal("the setup has no jobs"))
}

impl Evaluator for Worker {
    fn evaluate(&mut self, rows: BinaryArray) -> BoxFuture<'static, Result<Vec<BinaryArray>>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.as_ref().is_some_and(|r| r.try_send(Request { rows, reply }).is_ok());
        Box::pin(async move {
            if !sent {
                return Err(Error::internal("more bundles for a python3 worker than it takes"));
            }
            answer.await.unwrap_or_else(|_| Err(stopped()))
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        lock(&self.slot).close();
        if let Some(thread) = self.thread.take() {
            // It has nothing left to wait for; if it broke down, its requests have been answered so.
            let _ended = thread.join();
        }
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the python3 worker was stopped")
}

/// Why an exchange did not give all results.
enum Broken {
    /// The job cannot go on.
    Job(Error),
    /// The process is gone.
    Process(Death),
}

impl From<Error> for Broken {
    fn from(e: Error) -> Self {
        Broken::Job(e)
    }
}

impl From<Death> for Broken {
    fn from(death: Death) -> Self {
        Broken::Process(death)
    }
}

/// What the worker's thread owns.
struct Keeper {
    path: String,
    setup: Vec<u8>,
    jobs: usize,
    limits: Limits,
    slot: Arc<Mutex<Slot>>,
    process: Option<Process>,
}

impl Keeper {
    fn serve(mut self, inbox: &Receiver<Request>) {
        while let Ok(Request { rows, reply }) = inbox.recv() {
            if reply.is_closed() {
                continue;
            }
            let answer = self.bundle(&rows);
            // Nobody waits any more if the job was stopped.
            let _unheard = reply.send(answer);
        }
    }

    /// All results of a bundle. When the process dies the rest of the bundle is tried once more; if it dies
    /// again, row by row until the row that kills it is found.
    fn bundle(&mut self, rows: &BinaryArray) -> Result<Vec<BinaryArray>> {
        let mut results = Results::new(self.jobs);
        let mut again = true;
        while results.rows < rows.len() {
            let all = rows.len();
            match self.exchange(rows, all, &mut results) {
                Ok(()) => {}
                Err(Broken::Job(e)) => return Err(e),
                // A row that hangs would only hang again.
                Err(Broken::Process(death)) if again && !death.silent => again = false,
                Err(Broken::Process(_)) => {
                    again = false;
                    self.find_row(rows, &mut results)?;
                }
            }
        }
        Ok(results.finish())
    }

    /// Goes on row by row until one has killed the process, and makes that a failed row.
    fn find_row(&mut self, rows: &BinaryArray, results: &mut Results) -> Result<()> {
        while results.rows < rows.len() {
            let next = results.rows + 1;
            match self.exchange(rows, next, results) {
                Ok(()) => {}
                Err(Broken::Job(e)) => return Err(e),
                Err(Broken::Process(death)) => {
                    let why = death.why.replace('\\', "\\\\").replace('\'', "\\'");
                    results.fail(&failure(&format!("RuntimeError('python3 worker died: {why}')")));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Sends the rows after those that have results, up to `to`, and takes what comes back.
    fn exchange(&mut self, rows: &BinaryArray, to: usize, results: &mut Results) -> Result<(), Broken> {
        let process = match self.process.take() {
            Some(process) => process,
            None => Process::start(&self.path, &self.setup, &self.limits, &self.slot)?,
        };
        process.send(b'B', &request(rows, results.rows, to))?;
        loop {
            let frame = process.results().map_err(|death| self.unless_stopped(death))?;
            results.take(&frame.body, to - results.rows)?;
            if frame.kind == b'D' {
                break;
            }
        }
        if results.rows != to {
            return Err(Error::internal("the python3 worker left rows out").into());
        }
        self.process = Some(process);
        Ok(())
    }

    /// A process that was killed because the job ends is no failure of a row.
    fn unless_stopped(&self, death: Death) -> Broken {
        if lock(&self.slot).is_closed() { Broken::Job(stopped()) } else { Broken::Process(death) }
    }
}
