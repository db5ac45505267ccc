//! What a pipeline promises about each row after a crash: the weakest promise of its readers and writers.
//!
//! What stands between them does not matter: state and positions are in checkpoints, and a transform that is not
//! deterministic gives results of one of its runs, once.

use crate::graph::{Graph, GraphNode};
use purlin_api::transform::Circumstances;
use purlin_api::{Delivery, Guarantee, Promise};
use purlin_spec::{Sources, Span};
use serde_json::{Value, json};

/// A reader or writer, and what it promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The name of the transform.
    pub label: String,
    /// Its type.
    pub type_name: String,
    /// Where it stands.
    pub span: Span,
    /// What it promises; `None`: it does not say.
    pub guarantee: Option<Guarantee>,
}

/// What a pipeline promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promised {
    /// Its readers and writers, in the order of the plan.
    pub links: Vec<Link>,
}

/// What the pipeline promises whose author asks for this delivery.
pub fn promised(graph: &Graph, delivery: Delivery) -> Promised {
    let circumstances = Circumstances { delivery, checkpoints: graph.is_live() };
    let link = |node: &GraphNode| {
        let guarantee = node.node.guarantee_in(circumstances);
        let (label, type_name) = (node.label.clone(), node.type_name.clone());
        let is_link = guarantee.is_some() || node.is_source() || node.is_sink();
        is_link.then_some(Link { label, type_name, span: node.span, guarantee })
    };
    Promised { links: graph.nodes.iter().filter_map(link).collect() }
}

/// A promise as people say it.
pub fn words(promise: Promise) -> &'static str {
    match promise {
        Promise::ExactlyOnce => "exactly once",
        Promise::AtLeastOnce => "at least once",
        Promise::AtMostOnce => "at most once",
    }
}

impl Promised {
    /// The promise of the pipeline; `None` if a reader or writer does not say what it promises.
    pub fn promise(&self) -> Option<Promise> {
        let all: Option<Vec<Promise>> =
            self.links.iter().map(|l| l.guarantee.as_ref().map(|g| g.promise)).collect();
        all?.into_iter().max()
    }

    /// The links that promise least, if they promise less than exactly once.
    pub fn weakest(&self) -> impl Iterator<Item = &Link> {
        let least = self.promise().filter(|p| *p != Promise::ExactlyOnce);
        self.links.iter().filter(move |l| least.is_some() && l.guarantee.as_ref().map(|g| g.promise) == least)
    }

    /// A line for people, such as `at least once, because WriteToPubSub "Out" (line 40): rows are …`.
    pub fn line(&self, sources: &Sources) -> Option<String> {
        let promise = words(self.promise()?);
        let mut weakest = self.weakest();
        let Some(first) = weakest.next() else { return Some(promise.to_owned()) };
        let because = first.guarantee.as_ref().map_or("", |g| g.because.as_str());
        let others = match weakest.count() {
            0 => String::new(),
            n => format!(" ({n} more of its readers and writers promise no more)"),
        };
        Some(format!("{promise}, because {}: {because}{others}", first.place(sources)))
    }

    /// The same for programs.
    pub fn to_json(&self, sources: &Sources) -> Value {
        let word = |p: Promise| words(p).replace(' ', "_");
        let link = |l: &Link| {
            json!({
                "transform": l.label,
                "type": l.type_name,
                "file": sources.get(l.span.file).map(|f| f.name.as_str()),
                "line": l.span.start.line,
                "promise": l.guarantee.as_ref().map(|g| word(g.promise)),
                "because": l.guarantee.as_ref().map(|g| g.because.as_str()),
            })
        };
        json!({
            "promise": self.promise().map(word),
            "weakest": self.weakest().map(|l| l.label.as_str()).collect::<Vec<_>>(),
            "links": self.links.iter().map(link).collect::<Vec<_>>(),
        })
    }
}

impl Link {
    /// Its type, name and line; and the file, if a provider's body stands in another one.
    fn place(&self, sources: &Sources) -> String {
        let file =
            sources.get(self.span.file).filter(|_| self.span.file > 0).map(|f| format!("{}, ", f.name));
        let line = match self.span.start.line {
            0 => String::new(),
            n => format!(" ({}line {n})", file.unwrap_or_default()),
        };
        format!("{} \"{}\"{line}", self.type_name, self.label.escape_debug())
    }
}

#[cfg(test)]
mod tests;
