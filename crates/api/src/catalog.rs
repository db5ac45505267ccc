//! The list of what there is: each crate of transforms or connectors has one `catalog()`.

use crate::transform::Transform;
use purlin_spec::vocabulary::{TransformDef, Vocabulary};
use purlin_spec::{Diagnostics, Node};
use std::sync::Arc;

/// Decodes a config; pushes every problem it finds.
pub type Decode = fn(&Node, &mut Diagnostics) -> Option<Arc<dyn Transform>>;

/// One transform: what the reference says of it, and how its config is read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name, doc and fields.
    pub def: TransformDef,
    /// Reads its config.
    pub decode: Decode,
}

/// All transforms a program has.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
}

impl Catalog {
    /// From lists; the name of each entry must be new.
    pub fn new(lists: impl IntoIterator<Item = Vec<Entry>>) -> Self {
        let entries: Vec<Entry> = lists.into_iter().flatten().collect();
        debug_assert!(
            entries
                .iter()
                .enumerate()
                .all(|(i, e)| entries.iter().skip(i + 1).all(|f| f.def.name != e.def.name)),
            "two transforms have one name"
        );
        Catalog { entries }
    }

    /// The entry of a type.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.def.name == name)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// What `spec` needs to know.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary::new(self.entries.iter().map(|e| e.def.clone()).collect())
    }
}
