//! The sink that writes files, whatever their format.
//!
//! Rows go to hidden files `.NAME.tmp-PID-N` beside their place; `finish` (or, in streams, the commit
//! after a window has ended) syncs them and gives them their names, so that no half file is ever seen.

mod part;
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) mod pieces;
mod sink;

pub(crate) use sink::FilesSink;

use super::compression::Compression;
use super::console::{Console, ConsoleSink};
use crate::shared::naming::{shard_part, window_part};
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use purlin_api::transform::{BuildCx, Distribution};
use purlin_api::{Environment, Error, Output, PlanNode, Result, Running, Window, Windowing};
use std::sync::Arc;

/// A file format to write.
pub(crate) trait Encoder: std::fmt::Debug + Send + Sync {
    /// What a file begins with.
    fn prologue(&self, schema: &Schema, out: &mut Vec<u8>);
    /// A writer of the rows of one batch.
    fn rows<'a>(&'a self, batch: &'a RecordBatch) -> Box<dyn RowEncoder + 'a>;
    /// What a file ends with.
    fn epilogue(&self, out: &mut Vec<u8>) {
        let _ = out;
    }
    /// For `explain`.
    fn describe(&self) -> String;
}

/// Writes rows of one batch.
pub(crate) trait RowEncoder {
    /// Appends a row; `first` in its file or not.
    fn write(&mut self, row: usize, first: bool, out: &mut Vec<u8>) -> Result<()>;
}

/// Where and how files are written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The local path that all names begin with.
    pub(crate) prefix: String,
    /// How many files a window is spread over at most.
    pub(crate) shards: usize,
    pub(crate) compression: Compression,
    /// One set of files a window; otherwise windows are disregarded.
    pub(crate) windowed: bool,
    /// Whether the input ends.
    pub(crate) bounded: bool,
    /// Write one empty file if there is no row.
    pub(crate) file_if_empty: bool,
    pub(crate) beam_compat: bool,
    /// The name of a replay of dead letters, whose files are added to those of other runs.
    pub(crate) replay: Option<String>,
}

impl Target {
    /// As it is in a run.
    pub(crate) fn in_run(&self, environment: &Environment) -> Target {
        let replay = environment.is_replay.then(|| environment.run.clone());
        Target { file_if_empty: self.file_if_empty && replay.is_none(), replay, ..self.clone() }
    }

    /// What the names of the files of a window begin with.
    pub(crate) fn stem(&self, window: &Window) -> Result<String> {
        let part = window_part(window, self.beam_compat).map_err(Error::data)?;
        let replay = self.replay.as_ref().map(|run| format!("-replay-{run}")).unwrap_or_default();
        Ok(format!("{}{part}{replay}", self.prefix))
    }

    /// The name of a shard of a window. In a stream, rows may come for a window whose files were committed: theirs
    /// get the next free numbers. A replay has names of its own, which are the same if it is done again.
    pub(crate) fn name(&self, window: &Window, shard: usize, shards: usize, suffix: &str) -> Result<String> {
        let base = self.stem(window)?;
        if self.replay.is_some() {
            return Ok(format!("{base}{}{suffix}", shard_part(shard, shards)));
        }
        let at = |i: usize| format!("{base}{}{suffix}", shard_part(i + shard, i + shards));
        if self.bounded {
            return Ok(at(0));
        }
        let mut i = 0;
        while std::fs::exists(at(i)).map_err(|e| Error::io("look for", &at(i), e))? {
            i += 1;
        }
        Ok(at(i))
    }
}

/// A bound file writer.
#[derive(Clone, Debug)]
pub(crate) struct WriteNode {
    pub(crate) encoder: Arc<dyn Encoder>,
    pub(crate) target: Target,
    pub(crate) windowing: Arc<Windowing>,
}

impl PlanNode for WriteNode {
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn explain(&self) -> String {
        if Console::of(&self.target.prefix).is_some() {
            return format!("{}; {}", self.encoder.describe(), self.target.prefix);
        }
        let per = if self.target.windowed { ", per window" } else { "" };
        format!("{}; {}-*{per}", self.encoder.describe(), self.target.prefix)
    }

    fn distribution(&self, _: usize) -> Distribution {
        // The numbers of shards are counted in one place.
        Distribution::Single
    }

    fn claims(&self) -> Vec<String> {
        // Many may print; only one may own the files of a name.
        let prefix = &self.target.prefix;
        if Console::of(prefix).is_some() || self.target.beam_compat {
            Vec::new()
        } else {
            vec![format!("files `{prefix}-*`")]
        }
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        if let Some(console) = Console::of(&self.target.prefix) {
            return Ok(Running::Sink(Box::new(ConsoleSink::new(console, self.encoder.clone()))));
        }
        Ok(Running::Sink(Box::new(FilesSink::new(WriteNode {
            target: self.target.in_run(&cx.environment),
            ..self.clone()
        }))))
    }
}
