//! From a plan to running parts: every lane of every stage with its transforms built, its routes laid
//! and its inbox slots numbered.

use crate::checkpoint::{LogSizes, Progress};
use crate::core::{Cell, Core, Kind, Route};
use crate::exchange::Spreader;
use crate::stats::NodeStats;
use arrow_schema::DataType;
use purlin_api::{
    AsyncOperator, BuildCx, Environment, Error, LaneShared, OutPort, Port, Result, Running, Sink, Source,
};
use purlin_plan::{Exchange, NodeId, Plan, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An edge between stages.
#[derive(Clone, Debug)]
pub(crate) struct RemoteEdge {
    pub(crate) from: (NodeId, OutPort),
    pub(crate) to: (NodeId, Port),
    pub(crate) to_stage: usize,
    pub(crate) exchange: Exchange,
    pub(crate) types: Vec<DataType>,
}

/// Where an inbox slot of a stage lane leads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inlet {
    /// The transform, as index into the stage.
    pub(crate) node: usize,
    /// Its input slot.
    pub(crate) slot: usize,
}

/// One lane of a stage, ready to run.
pub(crate) struct LaneParts {
    pub(crate) stage: usize,
    pub(crate) lane: usize,
    /// How many lanes the stage has.
    pub(crate) lanes: usize,
    pub(crate) core: Core,
    /// The nodes of the plan's graph that it runs, in the order of the core.
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) sources: Vec<(usize, Box<dyn Source>)>,
    /// How far each of them has come.
    pub(crate) progress: Vec<Progress>,
    /// How large the logs of its tables are.
    pub(crate) sizes: LogSizes,
    pub(crate) sinks: BTreeMap<usize, Box<dyn Sink>>,
    /// The asynchronous operator at the head of the stage, if it has one: all inlets lead to it.
    pub(crate) outside: Option<Box<dyn AsyncOperator>>,
    /// By inbox slot.
    pub(crate) inlets: Vec<Inlet>,
    /// For each remote edge that leaves this lane: where its messages go.
    pub(crate) outlets: BTreeMap<usize, Outlet>,
}

/// How one remote edge leaves one lane.
pub(crate) struct Outlet {
    pub(crate) to_stage: usize,
    pub(crate) spreader: Spreader,
    /// The inbox slot in the receiving lane, by receiving lane (the same number in each it reaches).
    pub(crate) slots: Vec<usize>,
}

/// A whole job, wired and built.
pub(crate) struct Wiring {
    pub(crate) lanes: Vec<LaneParts>,
    pub(crate) stats: Vec<Arc<NodeStats>>,
}

/// Builds every transform of a plan and lays the edges. Nothing runs yet; sources and sinks may open
/// what they read, and must not show anything outside.
pub(crate) fn wire(plan: &Plan, rows_max: usize, environment: &Arc<Environment>) -> Result<Wiring> {
    let stage_of = stage_of(plan)?;
    let edges = remote_edges(plan, &stage_of);
    let stats: Vec<Arc<NodeStats>> = plan
        .graph
        .nodes
        .iter()
        .map(|n| Arc::new(NodeStats::new(&n.label, &n.type_name, n.inputs.len(), n.node.outputs().len())))
        .collect();
    let shares: Vec<LaneShared> = plan.graph.nodes.iter().map(|_| LaneShared::default()).collect();
    let inlet_slots = number_inlets(plan, &edges);
    let mut lanes = Vec::new();
    for stage in &plan.stages.stages {
        for lane in 0..stage.lanes {
            let cx = (&*stats, &*shares, rows_max, environment);
            lanes.push(build_lane(plan, stage.id, lane, &stage_of, &edges, &inlet_slots, cx)?);
        }
    }
    Ok(Wiring { lanes, stats })
}

fn stage_of(plan: &Plan) -> Result<Vec<usize>> {
    let mut of = vec![usize::MAX; plan.graph.nodes.len()];
    for (i, stage) in plan.stages.stages.iter().enumerate() {
        if stage.id != i {
            return Err(Error::internal("stages are not numbered in order"));
        }
        for n in &stage.nodes {
            *of.get_mut(*n).ok_or_else(|| Error::internal("a stage names an unknown node"))? = i;
        }
    }
    if of.contains(&usize::MAX) {
        return Err(Error::internal("a node is in no stage"));
    }
    Ok(of)
}

