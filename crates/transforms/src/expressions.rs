//! From expressions in a config to columns.

use crate::common::find;
use crate::errors::Failure;
use crate::sql;
use crate::worker::{self, Job};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use purlin_api::shape::nullable_type;
use purlin_api::unite::fit;
use purlin_api::{BindCx, Error, EventTime, Result};
use purlin_expr::outside::Outside;
use purlin_expr::{Evaluated, Options, Problem, Program, RowContext};
use purlin_spec::config::Spanned;
use purlin_spec::types::{Code, Expression, Snippet};
use purlin_spec::{Diagnostic, Position, Span};
use std::ops::Range;
use std::sync::Arc;

/// The languages that are run here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// A field, a literal, one comparison.
    Generic,
    /// Python.
    Python,
    /// SQL.
    Sql,
}

/// The language that a transform's expressions are in; a diagnostic for one that is not run here.
pub(crate) fn language(given: Option<&Spanned<String>>, cx: &mut BindCx<'_>) -> Option<Language> {
    let Some(given) = given else { return Some(Language::Generic) };
    match given.value.as_str() {
        "generic" => Some(Language::Generic),
        "python" => Some(Language::Python),
        "sql" | "calcite" => sql::built_in(given.span, cx).then_some(Language::Sql),
        other => {
            cx.diagnostics.push(
                Diagnostic::error("language/unsupported", given.span, format!("language `{other}` is not supported yet"))
                    .label("supported: generic, python, sql")
                    .help("write the expression in `language: python`, whose fields and operators are much the same"),
            );
            None
        }
    }
}

/// An expression bound to the schema of its input.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    origin: Origin,
    /// The values' type and nulls; the name means nothing.
    field: Field,
}

#[derive(Clone, Debug)]
enum Origin {
    /// A field of the input as it is.
    Column(usize),
    /// The program, and its text for `explain`.
    Program(Arc<Program>, String),
    /// A worker's job, and its text.
    Worker(Job, String),
    /// SQL.
    Sql(Arc<sql::Column>),
}

impl Compiled {
    /// A field of the input as it is.
    pub(crate) fn column(at: usize, field: &Field) -> Self {
        Compiled { origin: Origin::Column(at), field: field.clone() }
    }

    /// An expression in SQL.
    pub(crate) fn sql(column: sql::Column) -> Self {
        Compiled { field: column.field(), origin: Origin::Sql(Arc::new(column)) }
    }

    /// The field of its values.
    pub(crate) fn field(&self, name: &str) -> Field {
        self.field.clone().with_name(name)
    }

    /// The type of its values.
    pub(crate) fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    /// True if its values have no common type.
    pub(crate) fn is_any(&self) -> bool {
        purlin_api::shape::is_any(&self.field)
    }

    /// Makes datetimes in another zone than UTC errors of their rows.
    pub(crate) fn require_utc(&mut self) {
        if let Origin::Program(program, _) = &mut self.origin
            && let Some(program) = Arc::get_mut(program)
        {
            program.require_utc();
        }
        if let Some(outside) = self.outside_mut() {
            outside.require_utc();
        }
    }

    /// Makes values without a type the truth of them.
    pub(crate) fn as_condition(&mut self) {
        if let Origin::Program(program, _) = &mut self.origin
            && let Some(program) = Arc::get_mut(program)
        {
            program.as_condition();
            self.field = program.field(self.field.name());
        }
        let name = self.field.name().clone();
        if let Some(outside) = self.outside_mut() {
            outside.as_condition();
            self.field = outside.field(name);
        }
    }

    /// The worker's job, if it is one.
    pub(crate) fn job(&self) -> Option<&Job> {
        if let Origin::Worker(job, _) = &self.origin { Some(job) } else { None }
    }

    fn outside_mut(&mut self) -> Option<&mut Outside> {
        if let Origin::Worker(job, _) = &mut self.origin { Arc::get_mut(&mut job.outside) } else { None }
    }

