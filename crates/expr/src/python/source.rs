//! The parsed text beside the user's: what was added or cut, so that ranges point into the original.

use ruff_python_parser::ParseError;

use crate::problem::Problem;

pub(super) struct Source {
    pub(super) text: String,
    /// For each line of `text`: its start, and the start of the same place in the original.
    lines: Vec<(usize, usize)>,
    length: usize,
}

impl Source {
    /// An expression is parsed in parentheses, so it may span lines.
    pub(super) fn expression(text: &str) -> Source {
        // A comment on the last line must not swallow the closing parenthesis.
        Source { text: format!("({text}\n)"), lines: vec![(1, 0)], length: text.len() }
    }

    /// A script loses the indentation that all its lines share.
    pub(super) fn script(text: &str) -> Source {
        let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
        let common = text.lines().filter(code).map(indent).min().unwrap_or(0);
        let mut out = String::with_capacity(text.len());
        let mut lines = Vec::new();
        let mut original = 0;
        for line in text.split_inclusive('\n') {
            let cut = indent(line).min(common);
            lines.push((out.len(), original + cut));
            out.push_str(line.get(cut..).unwrap_or(""));
            original += line.len();
        }
        Source { text: out, lines, length: text.len() }
    }

    /// The place in the user's text of a place in the parsed one.
    pub(super) fn original(&self, at: usize) -> usize {
        let line = self.lines.partition_point(|(start, _)| *start <= at).checked_sub(1);
        let (start, original) = line.and_then(|i| self.lines.get(i)).copied().unwrap_or((0, 0));
        (original + at.saturating_sub(start)).min(self.length)
    }

    pub(super) fn syntax(&self, error: &ParseError) -> Problem {
        let start = self.original(error.location.start().to_usize());
        let end = self.original(error.location.end().to_usize());
        Problem::new("expr/syntax", format!("invalid Python: {}", error.error), Some(start..end.max(start)))
    }
}
