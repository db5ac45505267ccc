//! Which output a reference means.

use crate::build::View;
use purlin_api::OutputRole;
use purlin_spec::model::{Leaf, Ref};
use purlin_spec::{Diagnostic, Diagnostics, Node, suggest};

/// The output of `leaf` that `r` means.
pub(crate) fn pick<'v>(leaf: &Leaf, views: &'v [View], r: &Ref, d: &mut Diagnostics) -> Option<&'v View> {
    let found = match &r.output {
        Some(tag) => by_tag(leaf, views, tag),
        None => plain(leaf, views),
    };
    if found.is_none() {
        d.push(refusal(leaf, views, r));
    }
    found
}

/// A plain name means the only output, or the only one that holds results.
fn plain<'v>(leaf: &Leaf, views: &'v [View]) -> Option<&'v View> {
    if let Some(view) = leaf.main_output.as_deref().and_then(|tag| by_tag(leaf, views, tag)) {
        return Some(view);
    }
    match views {
        [view] => Some(view),
        _ => only_main(views),
    }
}

fn only_main(views: &[View]) -> Option<&View> {
    let mut main = views.iter().filter(|v| v.role == OutputRole::Main);
    let first = main.next();
    if main.next().is_none() { first } else { None }
}

/// A tag means the output of that name; an only result also answers to Beam's usual names for it: `out`,
/// `output` (after `output_schema`) and, beside an error output, `good`.
fn by_tag<'v>(leaf: &Leaf, views: &'v [View], tag: &str) -> Option<&'v View> {
    if let Some(view) = views.iter().find(|v| v.tag == tag) {
        return Some(view);
    }
    let has_errors = views.iter().any(|v| v.role == OutputRole::Error);
    let usual = matches!(tag, "out" | "output")
        || (tag == "good" && has_errors)
        || leaf.main_output.as_deref() == Some(tag);
    if usual { only_main(views) } else { None }
}

fn tags(views: &[View]) -> Vec<&str> {
    views.iter().map(|v| v.tag.as_str()).collect()
}

fn refusal(leaf: &Leaf, views: &[View], r: &Ref) -> Diagnostic {
    let (label, type_name) = (leaf.label(), &leaf.type_name.value);
    let listed = suggest::listed(tags(views));
    if views.is_empty() {
        return Diagnostic::error("output/none", r.span, format!("`{label}` has no output to read"))
            .label(format!("`{type_name}` writes what it is given"))
            .help("read the transform before it instead");
    }
    match &r.output {
        Some(tag) => Diagnostic::error(
            "output/unknown",
            r.span,
            format!("Unknown output `{tag}`: `{label}` only has outputs {listed}"),
        )
        .label("no output of this name")
        .maybe_help(suggest::did_you_mean(tag, tags(views))),
        None => Diagnostic::error(
            "output/ambiguous",
            r.span,
            format!("Ambiguous output: `{label}` has outputs {listed}"),
        )
        .label("which of its outputs is meant?")
        .maybe_help(
            tags(views).first().map(|tag| format!("name one of them, such as `{}.{tag}`", leaf.name)),
        ),
    }
}

/// Which output an `output_schema` is about: `output`, else `good`, else the only one that holds results.
pub(crate) fn to_validate(leaf: &Leaf, schema: &Node, views: &[View], d: &mut Diagnostics) -> Option<usize> {
    let by_tag = |tag: &str| views.iter().position(|v| v.tag == tag && v.role == OutputRole::Main);
    let only = || only_main(views).and_then(|main| by_tag(&main.tag));
    let found = by_tag("output").or_else(|| by_tag("good")).or_else(only);
    if found.is_none() {
        d.push(
            Diagnostic::error(
                "output/ambiguous",
                schema.span,
                format!(
                    "`output_schema` of `{}` fits none of its outputs {}",
                    leaf.label(),
                    suggest::listed(tags(views))
                ),
            )
            .label("it needs one output, or one named `output` or `good`")
            .help("use a ValidateWithSchema on the output that is meant"),
        );
    }
    found
}
