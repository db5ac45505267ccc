//! What is wrong with an expression, found before any data flows.

use std::ops::Range;

/// A problem in the user's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable: `expr/syntax`, `expr/unknown-name`, `expr/unsupported`, `expr/type`, `expr/too-deep`.
    pub code: &'static str,
    /// One sentence naming what is wrong.
    pub message: String,
    /// The bytes of the expression's text that it is about.
    pub range: Option<Range<usize>>,
    /// Ways out, and names that do exist.
    pub help: Vec<String>,
}

/// How messages about constructs outside the compiled subset end.
const UNCOMPILED: &str = " is not part of the Python that is compiled";

impl Problem {
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        range: Option<Range<usize>>,
    ) -> Problem {
        Problem { code, message: message.into(), range, help: Vec::new() }
    }

    /// Python that is not compiled; a worker may run it.
    pub(crate) fn uncompiled(what: &str, range: Option<Range<usize>>) -> Problem {
        Problem::new("expr/unsupported", format!("{what}{UNCOMPILED}"), range)
    }

    /// What is not compiled, if this is about that.
    pub(crate) fn construct(&self) -> Option<&str> {
        self.message.strip_suffix(UNCOMPILED)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help.push(help.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.help.iter().try_for_each(|h| write!(f, "; {h}"))
    }
}

impl std::error::Error for Problem {}

/// An unknown name with what it may have meant.
pub(crate) fn unknown_name<'a>(
    message: String,
    wrong: &str,
    kind: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    range: Option<Range<usize>>,
) -> Problem {
    const LISTED_MAX: usize = 20;
    let mut problem = Problem::new("expr/unknown-name", message, range);
    if let Some(near) = nearest(wrong, names.clone()) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    let count = names.clone().count();
    let mut listed = names.take(LISTED_MAX).collect::<Vec<_>>().join(", ");
    if count > LISTED_MAX {
        listed.push_str(&format!(", and {} more", count - LISTED_MAX));
    }
    let listed = if count == 0 { "none".to_owned() } else { listed };
    problem.help(format!("{kind}: {listed}"))
}

/// The name most like `wrong`, if one is near enough to be a slip of the pen.
pub fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let limit = (length / 3).max(1);
    names
        .filter(|name| *name != wrong && name.chars().count().abs_diff(length) <= limit)
        .map(|name| (distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(100).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
    }
    row.last().copied().unwrap_or(0)
}