fn remote_edges(plan: &Plan, stage_of: &[usize]) -> Vec<RemoteEdge> {
    let mut edges = Vec::new();
    for node in &plan.graph.nodes {
        for (port, input) in node.inputs.iter().enumerate() {
            for from in &input.from {
                if stage_of.get(from.0) == stage_of.get(node.id) {
                    continue;
                }
                let exchange = plan
                    .stages
                    .edges
                    .iter()
                    .find(|e| e.from == *from && e.to == (node.id, port))
                    .map_or(Exchange::Gather, |e| e.exchange.clone());
                let types = input.shape.schema.fields().iter().map(|f| f.data_type().clone()).collect();
                let to_stage = stage_of.get(node.id).copied().unwrap_or_default();
                edges.push(RemoteEdge { from: *from, to: (node.id, port), to_stage, exchange, types });
            }
        }
    }
    edges
}

fn lanes_of(plan: &Plan, stage: usize) -> usize {
    plan.stages.stages.get(stage).map_or(1, |s| s.lanes)
}

/// The producing lanes of an edge that reach a given lane.
fn producers(plan: &Plan, edge: &RemoteEdge, from_stage: usize, lane: usize) -> Vec<usize> {
    let all = lanes_of(plan, from_stage);
    match edge.exchange {
        Exchange::Forward => vec![lane],
        Exchange::Gather if lane > 0 => Vec::new(),
        Exchange::Gather | Exchange::Shuffle(_) | Exchange::Spread => (0..all).collect(),
    }
}

/// For every (stage, lane): the (edge, producing lane) behind each inbox slot, in order.
type InletSlots = BTreeMap<(usize, usize), Vec<(usize, usize)>>;

fn number_inlets(plan: &Plan, edges: &[RemoteEdge]) -> InletSlots {
    let stage_of_node =
        |n: NodeId| plan.stages.stages.iter().find(|s| s.nodes.contains(&n)).map_or(0, |s| s.id);
    let mut slots = InletSlots::new();
    for (e, edge) in edges.iter().enumerate() {
        let from_stage = stage_of_node(edge.from.0);
        for lane in 0..lanes_of(plan, edge.to_stage) {
            let of = slots.entry((edge.to_stage, lane)).or_default();
            of.extend(producers(plan, edge, from_stage, lane).into_iter().map(|p| (e, p)));
        }
    }
    slots
}

/// Where the rows of a lane's nodes leave for other stages; adds that to the nodes' routes.
fn outlets(
    plan: &Plan,
    stage_id: usize,
    lane: usize,
    edges: &[RemoteEdge],
    inlet_slots: &InletSlots,
    routes: &mut [Vec<Vec<Route>>],
) -> Result<BTreeMap<usize, Outlet>> {
    let unknown = || Error::internal("an edge names an unknown node");
    let stage = plan.stages.stages.get(stage_id).ok_or_else(unknown)?;
    let local = |n: NodeId| stage.nodes.iter().position(|m| *m == n);
    let mut outlets = BTreeMap::new();
    for (e, edge) in edges.iter().enumerate() {
        let Some(at) = local(edge.from.0) else { continue };
        let lanes = lanes_of(plan, edge.to_stage);
        let slots = (0..lanes)
            .map(|l| {
                let of = inlet_slots.get(&(edge.to_stage, l));
                of.and_then(|s| s.iter().position(|p| *p == (e, lane))).unwrap_or(usize::MAX)
            })
            .collect();
        let spreader = Spreader::new(&edge.exchange, lane, lanes, &edge.types)?;
        outlets.insert(e, Outlet { to_stage: edge.to_stage, spreader, slots });
        let outs = routes.get_mut(at).and_then(|r| r.get_mut(edge.from.1)).ok_or_else(unknown)?;
        outs.push(Route::Remote { edge: e });
    }
    Ok(outlets)
}

/// Inputs of each node of a stage (port and producer), and where each of its outputs goes, as far as it stays inside.
type Fused = (Vec<Vec<(Port, NodeId)>>, Vec<Vec<Vec<Route>>>);

fn fused_edges(plan: &Plan, stage: &Stage, stage_of: &[usize]) -> Result<Fused> {
    let unknown = || Error::internal("an edge names an unknown node");
    let local = |n: NodeId| stage.nodes.iter().position(|m| *m == n);
    let mut ports: Vec<Vec<(Port, NodeId)>> = vec![Vec::new(); stage.nodes.len()];
    let mut routes: Vec<Vec<Vec<Route>>> = Vec::new();
    for n in &stage.nodes {
        let node = plan.graph.nodes.get(*n).ok_or_else(unknown)?;
        routes.push(vec![Vec::new(); node.node.outputs().len()]);
    }
    for (at, n) in stage.nodes.iter().enumerate() {
        let node = plan.graph.nodes.get(*n).ok_or_else(unknown)?;
        for (port, input) in node.inputs.iter().enumerate() {
            for (from, out) in &input.from {
                if stage_of.get(*from) != Some(&stage.id) {
                    continue;
                }
                let slot = ports.get(at).map_or(0, Vec::len);
                ports.get_mut(at).ok_or_else(unknown)?.push((port, *from));
                let producer = local(*from).ok_or_else(unknown)?;
                let outs = routes.get_mut(producer).and_then(|r| r.get_mut(*out)).ok_or_else(unknown)?;
                outs.push(Route::Local { node: at, slot });
            }
        }
    }
    Ok((ports, routes))
}

