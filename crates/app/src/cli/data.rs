//! The data folder of commands that look at what pipelines left or do.

use super::output::Output;
use crate::up::project::{DATA, FILE, Project};
use std::path::{Path, PathBuf};

/// The folder that was named, else that of the project in this folder, else `.purlin`.
pub(crate) fn folder(given: Option<&Path>, out: &mut Output) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    if !Path::new(FILE).exists() {
        return PathBuf::from(DATA);
    }
    Project::data_of(FILE).unwrap_or_else(|e| {
        out.note(&format!(
            "warning: {e}: its `data` is not known, and `{DATA}` is taken; name another folder with --data\n"
        ));
        PathBuf::from(DATA)
    })
}

/// `.purlin`, where `purlin run` has its data, if nobody named a folder and the project has another.
pub(crate) fn of_runs(given: Option<&Path>, folder: &Path) -> Option<PathBuf> {
    let runs = Path::new(DATA);
    (given.is_none() && folder != runs && runs.is_dir()).then(|| runs.to_owned())
}
