//! Timed tests: rows, watermarks and the clock as the test scripts them, and what must come out when.

use super::steps::{ExpectedRow, Step, TimedTest, What, parse_tests};
use super::{Edit, Failure, WAYS, fix, plan_for, scripted};
use crate::pipeline::PipelineOptions;
use purlin_api::literal::Literal;
use purlin_api::{Batch, EventTime, OutPort, Pane, Times, Window};
use purlin_engine::StepRun;
use purlin_plan::NodeId;
use purlin_spec::config::Spanned;
use purlin_spec::model::{Spec, TestElements, TestSpec};
use purlin_spec::{Diagnostics, Node, Value};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The timed tests of a file, and what is wrong with them.
pub(crate) fn parse(spec: &Spec) -> (Vec<TimedTest>, Diagnostics) {
    let mut d = Diagnostics::default();
    let tests = spec.x_purlin.as_ref().and_then(|x| x.get("tests"));
    (tests.map(|t| parse_tests(t, &mut d)).unwrap_or_default(), d)
}

/// Runs a test. With `fix`, expectations that are not met become edits of the file.
pub(crate) fn run(
    spec: &Spec,
    test: &TimedTest,
    options: &PipelineOptions,
    fix: bool,
) -> Result<Vec<Edit>, Failure> {
    let cut = cut(spec, test)?;
    let mut edits = Vec::new();
    for (way, (lanes, rows_max)) in WAYS.into_iter().enumerate() {
        let plan = plan_for(&cut, options, lanes)?;
        let mut script = Script::new(&plan, rows_max, test, fix && way == 0)?;
        script.play(test)?;
        edits.extend(script.edits);
        if fix && !edits.is_empty() {
            break;
        }
    }
    Ok(edits)
}

/// The part of the pipeline between what the test gives and what it looks at.
fn cut(spec: &Spec, test: &TimedTest) -> Result<Spec, Failure> {
    let mut given: BTreeMap<String, (purlin_spec::Span, Vec<Node>)> = BTreeMap::new();
    let mut looked: BTreeMap<String, purlin_spec::Span> = BTreeMap::new();
    for step in &test.steps {
        match &step.what {
            What::Give(all) => {
                for (name, rows) in all {
                    let of = given.entry(name.text.clone()).or_insert((name.span, Vec::new()));
                    of.1.extend(rows.iter().map(|r| r.row.clone()));
                }
            }
            What::Expect(all) => {
                for (name, _, _) in all {
                    looked.entry(name.text.clone()).or_insert(name.span);
                }
            }
            _ => {}
        }
    }
    let elements = |name: String, span, rows| TestElements {
        name: Spanned { value: name, span },
        elements: Node::new(Value::List(rows), span),
    };
    let as_test = TestSpec {
        name: test.name.clone(),
        span: test.span,
        mock_outputs: given.into_iter().map(|(n, (span, rows))| elements(n, span, rows)).collect(),
        expected_outputs: looked.into_iter().map(|(n, span)| elements(n, span, Vec::new())).collect(),
        ..TestSpec::default()
    };
    let mut d = Diagnostics::default();
    let cut = purlin_plan::mock::mock(spec, &as_test, &mut d).ok_or(Failure::Refused(d))?;
    Ok(scripted::script(scripted::observe(cut)))
}

/// A row that came out, with all that a test may ask of it.
#[derive(Clone, Debug)]
struct Got {
    row: Json,
    at: EventTime,
    window: Window,
    pane: Pane,
}

struct Script {
    run: StepRun,
    sources: BTreeMap<String, NodeId>,
    taps: BTreeMap<String, Vec<(NodeId, OutPort)>>,
    /// All rows of each source in the order the test gives them, as one batch; and how many were given.
    rows: BTreeMap<String, (arrow_array::RecordBatch, usize)>,
    waiting: BTreeMap<String, Vec<Got>>,
    /// How far the test has moved the watermark of each source.
    marks: BTreeMap<NodeId, EventTime>,
    clock: EventTime,
    rows_max: usize,
    fix: bool,
    edits: Vec<Edit>,
}

