//! What a writer of files has made: what is complete, what is shown under which name, what a checkpoint keeps of it.

use super::Target;
use super::temporary::{Owner, exists, publish, remove, rename, sync_folder_of};
use crate::shared::naming::{shard_part, window_part};
use bytes::Bytes;
use purlin_api::{Error, EventTime, Result, Window, Windowing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The form in which checkpoints keep what is below.
const VERSION: u32 = 1;
/// So many files are named at the end; of a job that runs for months, the last ones.
const MADE_MAX: usize = 1000;

/// What a checkpoint keeps of a writer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepared {
    version: u32,
    /// Rows so far, by which they are spread over shards.
    pub(super) turn: u64,
    /// Whether any file has been shown, and in jobs that end: which.
    any: bool,
    shown: Vec<String>,
    pub(super) files: Vec<Written>,
}

/// One file that is not shown yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    /// Where it is.
    pub(super) temporary: String,
    /// Its name, if it is complete.
    pub(super) path: Option<String>,
    /// How much of it is safe.
    pub(super) bytes: u64,
    pub(super) rows: u64,
    /// Start and end of its window; `None` for the global one.
    pub(super) window: Option<(i64, i64)>,
    pub(super) shard: usize,
    /// The epoch of its first row.
    pub(super) since: u64,
    /// It holds the rows in a form of our own: the file in its format is made of it when it is complete.
    pub(super) spool: bool,
    /// The spool that it was made of, which goes when it is shown.
    pub(super) made_of: Option<String>,
}

impl Written {
    /// A file that stays open.
    pub(super) fn open(
        temporary: &str,
        (window, shard): &(Window, usize),
        bytes: u64,
        rows: u64,
        since: u64,
    ) -> Self {
        let window = match window {
            Window::Global => None,
            other => Some((other.start().0, other.end().0)),
        };
        Written {
            temporary: temporary.to_owned(),
            path: None,
            bytes,
            rows,
            window,
            shard: *shard,
            since,
            spool: false,
            made_of: None,
        }
    }

    /// Its window.
    pub(super) fn window(&self) -> Window {
        self.window.map_or(Window::Global, |(start, end)| Window::interval(start, end))
    }
}

impl Prepared {
    /// What was kept; nothing is kept of a writer that had nothing.
    pub(super) fn read(bytes: &Bytes) -> Result<Option<Self>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let unreadable = |e: &dyn std::fmt::Display| {
            Error::internal(format!("what a checkpoint keeps of a writer of files is unreadable: {e}"))
        };
        let prepared: Prepared = serde_json::from_slice(bytes).map_err(|e| unreadable(&e))?;
        if prepared.version != VERSION {
            return Err(unreadable(&format!("version {} of it is unknown", prepared.version)));
        }
        Ok(Some(prepared))
    }
}

/// The files of one writer.
pub(super) struct Shelf {
    pub(super) target: Target,
    /// What names end with.
    suffix: String,
    pub(super) owner: Owner,
    /// Complete files that no commit has shown.
    pub(super) ready: Vec<Written>,
    any: bool,
    /// Names that are taken for good, in jobs that end: elsewhere what exists is not written over.
    shown: BTreeSet<String>,
    pub(super) made: Vec<String>,
}

impl Shelf {
    pub(super) fn new(target: Target, suffix: &str, owner: Owner) -> Self {
        Shelf {
            target,
            suffix: suffix.to_owned(),
            owner,
            ready: Vec::new(),
            any: false,
            shown: BTreeSet::new(),
            made: Vec::new(),
        }
    }

    /// True if nothing was ever complete.
    pub(super) fn is_empty(&self) -> bool {
        !self.any && self.ready.is_empty()
    }

    /// What the names of the files of a window begin with, and its temporary files are called like. Those of a replay
    /// are its own, and the same if it is done again.
    pub(super) fn like(&self, window: &Window) -> Result<String> {
        let part = window_part(window, self.target.beam_compat).map_err(Error::data)?;
        let replay = self.target.replay.as_ref().map(|run| format!("-replay-{run}")).unwrap_or_default();
        Ok(format!("{}{part}{replay}", self.target.prefix))
    }

    /// Whether no more rows come for a window, or few and late ones. `to_the_end`: a file of a job that ends is complete
    /// once time has ended, which shows it before [`Sink::finish`](purlin_api::Sink::finish).
    pub(super) fn is_complete(
        &self,
        window: &Window,
        windowing: &Windowing,
        watermark: EventTime,
        to_the_end: bool,
    ) -> bool {
        let ended = to_the_end && watermark == EventTime::MAX;
        let expired = || *window != Window::Global && windowing.expiry(window) <= watermark;
        ended || (!self.target.bounded && expired())
    }

    /// The names of files that are complete, sorted by window. Shards are numbered by window.
    pub(super) fn names(&self, complete: &[(Window, usize)]) -> Result<Vec<String>> {
        let mut counts: BTreeMap<&Window, (usize, usize)> = BTreeMap::new();
        complete.iter().for_each(|(w, _)| counts.entry(w).or_default().1 += 1);
        let mut name = |(window, _): &(Window, usize)| {
            let (number, count) = counts.get_mut(window).map_or((0, 1), |(next, count)| {
                *next += 1;
                (*next - 1, *count)
            });
            self.name(window, number, count)
        };
        complete.iter().map(&mut name).collect()
    }

