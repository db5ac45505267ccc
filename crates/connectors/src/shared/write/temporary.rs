//! Files that are not shown yet: what they are called, and how they get their names.

use crate::shared::path::split;
use purlin_api::transform::BuildCx;
use purlin_api::{Error, Result, key};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers temporary files, so that two writers in one process seldom try the same.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Tells this process from those before it. A commit that is done again finds a file by its temporary name: no other file may
/// ever have had that.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

/// Whose temporary files they are: it stands in their names.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    tag: String,
    /// Whether they are the same writer's in every process.
    lasts: bool,
    /// Whether another process may go on with them.
    pub(super) goes_on: bool,
}

impl Owner {
    /// A writer of files whose names begin with `prefix`.
    pub(super) fn of(cx: &BuildCx, prefix: &str) -> Self {
        let job = &cx.environment;
        if job.lineage.is_empty() {
            return Owner { tag: std::process::id().to_string(), lasts: false, goes_on: false };
        }
        let who = [job.pipeline.as_str(), &job.lineage, &cx.label, prefix].join("\0");
        // A replay is completed or done again from its beginning.
        Owner { tag: format!("{:016x}", key::hash(who.as_bytes())), lasts: true, goes_on: !job.is_replay }
    }

    /// Makes an empty file with a hidden name beside `like`, and the folders it lies in.
    pub(super) fn create(&self, like: &str) -> Result<(String, File)> {
        let (folder, name) = split(like);
        if !folder.is_empty() {
            self.make_folder(folder)?;
        }
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = format!("{folder}.{name}.tmp-{}-{:016x}-{n}", self.tag, *PROCESS);
            match OpenOptions::new().create_new(true).append(true).open(&path) {
                // Somebody's else, however unlikely.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                other => {
                    return other.map(|file| (path.clone(), file)).map_err(|e| Error::io("create", &path, e));
                }
            }
        }
    }

    /// Makes a folder and those it lies in; who relies on a file after a loss of power relies on them too.
    fn make_folder(&self, folder: &str) -> Result<()> {
        let missing = |at: &&Path| self.lasts && !at.as_os_str().is_empty() && !at.exists();
        let missing: Vec<&Path> = Path::new(folder).ancestors().take_while(missing).collect();
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
        let outer = missing.iter().filter_map(|made| made.to_str());
        outer.map(|made| made.trim_end_matches('/')).try_for_each(sync_folder_of)
    }

    /// Takes away what this writer left in earlier processes beside `prefix`, but for what is to be kept.
    pub(super) fn clean(&self, prefix: &str, keep: &BTreeSet<&str>) -> Result<()> {
        if !self.lasts {
            return Ok(());
        }
        let (folder, name) = split(prefix);
        let (begin, mark) = (format!(".{name}"), format!(".tmp-{}-", self.tag));
        let listed = match std::fs::read_dir(if folder.is_empty() { "." } else { folder }) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| Error::io("read the folder", folder, e))?,
        };
        for entry in listed {
            let entry = entry.map_err(|e| Error::io("read the folder", folder, e))?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            let path = format!("{folder}{file}");
            if file.starts_with(&begin) && file.contains(&mark) && !keep.contains(path.as_str()) {
                remove(&path)?;
            }
        }
        Ok(())
    }
}

/// Takes a file away, if it is there.
pub(super) fn remove(path: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| Error::io("remove", path, e)),
    }
}

/// Makes a file end where it ended at a checkpoint.
pub(super) fn cut(path: &str, bytes: u64) -> Result<()> {
    let io = |e| Error::io("go on writing", path, e);
    let file = match OpenOptions::new().write(true).open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(meddled(format!(
                "a checkpoint relies on `{path}`, a file that is not complete yet, and it is gone: put it back; without it its \
                 rows are lost, and the pipeline can only start with `--from scratch`"
            )));
        }
        other => other.map_err(io)?,
    };
    let found = file.metadata().map_err(io)?.len();
    if found < bytes {
        return Err(changed(path, found, bytes));
    }
    if found > bytes {
        file.set_len(bytes).map_err(io)?;
        file.sync_all().map_err(io)?;
    }
    Ok(())
}

/// Somebody else did something to our files.
fn meddled(text: String) -> Error {
    Error::new(purlin_api::ErrorKind::Conflict, text)
}

fn changed(path: &str, found: u64, bytes: u64) -> Error {
    meddled(format!(
        "`{path}` has {found} bytes, but a checkpoint relies on {bytes}: another program has changed it; put back \
         what it was, or start with `--from scratch`"
    ))
}

/// Gives a complete file its name, in place of another file if `over`. Doing it again changes nothing; true if this was
/// the first time.
pub(super) fn publish(temporary: &str, path: &str, bytes: u64, over: bool) -> Result<bool> {
    let found = match std::fs::metadata(temporary) {
        Ok(found) => found.len(),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if exists(path)? {
                return Ok(false);
            }
            return Err(meddled(format!(
                "a checkpoint relies on `{temporary}`, which was to become `{path}`, and neither is there; if `{path}` was taken away after it had appeared, make an empty file of that name and start again"
            )));
        }
        Err(e) => return Err(Error::io("create", path, e)),
    };
    if found != bytes {
        return Err(changed(temporary, found, bytes));
    }
    if !over && exists(path)? {
        return Err(meddled(format!(
            "another program has made `{path}`, the name that a complete file (now `{temporary}`) was to get; move it away and start again"
        )));
    }
    rename(temporary, path)?;
    Ok(true)
}

/// Gives a file its name, in place of another file.
pub(super) fn rename(temporary: &str, path: &str) -> Result<()> {
    std::fs::rename(temporary, path).map_err(|e| Error::io("create", path, e))
}

/// True if there is something of this name.
pub(super) fn exists(path: &str) -> Result<bool> {
    std::fs::exists(path).map_err(|e| Error::io("look for", path, e))
}

/// Makes names in a folder survive a loss of power.
pub(super) fn sync_folder_of(path: &str) -> Result<()> {
    let (folder, _) = split(path);
    let folder = if folder.is_empty() { "." } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync the folder", folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::Environment;

    #[test]
    fn a_writer_cleans_up_after_itself_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = format!("{}/a/b/out", dir.path().display());
        let owner = |label: &str, lineage: &str| {
            let environment = Environment { lineage: lineage.to_owned(), ..Environment::default() };
            let cx = BuildCx { environment: environment.into(), ..BuildCx::one_lane(label, 1) };
            Owner::of(&cx, &prefix)
        };
        let mine = owner("T", "l");
        let made = |owner: &Owner| owner.create(&format!("{prefix}-window")).unwrap().0;
        let (kept, lost) = (made(&mine), made(&mine));
        let others = [owner("U", "l"), owner("T", "m"), owner("T", "")].map(|o| made(&o));
        let bystanders = [prefix.clone(), format!("{prefix}.tmp"), lost.replace("/.out", "/.else")];
        bystanders.iter().for_each(|path| std::fs::write(path, "x").unwrap());
        owner("T", "l").clean(&prefix, &BTreeSet::from([kept.as_str()])).unwrap();
        assert!(!exists(&lost).unwrap(), "{lost}");
        for path in others.iter().chain(&bystanders).chain([&kept]) {
            assert!(exists(path).unwrap(), "{path}");
        }
        owner("T", "").clean(&prefix, &BTreeSet::new()).unwrap();
        owner("T", "l").clean(&format!("{}/none/x", dir.path().display()), &BTreeSet::new()).unwrap();
        assert!(others.iter().all(|path| exists(path).unwrap()));
    }
}
