//! From a place in rendered text back to the place its author typed.

use crate::node::{Position, Span};
use std::collections::BTreeMap;

/// Maps places of a text to places of the source it was made from.
///
/// The text is what [`crate::yaml::parse`] reads; the source is what the author sees.
#[derive(Clone, Debug)]
pub struct LineMap {
    kind: Kind,
    /// Lines of the text that were moved to the right, and by how much.
    moved: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The text is the source without its first `dropped` lines.
    Shifted { file: u32, dropped: u32 },
    /// All of the text came from one place.
    Fixed(Span),
    /// Stretches of the text, in order of their start; each line of the text has at least one, except
    /// lines that continue the one before.
    Stretches(Vec<Stretch>),
}

/// From `at` (a place of the text) on, text comes from `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where it starts in the text.
    pub(crate) at: Position,
    /// Where it came from.
    pub(crate) from: Origin,
}

/// Where a stretch of text came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Copied letter by letter from here on.
    Copied {
        /// Source file.
        file: u32,
        /// Its first character in the source.
        start: Position,
    },
    /// Made by a tag, such as `{{ x }}`.
    Made(Span),
}

impl LineMap {
    /// The text is the source file itself.
    pub fn identity(file: u32) -> Self {
        LineMap::shifted(file, 0)
    }

    /// The text is the source file without its first `dropped` lines.
    pub fn shifted(file: u32, dropped: u32) -> Self {
        LineMap::of(Kind::Shifted { file, dropped })
    }

    /// Everything maps to one span: for text that a program made up from there.
    pub fn fixed(span: Span) -> Self {
        LineMap::of(Kind::Fixed(span))
    }

    /// From stretches in order of their start.
    pub(crate) fn stretches(stretches: Vec<Stretch>) -> Self {
        LineMap::of(Kind::Stretches(stretches))
    }

    fn of(kind: Kind) -> Self {
        LineMap { kind, moved: BTreeMap::new() }
    }

    /// The same for the text with these lines moved to the right by so many characters.
    pub(crate) fn with_moved(&self, moved: BTreeMap<u32, u32>) -> Self {
        LineMap { moved, ..self.clone() }
    }

    /// A place before lines were moved.
    fn back(&self, at: Position) -> Position {
        let by = self.moved.get(&at.line).copied().unwrap_or(0);
        Position { column: at.column.saturating_sub(by).max(1), ..at }
    }

    /// The source span of a stretch of text; `end` is exclusive.
    pub fn span(&self, start: Position, end: Position) -> Span {
        let (start, end) = (self.back(start), self.back(end));
        if let Kind::Fixed(span) = &self.kind {
            return *span;
        }
        let (file, from) = self.place(start);
        // The end belongs to the character before it: the next one may come from elsewhere.
        let (end_file, to) = self.end(end);
        let to = if end_file == file && to > from {
            to
        } else {
            Position { line: from.line, column: from.column.saturating_add(1) }
        };
        Span { file, start: from, end: if start == end { from.max(self.place(end).1) } else { to } }
    }

    /// The source place of one character of the text.
    pub fn start(&self, at: Position) -> (u32, Position) {
        self.place(self.back(at))
    }

    fn place(&self, at: Position) -> (u32, Position) {
        match &self.kind {
            Kind::Shifted { file, dropped } => {
                (*file, Position { line: at.line.saturating_add(*dropped), column: at.column })
            }
            Kind::Fixed(span) => (span.file, span.start),
            Kind::Stretches(list) => match before(list, at) {
                None => (0, Position { line: 1, column: 1 }),
                Some(s) => match s.from {
                    Origin::Made(span) => (span.file, span.start),
                    Origin::Copied { file, start } => (file, moved(s.at, start, at)),
                },
            },
        }
    }

    fn end(&self, end: Position) -> (u32, Position) {
        let last = Position { line: end.line, column: end.column.saturating_sub(1).max(1) };
        match &self.kind {
            Kind::Shifted { .. } => self.place(end),
            Kind::Fixed(span) => (span.file, span.end),
            Kind::Stretches(list) => match before(list, last) {
                Some(Stretch { from: Origin::Made(span), .. }) => (span.file, span.end),
                _ => {
                    let (file, p) = self.place(last);
                    (
                        file,
                        Position { line: p.line, column: p.column.saturating_add(end.column - last.column) },
                    )
                }
            },
        }
    }
}

fn before(list: &[Stretch], at: Position) -> Option<&Stretch> {
    let after = list.partition_point(|s| s.at <= at);
    list.get(after.saturating_sub(1))
}

/// `at` seen from the source, if the text from `text` on was copied from `source` on.
fn moved(text: Position, source: Position, at: Position) -> Position {
    let lines = at.line.saturating_sub(text.line);
    let column = if lines == 0 {
        source.column.saturating_add(at.column).saturating_sub(text.column)
    } else {
        at.column
    };
    Position { line: source.line.saturating_add(lines), column: column.max(1) }
}
