//! Rewrites the operators `+ - * / // % ~` of a tag to calls.
//!
//! The template engine's own operators know neither dates nor a limit on what they make, and cannot be
//! replaced; a call can. `a + b - c` becomes `__ops('+-', a, b, c)`, `a ~ b` becomes `__cat(a, b)`. The
//! grammar is that of Jinja: `+ -` bind less than `~`, `~` less than `* / // %`.

use super::scan::{Tag, Token, TokenKind};
use std::borrow::Cow;

/// The name under which the arithmetic function is registered.
pub(crate) const OPS: &str = "__ops";
/// The name under which the text joining function is registered.
pub(crate) const CAT: &str = "__cat";

/// Deepest nesting of brackets that is rewritten; deeper ones the engine refuses.
const DEPTH_MAX: usize = 100;

/// New text, with the place in the old text it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Chunk<'a> {
    /// The text.
    pub(crate) text: Cow<'a, str>,
    /// Its byte offset in the old text.
    pub(crate) at: usize,
    /// It is in the old text, there.
    pub(crate) copied: bool,
}

impl<'a> Chunk<'a> {
    fn copied(text: &'a str, at: usize) -> Self {
        Chunk { text: text.into(), at, copied: true }
    }
    fn made(text: impl Into<Cow<'a, str>>, at: usize) -> Self {
        Chunk { text: text.into(), at, copied: false }
    }
}

/// The contents of a tag with its operators replaced; `None` if there is none, or it is no expression.
pub(crate) fn rewrite<'a>(text: &'a str, tag: &Tag) -> Option<Vec<Chunk<'a>>> {
    let is_operator = |t: &Token| t.kind == TokenKind::Sign && operator(text, t).is_some();
    if !tag.tokens.iter().any(is_operator) {
        return None;
    }
    let mut p = Rewriter { text, tokens: &tag.tokens, next: 0, depth: 0 };
    let mut out = vec![Chunk::made(" ", tag.inner.start)];
    p.sequence(None, &mut out)?;
    out.push(Chunk::made(" ", tag.inner.end));
    Some(out)
}

fn operator(text: &str, token: &Token) -> Option<&'static str> {
    Some(match text.get(token.range.clone())? {
        "+" => "+",
        "-" => "-",
        "~" => "~",
        "*" => "*",
        "/" => "/",
        "//" => "f",
        "%" => "%",
        _ => return None,
    })
}

struct Rewriter<'a, 't> {
    text: &'a str,
    tokens: &'t [Token],
    next: usize,
    depth: usize,
}

