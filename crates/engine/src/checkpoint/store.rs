//! Where checkpoints are: named objects that appear whole.

mod contract;

use bytes::Bytes;
pub use contract::try_store;
use purlin_api::{Error, Result};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A store of objects.
///
/// **Constraints.** An object is visible under its name only once all of it is safe from a crash of the machine, and
/// never changes then: of two processes that write one name, one is refused. What was written or deleted before a list
/// is asked for is in it, or not. Calls may wait for a disk or a network: they are made on threads where that is
/// allowed. [`try_store`] tries an implementation.
pub trait CheckpointStore: Send + Sync + std::fmt::Debug {
    /// Writes an object: all of the parts, one after the other.
    ///
    /// # Errors
    /// `Conflict` if there is another object of that name; else if it could not be made safe.
    fn put(&self, name: &str, parts: &[Bytes]) -> Result<()>;

    /// The names of all objects and their sizes in bytes, sorted.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn list(&self) -> Result<Vec<(String, u64)>>;

    /// Some bytes of an object; fewer only if it is shorter.
    ///
    /// # Errors
    /// If there is no such object, or it cannot be read.
    fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes>;

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// If it is still there.
    fn delete(&self, name: &str) -> Result<()>;

    /// Where it is, for people.
    fn place(&self) -> String;
}

/// For a name that another process has given to an object.
pub fn taken(name: &str, store: &dyn CheckpointStore) -> Error {
    let text = format!(
        "another process has written `{name}` in `{}`: this pipeline runs elsewhere, too. Stop one of them, or give this \
         one another place with `--checkpoints`",
        store.place()
    );
    Error::new(purlin_api::ErrorKind::Conflict, text)
}

/// A folder of a file system. What is being written has a name that ends in `.part`.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held for as long as this is in use: two writers would take each other's checkpoints away.
    _lock: Option<File>,
}

impl Folder {
    /// Opens a folder, which is made if need be, for this process alone.
    ///
    /// # Errors
    /// If the folder cannot be used, or another process uses it.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e, what: &str| Error::io(what, &path.display().to_string(), e);
        fs::create_dir_all(path).map_err(|e| io(e, "make the folder of checkpoints"))?;
        let lock = path.join("lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&lock);
        let file = file.map_err(|e| io(e, "open the lock in"))?;
        if let Err(e) = file.try_lock() {
            return Err(match e {
                fs::TryLockError::WouldBlock => Error::new(
                    purlin_api::ErrorKind::Conflict,
                    format!(
                        "the checkpoints in `{}` are in use by another process: this pipeline is running already; stop \
                     it, or give this one a folder of its own with `--checkpoints FOLDER`",
                        path.display()
                    ),
                ),
                fs::TryLockError::Error(e) => io(e, "lock"),
            });
        }
        let folder = Folder { path: path.to_owned(), _lock: Some(file) };
        for entry in fs::read_dir(path).map_err(|e| io(e, "list"))? {
            let entry = entry.map_err(|e| io(e, "list"))?;
            if entry.file_name().to_string_lossy().ends_with(".part") {
                // Left by a process that was killed while it wrote.
                fs::remove_file(entry.path()).map_err(|e| io(e, "clear"))?;
            }
        }
        Ok(folder)
    }

    /// A folder that another process may be using: to be read only.
    pub fn look(path: &Path) -> Self {
        Folder { path: path.to_owned(), _lock: None }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl CheckpointStore for Folder {
    fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
        // Only this process writes here: it holds the lock.
        if self.at(name).exists() {
            return Err(taken(name, self));
        }
        let part = self.at(&format!("{name}.part"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&part)?;
            for bytes in parts {
                file.write_all(bytes)?;
            }
            file.sync_all()?;
            fs::rename(&part, self.at(name))?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| {
            // It is of no use to anybody; if it cannot go now, it goes when the folder is opened next.
            let _gone = fs::remove_file(&part);
            Error::io("write the checkpoint", &self.at(name).display().to_string(), e)
        })
    }

    fn list(&self) -> Result<Vec<(String, u64)>> {
        let io = |e| Error::io("list the checkpoints in", &self.path.display().to_string(), e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let meta = match entry.metadata() {
                // Whoever writes here gave it its name, or deleted it, meanwhile.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other.map_err(io)?,
            };
            if let (true, Ok(name)) = (meta.is_file(), entry.file_name().into_string()) {
                names.push((name, meta.len()));
            }
        }
        names.sort();
        Ok(names)
    }

    fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(self.at(name))?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read()
            .map(Bytes::from)
            .map_err(|e| Error::io("read the checkpoint", &self.at(name).display().to_string(), e))
    }

    fn delete(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.at(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::io("delete the checkpoint", &self.at(name).display().to_string(), e))
            }
            _ => Ok(()),
        }
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Objects in memory, for tests.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckpointStore for Memory {
    fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
        let whole: Vec<u8> = parts.iter().flatten().copied().collect();
        match self.objects().entry(name.to_owned()) {
            Entry::Occupied(_) => return Err(taken(name, self)),
            Entry::Vacant(free) => free.insert(whole.into()),
        };
        Ok(())
    }

    fn list(&self) -> Result<Vec<(String, u64)>> {
        Ok(self.objects().iter().map(|(n, b)| (n.clone(), b.len() as u64)).collect())
    }

    fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let objects = self.objects();
        let missing = || Error::io("read the checkpoint", name, ErrorKind::NotFound.into());
        let bytes = objects.get(name).ok_or_else(missing)?;
        let end = (range.end as usize).min(bytes.len());
        Ok(bytes.slice((range.start as usize).min(end)..end))
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_keeps_the_contract() {
        try_store(&Memory::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x.part"), "half").unwrap();
        try_store(&Folder::open(&folder.path().join("deep/er")).unwrap()).unwrap();
        let _clears = Folder::open(folder.path()).unwrap();
        assert!(!folder.path().join("x.part").exists());
    }

    #[test]
    fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let first = Folder::open(folder.path()).unwrap();
        let e = Folder::open(folder.path()).unwrap_err();
        assert!(e.message().contains("in use by another process"), "{e}");
        drop(first);
        Folder::open(folder.path()).unwrap();
    }
}
