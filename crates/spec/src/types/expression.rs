//! Expressions and functions in a config: what is written, and where.

use crate::config::{FromNode, Kind, Spanned, check_keys, wrong_kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Position, Sources, Span, Value};

/// A piece of code in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The code.
    pub text: String,
    /// Where it is written; for block scalars this may start at the `|`.
    pub span: Span,
}

impl Snippet {
    /// The place in the file of a stretch of the code; `line` and `column` count from 1.
    ///
    /// Exact for code written plain, quoted without escapes, or as a `|` block; else the whole snippet.
    pub fn locate(&self, sources: &Sources, start: Position, end: Position) -> Span {
        self.position(sources, start)
            .map(|from| {
                let to = self.position(sources, end).filter(|to| *to > from);
                let next = Position { line: from.line, column: from.column.saturating_add(1) };
                Span { file: self.span.file, start: from, end: to.unwrap_or(next) }
            })
            .unwrap_or(self.span)
    }

    fn position(&self, sources: &Sources, at: Position) -> Option<Position> {
        let first = sources.line(self.span.file, self.span.start.line)?;
        let rest: Vec<char> = first.chars().skip(self.span.start.column.checked_sub(1)? as usize).collect();
        let (line, column) = (at.line.checked_sub(1)?, at.column.checked_sub(1)?);
        let code_line = self.text.lines().nth(line as usize).unwrap_or("");
        let (file_line, indent) = match rest.first() {
            Some('|') => {
                // The text starts on the next line, at the indentation of its first line with letters.
                let file_line = self.span.start.line.checked_add(1)?.checked_add(line)?;
                let there = sources.line(self.span.file, file_line)?;
                (file_line, there.find(code_line)?)
            }
            Some('>') => return None,
            Some('"' | '\'') if line == 0 => (self.span.start.line, self.span.start.column as usize),
            _ => {
                let file_line = self.span.start.line.checked_add(line)?;
                let from = if line == 0 { self.span.start.column.saturating_sub(1) as usize } else { 0 };
                let there: String = sources.line(self.span.file, file_line)?.chars().skip(from).collect();
                let found = there.find(code_line)?;
                (file_line, from + there.get(..found).map_or(0, |s| s.chars().count()))
            }
        };
        // What stands there must be the code: escapes and folding shift columns.
        let there: String = sources.line(self.span.file, file_line)?.chars().skip(indent).collect();
        there.starts_with(code_line).then(|| Position {
            line: file_line,
            column: (indent as u32).saturating_add(column).saturating_add(1),
        })
    }
}

/// How a value is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Code {
    /// One expression over the fields of the row.
    Expression(Snippet),
    /// A function of the row.
    Callable(Snippet),
    /// A function in a file.
    File {
        /// The file.
        path: Spanned<String>,
        /// The function's name.
        name: Spanned<String>,
    },
}

/// An expression or function, with the type its author declares.
///
/// Written as text, as a number or boolean, or as a mapping with `expression`, `callable`, or `path` and
/// `name`, and optionally `output_type`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// What to compute.
    pub code: Code,
    /// The declared type: a JSON schema type name or a JSON schema.
    pub output_type: Option<Node>,
    /// Where all of it is written.
    pub span: Span,
}

const KEYS: &[&str] = &["expression", "callable", "path", "name", "output_type"];

impl FromNode for Expression {
    fn kind() -> Kind {
        Kind::Expression
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_none() {
            return Some(Expression {
                code: Code::Expression(snippet(node, d)?),
                output_type: None,
                span: node.span,
            });
        }
        if !check_keys(node, "an expression", KEYS, d) {
            return None;
        }
        let given: Vec<&str> =
            ["expression", "callable", "path"].into_iter().filter(|k| node.get(k).is_some()).collect();
        let one = |what: &str| {
            Diagnostic::error("expression/form", node.span, what.to_owned())
                .help("give one of: `expression`; `callable`; `path` and `name`")
        };
        let code = match given.as_slice() {
            ["expression"] => Code::Expression(snippet(node.get("expression")?, d)?),
            ["callable"] => Code::Callable(snippet(node.get("callable")?, d)?),
            ["path"] => {
                let Some(name) = node.get("name") else {
                    d.push(one("an expression with `path` needs the `name` of the function in that file"));
                    return None;
                };
                Code::File {
                    path: Spanned::from_node(node.get("path")?, d)?,
                    name: Spanned::from_node(name, d)?,
                }
            }
            [] => {
                d.push(one("this expression has neither `expression` nor `callable` nor `path`"));
                return None;
            }
            _ => {
                d.push(one(&format!("an expression cannot have both `{}`", given.join("` and `"))));
                return None;
            }
        };
        if let (Some(name), false) = (node.get("name"), matches!(code, Code::File { .. })) {
            d.push(
                Diagnostic::error(
                    "expression/form",
                    name.span,
                    "`name` belongs to `path`, which is not given",
                )
                .help("give one of: `expression`; `callable`; `path` and `name`"),
            );
            return None;
        }
        let output_type = node.get("output_type").filter(|n| !n.is_null()).cloned();
        if let Some(t) = output_type.as_ref().filter(|t| t.as_text().is_none() && t.as_map().is_none()) {
            wrong_kind(t, "a type name such as `string`, or a JSON schema", d);
            return None;
        }
        Some(Expression { code, output_type, span: node.span })
    }
}

/// The code of a scalar. Booleans and numbers are spelled as Python spells their values, because `yes`
/// and `012` in YAML mean `True` and `10`.
fn snippet(node: &Node, d: &mut Diagnostics) -> Option<Snippet> {
    let text = match &node.value {
        Value::Text(s) | Value::BigInt(s) => s.clone(),
        Value::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => float_text(*f, node.raw.as_deref()),
        Value::Date(s) => {
            d.push(
                Diagnostic::error(
                    "expression/date",
                    node.span,
                    format!("`{s}` is a date in YAML, not an expression"),
                )
                .help(format!("put it in quotes: `'{s}'`")),
            );
            return None;
        }
        Value::Null | Value::List(_) | Value::Map(_) => {
            wrong_kind(node, "an expression", d);
            return None;
        }
    };
    Some(Snippet { text, span: node.span })
}

fn float_text(f: f64, raw: Option<&str>) -> String {
    if let Some(raw) = raw {
        let digits = raw.trim_start_matches('-');
        if digits.contains('.')
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|b| b == b'.' || b.is_ascii_digit())
        {
            return raw.to_owned();
        }
    }
    if f.is_nan() {
        "float('nan')".to_owned()
    } else if f.is_infinite() {
        if f > 0.0 { "float('inf')" } else { "float('-inf')" }.to_owned()
    } else {
        // `{:?}` keeps the point, so that 1.0 stays a float.
        format!("{f:?}")
    }
}
