//! `providers:`, transforms that a file defines itself.
//!
//! Transforms of `yaml` providers are replaced by their bodies; a `renaming` provider over a `yaml` one
//! renames config fields first; Python source becomes a `PyTransform`. The transforms of other providers run other programs, which this engine does
//! not do: they are refused where they are used.

mod body;
mod config_schema;
mod read;

pub(crate) use body::{Bodies, wrap};
pub(crate) use read::Includes;

use crate::config::Spanned;
use crate::node::{Node, Span};
use indexmap::IndexMap;

/// All transforms of a file's providers by name; the first definition of a name counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Providers {
    transforms: IndexMap<String, Definition>,
    /// Some could not be read, so a type not found may be theirs.
    pub(crate) incomplete: bool,
}

/// What a provider says about one transform.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// Where.
    pub(crate) span: Span,
    /// The file it stands in, by the name in the sources.
    pub(crate) file: String,
    pub(crate) kind: DefinitionKind,
}

#[derive(Clone, Debug)]
pub(crate) enum DefinitionKind {
    Yaml {
        body: Node,
        config_schema: Option<Node>,
        requires_inputs: bool,
    },
    Renamed {
        to: Box<Definition>,
        mappings: IndexMap<String, String>,
        defaults: Option<Node>,
    },
    /// Python source of a transform, which becomes a `PyTransform`.
    Python(Node),
    /// Of this provider type, which is not run here.
    Unsupported(String),
    /// Already reported.
    Broken,
}

impl Providers {
    pub(crate) fn get(&self, name: &str) -> Option<&Definition> {
        self.transforms.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.transforms.keys().map(String::as_str)
    }

    /// Adds a definition, unless there is one of that name.
    fn add(&mut self, name: &Spanned<String>, definition: Definition) {
        self.transforms.entry(name.value.clone()).or_insert(definition);
    }
}

impl Definition {
    /// Whether it must be given an input.
    pub(crate) fn requires_inputs(&self) -> bool {
        match &self.kind {
            DefinitionKind::Yaml { requires_inputs, .. } => *requires_inputs,
            DefinitionKind::Renamed { to, .. } => to.requires_inputs(),
            DefinitionKind::Python(_) => true,
            DefinitionKind::Unsupported(_) | DefinitionKind::Broken => false,
        }
    }

    /// The names of its config fields, as far as they are declared.
    pub(crate) fn fields(&self) -> Vec<String> {
        match &self.kind {
            DefinitionKind::Yaml { config_schema: Some(schema), .. } => schema
                .get("properties")
                .and_then(Node::as_map)
                .map(|m| m.keys().cloned().collect())
                .unwrap_or_default(),
            DefinitionKind::Renamed { mappings, .. } => mappings.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }
}
