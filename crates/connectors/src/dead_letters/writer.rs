//! The running writer: letters of an epoch go to a hidden file, which gets its name at the commit.

use super::journal::{FailedAgain, Journal};
use super::letter::{Letter, Line, instant};
use super::lines;
use super::store::Store;
use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, Environment, Error, EventTime, Origin, Result, Sink, Window};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What stands in a checkpoint, and in the journal of a replay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The hidden file, and the name that it is to get.
    file: Option<(PathBuf, PathBuf)>,
    letters: u64,
    /// Letters of a replay that failed again, and are no new ones.
    pub(super) failed: Vec<FailedAgain>,
}

/// A file of letters that is being written.
struct Open {
    temporary: PathBuf,
    path: PathBuf,
    out: BufWriter<File>,
    letters: u64,
}

/// Keeps letters; without a data folder it only takes them.
pub(super) struct Writer {
    store: Option<Store>,
    /// What letters and files are called after.
    run: String,
    file: String,
    /// The epoch that rows written now belong to.
    epoch: u64,
    open: Option<Open>,
    /// Hidden files that no commit has shown.
    waiting: Vec<PathBuf>,
    /// Whether another process may go on from what was prepared.
    goes_on: bool,
    replayed: Option<Replayed>,
    failed: Vec<FailedAgain>,
    kept: u64,
}

impl Writer {
    pub(super) fn new(environment: &Environment) -> Result<Self> {
        let store = environment.data.as_ref().map(|data| Store::new(data, &environment.pipeline));
        // Runs that go on from each other's checkpoints count epochs on, and write the same letters again.
        let run = if environment.lineage.is_empty() { &environment.run } else { &environment.lineage };
        if store.is_some() && run.is_empty() {
            return Err(Error::internal("a run that keeps dead letters has no name"));
        }
        let replayed = match &store {
            Some(store) if environment.is_replay => Some(Replayed::of(store, &environment.run)?),
            _ => None,
        };
        Ok(Writer {
            store,
            run: run.clone(),
            file: environment.file.clone(),
            epoch: 1,
            open: None,
            waiting: Vec::new(),
            goes_on: !environment.lineage.is_empty() && !environment.is_replay,
            replayed,
            failed: Vec::new(),
            kept: 0,
        })
    }

    fn take(&mut self, batch: &Batch) -> Result<()> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        let columns: Vec<&StringArray> =
            batch.rows.columns().iter().filter_map(|c| c.as_string_opt::<i32>()).collect();
        let [transform, reason, stack, position, element, row] = columns.as_slice() else {
            return Err(Error::internal("letters have other columns than they should"));
        };
        let kept_us = now_us();
        for i in 0..batch.len() {
            let time = batch.times.get(i);
            let origin = batch.origins.as_ref().map(|o| o.get(i));
            let shown = element.value(i).to_owned();
            let shown = RawValue::from_string(shown).map_err(|_| Error::internal("a row is no JSON"))?;
            let mut letter = Letter {
                id: String::new(),
                kept_us,
                kept_at: EventTime(kept_us).to_rfc3339(),
                transform: transform.value(i).to_owned(),
                reason: reason.value(i).to_owned(),
                stack: stack.value(i).to_owned(),
                position: match position.is_valid(i) {
                    true => Some(position.value(i).to_owned()),
                    false => origin.map(Origin::to_string),
                },
                message: origin.and_then(message),
                time_us: time.0,
                time: instant(time),
                window: match batch.windows.get(i) {
                    Window::Global => None,
                    other => Some((other.start().0, other.end().0)),
                },
                element: shown,
                row: row.value(i).to_owned(),
                file: self.file.clone(),
            };
            if let Some(again) = self.replayed.as_mut().and_then(|r| r.again(&letter)) {
                self.failed.push(again);
                continue;
            }
            let open = match &mut self.open {
                Some(open) => open,
                None => self.open.insert(begin(&store, &self.run, self.epoch, &self.file)?),
            };
            open.letters += 1;
            letter.id = format!("{}.{}.{}", self.run, self.epoch, open.letters);
            let line = lines::line(&Line::Letter(Box::new(letter)))?;
            open.out.write_all(&line).map_err(|e| failed("write", &open.temporary, e))?;
        }
        Ok(())
    }

    fn prepare_now(&mut self, epoch: u64) -> Result<Bytes> {
        let mut prepared = Prepared { failed: std::mem::take(&mut self.failed), ..Prepared::default() };
        if let Some(mut open) = self.open.take() {
            self.waiting.push(open.temporary.clone());
            let end = lines::line(&Line::End(open.letters))?;
            let io = |e| failed("write", &open.temporary, e);
            open.out.write_all(&end).and_then(|()| open.out.flush()).map_err(io)?;
            open.out.get_ref().sync_all().map_err(io)?;
            sync_folder_of(&open.temporary)?;
            prepared.letters = open.letters;
            prepared.file = Some((open.temporary, open.path));
        }
        self.epoch = epoch + 1;
        if prepared.file.is_none() && prepared.failed.is_empty() {
            return Ok(Bytes::new());
        }
        serde_json::to_vec(&prepared)
            .map(Bytes::from)
            .map_err(|e| Error::internal(format!("the letters written so far cannot be listed: {e}")))
    }

    fn commit_now(&mut self, prepared: &Bytes) -> Result<()> {
        if prepared.is_empty() {
            return Ok(());
        }
        let prepared: Prepared = serde_json::from_slice(prepared)
            .map_err(|e| Error::internal(format!("the list of prepared letters is unreadable: {e}")))?;
        let Some((temporary, path)) = prepared.file else { return Ok(()) };
        match std::fs::rename(&temporary, &path) {
            Ok(()) => self.kept += prepared.letters,
            // It was committed before.
            Err(e) if e.kind() == ErrorKind::NotFound && path.exists() => {}
            Err(e) => return Err(failed("create", &path, e)),
        }
        self.waiting.retain(|w| *w != temporary);
        sync_folder_of(&path)
    }

    /// Takes away what those before this one wrote and did not prepare, or prepared for a checkpoint that never was.
    fn clean(&self) -> Result<()> {
        let Some(store) = &self.store else { return Ok(()) };
        let folder = store.folder();
        let io = |e| failed("read the folder", folder, e);
        let entries = match std::fs::read_dir(folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(io)?,
        };
        let ours = format!(".letters-{}-", self.run);
        for entry in entries {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|n| n.starts_with(&ours) && n.ends_with(".tmp")) {
                std::fs::remove_file(entry.path()).map_err(|e| failed("remove", &entry.path(), e))?;
            }
        }
        Ok(())
    }

    fn restore_now(&mut self, epoch: u64, prepared: &[Bytes]) -> Result<()> {
        self.epoch = epoch + 1;
        prepared.iter().try_for_each(|p| self.commit_now(p))?;
        self.clean()
    }
}

