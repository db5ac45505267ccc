//! Where a job runs: what it is called, and what names outside resolve to.

use std::path::PathBuf;

/// What connectors know of the job they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The pipeline's name, the same in every run of it.
    pub pipeline: String,
    /// The pipeline's file, as it was named when it was started.
    pub file: String,
    /// What tells this run from all others, drawn when it starts.
    pub run: String,
    /// The run is a replay of dead letters, under the name [`Environment::run`]: writers add to what other runs made,
    /// under names that are the same if the replay has to be done again, and letters that fail again are no new ones.
    pub is_replay: bool,
    /// What tells the runs that go on from each other's checkpoints from others: drawn when a pipeline starts from
    /// scratch, and kept in its checkpoints. Empty in jobs without checkpoints.
    pub lineage: String,
    /// Rows that fail may be kept as dead letters: readers say where each row came from.
    pub keeps_letters: bool,
    /// `HOST:PORT` of the Pub/Sub service; `None`: as `PUBSUB_EMULATOR_HOST` says, or Google's.
    pub pubsub: Option<String>,
    /// The project of short names; `None`: as `GOOGLE_CLOUD_PROJECT` says, or the service's default.
    pub project: Option<String>,
    /// What writers promise.
    pub delivery: Delivery,
    /// The data folder (`.purlin`), for what the program keeps beside a pipeline's outputs, such as dead letters.
    pub data: Option<PathBuf>,
}

/// What writers to systems without transactions promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Rows go out when their epoch is committed, each under an id that is the same if it has to be sent again.
    #[default]
    ExactlyOnce,
    /// Rows go out as they come; after a crash some go out again, under other ids.
    AtLeastOnce,
}
