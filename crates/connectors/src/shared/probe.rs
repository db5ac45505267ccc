//! What binding may see of the local disk.

use super::{compression, path};
use bytes::Bytes;
use purlin_api::transform::Probe;
use purlin_api::{Error, ErrorKind, FileInfo, Result};
use std::io::{Read, Seek, SeekFrom};

/// Longest text that [`Probe::text`] reads, in bytes.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// Local files: paths and patterns, plain or with `file://`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalProbe;

impl Probe for LocalProbe {
    fn glob(&self, pattern: &str) -> Result<Vec<FileInfo>> {
        path::find(pattern)
    }

    fn head(&self, address: &str, bytes_max: usize) -> Result<Bytes> {
        let local = path::local(address)?;
        let (reader, compression) = compression::open(local)?;
        let mut head = Vec::new();
        reader
            .take(bytes_max as u64)
            .read_to_end(&mut head)
            .map_err(|e| compression::failed(local, compression, e))?;
        Ok(head.into())
    }

    fn is_stream(&self, address: &str) -> bool {
        path::local(address).is_ok_and(path::is_stream)
    }

    fn tail(&self, address: &str, bytes_max: usize) -> Result<Bytes> {
        let local = path::local(address)?;
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(local)?;
            let from = file.metadata()?.len().saturating_sub(bytes_max as u64);
            file.seek(SeekFrom::Start(from))?;
            let mut tail = Vec::new();
            file.take(bytes_max as u64).read_to_end(&mut tail)?;
            Ok(tail)
        };
        read().map(Bytes::from).map_err(|e| Error::io("read", local, e))
    }

    fn text(&self, address: &str) -> Result<String> {
        let local = path::local(address)?;
        let file = std::fs::File::open(local).map_err(|e| Error::io("open", local, e))?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", local, e))?;
        if bytes.len() as u64 > TEXT_BYTES_MAX {
            let what = format!("`{local}` is longer than {} MiB", TEXT_BYTES_MAX >> 20);
            return Err(Error::new(ErrorKind::Exhausted, what));
        }
        String::from_utf8(bytes).map_err(|e| Error::data(format!("`{local}` is not UTF-8 text")).caused_by(e))
    }

    fn can_create(&self, address: &str) -> Result<()> {
        path::can_create(address)
    }
}