    /// The name of a shard. Rows may come for a window whose files were committed: theirs get the next free numbers.
    fn name(&self, window: &Window, shard: usize, shards: usize) -> Result<String> {
        let base = self.like(window)?;
        let at = |i: usize| format!("{base}{}{}", shard_part(i + shard, i + shards), self.suffix);
        let taken = |name: &str| -> Result<bool> {
            let ours = self.ready.iter().any(|r| r.path.as_deref() == Some(name));
            Ok(ours || if self.target.bounded { self.shown.contains(name) } else { exists(name)? })
        };
        let mut i = 0;
        while taken(&at(i))? {
            i += 1;
        }
        Ok(at(i))
    }

    /// What a checkpoint is to keep: what is complete, and files that stay open.
    pub(super) fn prepared(&self, turn: u64, open: Vec<Written>) -> Result<Bytes> {
        let files = self.ready.iter().cloned().chain(open).collect();
        let shown = self.shown.iter().cloned().collect();
        serde_json::to_vec(&Prepared { version: VERSION, turn, any: self.any, shown, files })
            .map(Bytes::from)
            .map_err(|e| Error::internal(format!("the files written so far cannot be listed: {e}")))
    }

    /// What is to be kept when all is complete: it is made safe, names included.
    pub(super) fn prepared_end(&self, turn: u64) -> Result<Bytes> {
        if let Some(file) = self.ready.first() {
            sync_folder_of(&file.temporary)?;
        }
        self.prepared(turn, Vec::new())
    }

    /// Shows what a checkpoint says is complete. Doing it again changes nothing.
    pub(super) fn commit(&mut self, prepared: &Prepared) -> Result<()> {
        self.any |= prepared.any;
        self.shown.extend(prepared.shown.iter().cloned());
        let mut folder = None;
        for file in &prepared.files {
            let Some(path) = &file.path else { continue };
            if publish(&file.temporary, path, file.bytes, self.target.bounded)? {
                self.made(path);
            }
            self.note(path);
            folder = Some(path);
        }
        if let Some(path) = folder {
            sync_folder_of(path)?;
        }
        // Spools go once what was made of them has its name for good.
        prepared.files.iter().filter_map(|f| f.made_of.as_ref()).try_for_each(|spool| remove(spool))?;
        self.ready.retain(|r| !prepared.files.iter().any(|f| f.path.is_some() && f.temporary == r.temporary));
        if self.target.replay.is_some() {
            // It is all there is: what else has its name was left by a process that died before it was decided.
            self.owner.clean(&self.target.prefix, &BTreeSet::new())?;
        }
        Ok(())
    }

    fn made(&mut self, path: &str) {
        if self.made.len() >= MADE_MAX && !self.target.bounded {
            self.made.remove(0);
        }
        self.made.push(path.to_owned());
    }

    fn note(&mut self, path: &str) {
        self.any = true;
        if self.target.bounded && self.owner.goes_on {
            self.shown.insert(path.to_owned());
        }
    }

    /// Shows all that is complete.
    pub(super) fn show(&mut self) -> Result<()> {
        let ready = self.ready.clone();
        for file in &ready {
            let Some(path) = &file.path else { continue };
            rename(&file.temporary, path)?;
            self.note(path);
            self.made(path);
        }
        if let Some(path) = ready.first().and_then(|f| f.path.as_ref()) {
            sync_folder_of(path)?;
        }
        ready.iter().filter_map(|f| f.made_of.as_ref()).try_for_each(|spool| remove(spool))?;
        self.ready.clear();
        Ok(())
    }

    /// The job has failed. Where another process goes on, a checkpoint may rely on what is complete.
    pub(super) fn abort(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        if self.owner.goes_on {
            return;
        }
        for file in ready.iter().flat_map(|f| [Some(&f.temporary), f.made_of.as_ref()]).flatten() {
            // The run failed already: what cannot be taken away stays as a hidden file and nothing worse.
            drop(remove(file));
        }
    }

    /// Commits what writers before this one prepared, takes away what they wrote later, and answers the files they had
    /// open and the most rows any of them had.
    pub(super) fn restore(&mut self, prepared: &[Bytes]) -> Result<(Vec<Written>, u64)> {
        let all = prepared.iter().map(Prepared::read).collect::<Result<Vec<_>>>()?;
        let all: Vec<Prepared> = all.into_iter().flatten().collect();
        all.iter().try_for_each(|p| self.commit(p))?;
        let turn = all.iter().map(|p| p.turn).max().unwrap_or(0);
        let open: Vec<Written> = all.into_iter().flat_map(|p| p.files).filter(|f| f.path.is_none()).collect();
        let keep = open.iter().map(|f| f.temporary.as_str()).collect();
        self.owner.clean(&self.target.prefix, &keep)?;
        Ok((open, turn))
    }
}

/// A place for a file that is gone on with: its own, or if another writer's file has it the next one that is free.
pub(super) fn place<T>(files: &BTreeMap<(Window, usize), T>, file: &Written) -> (Window, usize) {
    let mut key = (file.window(), file.shard);
    while files.contains_key(&key) {
        key.1 += 1;
    }
    key
}
