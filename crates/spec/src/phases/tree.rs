//! The tree that the phases work on: transforms as written, with their wiring in plain sight.

use crate::config::Spanned;
use crate::node::{Node, Span};

/// One transform, chain or composite.
#[derive(Clone, Debug)]
pub(crate) struct Transform {
    /// Where it stands.
    pub(crate) span: Span,
    pub(crate) type_name: Spanned<String>,
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) input: Wiring,
    /// `output:` of a chain or composite.
    pub(crate) output: Option<Vec<(Spanned<String>, Reference)>>,
    pub(crate) windowing: Option<Node>,
    pub(crate) config: Node,
    pub(crate) output_schema: Option<Node>,
    pub(crate) body: Body,
    /// A problem with it has been reported: what follows from that is not reported again.
    pub(crate) broken: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// Does something itself.
    Leaf,
    /// Holds others.
    Group(Group),
}

/// The inside of a chain, a composite, or a transform that a provider defines.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) kind: GroupKind,
    pub(crate) members: Vec<Transform>,
    pub(crate) extra: Vec<Transform>,
    pub(crate) source: Option<Box<Transform>>,
    pub(crate) sink: Option<Box<Transform>>,
    /// The member whose outputs are the outputs of the group, if `output` names none.
    pub(crate) last: Option<usize>,
    /// A member could not be read, so a name not found may be its.
    pub(crate) incomplete: bool,
    /// Adds no level to the labels of what is inside.
    pub(crate) transparent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupKind {
    Chain,
    Composite,
    /// A transform that a provider defines; its only member is the body.
    Provider,
}

/// Where the inputs of a transform come from.
#[derive(Clone, Debug)]
pub(crate) enum Wiring {
    /// Nothing is said.
    Absent,
    /// `input: {}`: on purpose none.
    Empty,
    From(Vec<Tagged>),
    /// All inputs of the group around, under their own names.
    Through,
}

impl Wiring {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Wiring::Absent | Wiring::Empty)
    }
}

/// One named input.
#[derive(Clone, Debug)]
pub(crate) struct Tagged {
    pub(crate) tag: Spanned<String>,
    pub(crate) from: Vec<Reference>,
}

#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// As written: `Name` or `Name.output`.
    Named(Spanned<String>),
    /// A member of the same group, by number; made by chains.
    Member { index: usize, output: Option<String>, span: Span },
}

impl Transform {
    /// The name it goes by.
    pub(crate) fn label(&self) -> &str {
        match (&self.name, &self.body) {
            (Some(name), _) => &name.value,
            (None, Body::Group(Group { kind: GroupKind::Chain, .. })) => "Chain",
            (None, Body::Group(Group { kind: GroupKind::Composite, .. })) => "Composite",
            (None, _) => &self.type_name.value,
        }
    }

    pub(crate) fn group_mut(&mut self) -> Option<&mut Group> {
        match &mut self.body {
            Body::Group(g) => Some(g),
            Body::Leaf => None,
        }
    }
}

impl Group {
    /// One with nothing in it.
    pub(crate) fn new(kind: GroupKind) -> Self {
        Group {
            kind,
            members: Vec::new(),
            extra: Vec::new(),
            source: None,
            sink: None,
            last: None,
            incomplete: false,
            transparent: false,
        }
    }

    /// All transforms directly inside.
    pub(crate) fn inside_mut(&mut self) -> impl Iterator<Item = &mut Transform> {
        self.source
            .as_deref_mut()
            .into_iter()
            .chain(self.members.iter_mut())
            .chain(self.sink.as_deref_mut())
            .chain(self.extra.iter_mut())
    }
}

/// Calls `f` on a transform and then on all inside it.
pub(crate) fn walk(t: &mut Transform, f: &mut impl FnMut(&mut Transform)) {
    f(t);
    if let Some(group) = t.group_mut() {
        for inner in group.inside_mut() {
            walk(inner, f);
        }
    }
}
