//! A template's source made ready for the engine, and the way back from engine offsets and output marks.

use super::arithmetic;
use super::line_map::{Origin, Stretch};
use super::scan::{self, Piece, Tag};
use crate::node::{Position, Span};
use std::collections::HashMap;
use std::ops::Range;

/// The name of the function that accounts for raw text.
pub(crate) const TICK: &str = "__tick";
/// Raw text longer than this is accounted for when it is written: instructions alone do not bound it.
const TICK_BYTES_MIN: usize = 512;

/// Which marks to put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marking {
    /// None.
    Off,
    /// Wherever text is written.
    Everywhere,
    /// Only where text goes straight to the output, and nothing in the template can see it.
    TopLevel,
}

/// A source text with what was dropped from its front.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Its number in the sources.
    pub(crate) file: u32,
    /// The name it goes by.
    pub(crate) name: String,
    /// The text without byte order mark and leading comments, line ends as `\n`.
    pub(crate) text: String,
    /// How many lines were dropped from its front.
    pub(crate) dropped: u32,
    /// Byte offsets of the line starts of `text`.
    starts: Vec<usize>,
}

impl Source {
    /// From the text of a file. Leading blank and `#` lines go, as in Beam, before templating.
    pub(crate) fn new(file: u32, name: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text.to_owned() };
        let mut dropped = 0;
        let mut from = 0;
        for line in text.split_inclusive('\n') {
            let trimmed = line.trim_start();
            if !trimmed.is_empty() && !trimmed.starts_with('#') {
                break;
            }
            dropped += 1;
            from += line.len();
        }
        let text = text.get(from..).unwrap_or_default().to_owned();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Source { file, name: name.to_owned(), text, dropped, starts }
    }

    /// True if there is nothing to render.
    pub(crate) fn is_plain(&self) -> bool {
        !["{{", "{%", "{#"].iter().any(|s| self.text.contains(s))
    }

    /// The place of a byte offset of `text` in the file.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|s| *s <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |t| t.chars().count());
        Position { line: line as u32 + self.dropped, column: column as u32 + 1 }
    }

    /// The span of a byte range of `text` in the file.
    pub(crate) fn span(&self, from: usize, to: usize) -> Span {
        Span { file: self.file, start: self.position(from), end: self.position(to.max(from)) }
    }
}

/// What the engine is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    /// The text.
    pub(crate) text: String,
    /// The parts of `text`, in order.
    parts: Vec<Part>,
}

/// A part of the prepared text and the place in the source it stands for.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    original: usize,
    copied: bool,
}

impl Prepared {
    /// The byte range in the source that a byte range of the prepared text stands for.
    pub(crate) fn original(&self, from: usize, to: usize) -> (usize, usize) {
        let start = self.offset(from, 0);
        // The end goes with the letter before it.
        let end = if to > from { self.offset(to - 1, 1) } else { start };
        (start, end.max(start))
    }

    fn offset(&self, at: usize, past: usize) -> usize {
        let after = self.parts.partition_point(|p| p.start <= at);
        match after.checked_sub(1).and_then(|i| self.parts.get(i)) {
            Some(part) if part.copied => part.original + (at - part.start) + past,
            Some(part) => part.original,
            None => at,
        }
    }

    fn copy(&mut self, text: &str, original: usize) {
        self.put(text, original, true);
    }

    fn insert(&mut self, text: &str, original: usize) {
        self.put(text, original, false);
    }

    fn put(&mut self, text: &str, original: usize, copied: bool) {
        self.parts.push(Part { start: self.text.len(), original, copied });
        self.text.push_str(text);
    }
}

/// Prepares a source. Marks are numbered on from `origins`, to which their origins are added.
pub(crate) fn prepare(source: &Source, marking: Marking, origins: &mut Vec<Origin>) -> Prepared {
    let mut out = Prepared::default();
    let Some(pieces) = scan::pieces(&source.text) else {
        out.copy(&source.text, 0);
        return out;
    };
    let start = (0, source.position(0));
    let mut writer = Writer { source, marking, origins, captures: 0, cursor: start };
    let mut trimmed = false;
    for piece in &pieces {
        match piece {
            Piece::Raw(range) => {
                writer.tick(range, trimmed, &mut out);
                writer.raw(range.clone(), &mut out);
            }
            Piece::Verbatim(range) => writer.raw(range.clone(), &mut out),
            Piece::Tag(tag) => writer.tag(tag, &mut out),
            Piece::Other { range, .. } => {
                out.copy(source.text.get(range.clone()).unwrap_or_default(), range.start);
            }
        }
        trimmed = match piece {
            Piece::Raw(_) | Piece::Verbatim(_) => false,
            Piece::Tag(tag) => tag.trims_after,
            Piece::Other { trims_after, .. } => *trims_after,
        };
    }
    out
}