    /// The column it merely moves, if it does no more.
    pub(crate) fn as_column(&self) -> Option<usize> {
        match self.origin {
            Origin::Column(at) => Some(at),
            Origin::Program(..) | Origin::Worker(..) | Origin::Sql(_) => None,
        }
    }

    /// The columns of the input it reads.
    pub(crate) fn columns(&self) -> Vec<usize> {
        match &self.origin {
            Origin::Column(at) => vec![*at],
            Origin::Program(program, _) => program.columns(),
            Origin::Worker(job, _) => job.outside.columns(),
            Origin::Sql(column) => column.columns(),
        }
    }

    /// For `explain`.
    pub(crate) fn describe(&self, input: &Schema) -> String {
        match &self.origin {
            Origin::Column(at) => input.fields().get(*at).map_or_else(String::new, |f| f.name().clone()),
            Origin::Program(program, text) => format!("{text} [{}]", program.describe()),
            Origin::Worker(job, text) => format!("{text} [python3 worker: {}]", job.outside.construct()),
            Origin::Sql(column) => column.text().to_owned(),
        }
    }

    /// As it is written, whatever computes it: what state that was computed of it depends on.
    pub(crate) fn written(&self, input: &Schema) -> String {
        match &self.origin {
            Origin::Column(_) | Origin::Sql(_) => self.describe(input),
            Origin::Program(_, text) | Origin::Worker(_, text) => text.clone(),
        }
    }

    /// Its value for each row; rows that raise are pushed to `failures`, and null in the result. `now` is
    /// what Python's clock shows.
    pub(crate) fn eval(
        &self,
        rows: &RecordBatch,
        now: EventTime,
        failures: &mut Vec<Failure>,
    ) -> Result<ArrayRef> {
        match &self.origin {
            Origin::Column(at) => rows
                .columns()
                .get(*at)
                .cloned()
                .ok_or_else(|| Error::internal(format!("column {at} is missing"))),
            Origin::Program(program, _) => self.taken(program.eval(rows, &context(now)), failures),
            Origin::Worker(job, _) => {
                self.taken(job.outside.values(job.results(rows)?, &context(now)), failures)
            }
            Origin::Sql(column) => column.eval(rows, now, failures),
        }
    }

    fn taken(&self, evaluated: Evaluated, failures: &mut Vec<Failure>) -> Result<ArrayRef> {
        let raised = evaluated.errors.into_iter();
        failures.extend(raised.map(|e| Failure { row: e.row, message: e.message, stack: e.stack }));
        fit(&evaluated.values, &nullable_type(self.field.data_type()))
    }
}

fn context(now: EventTime) -> RowContext {
    RowContext { now_micros: (now > EventTime::MIN).then_some(now.0) }
}

