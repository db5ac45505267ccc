//! Meaning: from a normalised description to a checked graph and to the stages that run it.
//!
//! [`plan`] decodes every config, binds every transform to the shapes of its inputs, puts in what the
//! author left implicit (flattening, windowing, schema checks), checks, rewrites and fuses.
//! [`explain`] and [`draw`] show the result; [`guarantee`] says what it promises after a crash; [`mock`] cuts a pipeline down to one of its tests.
//!
//! **Invariants.** No IO of its own, no tokio, no clock. Nothing here fails: problems are diagnostics, and
//! one slip gives one message (a transform whose input failed is passed over). Ids and order depend on
//! the input alone.

pub mod draw;
pub mod explain;
pub mod graph;
pub mod guarantee;
pub mod mock;
pub mod stages;

mod build;
mod check;
mod errors;
mod resolve;
mod rewrite;
#[cfg(test)]
mod testing;

pub use draw::{to_dot, to_json, to_svg, to_svg_staged};
pub use graph::{Feed, Graph, GraphInput, GraphNode, NodeId};
pub use stages::{Exchange, Stage, StageEdge, Stages};

use purlin_api::{Catalog, Division, Probe};
use purlin_spec::Diagnostics;
use purlin_spec::model::Spec;

/// How a pipeline is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether Beam's quirks are copied.
    pub beam_compat: bool,
    /// How many lanes there are for keyed stages and for readers that can be divided; 0 counts as 1.
    pub lanes: usize,
    /// Divides readers into pieces of about this many bytes, however small they are. `None`: where it pays.
    pub piece_bytes: Option<u64>,
    /// Whether to rewrite the graph (leave out unread columns, aggregate before shuffles).
    pub rewrite: bool,
}

impl Default for PlanOptions {
    fn default() -> Self {
        PlanOptions { beam_compat: false, lanes: 1, piece_bytes: None, rewrite: true }
    }
}

/// A pipeline that can run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The transforms and what flows between them.
    pub graph: Graph,
    /// How they are put together to run.
    pub stages: Stages,
}

/// Plans a pipeline. `None` if there is an error among the problems pushed to `d`; warnings let it pass.
pub fn plan(
    spec: &Spec,
    catalog: &Catalog,
    probe: &dyn Probe,
    options: &PlanOptions,
    d: &mut Diagnostics,
) -> Option<Plan> {
    graph(spec, catalog, probe, options, d).map(|graph| lay_out(graph, options))
}

/// Binds a pipeline's transforms: the first half of [`plan`], for who changes the graph before it is laid out.
pub fn graph(
    spec: &Spec,
    catalog: &Catalog,
    probe: &dyn Probe,
    options: &PlanOptions,
    d: &mut Diagnostics,
) -> Option<Graph> {
    resolve::resolve(spec, catalog, probe, options.beam_compat, d)
}

/// Rewrites a graph and cuts it into stages: the second half of [`plan`].
pub fn lay_out(mut graph: Graph, options: &PlanOptions) -> Plan {
    if options.rewrite {
        rewrite::rewrite(&mut graph);
    }
    rewrite::divide(&mut graph, Division { lanes: options.lanes, piece_bytes: options.piece_bytes });
    let stages = stages::fuse(&graph, options.lanes);
    Plan { graph, stages }
}
