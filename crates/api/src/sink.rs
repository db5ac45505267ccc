//! The contract of a sink.

use crate::batch::Batch;
use crate::error::Result;
use crate::source::BoxFuture;
use crate::time::EventTime;
use bytes::Bytes;

/// A running writer to something outside.
///
/// ```text
///  build --> restore? --> [ write | on_watermark ]* --> prepare(e) --> commit(e) --> ... --> finish --> drop
///                                                                                \--> abort
/// ```
///
/// **Constraints.** Nothing that was written may be visible outside before `commit` (or `finish`, which
/// prepares and commits what is left). `commit` of the same epoch may be called again after a crash and
/// must then change nothing. `abort` takes away what was not committed.
///
/// A sink whose outside has no transactions (a topic, a terminal) may show rows as soon as they are written, which
/// makes it fast and *at least once*: after a crash rows of epochs that were not committed come again. Its
/// connector must say so. For it `prepare` waits until all that was written is safe outside, and fails if it is not.
///
/// **Epochs** are numbered from 1, only in jobs that do not end by themselves; rows written after `prepare(e)` belong
/// to `e + 1`. All sinks of a job prepare an epoch before any commits it; one epoch is under way at a time. Between
/// `prepare(e)` and `commit(e)` rows of the next epoch may be written.
pub trait Sink: Send {
    /// Takes rows.
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>>;

    /// The input watermark has moved: windows that ended may be completed.
    fn on_watermark(&mut self, to: EventTime) -> BoxFuture<'_, Result<()>> {
        let _ = to;
        Box::pin(async { Ok(()) })
    }

    /// Makes everything written so far safe; the answer is kept in the checkpoint: what `commit` will show, and where
    /// what stays open (files of windows that have not ended) is and how far it has come.
    fn prepare(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        let _ = epoch;
        Box::pin(async { Ok(Bytes::new()) })
    }

    /// As [`Sink::prepare`], for jobs whose checkpoints keep nothing of it: only what `commit` will show must be made
    /// ready. What waits (see [`Sink::waiting_since`]) may stay as it is, and is lost if the job ends.
    fn prepare_visible(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        self.prepare(epoch)
    }

    /// As [`Sink::prepare`], after the last row: everything is complete, so that `commit` shows all of it. For jobs
    /// that end and must know what they will show before any of it is seen.
    fn prepare_end(&mut self, epoch: u64) -> BoxFuture<'_, Result<Bytes>> {
        self.prepare(epoch)
    }

    /// Makes a prepared epoch visible.
    fn commit(&mut self, epoch: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        let _ = (epoch, prepared);
        Box::pin(async { Ok(()) })
    }

    /// Takes over from instances that prepared `epoch`, and may or may not have committed it: commits it (again), takes
    /// away what they wrote after it, and goes on with what was open. Called once, before anything is written. With
    /// other lanes than then, an instance may be given what several prepared, or nothing; so is one whose transform was not
    /// there then.
    ///
    /// # Errors
    /// If what was prepared is gone or was changed.
    fn restore(&mut self, epoch: u64, prepared: Vec<Bytes>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            for bytes in prepared {
                self.commit(epoch, bytes).await?;
            }
            Ok(())
        })
    }

    /// The first epoch of which rows were written that no commit so far has shown (files of windows that are still
    /// open). The sources' acknowledgement of that epoch waits for them. Asked after `prepare`, so that what the
    /// prepared epoch will show does not count.
    fn waiting_since(&self) -> Option<u64> {
        None
    }

    /// All inputs ended: everything becomes visible. Called once every sink of the job is ready.
    fn finish(&mut self) -> BoxFuture<'_, Result<()>>;

    /// The job failed: takes away what is not visible yet.
    fn abort(&mut self);

    /// What it made, for the summary: paths, topics.
    fn made(&self) -> Vec<String> {
        Vec::new()
    }
}
