//! Completing a job that was prepared and not committed.

use super::PreparedSink;
use purlin_api::{BuildCx, Environment, Error, LaneShared, Result, Running};
use purlin_plan::Plan;
use std::sync::Arc;

/// Shows what a job of this plan prepared, wholly or once more, if it died before or while it showed it. The
/// environment must be that of the job. Answers what was made.
///
/// # Errors
/// If the plan has no such sinks, or what was prepared is gone.
pub async fn complete(
    plan: &Plan,
    rows_max: usize,
    environment: &Arc<Environment>,
    prepared: Vec<PreparedSink>,
) -> Result<Vec<String>> {
    let mut sinks = Vec::with_capacity(prepared.len());
    for PreparedSink { label, lane, prepared } in prepared {
        let node = plan.graph.nodes.iter().find(|n| n.label == label && n.is_sink());
        let node =
            node.ok_or_else(|| Error::data(format!("the pipeline has no writer `{label}` any more")))?;
        let lanes = plan.stages.of(node.id).map_or(1, |s| s.lanes);
        let cx = BuildCx {
            label: label.clone(),
            lane,
            lanes,
            rows_max,
            shared: LaneShared::default(),
            environment: environment.clone(),
        };
        match node.node.build(&cx).map_err(|e| e.in_place(&label))? {
            Running::Sink(sink) => sinks.push((label, sink, prepared)),
            _ => return Err(Error::internal(format!("`{label}` is no writer"))),
        }
    }
    let mut made = Vec::new();
    for (label, sink, prepared) in &mut sinks {
        let restored = sink.restore(1, vec![std::mem::take(prepared)]).await;
        restored.map_err(|e| e.in_place(label))?;
        made.extend(sink.made());
    }
    Ok(made)
}
