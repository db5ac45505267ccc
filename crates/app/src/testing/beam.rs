//! Beam's `tests:` (BEAM YAML, "Testing"): mocked inputs and outputs, expected inputs and outputs.

use super::{Edit, Failure, WAYS, plan_for};
use crate::pipeline::PipelineOptions;
use purlin_engine::StepRun;
use purlin_spec::Diagnostics;
use purlin_spec::model::{Spec, TestSpec};

/// Runs one test.
pub(crate) fn run(spec: &Spec, test: &TestSpec, options: &PipelineOptions) -> Result<(), Failure> {
    let cut = cut(spec, test)?;
    for (lanes, rows_max) in WAYS {
        let plan = plan_for(&cut, options, lanes)?;
        StepRun::new(&plan, rows_max)?.run_to_end()?;
    }
    Ok(())
}

fn cut(spec: &Spec, test: &TestSpec) -> Result<Spec, Failure> {
    let mut d = Diagnostics::default();
    purlin_plan::mock::mock(spec, test, &mut d).ok_or(Failure::Refused(d))
}

/// What the expectations of a test would have to say, as edits of the file.
pub(crate) fn actual(spec: &Spec, test: &TestSpec, options: &PipelineOptions) -> Result<Vec<Edit>, Failure> {
    let cut = super::scripted::observe(cut(spec, test)?);
    let plan = plan_for(&cut, options, 1)?;
    let mut run = StepRun::new(&plan, 1024)?;
    let observed = super::scripted::observed(&plan);
    for (node, port) in observed.values().flatten() {
        run.tap(*node, *port);
    }
    run.run_to_end()?;
    let mut edits = Vec::new();
    for elements in test.expected_outputs.iter().chain(&test.expected_inputs) {
        let taps = observed.get(&elements.name.value).into_iter().flatten();
        let mut rows = Vec::new();
        for (node, port) in taps {
            for batch in run.take_tap(*node, *port) {
                rows.extend((0..batch.len()).map(|r| purlin_api::json::row_to_json(&batch.rows, r)));
            }
        }
        edits.push(Edit { span: elements.elements.span, text: super::fix::elements(&rows) });
    }
    Ok(edits)
}
