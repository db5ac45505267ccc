//! Whether files have changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How some files were when they were last looked at.
#[derive(Debug, Default)]
pub(crate) struct Files {
    seen: BTreeMap<PathBuf, Seen>,
}

/// A file's look; `None` for what could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    stamp: Option<(SystemTime, u64)>,
    hash: Option<u64>,
}

impl Files {
    /// Watches these from now on.
    pub(crate) fn watch(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Files { seen: paths.into_iter().map(|p| (p.clone(), look(&p))).collect() }
    }

    /// Watches these instead; what was watched before keeps its last look.
    pub(crate) fn follow(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let mut before = std::mem::take(&mut self.seen);
        let keep = |p: PathBuf| {
            let seen = before.remove(&p).unwrap_or_else(|| look(&p));
            (p, seen)
        };
        self.seen = paths.into_iter().map(keep).collect();
    }

    /// True if one has other contents than at the last call.
    pub(crate) fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.seen {
            // Reading is needed only where time or size changed.
            if stamp(path) != seen.stamp {
                let now = look(path);
                changed |= now.hash != seen.hash;
                *seen = now;
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// The stamp is taken before the contents: what changes between them is seen the next time.
fn look(path: &Path) -> Seen {
    let stamp = stamp(path);
    Seen { stamp, hash: std::fs::read(path).ok().map(|bytes| purlin_api::key::hash(&bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_count_not_times() {
        let path = std::env::temp_dir().join(format!("purlin-files-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let mut files = Files::watch([path.clone()]);
        assert!(!files.changed());
        let later = std::fs::metadata(&path).unwrap().modified().unwrap() + std::time::Duration::from_secs(5);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert!(!files.changed(), "touched only");
        std::fs::write(&path, "bc").unwrap();
        assert!(files.changed() && !files.changed());
        std::fs::remove_file(&path).unwrap();
        assert!(files.changed() && !files.changed());
        std::fs::write(&path, "bc").unwrap();
        assert!(files.changed());
        std::fs::remove_file(&path).unwrap();
    }
}
