//! From the tree of a file to a flat [`Spec`](crate::model::Spec), in the order of Beam's own preprocessing.
//!
//! `read` checks the shape and makes [`tree::Transform`]s; the phases that follow each change that tree
//! a little; `graph` and `resolve` make leaves with references out of it. Shorthands inside a `config`
//! (of mappings and of `Combine`) are left to the types of that config.

pub(crate) mod chain;
pub(crate) mod cycles;
pub(crate) mod errors;
pub(crate) mod graph;
pub(crate) mod inputs;
pub(crate) mod keys;
pub(crate) mod known;
pub(crate) mod language;
pub(crate) mod lookup;
pub(crate) mod output_schema;
pub(crate) mod read;
pub(crate) mod resolve;
pub(crate) mod source_sink;
pub(crate) mod test_specs;
pub(crate) mod tree;
pub(crate) mod windowing;
