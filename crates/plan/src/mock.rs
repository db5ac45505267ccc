//! A pipeline cut down to one of its tests.
//!
//! From each expectation one walks back to what it needs. A mocked output is replaced by a `Create` of its
//! elements, and so is a mocked input; what is expected becomes an `AssertEqual`. Names mean transforms of
//! the top level, by name or type, or composites there, by name.

mod names;

use crate::build::mapping;
use indexmap::IndexMap;
use names::{Names, Target};
use purlin_spec::config::Spanned;
use purlin_spec::model::{Input, Leaf, LeafId, Ref, Spec, TestElements, TestSpec};
use purlin_spec::{Diagnostic, Diagnostics, Span};
use std::collections::{BTreeMap, BTreeSet};

/// The part of `spec` that `test` runs, with its mocks and expectations put in; it fails when run if an
/// expectation is not met. `None`, with a diagnostic, if the test names what is not there, expects nothing,
/// or would run a source for real that it neither mocks nor allows.
pub fn mock(spec: &Spec, test: &TestSpec, d: &mut Diagnostics) -> Option<Spec> {
    let errors_before = d.error_count();
    if test.expected_inputs.is_empty() && test.expected_outputs.is_empty() {
        d.push(
            Diagnostic::error(
                "test/no-expectation",
                test.span,
                format!("the test `{}` expects nothing", test.name),
            )
            .help("add `expected_outputs` or `expected_inputs`; in a timed test, a step `- expect: {NAME: [...]}`"),
        );
    }
    let cut = Cut::new(spec, test, d);
    let asked = cut.expectations(d);
    let kept = cut.needed(&asked, d);
    cut.check_sources(&kept, d);
    if d.error_count() > errors_before {
        return None;
    }
    Some(cut.rebuild(&kept, asked))
}

/// A mock of the test: in `mock_outputs` or `mock_inputs`, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mock {
    Output(usize),
    Input(usize),
}

/// What a reference of the cut pipeline leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Feed {
    Kept(LeafId),
    Mocked(Mock),
}

/// An expectation: its name, and what feeds it.
struct Asked<'t> {
    label: String,
    elements: &'t TestElements,
    reads: Vec<(Feed, Ref)>,
}

struct Cut<'s> {
    spec: &'s Spec,
    test: &'s TestSpec,
    names: Names<'s>,
    /// Mocked outputs by leaf and tag.
    outputs: BTreeMap<LeafId, IndexMap<Option<String>, usize>>,
    /// Leaves whose inputs are mocked.
    inputs: BTreeMap<LeafId, usize>,
    /// Composites whose inputs are mocked.
    composites: BTreeMap<&'s str, usize>,
}

impl<'s> Cut<'s> {
    fn new(spec: &'s Spec, test: &'s TestSpec, d: &mut Diagnostics) -> Self {
        let names = Names { spec };
        let mut cut = Cut {
            spec,
            test,
            names,
            outputs: BTreeMap::new(),
            inputs: BTreeMap::new(),
            composites: BTreeMap::new(),
        };
        for (i, mock) in test.mock_outputs.iter().enumerate() {
            if let Some(r) = names.output(&mock.name, d) {
                cut.outputs.entry(r.leaf).or_default().insert(r.output, i);
            }
        }
        for (i, mock) in test.mock_inputs.iter().enumerate() {
            match names.transform(&mock.name, d) {
                Some(Target::Leaf(leaf)) => {
                    cut.inputs.insert(leaf.id, i);
                }
                Some(Target::Composite(name)) => {
                    cut.composites.insert(name, i);
                }
                None => {}
            }
        }
        cut
    }

    /// The mock that stands for an output, if its transform is mocked.
    fn mocked_output(&self, r: &Ref, d: &mut Diagnostics) -> Option<Mock> {
        let mocks = self.outputs.get(&r.leaf)?;
        let leaf = self.spec.leaves.get(r.leaf)?;
        let plain = |tag: &Option<String>| {
            tag.as_deref().is_none_or(|t| {
                matches!(t, "out" | "output" | "good") || leaf.main_output.as_deref() == Some(t)
            })
        };
        let same = mocks.get(&r.output).copied();
        let alike = || mocks.iter().find(|(tag, _)| plain(tag) && plain(&r.output)).map(|(_, i)| *i);
        if let Some(i) = same.or_else(alike) {
            return Some(Mock::Output(i));
        }
        let output = r.output.as_deref().unwrap_or("out");
        d.push(
            Diagnostic::error(
                "test/unmocked-output",
                self.test.span,
                format!("Unmocked output `{output}` of `{}` in test `{}`", leaf.label(), self.test.name),
            )
            .related(r.span, "it is read here")
            .help("when one output of a transform is mocked, all that are used must be"),
        );
        // Any mock of it will do: the test is refused already.
        mocks.values().next().map(|i| Mock::Output(*i))
    }

