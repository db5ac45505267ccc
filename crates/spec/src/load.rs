//! From the text of a file to its [`Spec`], with everything that is wrong with it.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::{Delivery, Spec};
use crate::node::{Node, Position, Sources, Span};
use crate::phases::{self, keys, known, read::Reader};
use crate::providers::{Bodies, Includes, Providers};
use crate::suggest;
use crate::template::{Loader, TemplateCx};
use crate::vocabulary::Vocabulary;

/// What loading a file needs from outside.
pub struct LoadOptions<'a> {
    /// Variables of the template.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// Finds included templates and provider files.
    pub loader: &'a dyn Loader,
    /// The transforms there are.
    pub vocabulary: &'a Vocabulary,
    /// The present time for the template's `datetime`, in microseconds since 1970 UTC.
    pub now_micros: i64,
    /// Copy Beam's quirks instead of mending them, and allow no extensions.
    pub beam_compat: bool,
}

/// A file, loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The description; `None` if there is any error.
    pub spec: Option<Spec>,
    /// What could be made of a file with errors: good enough to look for more problems in its configs.
    pub partial: Option<Spec>,
    /// The texts that places refer to.
    pub sources: Sources,
    /// All problems, in the order of their places.
    pub diagnostics: Diagnostics,
}

/// Loads the text of a pipeline file that goes by `name`. Never fails: problems are in the diagnostics.
pub fn load(name: &str, text: &str, options: &LoadOptions<'_>) -> Loaded {
    let mut loading = Loading { options, sources: Sources::default(), diagnostics: Diagnostics::default() };
    let spec = loading.file(name, text);
    let Loading { sources, mut diagnostics, .. } = loading;
    diagnostics.sort();
    let (spec, partial) = if diagnostics.has_errors() { (None, spec) } else { (spec, None) };
    Loaded { spec, partial, sources, diagnostics }
}

struct Loading<'a> {
    options: &'a LoadOptions<'a>,
    sources: Sources,
    diagnostics: Diagnostics,
}

