//! Cuts a template into raw text and tags, as Jinja's lexer does, so that it can be annotated.

use std::ops::Range;

/// A piece of a template; ranges are in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text that is copied out.
    Raw(Range<usize>),
    /// The inside of `{% raw %}`, copied out too.
    Verbatim(Range<usize>),
    /// `{{ … }}` or `{% … %}`.
    Tag(Tag),
    /// A comment, or the opening or closing of `{% raw %}`: kept as it is.
    Other {
        /// All of it.
        range: Range<usize>,
        /// Ends in `-}`: white space after it is dropped.
        trims_after: bool,
    },
}

/// A tag with its contents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tag {
    /// With its delimiters.
    pub(crate) range: Range<usize>,
    /// What is between the delimiters (and their `-` or `+`).
    pub(crate) inner: Range<usize>,
    /// `{{` rather than `{%`.
    pub(crate) prints: bool,
    /// Starts with `{{-` or `{%-`.
    pub(crate) trims_before: bool,
    /// Ends with `-}}` or `-%}`.
    pub(crate) trims_after: bool,
    /// The contents.
    pub(crate) tokens: Vec<Token>,
}

/// One token of a tag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    /// Where it stands.
    pub(crate) range: Range<usize>,
    /// What it is.
    pub(crate) kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Name,
    /// A string or number.
    Literal,
    /// An operator, bracket or comma.
    Sign,
}

/// The pieces of a template, without gaps; `None` if some tag is not closed (the engine says so better).
pub(crate) fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some((start, kind)) = next_start(text, at) {
        if start > at {
            pieces.push(Piece::Raw(at..start));
        }
        at = match kind {
            b'#' => {
                let end = start + 2 + text.get(start + 2..)?.find("#}")? + 2;
                let trims_after = end >= start + 5 && text.as_bytes().get(end - 3) == Some(&b'-');
                pieces.push(Piece::Other { range: start..end, trims_after });
                end
            }
            b'%' if named_tag(text, start, "raw").is_some() => {
                let open = named_tag(text, start, "raw")?;
                let (close_start, close_end) = find_endraw(text, open.end)?;
                pieces.push(open.piece(start));
                if close_start > open.end {
                    pieces.push(Piece::Verbatim(open.end..close_start));
                }
                let close = named_tag(text, close_start, "endraw")?;
                pieces.push(close.piece(close_start));
                close_end
            }
            _ => {
                let tag = tag(text, start, kind == b'{')?;
                let end = tag.range.end;
                pieces.push(Piece::Tag(tag));
                end
            }
        };
    }
    if at < text.len() {
        pieces.push(Piece::Raw(at..text.len()));
    }
    Some(pieces)
}

/// The next `{{`, `{%` or `{#` and its second byte.
fn next_start(text: &str, from: usize) -> Option<(usize, u8)> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b'{')?;
        match bytes.get(at + 1) {
            Some(k @ (b'{' | b'%' | b'#')) => return Some((at, *k)),
            _ => at += 1,
        }
    }
}

struct NamedTag {
    end: usize,
    trims_after: bool,
}

impl NamedTag {
    fn piece(&self, start: usize) -> Piece {
        Piece::Other { range: start..self.end, trims_after: self.trims_after }
    }
}

/// `{% name %}` and nothing else, at `start`.
fn named_tag(text: &str, start: usize, name: &str) -> Option<NamedTag> {
    let rest = text.get(start..)?.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_ascii_start();
    let rest = rest.strip_prefix(name)?.trim_ascii_start();
    let (rest, trims_after) = match rest.strip_prefix('-') {
        Some(r) => (r, true),
        None => (rest.strip_prefix('+').unwrap_or(rest), false),
    };
    let rest = rest.strip_prefix("%}")?;
    Some(NamedTag { end: text.len() - rest.len(), trims_after })
}

fn find_endraw(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += text.get(at..)?.find("{%")?;
        if let Some(tag) = named_tag(text, at, "endraw") {
            return Some((at, tag.end));
        }
        at += 2;
    }
}

/// The tag that starts at `start`. It ends at its closing delimiter outside of strings and brackets.
fn tag(text: &str, start: usize, prints: bool) -> Option<Tag> {
    let bytes = text.as_bytes();
    let close: &[u8] = if prints { b"}}" } else { b"%}" };
    let sign = bytes.get(start + 2).copied();
    let mut at = start + 2 + usize::from(matches!(sign, Some(b'-' | b'+')));
    let inner_start = at;
    let mut tokens = Vec::new();
    let mut depth = 0usize;
    loop {
        let rest = bytes.get(at..).filter(|r| !r.is_empty())?;
        let c = *rest.first()?;
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if depth == 0 {
            let signed = matches!(c, b'-' | b'+') && rest.get(1..)?.starts_with(close);
            if signed || rest.starts_with(close) {
                let end = at + close.len() + usize::from(signed);
                return Some(Tag {
                    range: start..end,
                    inner: inner_start..at,
                    prints,
                    trims_before: sign == Some(b'-'),
                    trims_after: signed && c == b'-',
                    tokens,
                });
            }
        }
        let (kind, length) = token(text, at)?;
        match c {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.push(Token { range: at..at + length, kind });
        at += length;
    }
}

/// The kind and length of the token at `at`.
fn token(text: &str, at: usize) -> Option<(TokenKind, usize)> {
    let rest = text.get(at..)?;
    let bytes = rest.as_bytes();
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    Some(match *bytes.first()? {
        q @ (b'\'' | b'"') => {
            let mut escaped = false;
            let end = bytes.iter().skip(1).position(|b| {
                let ends = *b == q && !escaped;
                escaped = *b == b'\\' && !escaped;
                ends
            })?;
            (TokenKind::Literal, end + 2)
        }
        b'0'..=b'9' => (TokenKind::Literal, number(text, at)),
        b if b.is_ascii_alphabetic() || b == b'_' => {
            (TokenKind::Name, bytes.iter().take_while(|b| word(b)).count())
        }
        _ => {
            let two = ["//", "**", "==", "!=", "<=", ">="].iter().any(|s| rest.starts_with(s));
            let length = if two { 2 } else { rest.chars().next()?.len_utf8() };
            (TokenKind::Sign, length)
        }
    })
}

/// The length of the number at `at`; `1.5e-3` is one, `x.1.0` holds two.
fn number(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes().get(at..).unwrap_or_default();
    let after_dot = at > 0 && text.as_bytes().get(at - 1) == Some(&b'.');
    let run = |from: usize, hex: bool| {
        let digit = |b: &&u8| b.is_ascii_digit() || **b == b'_' || (hex && b.is_ascii_hexdigit());
        bytes.iter().skip(from).take_while(digit).count()
    };
    if matches!(bytes.get(..2), Some([b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B'])) {
        return 2 + run(2, true);
    }
    let mut length = run(0, false);
    if bytes.get(length) == Some(&b'.') && !after_dot {
        let letter = bytes.get(length + 1).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
        if !letter {
            length += 1 + run(length + 1, false);
        }
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let digits = run(length + 1 + sign, false);
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    length
}
