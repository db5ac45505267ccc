//! The sink that writes files, whatever their format.
//!
//! Rows go to hidden files `.NAME.tmp-PID-N` beside their place; `finish` (or, in streams, the commit
//! after a window has ended) syncs them and gives them their names, so that no half file is ever seen. In jobs with
//! checkpoints the hidden names say whose they are (`.NAME.tmp-OWNER-N`), and another process goes on with them.

mod part;
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) mod pieces;
mod shelf;
mod sink;
#[cfg(any(feature = "parquet", feature = "avro"))]
mod spool;
mod temporary;

pub(crate) use sink::FilesSink;

use super::compression::Compression;
use super::console::{self, Console, ConsoleSink};
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use purlin_api::transform::{BuildCx, Distribution, Guarantee, Promise};
use purlin_api::{Environment, Output, PlanNode, Result, Running, StateShape, Windowing};
use std::sync::Arc;
use temporary::Owner;

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
    /// What must stay the same for a file to be gone on with.
    fn means(&self) -> String {
        self.describe()
    }
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
    /// As it is in a run. A replay ends, shows its files together, under names of its own, and none without rows.
    fn in_run(&self, environment: &Environment) -> Target {
        if !environment.is_replay {
            return self.clone();
        }
        let replay = Some(environment.run.clone());
        Target { replay, bounded: true, file_if_empty: false, ..self.clone() }
    }

    /// What a writer of files promises.
    fn guarantee(&self) -> Guarantee {
        let because = "files appear complete, when the epoch that completes them is committed".to_owned();
        Guarantee { promise: Promise::ExactlyOnce, because }
    }

    /// What the files that stay open at a checkpoint mean.
    fn state(&self, format: &str, windowing: &Windowing) -> StateShape {
        let windows = match self.windowed {
            true => format!("{:?}", windowing.window_fn),
            false => "disregarded".to_owned(),
        };
        let compression = self.compression.extension();
        StateShape::new(format!("path {}, format {format}{compression}, windows {windows}", self.prefix))
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

    fn prints(&self) -> bool {
        Console::of(&self.target.prefix).is_some()
    }

    fn claims(&self) -> Vec<String> {
        // Many may print; only one may own the files of a name.
        let prefix = &self.target.prefix;
        if self.prints() || self.target.beam_compat {
            Vec::new()
        } else {
            vec![format!("files `{prefix}-*`")]
        }
    }

    fn state(&self) -> Option<StateShape> {
        Some(self.target.state(&self.encoder.means(), &self.windowing))
    }

    fn guarantee(&self) -> Option<Guarantee> {
        match Console::of(&self.target.prefix) {
            Some(_) => Some(console::guarantee()),
            None => Some(self.target.guarantee()),
        }
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        if let Some(console) = Console::of(&self.target.prefix) {
            let sink = ConsoleSink::new(console, self.encoder.clone(), &cx.environment);
            return Ok(Running::Sink(Box::new(sink)));
        }
        let owner = Owner::of(cx, &self.target.prefix);
        let node = WriteNode { target: self.target.in_run(&cx.environment), ..self.clone() };
        Ok(Running::Sink(Box::new(FilesSink::new(node, owner))))
    }
}
