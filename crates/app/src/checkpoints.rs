//! Where the checkpoints of a pipeline are.

#[cfg(feature = "cloud")]
mod bucket;

use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::checkpoint::{CheckpointStore, Checkpoints, Folder, From, StatusView};
use purlin_engine::clock::{Clock, SystemClock};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The folder of all pipelines' checkpoints, below the data folder.
const FOLDER: &str = "checkpoints";
/// The data folder, below the folder that a pipeline is started in.
pub const DATA: &str = ".purlin";

/// How URLs of object stores begin.
const SCHEMES: &[&str] = &["s3", "s3a", "gs", "az", "abfs", "abfss"];

/// Where checkpoints are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In an object store: `s3://BUCKET/PREFIX`, `gs://…`, `az://…`.
    Bucket(String),
}

impl Place {
    /// Where all pipelines' checkpoints are unless told otherwise: in the data folder.
    pub fn in_data(data: &Path) -> Self {
        Place::Folder(data.join(FOLDER))
    }

    /// A place in this one, by name.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Place::Folder(path) => Place::Folder(path.join(name)),
            Place::Bucket(url) => Place::Bucket(format!("{}/{name}", url.trim_end_matches('/'))),
        }
    }

    /// Opens it for this process alone. In an object store, where nothing can be locked, another process is found out
    /// when it writes.
    pub(crate) fn open(&self) -> Result<Arc<dyn CheckpointStore>> {
        match self {
            Place::Folder(path) => Ok(Arc::new(Folder::open(path)?)),
            Place::Bucket(url) => bucket(url),
        }
    }

    /// Opens it to be read only. `None` if there is no such folder.
    fn look(&self) -> Result<Option<Arc<dyn CheckpointStore>>> {
        match self {
            Place::Folder(path) if !path.is_dir() => Ok(None),
            Place::Folder(path) => Ok(Some(Arc::new(Folder::look(path)))),
            Place::Bucket(url) => bucket(url).map(Some),
        }
    }
}

#[cfg(feature = "cloud")]
fn bucket(url: &str) -> Result<Arc<dyn CheckpointStore>> {
    Ok(Arc::new(bucket::Bucket::open(url)?))
}

#[cfg(not(feature = "cloud"))]
fn bucket(url: &str) -> Result<Arc<dyn CheckpointStore>> {
    let text = format!(
        "this purlin was built without `cloud`, and cannot keep checkpoints in `{url}`: name a folder"
    );
    Err(Error::new(ErrorKind::Config, text))
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            let text = format!(
                "no checkpoints can be kept in `{text}`: {why}; write a folder, or `s3://BUCKET/PREFIX`, `gs://…` or `az://…`"
            );
            Err(Error::new(ErrorKind::Config, text))
        };
        match text.split_once("://") {
            None if text.is_empty() => {
                Err(Error::new(ErrorKind::Config, "no place for checkpoints is named"))
            }
            // A folder of that name would be made, and nobody would look there.
            None if is_url_without_slashes(text) => {
                refused("it looks like a URL and is none (`./NAME:…` is a folder)")
            }
            None => Ok(Place::Folder(text.into())),
            Some(("file", path)) => Ok(Place::Folder(path.into())),
            Some((scheme, _)) if !SCHEMES.contains(&scheme) => {
                refused(&format!("there is no `{scheme}://` here"))
            }
            Some(_) => {
                // What is wrong with it is told now, not when a pipeline starts.
                bucket(text)?;
                Ok(Place::Bucket(text.to_owned()))
            }
        }
    }
}

/// True for `s3:/bucket` and `s3:bucket`.
fn is_url_without_slashes(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Folder(path) => write!(f, "{}", path.display()),
            Place::Bucket(url) => f.write_str(url),
        }
    }
}

/// The checkpoints that a job is to have.
#[derive(Clone, Debug)]
pub struct CheckpointOptions {
    /// Where they are: every pipeline has a place of its own.
    pub place: Place,
    /// Where the job begins.
    pub from: From,
}

impl CheckpointOptions {
    /// Those of a pipeline among others.
    pub fn of_pipeline(all: &Place, pipeline: &str) -> Self {
        CheckpointOptions { place: all.join(pipeline), from: From::default() }
    }

    /// Opens them for a job, for this process alone. A pipeline that begins has one after this.
    ///
    /// # Errors
    /// If another process uses them, or they cannot be read or written.
    pub fn open(&self, pipeline: &str) -> Result<Checkpoints> {
        let mut checkpoints = Checkpoints::open(self.place.open()?, pipeline, self.from, &unlike_others())?;
        checkpoints.begin(SystemClock.now())?;
        Ok(checkpoints)
    }

    /// Where a job with them begins, for people; `status` is how they stand at its start.
    pub fn beginning(&self, status: StatusView) -> String {
        match status.at {
            Some(at) => format!("goes on from checkpoint {} of {at} in {}", status.epoch, self.place),
            None => format!("begins from scratch; checkpoints are kept in {}", self.place),
        }
    }

    /// Looks at them; a job may be using them. `None` if there is no such folder.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn look(&self, pipeline: &str) -> Result<Option<Checkpoints>> {
        let store = self.place.look()?;
        store.map(|s| Checkpoints::open(s, pipeline, From::Checkpoint, "")).transpose()
    }
}

/// Like no other: the hasher's keys are random.
pub(crate) fn unlike_others() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_do_not_become_folders() {
        for (text, says) in [
            ("s3:/bucket/x", "looks like a URL and is none"),
            ("gs:bucket", "looks like a URL and is none"),
            ("gcs://bucket/x", "there is no `gcs://` here; write a folder, or `s3://"),
            ("https://example.org/x", "there is no `https://` here"),
            ("", "no place for checkpoints is named"),
        ] {
            let e = text.parse::<Place>().unwrap_err();
            assert!(e.message().contains(says), "{text}: {e}");
        }
        for folder in ["state", "./s3:x", "a:b/c", "/var/lib/purlin"] {
            assert_eq!(folder.parse::<Place>().unwrap(), Place::Folder(folder.into()));
        }
        assert_eq!("file:///var/x".parse::<Place>().unwrap(), Place::Folder("/var/x".into()));
    }
}