impl<'a> Rewriter<'a, '_> {
    fn peek(&self) -> Option<(&'a str, TokenKind)> {
        let token = self.tokens.get(self.next)?;
        Some((self.text.get(token.range.clone())?, token.kind))
    }

    fn sign(&self) -> Option<&'a str> {
        self.peek().filter(|(_, k)| *k == TokenKind::Sign).map(|(t, _)| t)
    }

    fn take(&mut self, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        let token = self.tokens.get(self.next)?;
        // Names must not run together.
        let spaced =
            self.next > 0 && self.tokens.get(self.next - 1).is_some_and(|t| t.range.end < token.range.start);
        if spaced {
            out.push(Chunk::made(" ", token.range.start));
        }
        out.push(Chunk::copied(self.text.get(token.range.clone())?, token.range.start));
        self.next += 1;
        Some(())
    }

    /// Expressions and whatever stands between them, up to the bracket `close` (taken too).
    fn sequence(&mut self, close: Option<&str>, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        while let Some((token, _)) = self.peek() {
            if Some(token) == close {
                return self.take(out);
            }
            if matches!(token, ")" | "]" | "}") {
                return None;
            }
            // `-` starts an operand; `*` and `**` here are those of `f(*list, **map)`.
            if self.starts_operand() || (token == "-" && self.next + 1 < self.tokens.len()) {
                self.additive(out)?;
            } else {
                self.take(out)?;
            }
        }
        close.is_none().then_some(())
    }

    fn starts_operand(&self) -> bool {
        match self.peek() {
            Some((word, TokenKind::Name)) => !is_keyword(word),
            Some((_, TokenKind::Literal)) => true,
            Some((sign, TokenKind::Sign)) => matches!(sign, "(" | "[" | "{"),
            None => false,
        }
    }

    fn additive(&mut self, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        self.chain(&["+", "-"], out, |p, out| {
            p.chain(&["~"], out, |p, out| {
                p.chain(&["*", "/", "//", "%"], out, |p, out| {
                    p.operand(out)?;
                    while p.sign() == Some("**") {
                        p.take(out)?;
                        p.operand(out)?;
                    }
                    Some(())
                })
            })
        })
    }

    /// `part (op part)*` as one call, or `part` alone.
    fn chain(
        &mut self,
        ops: &[&str],
        out: &mut Vec<Chunk<'a>>,
        part: impl Fn(&mut Self, &mut Vec<Chunk<'a>>) -> Option<()>,
    ) -> Option<()> {
        let start = out.len();
        part(self, out)?;
        let mut found = String::new();
        let mut place = 0;
        while self.sign().is_some_and(|s| ops.contains(&s)) {
            let token = self.tokens.get(self.next)?;
            found.push_str(operator(self.text, token)?);
            place = token.range.start;
            self.next += 1;
            out.push(Chunk::made(", ", token.range.start));
            part(self, out)?;
        }
        if found.is_empty() {
            return Some(());
        }
        // The call stands for its first operand, so that messages point there.
        let at = out.get(start).map_or(place, |c| c.at);
        let head = if ops == ["~"] { format!(" {CAT}(") } else { format!(" {OPS}('{found}', ") };
        out.insert(start, Chunk::made(head, at));
        out.push(Chunk::made(")", self.tokens.get(self.next.checked_sub(1)?)?.range.end));
        Some(())
    }

    /// A literal, name or bracket with everything that follows it closely, filters and tests too.
    fn operand(&mut self, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        while self.sign() == Some("-") {
            self.take(out)?;
        }
        match self.peek()? {
            (word, TokenKind::Name) if is_keyword(word) => return None,
            (_, TokenKind::Name) => self.take(out)?,
            (_, TokenKind::Literal) => {
                while matches!(self.peek(), Some((_, TokenKind::Literal))) {
                    self.take(out)?;
                }
            }
            ("(" | "[" | "{", _) => self.group(out)?,
            _ => return None,
        }
        loop {
            match self.peek() {
                Some((".", _)) => {
                    self.take(out)?;
                    self.take(out)?;
                }
                Some(("(" | "[", TokenKind::Sign)) => self.group(out)?,
                Some(("|", _)) => {
                    self.take(out)?;
                    self.dotted_name(out)?;
                }
                Some(("is", TokenKind::Name)) => {
                    self.take(out)?;
                    if matches!(self.peek(), Some(("not", _))) {
                        self.take(out)?;
                    }
                    self.dotted_name(out)?;
                    if self.starts_operand() && self.sign() != Some("(") {
                        self.operand(out)?;
                    }
                }
                _ => return Some(()),
            }
        }
    }

    fn dotted_name(&mut self, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        self.take(out)?;
        while self.sign() == Some(".") {
            self.take(out)?;
            self.take(out)?;
        }
        Some(())
    }

    fn group(&mut self, out: &mut Vec<Chunk<'a>>) -> Option<()> {
        let close = match self.sign()? {
            "(" => ")",
            "[" => "]",
            _ => "}",
        };
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.take(out)?;
        self.sequence(Some(close), out)?;
        self.depth -= 1;
        Some(())
    }
}

/// Words that are no operand, so that a `-` after them is a sign and not a difference.
fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "and"
            | "or"
            | "not"
            | "in"
            | "is"
            | "if"
            | "elif"
            | "else"
            | "for"
            | "recursive"
            | "do"
            | "as"
            | "import"
            | "from"
            | "include"
            | "extends"
            | "ignore"
            | "missing"
            | "with"
            | "without"
            | "context"
    )
}
