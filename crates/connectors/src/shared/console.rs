//! Writing rows to standard output or standard error: `path: /dev/stdout`.

use super::write::Encoder;
use bytes::Bytes;
use purlin_api::source::BoxFuture;
use purlin_api::transform::{Guarantee, Promise};
use purlin_api::{Batch, Delivery, Environment, Error, Result, Sink};
use serde::{Deserialize, Serialize};
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

/// What it promises.
pub(crate) fn guarantee() -> Guarantee {
    let because =
        "what is printed cannot be taken back: after a crash the rows of one epoch may be printed again";
    Guarantee { promise: Promise::AtLeastOnce, because: because.to_owned() }
}

/// Where a writer's text goes.
pub(crate) trait Screen: Send {
    /// Shows text.
    fn put(&mut self, text: &[u8]) -> Result<()>;
}

impl Screen for Console {
    fn put(&mut self, text: &[u8]) -> Result<()> {
        let (name, put) = match self {
            Console::Out => {
                let mut out = std::io::stdout().lock();
                ("standard output", out.write_all(text).and_then(|()| out.flush()))
            }
            Console::Err => ("standard error", std::io::stderr().lock().write_all(text)),
        };
        put.map_err(|e| Error::io("write to", name, e))
    }
}

/// Prints rows as they come; in jobs with checkpoints when their epoch is committed, unless the author wants them at
/// once. A checkpoint keeps the text of its epoch: a crash between the checkpoint and the end of the commit prints that
/// text again, and nothing else.
pub(crate) struct ConsoleSink<S: Screen = Console> {
    screen: S,
    encoder: Arc<dyn Encoder>,
    /// Whether text waits for its epoch.
    waits: bool,
    begun: bool,
    ended: bool,
    text: Vec<u8>,
}

/// What a checkpoint keeps, before the text.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    /// Whether anything was printed or is to be.
    begun: bool,
}

impl<S: Screen> ConsoleSink<S> {
    pub(crate) fn new(screen: S, encoder: Arc<dyn Encoder>, environment: &Environment) -> Self {
        let waits = environment.delivery == Delivery::ExactlyOnce && !environment.lineage.is_empty();
        ConsoleSink { screen, encoder, waits, begun: false, ended: false, text: Vec::new() }
    }

    fn print(&mut self, batch: &Batch) -> Result<()> {
        if !self.begun {
            self.encoder.prologue(&batch.schema(), &mut self.text);
        }
        let mut rows = self.encoder.rows(&batch.rows);
        for row in 0..batch.len() {
            rows.write(row, !self.begun, &mut self.text)?;
            self.begun = true;
        }
        drop(rows);
        if self.waits { Ok(()) } else { self.put() }
    }

    fn end(&mut self) {
        if self.begun && !self.ended {
            self.encoder.epilogue(&mut self.text);
            self.ended = true;
        }
    }

    fn put(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        self.screen.put(&text)
    }

    fn prepared(&mut self) -> Result<Bytes> {
        let head = serde_json::to_vec(&Head { version: 1, begun: self.begun });
        let mut bytes = head.map_err(|e| Error::internal(format!("a writer's state cannot be kept: {e}")))?;
        bytes.push(b'\n');
        bytes.append(&mut self.text);
        Ok(bytes.into())
    }

    fn commit_now(&mut self, prepared: &[u8]) -> Result<()> {
        let unreadable =
            || Error::internal("what a checkpoint keeps of a writer to a terminal is unreadable");
        if prepared.is_empty() {
            return Ok(());
        }
        let end = memchr::memchr(b'\n', prepared).ok_or_else(unreadable)?;
        let (head, text) = prepared.split_at(end);
        let head: Head = serde_json::from_slice(head).map_err(|_| unreadable())?;
        if head.version != 1 {
            return Err(unreadable());
        }
        self.begun |= head.begun;
        self.screen.put(text.get(1..).unwrap_or_default())
    }
}

impl<S: Screen> Sink for ConsoleSink<S> {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.print(&batch) })
    }

    fn prepare(&mut self, _: u64) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move { self.prepared() })
    }

    fn prepare_end(&mut self, _: u64) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move {
            self.end();
            self.prepared()
        })
    }

    fn commit(&mut self, _: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.commit_now(&prepared) })
    }

    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.end();
            self.put()
        })
    }

    fn abort(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::text::TextOut;
    use crate::shared::testing::now;
    use purlin_api::testing::batch;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Screen for Paper {
        fn put(&mut self, text: &[u8]) -> Result<()> {
            self.0.lock().unwrap().extend_from_slice(text);
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn console(paper: &Paper, lineage: &str, delivery: Delivery) -> ConsoleSink<Paper> {
        let environment = Environment { lineage: lineage.to_owned(), delivery, ..Environment::default() };
        ConsoleSink::new(paper.clone(), Arc::new(TextOut { beam_compat: false }), &environment)
    }

    #[test]
    fn text_is_shown_at_once_or_when_its_epoch_is_committed() {
        let rows = || batch(r#"[{"a": "x"}]"#).unwrap();
        for (lineage, delivery) in [("", Delivery::ExactlyOnce), ("l", Delivery::AtLeastOnce)] {
            let paper = Paper::default();
            now(console(&paper, lineage, delivery).write(rows())).unwrap();
            assert_eq!(paper.text(), "x\n");
        }
        let paper = Paper::default();
        let mut first = console(&paper, "l", Delivery::ExactlyOnce);
        now(first.write(rows())).unwrap();
        let prepared = now(first.prepare(1)).unwrap();
        now(first.write(rows())).unwrap();
        assert_eq!(paper.text(), "");
        now(first.commit(1, prepared.clone())).unwrap();
        assert_eq!(paper.text(), "x\n");
        // Killed after the commit: that epoch is printed again, and what came after it once.
        let mut second = console(&paper, "l", Delivery::ExactlyOnce);
        now(second.restore(1, vec![prepared])).unwrap();
        now(second.write(rows())).unwrap();
        now(second.finish()).unwrap();
        assert_eq!(paper.text(), "x\nx\nx\n");
        assert!(now(second.commit(2, Bytes::from_static(b"{}"))).is_err());
        assert_eq!(guarantee().promise, Promise::AtLeastOnce);
    }
}
