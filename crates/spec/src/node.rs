//! A tree that remembers where each value came from.

use indexmap::IndexMap;

/// A place in a source file: line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A stretch of a source file; `end` is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which file of [`Sources`].
    pub file: u32,
    /// First character.
    pub start: Position,
    /// One past the last character.
    pub end: Position,
}

impl Span {
    /// The span of `width` characters of one line.
    pub fn at(file: u32, line: u32, column: u32, width: u32) -> Self {
        Span { file, start: Position { line, column }, end: Position { line, column: column + width } }
    }
}

/// The texts that spans point into, as the author wrote them (before templating).
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// One source text and the name it goes by in messages.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user gave it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Sources {
    /// Adds a file and returns its number; a file of the same name and text keeps its number.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        let (name, text) = (name.into(), text.into());
        if let Some(i) = self.files.iter().position(|f| f.name == name && f.text == text) {
            return i as u32;
        }
        self.files.push(SourceFile { name, text });
        (self.files.len() - 1) as u32
    }

    /// The file with this number.
    pub fn get(&self, file: u32) -> Option<&SourceFile> {
        self.files.get(file as usize)
    }

    /// Line `line` (from 1) of a file, without its line end.
    pub fn line(&self, file: u32, line: u32) -> Option<&str> {
        self.get(file)?.text.lines().nth((line as usize).checked_sub(1)?)
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
    /// For scalars that were written plain (unquoted): the characters written, so that an expression
    /// such as `1.50` or `yes` can be read as its author typed it.
    pub raw: Option<String>,
}

/// A YAML value under YAML 1.1 rules (as PyYAML's safe loader reads it).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on` and their like.
    Bool(bool),
    /// An integer in 64 bits.
    Int(i64),
    /// An integer outside 64 bits, as decimal digits.
    BigInt(String),
    /// A float, also `.inf` and `.nan`.
    Float(f64),
    /// Text.
    Text(String),
    /// A date or timestamp scalar, as written.
    Date(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order written; for duplicate keys the last wins.
    Map(IndexMap<String, Entry>),
}

/// One key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where the key stands.
    pub key: Span,
    /// The value.
    pub node: Node,
}

impl Node {
    /// A node without a place of its own, for values that a phase makes up.
    pub fn new(value: Value, span: Span) -> Self {
        Node { value, span, raw: None }
    }

    /// Text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(s) => Some(s),
            _ => None,
        }
    }

    /// The text a scalar was written with: text as it is, other scalars by their spelling.
    pub fn scalar_text(&self) -> Option<String> {
        if let (Some(raw), false) =
            (&self.raw, matches!(self.value, Value::Text(_) | Value::List(_) | Value::Map(_)))
        {
            return Some(raw.clone());
        }
        match &self.value {
            Value::Text(s) | Value::Date(s) | Value::BigInt(s) => Some(s.clone()),
            Value::Bool(b) => Some(if *b { "True" } else { "False" }.to_owned()),
            Value::Int(i) => Some(i.to_string()),
            Value::Float(f) => Some(f.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_map(&self) -> Option<&IndexMap<String, Entry>> {
        match &self.value {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    /// The value under `key`, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|e| &e.node)
    }

    /// True for `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What it is, in words a message can use: `a list`, `text`, …
    pub fn kind_name(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::BigInt(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value as JSON (dates as text, non-finite floats as text).
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match &self.value {
            Value::Null => J::Null,
            Value::Bool(b) => J::Bool(*b),
            Value::Int(i) => J::from(*i),
            Value::BigInt(s) => s.parse::<u64>().map(J::from).unwrap_or_else(|_| J::String(s.clone())),
            Value::Float(f) => {
                serde_json::Number::from_f64(*f).map(J::Number).unwrap_or_else(|| J::String(f.to_string()))
            }
            Value::Text(s) | Value::Date(s) => J::String(s.clone()),
            Value::List(l) => J::Array(l.iter().map(Node::to_json).collect()),
            Value::Map(m) => J::Object(m.iter().map(|(k, e)| (k.clone(), e.node.to_json())).collect()),
        }
    }
}
