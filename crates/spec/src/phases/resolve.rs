//! From references to the leaves they mean, through composites.

use super::graph::{Graph, Outputs, Scope, ScopeId, What, window_leaf};
use super::lookup::{self, Target};
use super::tree::{GroupKind, Reference, Tagged};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{Input, Leaf, LeafId, Ref};
use crate::node::Span;
use crate::suggest;
use std::collections::HashMap;

/// Composites that only pass others through are followed so far; cycles end here too.
const DEPTH_MAX: usize = 200;

/// Resolves all inputs. References that name nobody were reported before and are left out.
pub(crate) fn leaves(graph: &mut Graph, beam_compat: bool, d: &mut Diagnostics) -> Vec<Leaf> {
    let wiring = std::mem::take(&mut graph.wiring);
    let mut resolver = Resolver { graph, beam_compat, windowed: HashMap::new(), d };
    let mut inputs: Vec<Vec<Input>> =
        wiring.iter().map(|(scope, tagged)| resolver.inputs(*scope, tagged)).collect();
    // Outputs of composites that nobody reads are checked all the same.
    for scope in 0..resolver.graph.scopes.len() {
        resolver.check_outputs(scope);
    }
    let late: Vec<(LeafId, Input)> = resolver.windowed.into_values().collect();
    let mut leaves = std::mem::take(&mut graph.leaves);
    inputs.resize(leaves.len(), Vec::new());
    for (leaf, input) in late {
        if let Some(i) = inputs.get_mut(leaf) {
            i.push(input);
        }
    }
    for (leaf, inputs) in leaves.iter_mut().zip(inputs) {
        leaf.inputs = inputs;
    }
    leaves
}

struct Resolver<'a> {
    graph: &'a mut Graph,
    beam_compat: bool,
    /// Windowed outputs of provider transforms: the window step and what it reads.
    windowed: HashMap<(ScopeId, Option<String>), (LeafId, Input)>,
    d: &'a mut Diagnostics,
}

/// An output of something that is read at `span`.
struct Wanted<'a> {
    output: Option<&'a str>,
    span: Span,
    depth: usize,
}

