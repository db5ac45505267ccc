//! The names a file may use: what `spec` needs to know of the transforms without knowing them.

use crate::config::{FieldDef, FromNode, Kind};

/// How many inputs a transform takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inputs {
    /// It starts a pipeline.
    None,
    /// Exactly one (several are flattened first).
    One,
    /// One, or several with names (`Join`, `Sql`, `Flatten`).
    Named,
}

/// What the reference says about one transform, and what `spec` checks of it.
#[derive(Clone, Debug)]
pub struct TransformDef {
    /// Its type name, as in `type: MapToFields`.
    pub name: &'static str,
    /// What it does; Markdown.
    pub doc: &'static str,
    /// Its inputs.
    pub inputs: Inputs,
    /// Whether `config.error_handling` is allowed.
    pub error_handling: bool,
    /// The fields of its `config`.
    pub fields: fn() -> Vec<FieldDef>,
}

impl TransformDef {
    /// The fields as a kind.
    pub fn kind(&self) -> Kind {
        Kind::Struct((self.fields)())
    }
}

/// All transforms a program knows.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    defs: Vec<TransformDef>,
}

impl Vocabulary {
    /// From a list; names must be distinct.
    pub fn new(defs: Vec<TransformDef>) -> Self {
        Vocabulary { defs }
    }

    /// The definition of a type.
    pub fn get(&self, name: &str) -> Option<&TransformDef> {
        self.defs.iter().find(|d| d.name == name)
    }

    /// All definitions, in catalogue order.
    pub fn iter(&self) -> impl Iterator<Item = &TransformDef> {
        self.defs.iter()
    }
}

/// Keys of a timed test.
pub const TIMED_TEST: &[&str] = &["name", "steps"];

/// What a step of a timed test may do.
pub const TIMED_STEPS: &[&str] = &["give", "advance_watermark", "advance_clock", "idle", "end", "expect"];

/// The kind of a type that implements [`FromNode`], for tables of fields.
pub fn kind_of<T: FromNode>() -> Kind {
    T::kind()
}
