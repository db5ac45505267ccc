//! Known types: built-in transforms stay, those of providers are replaced by their bodies, others are refused.

use super::keys;
use super::output_schema;
use super::tree::{Body, GroupKind, Reference, Transform};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::providers::{self, Providers};
use crate::suggest;
use crate::vocabulary::Vocabulary;

/// Providers nested deeper than this are taken for a mistake.
const PROVIDER_DEPTH_MAX: usize = 32;
/// More provider transforms than this in one pipeline are taken for a mistake.
const EXPANSIONS_MAX: usize = 5_000;

pub(crate) struct Known<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) providers: &'a Providers,
    pub(crate) beam_compat: bool,
    /// Makes the body of a provider's transform.
    pub(crate) bodies: providers::Bodies<'a>,
    /// How many bodies were made.
    pub(crate) expansions: usize,
}

impl Known<'_> {
    pub(crate) fn apply(&mut self, root: &mut Transform, d: &mut Diagnostics) {
        self.visit(root, &mut Vec::new(), false, d);
    }

    /// `path`: the provider transforms around; `extra`: inside `extra_transforms`.
    fn visit(&mut self, t: &mut Transform, path: &mut Vec<String>, extra: bool, d: &mut Diagnostics) {
        if let Some(group) = t.group_mut() {
            let first_extra =
                usize::from(group.source.is_some()) + group.members.len() + usize::from(group.sink.is_some());
            for (i, inner) in group.inside_mut().enumerate() {
                self.visit(inner, path, extra || i >= first_extra, d);
            }
            return;
        }
        if t.type_name.value.is_empty() {
            return;
        }
        output_schema::lift(t, d);
        let name = t.type_name.value.clone();
        let with_language = keys::WITH_LANGUAGE.contains(&name.as_str());
        if self.beam_compat && extra && with_language {
            d.push(
                Diagnostic::error(
                    "type/unknown",
                    t.type_name.span,
                    format!("Unknown transform type \"{name}\""),
                )
                .label("Beam 2.77 does not take this type in `extra_transforms`")
                .help("leave out `--beam-compat`"),
            );
            t.broken = true;
        } else if !with_language && self.providers.get(&name).is_some() {
            self.expand(t, path, d);
        } else if self.vocabulary.get(&name).is_none() {
            self.unknown(t, &name, d);
            t.broken = true;
        }
    }

    fn unknown(&self, t: &Transform, name: &str, d: &mut Diagnostics) {
        if keys::BEAM_TRANSFORMS.contains(&name) {
            d.push(
                Diagnostic::error(
                    "type/unsupported",
                    t.type_name.span,
                    format!("transform type `{name}` is not supported"),
                )
                .label("Beam has it, this engine does not yet")
                .help("the file is standard: run it on Beam, `python -m apache_beam.yaml.main --yaml_pipeline_file=FILE`"),
            );
            return;
        }
        if self.providers.incomplete {
            return;
        }
        let names = || {
            self.vocabulary.iter().map(|d| d.name).chain(self.providers.names()).chain(["chain", "composite"])
        };
        let near = suggest::nearest(name, names()).or_else(|| {
            // `read_from_json` or `json` for `ReadFromJson`.
            let plain = name.replace(['_', '-', ' '], "").to_lowercase();
            names().find(|n| n.to_lowercase() == plain)
        });
        d.push(
            Diagnostic::error("type/unknown", t.type_name.span, format!("Unknown transform type `{name}`"))
                .label("no such transform is built in, and no provider defines it")
                .maybe_help(near.map(|n| format!("did you mean `{n}`?"))),
        );
    }

    fn expand(&mut self, t: &mut Transform, path: &mut Vec<String>, d: &mut Diagnostics) {
        let name = t.type_name.value.clone();
        let broken = std::mem::replace(&mut t.broken, true);
        if path.contains(&name) || path.len() >= PROVIDER_DEPTH_MAX {
            let mut names = path.clone();
            names.push(name.clone());
            d.push(
                Diagnostic::error(
                    "provider/recursive",
                    t.type_name.span,
                    format!("provider transform `{name}` uses itself: {}", names.join(" -> ")),
                )
                .label("this would expand without end"),
            );
            return;
        }
        self.expansions += 1;
        if self.expansions > EXPANSIONS_MAX {
            if self.expansions == EXPANSIONS_MAX + 1 {
                d.push(Diagnostic::error(
                    "provider/too-many",
                    t.type_name.span,
                    format!("the providers expand to more than {EXPANSIONS_MAX} transforms"),
                ));
            }
            return;
        }
        let Some(mut body) = self.bodies.make(t, self.providers, d) else { return };
        path.push(name);
        self.visit(&mut body, path, false, d);
        path.pop();
        if let Some(schema) = t.output_schema.take()
            && !attach_schema(&mut body, schema)
        {
            d.push(
                Diagnostic::error(
                    "provider/output-schema",
                    t.span,
                    format!("`{}` cannot have an `output_schema`", t.label()),
                )
                .label("it has several outputs, and none is the main one")
                .help("put a ValidateWithSchema after it"),
            );
        }
        t.broken = broken;
        providers::wrap(t, body);
    }
}

/// The member that gives the only output, or else the one called `output` or `good`.
fn plain_output(outputs: &[(Spanned<String>, Reference)]) -> Option<&str> {
    let named = |name: &str| outputs.iter().find(|(n, _)| n.value == name);
    let chosen = match outputs {
        [only] => only,
        _ => named("output").or_else(|| named("good"))?,
    };
    match &chosen.1 {
        Reference::Named(name) if !name.value.contains('.') => Some(&name.value),
        _ => None,
    }
}

/// Gives the schema to the leaf that makes the main output of a body, if that can be told.
fn attach_schema(body: &mut Transform, schema: crate::node::Node) -> bool {
    match &mut body.body {
        Body::Leaf if body.output_schema.is_none() => {
            body.output_schema = Some(schema);
            true
        }
        Body::Group(g) if g.kind != GroupKind::Composite && body.output.is_none() => {
            let last = g.sink.as_deref_mut().or(g.members.last_mut());
            last.is_some_and(|m| attach_schema(m, schema))
        }
        Body::Group(g) => {
            let Some(name) = body.output.as_deref().and_then(plain_output) else { return false };
            let mut named = g.members.iter_mut().filter(|m| m.label() == name || m.type_name.value == name);
            match (named.next(), named.next()) {
                (Some(member), None) => attach_schema(member, schema),
                _ => false,
            }
        }
        _ => false,
    }
}
