//! Writing rows to standard output or standard error: `path: /dev/stdout`.

use super::write::Encoder;
use purlin_api::source::BoxFuture;
use purlin_api::{Batch, Error, Result, Sink};
use std::io::Write;
use std::sync::Arc;

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Console {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Console {
    /// The stream that a path means, if it means one.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/dev/stdout" => Some(Console::Out),
            "/dev/stderr" => Some(Console::Err),
            _ => None,
        }
    }
}

/// Prints rows as they come. What is printed cannot be taken back: after a failure or a restart rows may be
/// printed again.
pub(crate) struct ConsoleSink {
    console: Console,
    encoder: Arc<dyn Encoder>,
    begun: bool,
    text: Vec<u8>,
}

impl ConsoleSink {
    pub(crate) fn new(console: Console, encoder: Arc<dyn Encoder>) -> Self {
        ConsoleSink { console, encoder, begun: false, text: Vec::new() }
    }

    fn print(&mut self, batch: &Batch) -> Result<()> {
        self.text.clear();
        if !self.begun {
            self.encoder.prologue(&batch.schema(), &mut self.text);
        }
        let mut rows = self.encoder.rows(&batch.rows);
        for row in 0..batch.len() {
            rows.write(row, !self.begun, &mut self.text)?;
            self.begun = true;
        }
        drop(rows);
        self.put()
    }

    fn put(&mut self) -> Result<()> {
        let text = &self.text;
        let (name, put) = match self.console {
            Console::Out => {
                let mut out = std::io::stdout().lock();
                ("standard output", out.write_all(text).and_then(|()| out.flush()))
            }
            Console::Err => ("standard error", std::io::stderr().lock().write_all(text)),
        };
        put.map_err(|e| Error::io("write to", name, e))
    }
}

impl Sink for ConsoleSink {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.print(&batch) })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.text.clear();
            if self.begun {
                self.encoder.epilogue(&mut self.text);
            }
            self.put()
        })
    }

    fn abort(&mut self) {}
}
