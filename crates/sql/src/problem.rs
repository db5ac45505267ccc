//! What is wrong with a text of SQL, and where.

use datafusion_common::{DataFusionError, SchemaError};
use std::fmt;

/// A place in the text: line and column, both from 1.
pub type Place = (u32, u32);

/// Why a text of SQL cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable word for it, such as `sql/syntax`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// From where to where in the text, if known.
    pub at: Option<(Place, Place)>,
    /// What to do.
    pub help: Vec<String>,
    /// A name that is not known, and those that are.
    pub unknown: Option<Box<Unknown>>,
}

/// A name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// As it is written.
    pub name: String,
    /// The names that exist.
    pub known: Vec<String>,
}

impl Problem {
    /// A problem without a place.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Problem { code, message: message.into(), at: None, help: Vec::new(), unknown: None }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// At a token of `len` characters.
    #[must_use]
    pub(crate) fn at(mut self, line: u64, column: u64, len: usize) -> Self {
        let (line, column) = (u32::try_from(line).unwrap_or(0), u32::try_from(column).unwrap_or(0));
        if line > 0 && column > 0 {
            let end = column.saturating_add(u32::try_from(len.max(1)).unwrap_or(1));
            self.at = Some(((line, column), (line, end)));
        }
        self
    }

    /// Finds a name in the text, if nothing better is known of the place.
    #[must_use]
    pub(crate) fn or_at_name(self, text: &str, name: &str) -> Self {
        if self.at.is_some() || name.is_empty() {
            return self;
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        for (line, content) in text.lines().enumerate() {
            for (at, _) in content.match_indices(name) {
                let before = content.get(..at).and_then(|s| s.chars().next_back());
                let after = content.get(at + name.len()..).and_then(|s| s.chars().next());
                if !before.is_some_and(word) && !after.is_some_and(word) {
                    let column = content.get(..at).map_or(0, |s| s.chars().count());
                    return self.at(line as u64 + 1, column as u64 + 1, name.chars().count());
                }
            }
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What DataFusion says against a text.
pub(crate) fn from_datafusion(e: &DataFusionError, text: &str) -> Problem {
    let span = e.diagnostic().and_then(|d| d.span);
    let mut problem = translated(e.find_root(), text);
    if let (Some(span), None) = (span, problem.at) {
        let width = if span.end.line == span.start.line {
            span.end.column.saturating_sub(span.start.column)
        } else {
            1
        };
        problem = problem.at(span.start.line, span.start.column, usize::try_from(width).unwrap_or(1));
    }
    match problem.unknown.as_ref().map(|u| u.name.clone()) {
        Some(name) if text.contains(&format!("\"{name}\"")) => {
            problem.or_at_name(text, &name).help(format!("text stands in single quotes: `'{name}'`"))
        }
        Some(name) => problem.or_at_name(text, &name),
        None => problem,
    }
}

fn translated(e: &DataFusionError, text: &str) -> Problem {
    match e {
        DataFusionError::Diagnostic(_, inner) => translated(inner.find_root(), text),
        DataFusionError::Collection(all) => match all.first() {
            Some(first) => translated(first.find_root(), text),
            None => Problem::new("sql/plan", "the query cannot be planned"),
        },
        DataFusionError::SchemaError(e, _) => schema(e),
        DataFusionError::SQL(e, _) => crate::parse::problem(e),
        DataFusionError::NotImplemented(what) => {
            Problem::new("sql/unsupported", format!("this SQL is not supported: {}", plain(what)))
        }
        DataFusionError::Plan(what) => planned(what, text),
        other => Problem::new("sql/plan", plain(&other.strip_backtrace())),
    }
}

fn schema(e: &SchemaError) -> Problem {
    match e {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let several = valid_fields
                .iter()
                .any(|f| f.relation != valid_fields.first().and_then(|f| f.relation.clone()));
            let known = valid_fields.iter().map(|f| match &f.relation {
                Some(table) if several => format!("{}.{}", table.table(), f.name),
                _ => f.name.clone(),
            });
            let known: Vec<String> = known.collect();
            let mut p = Problem::new(
                "name/unknown-field",
                format!("unknown column `{}`", field.flat_name().replace('"', "")),
            );
            p.unknown = Some(Box::new(Unknown { name: field.name.clone(), known }));
            p
        }
        SchemaError::AmbiguousReference { field } => {
            Problem::new("sql/ambiguous", format!("column `{}` is in more than one table", field.name))
                .help(format!("say which one: `TABLE.{}`", field.name))
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => {
            Problem::new("sql/column-twice", format!("the result has two columns called `{name}`"))
                .help(format!("give one another name: `{name} AS other`"))
        }
    }
}

/// The messages of the planner that people meet most, in our words.
fn planned(what: &str, text: &str) -> Problem {
    let what = plain(what);
    if let Some(rest) = what.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default().to_owned();
        let known = crate::functions::names();
        let mut p = Problem::new("sql/unknown-function", format!("unknown function `{name}`"));
        p = p.or_at_name(text, &name).or_at_name(text, &name.to_uppercase());
        p.unknown = Some(Box::new(Unknown { name, known }));
        return p;
    }
    not_grouped(&what, text).or_else(|| unfit(&what)).unwrap_or_else(|| Problem::new("sql/plan", what))
}

/// A column beside aggregates that rows are not grouped by.
fn not_grouped(what: &str, text: &str) -> Option<Problem> {
    let (_, rest) = what.split_once("must be in GROUP BY or an aggregate function: ")?;
    let (column, _) = rest.split_once("column \"")?.1.split_once("\" must appear")?;
    let name = column.rsplit('.').next().unwrap_or(column).replace('"', "");
    let message = format!("column `{name}` stands beside an aggregate, but is not in `GROUP BY`");
    let grouped = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ").contains("group by");
    let add = if grouped { format!("add `{name}` to `GROUP BY`") } else { format!("add `GROUP BY {name}`") };
    let help = format!("{add}, or say which of its values is wanted, such as `MAX({name})`");
    Some(Problem::new("sql/not-grouped", message).or_at_name(text, &name).help(help))
}

/// An operator between types that it does not take.
fn unfit(what: &str) -> Option<Problem> {
    let (_, rest) = what
        .split_once("Cannot coerce arithmetic expression ")
        .or_else(|| what.split_once("Cannot infer common argument type for comparison operation "))?;
    let types = rest.split_once(" to valid types").map_or(rest, |(types, _)| types);
    let (at, operator) = OPERATORS.iter().find_map(|o| Some((types.find(&format!(" {o} "))?, *o)))?;
    let (left, right) = (types.get(..at)?, types.get(at + operator.len() + 2..)?);
    let message = format!("`{operator}` does not work on {} and {}", in_words(left), in_words(right));
    Some(Problem::new("sql/type", message).help("give both one type, such as by `CAST(x AS BIGINT)`"))
}

/// What stands between the types in messages.
const OPERATORS: [&str; 11] = ["+", "-", "*", "/", "%", "=", "!=", "<=", ">=", "<", ">"];

/// A type of Arrow, as its messages have it.
fn in_words(name: &str) -> &str {
    let words = [
        ("Int", "an integer"),
        ("UInt", "an integer"),
        ("Float", "a float"),
        ("Decimal", "a decimal"),
        ("Utf8", "text"),
        ("LargeUtf8", "text"),
        ("Boolean", "a truth value"),
        ("Timestamp", "a timestamp"),
        ("Date", "a date"),
        ("Interval", "an interval"),
        ("Binary", "bytes"),
        ("List", "a list"),
        ("Struct", "a row"),
        ("Map", "a map"),
        ("Null", "null"),
    ];
    // `Interval` begins as `Int` does.
    let found =
        words.iter().filter(|(begin, _)| name.starts_with(begin)).max_by_key(|(begin, _)| begin.len());
    found.map_or(name, |(_, words)| words)
}

/// A message on one line, without its hints for developers.
pub(crate) fn plain(message: &str) -> String {
    let message = message.split("\n\nThis issue was likely caused by").next().unwrap_or(message);
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = one_line.as_str();
    for prefix in ["Error during planning: ", "Execution error: ", "Arrow error: ", "Optimizer rule "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.to_owned()
}