/// What a lane's driver calls itself.
#[derive(Default)]
struct Built {
    sources: Vec<(usize, Box<dyn Source>)>,
    sinks: BTreeMap<usize, Box<dyn Sink>>,
    outside: Option<Box<dyn AsyncOperator>>,
}

impl Built {
    /// Takes what the driver calls, and answers what the cell is.
    fn take(&mut self, at: usize, running: Running, is_head: bool) -> Result<Kind> {
        Ok(match running {
            Running::Operator(op) => Kind::Operator(op),
            Running::Source(source) => {
                self.sources.push((at, source));
                Kind::Source
            }
            Running::Async(op) if is_head => {
                self.outside = Some(op);
                Kind::Async
            }
            Running::Async(_) => {
                return Err(Error::internal("an asynchronous transform is not at the head of its stage"));
            }
            Running::Sink(sink) => {
                self.sinks.insert(at, sink);
                Kind::Sink
            }
        })
    }
}

fn build_lane(
    plan: &Plan,
    stage_id: usize,
    lane: usize,
    stage_of: &[usize],
    edges: &[RemoteEdge],
    inlet_slots: &InletSlots,
    (stats, shares, rows_max, environment): (&[Arc<NodeStats>], &[LaneShared], usize, &Arc<Environment>),
) -> Result<LaneParts> {
    let unknown = || Error::internal("an edge names an unknown node");
    let stage = plan.stages.stages.get(stage_id).ok_or_else(unknown)?;
    let local = |n: NodeId| stage.nodes.iter().position(|m| *m == n);
    let empty = Vec::new();
    let my_slots = inlet_slots.get(&(stage_id, lane)).unwrap_or(&empty);
    let mut inlets: Vec<Option<Inlet>> = vec![None; my_slots.len()];

    // Input slots of each node: fused edges first come as they are listed, then remote ones by producer.
    let (mut ports, mut routes) = fused_edges(plan, stage, stage_of)?;
    for (i, (e, _)) in my_slots.iter().enumerate() {
        let edge = edges.get(*e).ok_or_else(unknown)?;
        let at = local(edge.to.0).ok_or_else(unknown)?;
        let node_ports = ports.get_mut(at).ok_or_else(unknown)?;
        if let Some(inlet) = inlets.get_mut(i) {
            *inlet = Some(Inlet { node: at, slot: node_ports.len() });
        }
        node_ports.push((edge.to.1, edge.from.0));
    }

    let outlets = outlets(plan, stage_id, lane, edges, inlet_slots, &mut routes)?;

    let mut built = Built::default();
    let mut cells = Vec::new();
    for (at, ((n, ports), routes)) in stage.nodes.iter().zip(ports).zip(routes).enumerate() {
        let node = plan.graph.nodes.get(*n).ok_or_else(unknown)?;
        let shared = shares.get(*n).ok_or_else(unknown)?.clone();
        let (label, environment) = (node.label.clone(), environment.clone());
        let cx = BuildCx { label, lane, lanes: stage.lanes, rows_max, shared, environment };
        let running = node.node.build(&cx).map_err(|e| e.in_place(&node.label))?;
        let is_head = at == 0 && inlets.iter().flatten().all(|i| i.node == 0);
        let kind = built.take(at, running, is_head).map_err(|e| e.in_place(&node.label))?;
        let stats = stats.get(*n).ok_or_else(unknown)?.clone();
        cells.push(Cell::new(&node.label, kind, ports, routes, rows_max, stats));
    }
    let inlets = inlets.into_iter().collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
    let (core, nodes) = (Core::new(cells), stage.nodes.clone());
    let Built { sources, sinks, outside } = built;
    let progress = sources.iter().map(|_| Progress::default()).collect();
    let (stage, lanes, sizes) = (stage_id, stage.lanes, LogSizes::default());
    Ok(LaneParts {
        stage,
        lane,
        lanes,
        core,
        nodes,
        sources,
        progress,
        sizes,
        sinks,
        outside,
        inlets,
        outlets,
    })
}
