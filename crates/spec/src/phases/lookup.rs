//! References by name: `Name` or `Name.output`, where a name of an input comes first.

use super::graph::{Graph, Member, Scope, ScopeId};
use super::tree::{Reference, Tagged};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::Span;
use crate::suggest;

/// What a reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An input of the composite around.
    Input { scope: ScopeId, index: usize },
    /// A member of the same scope.
    Member { index: usize, output: Option<String> },
}

/// What members of each scope read.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub(crate) scopes: Vec<ScopeWires>,
}

#[derive(Debug, Default)]
pub(crate) struct ScopeWires {
    /// For each member, the members it reads, and where it says so.
    pub(crate) reads: Vec<Vec<(usize, Span)>>,
    /// Outputs that are read by name.
    pub(crate) consumed: Vec<(usize, String)>,
    /// Outputs in references that name nobody.
    pub(crate) lost_outputs: Vec<String>,
}

/// Finds what a reference means; `Err` holds the members that a name could mean, if several.
pub(crate) fn find(graph: &Graph, scope: ScopeId, text: &str) -> Result<Target, Vec<usize>> {
    let (owner, inputs) = graph.visible_inputs(scope);
    if let Some(index) = inputs.iter().position(|i| i.tagged.tag.value == text) {
        return Ok(Target::Input { scope: owner, index });
    }
    let (name, output) = match text.rsplit_once('.') {
        Some((name, output)) => (name, Some(output.to_owned())),
        None => (text, None),
    };
    let members = graph.scopes.get(scope).map_or(&[][..], |s| s.members.as_slice());
    let mut found =
        members.iter().enumerate().filter(|(_, m)| m.aliases.iter().any(|a| a == name)).map(|(i, _)| i);
    match (found.next(), found.next()) {
        (None, _) => Err(Vec::new()),
        (Some(index), None) => Ok(Target::Member { index, output }),
        (Some(a), Some(b)) => Err([a, b].into_iter().chain(found).collect()),
    }
}

/// Checks all references and gives back who reads whom.
pub(crate) fn check(graph: &Graph, d: &mut Diagnostics) -> Wires {
    let mut wires = Wires::default();
    for (id, scope) in graph.scopes.iter().enumerate() {
        let mut here = ScopeWires { reads: vec![Vec::new(); scope.members.len()], ..ScopeWires::default() };
        for (index, member) in scope.members.iter().enumerate() {
            for reference in member.inputs.iter().flat_map(|t: &Tagged| &t.from) {
                one(graph, id, Some((index, member)), reference, &mut here, d);
            }
        }
        if let super::graph::Outputs::Named(named) = &scope.outputs {
            for (_, reference) in named {
                one(graph, id, None, reference, &mut here, d);
            }
        }
        wires.scopes.push(here);
    }
    wires
}

fn one(
    graph: &Graph,
    id: ScopeId,
    reader: Option<(usize, &Member)>,
    reference: &Reference,
    wires: &mut ScopeWires,
    d: &mut Diagnostics,
) {
    let (target, span) = match reference {
        Reference::Member { index, output, span } => {
            (Ok(Target::Member { index: *index, output: output.clone() }), *span)
        }
        Reference::Named(name) => (find(graph, id, &name.value), name.span),
    };
    match (target, reader) {
        (Ok(Target::Input { .. }), _) => {}
        (Ok(Target::Member { index, .. }), Some((own, member))) if index == own => {
            d.push(circular(member, span))
        }
        (Ok(Target::Member { index, output }), reader) => {
            if let Some(output) = output {
                wires.consumed.push((index, output));
            }
            if let Some(reads) = reader.and_then(|(own, _)| wires.reads.get_mut(own)) {
                reads.push((index, span));
            }
        }
        (Err(candidates), reader) => {
            let Reference::Named(name) = reference else { return };
            if let Some((_, output)) = name.value.rsplit_once('.') {
                wires.lost_outputs.push(output.to_owned());
            }
            let Some(scope) = graph.scopes.get(id) else { return };
            match reader {
                // Beam calls this circular before it asks who else has the name.
                Some((own, member)) if candidates.contains(&own) => d.push(circular(member, span)),
                _ if candidates.is_empty() && scope.incomplete => {}
                _ if candidates.is_empty() => d.push(unknown(graph, id, scope, name)),
                _ => d.push(ambiguous(scope, name, &candidates)),
            }
        }
    }
}

fn circular(member: &Member, span: Span) -> Diagnostic {
    Diagnostic::error(
        "cycle/self",
        span,
        format!("Circular reference: transform `{}` reads itself", member.label),
    )
    .label("a transform cannot be its own input")
}

fn unknown(graph: &Graph, id: ScopeId, scope: &Scope, name: &Spanned<String>) -> Diagnostic {
    let (whose, output) = name.value.rsplit_once('.').unwrap_or((&name.value, ""));
    let (_, inputs) = graph.visible_inputs(id);
    let names: Vec<&str> = inputs
        .iter()
        .map(|i| i.tagged.tag.value.as_str())
        .chain(scope.members.iter().filter_map(|m| m.aliases.first()).map(String::as_str))
        .collect();
    let place =
        if scope.parent.is_some() { format!("in `{}`", scope.label) } else { "in this pipeline".to_owned() };
    let outside = outside(graph, scope, whose)
        .map(|s| format!("`{whose}` is outside of `{}`: give it as an `input` of `{}`", scope.label, s));
    let near = suggest::nearest(whose, names.iter().copied()).map(|n| {
        if output.is_empty() {
            format!("did you mean `{n}`?")
        } else {
            format!("did you mean `{n}.{output}`?")
        }
    });
    Diagnostic::error("name/unknown", name.span, format!("Unknown transform `{whose}`"))
        .label(format!("names {place}: {}", suggest::listed(names)))
        .maybe_help(outside.or(near))
}

/// The label of `scope` if a scope around it has a member of that name.
fn outside<'a>(graph: &Graph, scope: &'a Scope, name: &str) -> Option<&'a str> {
    let mut parent = scope.parent;
    while let Some(s) = parent.and_then(|p| graph.scopes.get(p)) {
        if s.members.iter().any(|m| m.aliases.iter().any(|a| a == name)) {
            return Some(&scope.label);
        }
        parent = s.parent;
    }
    None
}

fn ambiguous(scope: &Scope, name: &Spanned<String>, candidates: &[usize]) -> Diagnostic {
    let whose = name.value.rsplit_once('.').map_or(name.value.as_str(), |(n, _)| n);
    let mut problem =
        Diagnostic::error("name/ambiguous", name.span, format!("Ambiguous transform `{whose}`"))
            .label(format!("{} transforms go by this name", candidates.len()))
            .help("give them different names with `name:`");
    for member in candidates.iter().filter_map(|i| scope.members.get(*i)) {
        problem = problem.related(member.span, "this one");
    }
    problem
}
