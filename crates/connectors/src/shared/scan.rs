//! Where records end.
//!
//! A [`Scan`] is given what is buffered so far and remembers how far it has looked, so that no byte is
//! looked at twice however small the pieces are that a file comes in.

use memchr::{memchr, memchr2, memchr3};

/// How a file is divided into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A record is a line; `\n` and `\r\n` end it.
    Lines,
    /// A record is a line, but a quoted field may hold line ends.
    Csv {
        /// Between two fields.
        delimiter: u8,
        /// Around fields; `None`: quotes mean nothing.
        quote: Option<u8>,
        /// Starts a comment that ends with the line.
        comment: Option<u8>,
        /// Spaces may stand before a field's quote.
        skip_space: bool,
        /// Takes the meaning of the byte behind it.
        escape: Option<u8>,
    },
    /// A record is an element of a JSON array, or one of several values that follow each other.
    JsonArray,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A record lies at `start..end`; the next begins at `next`. `newlines` were passed in `..next`,
    /// `lead` of them before `start`.
    Record { start: usize, end: usize, next: usize, newlines: u64, lead: u64 },
    /// The record goes on after what is buffered. What lies before `skip` belongs to no record.
    More { skip: usize },
    /// Nothing but separators is left.
    End,
}

/// A search for the end of one record, in the bytes from its beginning on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    /// How far it has looked.
    pub(crate) at: usize,
    /// Line ends so far.
    pub(crate) newlines: u64,
    /// Where the quote that is open stands, and how many line ends came before it.
    pub(crate) quote: Option<(usize, u64)>,
    in_comment: bool,
    json: Json,
}

/// Where a JSON scan is.
#[derive(Clone, Debug, Default)]
struct Json {
    /// Where the value begins, and the line ends before it.
    start: Option<(usize, u64)>,
    depth: u64,
    in_text: bool,
    escaped: bool,
}

/// What of a JSON array was seen in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brackets {
    pub(crate) opened: bool,
    pub(crate) closed: bool,
}

impl Scan {
    /// Looks on. `eof`: nothing comes after `data`.
    pub(crate) fn find(
        &mut self,
        framing: Framing,
        data: &[u8],
        eof: bool,
        brackets: &mut Brackets,
    ) -> Found {
        match framing {
            Framing::Lines => self.line(data, eof),
            Framing::Csv { delimiter, quote, comment, escape: Some(escape), .. } => {
                let begins = |at: usize| match at.checked_sub(1) {
                    None => true,
                    Some(i) => {
                        let escaped = i.checked_sub(1).and_then(|i| data.get(i)) == Some(&escape);
                        data.get(i) == Some(&delimiter) && !escaped
                    }
                };
                self.escaped(data, eof, escape, (quote, comment), begins)
            }
            Framing::Csv { delimiter, quote: Some(quote), comment, skip_space, escape: None } => {
                let begins = |at: usize| {
                    let before = data.get(..at).unwrap_or_default();
                    let spaces = before.iter().rev().take_while(|b| skip_space && **b == b' ').count();
                    match at.checked_sub(spaces + 1) {
                        Some(i) => before.get(i) == Some(&delimiter),
                        None => true,
                    }
                };
                self.csv(data, eof, quote, comment, begins)
            }
            Framing::Csv { quote: None, escape: None, .. } => self.line(data, eof),
            Framing::JsonArray => self.json(data, eof, brackets),
        }
    }

    /// Forgets the first `n` bytes, when the buffer has dropped them.
    pub(crate) fn forget(&mut self, n: usize) {
        self.at = self.at.saturating_sub(n);
        if let Some((at, _)) = &mut self.quote {
            *at = at.saturating_sub(n);
        }
        if let Some((at, _)) = &mut self.json.start {
            *at = at.saturating_sub(n);
        }
    }

    fn line(&mut self, data: &[u8], eof: bool) -> Found {
        match memchr(b'\n', data.get(self.at..).unwrap_or_default()) {
            Some(i) => self.ended(data, self.at + i),
            None => self.unended(data, eof, false),
        }
    }

    fn ended(&self, data: &[u8], newline: usize) -> Found {
        let end = match newline.checked_sub(1).and_then(|i| data.get(i)) {
            Some(b'\r') => newline - 1,
            _ => newline,
        };
        Found::Record { start: 0, end, next: newline + 1, newlines: self.newlines + 1, lead: 0 }
    }

    /// No line end in what is buffered. `strip`: a `\r` at the end of the file belongs to a line end.
    fn unended(&mut self, data: &[u8], eof: bool, strip: bool) -> Found {
        self.at = data.len();
        let end = if strip && data.ends_with(b"\r") { data.len() - 1 } else { data.len() };
        match (eof, data.is_empty()) {
            (false, _) => Found::More { skip: 0 },
            (true, true) => Found::End,
            (true, false) => {
                Found::Record { start: 0, end, next: data.len(), newlines: self.newlines, lead: 0 }
            }
        }
    }

