//! What the names in a test mean.

use purlin_spec::config::Spanned;
use purlin_spec::model::{Leaf, LeafId, Ref, Spec};
use purlin_spec::{Diagnostic, Diagnostics, suggest};
use std::collections::BTreeSet;

/// The names of a pipeline's top level.
#[derive(Clone, Copy)]
pub(super) struct Names<'s> {
    pub(super) spec: &'s Spec,
}

/// What a name stands for.
#[derive(Clone, Copy)]
pub(super) enum Target<'s> {
    Leaf(&'s Leaf),
    /// A composite, by its name.
    Composite(&'s str),
}

impl<'s> Names<'s> {
    /// All that a name may mean: transforms by name or type, composites by name.
    fn candidates(self, name: &str) -> Vec<Target<'s>> {
        let leaves = self.spec.leaves.iter();
        let top = leaves.clone().filter(|l| l.scope.is_empty());
        let mut found: Vec<Target<'s>> =
            top.filter(|l| l.name == name || l.type_name.value == name).map(Target::Leaf).collect();
        let composite = leaves.filter_map(|l| l.scope.first()).find(|c| *c == name);
        found.extend(composite.map(|c| Target::Composite(c)));
        found
    }

    fn known(self) -> BTreeSet<&'s str> {
        self.spec.leaves.iter().map(|l| l.scope.first().unwrap_or(&l.name).as_str()).collect()
    }

    /// The transform of a name without an output.
    pub(super) fn transform(self, name: &Spanned<String>, d: &mut Diagnostics) -> Option<Target<'s>> {
        self.only(&name.value, self.candidates(&name.value), name, d)
    }

    fn only(
        self,
        name: &str,
        found: Vec<Target<'s>>,
        written: &Spanned<String>,
        d: &mut Diagnostics,
    ) -> Option<Target<'s>> {
        match found.as_slice() {
            [one] => return Some(*one),
            [] => d.push(
                Diagnostic::error("name/unknown", written.span, format!("Unknown transform `{name}`"))
                    .label("tests see the top level of the pipeline only")
                    .maybe_help(suggest::did_you_mean(name, self.known())),
            ),
            many => d.push(
                Diagnostic::error("name/ambiguous", written.span, format!("Ambiguous transform `{name}`"))
                    .label(format!("{} transforms are called so", many.len())),
            ),
        }
        None
    }

    /// The output that `Transform` or `Transform.output` means.
    pub(super) fn output(self, name: &Spanned<String>, d: &mut Diagnostics) -> Option<Ref> {
        let whole = self.candidates(&name.value);
        let (target, tag) = match name.value.rsplit_once('.') {
            Some((before, tag)) if whole.is_empty() => {
                (self.only(before, self.candidates(before), name, d)?, Some(tag.to_owned()))
            }
            _ => (self.only(&name.value, whole, name, d)?, None),
        };
        match target {
            Target::Leaf(leaf) => Some(Ref { leaf: leaf.id, output: tag, span: name.span }),
            Target::Composite(composite) => self.composite_output(composite, tag.as_deref(), name, d),
        }
    }

    fn is_member(self, id: LeafId, composite: &str) -> bool {
        self.spec.leaves.get(id).and_then(|l| l.scope.first()).is_some_and(|c| c == composite)
    }

    /// The outputs of a composite are those that others read or, failing that, those that nobody reads.
    fn composite_output(
        self,
        composite: &str,
        tag: Option<&str>,
        written: &Spanned<String>,
        d: &mut Diagnostics,
    ) -> Option<Ref> {
        let leaves = &self.spec.leaves;
        let refs = |inside: bool| {
            let readers = leaves.iter().filter(move |l| self.is_member(l.id, composite) == inside);
            readers
                .flat_map(|l| l.inputs.iter().flat_map(|i| &i.from))
                .filter(|r| self.is_member(r.leaf, composite))
        };
        let mut outputs: BTreeSet<(LeafId, Option<String>)> =
            refs(false).map(|r| (r.leaf, r.output.clone())).collect();
        if outputs.is_empty() {
            let read: BTreeSet<LeafId> = refs(true).map(|r| r.leaf).collect();
            let last = leaves.iter().filter(|l| self.is_member(l.id, composite) && !read.contains(&l.id));
            outputs.extend(last.map(|l| (l.id, None)));
        }
        if let Some(tag) = tag {
            let named = |(id, output): &(LeafId, Option<String>)| {
                output.as_deref() == Some(tag) || leaves.get(*id).is_some_and(|l| l.name == tag)
            };
            if outputs.iter().any(named) {
                outputs.retain(named);
            }
        }
        let mut found = outputs.into_iter();
        if let (Some((leaf, output)), None) = (found.next(), found.next()) {
            return Some(Ref { leaf, output, span: written.span });
        }
        d.push(
            Diagnostic::error(
                "output/ambiguous",
                written.span,
                format!("Ambiguous output: `{}`", written.value),
            )
            .label(format!("the composite `{composite}` has several outputs")),
        );
        None
    }

    /// What flows into a composite from outside, each collection once.
    pub(super) fn entering(self, composite: &str) -> Vec<Ref> {
        let mut entering: Vec<Ref> = Vec::new();
        let members = self.spec.leaves.iter().filter(|l| self.is_member(l.id, composite));
        for r in members.flat_map(|l| l.inputs.iter().flat_map(|i| &i.from)) {
            let known = entering.iter().any(|e| e.leaf == r.leaf && e.output == r.output);
            if !self.is_member(r.leaf, composite) && !known {
                entering.push(r.clone());
            }
        }
        entering
    }
}
