//! Python's regular expressions in the syntax of `fancy-regex`.

use super::{ASCII, DOTALL, IGNORECASE, MULTILINE, VERBOSE};
use crate::value::{Raise, Res};

/// How a pattern is tied to the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Anywhere,
    Start,
    Whole,
}

/// `newline`: the text ends with one, before which `$` matches too.
pub(super) fn translate(source: &str, flags: i64, anchor: Anchor, newline: bool) -> Res<String> {
    let mut t = Translator {
        chars: source.chars().collect(),
        at: 0,
        out: String::new(),
        ascii: flags & ASCII != 0,
        multiline: flags & MULTILINE != 0,
        verbose: flags & VERBOSE != 0,
        newline,
    };
    t.all()?;
    let mut letters = String::new();
    for (flag, letter) in [(IGNORECASE, 'i'), (MULTILINE, 'm'), (DOTALL, 's'), (VERBOSE, 'x')] {
        if flags & flag != 0 {
            letters.push(letter);
        }
    }
    let flags = if letters.is_empty() { String::new() } else { format!("(?{letters})") };
    let close = if t.verbose { "\n)" } else { ")" };
    Ok(match anchor {
        Anchor::Anywhere => format!("{flags}{}", t.out),
        Anchor::Start => format!("\\A(?:{flags}{}{close}", t.out),
        Anchor::Whole => format!("\\A(?:{flags}{}{close}\\z", t.out),
    })
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
    ascii: bool,
    multiline: bool,
    verbose: bool,
    newline: bool,
}

fn bad(message: String) -> Raise {
    Raise::new("error", message)
}

