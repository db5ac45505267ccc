//! From the tree to scopes, members and leaves, still with names for references.

use super::errors;
use super::keys;
use super::tree::{Body, Group, GroupKind, Reference, Tagged, Transform, Wiring};
use crate::config::Spanned;
use crate::diagnostic::Diagnostics;
use crate::model::{Leaf, LeafId};
use crate::node::{Entry, Node, Span, Value};
use crate::vocabulary::Vocabulary;
use indexmap::IndexMap;

/// The number of a scope in [`Graph::scopes`]; 0 is the pipeline.
pub(crate) type ScopeId = usize;

#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) scopes: Vec<Scope>,
    pub(crate) leaves: Vec<Leaf>,
    /// For each leaf, its inputs and the scope in which they are read.
    pub(crate) wiring: Vec<(ScopeId, Vec<Tagged>)>,
}

/// The inside of a group.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) parent: Option<ScopeId>,
    pub(crate) kind: GroupKind,
    pub(crate) label: String,
    /// The labels around what is inside.
    pub(crate) path: Vec<String>,
    /// Names for inputs; read in the parent.
    pub(crate) inputs: Vec<ScopeInput>,
    pub(crate) members: Vec<Member>,
    pub(crate) outputs: Outputs,
    /// To put on the outputs.
    pub(crate) windowing: Option<Node>,
    /// Some member could not be read.
    pub(crate) incomplete: bool,
}

#[derive(Debug)]
pub(crate) struct ScopeInput {
    pub(crate) tagged: Tagged,
    /// The step that windows it, if there is one.
    pub(crate) windowed: Option<LeafId>,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) label: String,
    /// The names it can be referred to by.
    pub(crate) aliases: Vec<String>,
    pub(crate) span: Span,
    pub(crate) inputs: Vec<Tagged>,
    pub(crate) what: What,
    pub(crate) broken: bool,
    pub(crate) error_output: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Leaf(LeafId),
    Scope(ScopeId),
}

#[derive(Debug)]
pub(crate) enum Outputs {
    None,
    /// Those of a member.
    Last(usize),
    Named(Vec<(Spanned<String>, Reference)>),
}

impl Graph {
    /// The scope whose inputs are visible in `scope`: a composite without inputs sees those around it.
    pub(crate) fn input_owner(&self, scope: ScopeId) -> ScopeId {
        let mut at = scope;
        while let Some(s) = self.scopes.get(at) {
            match s.parent {
                Some(parent) if s.inputs.is_empty() && s.kind != GroupKind::Provider => at = parent,
                _ => break,
            }
        }
        at
    }

    /// The inputs visible in a scope, with the scope that has them.
    pub(crate) fn visible_inputs(&self, scope: ScopeId) -> (ScopeId, &[ScopeInput]) {
        let owner = self.input_owner(scope);
        (owner, self.scopes.get(owner).map_or(&[], |s| s.inputs.as_slice()))
    }
}

/// Builds the graph of a pipeline.
pub(crate) fn build(root: Transform, vocabulary: &Vocabulary, d: &mut Diagnostics) -> Graph {
    let mut builder = Builder { graph: Graph::default(), vocabulary, d };
    if let Body::Group(group) = root.body {
        let scope = Scope {
            parent: None,
            kind: group.kind,
            label: "pipeline".to_owned(),
            path: Vec::new(),
            inputs: Vec::new(),
            members: Vec::new(),
            outputs: Outputs::None,
            windowing: None,
            incomplete: group.incomplete,
        };
        builder.graph.scopes.push(scope);
        builder.members(0, group.members);
    }
    builder.graph
}

struct Builder<'a> {
    graph: Graph,
    vocabulary: &'a Vocabulary,
    d: &'a mut Diagnostics,
}

