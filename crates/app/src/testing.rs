//! Runs the tests that stand in pipeline files: Beam's `tests:` and timed tests (`x-purlin: tests:`).
//!
//! Every test runs on one thread in virtual time, twice: straight, and with three lanes and batches of one
//! row. Both must agree, and the ledger must balance.

mod beam;
mod fix;
mod scripted;
mod steps;
mod timed;

use crate::pipeline::{Pipeline, PipelineOptions};
use purlin_spec::Diagnostics;

/// How one test ended.
#[derive(Debug)]
pub struct TestReport {
    /// The test's name.
    pub name: String,
    /// Its line in the file.
    pub line: u32,
    /// `Err` says what differs.
    pub result: Result<(), String>,
}

/// A change to the text of a file: these lines and columns become that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) span: purlin_spec::Span,
    pub(crate) text: String,
}

/// All tests of one file.
#[derive(Debug, Default)]
pub struct FileReport {
    /// One a test.
    pub tests: Vec<TestReport>,
    /// The text with expectations rewritten, if asked for and anything changed.
    pub fixed: Option<String>,
}

/// The transforms of this build, and those that tests put in.
pub(crate) fn catalog() -> purlin_api::Catalog {
    let entries = crate::catalog().iter().cloned().collect();
    purlin_api::Catalog::new([entries, scripted::entries()])
}

/// Runs the tests of a file whose name contains `only`. With `fix`, says how the file must change for its
/// failing tests to pass. `None` if the file has problems; they are in the pipeline's diagnostics.
pub fn run_tests(
    pipeline: &mut Pipeline,
    options: &PipelineOptions,
    only: Option<&str>,
    fix: bool,
) -> Option<FileReport> {
    let spec = pipeline.spec.clone()?;
    let wanted = |name: &str| only.is_none_or(|o| name.contains(o));
    let (timed, problems) = timed::parse(&spec);
    pipeline.diagnostics.extend(problems);
    if pipeline.diagnostics.has_errors() {
        return None;
    }
    let mut report = FileReport::default();
    let mut edits: Vec<Edit> = Vec::new();
    for test in spec.tests.iter().filter(|t| wanted(&t.name)) {
        let mut result = beam::run(&spec, test, options).map_err(|f| f.render(pipeline));
        if fix && result.is_err() {
            let found = beam::actual(&spec, test, options);
            if let Ok(found) = found {
                edits.extend(found);
                result = Ok(());
            }
        }
        report.tests.push(TestReport { name: test.name.clone(), line: test.span.start.line, result });
    }
    for test in timed.iter().filter(|t| wanted(&t.name)) {
        let ran = timed::run(&spec, test, options, fix);
        let result = match ran {
            Ok(found) => {
                edits.extend(found);
                Ok(())
            }
            Err(f) => Err(f.render(pipeline)),
        };
        report.tests.push(TestReport { name: test.name.clone(), line: test.span.start.line, result });
    }
    if fix && !edits.is_empty() {
        report.fixed = fix::apply(&pipeline.sources, edits);
    }
    Some(report)
}

/// Why a test failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot run: problems of the file or of the test.
    Refused(Diagnostics),
    /// It ran, and this differs.
    Differs(String),
}

impl Failure {
    fn render(&self, pipeline: &Pipeline) -> String {
        match self {
            Failure::Refused(d) => d.render(&pipeline.sources),
            Failure::Differs(text) => text.clone(),
        }
    }
}

impl From<purlin_api::Error> for Failure {
    fn from(e: purlin_api::Error) -> Self {
        Failure::Differs(e.to_string())
    }
}

/// How a test is run: lanes and rows of a batch.
pub(crate) const WAYS: [(usize, usize); 2] = [(1, 1024), (3, 1)];
/// How small the pieces are that readers are divided into in the second way.
const PIECE_BYTES: u64 = 256;

/// Plans a cut-down pipeline for a test.
pub(crate) fn plan_for(
    spec: &purlin_spec::model::Spec,
    options: &PipelineOptions,
    lanes: usize,
) -> Result<purlin_plan::Plan, Failure> {
    let mut d = Diagnostics::default();
    let plan_options = purlin_plan::PlanOptions {
        beam_compat: options.beam_compat,
        lanes,
        piece_bytes: Some(PIECE_BYTES),
        rewrite: lanes > 1,
    };
    let plan =
        purlin_plan::plan(spec, &catalog(), &crate::probe::MachineProbe::default(), &plan_options, &mut d);
    d.sort();
    plan.filter(|_| !d.has_errors()).ok_or(Failure::Refused(d))
}
