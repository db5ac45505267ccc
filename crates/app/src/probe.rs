//! What binding may see of this machine: its files, and its Python.

use bytes::Bytes;
use purlin_api::{Error, ErrorKind, FileInfo, Interpreter, Probe, Result};
use purlin_connectors::LocalProbe;
use purlin_pyworker::Python;
use std::sync::{Arc, OnceLock};

/// Local files, and the interpreter that is asked for once, when code first needs it.
#[derive(Debug, Default)]
pub struct MachineProbe {
    files: LocalProbe,
    python: OnceLock<std::result::Result<Arc<Python>, (ErrorKind, String)>>,
}

impl Probe for MachineProbe {
    fn glob(&self, pattern: &str) -> Result<Vec<FileInfo>> {
        self.files.glob(pattern)
    }

    fn head(&self, path: &str, bytes_max: usize) -> Result<Bytes> {
        self.files.head(path, bytes_max)
    }

    fn is_stream(&self, path: &str) -> bool {
        self.files.is_stream(path)
    }

    fn tail(&self, path: &str, bytes_max: usize) -> Result<Bytes> {
        self.files.tail(path, bytes_max)
    }

    fn text(&self, path: &str) -> Result<String> {
        self.files.text(path)
    }

    fn can_create(&self, path: &str) -> Result<()> {
        self.files.can_create(path)
    }

    fn python(&self) -> Result<Arc<dyn Interpreter>> {
        let find = || Python::find().map(Arc::new).map_err(|e| (e.kind(), e.message().to_owned()));
        match self.python.get_or_init(find) {
            Ok(python) => Ok(python.clone()),
            Err((kind, text)) => Err(Error::new(*kind, text.clone())),
        }
    }
}
