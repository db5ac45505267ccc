//! What is wrong with SQL, as a diagnostic.

use crate::expressions::place;
use purlin_spec::types::Snippet;
use purlin_spec::{Diagnostic, Position, Span, suggest};
use purlin_sql::Problem;

/// A problem of a snippet, as exactly placed as the file allows.
pub(crate) fn diagnostic(problem: Problem, snippet: &Snippet) -> Diagnostic {
    let span = problem.at.map_or(snippet.span, |(from, to)| located(snippet, from, to));
    let mut d = Diagnostic::error(problem.code, span, problem.message);
    if let Some((from, to)) = problem.at {
        let position = |(line, column)| Position { line, column };
        d = d.inside(snippet.clone(), position(from), position(to));
    }
    if let Some(unknown) = &problem.unknown {
        let known = || unknown.known.iter().map(String::as_str);
        d = d.maybe_help(suggest::did_you_mean(&unknown.name, known()));
        if unknown.known.len() <= LISTED_MAX {
            d = d.label(format!("there are: {}", suggest::listed(known())));
        }
    }
    d.help.extend(problem.help);
    d
}

/// More names are not listed.
const LISTED_MAX: usize = 60;

type Place = (u32, u32);

/// The place in the file of a stretch of a snippet of one line; of others the file's text tells.
fn located(snippet: &Snippet, from: Place, to: Place) -> Span {
    match (offset(&snippet.text, from), offset(&snippet.text, to)) {
        (Some(start), Some(end)) if snippet.text.lines().count() <= 1 => place(snippet, start..end),
        _ => snippet.span,
    }
}

/// The byte at which a place of one line of text is.
fn offset(text: &str, (line, column): Place) -> Option<usize> {
    if line != 1 {
        return None;
    }
    let column = column.checked_sub(1)? as usize;
    text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).nth(column)
}
