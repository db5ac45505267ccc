//! What `purlin why` says: who holds time in a running pipeline, since when, and by which rule.

use crate::report::count;
use purlin_api::window::{aligned, describe_micros};
use purlin_api::{EventTime, Trigger, WindowFn, Windowing};
use purlin_engine::JobView;
use purlin_engine::why::{Busy, InputState, InputView, NodeView};
use purlin_plan::{GraphNode, NodeId, Plan};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How many lines there are of holds of one transform.
const HOLDS_SHOWN: usize = 2;

/// A running pipeline as it is told.
pub struct Why<'a> {
    name: &'a str,
    plan: &'a Plan,
    view: &'a JobView,
    /// By node: its slowest lane, unless all have ended.
    slowest: Vec<Option<&'a NodeView>>,
}

/// Who holds time.
struct Holder<'a> {
    view: &'a NodeView,
    /// How, as the end of a sentence.
    how: String,
}

impl<'a> Why<'a> {
    /// Of a job that runs this plan.
    pub fn new(name: &'a str, plan: &'a Plan, view: &'a JobView) -> Self {
        let mut slowest: Vec<Option<&NodeView>> = vec![None; plan.graph.nodes.len()];
        let views = view.lanes.iter().filter(|l| !l.has_ended).flat_map(|l| &l.views);
        for v in views.filter(|v| !v.has_ended) {
            let Some(slot) = slowest.get_mut(v.node) else { continue };
            if slot.is_none_or(|s| {
                (v.output_watermark, v.input_watermark) < (s.output_watermark, s.input_watermark)
            }) {
                *slot = Some(v);
            }
        }
        Why { name, plan, view, slowest }
    }

    fn label(&self, node: NodeId) -> &str {
        self.plan.graph.get(node).map_or("?", |n| &n.label)
    }