/// Compiles an expression, or pushes what is wrong with it. The bare name of a field, whatever characters
/// it has, is that field in every language.
pub(crate) fn compile(
    expression: &Expression,
    language: Language,
    input: &Schema,
    cx: &mut BindCx<'_>,
) -> Option<Compiled> {
    if let (Code::Expression(snippet), None) = (&expression.code, &expression.output_type)
        && let Some(at) = find(input, &snippet.text)
    {
        return Some(Compiled::column(at, input.field(at)));
    }
    let language = match language {
        Language::Generic => purlin_expr::Language::Generic,
        Language::Python => purlin_expr::Language::Python,
        Language::Sql => return sql::compile(expression, input, cx),
    };
    let text;
    let (code, snippet) = match &expression.code {
        Code::Expression(s) => (purlin_expr::Code::Expression(&s.text), Some(s)),
        Code::Callable(s) => (purlin_expr::Code::Callable(&s.text), Some(s)),
        Code::File { path, name } => {
            text = match cx.probe.text(&path.value) {
                Ok(text) => text,
                Err(e) => {
                    cx.diagnostics.push(Diagnostic::error("expression/file", path.span, e.to_string()));
                    return None;
                }
            };
            (purlin_expr::Code::File { text: &text, name: &name.value }, None)
        }
    };
    let output_type = expression.output_type.as_ref().map(|t| t.to_json());
    let options = Options { beam_compat: cx.beam_compat };
    match purlin_expr::compile(language, code, input, output_type.as_ref(), &options) {
        Ok(program) => {
            if let Some(at) = program.as_plain_field()
                && let Some(field) = input.fields().get(at)
            {
                return Some(Compiled::column(at, field));
            }
            let field = program.field("value");
            Some(Compiled { origin: Origin::Program(Arc::new(program), shown(expression)), field })
        }
        Err(problems) => {
            let span = problems.first().map_or(expression.span, |p| at(p, snippet, expression.span));
            let problems =
                match worker::instead(language, code, input, output_type.as_ref(), (span, problems), cx) {
                    Ok(job) => {
                        let field = job.outside.field("value");
                        return Some(Compiled { origin: Origin::Worker(job, shown(expression)), field });
                    }
                    Err(problems) => problems,
                };
            for problem in problems {
                cx.diagnostics.push(diagnostic(problem, snippet, expression.span));
            }
            None
        }
    }
}

/// An expression as `explain` shows it: its text, or what kind of function it is.
fn shown(expression: &Expression) -> String {
    match &expression.code {
        Code::Expression(s) => s.text.split_whitespace().collect::<Vec<_>>().join(" "),
        Code::Callable(s) => match s.text.lines().count() {
            0 | 1 => s.text.trim().to_owned(),
            lines => format!("a function of {lines} lines"),
        },
        Code::File { path, name } => format!("{} of {}", name.value, path.value),
    }
}

/// Where in the file a problem is.
fn at(problem: &Problem, snippet: Option<&Snippet>, whole: Span) -> Span {
    match (snippet, &problem.range) {
        (Some(snippet), Some(range)) => place(snippet, range.clone()),
        (Some(snippet), None) => snippet.span,
        (None, _) => whole,
    }
}

fn diagnostic(problem: Problem, snippet: Option<&Snippet>, whole: Span) -> Diagnostic {
    let span = at(&problem, snippet, whole);
    let mut d = Diagnostic::error(problem.code, span, problem.message);
    d.help = problem.help;
    d
}

/// Where in the file a stretch of a one-line snippet stands; else all of the snippet. Quotes and escapes
/// show in that the span is wider than the text: only plain quotes can be told from escapes.
pub(crate) fn place(snippet: &Snippet, range: Range<usize>) -> Span {
    let span = snippet.span;
    let chars = snippet.text.chars().count() as u32;
    let width = span.end.column.saturating_sub(span.start.column);
    let quotes = width.saturating_sub(chars);
    let one_line = span.start.line == span.end.line && width >= chars && (quotes == 0 || quotes == 2);
    let before = |at: usize| snippet.text.get(..at).map(|s| s.chars().count() as u32);
    match (before(range.start), before(range.end)) {
        (Some(from), Some(to)) if one_line => {
            let column = |n: u32| span.start.column + quotes / 2 + n;
            let end = Position { line: span.start.line, column: column(to.max(from + 1)) };
            Span { start: Position { line: span.start.line, column: column(from) }, end, ..span }
        }
        _ => span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_point_into_plain_and_quoted_text() {
        let at = |column, width| Span::at(0, 4, column, width);
        let snippet = |text: &str, span| Snippet { text: text.to_owned(), span };
        assert_eq!(place(&snippet("a + zz", at(10, 6)), 4..6), at(14, 2));
        assert_eq!(place(&snippet("é + zz", at(10, 8)), 5..7), at(15, 2));
        assert_eq!(place(&snippet("a + zz", at(10, 9)), 4..6), at(10, 9));
    }
}