impl Loading<'_> {
    fn file(&mut self, name: &str, text: &str) -> Option<Spec> {
        let options = self.options;
        let cx =
            TemplateCx { vars: options.vars.clone(), loader: options.loader, now_micros: options.now_micros };
        let d = &mut self.diagnostics;
        let rendered = crate::template::render(name, text, &cx, &mut self.sources, d)?;
        let parsed = crate::yaml::parse(rendered.file, &rendered.text, &rendered.map, &self.sources, d);
        let Some(root) = parsed else {
            if !d.has_errors() {
                d.push(no_pipeline(Span::at(rendered.file, 1, 1, 1), "the file is empty"));
            }
            return None;
        };
        if root.as_map().is_none() {
            let start = Position { line: root.span.start.line.max(1), column: root.span.start.column.max(1) };
            let span = Span::at(root.span.file, start.line, start.column, 1);
            let label = if root.is_null() {
                "the file is empty".to_owned()
            } else {
                format!("the file is {}, not a mapping", root.kind_name())
            };
            d.push(no_pipeline(span, &label));
            return None;
        }
        let (x_purlin, file_options) = self.top_level(&root);
        let delivery = self.delivery(x_purlin.as_ref());
        let tests =
            root.get("tests").map(|n| phases::test_specs::read(n, &mut self.diagnostics)).unwrap_or_default();
        let providers = self.providers(&root, name);
        let leaves = self.pipeline(&root, &providers)?;
        Some(Spec { leaves, options: file_options, tests, x_purlin, delivery })
    }

    /// `delivery` of `x-purlin`.
    fn delivery(&mut self, x_purlin: Option<&Node>) -> Option<Delivery> {
        let node = x_purlin?.get("delivery")?;
        match node.as_text() {
            Some("exactly_once") => Some(Delivery::ExactlyOnce),
            Some("at_least_once") => Some(Delivery::AtLeastOnce),
            given => {
                let words = keys::DELIVERIES;
                let what = format!("`delivery` is {}, not {}", words.join(" or "), node.kind_name());
                let what = given.map_or(what, |word| format!("`{word}` is no kind of delivery"));
                let help = given.and_then(|word| suggest::did_you_mean(word, words.iter().copied()));
                self.diagnostics.push(
                    Diagnostic::error("config/unknown-word", node.span, what)
                        .label(format!("valid: {}", words.join(", ")))
                        .maybe_help(help),
                );
                None
            }
        }
    }

    /// `x-purlin` and `options`; warns of top-level keys that look like slips.
    fn top_level(&mut self, root: &Node) -> (Option<Node>, Option<Node>) {
        let d = &mut self.diagnostics;
        let mut near_pipeline = None;
        for (key, entry) in root.as_map().into_iter().flatten() {
            if keys::FILE.contains(&key.as_str()) {
                continue;
            }
            match suggest::nearest(key, keys::FILE.iter().copied()) {
                Some("pipeline") if root.get("pipeline").is_none() => near_pipeline = Some((key, entry.key)),
                Some(near) => d.push(
                    Diagnostic::warning(
                        "shape/unknown-top-level",
                        entry.key,
                        format!("top-level key `{key}` is ignored"),
                    )
                    .label("top-level keys that Beam does not know are let through")
                    .help(format!("did you mean `{near}`?")),
                ),
                None => {}
            }
        }
        if root.get("pipeline").is_none() {
            let problem = match near_pipeline {
                Some((key, span)) => Diagnostic {
                    help: vec![match key.as_str() {
                        "pipelines" => "a project, which lists pipelines, is run by `purlin up`; a pipeline has the key `pipeline`",
                        _ => "did you mean `pipeline`?",
                    }
                    .to_owned()],
                    ..no_pipeline(span, &format!("this is `{key}`"))
                },
                None => no_pipeline(
                    Span::at(root.span.file, root.span.start.line.max(1), root.span.start.column.max(1), 1),
                    "the file starts here",
                ),
            };
            d.push(problem);
        }
        let options = root.get("options");
        for (name, node) in [("`options`", options), ("`x-purlin`", root.get("x-purlin"))] {
            if let Some(node) = node.filter(|n| n.as_map().is_none()) {
                phases::read::wrong_shape(node, name, "a mapping", d);
            }
        }
        for (key, entry) in root.get("x-purlin").and_then(Node::as_map).into_iter().flatten() {
            if !key.starts_with("__") && !keys::X_PURLIN.contains(&key.as_str()) {
                d.push(
                    Diagnostic::error(
                        "shape/unknown-key",
                        entry.key,
                        format!("`x-purlin` has no key `{key}`"),
                    )
                    .label(format!("valid keys: {}", keys::X_PURLIN.join(", ")))
                    .maybe_help(suggest::did_you_mean(key, keys::X_PURLIN.iter().copied())),
                );
            }
        }
        if let Some(entry) =
            root.as_map().and_then(|m| m.get("x-purlin")).filter(|_| self.options.beam_compat)
        {
            d.push(
                Diagnostic::warning("shape/extension", entry.key, "`x-purlin` is ignored by Beam")
                    .label("`--beam-compat` allows no extensions inside the pipeline"),
            );
        }
        (root.get("x-purlin").cloned(), options.cloned())
    }

    fn providers(&mut self, root: &Node, name: &str) -> Providers {
        let mut providers = Providers::default();
        if let Some(node) = root.get("providers") {
            let mut includes = Includes {
                loader: self.options.loader,
                sources: &mut self.sources,
                open: vec![name.to_owned()],
            };
            includes.list(node, &mut providers, &mut self.diagnostics);
        }
        providers
    }

    /// All phases, in order.
    fn pipeline(&mut self, root: &Node, providers: &Providers) -> Option<Vec<crate::model::Leaf>> {
        let options = self.options;
        let d = &mut self.diagnostics;
        let fields = |type_name: &str| match options.vocabulary.get(type_name) {
            Some(def) => Some((def.fields)().iter().map(|f| f.name.to_owned()).collect()),
            None => providers.get(type_name).map(|p| p.fields()),
        };
        let reader = Reader { fields: &fields };
        let mut tree = reader.pipeline(root.get("pipeline")?, d)?;
        let bodies = Bodies {
            loader: options.loader,
            now_micros: options.now_micros,
            sources: &mut self.sources,
            reader: &reader,
        };
        let mut known = known::Known {
            vocabulary: options.vocabulary,
            providers,
            beam_compat: options.beam_compat,
            bodies,
            expansions: 0,
        };
        known.apply(&mut tree, d);
        phases::language::apply(&mut tree, d);
        phases::source_sink::apply(&mut tree);
        phases::chain::apply(&mut tree, options.beam_compat, d);
        phases::inputs::InputRules { vocabulary: options.vocabulary, providers }.check(&mut tree, 0, d);
        phases::windowing::apply(&mut tree, options.beam_compat, d);
        let mut graph = phases::graph::build(tree, options.vocabulary, d);
        let wires = phases::lookup::check(&graph, d);
        phases::cycles::check(&graph, &wires, d);
        phases::errors::check(&graph, &wires, d);
        Some(phases::resolve::leaves(&mut graph, options.beam_compat, d))
    }
}

fn no_pipeline(span: Span, label: &str) -> Diagnostic {
    Diagnostic::error("shape/no-pipeline", span, "the file has no `pipeline`")
        .label(label)
        .help("a file is a mapping with the key `pipeline`, under which `transforms` are listed")
}

#[cfg(test)]
mod tests;