    fn at(&self, node: NodeId) -> Option<&'a NodeView> {
        self.slowest.get(node).copied().flatten()
    }

    /// How long ago, in words.
    fn ago(&self, since: EventTime) -> String {
        if since == EventTime::MIN {
            return "the beginning".to_owned();
        }
        short(self.view.now.0.saturating_sub(since.0).max(0))
    }

    /// Follows what holds time from the end of the pipeline up to where it begins.
    fn holder(&self) -> Option<Holder<'a>> {
        let ends = self.plan.graph.nodes.iter().filter(|n| {
            (0..n.node.outputs().len().max(1)).all(|p| self.plan.graph.readers((n.id, p)).next().is_none())
        });
        let last = ends.filter_map(|n| self.at(n.id)).min_by_key(|v| v.input_watermark)?;
        let mut view = last;
        // As many steps as there are nodes: edges lead upstream only.
        for _ in 0..=self.plan.graph.nodes.len() {
            if view.node != last.node && view.output_watermark < view.input_watermark {
                let hold = view.holds.iter().find(|h| h.at <= view.input_watermark);
                let how = match hold {
                    Some(h) => format!("{} holds it at {}", h.owner, h.at),
                    None => "rows are on their way through it".to_owned(),
                };
                return Some(Holder { view, how });
            }
            let live =
                view.inputs.iter().filter(|i| i.state == InputState::Live && i.watermark < EventTime::MAX);
            match live.min_by_key(|i| i.watermark) {
                Some(input) => match self.at(input.from) {
                    Some(next) => view = next,
                    None => return Some(Holder { view, how: "what it reads has ended".to_owned() }),
                },
                None if view.inputs.is_empty() => return Some(Holder { view, how: self.of_source(view) }),
                None => return Some(Holder { view, how: self.all_idle(view) }),
            }
        }
        None
    }

    fn of_source(&self, v: &NodeView) -> String {
        let idle = if v.is_idle { "is idle, and " } else { "" };
        match v.output_watermark {
            EventTime::MIN => format!("{idle}has not said any time yet"),
            t => format!(
                "{idle}promises nothing earlier than {t}, and has said nothing later for {}",
                self.ago(v.output_since)
            ),
        }
    }

    fn all_idle(&self, v: &NodeView) -> String {
        let idle: Vec<&InputView> = v.inputs.iter().filter(|i| i.state == InputState::Idle).collect();
        let mut from: Vec<&str> = idle.iter().map(|i| self.label(i.from)).collect();
        from.dedup();
        let since = idle.iter().map(|i| i.since).max().unwrap_or(EventTime::MIN);
        format!(
            "all it reads is idle ({}, for {}): time follows what they promise, {}",
            from.join(", "),
            self.ago(since),
            v.input_watermark
        )
    }

    /// The rule that lets rows go that wait in a transform.
    fn rule(&self, v: &NodeView) -> Option<String> {
        let node = self.plan.graph.get(v.node)?;
        if v.rows_in_state == 0 && v.holds.is_empty() && v.timer.is_none() {
            return None;
        }
        let windowing = node.inputs.first().map(|i| &i.shape.windowing)?;
        Some(rule(windowing, v))
    }

    fn busy(&self, node: NodeId) -> Option<String> {
        let lane = self.view.lanes.iter().find(|l| l.nodes.contains(&node) && l.busy != Busy::No)?;
        match lane.busy {
            Busy::Sending { to_stage, since } if lane.nodes.last() == Some(&node) => {
                let stage = self.plan.stages.stages.get(to_stage)?;
                let to = stage.nodes.first().map_or("?", |n| self.label(*n));
                Some(format!("waits for room before `{to}` for {}", self.ago(since)))
            }
            Busy::Writing { node: sink, since } if sink == node => {
                Some(format!("has been writing for {}", self.ago(since)))
            }
            _ => None,
        }
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let left = &self.view.left;
        line(&mut out, format_args!("{}: running for {}", self.name, self.ago(self.view.began)));
        match self.holder() {
            Some(h) => {
                let t = h.view.output_watermark;
                let lag = if t > EventTime::MIN && t < EventTime::MAX {
                    format!(" ({} behind the clock)", short(self.view.now.0.saturating_sub(t.0).max(0)))
                } else {
                    String::new()
                };
                line(&mut out, format_args!("  time stands at {}{lag}", t.to_rfc3339()));
                line(
                    &mut out,
                    format_args!(
                        "  held by `{}`: it {}",
                        self.label(h.view.node),
                        h.how.trim_start_matches("it ")
                    ),
                );
            }
            None => line(&mut out, format_args!("  nothing holds time: everything has ended")),
        }
        line(
            &mut out,
            format_args!(
                "  epochs: {} committed; {} rows read wait to be acknowledged{}",
                left.epochs,
                count(left.unacknowledged_rows),
                if left.early_rows > 0 {
                    format!("; {} were acknowledged early", count(left.early_rows))
                } else {
                    String::new()
                }
            ),
        );
        for node in &self.plan.graph.nodes {
            if let Some(v) = self
                .at(node.id)
                .filter(|v| !node.implicit || v.rows_in_state > 0 || merged(&v.inputs).len() > 1)
            {
                self.node_text(&mut out, node, v);
            }
        }
        if self.view.lanes.iter().any(|l| !l.is_fresh && !l.has_ended) {
            line(
                &mut out,
                format_args!("  = some lanes are busy and did not answer: what is said of them is older"),
            );
        }
        out
    }

    fn node_text(&self, out: &mut String, node: &GraphNode, v: &NodeView) {
        let what = if node.is_source() { "watermark" } else { "input watermark" };
        let t = if node.is_source() { v.output_watermark } else { v.input_watermark };
        line(
            out,
            format_args!(
                "\n  {}: {what} {}{}",
                node.label,
                t.to_rfc3339(),
                if v.is_idle { ", idle" } else { "" }
            ),
        );
        if let Some(busy) = self.busy(node.id) {
            line(out, format_args!("    {busy}"));
        }
        if node.inputs.iter().map(|i| i.from.len()).sum::<usize>() > 1 {
            for i in merged(&v.inputs) {
                let state = match i.state {
                    InputState::Live => format!("at {} for {}", i.watermark.to_rfc3339(), self.ago(i.since)),
                    InputState::Idle => format!("idle for {}: does not hold time", self.ago(i.since)),
                    InputState::Ended => "ended".to_owned(),
                };
                line(out, format_args!("    input `{}`: {state}", self.label(i.from)));
            }
        }
        for h in v.holds.iter().filter(|h| h.at < v.input_watermark).take(HOLDS_SHOWN) {
            line(out, format_args!("    output held at {} by {} ({} times)", h.at, h.owner, h.count));
        }
        if v.rows_in_state > 0 {
            let since = v.kept_since.map_or(String::new(), |e| format!(", the oldest of epoch {e}"));
            line(out, format_args!("    {} rows in state{since}", count(v.rows_in_state)));
        }
        if let Some(rule) = self.rule(v) {
            line(out, format_args!("    rule: {rule}"));
        }
        if let Some(at) = v.timer {
            line(
                out,
                format_args!(
                    "    next timer in {} of processing time",
                    short(at.0.saturating_sub(self.view.now.0).max(0))
                ),
            );
        }
    }

    /// For machines. Times are RFC 3339, or null for the ends of time.
    pub fn to_json(&self) -> Value {
        let left = &self.view.left;
        let transforms: Vec<Value> = self
            .plan
            .graph
            .nodes
            .iter()
            .filter_map(|n| Some((n, self.at(n.id)?)))
            .map(|(n, v)| {
                json!({
                    "name": n.label, "type": n.type_name,
                    "input_watermark": time(v.input_watermark),
                    "output_watermark": time(v.output_watermark),
                    "output_since": time(v.output_since),
                    "idle": v.is_idle,
                    "inputs": merged(&v.inputs).iter().map(|i| json!({
                        "from": self.label(i.from), "watermark": time(i.watermark), "since": time(i.since),
                        "state": match i.state {
                            InputState::Live => "live", InputState::Idle => "idle", InputState::Ended => "ended" },
                    })).collect::<Vec<_>>(),
                    "holds": v.holds.iter().map(|h| json!({
                        "at": time(h.at), "owner": h.owner, "count": h.count })).collect::<Vec<_>>(),
                    "rows_in_state": v.rows_in_state,
                    "kept_since_epoch": v.kept_since,
                    "rule": self.rule(v),
                    "busy": self.busy(n.id),
                    "next_timer": v.timer.map(time),
                })
            })
            .collect();
        json!({
            "pipeline": self.name,
            "now": time(self.view.now),
            "running_since": time(self.view.began),
            "held_by": self.holder().map(|h| json!({
                "transform": self.label(h.view.node), "watermark": time(h.view.output_watermark),
                "since": time(h.view.output_since), "how": h.how })),
            "epochs": left.epochs,
            "unacknowledged_rows": left.unacknowledged_rows,
            "acknowledged_early_rows": left.early_rows,
            "transforms": transforms,
        })
    }
}

