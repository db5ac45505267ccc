//! Chains become composites: each member reads the one before it. A composite with an input whose members
//! name neither inputs nor outputs is chained the same way.

use super::tree::{Body, Group, GroupKind, Reference, Tagged, Transform, Wiring, walk};
use crate::diagnostic::{Diagnostic, Diagnostics};

pub(crate) fn apply(root: &mut Transform, beam_compat: bool, d: &mut Diagnostics) {
    walk(root, &mut |t| {
        let (input, output) = (t.input.clone(), t.output.take());
        let Body::Group(group) = &mut t.body else { return };
        let chained = match group.kind {
            GroupKind::Chain => true,
            GroupKind::Composite => !input.is_none() && group.members.iter().all(no_wiring),
            GroupKind::Provider => false,
        };
        if chained && !group.members.is_empty() {
            connect(group, &input);
        }
        t.output = match (group.kind, output) {
            (GroupKind::Chain, Some(named)) => {
                let named = outputs_of_last(group, named, d);
                t.broken |= named.is_none();
                named
            }
            (_, named) => named,
        };
        let in_chain = group.members.len();
        group.members.append(&mut group.extra);
        // Beam takes the last extra transform for the last of the chain.
        if beam_compat && group.kind == GroupKind::Chain && group.members.len() > in_chain {
            group.last = Some(group.members.len() - 1);
        }
    });
}

fn no_wiring(t: &Transform) -> bool {
    t.input.is_none() && t.output.is_none()
}

fn connect(group: &mut Group, input: &Wiring) {
    for (i, member) in group.members.iter_mut().enumerate() {
        if i > 0 {
            let from = Reference::Member { index: i - 1, output: None, span: member.span };
            let tag = crate::config::Spanned { value: "input".to_owned(), span: member.span };
            member.input = Wiring::From(vec![Tagged { tag, from: vec![from] }]);
        } else if !matches!(member.input, Wiring::Empty) {
            member.input = match input {
                Wiring::From(tagged) => Wiring::From(
                    tagged
                        .iter()
                        .map(|t| Tagged { tag: t.tag.clone(), from: vec![Reference::Named(t.tag.clone())] })
                        .collect(),
                ),
                other => other.clone(),
            };
        }
    }
    group.last = group.members.len().checked_sub(1);
}

/// `output:` of a chain may only name outputs of its last member: by its name or type, or by
/// `Name.output`.
fn outputs_of_last(
    group: &Group,
    named: Vec<(crate::config::Spanned<String>, Reference)>,
    d: &mut Diagnostics,
) -> Option<Vec<(crate::config::Spanned<String>, Reference)>> {
    let index = group.members.len().checked_sub(1)?;
    let last = group.members.last()?;
    let mine = |name: &str| name == last.label() || name == last.type_name.value;
    let mut outputs = Vec::new();
    for (tag, reference) in named {
        let Reference::Named(name) = reference else { continue };
        let output = match name.value.rsplit_once('.') {
            _ if mine(&name.value) => None,
            Some((whose, output)) if mine(whose) => Some(output.to_owned()),
            _ => {
                d.push(
                    Diagnostic::error(
                        "chain/output",
                        name.span,
                        format!(
                            "Explicit output `{}` of a chain is not an output of the last transform",
                            name.value
                        ),
                    )
                    .label(format!("the last transform is `{}`", last.label()))
                    .help("leave `output` out: a chain gives the outputs of its last transform"),
                );
                return None;
            }
        };
        outputs.push((tag, Reference::Member { index, output, span: name.span }));
    }
    Some(outputs)
}
