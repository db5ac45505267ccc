//! What a job is told about its checkpoints, and what it tells of them.

use super::fit::Fit;
use super::format::{epoch_of, read_manifest};
use super::image::Image;
use super::manifest::Manifest;
use super::store::CheckpointStore;
use super::writer::{Origin, Writer};
use purlin_api::{Error, ErrorKind, EventTime, Result};
use purlin_plan::Graph;
use std::sync::{Arc, Mutex, PoisonError};

/// Where a job begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At its last checkpoint, if it has one.
    #[default]
    Checkpoint,
    /// At the beginning, whatever was kept.
    Scratch,
}

/// The checkpoints of a pipeline, opened for a job.
#[derive(Debug)]
pub struct Checkpoints {
    store: Arc<dyn CheckpointStore>,
    origin: Origin,
    /// What the job goes on from.
    last: Option<Manifest>,
    /// Later epochs than any there was.
    first_epoch: u64,
    /// The last one is of nothing, and of this run.
    begins: bool,
    status: Arc<Status>,
}

impl Checkpoints {
    /// Opens those of a pipeline. `run` is drawn for this run, like no other: also its lineage, if it begins from scratch.
    ///
    /// # Errors
    /// If the last checkpoint cannot be read, or is of another pipeline.
    pub fn open(store: Arc<dyn CheckpointStore>, pipeline: &str, from: From, run: &str) -> Result<Self> {
        let mut objects = store.list()?;
        objects.retain(|(name, _)| epoch_of(name).is_some());
        let newest = objects.last().cloned();
        let first_epoch = newest.as_ref().and_then(|(n, _)| epoch_of(n)).unwrap_or(0) + 1;
        let last = match (from, newest) {
            (From::Checkpoint, Some((name, size))) => Some(read_manifest(store.as_ref(), &name, size)?),
            _ => None,
        };
        if let Some(other) = last.as_ref().map(|m| &m.pipeline).filter(|p| *p != pipeline) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the checkpoints in `{}` are of the pipeline `{other}`, not of `{pipeline}`: name another folder, \
                     or start with `--from scratch`",
                    store.place()
                ),
            ));
        }
        let lineage = last.as_ref().map_or(run, |m| &m.lineage).to_owned();
        let status = Arc::new(Status::default());
        if let Some(m) = &last {
            status.put(StatusView { epoch: m.epoch, at: Some(EventTime(m.at)), ..StatusView::default() });
        }
        let origin = Origin { pipeline: pipeline.to_owned(), lineage, run: run.to_owned() };
        Ok(Checkpoints { store, origin, last, first_epoch, begins: false, status })
    }

    /// For a job that begins from scratch: writes a checkpoint of nothing, so that the lineage outlives a process that is
    /// killed before its first epoch. What it made outside under that name (subscriptions, hidden files) is found again.
    ///
    /// # Errors
    /// If it cannot be written; `Conflict` if another process began at the same time.
    pub fn begin(&mut self, now: EventTime) -> Result<()> {
        if self.last.is_none() {
            self.last = Some(self.origin.begin(self.store.as_ref(), self.first_epoch, now.0)?);
            self.begins = true;
        }
        Ok(())
    }

    /// What tells this life of the pipeline from others.
    pub fn lineage(&self) -> &str {
        &self.origin.lineage
    }

    /// The epoch that the job goes on from, and when it was.
    pub fn resumes_from(&self) -> Option<(u64, EventTime)> {
        self.last.as_ref().map(|m| (m.epoch, EventTime(m.at)))
    }

    /// What would become of the state in a pipeline as it is now; `None` if there is no checkpoint.
    pub fn fit(&self, graph: &Graph) -> Option<Fit> {
        self.last.as_ref().map(|m| Fit::new(m, graph))
    }

    /// Reads all of the last checkpoint, and forgets it.
    ///
    /// # Errors
    /// If something of it is missing or damaged.
    pub fn verify(&self) -> Result<()> {
        self.last.iter().try_for_each(|m| Image::load(self.store.as_ref(), m).map(drop))
    }

    /// How things stand, also while the job runs.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Reads what the job goes on from, and makes what will write.
    ///
    /// # Errors
    /// If state would be lost, or cannot be read.
    pub(crate) fn load(self, graph: &Graph) -> Result<Loaded> {
        if let Some(fit) = self.fit(graph).filter(|f| !f.is_good()) {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "this pipeline was changed so that state of its last checkpoint would be lost:\n{}nothing was read \
                     or written. Give transforms their old names and settings back, or start with `--from scratch`: \
                     then windows that were open are lost",
                    fit.to_text()
                ),
            ));
        }
        let mut image = match &self.last {
            Some(first) if self.begins => Image::scratch(first.epoch),
            Some(manifest) => Image::load(self.store.as_ref(), manifest)?,
            None => Image::scratch(self.first_epoch - 1),
        };
        for t in self.last.iter().flat_map(|m| &m.transforms) {
            let node = graph.nodes.iter().find(|n| n.label == t.label);
            if node.is_some_and(|n| n.node.state().map(|s| s.means) != t.means) {
                // It means something else now, and there was nothing left in it.
                image.forget(&t.label);
            }
        }
        let writer = Writer::new(self.store, self.origin, graph, self.last);
        Ok(Loaded { image, writer, status: self.status })
    }
}

/// What a job begins with.
pub(crate) struct Loaded {
    pub(crate) image: Image,
    pub(crate) writer: Writer,
    pub(crate) status: Arc<Status>,
}

/// The last checkpoint, for those who look.
#[derive(Debug, Default)]
pub struct Status(Mutex<StatusView>);

/// The last checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusView {
    /// Its epoch; 0 if there is none.
    pub epoch: u64,
    /// When it was complete, in processing time.
    pub at: Option<EventTime>,
    /// Bytes it took, without those of earlier ones that it builds on.
    pub bytes: u64,
    /// From the first barrier until it was safe, in microseconds.
    pub took_micros: i64,
    /// Checkpoints written by this run.
    pub written: u64,
    /// Bytes of all of them.
    pub bytes_written: u64,
}

impl Status {
    /// How things stand.
    pub fn view(&self) -> StatusView {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, view: StatusView) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    pub(crate) fn wrote(&self, epoch: u64, at: EventTime, bytes: u64, took_micros: i64) {
        let before = self.view();
        let (written, bytes_written) = (before.written + 1, before.bytes_written + bytes);
        let at = Some(at);
        self.put(StatusView { epoch, at, bytes, took_micros, written, bytes_written });
    }
}
