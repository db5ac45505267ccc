//! Checkpoints of each version of the format are kept here, and read by every later program.
//!
//! `PURLIN_WRITE_FIXTURES=1` writes those of the present version anew; do that for a new version only, under its number.

use super::pipelines::{PIPELINES, SimPlan};
use super::world::{Bug, Random, World};
use purlin_engine::StepRun;
use purlin_engine::checkpoint::{CheckpointStore, Checkpoints, Folder, From, Memory};
use purlin_engine::step::Until;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSIONS: &[u32] = &[1];

fn folder(version: u32, pipeline: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/simulator/fixtures");
    fixtures.join(format!("v{version}")).join(pipeline.replace(' ', "_"))
}

fn opened(store: Arc<dyn CheckpointStore>) -> Checkpoints {
    Checkpoints::open(store, "simulated", From::Checkpoint, "0").expect("checkpoints")
}

/// Runs for a while in two lanes, with a checkpoint now and then, so that there are whole tables and changes.
fn write(plan: &SimPlan, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    let world = World::new(&mut Random::new(77), Bug::None);
    plan.live_in(&world);
    let plan = plan.plan(2);
    let store: Arc<dyn CheckpointStore> = Arc::new(Folder::open(to).expect("a folder"));
    let mut run =
        StepRun::new(&plan, 7).expect("a run").with_checkpoints(&plan, opened(store)).expect("a start");
    for _ in 0..4 {
        for _ in 0..3 {
            run.pull().expect("rows");
        }
        assert!(run.checkpoint(Until::Told).expect("a checkpoint"));
    }
}

/// What comes out of the state in a checkpoint when nothing more comes in.
fn rest(plan: &SimPlan, lanes: usize, from: &Path) -> String {
    // A copy: the job would write there.
    let store = Memory::default();
    let folder = Folder::look(from);
    for (name, size) in folder.list().expect("fixtures") {
        store.put(&name, &[folder.get(&name, 0..size).expect("a fixture")]).expect("a copy");
    }
    let world = World::empty();
    plan.live_in(&world);
    let plan = plan.plan(lanes);
    let mut run = StepRun::new(&plan, 7).expect("a run");
    run = run.with_checkpoints(&plan, opened(Arc::new(store))).expect("it goes on");
    while run.pull().expect("rows") {}
    assert!(run.checkpoint(Until::Told).expect("a checkpoint"));
    run.finish().expect("an end");
    world.visible().join("\n") + "\n"
}

#[test]
fn checkpoints_of_all_versions_are_read() {
    let writes = std::env::var("PURLIN_WRITE_FIXTURES").is_ok_and(|v| v == "1");
    for version in VERSIONS {
        for pipeline in PIPELINES {
            let (plan, folder) = (SimPlan::new(pipeline), folder(*version, pipeline.0));
            let expected = folder.join("expected.txt");
            if writes && Some(version) == VERSIONS.last() {
                write(&plan, &folder);
                std::fs::remove_file(folder.join("lock")).expect("the lock");
                std::fs::write(&expected, rest(&plan, 2, &folder)).expect("a file");
            }
            let wanted = std::fs::read_to_string(&expected).expect("expected.txt");
            for lanes in 1..=3 {
                assert_eq!(rest(&plan, lanes, &folder), wanted, "v{version} {} in {lanes} lanes", pipeline.0);
            }
        }
    }
}

#[test]
fn damage_is_an_error_that_names_the_checkpoint() {
    let plan = SimPlan::new(&PIPELINES[1]);
    let folder = Folder::look(&folder(1, PIPELINES[1].0));
    let (name, size) =
        folder.list().expect("fixtures").into_iter().rfind(|(n, _)| n.ends_with(".checkpoint")).expect("one");
    let good = folder.get(&name, 0..size).expect("a fixture");
    plan.live_in(&World::empty());
    let go_on = |bytes: Vec<u8>| {
        let store = Memory::default();
        for (name, size) in folder.list().expect("fixtures") {
            store.put(&name, &[folder.get(&name, 0..size).expect("a fixture")]).expect("a copy");
        }
        store.delete(&name).and_then(|()| store.put(&name, &[bytes.into()])).expect("room");
        let plan = plan.plan(2);
        let checkpoints = Checkpoints::open(Arc::new(store), "simulated", From::Checkpoint, "0")?;
        StepRun::new(&plan, 7)?.with_checkpoints(&plan, checkpoints).map(|_| ())
    };
    go_on(good.to_vec()).expect("it is whole");
    let mut random = Random::new(5);
    for _ in 0..300 {
        let mut bytes = good.to_vec();
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << random.below(8),
        }
        let e = go_on(bytes).expect_err("damage is found");
        let said = e.message().contains(&name) || e.message().contains("has format");
        assert!(said && e.kind() != purlin_api::ErrorKind::Internal, "at {at}: {e}");
    }
}
