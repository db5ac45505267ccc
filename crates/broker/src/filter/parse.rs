//! The parser of filters.

use super::Filter;

/// How deep parentheses and NOTs may be nested.
const DEPTH_MAX: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// Where the token begins, in bytes.
    start: usize,
    /// Where the rest begins.
    at: usize,
    token: Token,
    depth: usize,
}

pub(super) fn filter(text: &str) -> Result<Filter, String> {
    let mut parser = Parser { text, start: 0, at: 0, token: Token::End, depth: 0 };
    parser.advance()?;
    let filter = parser.any()?;
    match parser.token {
        Token::End => Ok(filter),
        _ => Err(parser.wrong("expected AND, OR or the end")),
    }
}

impl Parser<'_> {
    fn wrong(&self, why: &str) -> String {
        let character = self.text.get(..self.start).map_or(0, |t| t.chars().count()) + 1;
        format!("{why}, at character {character}")
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self) -> Result<(), String> {
        let spaces = self.rest().len() - self.rest().trim_start().len();
        self.at += spaces;
        self.start = self.at;
        let Some(first) = self.rest().chars().next() else {
            self.token = Token::End;
            return Ok(());
        };
        if first == '"' {
            self.at += 1;
            self.token = Token::Text(self.string()?);
            return Ok(());
        }
        if first.is_ascii_alphanumeric() || first == '_' {
            let rest = self.rest();
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                .unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default().to_owned();
            self.at += end;
            self.token = Token::Word(word);
            return Ok(());
        }
        let sign = ["!=", "=", ":", ".", ",", "(", ")", "-"].into_iter().find(|s| self.rest().starts_with(s));
        let sign = sign.ok_or_else(|| self.wrong(&format!("unexpected `{first}`")))?;
        self.at += sign.len();
        self.token = Token::Sign(sign);
        Ok(())
    }

    /// The rest of a string literal, after its opening quote.
    fn string(&mut self) -> Result<String, String> {
        let mut value = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += i + 1;
                    return Ok(value);
                }
                '\\' => {
                    let escaped = escape(&mut chars);
                    value.push(escaped.ok_or_else(|| self.wrong("an escape in the string is not known"))?);
                }
                c => value.push(c),
            }
        }
        Err(self.wrong("the string has no end"))
    }

    fn take_word(&mut self, word: &str) -> Result<bool, String> {
        let found = matches!(&self.token, Token::Word(w) if w == word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn take_sign(&mut self, sign: &str) -> Result<bool, String> {
        let found = matches!(self.token, Token::Sign(s) if s == sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take_sign(sign)? { Ok(()) } else { Err(self.wrong(&format!("expected `{sign}`"))) }
    }

    /// Terms joined by AND (or by nothing, which means AND), or by OR.
    fn any(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong("the filter is nested too deeply"));
        }
        let first = self.term()?;
        let filter = if self.is_word("OR") {
            let mut terms = vec![first];
            while self.take_word("OR")? {
                terms.push(self.term()?);
            }
            Filter::Or(terms)
        } else if self.is_word("AND") || self.begins_term() {
            let mut terms = vec![first];
            while self.take_word("AND")? || self.begins_term() {
                terms.push(self.term()?);
            }
            Filter::And(terms)
        } else {
            first
        };
        if self.is_word("AND") || self.is_word("OR") || self.begins_term() {
            return Err(self.wrong("AND and OR stand side by side; say with parentheses which comes first"));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(&self.token, Token::Word(w) if w == word)
    }

    fn begins_term(&self) -> bool {
        match &self.token {
            Token::Word(w) => matches!(w.as_str(), "attributes" | "hasPrefix" | "NOT"),
            Token::Sign(s) => matches!(*s, "(" | "-"),
            _ => false,
        }
    }

    fn term(&mut self) -> Result<Filter, String> {
        if self.take_word("NOT")? || self.take_sign("-")? {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.wrong("the filter is nested too deeply"));
            }
            let inner = self.term()?;
            self.depth -= 1;
            return Ok(Filter::Not(Box::new(inner)));
        }
        if self.take_sign("(")? {
            let inner = self.any()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.take_word("hasPrefix")? {
            self.expect("(")?;
            if !self.take_word("attributes")? {
                return Err(self.wrong("expected `attributes`"));
            }
            self.expect(".")?;
            let key = self.key()?;
            self.expect(",")?;
            let prefix = self.value()?;
            self.expect(")")?;
            return Ok(Filter::HasPrefix(key, prefix));
        }
        if !self.take_word("attributes")? {
            return Err(self.wrong("expected `attributes`, `hasPrefix`, NOT or a parenthesis"));
        }
        if self.take_sign(":")? {
            return Ok(Filter::Has(self.key()?));
        }
        self.expect(".")?;
        let key = self.key()?;
        if self.take_sign("=")? {
            return Ok(Filter::Equals(key, self.value()?));
        }
        if self.take_sign("!=")? {
            return Ok(Filter::Not(Box::new(Filter::Equals(key, self.value()?))));
        }
        Err(self.wrong("expected `=` or `!=`"))
    }

    fn key(&mut self) -> Result<String, String> {
        match &self.token {
            Token::Word(w) if matches!(w.as_str(), "AND" | "OR" | "NOT") => {
                Err(self.wrong("expected an attribute; a key that is a keyword stands in quotes"))
            }
            Token::Word(w) | Token::Text(w) => {
                let key = w.clone();
                self.advance()?;
                Ok(key)
            }
            _ => Err(self.wrong("expected an attribute's key")),
        }
    }

    fn value(&mut self) -> Result<String, String> {
        match &self.token {
            Token::Text(t) => {
                let value = t.clone();
                self.advance()?;
                Ok(value)
            }
            _ => Err(self.wrong("expected a value in double quotes")),
        }
    }
}

/// The character an escape stands for, after the backslash.
fn escape(chars: &mut std::str::CharIndices<'_>) -> Option<char> {
    match chars.next()?.1 {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        c @ ('"' | '\\' | '\'') => Some(c),
        'x' => coded(chars, 0, 2, 16),
        'u' => coded(chars, 0, 4, 16),
        'U' => coded(chars, 0, 8, 16),
        c => coded(chars, c.to_digit(8)?, 2, 8),
    }
}

/// A character by its number in `digits` more digits.
fn coded(chars: &mut std::str::CharIndices<'_>, start: u32, digits: u32, radix: u32) -> Option<char> {
    let number = (0..digits)
        .try_fold(start, |n, _| n.checked_mul(radix)?.checked_add(chars.next()?.1.to_digit(radix)?));
    char::from_u32(number?)
}