/// The inputs, one for each transform they come from: the slowest that is live, else the last.
fn merged(inputs: &[InputView]) -> Vec<InputView> {
    let mut all: Vec<InputView> = Vec::new();
    for i in inputs {
        let rank = |i: &InputView| (i.state != InputState::Live, i.state == InputState::Ended, i.watermark);
        match all.iter_mut().find(|a| a.from == i.from) {
            Some(a) if rank(i) < rank(a) => *a = i.clone(),
            Some(_) => {}
            None => all.push(i.clone()),
        }
    }
    all
}

/// When rows in windows go out.
fn rule(windowing: &Windowing, v: &NodeView) -> String {
    let late = match windowing.allowed_lateness {
        0 => String::new(),
        l => format!(", and takes late rows for {} more", describe_micros(l)),
    };
    let next = |size, offset| match v.input_watermark {
        EventTime::MIN | EventTime::MAX => String::new(),
        t => format!("; the next one ends at {}", EventTime(aligned(t.0, size, offset).1).to_rfc3339()),
    };
    let text = match windowing.window_fn {
        WindowFn::Global => "the global window goes out when all inputs have ended".to_owned(),
        WindowFn::Fixed { size, offset } => format!(
            "a fixed window of {} goes out when the input watermark passes its end{late}{}",
            describe_micros(size),
            next(size, offset)
        ),
        WindowFn::Sliding { size, period, .. } => format!(
            "a window of {} every {} goes out when the input watermark passes its end{late}",
            describe_micros(size),
            describe_micros(period)
        ),
        WindowFn::Sessions { gap } => format!(
            "a session goes out when the input watermark is {} past its last row{late}",
            describe_micros(gap)
        ),
    };
    match windowing.trigger {
        Trigger::Default => text,
        ref trigger => format!("{text}; trigger {}", trigger.describe()),
    }
}

fn time(t: EventTime) -> Value {
    if t == EventTime::MIN || t == EventTime::MAX { Value::Null } else { json!(t.to_rfc3339()) }
}

/// A span of time for people: two digits are enough.
pub(crate) fn short(micros: i64) -> String {
    match micros {
        m if m < 1_000_000 => format!("{} ms", m / 1000),
        m if m < 120_000_000 => format!("{}.{} s", m / 1_000_000, m % 1_000_000 / 100_000),
        m if m < 7_200_000_000 => format!("{} min", m / 60_000_000),
        m if m < 172_800_000_000 => format!("{} h", m / 3_600_000_000),
        m => format!("{} days", m / 86_400_000_000),
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(text).is_ok() {
        out.push('\n');
    }
}
