//! A bounded number of open files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, StoreError, StoreOptions};

#[derive(Debug, Default)]
struct Open {
    files: HashMap<String, (Arc<dyn DiskFile>, u64)>,
    uses: u64,
}

/// Opens files and keeps those used last open.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    /// See [`super::StoreOptions::index_bytes`].
    pub(crate) index_bytes: u64,
    files_max: usize,
    open: Mutex<Open>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: &StoreOptions) -> Self {
        let StoreOptions { index_bytes, files_max, .. } = *options;
        Self { disk, index_bytes, files_max: files_max.max(4), open: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file at `path`, which must exist unless `create`.
    pub(crate) fn get(&self, path: &str, create: bool) -> Result<Arc<dyn DiskFile>, StoreError> {
        {
            let mut open = self.open();
            open.uses += 1;
            let now = open.uses;
            if let Some((file, used)) = open.files.get_mut(path) {
                *used = now;
                return Ok(file.clone());
            }
        }
        let file = self.disk.open(path, create).map_err(|e| self.error("open", path, e))?;
        let mut open = self.open();
        let now = open.uses;
        if open.files.len() >= self.files_max {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.and_then(|path| open.files.remove(&path));
        }
        open.files.insert(path.to_owned(), (file.clone(), now));
        Ok(file)
    }

    /// Forgets `path` and, if it is a folder, all in it.
    pub(crate) fn forget(&self, path: &str) {
        let inside =
            |p: &str| p.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.open().files.retain(|p, _| !inside(p));
    }

    /// An error that shows the whole path.
    pub(crate) fn error(&self, what: &'static str, path: &str, source: std::io::Error) -> StoreError {
        StoreError::io(what, self.disk.show(path), source)
    }

    /// Makes the names in `folder` durable.
    pub(crate) fn sync_folder(&self, folder: &str) -> Result<(), StoreError> {
        self.disk.sync_folder(folder).map_err(|e| self.error("sync", folder, e))
    }

    /// Removes a file. It may be gone already.
    pub(crate) fn remove(&self, path: &str) -> Result<(), StoreError> {
        self.forget(path);
        match self.disk.remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(self.error("remove", path, e)),
            _ => Ok(()),
        }
    }
}