impl Script {
    fn new(plan: &purlin_plan::Plan, rows_max: usize, test: &TimedTest, fix: bool) -> Result<Self, Failure> {
        let mut run = StepRun::new(plan, rows_max)?;
        let taps = scripted::observed(plan);
        for (node, port) in taps.values().flatten() {
            run.tap(*node, *port);
        }
        let mut literals: BTreeMap<String, Vec<Literal>> = BTreeMap::new();
        for step in &test.steps {
            let What::Give(all) = &step.what else { continue };
            for (name, rows) in all {
                let list = Node::new(Value::List(rows.iter().map(|r| r.row.clone()).collect()), step.span);
                literals.entry(name.text.clone()).or_default().extend(scripted::literals(&list));
            }
        }
        let mut rows = BTreeMap::new();
        for (name, literals) in literals {
            let schema = scripted::schema_of(&literals);
            rows.insert(name, (scripted::batch(&schema, &literals)?, 0));
        }
        let sources = scripted::scripted(plan);
        let clock = EventTime(0);
        run.advance_clock(clock)?;
        Ok(Script {
            run,
            sources,
            taps,
            rows,
            waiting: BTreeMap::new(),
            marks: BTreeMap::new(),
            clock,
            rows_max,
            fix,
            edits: Vec::new(),
        })
    }

    fn play(&mut self, test: &TimedTest) -> Result<(), Failure> {
        for step in &test.steps {
            if let What::Expect(all) = &step.what {
                for (name, rows, span) in all {
                    self.expect(step, &name.text, rows, *span)?;
                }
                continue;
            }
            self.nothing_left(Some(step))?;
            self.act(step).map_err(|e| Failure::Differs(format!("line {}: {e}", step.span.start.line)))?;
            self.look();
        }
        self.nothing_left(None)
    }

    fn act(&mut self, step: &Step) -> purlin_api::Result<()> {
        match &step.what {
            What::Give(all) => {
                for (name, given) in all {
                    let Some(node) = self.sources.get(&name.text).copied() else { continue };
                    let Some((batch, used)) = self.rows.get_mut(&name.text) else { continue };
                    let rows = batch.slice(*used, given.len());
                    *used += given.len();
                    let times = Times::Each(given.iter().map(|g| g.at.0).collect());
                    let batch = Batch::at(rows, times);
                    for from in (0..batch.len()).step_by(self.rows_max) {
                        let part = batch.slice(from, self.rows_max.min(batch.len() - from));
                        self.run.inject(node, vec![(0, part)])?;
                    }
                }
            }
            What::Watermark(all) => {
                for (name, to) in all {
                    let nodes: Vec<NodeId> = match name {
                        Some(n) => self.sources.get(&n.text).copied().into_iter().collect(),
                        None => self.sources.values().copied().collect(),
                    };
                    if nodes.is_empty() {
                        let who = name.as_ref().map_or("nothing".to_owned(), |n| format!("`{}`", n.text));
                        return Err(refused(format!(
                            "no watermark to move: {who} gives rows in this test; say who gives them, \
                             if only `- give: {{NAME: []}}`"
                        )));
                    }
                    for node in nodes {
                        let mark = self.marks.entry(node).or_insert(EventTime::MIN);
                        if *to < *mark {
                            return Err(refused(format!(
                                "the watermark is at {} already; it goes forward only",
                                instant_json(*mark)
                            )));
                        }
                        *mark = *to;
                        self.run.watermark(node, *to)?;
                    }
                }
            }
            What::Clock(by) => {
                self.clock = self.clock.plus(*by);
                self.run.advance_clock(self.clock)?;
            }
            What::Idle(names) => {
                for name in names {
                    if let Some(node) = self.sources.get(&name.text).copied() {
                        self.run.idle(node)?;
                    }
                }
            }
            What::End => {
                for node in self.sources.values().copied().collect::<Vec<_>>() {
                    self.run.end(node)?;
                }
                self.run.finish()?;
            }
            What::Expect(_) => {}
        }
        Ok(())
    }

    /// Takes in what came out of everything the test looks at.
    fn look(&mut self) {
        for (name, taps) in &self.taps {
            for (node, port) in taps {
                for batch in self.run.take_tap(*node, *port) {
                    let of = self.waiting.entry(name.clone()).or_default();
                    of.extend((0..batch.len()).map(|r| got(&batch, r)));
                }
            }
        }
    }

