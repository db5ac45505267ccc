//! When a window gives its result: the `trigger:` of `windowing:`.

use super::Duration;
use crate::config::{FromNode, Kind, wrong_kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Value};
use crate::suggest;

/// When a pane fires. The names and meanings are those of Beam's trigger classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Once at the end of the window, then for each late row within the allowed lateness.
    Default,
    /// At the end of the window, with panes before and after it if asked for.
    AfterWatermark {
        /// Fires before the end of the window.
        early: Option<Box<Trigger>>,
        /// Fires for what comes after the end of the window.
        late: Option<Box<Trigger>>,
    },
    /// This long after the first row of the pane, by the clock.
    AfterProcessingTime(Duration),
    /// When the pane holds so many rows (at least 1).
    AfterCount(i64),
    /// Again and again.
    Repeatedly(Box<Trigger>),
    /// When the first of these fires.
    AfterAny(Vec<Trigger>),
    /// When all of these have fired.
    AfterAll(Vec<Trigger>),
    /// One after the other.
    AfterEach(Vec<Trigger>),
}

const NAMES: [&str; 8] = [
    "default",
    "after_watermark",
    "after_processing_time",
    "after_count",
    "repeatedly",
    "after_any",
    "after_all",
    "after_each",
];

/// Deeper nesting than this has no use and would only exhaust the stack.
const DEPTH_MAX: usize = 16;

impl FromNode for Trigger {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Word(&["default", "after_watermark"]), Kind::Map(Box::new(Kind::Any))])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        decode(node, 0, d)
    }
}

fn decode(node: &Node, depth: usize, d: &mut Diagnostics) -> Option<Trigger> {
    if depth > DEPTH_MAX {
        d.push(Diagnostic::error("windowing/trigger", node.span, "triggers are nested too deeply"));
        return None;
    }
    let (name, span, arg) = match &node.value {
        Value::Text(s) => (s.as_str(), node.span, None),
        Value::Map(m) => match (m.len(), m.first()) {
            (1, Some((name, entry))) => (name.as_str(), entry.key, Some(&entry.node)),
            _ => {
                d.push(
                    Diagnostic::error("windowing/trigger", node.span, "a trigger is a mapping with one key")
                        .help(format!("one of: {}", NAMES.join(", "))),
                );
                return None;
            }
        },
        _ => {
            wrong_kind(node, "a trigger, such as `after_count: 3`", d);
            return None;
        }
    };
    let arg = arg.filter(|n| !n.is_null());
    let inner = |d: &mut Diagnostics| decode(arg?, depth + 1, d).map(Box::new);
    match (name, arg) {
        ("default", None) => Some(Trigger::Default),
        ("after_watermark", None) => Some(Trigger::AfterWatermark { early: None, late: None }),
        ("after_watermark", Some(arg)) => after_watermark(arg, depth, d),
        ("after_processing_time", Some(arg)) => {
            let delay = Duration::from_node(arg, d)?;
            positive(arg, "after_processing_time", delay.micros() >= 0, "must not be negative", d)?;
            Some(Trigger::AfterProcessingTime(delay))
        }
        ("after_count", Some(arg)) => {
            let count = i64::from_node(arg, d)?;
            positive(arg, "after_count", count > 0, "must be at least 1", d)?;
            Some(Trigger::AfterCount(count))
        }
        ("repeatedly", Some(_)) => inner(d).map(Trigger::Repeatedly),
        ("after_any", Some(arg)) => several(arg, depth, d).map(Trigger::AfterAny),
        ("after_all", Some(arg)) => several(arg, depth, d).map(Trigger::AfterAll),
        ("after_each", Some(arg)) => several(arg, depth, d).map(Trigger::AfterEach),
        (known, _) if NAMES.contains(&known) => {
            let what = if known == "default" { "takes no argument" } else { "needs an argument" };
            d.push(Diagnostic::error("windowing/trigger", span, format!("trigger `{known}` {what}")));
            None
        }
        (unknown, _) => {
            d.push(
                Diagnostic::error("windowing/trigger", span, format!("unknown trigger `{unknown}`"))
                    .label(format!("valid triggers: {}", NAMES.join(", ")))
                    .maybe_help(suggest::did_you_mean(unknown, NAMES)),
            );
            None
        }
    }
}

fn positive(node: &Node, name: &str, good: bool, rule: &str, d: &mut Diagnostics) -> Option<()> {
    if !good {
        d.push(Diagnostic::error("windowing/trigger", node.span, format!("`{name}` {rule}")));
    }
    good.then_some(())
}

fn after_watermark(arg: &Node, depth: usize, d: &mut Diagnostics) -> Option<Trigger> {
    if !crate::config::check_keys(arg, "`after_watermark`", &["early", "late"], d) {
        return None;
    }
    let part = |key: &str, d: &mut Diagnostics| match arg.get(key).filter(|n| !n.is_null()) {
        Some(n) => decode(n, depth + 1, d).map(|t| Some(Box::new(t))),
        None => Some(None),
    };
    let (early, late) = (part("early", d), part("late", d));
    Some(Trigger::AfterWatermark { early: early?, late: late? })
}

fn several(arg: &Node, depth: usize, d: &mut Diagnostics) -> Option<Vec<Trigger>> {
    let Some(list) = arg.as_list() else {
        wrong_kind(arg, "a list of triggers", d);
        return None;
    };
    if list.is_empty() {
        d.push(Diagnostic::error("windowing/trigger", arg.span, "a list of triggers must not be empty"));
        return None;
    }
    let decoded: Vec<Option<Trigger>> = list.iter().map(|n| decode(n, depth + 1, d)).collect();
    decoded.into_iter().collect()
}
