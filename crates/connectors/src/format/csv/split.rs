//! One record into its fields.

use super::Layout;

/// Where a field's text is.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    end: usize,
    /// In the scratch text (it was quoted), not in the record.
    unquoted: bool,
}

/// The fields of one record; its memory is used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    parts: Vec<Part>,
    scratch: String,
}

impl Fields {
    /// How many fields the record has.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The text of a field of `record`, which must be the record that was split last.
    pub(crate) fn get<'a>(&'a self, record: &'a str, i: usize) -> Option<&'a str> {
        let part = self.parts.get(i)?;
        let text = if part.unquoted { &self.scratch } else { record };
        text.get(part.start..part.end)
    }

    /// All fields of `record`.
    pub(crate) fn iter<'a>(&'a self, record: &'a str) -> impl Iterator<Item = &'a str> {
        (0..self.len()).map(|i| self.get(record, i).unwrap_or_default())
    }

    /// Where a field begins in its record, in bytes; `None` if it was quoted.
    pub(crate) fn start(&self, i: usize) -> Option<usize> {
        self.parts.get(i).filter(|p| !p.unquoted).map(|p| p.start)
    }

    /// Splits a record.
    pub(crate) fn split(&mut self, record: &str, layout: &Layout) {
        self.parts.clear();
        self.scratch.clear();
        let bytes = record.as_bytes();
        if let Some(escape) = layout.escape.filter(|e| memchr::memchr(*e, bytes).is_some()) {
            self.escaped(record, layout, escape);
            return;
        }
        let special = match (layout.quote, layout.comment) {
            (Some(q), Some(c)) => memchr::memchr2(q, c, bytes).is_some(),
            (Some(b), None) | (None, Some(b)) => memchr::memchr(b, bytes).is_some(),
            (None, None) => false,
        };
        if special {
            self.quoted(record, layout);
            return;
        }
        let mut start = 0;
        for end in memchr::memchr_iter(layout.delimiter, bytes) {
            self.plain(bytes, start, end, layout);
            start = end + 1;
        }
        self.plain(bytes, start, bytes.len(), layout);
    }

    fn plain(&mut self, bytes: &[u8], mut start: usize, end: usize, layout: &Layout) {
        while layout.skip_space && start < end && bytes.get(start) == Some(&b' ') {
            start += 1;
        }
        self.parts.push(Part { start, end, unquoted: false });
    }

    /// The slow path: a quote opens where a field begins; inside, two quotes are one; what stands behind
    /// the closing quote belongs to the field. A comment ends the record.
    fn quoted(&mut self, record: &str, layout: &Layout) {
        let bytes = record.as_bytes();
        let mut at = 0;
        loop {
            while layout.skip_space && bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            let (part, end) = match layout.quote {
                Some(quote) if bytes.get(at) == Some(&quote) => self.unquote(record, at + 1, quote, layout),
                _ => {
                    let end = border(bytes, at, layout);
                    (Part { start: at, end, unquoted: false }, end)
                }
            };
            self.parts.push(part);
            if bytes.get(end) != Some(&layout.delimiter) {
                return;
            }
            at = end + 1;
        }
    }

    /// The slowest path: what stands behind an escape character belongs to the field, whatever it is.
    fn escaped(&mut self, record: &str, layout: &Layout, escape: u8) {
        let bytes = record.as_bytes();
        let mut at = 0;
        loop {
            while layout.skip_space && bytes.get(at) == Some(&b' ') {
                at += 1;
            }
            let start = self.scratch.len();
            let mut quoted = layout.quote.is_some() && bytes.get(at) == layout.quote.as_ref();
            at += usize::from(quoted);
            while let Some(&b) = bytes.get(at) {
                let is_quote = Some(b) == layout.quote;
                if b == escape {
                    at += 1;
                } else if quoted && is_quote && bytes.get(at + 1) != Some(&b) {
                    quoted = false;
                    at += 1;
                    continue;
                } else if quoted && is_quote {
                    at += 1;
                } else if !quoted && (b == layout.delimiter || Some(b) == layout.comment) {
                    break;
                }
                let Some(c) = record.get(at..).and_then(|rest| rest.chars().next()) else { break };
                self.scratch.push(c);
                at += c.len_utf8();
            }
            self.parts.push(Part { start, end: self.scratch.len(), unquoted: true });
            if bytes.get(at) != Some(&layout.delimiter) {
                return;
            }
            at += 1;
        }
    }

    fn unquote(&mut self, record: &str, from: usize, quote: u8, layout: &Layout) -> (Part, usize) {
        let bytes = record.as_bytes();
        let start = self.scratch.len();
        let mut at = from;
        let end = loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(i) = memchr::memchr(quote, rest) else {
                self.scratch.push_str(record.get(at..).unwrap_or_default());
                break bytes.len();
            };
            self.scratch.push_str(record.get(at..at + i).unwrap_or_default());
            at += i + 1;
            if bytes.get(at) != Some(&quote) {
                let end = border(bytes, at, layout);
                self.scratch.push_str(record.get(at..end).unwrap_or_default());
                break end;
            }
            self.scratch.push(char::from(quote));
            at += 1;
        };
        (Part { start, end: self.scratch.len(), unquoted: true }, end)
    }
}

/// Where an unquoted stretch ends: before a delimiter or comment, or with the record.
fn border(bytes: &[u8], at: usize, layout: &Layout) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let found = match layout.comment {
        Some(c) => memchr::memchr2(layout.delimiter, c, rest),
        None => memchr::memchr(layout.delimiter, rest),
    };
    found.map_or(bytes.len(), |i| at + i)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str, layout: &Layout, want: &[&str]) {
        let mut fields = Fields::default();
        fields.split(record, layout);
        assert_eq!(fields.iter(record).collect::<Vec<_>>(), want, "{record:?}");
    }

    #[test]
    fn records() {
        let plain = Layout::default();
        check("a,b,,", &plain, &["a", "b", "", ""]);
        check("", &plain, &[""]);
        check(r#""a,b",c"#, &plain, &["a,b", "c"]);
        check(r#""say ""hi""",x"#, &plain, &[r#"say "hi""#, "x"]);
        check("\"two\nlines\",é", &plain, &["two\nlines", "é"]);
        check(r#"a"b,"c"d"#, &plain, &[r#"a"b"#, "cd"]);
        check(r#""open"#, &plain, &["open"]);
        check(r#""",""",y"#, &plain, &["", "\",y"]);
        check(r#""""x""",y"#, &plain, &[r#""x""#, "y"]);
        let comment = Layout { comment: Some(b'#'), ..Layout::default() };
        check("1,2#x,y", &comment, &["1", "2"]);
        check(r##""a#b",c # d"##, &comment, &["a#b", "c "]);
        let spaces = Layout { skip_space: true, ..Layout::default() };
        check(r#"a,  b, "c d""#, &spaces, &["a", "b", "c d"]);
        let escaped = Layout { escape: Some(b'\\'), ..Layout::default() };
        check(r"1,x\,y", &escaped, &["1", "x,y"]);
        check(r#"2,"q\"r",é\é"#, &escaped, &["2", "q\"r", "éé"]);
        check("a\\\nb,\"c\"\"d\\\\\",\\", &escaped, &["a\nb", "c\"d\\", ""]);
        check("plain,\"a,b\"", &escaped, &["plain", "a,b"]);
        let raw = Layout { quote: None, ..Layout::default() };
        check(r#""a,b""#, &raw, &["\"a", "b\""]);
    }
}