impl Builder<'_> {
    fn members(&mut self, scope: ScopeId, members: Vec<Transform>) {
        for t in members {
            let member = self.member(scope, t);
            if let Some(s) = self.graph.scopes.get_mut(scope) {
                s.members.push(member);
            }
        }
    }

    fn member(&mut self, scope: ScopeId, mut t: Transform) -> Member {
        let error_output = if t.broken { None } else { errors::declared(&t, self.vocabulary, self.d) };
        let label = t.label().to_owned();
        let inputs = match std::mem::replace(&mut t.input, Wiring::Absent) {
            Wiring::From(tagged) => tagged,
            Wiring::Absent | Wiring::Empty => Vec::new(),
            Wiring::Through => through(self.graph.visible_inputs(scope).1),
        };
        let (aliases, span, broken) = (aliases(&t, &label), t.span, t.broken);
        let body = std::mem::replace(&mut t.body, Body::Leaf);
        let what = match body {
            Body::Leaf => What::Leaf(self.leaf(scope, t, &label, inputs.clone(), error_output.clone())),
            Body::Group(group) => What::Scope(self.group(scope, t, group, &label, inputs.clone())),
        };
        Member { label, aliases, span, inputs, what, broken, error_output }
    }

    fn leaf(
        &mut self,
        scope: ScopeId,
        t: Transform,
        label: &str,
        inputs: Vec<Tagged>,
        error_output: Option<Spanned<String>>,
    ) -> LeafId {
        let leaf = Leaf {
            id: 0,
            name: label.to_owned(),
            scope: self.graph.scopes.get(scope).map(|s| s.path.clone()).unwrap_or_default(),
            type_name: t.type_name,
            span: t.span,
            config: t.config,
            inputs: Vec::new(),
            windowing: t.windowing,
            output_schema: t.output_schema,
            error_output,
            main_output: None,
        };
        self.graph.push_leaf(leaf, scope, inputs)
    }

    fn group(
        &mut self,
        parent: ScopeId,
        t: Transform,
        group: Group,
        label: &str,
        inputs: Vec<Tagged>,
    ) -> ScopeId {
        let mut path = self.graph.scopes.get(parent).map(|s| s.path.clone()).unwrap_or_default();
        let mut shown = label.to_owned();
        match self.graph.scopes.get(parent) {
            Some(around) if group.transparent => shown.clone_from(&around.label),
            _ => path.push(label.to_owned()),
        }
        let windowed = t.windowing.filter(|_| !inputs.is_empty() || group.kind == GroupKind::Provider);
        let on_outputs = windowed.clone().filter(|_| inputs.is_empty());
        let id = self.graph.scopes.len();
        let outputs = match (t.output, group.last) {
            (Some(named), _) => Outputs::Named(named),
            (None, Some(last)) => Outputs::Last(last),
            (None, None) => Outputs::None,
        };
        self.graph.scopes.push(Scope {
            parent: Some(parent),
            kind: group.kind,
            label: shown,
            path: path.clone(),
            inputs: Vec::new(),
            members: Vec::new(),
            outputs,
            windowing: on_outputs,
            incomplete: group.incomplete,
        });
        for tagged in inputs {
            let windowed = windowed.as_ref().map(|windowing| {
                let leaf = window_leaf(windowing, &tagged.tag.value, path.clone());
                self.graph.push_leaf(leaf, parent, vec![plain_input(&tagged)])
            });
            if let Some(s) = self.graph.scopes.get_mut(id) {
                s.inputs.push(ScopeInput { tagged, windowed });
            }
        }
        self.members(id, group.members);
        id
    }
}

impl Graph {
    pub(crate) fn push_leaf(&mut self, leaf: Leaf, scope: ScopeId, inputs: Vec<Tagged>) -> LeafId {
        let id = self.leaves.len();
        self.leaves.push(Leaf { id, ..leaf });
        self.wiring.push((scope, inputs));
        id
    }
}

/// Beam's names: a transform goes by its name and its type; where the type depends on the language, the
/// plain type is only a default name.
fn aliases(t: &Transform, label: &str) -> Vec<String> {
    let type_name = t.type_name.value.as_str();
    let mut aliases = vec![label.to_owned()];
    if keys::WITH_LANGUAGE.contains(&type_name) {
        let language = t.config.get("language").and_then(Node::as_text).unwrap_or("generic");
        aliases.push(format!("{type_name}-{language}"));
    } else if !type_name.is_empty() && type_name != label {
        aliases.push(type_name.to_owned());
    }
    // An unnamed composite has no name of its own in Beam; `Composite` is only its label.
    if t.name.is_none() && matches!(&t.body, Body::Group(g) if g.kind == GroupKind::Composite) {
        aliases.retain(|a| a != label);
    }
    aliases
}

fn through(inputs: &[ScopeInput]) -> Vec<Tagged> {
    inputs
        .iter()
        .map(|i| Tagged { tag: i.tagged.tag.clone(), from: vec![Reference::Named(i.tagged.tag.clone())] })
        .collect()
}

fn plain_input(tagged: &Tagged) -> Tagged {
    Tagged { tag: Spanned { value: "input".to_owned(), span: tagged.tag.span }, from: tagged.from.clone() }
}

/// A `WindowInto` that the author did not write.
pub(crate) fn window_leaf(windowing: &Node, what: &str, scope: Vec<String>) -> Leaf {
    let span = windowing.span;
    let entry = Entry { key: span, node: windowing.clone() };
    Leaf {
        id: 0,
        name: format!("WindowInto[{what}]"),
        scope,
        type_name: Spanned { value: "WindowInto".to_owned(), span },
        span,
        config: Node::new(Value::Map(IndexMap::from([("windowing".to_owned(), entry)])), span),
        inputs: Vec::new(),
        windowing: None,
        output_schema: None,
        error_output: None,
        main_output: None,
    }
}