    fn feed(&self, r: &Ref, d: &mut Diagnostics) -> Feed {
        self.mocked_output(r, d).map_or(Feed::Kept(r.leaf), Feed::Mocked)
    }

    /// What feeds each input of a leaf in the cut pipeline; `None` if all its inputs are mocked as one.
    fn feeds(&self, leaf: &'s Leaf, d: &mut Diagnostics) -> Vec<(&'s Input, Vec<(Feed, Ref)>)> {
        let around = leaf.scope.first().map(String::as_str);
        let mocked_composite = around.and_then(|c| self.composites.get(c));
        let mut feeds = Vec::new();
        for input in &leaf.inputs {
            let mut reads: Vec<(Feed, Ref)> = Vec::new();
            for r in &input.from {
                let from_outside =
                    self.spec.leaves.get(r.leaf).and_then(|l| l.scope.first()).map(String::as_str) != around;
                let feed = match mocked_composite {
                    Some(i) if from_outside => Feed::Mocked(Mock::Input(*i)),
                    _ => self.feed(r, d),
                };
                // One mock stands for all that came in.
                let twice =
                    matches!(feed, Feed::Mocked(Mock::Input(_))) && reads.iter().any(|(f, _)| *f == feed);
                if !twice {
                    reads.push((feed, r.clone()));
                }
            }
            feeds.push((input, reads));
        }
        feeds
    }

