//! Help for tests: a folder, readers and writers configured in YAML, rows as JSON text.

use super::probe::LocalProbe;
use purlin_api::json::row_to_json;
use purlin_api::testing::describe;
use purlin_api::transform::BuildCx;
use purlin_api::{
    Batch, BindCx, Budget, Entry, Environment, InputShape, PlanNode, Result, Running, Shape, Sink, Source,
    SourceStatus,
};
use purlin_spec::{Diagnostics, Span};
use std::sync::Arc;

/// A YAML text as a node.
pub(crate) fn node(yaml: &str) -> purlin_spec::Node {
    let (node, d) = purlin_spec::yaml::parse_str(yaml);
    assert!(!d.has_errors(), "{yaml}: {}", describe(&d));
    node.unwrap()
}

/// Runs a future that never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A folder with files; `{}` in texts given to it stands for its path.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            folder.put(name, bytes);
        }
        folder
    }

    pub(crate) fn path(&self) -> String {
        self.0.path().display().to_string()
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// Binds a transform; the error is the text of all diagnostics, the folder written as `{}`.
    pub(crate) fn bind(
        &self,
        entry: &Entry,
        config: &str,
        input: Option<Shape>,
        beam_compat: bool,
    ) -> Result<Arc<dyn PlanNode>, String> {
        let mut d = Diagnostics::default();
        let bound =
            (entry.decode)(&node(&config.replace("{}", &self.path())), &mut d).and_then(|transform| {
                let inputs: Vec<InputShape> = input.into_iter().map(purlin_api::testing::input).collect();
                let mut cx = BindCx {
                    label: "T",
                    span: Span::default(),
                    type_span: Span::default(),
                    beam_compat,
                    probe: &LocalProbe,
                    diagnostics: &mut d,
                };
                transform.bind(&inputs, &mut cx)
            });
        match bound {
            Some(node) if !d.has_errors() => Ok(node),
            _ => Err(describe(&d).replace(&self.path(), "{}")),
        }
    }

    /// Binds a reader and reads all; the error is the diagnostics or the failure.
    pub(crate) fn read(&self, entry: &Entry, config: &str) -> Result<Read, String> {
        let node = self.bind(entry, config, None, false)?;
        self.run(node.as_ref(), 1000)
    }

    pub(crate) fn run(&self, node: &dyn PlanNode, rows_max: usize) -> Result<Read, String> {
        drain(source(node).as_mut(), rows_max).map_err(|e| e.to_string().replace(&self.path(), "{}")).map(
            |mut r| {
                for row in r.rows.iter_mut().chain(&mut r.errors) {
                    *row = row.replace(&self.path(), "{}");
                }
                r
            },
        )
    }

    /// Binds a writer, writes batches, finishes; the answer is all files by name.
    pub(crate) fn write(
        &self,
        entry: &Entry,
        config: &str,
        shape: Shape,
        batches: &[Batch],
        beam_compat: bool,
    ) -> Result<Vec<(String, String)>, String> {
        let node = self.bind(entry, config, Some(shape), beam_compat)?;
        let mut sink = sink(node.as_ref());
        let run = |sink: &mut dyn Sink| -> Result<()> {
            for b in batches {
                now(sink.write(b.clone()))?;
            }
            now(sink.finish())
        };
        if let Err(e) = run(sink.as_mut()) {
            sink.abort();
            return Err(e.to_string().replace(&self.path(), "{}"));
        }
        assert_eq!(sink.made().len(), self.files().len());
        Ok(self.files())
    }

    /// All files below the folder, hidden ones too.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(self.0.path()).unwrap().display().to_string();
                found.push((name, String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
            }
        }
        found.sort();
        found
    }
}

/// Bytes as a gzip file.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// What a reader gave.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Read {
    pub(crate) rows: Vec<String>,
    pub(crate) errors: Vec<String>,
    pub(crate) read: u64,
    pub(crate) dead: u64,
    pub(crate) skipped: u64,
}

pub(crate) fn cx() -> BuildCx {
    BuildCx::one_lane("T", 1000)
}

pub(crate) fn source(node: &dyn PlanNode) -> Box<dyn Source> {
    match node.build(&cx()).unwrap() {
        Running::Source(s) => s,
        _ => panic!("not a source"),
    }
}

pub(crate) fn sink(node: &dyn PlanNode) -> Box<dyn Sink> {
    match node.build(&cx()).unwrap() {
        Running::Sink(s) => s,
        _ => panic!("not a sink"),
    }
}

/// A writer in a job with checkpoints.
pub(crate) fn sink_with_checkpoints(node: &dyn PlanNode) -> Box<dyn Sink> {
    let mut cx = cx();
    let (pipeline, lineage) = ("p".to_owned(), "l".to_owned());
    cx.environment = Arc::new(Environment { pipeline, lineage, ..Environment::default() });
    match node.build(&cx).unwrap() {
        Running::Sink(s) => s,
        _ => panic!("not a sink"),
    }
}

/// Reads until the end; the ledger must balance.
pub(crate) fn drain(source: &mut dyn Source, rows_max: usize) -> Result<Read> {
    let mut all = Read::default();
    loop {
        let pull = now(source.next(Budget { rows_max, bytes_max: 1 << 20 }))?;
        (all.read, all.dead, all.skipped) =
            (all.read + pull.read, all.dead + pull.dead, all.skipped + pull.skipped);
        for (port, batch) in pull.batches {
            assert!(batch.len() <= rows_max && !batch.is_empty());
            let rows = (0..batch.len()).map(|i| row_to_json(&batch.rows, i).to_string());
            if port == 0 { all.rows.extend(rows) } else { all.errors.extend(rows) }
        }
        if pull.status == SourceStatus::Done {
            assert_eq!(all.read, all.rows.len() as u64 + all.dead + all.skipped);
            return Ok(all);
        }
    }
}
