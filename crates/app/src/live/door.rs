//! Where a running pipeline can be asked how it stands: a Unix socket `.purlin/run/NAME-HASH.PID.sock`.
//!
//! Who connects is answered with one JSON document and nothing else; nothing is read of what comes. A socket file
//! whose process is gone is taken away by who finds it.

use super::why::Why;
use purlin_engine::clock::{Clock, SystemClock};
use purlin_engine::{JobView, Watcher};
use purlin_plan::Plan;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The folder of the sockets, below the folder that a pipeline is started in.
pub const FOLDER: &str = ".purlin/run";
/// How long lanes are waited for.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// How long one exchange may take.
const TALK_MAX: Duration = Duration::from_secs(2);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// An open door; closes when dropped.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    closing: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Door {
    /// Opens one for a pipeline that is about to run.
    ///
    /// # Errors
    /// If the socket cannot be made; the pipeline can run without.
    #[allow(clippy::disallowed_methods)] // a thread for those who ask: no part of the job
    pub fn open(folder: &Path, file: &str, plan: &Arc<Plan>, watcher: Watcher) -> Result<Self, String> {
        let path = folder.join(format!("{}.{}.sock", name_of(file), std::process::id()));
        let cannot = |e: std::io::Error| {
            format!("cannot make `{}`: {e}; `purlin why` will not find this run", path.display())
        };
        std::fs::create_dir_all(folder).map_err(cannot)?;
        if path.exists() {
            // Of a process that had our number before.
            std::fs::remove_file(&path).map_err(cannot)?;
        }
        let listener = UnixListener::bind(&path).map_err(cannot)?;
        let closing = Arc::new(AtomicBool::new(false));
        let (flag, plan, file) = (closing.clone(), plan.clone(), file.to_owned());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // Who went away needs no answer.
                let _answered = stream.and_then(|s| answer(s, &file, &plan, &watcher));
            }
        });
        Ok(Door { path, closing, thread: Some(thread) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread up. If that fails, the thread ends with the process.
        if UnixStream::connect(&self.path).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ended = thread.join();
        }
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn answer(mut stream: UnixStream, file: &str, plan: &Plan, watcher: &Watcher) -> std::io::Result<()> {
    stream.set_write_timeout(Some(TALK_MAX))?;
    let wait = |d| {
        std::thread::park_timeout(d);
        std::future::ready(())
    };
    let view = futures::executor::block_on(view(watcher, wait));
    let why = Why::new(file, plan, &view);
    let document = json!({"text": why.to_text(), "state": why.to_json(), "pid": std::process::id()});
    stream.write_all(document.to_string().as_bytes())
}

/// How a running job stands: of lanes that do not answer soon, what is known of them. `wait` passes some time.
pub async fn view<F: Future<Output = ()>>(watcher: &Watcher, wait: impl Fn(Duration) -> F) -> JobView {
    let look = watcher.ask();
    let deadline = SystemClock.now().plus(ANSWER_MAX.as_micros() as i64);
    while !watcher.is_answered(&look) && SystemClock.now() < deadline {
        wait(Duration::from_millis(2)).await;
    }
    watcher.view(&look, SystemClock.now())
}

/// What a running pipeline answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// For people.
    pub text: String,
    /// For machines.
    pub state: Value,
}

/// Asks all running pipelines of this name, or this file, whose sockets are in a folder; `None` asks all.
pub fn ask(folder: &Path, pipeline: Option<&str>) -> Vec<Answered> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let wanted = |path: &PathBuf| {
        let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(name) = file.strip_suffix(".sock").and_then(|n| n.rsplit_once('.')).map(|(n, _)| n) else {
            return false;
        };
        pipeline
            .is_none_or(|p| name == name_of(p) || name.rsplit_once('-').is_some_and(|(stem, _)| stem == p))
    };
    paths.iter().filter(|p| wanted(p)).filter_map(|p| talk(p)).collect()
}

fn talk(path: &Path) -> Option<Answered> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(e) => {
            if e.kind() == std::io::ErrorKind::ConnectionRefused {
                // Left by a process that was killed.
                let _gone = std::fs::remove_file(path);
            }
            return None;
        }
    };
    stream.set_read_timeout(Some(TALK_MAX)).ok()?;
    let mut text = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text).ok()?;
    let document: Value = serde_json::from_str(&text).ok()?;
    let text = document.get("text")?.as_str()?.to_owned();
    Some(Answered { text, state: document.get("state")?.clone() })
}

/// What a file's sockets are called: its name, and a number that tells files of one name apart.
pub(crate) fn name_of(file: &str) -> String {
    let stem = Path::new(file).file_stem().and_then(|s| s.to_str()).unwrap_or("pipeline");
    let stem: String = stem
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
        .take(30)
        .collect();
    let full = std::fs::canonicalize(file).unwrap_or_else(|_| PathBuf::from(file));
    let hash = purlin_api::key::hash(full.as_os_str().as_encoded_bytes());
    format!("{stem}-{:08x}", hash as u32)
}
