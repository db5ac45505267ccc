//! One `python3` process and its pipes.

use purlin_api::{Error, ErrorKind, Result};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SCRIPT: &str = include_str!("../python/worker.py");
const BEAM: &str = include_str!("../python/beam.py");

/// What the script's known values look like in the encoding that this program reads and writes: CPython's
/// `marshal`, version 2, of `(None, True, 7, -(1 << 40), 1.5, 'é', b'b', [1], {'k': (2,)}, ...)`.
const SAMPLE: &[u8] = b"(\n\0\0\0NTi\x07\0\0\0l\xfd\xff\xff\xff\0\0\0\0\0\x04g\0\0\0\0\0\0\xf8?u\x02\0\0\0\xc3\xa9s\x01\0\0\0b[\x01\0\0\0i\x01\0\0\0{u\x01\0\0\0k(\x01\0\0\0i\x02\0\0\x000.";

/// How long loading the interpreter and the author's code may take beyond the limit of a row.
const START_SECONDS: u64 = 60;
/// How long a process may be silent beyond the limit of a row, whose alarm it handles itself.
const SILENCE_SECONDS: u64 = 5;

/// What one worker may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time for one row.
    pub(crate) row: Duration,
    /// Memory; 0 for no limit.
    pub(crate) memory_bytes: u64,
}

impl Limits {
    /// After this long without a word the process counts as hung.
    fn silence(&self) -> Duration {
        self.row.mul_f64(1.25) + Duration::from_secs(SILENCE_SECONDS)
    }
}

/// One message of the protocol.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

/// Why a process is of no use any more.
#[derive(Debug)]
pub(crate) struct Death {
    /// What happened: `exit status: 1`.
    pub(crate) why: String,
    /// It said nothing for too long, and was killed.
    pub(crate) silent: bool,
}

/// The process that may have to be killed from another thread.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    child: Option<Child>,
    /// No further process may start.
    closed: bool,
}

impl Slot {
    /// Kills the process, if there is one, and takes its status. No zombie is left.
    fn kill(&mut self) -> Option<String> {
        let mut child = self.child.take()?;
        // A process that has ended already needs no killing; `wait` tells its status either way.
        let _gone = child.kill();
        child.wait().ok().map(|status| status.to_string())
    }

    /// True once no process may start any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Kills the process and lets no other start.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.kill();
    }
}

/// Locks a slot. What a panic elsewhere left is still a process, or none.
pub(crate) fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The environment and flags of an isolated interpreter: the standard library only, no settings of the user's.
/// Unlike `-I` this lets the hash seed be fixed, so that `hash()` gives the same in every lane and run.
pub(crate) fn isolate(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PYTHON") {
            command.env_remove(name);
        }
    }
    command.env("PYTHONHASHSEED", "0").args(["-s", "-S", "-B", "-u", "-X", "utf8"]);
}

/// The message that sets a process up.
pub(crate) fn setup(limits: &Limits, code: &str) -> Result<Vec<u8>> {
    let code: serde_json::Value =
        serde_json::from_str(code).map_err(|e| Error::internal(format!("the setup is not JSON: {e}")))?;
    let setup = serde_json::json!({
        "timeout": limits.row.as_secs_f64(),
        "memory": limits.memory_bytes,
        "beam": BEAM,
        "code": code,
    });
    Ok(setup.to_string().into_bytes())
}

/// A running process that has loaded its code.
pub(crate) struct Process {
    slot: Arc<Mutex<Slot>>,
    to: SyncSender<Vec<u8>>,
    from: Receiver<Frame>,
    silence: Duration,
}