    fn expectations(&self, d: &mut Diagnostics) -> Vec<Asked<'s>> {
        let mut asked = Vec::new();
        for elements in &self.test.expected_outputs {
            let Some(r) = self.names.output(&elements.name, d) else { continue };
            let label = format!("CheckExpectedOutput[{}]", elements.name.value);
            asked.push(Asked { label, elements, reads: vec![(self.feed(&r, d), r)] });
        }
        for elements in &self.test.expected_inputs {
            let Some(target) = self.names.transform(&elements.name, d) else { continue };
            let label = format!("CheckExpectedInput[{}]", elements.name.value);
            if let Some(reads) = self.reads_of(target, elements, d) {
                asked.push(Asked { label, elements, reads });
            }
        }
        asked
    }

    /// What a transform is given, as one collection.
    fn reads_of(
        &self,
        target: Target<'s>,
        elements: &TestElements,
        d: &mut Diagnostics,
    ) -> Option<Vec<(Feed, Ref)>> {
        let here = elements.name.span;
        let mocked =
            |i: usize| vec![(Feed::Mocked(Mock::Input(i)), Ref { leaf: 0, output: None, span: here })];
        let inputs: Vec<Vec<(Feed, Ref)>> = match target {
            Target::Leaf(leaf) => match self.inputs.get(&leaf.id) {
                Some(i) => return Some(mocked(*i)),
                None => self.feeds(leaf, d).into_iter().map(|(_, reads)| reads).collect(),
            },
            Target::Composite(name) => match self.composites.get(name) {
                Some(i) => return Some(mocked(*i)),
                None => self.names.entering(name).into_iter().map(|r| vec![(self.feed(&r, d), r)]).collect(),
            },
        };
        let count = inputs.len();
        match <[Vec<(Feed, Ref)>; 1]>::try_from(inputs) {
            Ok([reads]) => Some(reads),
            Err(_) => {
                d.push(
                    Diagnostic::error(
                        "test/inputs",
                        here,
                        format!(
                            "`{}` has {count} inputs; `expected_inputs` compares exactly one",
                            elements.name.value
                        ),
                    )
                    .help("use `expected_outputs` with the names of the transforms it reads"),
                );
                None
            }
        }
    }

    /// The leaves that the expectations need, walking back to sources and mocks.
    fn needed(&self, asked: &[Asked<'_>], d: &mut Diagnostics) -> BTreeSet<LeafId> {
        let mut waiting: Vec<Feed> =
            asked.iter().flat_map(|a| a.reads.iter().map(|(feed, _)| *feed)).collect();
        let mut kept = BTreeSet::new();
        while let Some(feed) = waiting.pop() {
            let Feed::Kept(id) = feed else { continue };
            let Some(leaf) = self.spec.leaves.get(id) else { continue };
            if kept.insert(id) && !self.inputs.contains_key(&id) {
                waiting.extend(
                    self.feeds(leaf, d).into_iter().flat_map(|(_, reads)| reads).map(|(feed, _)| feed),
                );
            }
        }
        kept
    }

    /// A test must not read from outside unless it says so.
    fn check_sources(&self, kept: &BTreeSet<LeafId>, d: &mut Diagnostics) {
        for leaf in kept.iter().filter_map(|id| self.spec.leaves.get(*id)) {
            let is_source = leaf.inputs.is_empty() && !self.inputs.contains_key(&leaf.id);
            if !is_source || leaf.type_name.value == CREATE {
                continue;
            }
            let mut known_as = leaf.scope.iter().chain([&leaf.name, &leaf.type_name.value]);
            if known_as.any(|n| self.test.allowed_sources.contains(n)) {
                continue;
            }
            d.push(
                Diagnostic::error(
                    "test/source-not-mocked",
                    leaf.span,
                    format!("Non-mocked source `{}` in test `{}`", leaf.label(), self.test.name),
                )
                .label("the test would read from outside")
                .related(self.test.span, "needed by this test")
                .help(format!("mock it (`mock_outputs`), or list `{}` in `allowed_sources`", leaf.name)),
            );
        }
    }

    /// Numbers everything anew: kept leaves in the order of the file, then mocks, then expectations.
    fn rebuild(&self, kept: &BTreeSet<LeafId>, asked: Vec<Asked<'_>>) -> Spec {
        // Every problem has been found already.
        let mut d = Diagnostics::default();
        let mut ids: BTreeMap<Feed, LeafId> =
            kept.iter().enumerate().map(|(new, old)| (Feed::Kept(*old), new)).collect();
        let mut leaves: Vec<Leaf> = Vec::new();
        let mut mocks: Vec<Leaf> = Vec::new();
        for old in kept {
            let Some(leaf) = self.spec.leaves.get(*old) else { continue };
            let inputs = match self.inputs.get(old) {
                Some(i) => {
                    let mock = Feed::Mocked(Mock::Input(*i));
                    let from = vec![self.place(mock, None, leaf.span, kept.len(), &mut ids, &mut mocks)];
                    vec![Input { tag: "input".to_owned(), span: leaf.span, from }]
                }
                None => self
                    .feeds(leaf, &mut d)
                    .into_iter()
                    .map(|(input, reads)| {
                        let from = reads.into_iter().map(|(feed, r)| {
                            self.place(feed, r.output, r.span, kept.len(), &mut ids, &mut mocks)
                        });
                        Input { from: from.collect(), ..input.clone() }
                    })
                    .collect(),
            };
            leaves.push(Leaf { id: leaves.len(), inputs, ..leaf.clone() });
        }
        let mut checks = Vec::new();
        for Asked { label, elements, reads } in asked {
            let from = reads
                .into_iter()
                .map(|(feed, r)| self.place(feed, r.output, r.span, kept.len(), &mut ids, &mut mocks))
                .collect();
            let input = Input { tag: "input".to_owned(), span: elements.name.span, from };
            checks.push(made(label, ASSERT_EQUAL, elements, vec![input]));
        }
        leaves.extend(mocks);
        leaves.extend(checks);
        for (id, leaf) in leaves.iter_mut().enumerate() {
            leaf.id = id;
        }
        forget_unread_errors(&mut leaves);
        Spec {
            leaves,
            options: self.spec.options.clone(),
            tests: Vec::new(),
            x_purlin: self.spec.x_purlin.clone(),
            delivery: self.spec.delivery,
        }
    }

    /// A reference in the new numbering; the mock it leads to is made when it is first needed.
    fn place(
        &self,
        feed: Feed,
        output: Option<String>,
        span: Span,
        kept: usize,
        ids: &mut BTreeMap<Feed, LeafId>,
        mocks: &mut Vec<Leaf>,
    ) -> Ref {
        let leaf = *ids.entry(feed).or_insert_with(|| {
            let id = kept + mocks.len();
            let (what, elements) = match feed {
                Feed::Mocked(Mock::Output(i)) => ("MockOutput", self.test.mock_outputs.get(i)),
                Feed::Mocked(Mock::Input(i)) => ("MockInput", self.test.mock_inputs.get(i)),
                Feed::Kept(_) => ("", None),
            };
            if let Some(elements) = elements {
                mocks.push(made(format!("{what}[{}]", elements.name.value), CREATE, elements, Vec::new()));
            }
            id
        });
        let output = if matches!(feed, Feed::Kept(_)) { output } else { None };
        Ref { leaf, output, span }
    }
}

const CREATE: &str = "Create";
const ASSERT_EQUAL: &str = "AssertEqual";

/// A leaf that the test puts in; its id is given later.
fn made(name: String, type_name: &str, elements: &TestElements, inputs: Vec<Input>) -> Leaf {
    let span = elements.name.span;
    Leaf {
        id: 0,
        name,
        scope: Vec::new(),
        type_name: Spanned { value: type_name.to_owned(), span },
        span,
        config: mapping(span, [("elements", elements.elements.clone())]),
        inputs,
        windowing: None,
        output_schema: None,
        error_output: None,
        main_output: None,
    }
}

/// A test need not read the error outputs of the part it looks at.
fn forget_unread_errors(leaves: &mut [Leaf]) {
    let read: BTreeSet<(LeafId, String)> = leaves
        .iter()
        .flat_map(|l| l.inputs.iter().flat_map(|i| &i.from))
        .filter_map(|r| Some((r.leaf, r.output.clone()?)))
        .collect();
    for leaf in leaves {
        let id = leaf.id;
        leaf.error_output =
            leaf.error_output.take().filter(|named| read.contains(&(id, named.value.clone())));
    }
}

#[cfg(test)]
mod tests;
