//! Who has inputs and who must: missing ones, and ones that are not taken.

use super::tree::{Body, GroupKind, Transform, Wiring};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::providers::Providers;
use crate::vocabulary::{Inputs, Vocabulary};

pub(crate) struct InputRules<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) providers: &'a Providers,
}

impl InputRules<'_> {
    /// `around`: how many inputs the group around has.
    pub(crate) fn check(&self, t: &mut Transform, around: usize, d: &mut Diagnostics) {
        let given = match &t.input {
            Wiring::From(tagged) => tagged.len(),
            Wiring::Through => around,
            Wiring::Absent | Wiring::Empty => 0,
        };
        let absent = given == 0 && !matches!(t.input, Wiring::Empty);
        let label = t.label().to_owned();
        match &mut t.body {
            Body::Leaf if t.broken => {}
            Body::Leaf => self.leaf(t, given, absent, d),
            Body::Group(group) if group.kind == GroupKind::Provider => {
                let name = &t.type_name.value;
                if t.broken {
                    return;
                }
                if absent && self.providers.get(name).is_some_and(|p| p.requires_inputs()) {
                    d.push(missing(&label, t.span));
                    t.broken = true;
                    return;
                }
                group.inside_mut().for_each(|inner| self.check(inner, given, d));
            }
            Body::Group(group) => {
                let visible = if given == 0 { around } else { given };
                group.inside_mut().for_each(|inner| self.check(inner, visible, d));
            }
        }
    }

    fn leaf(&self, t: &Transform, given: usize, absent: bool, d: &mut Diagnostics) {
        let type_name = t.type_name.value.as_str();
        let rule = self.vocabulary.get(type_name).map(|def| def.inputs);
        let may_start = type_name.starts_with("Read") || type_name == "Create" || rule == Some(Inputs::None);
        if given == 0 {
            if !may_start && (absent || rule == Some(Inputs::One)) {
                d.push(missing(t.label(), t.span));
            }
            return;
        }
        if rule == Some(Inputs::None) {
            d.push(
                Diagnostic::error("input/not-taken", t.span, format!("`{}` takes no input", t.label()))
                    .label(format!("a `{type_name}` starts a pipeline"))
                    .help("in a chain it can only be the first member"),
            );
        } else if rule == Some(Inputs::One) && given > 1 {
            d.push(
                Diagnostic::error(
                    "input/too-many",
                    t.span,
                    format!("`{}` takes one input, not {given} named ones", t.label()),
                )
                .label(format!("a `{type_name}` does not tell its inputs apart"))
                .help("to read several collections as one, list them: `input: [A, B]`"),
            );
        }
    }
}

fn missing(label: &str, span: crate::node::Span) -> Diagnostic {
    Diagnostic::error("input/missing", span, format!("Missing input for `{label}`"))
        .label("nothing flows into this transform")
        .help("name one with `input:`, or connect transforms in order with `type: chain`")
}