    fn expect(
        &mut self,
        step: &Step,
        name: &str,
        rows: &[ExpectedRow],
        span: purlin_spec::Span,
    ) -> Result<(), Failure> {
        let came = self.waiting.remove(name).unwrap_or_default();
        let mut left = came.clone();
        let mut missing = Vec::new();
        for row in rows {
            match left.iter().position(|g| matches(g, row)) {
                Some(i) => {
                    left.remove(i);
                }
                None => missing.push(describe_expected(row)),
            }
        }
        if missing.is_empty() && left.is_empty() {
            return Ok(());
        }
        if self.fix {
            let rows: Vec<Json> = came.iter().map(as_expectation).collect();
            self.edits.push(Edit { span, text: fix::elements(&rows) });
            return Ok(());
        }
        let mut text = format!("line {}: `{name}` differs from what is expected", step.span.start.line);
        missing.iter().for_each(|m| text.push_str(&format!("\n  expected, did not come: {m}")));
        left.iter()
            .for_each(|g| text.push_str(&format!("\n  came, not expected:     {}", as_expectation(g))));
        Err(Failure::Differs(text))
    }

    /// What a test looks at must be expected when it comes.
    fn nothing_left(&mut self, before: Option<&Step>) -> Result<(), Failure> {
        let when = before.map_or("at the end".to_owned(), |s| format!("before line {}", s.span.start.line));
        let mut text = String::new();
        for (name, rows) in std::mem::take(&mut self.waiting) {
            for g in rows {
                text.push_str(&format!("\n  `{name}` gave: {}", as_expectation(&g)));
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        Err(Failure::Differs(format!("{when}: rows came that no `expect` took{text}")))
    }
}

fn got(batch: &Batch, row: usize) -> Got {
    Got {
        row: purlin_api::json::row_to_json(&batch.rows, row),
        at: batch.times.get(row),
        window: batch.windows.get(row).clone(),
        pane: *batch.panes.get(row),
    }
}

fn matches(g: &Got, e: &ExpectedRow) -> bool {
    same(&g.row, &e.row)
        && e.at.is_none_or(|at| at == g.at)
        && e.window.is_none_or(|w| match w {
            None => g.window == Window::Global,
            Some((start, end)) => g.window == Window::Interval { start, end },
        })
        && e.pane.as_ref().is_none_or(|p| {
            let Json::Object(have) = pane_json(&g.pane) else { return false };
            p.iter().all(|(k, v)| have.get(k) == Some(v))
        })
}

/// Equal values: numbers by value, null like missing.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            let null = Json::Null;
            a.iter().all(|(k, v)| same(v, b.get(k).unwrap_or(&null)))
                && b.iter().all(|(k, v)| a.contains_key(k) || v.is_null())
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn pane_json(p: &Pane) -> Json {
    json!({"timing": p.timing.name(), "index": p.index, "nonspeculative_index": p.nonspeculative_index,
           "is_first": p.is_first, "is_last": p.is_last})
}

fn refused(message: String) -> purlin_api::Error {
    purlin_api::Error::new(purlin_api::ErrorKind::Config, message)
}

/// Seconds if whole, else RFC 3339.
fn instant_json(t: EventTime) -> Json {
    const YEAR: i64 = 31_536_000_000_000;
    if t.0.abs() < YEAR && t.0 % 1000 == 0 {
        return if t.0 % 1_000_000 == 0 { json!(t.0 / 1_000_000) } else { json!(t.0 as f64 / 1e6) };
    }
    json!(t.to_rfc3339())
}

/// A row as an author would write its expectation.
fn as_expectation(g: &Got) -> Json {
    let mut e = json!({"row": g.row});
    match &g.window {
        Window::Interval { start, end } => e["window"] = json!([instant_json(*start), instant_json(*end)]),
        Window::Global => e["window"] = json!("global"),
        _ => {}
    }
    if g.pane != Pane::UNKNOWN {
        e["pane"] = json!({"timing": g.pane.timing.name(), "index": g.pane.index});
    }
    e
}

fn describe_expected(e: &ExpectedRow) -> String {
    let mut v = json!({"row": e.row});
    if let Some(at) = e.at {
        v["at"] = instant_json(at);
    }
    match e.window {
        Some(Some((start, end))) => v["window"] = json!([instant_json(start), instant_json(end)]),
        Some(None) => v["window"] = json!("global"),
        None => {}
    }
    if let Some(p) = &e.pane {
        v["pane"] = Json::Object(p.clone());
    }
    v.to_string()
}
