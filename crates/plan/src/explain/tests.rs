use super::{explain, logical, staged, summary};
use crate::testing::Pipeline;
use insta::assert_snapshot;
use serde_json::{Value, json};

const NONE: Value = Value::Null;

fn visits() -> Pipeline {
    let fields = json!({"page": "str", "cents": "int?", "agent": "str?"});
    Pipeline::new()
        .add("Read", "Visits", &[], &json!({"fields": fields, "unbounded": true, "does": "topic visits"}))
        .add("Map", "Clean", &["Visits"], &json!({"does": "cents > 0", "error_handling": {"output": "bad"}}))
        .add(
            "Combine",
            "ByPage",
            &["Clean"],
            &json!({"group_by": ["page"], "values": ["cents"], "lift": true, "does": "group_by page; sum(cents)"}),
        )
        .windowed(&json!({"type": "fixed", "size": 30}))
        .add("WriteToJson", "Totals", &["ByPage"], &json!({"does": "totals.json"}))
        .add("WriteToJson", "Errors", &["Clean.bad"], &NONE)
        .windowed(&json!({"type": "fixed", "size": 3600}))
}

#[test]
fn the_logical_text_says_what_each_transform_reads_does_and_gives() {
    assert_snapshot!(logical(&visits().plan(4).graph), @r"
    Visits             Read
                       topic visits
                       -> page: str, cents: int?, agent: str?  [unbounded]
    Clean              Map          <- Visits
                       cents > 0
                       -> out: page: str, cents: int?, agent: str?  [unbounded]
                       -> bad (errors): element: row<page: str, cents: int, agent: str>, msg: str, stack: str  [unbounded]
    ByPage[windowing]  WindowInto   <- Clean.out
                       -> page: str, cents: int?, agent: str?  [fixed(30s), unbounded]
    ByPage[partial]    Combine      <- ByPage[windowing]
                       first step
                       -> partial results
    ByPage             Combine      <- ByPage[partial]
                       second step
                       -> page: str, n: int?  [fixed(30s), unbounded]
    Totals             WriteToJson  <- ByPage
                       totals.json
    Errors[windowing]  WindowInto   <- Clean.bad
                       -> element: row<page: str, cents: int, agent: str>, msg: str, stack: str  [fixed(1h), unbounded]
    Errors             WriteToJson  <- Errors[windowing]
    ");
}

#[test]
fn the_staged_text_says_what_runs_together_and_how_rows_travel() {
    assert_snapshot!(staged(&visits().plan(4)), @r"
    stage 0  1 lane
      Visits             Read
      Clean              Map
      ByPage[windowing]  WindowInto
      ByPage[partial]    Combine
      Errors[windowing]  WindowInto   <- Clean.bad
      => stage 1         ByPage[partial] -> ByPage, shuffled by page
      => stage 3         Errors[windowing] -> Errors, lane to lane
    stage 1  4 lanes
      ByPage             Combine
      => stage 2         ByPage -> Totals, gathered
    stage 2  1 lane
      Totals             WriteToJson
    stage 3  1 lane
      Errors             WriteToJson
    ");
}

#[test]
fn branches_inside_a_stage_and_named_inputs_are_told() {
    let p = Pipeline::new()
        .add("Create", "Rows", &[], &json!({"fields": {"id": "int"}}))
        .add("Partition", "P", &["Rows"], &json!({"outputs": ["x", "y"]}))
        .named("Join", "Both", &[("left", &["P.x"]), ("right", &["P.y"])], &NONE)
        .add("Map", "All", &["P.x", "P.y"], &NONE);
    assert_snapshot!(explain(&p.plan(1)), @r"
    Rows  Create
          -> id: int
    P     Partition  <- Rows
          -> x: id: int
          -> y: id: int
    Both  Join       <- left: P.x, right: P.y
          -> id: int, id: int
    All   Map        <- P.x + P.y
          -> id: int

    stage 0  1 lane
      Rows         Create
      P            Partition
      Both         Join       <- P.x, P.y
      All          Map        <- P.x, P.y
    ");
    assert_snapshot!(staged(&p.plan(2)), @r"
    stage 0  1 lane
      Rows         Create
      P            Partition
      All          Map        <- P.x, P.y
      => stage 1   P.x -> Both.left, shuffled by id
      => stage 1   P.y -> Both.right, shuffled by id
    stage 1  2 lanes
      Both         Join
    ");
}

#[test]
fn a_line_break_in_a_name_does_not_break_the_text() {
    let p = Pipeline::new().add("Create", "a\nb", &[], &json!({"fields": {"x\ny": "int"}}));
    assert_eq!(logical(&p.plan(1).graph), "a\\nb  Create\n      -> x\\ny: int\n");
}

#[test]
fn the_summary_counts_what_the_author_wrote() {
    let plan = visits().plan(4);
    assert_eq!(summary(&plan.graph, &plan.stages), "4 stages, 5 transforms");
}
