//! The language of `.proto` files, as far as it says what messages hold
//! (<https://protobuf.dev/reference/protobuf/proto3-spec/>).

use super::schema::{Int, Key, Member, Message, Presence, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Deepest nesting of messages, written or by reference.
const DEPTH_MAX: usize = 32;
/// Most fields of a message with all that it holds, those behind names counted wherever they are used.
const FIELDS_MAX: usize = 20_000;
/// Largest text that is read, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// A name, perhaps with dots, or a number.
    Word(&'a str),
    Text,
    Mark(char),
}

struct Tokens<'a> {
    all: Vec<(Token<'a>, u32)>,
    at: usize,
}

fn tokens(text: &str) -> Result<Tokens<'_>, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("it has more than {TEXT_BYTES_MAX} bytes"));
    }
    let (mut all, mut line, mut rest) = (Vec::new(), 1, text);
    while let Some(c) = rest.chars().next() {
        let taken = if c == '\n' {
            line += 1;
            1
        } else if c.is_whitespace() {
            c.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").ok_or_else(|| format!("line {line}: the comment is never closed"))? + 2;
            line += lines(rest.get(..end));
            end
        } else if c == '"' || c == '\'' {
            all.push((Token::Text, line));
            quoted(rest, c).ok_or_else(|| format!("line {line}: the text is never closed"))?
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
            match rest.find(|c| !is_word(c)).unwrap_or(rest.len()) {
                0 => {
                    all.push((Token::Mark(c), line));
                    c.len_utf8()
                }
                n => {
                    all.push((Token::Word(rest.get(..n).unwrap_or_default()), line));
                    n
                }
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(Tokens { all, at: 0 })
}

fn lines(text: Option<&str>) -> u32 {
    let n = text.unwrap_or_default().bytes().filter(|b| *b == b'\n').count();
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The length of a quoted text with its quotes.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// A message as it was written, types not looked up yet.
#[derive(Debug, Default)]
struct Written {
    fields: Vec<WrittenField>,
    line: u32,
}

#[derive(Debug)]
struct WrittenField {
    name: String,
    number: u32,
    of: String,
    how: Presence,
    line: u32,
}

/// All of a file, by full names.
#[derive(Debug, Default)]
struct File {
    messages: BTreeMap<String, Written>,
    enums: BTreeMap<String, Arc<[(i64, String)]>>,
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.all.get(self.at).map(|(t, _)| t)
    }

    fn line(&self) -> u32 {
        self.all.get(self.at.min(self.all.len().saturating_sub(1))).map_or(1, |(_, line)| *line)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek().cloned();
        self.at += 1;
        token
    }

    fn wrong<T>(&self, wants: &str) -> Result<T, String> {
        let before = self.at.saturating_sub(1);
        let line = self.all.get(before.min(self.all.len().saturating_sub(1))).map_or(1, |(_, line)| *line);
        match self.all.get(before) {
            Some((Token::Word(w), _)) => Err(format!("line {line}: `{w}` stands where {wants} should")),
            Some((Token::Mark(c), _)) => Err(format!("line {line}: `{c}` stands where {wants} should")),
            Some((Token::Text, _)) => Err(format!("line {line}: a text stands where {wants} should")),
            None => Err(format!("it ends where {wants} should stand")),
        }
    }

    fn word(&mut self, wants: &str) -> Result<&'a str, String> {
        match self.next() {
            Some(Token::Word(w)) => Ok(w),
            _ => self.wrong(wants),
        }
    }

    fn mark(&mut self, mark: char) -> Result<(), String> {
        match self.next() {
            Some(Token::Mark(c)) if c == mark => Ok(()),
            _ => self.wrong(&format!("`{mark}`")),
        }
    }

    fn is_mark(&self, mark: char) -> bool {
        self.peek() == Some(&Token::Mark(mark))
    }

    /// Passes over a statement: up to `;`, or a block.
    fn pass_over(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        loop {
            match self.next() {
                Some(Token::Mark('{')) => depth += 1,
                Some(Token::Mark('}')) => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Ok(());
                    }
                }
                Some(Token::Mark(';')) if depth == 0 => return Ok(()),
                Some(_) => {}
                None => return self.wrong("`;`"),
            }
        }
    }

    /// Passes over `[deprecated = true]`.
    fn pass_over_options(&mut self) -> Result<(), String> {
        if !self.is_mark('[') {
            return Ok(());
        }
        loop {
            match self.next() {
                Some(Token::Mark(']')) => return Ok(()),
                Some(_) => {}
                None => return self.wrong("`]`"),
            }
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word("a number")?;
        let parsed = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => word.parse().ok(),
        };
        match parsed {
            Some(n) => Ok(n),
            None => self.wrong("a number"),
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

impl File {
    fn read(&mut self, t: &mut Tokens<'_>) -> Result<(), String> {
        let mut package = String::new();
        while let Some(token) = t.next() {
            match token {
                Token::Mark(';') => {}
                Token::Word("syntax") => {
                    // The text of `syntax = "proto2"` is not kept: `optional` and `required` tell the same.
                    t.pass_over()?;
                }
                Token::Word("package") => {
                    package = t.word("the name of a package")?.to_owned();
                    t.mark(';')?;
                }
                Token::Word("message") => self.message(t, &package, 0)?,
                Token::Word("enum") => self.enumeration(t, &package)?,
                Token::Word("import" | "option" | "edition" | "service" | "extend") => t.pass_over()?,
                _ => return t.wrong("a message"),
            }
        }
        Ok(())
    }

    fn message(&mut self, t: &mut Tokens<'_>, scope: &str, depth: usize) -> Result<(), String> {
        let line = t.line();
        if depth > DEPTH_MAX {
            return Err(format!("line {line}: messages are nested deeper than {DEPTH_MAX} levels"));
        }
        let name = join(scope, t.word("the name of a message")?);
        t.mark('{')?;
        let mut written = Written { fields: Vec::new(), line };
        loop {
            match t.next() {
                Some(Token::Mark('}')) => break,
                Some(Token::Mark(';')) => {}
                Some(Token::Word("message")) => self.message(t, &name, depth + 1)?,
                Some(Token::Word("enum")) => self.enumeration(t, &name)?,
                Some(Token::Word("option" | "reserved" | "extensions" | "extend")) => t.pass_over()?,
                Some(Token::Word("oneof")) => {
                    t.word("the name of a oneof")?;
                    t.mark('{')?;
                    while !t.is_mark('}') {
                        match t.word("a field")? {
                            "option" => t.pass_over()?,
                            of => written.fields.push(field(t, of, Presence::Explicit)?),
                        }
                    }
                    t.mark('}')?;
                }
                Some(Token::Word("map")) if t.is_mark('<') => written.fields.push(map_field(t)?),
                Some(Token::Word(word)) => {
                    let (how, of) = match word {
                        "optional" => (Presence::Explicit, t.word("a type")?),
                        // It is there, or else its default is.
                        "required" => (Presence::Implicit, t.word("a type")?),
                        "repeated" => (Presence::Repeated, t.word("a type")?),
                        of => (Presence::Implicit, of),
                    };
                    if of == "group" {
                        return Err(format!("line {}: groups are not supported", t.line()));
                    }
                    written.fields.push(field(t, of, how)?);
                }
                _ => return t.wrong("a field"),
            }
        }
        check_fields(&name, &written)?;
        if self.messages.insert(name.clone(), written).is_some() {
            return Err(format!("line {line}: there are two messages `{name}`"));
        }
        Ok(())
    }

    fn enumeration(&mut self, t: &mut Tokens<'_>, scope: &str) -> Result<(), String> {
        let name = join(scope, t.word("the name of an enum")?);
        t.mark('{')?;
        let mut values = Vec::new();
        loop {
            match t.next() {
                Some(Token::Mark('}')) => break,
                Some(Token::Mark(';')) => {}
                Some(Token::Word("option" | "reserved")) => t.pass_over()?,
                Some(Token::Word(value)) => {
                    t.mark('=')?;
                    values.push((t.number()?, value.to_owned()));
                    t.pass_over_options()?;
                    t.mark(';')?;
                }
                _ => return t.wrong("a value"),
            }
        }
        if values.is_empty() {
            return Err(format!("line {}: the enum `{name}` has no values", t.line()));
        }
        self.enums.insert(name, values.into());
        Ok(())
    }
}

fn field(t: &mut Tokens<'_>, of: &str, how: Presence) -> Result<WrittenField, String> {
    let line = t.line();
    let name = t.word("the name of a field")?.to_owned();
    t.mark('=')?;
    let number = t.number()?;
    let Some(number) = u32::try_from(number).ok().filter(|n| (1..1 << 29).contains(n)) else {
        return Err(format!("line {line}: {number} is no number of a field"));
    };
    t.pass_over_options()?;
    t.mark(';')?;
    Ok(WrittenField { name, number, of: of.to_owned(), how, line })
}

fn map_field(t: &mut Tokens<'_>) -> Result<WrittenField, String> {
    t.mark('<')?;
    let word = t.word("the type of a key")?;
    let key = match (word, int(word)) {
        ("string", _) => Key::Text,
        ("bool", _) => Key::Bool,
        (_, Some(int)) => Key::Int(int),
        _ => return t.wrong("the type of a key"),
    };
    t.mark(',')?;
    let of = t.word("the type of a value")?;
    t.mark('>')?;
    field(t, of, Presence::Map(key))
}

fn check_fields(name: &str, written: &Written) -> Result<(), String> {
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for f in &written.fields {
        if !names.insert(&f.name) || !numbers.insert(f.number) {
            let line = f.line;
            return Err(format!(
                "line {line}: `{name}` has two fields called `{}` or numbered {}",
                f.name, f.number
            ));
        }
    }
    Ok(())
}

fn int(word: &str) -> Option<Int> {
    Some(match word {
        "int32" => Int::Int32,
        "int64" => Int::Int64,
        "uint32" => Int::UInt32,
        "uint64" => Int::UInt64,
        "sint32" => Int::SInt32,
        "sint64" => Int::SInt64,
        "fixed32" => Int::Fixed32,
        "fixed64" => Int::Fixed64,
        "sfixed32" => Int::SFixed32,
        "sfixed64" => Int::SFixed64,
        _ => return None,
    })
}

impl File {
    /// The full name of what `name` means inside `scope`: the innermost wins.
    fn find(&self, name: &str, scope: &str) -> Option<String> {
        if let Some(absolute) = name.strip_prefix('.') {
            return Some(absolute.to_owned());
        }
        let mut scope = Some(scope);
        while let Some(s) = scope {
            let full = join(s, name);
            if self.messages.contains_key(&full) || self.enums.contains_key(&full) {
                return Some(full);
            }
            scope = match s.rsplit_once('.') {
                Some((outer, _)) => Some(outer),
                None if s.is_empty() => None,
                None => Some(""),
            };
        }
        None
    }

    /// The message of a full name, with all it uses.
    fn resolve(&self, name: &str, path: &mut Vec<String>, left: &mut usize) -> Result<Arc<Message>, String> {
        let Some(written) = self.messages.get(name) else {
            return Err(format!("there is no message `{name}`"));
        };
        if path.iter().any(|p| p == name) {
            return Err(format!("line {}: `{name}` holds itself, and rows are not endless", written.line));
        }
        if path.len() > DEPTH_MAX {
            return Err(format!("line {}: messages are nested deeper than {DEPTH_MAX} levels", written.line));
        }
        *left = left
            .checked_sub(written.fields.len())
            .ok_or_else(|| format!("it has more than {FIELDS_MAX} fields"))?;
        path.push(name.to_owned());
        let members =
            written.fields.iter().map(|f| self.member(f, name, path, left)).collect::<Result<_, _>>()?;
        path.pop();
        Ok(Arc::new(Message { name: name.to_owned(), members }))
    }

    fn member(
        &self,
        f: &WrittenField,
        scope: &str,
        path: &mut Vec<String>,
        left: &mut usize,
    ) -> Result<Member, String> {
        let of = match (f.of.as_str(), int(&f.of)) {
            (_, Some(int)) => Type::Int(int),
            ("bool", _) => Type::Bool,
            ("float", _) => Type::Float,
            ("double", _) => Type::Double,
            ("string", _) => Type::Text,
            ("bytes", _) => Type::Bytes,
            ("google.protobuf.Timestamp" | ".google.protobuf.Timestamp", _) => Type::Timestamp,
            (name, _) => match self.find(name, scope) {
                Some(full) => match self.enums.get(&full) {
                    Some(values) => Type::Enum(values.clone()),
                    None => Type::Message(self.resolve(&full, path, left)?),
                },
                None => {
                    return Err(format!(
                        "line {}: `{name}` is no type of this file; of what is imported only \
                         google.protobuf.Timestamp is known",
                        f.line
                    ));
                }
            },
        };
        let how = match (f.how, &of) {
            (Presence::Implicit, Type::Message(_) | Type::Timestamp) => Presence::Explicit,
            (how, _) => how,
        };
        Ok(Member { name: f.name.clone(), number: f.number, of, how })
    }
}

/// The message that no other message uses.
pub(super) fn root(text: &str) -> Result<Arc<Message>, String> {
    let mut file = File::default();
    file.read(&mut tokens(text)?)?;
    let mut used = BTreeSet::new();
    for (name, written) in &file.messages {
        used.extend(written.fields.iter().filter_map(|f| file.find(&f.of, name)).filter(|n| n != name));
    }
    // A message inside another is there for that one.
    let is_inner =
        |name: &str| name.rsplit_once('.').is_some_and(|(outer, _)| file.messages.contains_key(outer));
    let roots: Vec<&String> = file.messages.keys().filter(|n| !used.contains(*n) && !is_inner(n)).collect();
    match roots.as_slice() {
        [one] => {
            let mut left = FIELDS_MAX;
            let message = file.resolve(one, &mut Vec::new(), &mut left)?;
            if message.members.is_empty() {
                return Err(format!("the message `{one}` has no fields"));
            }
            Ok(message)
        }
        [] if file.messages.is_empty() => Err("it has no message".to_owned()),
        [] => Err("each of its messages is used by another, so none is the payload".to_owned()),
        several => {
            let names: Vec<&str> = several.iter().map(|n| n.as_str()).collect();
            Err(format!(
                "any of these could be the payload: {}; leave one that no other uses",
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        root(text).unwrap_err()
    }

    #[test]
    fn slips_are_named_with_their_line() {
        assert_eq!(said("message A {\n  int32 a = 0;\n}"), "line 2: 0 is no number of a field");
        assert_eq!(said("message A {\n\n int32 a 1; }"), "line 3: `1` stands where `=` should");
        assert_eq!(said("message A { int32 a = 1; "), "it ends where a field should stand");
        assert_eq!(
            said("message A { int32 a = 1; int64 a = 2; }"),
            "line 1: `A` has two fields called `a` or numbered 2"
        );
        assert!(said("message A { Thing a = 1; }").contains("`Thing` is no type of this file"));
        assert!(said("message A { A a = 1; int32 b = 2; }").contains("`A` holds itself"));
        assert!(said("message A { int32 a = 1; } message B { int32 a = 1; }").contains("A, B; leave one"));
        assert_eq!(said("syntax = \"proto3\";"), "it has no message");
        assert_eq!(said("message A {}"), "the message `A` has no fields");
        assert!(said("/* never").contains("never closed"));
        assert!(said("message A { string a = 1 [default = \"x]; }").contains("the text is never closed"));
    }

    #[test]
    fn messages_that_grow_by_reference_have_a_bound() {
        let mut text = "message M0 { int32 a = 1; int32 b = 2; }".to_owned();
        for i in 1..30 {
            let before = i - 1;
            text.push_str(&format!("message M{i} {{ M{before} a = 1; M{before} b = 2; }}"));
        }
        assert!(said(&text).contains("more than 20000 fields"));
    }
}