    /// A quote is special where a field begins, as in pandas: `a"b` holds a plain quote.
    fn csv(
        &mut self,
        data: &[u8],
        eof: bool,
        quote: u8,
        comment: Option<u8>,
        begins: impl Fn(usize) -> bool,
    ) -> Found {
        loop {
            let rest = data.get(self.at..).unwrap_or_default();
            if self.in_comment {
                return match memchr(b'\n', rest) {
                    Some(i) => self.ended(data, self.at + i),
                    None => self.unended(data, eof, true),
                };
            }
            if self.quote.is_some() {
                let Some(i) = memchr2(quote, b'\n', rest) else { return self.unended(data, eof, true) };
                let at = self.at + i;
                if data.get(at) == Some(&b'\n') {
                    self.newlines += 1;
                    self.at = at + 1;
                } else if data.get(at + 1) == Some(&quote) {
                    self.at = at + 2;
                } else if at + 1 == data.len() && !eof {
                    self.at = at;
                    return Found::More { skip: 0 };
                } else {
                    self.quote = None;
                    self.at = at + 1;
                }
                continue;
            }
            let found = match comment {
                Some(c) => memchr3(quote, b'\n', c, rest),
                None => memchr2(quote, b'\n', rest),
            };
            let Some(i) = found else { return self.unended(data, eof, true) };
            let at = self.at + i;
            match data.get(at) {
                Some(b'\n') => return self.ended(data, at),
                Some(b) if *b == quote => {
                    if begins(at) {
                        self.quote = Some((at, self.newlines));
                    }
                    self.at = at + 1;
                }
                _ => self.in_comment = true,
            }
        }
    }

    /// CSV with an escape character, byte by byte: it hides line ends, quotes and comments behind it.
    fn escaped(
        &mut self,
        data: &[u8],
        eof: bool,
        escape: u8,
        (quote, comment): (Option<u8>, Option<u8>),
        begins: impl Fn(usize) -> bool,
    ) -> Found {
        while let Some(&b) = data.get(self.at) {
            let next = data.get(self.at + 1).copied();
            let waits = next.is_none() && !eof;
            if b == b'\n' && self.quote.is_none() {
                return self.ended(data, self.at);
            }
            if b == b'\n' {
                self.newlines += 1;
            } else if self.in_comment {
                // All of it is passed over.
            } else if b == escape {
                if waits {
                    return Found::More { skip: 0 };
                }
                self.newlines += u64::from(next == Some(b'\n'));
                self.at += 1;
            } else if Some(b) == quote && self.quote.is_some() {
                match next {
                    None if waits => return Found::More { skip: 0 },
                    Some(n) if n == b => self.at += 1,
                    _ => self.quote = None,
                }
            } else if Some(b) == quote && begins(self.at) {
                self.quote = Some((self.at, self.newlines));
            } else if Some(b) == comment && self.quote.is_none() {
                self.in_comment = true;
            }
            self.at += 1;
        }
        self.unended(data, eof, self.quote.is_some() || self.in_comment)
    }

    fn json(&mut self, data: &[u8], eof: bool, brackets: &mut Brackets) -> Found {
        while let Some(&b) = data.get(self.at) {
            if b == b'\n' {
                self.newlines += 1;
            }
            let at = self.at;
            self.at += 1;
            let Some((start, lead)) = self.json.start else {
                match b {
                    b' ' | b'\t' | b'\r' | b'\n' | b',' => {}
                    b'[' if !brackets.opened => brackets.opened = true,
                    b']' if brackets.opened => brackets.closed = true,
                    _ => {
                        self.json.start = Some((at, self.newlines));
                        self.json.open(b);
                    }
                }
                continue;
            };
            let record =
                |end: usize, next: usize, newlines| Found::Record { start, end, next, newlines, lead };
            if self.json.in_text {
                self.json.text(b);
                if !self.json.in_text && self.json.depth == 0 {
                    return record(at + 1, at + 1, self.newlines);
                }
                continue;
            }
            if self.json.depth == 0
                && matches!(b, b',' | b']' | b'\n' | b' ' | b'\t' | b'\r' | b'{' | b'[' | b'"')
            {
                // A bare value ends before this byte, which is looked at again.
                let newlines = self.newlines - u64::from(b == b'\n');
                return record(at, at, newlines);
            }
            self.json.open(b);
            if matches!(b, b'}' | b']') {
                self.json.depth = self.json.depth.saturating_sub(1);
                if self.json.depth == 0 {
                    return record(at + 1, at + 1, self.newlines);
                }
            }
        }
        match self.json.start {
            Some((start, lead)) if eof => {
                let newlines = self.newlines;
                Found::Record { start, end: data.len(), next: data.len(), newlines, lead }
            }
            Some((start, _)) => Found::More { skip: start },
            None if eof => Found::End,
            None => Found::More { skip: self.at },
        }
    }
}

impl Json {
    fn open(&mut self, b: u8) {
        match b {
            b'{' | b'[' => self.depth += 1,
            b'"' => self.in_text = true,
            _ => {}
        }
    }

    fn text(&mut self, b: u8) {
        match b {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_text = false,
            _ => {}
        }
    }
}
