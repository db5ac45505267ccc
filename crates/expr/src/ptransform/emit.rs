//! Pieces of a source as text: moved to the left, with `self.x` made a variable.

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::{Ranged as _, TextRange};
use std::ops::Range;

/// A source, and how stretches of it are written differently.
pub(super) struct Text<'a> {
    source: &'a str,
    /// Literals of text: their lines keep their indentation.
    literals: Vec<Range<usize>>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'a> Text<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Text { source, literals: Vec::new(), edits: Vec::new() }
    }

    /// Notes the literals of a module.
    pub(super) fn protect(&mut self, suite: &[Stmt]) {
        let mut found = Literals(Vec::new());
        suite.iter().for_each(|s| found.visit_stmt(s));
        self.literals = found.0;
    }

    /// Writes `with` in the place of a stretch.
    pub(super) fn replace(&mut self, range: Range<usize>, with: String) {
        self.edits.push((range, with));
    }

    /// The text of an expression.
    pub(super) fn slice(&self, range: TextRange) -> String {
        self.edited(range.start().to_usize()..range.end().to_usize(), 0)
    }

    /// The text of a statement, as if it stood in the first column.
    pub(super) fn statement(&self, stmt: &Stmt) -> String {
        let range = stmt.range().start().to_usize()..stmt.range().end().to_usize();
        let before = self.source.get(..range.start).unwrap_or("");
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        self.edited(range, column)
    }

    /// For messages.
    pub(super) fn first_line(&self, range: TextRange) -> String {
        let text = self.slice(range);
        text.lines().next().unwrap_or("").trim().to_owned()
    }

    fn edited(&self, range: Range<usize>, column: usize) -> String {
        let inside = |r: &Range<usize>| r.start >= range.start && r.end <= range.end;
        let mut edits: Vec<(Range<usize>, &str)> =
            self.edits.iter().filter(|(r, _)| inside(r)).map(|(r, t)| (r.clone(), t.as_str())).collect();
        let text = self.source.get(range.clone()).unwrap_or("");
        for (at, _) in text.match_indices('\n') {
            let start = range.start + at + 1;
            let line = self.source.get(start..range.end).unwrap_or("");
            let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
            let literal = self.literals.iter().any(|l| l.start < start && start < l.end);
            if column > 0 && !literal {
                edits.push((start..start + blank.min(column), ""));
            }
        }
        edits.sort_by_key(|(r, _)| (r.start, r.end));
        let (mut out, mut at) = (String::new(), range.start);
        for (r, with) in edits {
            if r.start >= at {
                out.push_str(self.source.get(at..r.start).unwrap_or(""));
                out.push_str(with);
                at = r.end;
            }
        }
        out.push_str(self.source.get(at..range.end).unwrap_or(""));
        out
    }
}

struct Literals(Vec<Range<usize>>);

impl<'a> Visitor<'a> for Literals {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if expr.is_string_literal_expr() || expr.is_f_string_expr() || expr.is_bytes_literal_expr() {
            self.0.push(expr.range().start().to_usize()..expr.range().end().to_usize());
        }
        walk_expr(self, expr);
    }
}
