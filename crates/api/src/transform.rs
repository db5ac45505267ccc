//! From a config to something that runs: [`Transform`] binds to [`PlanNode`] builds [`Running`].

use crate::environment::{Delivery, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::Operator;
use crate::outside::{AsyncOperator, Interpreter};
use crate::shape::Shape;
use crate::sink::Sink;
use crate::source::Source;
use crate::state::StateShape;
use crate::time::EventTime;
use arrow_array::RecordBatch;
use bytes::Bytes;
use purlin_spec::{Diagnostics, Span};
use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// A transform as its author configured it: what a catalogue entry decodes a config into.
pub trait Transform: Debug + Send + Sync {
    /// Checks the config against the shapes of the inputs and fixes the shapes of the outputs.
    ///
    /// Pure but for what it asks of `cx.probe`. On problems it pushes all of them and returns `None`.
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>>;
}

/// One input of a transform that is being bound.
#[derive(Clone, Debug)]
pub struct InputShape {
    /// Its tag: `input`, or the author's name for it.
    pub tag: String,
    /// What comes in.
    pub shape: Shape,
    /// True if the rows are error rows (`element`, `msg`, `stack`) of some transform.
    pub is_error: bool,
    /// The label of the node that gives the rows; of the first one, if several were merged in place.
    pub producer: String,
    /// Where the author wrote the reference.
    pub span: Span,
}

/// What a transform may ask while it binds.
pub struct BindCx<'a> {
    /// The transform's label, for messages.
    pub label: &'a str,
    /// Where the transform stands.
    pub span: Span,
    /// Where its type name stands.
    pub type_span: Span,
    /// Whether Beam's quirks are copied.
    pub beam_compat: bool,
    /// The door to files.
    pub probe: &'a dyn Probe,
    /// Where problems go.
    pub diagnostics: &'a mut Diagnostics,
}

/// A file that a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// Its path or address.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What binding may ask of the outside: which files there are, and how they begin.
pub trait Probe: Sync {
    /// The files a pattern matches, sorted by path; none is an empty list.
    fn glob(&self, pattern: &str) -> Result<Vec<FileInfo>>;
    /// The first `bytes_max` bytes of a file, decompressed if its name says so.
    fn head(&self, path: &str, bytes_max: usize) -> Result<Bytes>;
    /// True if this is a pipe or a device: what is read of it is gone, so nothing may be looked at ahead.
    fn is_stream(&self, _path: &str) -> bool {
        false
    }

    /// The last `bytes_max` bytes of a file as they are on disk, all of it if it is shorter: formats whose
    /// schema stands in a footer are read from there.
    ///
    /// # Errors
    /// A file that cannot be read; by default, that this door does not show the ends of files.
    fn tail(&self, path: &str, bytes_max: usize) -> Result<Bytes> {
        let _ = bytes_max;
        Err(Error::new(ErrorKind::Denied, format!("the end of `{path}` cannot be looked at here")))
    }
    /// A small file as text (an expression's script, a schema).
    fn text(&self, path: &str) -> Result<String>;
    /// True if a folder exists where this path would be created, and may be written to.
    fn can_create(&self, path: &str) -> Result<()>;
    /// The machine's Python interpreter, for code that this program does not compile; else why there is none.
    fn python(&self) -> Result<Arc<dyn Interpreter>> {
        Err(Error::new(ErrorKind::Config, "no python3 was looked for"))
    }
}

/// What an output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputRole {
    /// Results.
    Main,
    /// Rows that failed: `element`, `msg`, `stack`.
    Error,
    /// Rows that came too late for their window.
    Late,
}

/// One output of a bound transform. The place in [`PlanNode::outputs`] is its port.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name after the dot in a reference; `out` for an only output.
    pub tag: String,
    /// What comes out.
    pub shape: Shape,
    /// What it is for.
    pub role: OutputRole,
}

/// How the rows of an input must be spread over lanes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Any way.
    Any,
    /// Rows with equal values in these columns meet in one lane.
    Keyed(Vec<usize>),
    /// All in one lane.
    Single,
}

/// A bound transform: immutable, shareable, with its properties checked.
pub trait PlanNode: Debug + Send + Sync {
    /// Its outputs; the index is the port. Sinks may have none.
    fn outputs(&self) -> &[Output];

    /// Details for `explain`, such as `group_by customer; sum(amount)`.
    fn explain(&self) -> String;

    /// How rows of an input port must be spread.
    fn distribution(&self, port: usize) -> Distribution {
        let _ = port;
        Distribution::Any
    }