impl Resolver<'_> {
    fn inputs(&mut self, scope: ScopeId, tagged: &[Tagged]) -> Vec<Input> {
        tagged
            .iter()
            .map(|t| Input {
                tag: t.tag.value.clone(),
                span: t.tag.span,
                from: t.from.iter().flat_map(|r| self.reference(scope, r, 0)).collect(),
            })
            .collect()
    }

    fn reference(&mut self, scope: ScopeId, reference: &Reference, depth: usize) -> Vec<Ref> {
        if depth > DEPTH_MAX {
            return Vec::new();
        }
        let (target, span) = match reference {
            Reference::Member { index, output, span } => {
                (Target::Member { index: *index, output: output.clone() }, *span)
            }
            Reference::Named(name) => match lookup::find(self.graph, scope, &name.value) {
                Ok(target) => (target, name.span),
                Err(_) => return Vec::new(),
            },
        };
        match target {
            Target::Input { scope: owner, index } => self.scope_input(owner, index, span, depth),
            Target::Member { index, output } => {
                self.member(scope, index, &Wanted { output: output.as_deref(), span, depth: depth + 1 })
            }
        }
    }

    fn scope_input(&mut self, owner: ScopeId, index: usize, span: Span, depth: usize) -> Vec<Ref> {
        let Some(scope) = self.graph.scopes.get(owner) else { return Vec::new() };
        let Some(input) = scope.inputs.get(index) else { return Vec::new() };
        if let Some(leaf) = input.windowed {
            return vec![Ref { leaf, output: None, span }];
        }
        let (parent, from) = (scope.parent.unwrap_or(0), input.tagged.from.clone());
        from.iter().flat_map(|r| self.reference(parent, r, depth + 1)).collect()
    }

    fn member(&mut self, scope: ScopeId, index: usize, wanted: &Wanted<'_>) -> Vec<Ref> {
        let member = self.graph.scopes.get(scope).and_then(|s| s.members.get(index));
        match member.filter(|m| !m.broken || matches!(m.what, What::Leaf(_))).map(|m| m.what) {
            Some(What::Leaf(leaf)) => {
                vec![Ref { leaf, output: wanted.output.map(str::to_owned), span: wanted.span }]
            }
            Some(What::Scope(inner)) if wanted.depth <= DEPTH_MAX => self.group(inner, wanted),
            _ => Vec::new(),
        }
    }

    fn group(&mut self, id: ScopeId, wanted: &Wanted<'_>) -> Vec<Ref> {
        let Some(windowing) = self.graph.scopes.get(id).and_then(|s| s.windowing.clone()) else {
            return self.group_output(id, wanted);
        };
        // A windowed root: a window step for each output that is read.
        let key = (id, wanted.output.map(str::to_owned));
        if let Some((leaf, _)) = self.windowed.get(&key) {
            return vec![Ref { leaf: *leaf, output: None, span: wanted.span }];
        }
        let from = self.group_output(id, wanted);
        if from.is_empty() {
            return from;
        }
        let path = self.graph.scopes.get(id).map(|s| s.path.clone()).unwrap_or_default();
        let step = window_leaf(&windowing, wanted.output.unwrap_or("output"), path);
        let leaf = self.graph.push_leaf(step, id, Vec::new());
        self.windowed.insert(key, (leaf, Input { tag: "input".to_owned(), span: windowing.span, from }));
        vec![Ref { leaf, output: None, span: wanted.span }]
    }

    fn group_output(&mut self, id: ScopeId, wanted: &Wanted<'_>) -> Vec<Ref> {
        let Some(scope) = self.graph.scopes.get(id) else { return Vec::new() };
        match &scope.outputs {
            Outputs::Last(last) => {
                let last = *last;
                if self.beam_compat && wanted.output.is_none() && self.has_error_output(id, last) {
                    let label = scope.label.clone();
                    self.d.push(ambiguous_output(&label, wanted.span, &["good", "the error output"]));
                    return Vec::new();
                }
                self.member(id, last, &Wanted { depth: wanted.depth + 1, ..*wanted })
            }
            Outputs::Named(named) => {
                let named = named.clone();
                self.named_output(id, &named, wanted)
            }
            Outputs::None => {
                if !scope.incomplete {
                    let label = scope.label.clone();
                    self.d.push(
                        Diagnostic::error("output/none", wanted.span, format!("`{label}` has no output"))
                            .label("this composite does not say which of its members give its output")
                            .help("add to it for example `output: NAME_OF_A_MEMBER`"),
                    );
                }
                Vec::new()
            }
        }
    }

    fn named_output(
        &mut self,
        id: ScopeId,
        named: &[(Spanned<String>, Reference)],
        wanted: &Wanted<'_>,
    ) -> Vec<Ref> {
        let Some(scope) = self.graph.scopes.get(id) else { return Vec::new() };
        let names: Vec<&str> = named.iter().map(|(n, _)| n.value.as_str()).collect();
        let chosen = match (wanted.output, named) {
            (Some(output), [(_, only)]) if own_tag(only) == Some(output) => Some(only),
            (Some(output), _) => named.iter().find(|(n, _)| n.value == output).map(|(_, r)| r),
            (None, [(_, only)]) => Some(only),
            (None, _) => self.main_output(scope, named),
        };
        match (chosen, wanted.output) {
            (Some(reference), _) => {
                let refs = self.reference(id, reference, wanted.depth + 1);
                // Shown where it is read, not where the composite passes it on.
                refs.into_iter().map(|r| Ref { span: wanted.span, ..r }).collect()
            }
            (None, Some(output)) => {
                let label = scope.label.clone();
                self.d.push(
                    Diagnostic::error(
                        "output/unknown",
                        wanted.span,
                        format!("Unknown output `{output}` of `{label}`"),
                    )
                    .label(format!("it only has the outputs {}", suggest::listed(names.iter().copied())))
                    .maybe_help(suggest::did_you_mean(output, names.iter().copied())),
                );
                Vec::new()
            }
            (None, None) => {
                let label = scope.label.clone();
                self.d.push(ambiguous_output(&label, wanted.span, &names));
                Vec::new()
            }
        }
    }

    /// The plain name of a provider's transform means its good output, if that can be told.
    fn main_output<'r>(
        &self,
        scope: &Scope,
        named: &'r [(Spanned<String>, Reference)],
    ) -> Option<&'r Reference> {
        let provided = scope
            .parent
            .and_then(|p| self.graph.scopes.get(p))
            .is_some_and(|p| p.kind == GroupKind::Provider);
        if !provided || self.beam_compat {
            return None;
        }
        let by_name = |name: &str| named.iter().find(|(n, _)| n.value == name).map(|(_, r)| r);
        let is_error = |r: &Reference| match (r, own_tag(r)) {
            (Reference::Named(text), Some(tag)) => scope.members.iter().any(|m| {
                m.error_output.as_ref().is_some_and(|e| e.value == tag)
                    && m.aliases
                        .iter()
                        .any(|a| text.value.strip_suffix(tag).is_some_and(|n| n.strip_suffix('.') == Some(a)))
            }),
            _ => false,
        };
        let mut good = named.iter().filter(|(_, r)| !is_error(r)).map(|(_, r)| r);
        match (good.next(), good.next()) {
            (Some(only), None) => Some(only),
            _ => by_name("good").or_else(|| by_name("output")),
        }
    }

    /// Whether the plain output of a body leaves an error output beside it.
    fn has_error_output(&self, id: ScopeId, last: usize) -> bool {
        let Some(scope) = self.graph.scopes.get(id) else { return false };
        let member = scope.members.get(last);
        let direct = scope.kind == GroupKind::Provider || scope.kind == GroupKind::Chain;
        direct && member.is_some_and(|m| matches!(m.what, What::Leaf(_)) && m.error_output.is_some())
    }

    fn check_outputs(&mut self, id: ScopeId) {
        let Some(scope) = self.graph.scopes.get(id) else { return };
        if let Outputs::Named(named) = &scope.outputs {
            for (_, reference) in named.clone() {
                self.reference(id, &reference, 0);
            }
        }
    }
}

/// The output in `Name.output`.
fn own_tag(reference: &Reference) -> Option<&str> {
    match reference {
        Reference::Named(name) => name.value.rsplit_once('.').map(|(_, o)| o),
        Reference::Member { output, .. } => output.as_deref(),
    }
}

fn ambiguous_output(label: &str, span: Span, names: &[&str]) -> Diagnostic {
    Diagnostic::error("output/ambiguous", span, format!("Ambiguous output of `{label}`"))
        .label(format!("it has the outputs {}", names.join(", ")))
        .help(format!("name one of them: `{label}.OUTPUT`"))
}
