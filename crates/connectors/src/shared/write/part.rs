//! One file that is being written under a temporary name.

use crate::shared::compression::{Compression, Compressor};
use crate::shared::path::split;
use purlin_api::{Error, Result};
use std::fs::{File, OpenOptions};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers temporary files, so that two writers in one process never share one.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that is being written.
pub(super) struct Part {
    /// Its path while it is not complete.
    pub(super) temporary: String,
    compression: Compression,
    open: Option<Compressor>,
    /// Whether the file exists.
    made: bool,
    /// Encoded and not yet written.
    pub(super) buffer: Vec<u8>,
    /// Rows so far.
    pub(super) rows: u64,
    /// Bytes of the file when the last epoch was prepared; what lies behind is not safe yet.
    pub(super) safe_bytes: u64,
    /// The epoch of its first row.
    pub(super) since: u64,
    /// When it was last written to.
    pub(super) used: u64,
}

impl Part {
    /// A file that will get a name like `like`.
    pub(super) fn new(like: &str, compression: Compression) -> Self {
        Part::at(temporary_name(like), compression)
    }

    fn at(temporary: String, compression: Compression) -> Self {
        Part {
            temporary,
            compression,
            open: None,
            made: false,
            buffer: Vec::new(),
            rows: 0,
            safe_bytes: 0,
            since: 0,
            used: 0,
        }
    }

    /// Goes on with a file that a run before this one left, as it was at a checkpoint.
    pub(super) fn adopt(temporary: String, compression: Compression, bytes: u64, rows: u64) -> Result<Self> {
        let cut = || -> std::io::Result<()> {
            let file = OpenOptions::new().write(true).open(&temporary)?;
            file.set_len(bytes)?;
            file.sync_all()
        };
        cut().map_err(|e| Error::io("go on writing", &temporary, e))?;
        let mut part = Part::at(temporary, compression);
        (part.made, part.rows, part.safe_bytes) = (true, rows, bytes);
        Ok(part)
    }

    /// True if it holds a file handle.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() && self.made {
            return Ok(());
        }
        let out = match self.open.take() {
            Some(out) => out,
            None => Compressor::new(self.handle()?, self.compression),
        };
        let out = self.open.insert(out);
        out.write(&self.buffer).map_err(|e| Error::io("write", &self.temporary, e))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is buffered and gives the file handle back.
    pub(super) fn close(&mut self) -> Result<()> {
        self.flush()?;
        if let Some(out) = self.open.take() {
            out.finish().map_err(|e| Error::io("write", &self.temporary, e))?;
        }
        Ok(())
    }

    /// Closes it and makes it survive a loss of power; returns its length.
    pub(super) fn seal(&mut self) -> Result<u64> {
        self.flush()?;
        let io = |e| Error::io("write", &self.temporary, e);
        let file = match self.open.take() {
            Some(out) => out.finish().map_err(io)?,
            None => OpenOptions::new().append(true).open(&self.temporary).map_err(io)?,
        };
        file.sync_all().map_err(io)?;
        Ok(file.metadata().map_err(io)?.len())
    }

    /// Takes away what is not part of a committed epoch. This is called when a run failed already: a
    /// failure here leaves a hidden file behind and nothing worse.
    pub(super) fn abandon(&mut self) {
        self.open = None;
        self.buffer.clear();
        if !self.made {
            return;
        }
        let left = if self.safe_bytes == 0 {
            std::fs::remove_file(&self.temporary)
        } else {
            OpenOptions::new().write(true).open(&self.temporary).and_then(|f| f.set_len(self.safe_bytes))
        };
        drop(left);
        self.made = false;
    }

    fn handle(&mut self) -> Result<File> {
        let io = |e| Error::io("create", &self.temporary, e);
        if self.made {
            return OpenOptions::new().append(true).open(&self.temporary).map_err(io);
        }
        let file = create(&self.temporary);
        self.made = true;
        file
    }
}

/// A hidden name beside `like` that no other writer has.
pub(super) fn temporary_name(like: &str) -> String {
    let (folder, name) = split(like);
    let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{folder}.{name}.tmp-{pid}-{n}")
}

/// Makes an empty file, and the folders it lies in.
pub(super) fn create(temporary: &str) -> Result<File> {
    let (folder, _) = split(temporary);
    if !folder.is_empty() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create the folder", folder, e))?;
    }
    let file = match OpenOptions::new().create_new(true).append(true).open(temporary) {
        // Left by a process of the same number that was killed.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            OpenOptions::new().write(true).truncate(true).open(temporary)
        }
        other => other,
    };
    file.map_err(|e| Error::io("create", temporary, e))
}

/// Gives a complete file its name. Doing it again changes nothing.
pub(super) fn publish(temporary: &str, path: &str) -> Result<()> {
    match std::fs::rename(temporary, path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && std::fs::exists(path).unwrap_or(false) => {
            Ok(())
        }
        other => other.map_err(|e| Error::io("create", path, e)),
    }
}

/// Makes names in a folder survive a loss of power.
pub(super) fn sync_folder_of(path: &str) -> Result<()> {
    let (folder, _) = split(path);
    let folder = if folder.is_empty() { "." } else { folder };
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync the folder", folder, e))
}
