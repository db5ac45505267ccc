//! What a pipeline is once it is normalised: a flat list of transforms with resolved inputs.
//!
//! Chains, composites, `source`/`sink`, `extra_transforms`, yaml providers and pushed-down windowing
//! are gone; names are resolved to leaves. Output tags are kept as written: whether a leaf has such an
//! output is for `plan` to say, which knows the transforms.

use crate::config::Spanned;
use crate::node::{Node, Span};

/// A whole file, normalised.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// All transforms, in a deterministic order (file order, composites expanded in place).
    pub leaves: Vec<Leaf>,
    /// `options:` as written, if given.
    pub options: Option<Node>,
    /// `tests:` of the file.
    pub tests: Vec<TestSpec>,
    /// The `x-purlin:` block as written, if given.
    pub x_purlin: Option<Node>,
    /// `delivery` of that block, if given.
    pub delivery: Option<Delivery>,
}

/// How writers to systems without transactions are to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `exactly_once`: rows go out when their epoch is committed.
    ExactlyOnce,
    /// `at_least_once`: rows go out as they come.
    AtLeastOnce,
}

/// The number of a leaf in [`Spec::leaves`].
pub type LeafId = usize;

/// One transform that does something itself.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Its place in [`Spec::leaves`].
    pub id: LeafId,
    /// Its own name: `name`, else its type.
    pub name: String,
    /// The names of the composites around it, outermost first; empty at the top level.
    pub scope: Vec<String>,
    /// Its type, such as `MapToFields`.
    pub type_name: Spanned<String>,
    /// Where the transform stands.
    pub span: Span,
    /// Its `config` (an empty mapping if none), without `output_schema`; `language` included.
    pub config: Node,
    /// Its inputs by tag; a plain input has the tag `input`.
    pub inputs: Vec<Input>,
    /// Windowing to apply to every input (or, for a root, to its outputs).
    pub windowing: Option<Node>,
    /// `output_schema`, from the transform or its `config`.
    pub output_schema: Option<Node>,
    /// The name given in `config.error_handling.output`.
    pub error_output: Option<Spanned<String>>,
    /// For a leaf whose plain name should mean one of its outputs, whatever others it has.
    pub main_output: Option<String>,
}

impl Leaf {
    /// The full label: scope and name, joined by `/`.
    pub fn label(&self) -> String {
        let mut parts = self.scope.clone();
        parts.push(self.name.clone());
        parts.join("/")
    }
}

/// One named input of a leaf. Several references are flattened.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The tag: `input`, or the key under `input:`.
    pub tag: String,
    /// Where it is written.
    pub span: Span,
    /// What it reads.
    pub from: Vec<Ref>,
}

/// A reference to an output of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Ref {
    /// The leaf.
    pub leaf: LeafId,
    /// The output, if one is named; else the leaf's only, or good, output.
    pub output: Option<String>,
    /// Where the reference is written.
    pub span: Span,
}

/// One entry of Beam's `tests:`.
#[derive(Clone, Debug, Default)]
pub struct TestSpec {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Elements that replace what a transform reads.
    pub mock_inputs: Vec<TestElements>,
    /// Elements that replace what a transform gives.
    pub mock_outputs: Vec<TestElements>,
    /// What a transform must be given.
    pub expected_inputs: Vec<TestElements>,
    /// What a transform must give.
    pub expected_outputs: Vec<TestElements>,
    /// Roots that may run for real, by name or type.
    pub allowed_sources: Vec<String>,
}

/// Elements of one transform's input or output in a test.
#[derive(Clone, Debug)]
pub struct TestElements {
    /// `Transform` or `Transform.output`.
    pub name: Spanned<String>,
    /// The list of elements, as written.
    pub elements: Node,
}
