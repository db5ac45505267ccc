//! One file that is being written under a temporary name.

use super::shelf::Written;
use super::temporary::{Owner, cut, remove};
use crate::shared::compression::{Compression, Compressor};
use purlin_api::{Error, Result};
use std::fs::{File, OpenOptions};

/// A file that is being written.
pub(super) struct Part {
    /// Its path while it is not complete; empty until it is made.
    pub(super) temporary: String,
    /// What it is called like.
    like: String,
    compression: Compression,
    open: Option<Compressor>,
    /// Encoded and not yet written.
    pub(super) buffer: Vec<u8>,
    /// Rows so far.
    pub(super) rows: u64,
    /// Its length when it was last made safe, if nothing was written since.
    sealed: Option<u64>,
    /// Its length at the last checkpoint.
    safe: Option<u64>,
    /// The epoch of its first row.
    pub(super) since: u64,
    /// When it was last written to.
    pub(super) used: u64,
}

impl Part {
    /// A file that will get a name like `like`.
    pub(super) fn new(like: String, compression: Compression) -> Self {
        Part {
            temporary: String::new(),
            like,
            compression,
            open: None,
            buffer: Vec::new(),
            rows: 0,
            sealed: None,
            safe: None,
            since: 0,
            used: 0,
        }
    }

    /// Goes on with a file that another process left, as it was at a checkpoint.
    pub(super) fn adopt(file: Written, compression: Compression) -> Result<Self> {
        let Written { temporary, bytes, rows, since, .. } = file;
        cut(&temporary, bytes)?;
        let (sealed, safe) = (Some(bytes), Some(bytes));
        Ok(Part { temporary, rows, since, sealed, safe, ..Part::new(String::new(), compression) })
    }

    /// True if it holds a file handle.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self, owner: &Owner) -> Result<()> {
        if self.buffer.is_empty() && !self.temporary.is_empty() {
            return Ok(());
        }
        self.sealed = None;
        let out = match self.open.take() {
            Some(out) => out,
            None => Compressor::new(self.handle(owner)?, self.compression),
        };
        let out = self.open.insert(out);
        out.write(&self.buffer).map_err(|e| Error::io("write", &self.temporary, e))?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes what is buffered and gives the file handle back.
    pub(super) fn close(&mut self, owner: &Owner) -> Result<()> {
        self.flush(owner)?;
        if let Some(out) = self.open.take() {
            out.finish().map_err(|e| Error::io("write", &self.temporary, e))?;
        }
        Ok(())
    }

    /// Closes it and makes it survive a loss of power; returns its length. What is compressed ends there, so that more
    /// may follow.
    pub(super) fn seal(&mut self, owner: &Owner) -> Result<u64> {
        self.flush(owner)?;
        if let Some(bytes) = self.sealed {
            return Ok(bytes);
        }
        let io = |e| Error::io("write", &self.temporary, e);
        let file = match self.open.take() {
            Some(out) => out.finish().map_err(io)?,
            None => OpenOptions::new().append(true).open(&self.temporary).map_err(io)?,
        };
        file.sync_all().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        self.sealed = Some(bytes);
        Ok(bytes)
    }

    /// A checkpoint relies on what was sealed.
    pub(super) fn keep(&mut self) {
        self.safe = self.sealed;
    }

    /// Takes away what no checkpoint relies on. This is called when a run failed already: a failure here leaves a hidden
    /// file, or the end of one, and nothing worse.
    pub(super) fn abandon(&mut self) {
        self.open = None;
        self.buffer.clear();
        if !self.temporary.is_empty() {
            drop(self.safe.map_or_else(|| remove(&self.temporary), |bytes| cut(&self.temporary, bytes)));
        }
    }

    fn handle(&mut self, owner: &Owner) -> Result<File> {
        if self.temporary.is_empty() {
            let (temporary, file) = owner.create(&self.like)?;
            self.temporary = temporary;
            return Ok(file);
        }
        OpenOptions::new()
            .append(true)
            .open(&self.temporary)
            .map_err(|e| Error::io("create", &self.temporary, e))
    }
}
