//! `windowing:`, the window function and what goes with it.

use super::{Duration, Trigger};
use crate::config::{FieldDef, FromNode, Kind, Spanned, wrong_kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Sources, Span};
use crate::suggest;
use crate::template::LineMap;

/// How rows are assigned to windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowFn {
    /// One window for all time.
    Global,
    /// `[start, start + size)`, starts at multiples of `size` plus `offset`.
    Fixed {
        /// Length, positive.
        size: Duration,
        /// Shift of the starts.
        offset: Duration,
    },
    /// Windows of `size` that start every `period`.
    Sliding {
        /// Length, positive.
        size: Duration,
        /// Distance of the starts, positive.
        period: Duration,
        /// Shift of the starts.
        offset: Duration,
    },
    /// A window for each run of rows of one key less than `gap` apart.
    Sessions {
        /// Positive.
        gap: Duration,
    },
}

/// What a pane holds when a window fires more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulation {
    /// Only what came since the last pane.
    Discarding,
    /// Everything so far.
    Accumulating,
    /// Everything so far, after taking back the last pane.
    Retracting,
}

/// The value of a `windowing:` key.
#[derive(Clone, Debug, PartialEq)]
pub struct Windowing {
    /// How rows are assigned to windows.
    pub window: WindowFn,
    /// How long after its end a window still takes rows. An extension.
    pub allowed_lateness: Option<Duration>,
    /// When results are given. An extension.
    pub trigger: Option<Trigger>,
    /// What later panes hold. An extension.
    pub accumulation_mode: Option<Accumulation>,
    /// Name of the output for rows that came too late. An extension.
    pub late_output: Option<Spanned<String>>,
    /// Where it is written.
    pub span: Span,
}

const TYPES: [&str; 4] = ["global", "fixed", "sliding", "sessions"];
const EXTENSIONS: [&str; 4] = ["allowed_lateness", "trigger", "accumulation_mode", "late_output"];

fn parameters(window_type: &str) -> &'static [&'static str] {
    match window_type {
        "fixed" => &["size", "offset"],
        "sliding" => &["size", "period", "offset"],
        "sessions" => &["gap"],
        _ => &[],
    }
}

impl Windowing {
    /// Decodes; with `beam_compat` the keys that Beam lacks are refused.
    pub fn parse(node: &Node, beam_compat: bool, d: &mut Diagnostics) -> Option<Self> {
        let parsed;
        let node = if node.as_text().is_some() {
            parsed = parse_text(node, d)?;
            &parsed
        } else {
            node
        };
        if node.as_map().is_none() {
            wrong_kind(node, "a mapping such as `{type: fixed, size: 30s}`", d);
            return None;
        }
        let window_type = window_type(node, d)?;
        let good = check_keys(node, window_type, beam_compat, d);
        let window = window_fn(node, window_type, beam_compat, d);
        let lateness = optional(node, "allowed_lateness", d, |n, d| {
            Duration::from_node(n, d).filter(|x| not_negative(n, "allowed_lateness", *x, d))
        });
        let trigger = optional(node, "trigger", d, Trigger::from_node);
        let mode = optional(node, "accumulation_mode", d, accumulation);
        let late_output = optional(node, "late_output", d, Spanned::from_node);
        let windowing = Windowing {
            window: window?,
            allowed_lateness: lateness?,
            trigger: trigger?,
            accumulation_mode: mode?,
            late_output: late_output?,
            span: node.span,
        };
        good.then_some(windowing)
    }
}

/// The mapping in a text such as `'{"type": "fixed", "size": "30s"}'`.
pub(crate) fn parse_text(node: &Node, d: &mut Diagnostics) -> Option<Node> {
    let text = node.as_text()?;
    let mut inner = Diagnostics::default();
    let map = LineMap::fixed(node.span);
    let parsed = crate::yaml::parse(node.span.file, text, &map, &Sources::default(), &mut inner);
    match parsed.filter(|n| n.as_map().is_some()) {
        Some(n) if !inner.has_errors() => Some(n),
        _ => {
            d.push(
                Diagnostic::error(
                    "windowing/text",
                    node.span,
                    "this windowing text is not a YAML or JSON mapping",
                )
                .help("write a mapping: `windowing: {type: fixed, size: 30s}`"),
            );
            None
        }
    }
}

fn window_type(node: &Node, d: &mut Diagnostics) -> Option<&'static str> {
    let Some(given) = node.get("type") else {
        d.push(
            Diagnostic::error("windowing/type", node.span, "windowing needs a `type`")
                .label(format!("one of: {}", TYPES.join(", "))),
        );
        return None;
    };
    let text = given.scalar_text().unwrap_or_default();
    let found = TYPES.into_iter().find(|t| *t == text);
    if found.is_none() {
        d.push(
            Diagnostic::error("windowing/type", given.span, format!("Unknown window type `{text}`"))
                .label(format!("one of: {}", TYPES.join(", ")))
                .maybe_help(suggest::did_you_mean(&text, TYPES)),
        );
    }
    found
}

fn valid_keys(window_type: &str, beam_compat: bool) -> Vec<&'static str> {
    let mut valid = vec!["type"];
    valid.extend(parameters(window_type));
    if !beam_compat {
        valid.extend(EXTENSIONS);
    }
    valid
}

