//! What is wrong with a file, where, why, and what to write instead.

use crate::node::{Position, Sources, Span};
use crate::types::Snippet;
use std::fmt::Write as _;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file runs, but perhaps not as meant.
    Warning,
}

/// One problem of a file.
///
/// `code` is stable (`area/kind`, for example `name/unknown-input`); messages may be reworded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, `area/kind`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// Where, if it has a place.
    pub span: Option<Span>,
    /// One sentence: what is wrong, with the author's own names in backquotes.
    pub message: String,
    /// What to print under the caret: why, or what is there instead.
    pub label: String,
    /// What to do about it.
    pub help: Vec<String>,
    /// Other places that matter.
    pub related: Vec<(Span, String)>,
    /// A place in code inside the file, which tells more exactly where once the file's text is at hand.
    pub inside: Option<Box<Inside>>,
}

/// A stretch of code that stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The code.
    pub code: Snippet,
    /// Where the stretch begins, in the code.
    pub start: Position,
    /// The first place behind it.
    pub end: Position,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            span: Some(span),
            message: message.into(),
            label: String::new(),
            help: Vec::new(),
            related: Vec::new(),
            inside: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// Adds the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a line of help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds help only if there is some (for [`crate::suggest::did_you_mean`]).
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help.extend(help);
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn related(mut self, span: Span, what: impl Into<String>) -> Self {
        self.related.push((span, what.into()));
        self
    }

    /// Says where in code it is.
    #[must_use]
    pub fn inside(mut self, code: Snippet, start: Position, end: Position) -> Self {
        self.inside = Some(Box::new(Inside { code, start, end }));
        self
    }

    /// Where it is, as exactly as the text of the file shows.
    fn place(&self, sources: &Sources) -> Option<Span> {
        let found = self.inside.as_ref().map(|i| (i.code.span, i.code.locate(sources, i.start, i.end)));
        found.filter(|(whole, place)| whole != place).map(|(_, place)| place).or(self.span)
    }

    /// The problem as text with the excerpt of the source, as `check` prints it.
    pub fn render(&self, sources: &Sources) -> String {
        let mut out = String::new();
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        put(&mut out, format_args!("{severity}[{}]: {}\n", self.code, self.message));
        let place = self.place(sources);
        let gutter = place.map_or(1, |s| s.start.line.to_string().len());
        if let Some(span) = place {
            excerpt(&mut out, sources, span, &self.label, gutter, "-->");
        } else if !self.label.is_empty() {
            put(&mut out, format_args!("  {}\n", self.label));
        }
        for (span, what) in &self.related {
            excerpt(&mut out, sources, *span, what, gutter, ":::");
        }
        for help in &self.help {
            put(&mut out, format_args!("{:gutter$} = help: {help}\n", ""));
        }
        out
    }

    /// The same as a JSON object: `code severity file line column end_line end_column message label help related`.
    pub fn to_json(&self, sources: &Sources) -> serde_json::Value {
        let place = |s: &Span| {
            serde_json::json!({
                "file": sources.get(s.file).map(|f| f.name.as_str()),
                "line": s.start.line, "column": s.start.column,
                "end_line": s.end.line, "end_column": s.end.column,
            })
        };
        let mut v = self.place(sources).as_ref().map_or_else(|| serde_json::json!({}), place);
        v["code"] = self.code.into();
        v["severity"] = if self.severity == Severity::Error { "error" } else { "warning" }.into();
        v["message"] = self.message.as_str().into();
        v["label"] = self.label.as_str().into();
        v["help"] = self.help.clone().into();
        v["related"] = self
            .related
            .iter()
            .map(|(s, what)| {
                let mut r = place(s);
                r["message"] = what.as_str().into();
                r
            })
            .collect();
        v
    }
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(args).is_err() {
        out.push_str("<format error>");
    }
}

/// Longest excerpt line printed; longer ones are cut around the caret.
const EXCERPT_COLUMNS_MAX: usize = 120;

fn excerpt(out: &mut String, sources: &Sources, span: Span, label: &str, gutter: usize, arrow: &str) {
    let name = sources.get(span.file).map_or("<unknown>", |f| f.name.as_str());
    put(out, format_args!("{:gutter$}{arrow} {name}:{}:{}\n", "", span.start.line, span.start.column));
    let Some(line) = sources.line(span.file, span.start.line) else {
        if !label.is_empty() {
            put(out, format_args!("{:gutter$} = {label}\n", ""));
        }
        return;
    };
    let chars: Vec<char> = line.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let column = (span.start.column as usize).saturating_sub(1).min(chars.len());
    let width = if span.end.line == span.start.line {
        (span.end.column.saturating_sub(span.start.column) as usize).clamp(1, EXCERPT_COLUMNS_MAX)
    } else {
        chars.len().saturating_sub(column).clamp(1, EXCERPT_COLUMNS_MAX)
    };
    let from = if chars.len() > EXCERPT_COLUMNS_MAX { column.saturating_sub(40) } else { 0 };
    let shown: String = chars.iter().skip(from).take(EXCERPT_COLUMNS_MAX).collect();
    put(out, format_args!("{:>gutter$} | {}\n", span.start.line, shown.trim_end()));
    let pad = column - from;
    put(out, format_args!("{:gutter$} | {:pad$}{} {label}\n", "", "", "^".repeat(width)));
    while out.ends_with(" \n") {
        out.truncate(out.len() - 2);
        out.push('\n');
    }
}

/// All problems of a file, in one place.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds one; the same problem at the same place is kept once.
    pub fn push(&mut self, d: Diagnostic) {
        if !self.list.contains(&d) {
            self.list.push(d);
        }
    }

    /// Moves every place, for texts that were made from another text.
    pub(crate) fn map_spans(&mut self, map: impl Fn(Span) -> Span) {
        for d in &mut self.list {
            d.span = d.span.map(&map);
            for (span, _) in &mut d.related {
                *span = map(*span);
            }
        }
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Diagnostics) {
        for d in other.list {
            self.push(d);
        }
    }

    /// True if the file must be refused.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|d| d.severity == Severity::Error)
    }

    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// In the order of their places; those without a place come first.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| d.span);
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// True if there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All as text, a blank line between.
    pub fn render(&self, sources: &Sources) -> String {
        self.list.iter().map(|d| d.render(sources)).collect::<Vec<_>>().join("\n")
    }
}