struct Writer<'a> {
    source: &'a Source,
    marking: Marking,
    origins: &'a mut Vec<Origin>,
    /// How many blocks around here keep their text instead of writing it out.
    captures: usize,
    /// The last place looked up: places are asked for in order, and lines may be long.
    cursor: (usize, Position),
}

impl Writer<'_> {
    fn marks_here(&self) -> bool {
        match self.marking {
            Marking::Off => false,
            Marking::Everywhere => true,
            Marking::TopLevel => self.captures == 0,
        }
    }

    fn position(&mut self, offset: usize) -> Position {
        let (last, place) = self.cursor;
        let between = self.source.text.get(last..offset).filter(|t| !t.contains('\n'));
        let found = match between {
            Some(t) => Position { column: place.column + t.chars().count() as u32, ..place },
            None => self.source.position(offset),
        };
        self.cursor = (offset, found);
        found
    }

    fn mark(&mut self, origin: Origin) -> String {
        self.origins.push(origin);
        mark_text(self.origins.len() - 1)
    }

    /// Accounts for long raw text before it is written.
    fn tick(&self, range: &Range<usize>, trimmed: bool, out: &mut Prepared) {
        if range.len() > TICK_BYTES_MIN {
            let sign = if trimmed { "-" } else { "" };
            out.insert(&format!("{{%{sign} do {TICK}({}) {sign}%}}", range.len()), range.start);
        }
    }

    /// Raw text, with a mark before the first letter of each line: there no trimming can meet it.
    fn raw(&mut self, range: Range<usize>, out: &mut Prepared) {
        let text = self.source.text.get(range.clone()).unwrap_or_default();
        if !self.marks_here() {
            out.copy(text, range.start);
            return;
        }
        let mut at = range.start;
        for line in text.split_inclusive('\n') {
            let white = line.len() - line.trim_start().len();
            if white < line.len() {
                out.copy(line.get(..white).unwrap_or_default(), at);
                let start = self.position(at + white);
                let mark = self.mark(Origin::Copied { file: self.source.file, start });
                out.insert(&mark, at + white);
            }
            let rest = if white < line.len() { white } else { 0 };
            out.copy(line.get(rest..).unwrap_or_default(), at + rest);
            at += line.len();
        }
    }

    fn tag(&mut self, tag: &Tag, out: &mut Prepared) {
        let text = &self.source.text;
        let word = |i: usize| tag.tokens.get(i).and_then(|t| text.get(t.range.clone())).unwrap_or_default();
        let keyword = if tag.prints { "" } else { word(0) };
        if keyword.strip_prefix("end").is_some_and(is_capture) {
            self.captures = self.captures.saturating_sub(1);
        }
        // A block whose text comes from elsewhere stands for that text where the text has no marks itself.
        let writes = tag.prints
            || (self.marking == Marking::TopLevel && matches!(keyword, "include" | "call" | "filter"));
        if writes && self.marks_here() {
            let (start, end) = (self.position(tag.range.start), self.position(tag.range.end));
            let origin = Origin::Made(Span { file: self.source.file, start, end });
            let mark = self.mark(origin);
            // A tag of its own, so that the trimming of the next one passes over it.
            let sign = if tag.trims_before { "-" } else { "" };
            out.insert(&format!("{{{{{sign} '{mark}' }}}}"), tag.range.start);
        }
        out.copy(text.get(tag.range.start..tag.inner.start).unwrap_or_default(), tag.range.start);
        match arithmetic::rewrite(text, tag) {
            Some(chunks) => chunks.iter().for_each(|c| out.put(&c.text, c.at, c.copied)),
            None => out.copy(text.get(tag.inner.clone()).unwrap_or_default(), tag.inner.start),
        }
        out.copy(text.get(tag.inner.end..tag.range.end).unwrap_or_default(), tag.inner.end);
        let block_set =
            keyword == "set" && !tag.tokens.iter().any(|t| text.get(t.range.clone()) == Some("="));
        if block_set || (keyword != "set" && is_capture(keyword)) {
            self.captures = self.captures.saturating_add(1);
        }
        // A recursive loop hands its text to `loop(…)`; that is never undone, it is rare enough.
        if keyword == "for"
            && tag.tokens.last().is_some_and(|t| text.get(t.range.clone()) == Some("recursive"))
        {
            self.captures = self.captures.saturating_add(usize::MAX / 2);
        }
    }
}