fn check_keys(node: &Node, window_type: &str, beam_compat: bool, d: &mut Diagnostics) -> bool {
    let valid = valid_keys(window_type, beam_compat);
    let mut good = true;
    for (key, entry) in node.as_map().into_iter().flatten() {
        if key.starts_with("__") || valid.contains(&key.as_str()) {
            continue;
        }
        good = false;
        let mut problem = Diagnostic::error(
            "windowing/unknown-parameter",
            entry.key,
            format!("Unknown parameter `{key}` of {window_type} windowing"),
        )
        .label(format!("valid: {}", valid.join(", ")))
        .maybe_help(suggest::did_you_mean(key, valid.iter().copied()));
        if EXTENSIONS.contains(&key.as_str()) {
            problem = problem.help("this key is an extension, and `--beam-compat` allows none");
        }
        d.push(problem);
    }
    good
}

fn window_fn(node: &Node, window_type: &str, beam_compat: bool, d: &mut Diagnostics) -> Option<WindowFn> {
    let given = || node.as_map().into_iter().flatten().map(|(k, _)| k.as_str());
    let valid = valid_keys(window_type, beam_compat);
    let mut needed = |key: &str| {
        let Some(n) = node.get(key) else {
            if suggest::slipped(key, given(), &valid) {
                return None;
            }
            d.push(
                Diagnostic::error(
                    "windowing/missing-parameter",
                    node.span,
                    format!("{window_type} windowing needs `{key}`"),
                )
                .help(format!("add for example `{key}: 30s`")),
            );
            return None;
        };
        let duration = Duration::from_node(n, d)?;
        if duration <= Duration::ZERO {
            d.push(
                Diagnostic::error("windowing/not-positive", n.span, format!("`{key}` must be positive"))
                    .label("a window must have a length"),
            );
            return None;
        }
        Some(duration)
    };
    match window_type {
        "fixed" => {
            let size = needed("size");
            let offset = offset(node, d);
            Some(WindowFn::Fixed { size: size?, offset: offset? })
        }
        "sliding" => {
            let (size, period) = (needed("size"), needed("period"));
            let offset = offset(node, d);
            Some(WindowFn::Sliding { size: size?, period: period?, offset: offset? })
        }
        "sessions" => Some(WindowFn::Sessions { gap: needed("gap")? }),
        _ => Some(WindowFn::Global),
    }
}

fn offset(node: &Node, d: &mut Diagnostics) -> Option<Duration> {
    optional(node, "offset", d, Duration::from_node).map(Option::unwrap_or_default)
}

/// `Some(None)` if the key is not given; `None` if it is wrong.
fn optional<T>(
    node: &Node,
    key: &str,
    d: &mut Diagnostics,
    decode: impl Fn(&Node, &mut Diagnostics) -> Option<T>,
) -> Option<Option<T>> {
    match node.get(key).filter(|n| !n.is_null()) {
        Some(n) => decode(n, d).map(Some),
        None => Some(None),
    }
}

fn not_negative(node: &Node, key: &str, duration: Duration, d: &mut Diagnostics) -> bool {
    let good = duration >= Duration::ZERO;
    if !good {
        d.push(Diagnostic::error(
            "windowing/not-positive",
            node.span,
            format!("`{key}` must not be negative"),
        ));
    }
    good
}

fn accumulation(node: &Node, d: &mut Diagnostics) -> Option<Accumulation> {
    match node.as_text() {
        Some("discarding") => Some(Accumulation::Discarding),
        Some("accumulating") => Some(Accumulation::Accumulating),
        Some("retracting") => Some(Accumulation::Retracting),
        other => {
            const MODES: [&str; 3] = ["discarding", "accumulating", "retracting"];
            let text = other.map_or_else(|| node.kind_name().to_owned(), |t| format!("`{t}`"));
            d.push(
                Diagnostic::error(
                    "windowing/accumulation-mode",
                    node.span,
                    format!("unknown accumulation mode {text}"),
                )
                .label(format!("one of: {}", MODES.join(", ")))
                .maybe_help(other.and_then(|t| suggest::did_you_mean(t, MODES))),
            );
            None
        }
    }
}

impl FromNode for Windowing {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Struct(fields()), Kind::Text])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        Windowing::parse(node, false, d)
    }
}

fn fields() -> Vec<FieldDef> {
    let field = |name, doc, kind, required| FieldDef { name, doc, kind, required, default: None };
    vec![
        field("type", "The window function.", Kind::Word(&TYPES), true),
        field("size", "Length of a window (fixed, sliding).", Kind::Duration, false),
        field("period", "Distance of the starts (sliding).", Kind::Duration, false),
        field("gap", "Rows this far apart start a new session (sessions).", Kind::Duration, false),
        field(
            "offset",
            "Shift of the starts from multiples of size or period (fixed, sliding).",
            Kind::Duration,
            false,
        ),
        field(
            "allowed_lateness",
            "How long after its end a window still takes rows. Extension.",
            Kind::Duration,
            false,
        ),
        field("trigger", "When results are given. Extension.", Trigger::kind(), false),
        field(
            "accumulation_mode",
            "What later panes of a window hold. Extension.",
            Kind::Word(&["discarding", "accumulating", "retracting"]),
            false,
        ),
        field("late_output", "Name of the output for rows that came too late. Extension.", Kind::Text, false),
    ]
}
