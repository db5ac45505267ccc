//! A stream gives what a batch job gives, whatever the order of rows, the pieces they come in, the lanes and
//! the batch sizes.

use proptest::prelude::*;
use purlin::pipeline::{Pipeline, PipelineOptions};
use purlin_api::{Batch, EventTime, OutPort, Times, literal};
use purlin_engine::StepRun;
use purlin_plan::{NodeId, Plan};

const PIPELINE: &str = "\
pipeline:
  transforms:
    - {type: Create, name: In, config: {elements: [{k: a, v: 1, t: 0}]}}
    - {type: AssignTimestamps, name: At, input: In, config: {timestamp: t}}
    - {type: Filter, name: Some, input: At, config: {keep: v > 0}}
    - type: Combine
      name: Sums
      input: Some
      windowing: WINDOWING
      config: {group_by: k, combine: {s: {value: v, fn: sum}, n: {value: v, fn: count}, hi: {value: v, fn: max}}}
    - {type: ExtractWindowingInfo, name: Out, input: Sums, config: {fields: {w: window_string}}}
    - {type: LogForTesting, name: End, input: Out}
";

const WINDOWINGS: &[&str] = &[
    "{type: fixed, size: 10}",
    "{type: fixed, size: 7, offset: 3}",
    "{type: sliding, size: 20, period: 5}",
    "{type: sessions, gap: 4}",
    "{type: global}",
];

fn plan(windowing: &str, lanes: usize, rewrite: bool) -> Plan {
    let variables = serde_json::Map::new();
    let options = PipelineOptions { variables, beam_compat: false, lanes, piece_bytes: None, rewrite };
    let mut p = Pipeline::from_text("p.yaml", &PIPELINE.replace("WINDOWING", windowing), &options);
    let plan = p.plan(&options);
    plan.unwrap_or_else(|| panic!("{}", p.diagnostics.render(&p.sources)))
}

fn node(plan: &Plan, label: &str) -> NodeId {
    plan.graph.nodes.iter().find(|n| n.label == label).map(|n| n.id).expect("a node of this name")
}

type Row = (u8, i64, i64);

fn batch(rows: &[Row]) -> Batch {
    let rows: Vec<_> = rows
        .iter()
        .map(|(k, v, t)| {
            literal::Literal::from_json(&serde_json::json!({"k": format!("k{k}"), "v": v, "t": t}))
        })
        .collect();
    let model = literal::Literal::from_json(&serde_json::json!({"k": "", "v": 0, "t": 0}));
    let schema = purlin_api::shape::physical(&literal::infer_rows([&model]));
    Batch::at(literal::build_rows(&schema, &rows).expect("rows"), Times::One(EventTime::MIN))
}

fn results(run: &mut StepRun, at: (NodeId, OutPort)) -> Vec<String> {
    let mut rows: Vec<String> = run
        .take_tap(at.0, at.1)
        .iter()
        .flat_map(|b| {
            (0..b.len()).map(|r| purlin_api::json::row_to_json(&b.rows, r).to_string()).collect::<Vec<_>>()
        })
        .collect();
    rows.sort();
    rows
}

/// All rows at once, then the end of time.
fn as_batch(windowing: &str, rows: &[Row]) -> Vec<String> {
    let plan = plan(windowing, 1, false);
    let (source, out) = (node(&plan, "In"), (node(&plan, "Out"), 0));
    let mut run = StepRun::new(&plan, 8192).expect("a run");
    run.tap(out.0, out.1);
    run.inject(source, vec![(0, batch(rows))]).expect("rows");
    run.end(source).expect("the end");
    run.finish().expect("a balanced ledger");
    results(&mut run, out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_pieces_and_lanes(
        rows in prop::collection::vec((0u8..5, -2i64..50, 0i64..100), 0..120),
        windowing in prop::sample::select(WINDOWINGS),
        lanes in 1usize..4,
        rows_max in 1usize..40,
        cuts in prop::collection::vec(0usize..120, 0..8),
        rewrite: bool,
    ) {
        let expected = as_batch(windowing, &rows);
        // In any order, cut into pieces; the watermark follows the earliest row that is still to come, so
        // nothing is late.
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(rows.len())).collect();
        cuts.push(rows.len());
        cuts.sort_unstable();
        let plan = plan(windowing, lanes, rewrite);
        let (source, out) = (node(&plan, "In"), (node(&plan, "Out"), 0));
        let mut run = StepRun::new(&plan, rows_max).expect("a run");
        run.tap(out.0, out.1);
        let mut from = 0;
        for cut in cuts {
            let piece = &rows[from..cut];
            for part in piece.chunks(rows_max) {
                run.inject(source, vec![(0, batch(part))]).expect("rows");
            }
            if let Some(next) = rows[cut..].iter().map(|r| r.2).min() {
                run.watermark(source, EventTime::from_seconds(next)).expect("a watermark");
            }
            run.barrier().expect("a barrier");
            from = cut;
        }
        run.end(source).expect("the end");
        run.finish().expect("a balanced ledger");
        prop_assert_eq!(results(&mut run, out), expected);
    }
}
