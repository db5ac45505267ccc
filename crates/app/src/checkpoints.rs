//! Where the checkpoints of a pipeline are on this machine.

use purlin_api::Result;
use purlin_engine::checkpoint::{CheckpointStore, Checkpoints, Folder, From};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of all pipelines' checkpoints, below the data folder.
pub const FOLDER: &str = "checkpoints";
/// The data folder, below the folder that a pipeline is started in.
pub const DATA: &str = ".purlin";

/// The checkpoints that a job is to have.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// Their folder: one for each pipeline.
    pub folder: PathBuf,
    /// Where the job begins.
    pub from: From,
}

impl CheckpointOptions {
    /// Those of a pipeline in a data folder.
    pub fn of_pipeline(data: &Path, pipeline: &str) -> Self {
        CheckpointOptions { folder: data.join(FOLDER).join(pipeline), from: From::default() }
    }

    /// Opens them for a job, for this process alone.
    ///
    /// # Errors
    /// If another process uses them, or they cannot be read.
    pub fn open(&self, pipeline: &str) -> Result<Checkpoints> {
        let store: Arc<dyn CheckpointStore> = Arc::new(Folder::open(&self.folder)?);
        Checkpoints::open(store, pipeline, self.from, &new_lineage())
    }

    /// Looks at them; a job may be using them. `None` if there is no such folder.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn look(&self, pipeline: &str) -> Result<Option<Checkpoints>> {
        if !self.folder.is_dir() {
            return Ok(None);
        }
        let store: Arc<dyn CheckpointStore> = Arc::new(Folder::look(&self.folder));
        Checkpoints::open(store, pipeline, From::Checkpoint, "").map(Some)
    }
}

/// Like no other: the hasher's keys are random.
fn new_lineage() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}