impl Translator {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn all(&mut self) -> Res<()> {
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group(),
                '{' => self.braces(),
                '}' => self.out.push_str("\\}"),
                '$' if !self.multiline && self.newline => self.out.push_str("(?=\\n?\\z)"),
                '$' if !self.multiline => self.out.push_str("\\z"),
                c => self.out.push(c),
            }
        }
        Ok(())
    }

    /// Comments go, and flags that mean nothing here.
    fn group(&mut self) {
        self.out.push('(');
        if self.peek(0) != Some('?') {
            return;
        }
        if self.peek(1) == Some('#') {
            self.out.pop();
            while self.peek(0).is_some_and(|c| c != ')') {
                self.at += 1;
            }
            self.at += 1;
            return;
        }
        let mut ahead = 1;
        while self.peek(ahead).is_some_and(|c| "aiLmsux-".contains(c)) {
            ahead += 1;
        }
        if ahead == 1 || !matches!(self.peek(ahead), Some(')' | ':')) {
            return;
        }
        let letters: Vec<char> = self.chars.get(self.at + 1..self.at + ahead).unwrap_or(&[]).to_vec();
        self.ascii |= letters.contains(&'a');
        self.multiline |= letters.contains(&'m');
        self.verbose |= letters.contains(&'x');
        let kept: String = letters.into_iter().filter(|c| !"aLu".contains(*c)).collect();
        self.at += ahead;
        match (kept.is_empty(), self.peek(0)) {
            (true, Some(')')) => {
                self.out.pop();
                self.at += 1;
            }
            _ => {
                self.out.push('?');
                self.out.push_str(&kept);
            }
        }
    }

    /// `{` that starts no quantifier is a plain character.
    fn braces(&mut self) {
        let mut ahead = 0;
        while self.peek(ahead).is_some_and(|c| c.is_ascii_digit() || c == ',') {
            ahead += 1;
        }
        let inside: String = self.chars.get(self.at..self.at + ahead).unwrap_or(&[]).iter().collect();
        if self.peek(ahead) != Some('}') || inside.is_empty() || inside.matches(',').count() > 1 {
            self.out.push_str("\\{");
            return;
        }
        self.at += ahead + 1;
        let zero = if inside.starts_with(',') { "0" } else { "" };
        self.out.push_str(&format!("{{{zero}{inside}}}"));
    }

    fn class(&mut self) -> Res<()> {
        self.out.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        // Whether a `-` now would join what came before to what follows.
        let mut joins = false;
        loop {
            let Some(c) = self.peek(0) else {
                return Err(bad("unterminated character set".to_owned()));
            };
            self.at += 1;
            match c {
                ']' if !first => break,
                '-' if joins && self.peek(0).is_some_and(|n| n != ']') => {
                    self.out.push('-');
                    joins = false;
                    self.range_end()?;
                }
                '\\' => {
                    let whole = self.peek(0).is_some_and(|n| "dwsDWS".contains(n));
                    self.escape(true)?;
                    joins = !whole;
                }
                c => {
                    self.literal(c);
                    joins = true;
                }
            }
            first = false;
        }
        self.out.push(']');
        Ok(())
    }

    fn range_end(&mut self) -> Res<()> {
        match self.peek(0) {
            Some('\\') => {
                self.at += 1;
                self.escape(true)
            }
            Some(c) => {
                self.at += 1;
                self.literal(c);
                Ok(())
            }
            None => Err(bad("unterminated character set".to_owned())),
        }
    }

    /// One character that stands for itself.
    fn literal(&mut self, c: char) {
        match c {
            ' ' | '<' | '>' | '\n' | '\t' => self.out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_ascii_punctuation() => self.out.extend(['\\', c]),
            c => self.out.push(c),
        }
    }

    fn escape(&mut self, in_class: bool) -> Res<()> {
        let position = self.at - 1;
        let Some(c) = self.peek(0) else {
            return Err(bad(format!("bad escape (end of pattern) at position {position}")));
        };
        self.at += 1;
        match c {
            'd' | 'w' | 's' | 'D' | 'W' | 'S' => self.set(c, in_class),
            'b' if in_class => self.out.push_str("\\x08"),
            'A' | 'b' | 'B' if !in_class => self.out.extend(['\\', c]),
            'Z' if !in_class => self.out.push_str("\\z"),
            'n' | 't' | 'r' | 'f' | 'v' | 'a' => self.out.extend(['\\', c]),
            'x' => self.code(2, position)?,
            'u' => self.code(4, position)?,
            'U' => self.code(8, position)?,
            '0'..='9' => self.number(c, in_class),
            c if c.is_ascii_alphabetic() => {
                return Err(bad(format!("bad escape \\{c} at position {position}")));
            }
            c => self.literal(c),
        }
        Ok(())
    }

    /// Python's classes are those of `str.isalnum` and `str.isspace`, a little off from Rust's.
    fn set(&mut self, c: char, in_class: bool) {
        let body = match (c.to_ascii_lowercase(), self.ascii) {
            ('d', true) => "0-9",
            ('d', false) => "\\d",
            ('w', true) => "a-zA-Z0-9_",
            ('w', false) => "\\p{L}\\p{N}_",
            (_, true) => " \\t-\\r",
            (_, false) => "\\s\\x1c-\\x1f",
        };
        let body = body.replace(' ', "\\x20");
        match (c.is_ascii_uppercase(), in_class) {
            (true, _) => self.out.push_str(&format!("[^{body}]")),
            (false, true) => self.out.push_str(&body),
            (false, false) => self.out.push_str(&format!("[{body}]")),
        }
    }

    fn code(&mut self, width: usize, position: usize) -> Res<()> {
        let digits: String = self.chars.get(self.at..self.at + width).unwrap_or(&[]).iter().collect();
        let c = u32::from_str_radix(&digits, 16)
            .ok()
            .filter(|_| !digits.starts_with('+'))
            .and_then(char::from_u32);
        let Some(c) = c else { return Err(bad(format!("incomplete escape at position {position}"))) };
        self.at += width;
        self.literal(c);
        Ok(())
    }

    /// A back-reference, or an octal code.
    fn number(&mut self, first: char, in_class: bool) {
        let mut digits = String::from(first);
        while digits.len() < 3 && self.peek(0).is_some_and(|c| c.is_ascii_digit()) {
            digits.extend(self.peek(0));
            self.at += 1;
        }
        let octal = digits.bytes().all(|b| b < b'8') && (in_class || first == '0' || digits.len() == 3);
        if !octal {
            // At most two digits name a group; a third one is text.
            let (group, rest) = digits.split_at(digits.len().min(2));
            self.out.push_str(&format!("(?:\\{group})"));
            rest.chars().for_each(|c| self.out.push(c));
            return;
        }
        if let Some(c) = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32) {
            self.literal(c);
        }
    }
}
