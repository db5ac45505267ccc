//! Error outputs: each that is declared must be read by some transform of the same composite.

use super::graph::{Graph, ScopeId};
use super::lookup::Wires;
use super::tree::{Body, GroupKind, Transform};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::vocabulary::Vocabulary;

/// The error output that a transform declares in its config.
pub(crate) fn declared(
    t: &Transform,
    vocabulary: &Vocabulary,
    d: &mut Diagnostics,
) -> Option<Spanned<String>> {
    let config = t.config.as_map()?;
    let entry = config.get("error_handling").filter(|e| !e.node.is_null())?;
    if matches!(t.body, Body::Leaf)
        && vocabulary.get(&t.type_name.value).is_some_and(|def| !def.error_handling)
    {
        d.push(
            Diagnostic::error(
                "error-handling/not-supported",
                entry.key,
                format!("`{}` has no error_handling", t.type_name.value),
            )
            .label("rows do not fail one by one here"),
        );
        return None;
    }
    if entry.node.as_map().is_none() {
        super::read::wrong_shape(&entry.node, "`error_handling`", "a mapping such as `{output: errors}`", d);
        return None;
    }
    let Some(output) = entry.node.get("output") else {
        let given = entry.node.as_map().into_iter().flatten().map(|(k, _)| k.as_str());
        if crate::suggest::slipped("output", given, &["output", "threshold"]) {
            return None; // reported when the config is decoded
        }
        d.push(
            Diagnostic::error(
                "error-handling/missing-output",
                entry.key,
                format!("Missing output in error_handling of `{}`", t.label()),
            )
            .help("name the output that takes the failed rows: `error_handling: {output: errors}`"),
        );
        return None;
    };
    super::read::text(output, "the error output", d)
}

/// Refuses error outputs that nothing reads: their rows would be lost in silence.
pub(crate) fn check(graph: &Graph, wires: &Wires, d: &mut Diagnostics) {
    for (id, scope) in graph.scopes.iter().enumerate() {
        // The body of a provider's transform is read from outside.
        if scope.kind == GroupKind::Provider {
            continue;
        }
        // Nor is it said again that inputs could not be read.
        let unread = scope.incomplete || scope.members.iter().any(|m| m.broken && m.inputs.is_empty());
        for (index, member) in scope.members.iter().enumerate() {
            let Some(output) = &member.error_output else { continue };
            if unread || read(id, index, &output.value, wires) {
                continue;
            }
            let full = format!("{}.{}", member.label, output.value);
            d.push(
                Diagnostic::error(
                    "error-handling/unconsumed",
                    output.span,
                    format!("Unconsumed error output `{full}` of `{}`", member.label),
                )
                .label("no transform beside it reads this output, so failed rows would be lost")
                .help(format!("read it with `input: {full}`")),
            );
        }
    }
}

fn read(scope: ScopeId, member: usize, output: &str, wires: &Wires) -> bool {
    let Some(wires) = wires.scopes.get(scope) else { return true };
    wires.consumed.iter().any(|(m, o)| *m == member && o == output)
        // A reference with a slip in the name was meant for somebody.
        || wires.lost_outputs.iter().any(|o| o == output)
}