/// Blocks whose text the template can look at before it is written, or that write it elsewhere.
fn is_capture(keyword: &str) -> bool {
    matches!(keyword, "macro" | "set" | "call" | "filter" | "block")
}

const MARK_LOW: u32 = 0xF_0000;
const MARK_HIGH: u32 = 0x10_0000;
const MARK_BITS: u32 = 15;

/// Mark number `i` as two private characters, which no YAML has a use for.
fn mark_text(i: usize) -> String {
    let i = u32::try_from(i).unwrap_or(u32::MAX) & 0x3FFF_FFFF;
    let low = MARK_LOW + (i & ((1 << MARK_BITS) - 1));
    let high = MARK_HIGH + (i >> MARK_BITS);
    [low, high].into_iter().filter_map(char::from_u32).collect()
}

fn mark_number(low: char, high: char) -> Option<usize> {
    let low = u32::from(low).checked_sub(MARK_LOW).filter(|v| *v < (1 << MARK_BITS))?;
    let high = u32::from(high).checked_sub(MARK_HIGH).filter(|v| *v < (1 << MARK_BITS))?;
    Some(((high << MARK_BITS) | low) as usize)
}

/// Takes the marks out of a text: the text without them, and the stretches they start.
pub(crate) fn unmark(marked: &str, origins: &[Origin]) -> (String, Vec<Stretch>) {
    let mut text = String::with_capacity(marked.len());
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut at = Position { line: 1, column: 1 };
    let mut chars = marked.chars();
    while let Some(c) = chars.next() {
        let next = chars.as_str().chars().next();
        if let Some(origin) = next.and_then(|n| mark_number(c, n)).and_then(|i| origins.get(i)) {
            chars.next();
            if stretches.last().is_some_and(|s| s.at == at) {
                stretches.pop();
            }
            stretches.push(Stretch { at, from: *origin });
            continue;
        }
        text.push(c);
        if c == '\n' {
            at = Position { line: at.line.saturating_add(1), column: 1 };
        } else {
            at.column = at.column.saturating_add(1);
        }
    }
    (text, stretches)
}

/// True if two texts have the same lines; lines of white space alone count as equal.
pub(crate) fn same_lines(a: &str, b: &str) -> bool {
    a == b || {
        let blank = |l: &str| l.trim().is_empty();
        a.split('\n').count() == b.split('\n').count()
            && a.split('\n').zip(b.split('\n')).all(|(a, b)| a == b || (blank(a) && blank(b)))
    }
}

/// Without marks: a line of the output came from an equal line of the source, if there is one, else from
/// about where the line before it came from.
pub(crate) fn guess(rendered: &str, source: &Source) -> Vec<Stretch> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in lines.iter().enumerate() {
        places.entry(line.trim()).or_default().push(i);
    }
    let mut last = 0;
    let mut stretches = Vec::new();
    for (i, line) in rendered.lines().enumerate() {
        let same =
            places.get(line.trim()).and_then(|l| l.get(l.partition_point(|n| *n < last)).or(l.first()));
        last = same.copied().unwrap_or(last);
        let typed = lines.get(last).copied().unwrap_or_default();
        let indent = |l: &str| l.chars().take_while(|c| c.is_whitespace()).count() as u32;
        let start = Position { line: last as u32 + 1 + source.dropped, column: indent(typed) + 1 };
        let width = typed.trim().chars().count().max(1) as u32;
        let from = match same {
            Some(_) => Origin::Copied { file: source.file, start },
            None => Origin::Made(Span::at(source.file, start.line, start.column, width)),
        };
        stretches.push(Stretch { at: Position { line: i as u32 + 1, column: indent(line) + 1 }, from });
    }
    stretches
}