/// Begins the file of an epoch. What is there under its hidden name was left by a run that did not come to commit it.
fn begin(store: &Store, run: &str, epoch: u64, file: &str) -> Result<Open> {
    let folder = store.folder();
    make_folder(folder)?;
    let name = Store::file_name(run, epoch);
    let temporary = folder.join(format!(".{name}.tmp"));
    let made = OpenOptions::new().create(true).write(true).truncate(true).open(&temporary);
    let mut out = BufWriter::new(made.map_err(|e| failed("create", &temporary, e))?);
    let header = lines::header(super::store::LETTERS, file)?;
    out.write_all(&header).map_err(|e| failed("write", &temporary, e))?;
    Ok(Open { temporary, path: folder.join(name), out, letters: 0 })
}

/// Makes a folder and those it lies in survive a loss of power: a checkpoint relies on what is in it.
fn make_folder(folder: &Path) -> Result<()> {
    let missing = |at: &&Path| !at.as_os_str().is_empty() && !at.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(missing).collect();
    std::fs::create_dir_all(folder).map_err(|e| failed("create the folder", folder, e))?;
    missing.into_iter().try_for_each(sync_folder_of)
}

fn sync_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("sync the folder", folder, e))
}

pub(super) fn failed(what: &str, path: &Path, e: std::io::Error) -> Error {
    Error::io(what, &path.display().to_string(), e)
}

/// When something was kept or done: told to people, no result depends on it.
#[allow(clippy::disallowed_methods)]
pub(super) fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

impl Sink for Writer {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.take(&batch)))
    }

    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(std::future::ready(self.prepare_now(epoch)))
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.commit_now(&prepared)))
    }

    fn restore(&mut self, epoch: u64, prepared: Vec<Bytes>) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(self.restore_now(epoch, &prepared)))
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        let done = self.prepare_now(self.epoch).and_then(|prepared| self.commit_now(&prepared));
        Box::pin(std::future::ready(done))
    }

    fn abort(&mut self) {
        if self.goes_on {
            // A checkpoint may rely on what is prepared.
            self.waiting.clear();
        }
        self.waiting.extend(self.open.take().map(|o| o.temporary));
        for path in self.waiting.drain(..) {
            // The run failed already: a hidden file that stays behind is nothing worse.
            let _left = std::fs::remove_file(path);
        }
    }

    fn made(&self) -> Vec<String> {
        let Some(store) = self.store.as_ref().filter(|_| self.kept > 0) else { return Vec::new() };
        vec![store.folder().display().to_string()]
    }
}

/// The letters of a replay, to know those that fail again.
struct Replayed {
    /// Times and letters by transform and row, as people see it; equal letters stand for each other.
    letters: HashMap<(String, String), Vec<(i64, String)>>,
}

impl Replayed {
    fn of(store: &Store, run: &str) -> Result<Self> {
        let journal = Journal::read(store)?;
        let mut letters: HashMap<_, Vec<_>> = HashMap::new();
        let wanted = journal.letters_of(run);
        for letter in store.read()?.letters {
            if wanted.contains(&letter.id) {
                let element = journal.given(&letter).element.get().to_owned();
                letters.entry((letter.transform, element)).or_default().push((letter.time_us, letter.id));
            }
        }
        Ok(Replayed { letters })
    }

    /// The letter that a row is of, if it failed where it was put in. An edit may have moved its time.
    fn again(&mut self, row: &Letter) -> Option<FailedAgain> {
        let key = (row.transform.clone(), row.element.get().to_owned());
        let same = self.letters.get_mut(&key)?;
        let at = same.iter().position(|(time, _)| *time == row.time_us).or((!same.is_empty()).then_some(0))?;
        let (_, letter) = same.swap_remove(at);
        Some(FailedAgain { letter, reason: row.reason.clone(), stack: row.stack.clone() })
    }
}

/// A message as letters have it.
fn message(origin: &Origin) -> Option<Box<RawValue>> {
    let Origin::Message(m) = origin else { return None };
    let (name, payload) = match std::str::from_utf8(&m.payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => ("payload_base64", STANDARD.encode(&m.payload)),
    };
    let told = json!({"id": m.id, name: payload, "attributes": m.attributes});
    RawValue::from_string(told.to_string()).ok()
}
