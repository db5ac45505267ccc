//! Answers about pipelines, as JSON. Times are RFC 3339; null stands for what is not known yet.

use crate::live::door;
use crate::live::why::Why;
use crate::report;
use crate::up::pipe::{Failure, Figures, Look, Pipe, is_within};
use purlin_api::{EventTime, Fates};
use purlin_connectors::dead_letters::store::Summary;
use purlin_engine::checkpoint::StatusView;
use purlin_engine::clock::{Clock, SystemClock};
use serde_json::{Map, Value, json};
use std::sync::atomic::Ordering;

fn time(t: EventTime) -> Value {
    if is_within(t) { json!(t.to_rfc3339()) } else { Value::Null }
}

pub(super) fn failure(f: Option<&Failure>) -> Value {
    f.map_or(Value::Null, |f| json!({"text": f.text, "at": time(f.at)}))
}

fn lag(watermark: Option<EventTime>, now: EventTime) -> Value {
    watermark.map_or(Value::Null, |t| json!(seconds(now.0.saturating_sub(t.0).max(0))))
}

fn seconds(micros: i64) -> f64 {
    (micros as f64 / 1e3).round() / 1e3
}

fn rate(rows: f64) -> f64 {
    (rows * 10.0).round() / 10.0
}

fn fates(f: &Fates) -> Value {
    json!({"passed": f.passed, "filtered": f.filtered, "late": f.late, "dead_lettered": f.dead,
           "in_state": f.in_state})
}

/// How a pipeline stands.
pub(super) fn pipeline(pipe: &Pipe) -> Value {
    let (look, now) = (pipe.look(), SystemClock.now());
    let totals = look.totals();
    let bounded = look.figures.as_ref().map(|f| f.watcher.is_none());
    json!({
        "name": pipe.name,
        "file": pipe.file,
        "state": look.state.name(),
        "since": time(look.since),
        "well": look.is_well(),
        "bounded": bounded,
        "restarts": look.restarts,
        "next_start": look.next_start.map(time),
        "last_error": failure(look.last_error.as_ref()),
        "refused": failure(look.refused.as_ref()),
        "read": totals.read,
        "rows_per_second": rate(totals.rows_per_second),
        "watermark": totals.watermark.map(time),
        "watermark_lag_seconds": lag(totals.watermark, now),
        "in_state": totals.fates.in_state,
        "late": totals.fates.late,
        "dead_letters": totals.fates.dead,
    })
}

/// What runs: nodes, edges, stages.
pub(super) fn graph(figures: &Figures) -> Value {
    purlin_plan::to_json(&figures.plan)
}

/// Each transform's figures.
pub(super) fn transforms(look: &Look, figures: &Figures) -> Value {
    let now = SystemClock.now();
    let summaries = report::transforms(&figures.plan, &figures.stats);
    let one = |(i, t): (usize, &report::TransformSummary)| {
        let rates = look.rates.get(i).copied().unwrap_or_default();
        let watermark = figures.stats.get(i).map(|s| EventTime(s.watermark.load(Ordering::Relaxed)));
        let watermark = watermark.filter(|t| is_within(*t));
        json!({
            "name": t.label,
            "type": t.type_name,
            "implicit": t.implicit,
            "rows_in": t.rows_in,
            "rows_out": t.rows_out.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>(),
            "rows_in_per_second": rate(rates.rows_in),
            "rows_out_per_second": rate(rates.rows_out),
            "watermark": watermark.map(time),
            "watermark_lag_seconds": lag(watermark, now),
            "ledger": fates(&t.fates),
        })
    };
    json!({"transforms": summaries.iter().enumerate().map(one).collect::<Vec<_>>()})
}

/// What became of rows. `unaccounted` is what is on its way through a transform at this moment.
pub(super) fn ledger(figures: &Figures) -> Value {
    let summaries = report::transforms(&figures.plan, &figures.stats);
    let all = report::ledger(&summaries);
    let unaccounted: u64 = summaries.iter().map(|t| t.rows_in.abs_diff(t.fates.total())).sum();
    json!({
        "read": summaries.iter().filter(|t| t.is_source).map(|t| t.rows_in).sum::<u64>(),
        "written": all.passed,
        "filtered": all.filtered,
        "late": all.late,
        "dead_lettered": all.dead,
        "in_state": all.in_state,
        "unaccounted": unaccounted,
        "balanced": unaccounted == 0,
    })
}

/// Who counts rows of a fate, and how many.
fn by_transform(figures: &Figures, of: impl Fn(&Fates) -> u64) -> (u64, Vec<Value>) {
    let summaries = report::transforms(&figures.plan, &figures.stats);
    let counts = summaries.iter().map(|t| (&t.label, of(&t.fates))).filter(|(_, n)| *n > 0);
    let list: Vec<Value> =
        counts.clone().map(|(name, rows)| json!({"transform": name, "rows": rows})).collect();
    (counts.map(|(_, n)| n).sum(), list)
}

/// Rows that came too late for their windows.
pub(super) fn late(figures: &Figures) -> Value {
    let (rows, transforms) = by_transform(figures, |f| f.late);
    json!({"rows": rows, "transforms": transforms})
}

/// Rows that failed in this run, and what became of all that were kept.
pub(super) fn dead_letters(figures: &Figures, letters: &Summary) -> Value {
    let (rows, transforms) = by_transform(figures, |f| f.dead);
    json!({
        "rows": rows,
        "transforms": transforms,
        "kept": letters.kept,
        "waiting": letters.waiting,
        "replayed": letters.replayed,
        "dropped": letters.dropped,
        "damaged": letters.damaged,
    })
}

/// What has been committed.
pub(super) async fn epochs(pipe: &Pipe, figures: &Figures) -> Option<Value> {
    let left = door::view(figures.watcher.as_ref()?, tokio::time::sleep).await.left;
    Some(json!({
        "pipeline": pipe.name,
        "epochs": left.epochs,
        "unacknowledged_rows": left.unacknowledged_rows,
        "acknowledged_early_rows": left.early_rows,
        "last": figures.checkpoints.as_ref().map(|c| checkpoint(&c.view())),
    }))
}

fn checkpoint(last: &StatusView) -> Value {
    json!({
        "epoch": last.epoch,
        "at": last.at.map(time),
        "bytes": last.bytes,
        "took_seconds": last.took_micros as f64 / 1e6,
        "written": last.written,
        "bytes_written": last.bytes_written,
    })
}

/// Who holds time.
pub(super) async fn why(pipe: &Pipe, figures: &Figures) -> Option<Value> {
    let view = door::view(figures.watcher.as_ref()?, tokio::time::sleep).await;
    Some(Why::new(&pipe.name, &figures.plan, &view).to_json())
}