    /// Given which columns of each output are read downstream, says which columns of each input it
    /// needs. The default needs all.
    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let _ = outputs;
        inputs.iter().map(|s| vec![true; s.schema.fields().len()]).collect()
    }

    /// For nodes that would read or copy them: the same node, which may leave out (as nulls) the columns of
    /// output 0 that are not needed.
    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        let _ = needed;
        None
    }

    /// For readers: the same node with its work cut into pieces that several lanes take one after the other, or
    /// `None` if one lane is to read it all, because it cannot be divided or because that would not pay.
    ///
    /// What is given must not depend on how it is divided, but for the order of rows.
    fn divide(&self, how: Division) -> Option<Arc<dyn PlanNode>> {
        let _ = how;
        None
    }

    /// For readers: in how many lanes it can run at most.
    fn lanes_max(&self) -> usize {
        1
    }

    /// For aggregations: a partial step to run before rows are shuffled, and the step that completes it.
    fn lift(&self) -> Option<Lifted> {
        None
    }

    /// What it must have for itself outside, such as the files of a name: no two nodes of a pipeline may
    /// claim the same.
    fn claims(&self) -> Vec<String> {
        Vec::new()
    }

    /// True for a writer that shows rows as they come: unlike a file it needs no end.
    fn prints(&self) -> bool {
        false
    }

    /// A node to run before this one on its only input: it computes outside the program what this one reads.
    /// Its first output is what this node's columns are bound to.
    fn ahead(&self) -> Option<Arc<dyn PlanNode>> {
        None
    }

    /// A node to run before this one on this input, whose first output is what this node is given there: for
    /// nodes that treat each of several inputs in its own way before they treat them alike, and for writers some of whose
    /// rows go elsewhere: its further outputs are outputs of this node for all who read them.
    fn ahead_of(&self, port: usize) -> Option<Arc<dyn PlanNode>> {
        let _ = port;
        None
    }

    /// For readers: a node with the same outputs that reads nothing outside, but decodes these units once more, as if
    /// they had come again, and ends. They are rows of the fields that `element` has on its error output. With no
    /// rows any reader can do that, and need not be asked.
    ///
    /// # Errors
    /// If this reader cannot decode a unit by itself, or the fields are not its own.
    fn again(&self, units: RecordBatch, times: Vec<EventTime>) -> Result<Arc<dyn PlanNode>> {
        let _ = (units, times);
        Err(Error::new(ErrorKind::Config, "this reader cannot be given back what it refused"))
    }

    /// What its state means, if instances of it have state that outlives a process (tables of operators and sources,
    /// positions of sources, what sinks keep open).
    fn state(&self) -> Option<StateShape> {
        None
    }

    /// For readers and writers: what they promise about rows after a crash. `None` for all others.
    fn guarantee(&self) -> Option<Guarantee> {
        None
    }

    /// The same for a pipeline that runs so, for those whose promise depends on it.
    fn guarantee_in(&self, circumstances: Circumstances) -> Option<Guarantee> {
        let _ = circumstances;
        self.guarantee()
    }

    /// True if [`PlanNode::build`] gives [`Running::Async`]: such a node starts a stage.
    fn is_async(&self) -> bool {
        false
    }

    /// Makes one running instance, for one lane.
    fn build(&self, cx: &BuildCx) -> Result<Running>;
}

/// What a connector promises about each row after a crash, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// Its effect is there exactly once.
    ExactlyOnce,
    /// It is there, maybe more than once.
    AtLeastOnce,
    /// It may be missing.
    AtMostOnce,
}

/// What promises may depend on beside the connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// What the author asks of writers to systems without transactions.
    pub delivery: Delivery,
    /// Whether the job has checkpoints.
    pub checkpoints: bool,
}

/// What a reader or writer promises, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarantee {
    /// The promise.
    pub promise: Promise,
    /// What it rests on: a clause such as `files appear when their epoch is committed`; if it could be better, followed by
    /// `; to make it exactly once: …`.
    pub because: String,
}

/// An aggregation in two steps.
#[derive(Clone, Debug)]
pub struct Lifted {
    /// Runs where the rows are.
    pub partial: Arc<dyn PlanNode>,
    /// Runs after the shuffle, on what `partial` emits.
    pub complete: Arc<dyn PlanNode>,
}

/// How the work of a reader is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// The lanes there are.
    pub lanes: usize,
    /// How many bytes a piece has, about; nothing is too small to be divided then. `None`: as many as pay.
    pub piece_bytes: Option<u64>,
}

/// Something that the lanes of one transform have in common while a job runs, such as a queue of work.
#[derive(Clone, Default)]
pub struct LaneShared(Arc<OnceLock<Arc<dyn Any + Send + Sync>>>);

impl LaneShared {
    /// What the lanes share; the first lane that asks makes it.
    ///
    /// # Errors
    /// If lanes ask for different types.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Result<Arc<T>> {
        let shared = self.0.get_or_init(|| Arc::new(make())).clone();
        shared.downcast().map_err(|_| Error::internal("lanes of one transform share different things"))
    }
}

impl Debug for LaneShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.get().is_some() { "LaneShared(made)" } else { "LaneShared" })
    }
}

/// Which instance is being built.
#[derive(Clone, Debug)]
pub struct BuildCx {
    /// The transform's label.
    pub label: String,
    /// The lane, from 0.
    pub lane: usize,
    /// How many lanes there are.
    pub lanes: usize,
    /// Rows a batch should have at most.
    pub rows_max: usize,
    /// What the lanes of this transform share; one for each transform of a running job.
    pub shared: LaneShared,
    /// Where the job runs.
    pub environment: Arc<Environment>,
}

impl BuildCx {
    /// For the only lane of a transform.
    pub fn one_lane(label: &str, rows_max: usize) -> Self {
        BuildCx {
            label: label.to_owned(),
            lane: 0,
            lanes: 1,
            rows_max,
            shared: LaneShared::default(),
            environment: Arc::default(),
        }
    }
}

/// A running instance of a transform.
pub enum Running {
    /// Reads from outside.
    Source(Box<dyn Source>),
    /// Works on batches.
    Operator(Box<dyn Operator>),
    /// Asks something outside about its rows.
    Async(Box<dyn AsyncOperator>),
    /// Writes to outside.
    Sink(Box<dyn Sink>),
}