impl Process {
    /// Starts a process and waits until it has loaded its code.
    ///
    /// # Errors
    /// It does not start, ends while it loads the code, or encodes values in an unknown way.
    pub(crate) fn start(path: &str, setup: &[u8], limits: &Limits, slot: &Arc<Mutex<Slot>>) -> Result<Self> {
        let (stdin, stdout) = spawn(path, slot)?;
        let (to, requests) = sync_channel::<Vec<u8>>(1);
        let (answers, from) = sync_channel::<Frame>(4);
        thread("purlin-python-in", move || write_all(stdin, &requests))?;
        thread("purlin-python-out", move || read_all(stdout, &answers))?;
        let process = Process { slot: slot.clone(), to, from, silence: limits.silence() };
        let patience = limits.row + Duration::from_secs(START_SECONDS);
        let ended = |death: Death| {
            let text = format!("the python3 worker ended while it loaded its code: {}", death.why);
            Error::new(ErrorKind::Data, text)
        };
        let hello = process.receive(patience).map_err(ended)?;
        let known = hello.body.iter().position(|b| *b == b'\n').and_then(|at| hello.body.get(at + 1..));
        if hello.kind != b'H' || known != Some(SAMPLE) {
            process.kill();
            let text =
                format!("`{path}` encodes values in a way that is not known here: use another python3");
            return Err(Error::new(ErrorKind::Config, text));
        }
        process.send(b'C', setup).map_err(ended)?;
        let ready = process.receive(patience).map_err(ended)?;
        if ready.kind != b'R' {
            process.kill();
            return Err(Error::internal("the python3 worker is not ready"));
        }
        Ok(process)
    }

    /// Sends a message.
    pub(crate) fn send(&self, kind: u8, body: &[u8]) -> Result<(), Death> {
        let Ok(length) = u32::try_from(body.len()) else {
            let why = format!("a message of {} bytes is too long for it", body.len());
            return Err(Death { why, silent: false });
        };
        let mut frame = Vec::with_capacity(body.len() + 5);
        frame.extend(length.to_le_bytes());
        frame.push(kind);
        frame.extend(body);
        self.to.send(frame).map_err(|_| self.death())
    }

    /// The next results.
    pub(crate) fn results(&self) -> Result<Frame, Death> {
        self.receive(self.silence)
    }

    fn receive(&self, patience: Duration) -> Result<Frame, Death> {
        match self.from.recv_timeout(patience) {
            Ok(frame) => Ok(frame),
            Err(RecvTimeoutError::Disconnected) => Err(self.death()),
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                let why = format!("it was killed after {} s without a sign of life", patience.as_secs());
                Err(Death { why, silent: true })
            }
        }
    }

    /// What became of a process whose pipes are closed.
    fn death(&self) -> Death {
        let why = self.kill().unwrap_or_else(|| "it was stopped".to_owned());
        Death { why, silent: false }
    }

    fn kill(&self) -> Option<String> {
        lock(&self.slot).kill()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(path: &str, slot: &Mutex<Slot>) -> Result<(ChildStdin, ChildStdout)> {
    let mut command = Command::new(path);
    isolate(&mut command);
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    // Held while starting: who closes the slot meanwhile finds the process in it.
    let mut slot = lock(slot);
    if slot.closed {
        return Err(Error::new(ErrorKind::Unavailable, "the job was stopped"));
    }
    let mut child = command.spawn().map_err(|e| {
        Error::new(ErrorKind::Unavailable, format!("cannot start `{path}`: {e}")).caused_by(e)
    })?;
    let pipes = (child.stdin.take(), child.stdout.take());
    slot.child = Some(child);
    match pipes {
        (Some(stdin), Some(stdout)) => Ok((stdin, stdout)),
        _ => Err(Error::internal("a process without pipes")),
    }
}

/// A thread that serves one pipe. It ends with the pipe, and so with the process.
pub(crate) fn thread(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|e| Error::new(ErrorKind::Exhausted, format!("cannot start a thread: {e}")).caused_by(e))
}

fn write_all(mut stdin: ChildStdin, frames: &Receiver<Vec<u8>>) {
    while let Ok(frame) = frames.recv() {
        // A closed pipe shows at the other one too, where the process is known to have ended.
        if stdin.write_all(&frame).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_all(mut stdout: ChildStdout, frames: &SyncSender<Frame>) {
    loop {
        let mut head = [0_u8; 5];
        if stdout.read_exact(&mut head).is_err() {
            return;
        }
        let [a, b, c, d, kind] = head;
        let length = u64::from(u32::from_le_bytes([a, b, c, d]));
        let mut body = Vec::new();
        let complete = stdout.by_ref().take(length).read_to_end(&mut body);
        if complete.is_err() || body.len() as u64 != length || frames.send(Frame { kind, body }).is_err() {
            return;
        }
    }
}
