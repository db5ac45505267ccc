//! Whole pipelines in a simulated world, on one thread: a lease that redelivers, reorders and duplicates, a store and
//! sinks that fail, and processes that die at any point and go on in other lanes. Whatever happens, what is visible in
//! the end is what a run without any of it gives.
//!
//! A seed is a world: `PURLIN_SIM_SEED=7` runs that one, `PURLIN_SIM_SEEDS=10000` runs so many (`make soak`), and
//! `PURLIN_SIM_PIPELINE=sums` runs that pipeline only.

mod fixtures;
mod pipelines;
mod world;

use pipelines::{PIPELINES, SimPlan};
use purlin_api::{Error, ErrorKind, EventTime};
use purlin_engine::StepRun;
use purlin_engine::checkpoint::{Checkpoints, From};
use purlin_engine::step::Until;
use std::sync::Arc;
use world::{Bug, FaultyStore, Random, World};

const SEEDS: u64 = 1000;
/// After so many deaths the world is kind, so that every seed comes to its end.
const DEATHS_MAX: usize = 8;
const STEPS_MAX: usize = 20_000;

/// How a seed ended.
enum End {
    /// As it must: after so many deaths.
    Same(usize),
    Different(String),
}

/// What a run without any trouble shows.
fn straight(plan: &SimPlan, world: &World) -> Vec<String> {
    let calm = world.calm();
    plan.live_in(&calm);
    let mut run = StepRun::new(&plan.plan(1), 1000).expect("a run");
    while run.pull().expect("no failure") {
        // All is told at once: the source comes to its end.
        calm.acknowledge_all();
    }
    run.finish().expect("an end");
    calm.visible()
}

/// Lives through one seed.
fn live(seed: u64, bug: Bug, plans: &[SimPlan]) -> End {
    let mut random = Random::new(seed);
    let plan = random.pick(plans);
    let world = World::new(&mut random, bug);
    let wanted = straight(plan, &world);
    plan.live_in(&world);
    let store = Arc::new(FaultyStore::new(random.next()));
    let mut deaths = 0;
    loop {
        store.is_faulty(deaths < DEATHS_MAX);
        match incarnation(plan, &world, &store, &mut random, deaths) {
            Ok(true) => break,
            Ok(false) => {}
            // A store or sink that fails ends the process as a kill does.
            Err(e) if e.kind() == ErrorKind::Unavailable => {}
            Err(e) => return End::Different(format!("{}: after {deaths} deaths: {e}", plan.name)),
        }
        deaths += 1;
        world.process_died();
        if deaths > 10 * DEATHS_MAX {
            return End::Different(format!("{}: it does not come to an end", plan.name));
        }
    }
    let got = world.visible();
    if got == wanted {
        return End::Same(deaths);
    }
    let missing: Vec<&String> = wanted.iter().filter(|w| !got.contains(w)).take(5).collect();
    let more: Vec<&String> = got.iter().filter(|g| !wanted.contains(g)).take(5).collect();
    End::Different(format!(
        "{}: after {deaths} deaths {} rows instead of {}; missing {missing:#?}, too many {more:#?}",
        plan.name,
        got.len(),
        wanted.len()
    ))
}

/// One process: answers whether it came to the end, and not to its death.
fn incarnation(
    plan: &SimPlan,
    world: &World,
    store: &Arc<FaultyStore>,
    random: &mut Random,
    deaths: usize,
) -> Result<bool, Error> {
    let plan = plan.plan(1 + random.below(3));
    let checkpoints = Checkpoints::open(store.clone(), "simulated", From::Checkpoint, "0")?;
    let mut run = StepRun::new(&plan, 1 + random.below(40))?.with_checkpoints(&plan, checkpoints)?;
    let mortal = deaths < DEATHS_MAX;
    for _ in 0..STEPS_MAX {
        match random.below(100) {
            0..2 if mortal => return Ok(false),
            2..20 => {
                let until = match random.below(10) {
                    0 if mortal => Until::Prepared,
                    1 if mortal => Until::Written,
                    2 if mortal => Until::Committed,
                    _ => Until::Told,
                };
                run.checkpoint(until)?;
                if until != Until::Told {
                    return Ok(false);
                }
            }
            20..30 => {
                world.tick(random);
                run.advance_clock(EventTime(world.now()))?;
            }
            _ => {
                if !run.pull()? {
                    break;
                }
            }
        }
    }
    // All sources have ended: the last epoch.
    if !run.checkpoint(Until::Told)? {
        return Err(Error::internal("no barrier passes at the end"));
    }
    run.finish()?;
    Ok(true)
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    match number("PURLIN_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PURLIN_SIM_SEEDS").unwrap_or(SEEDS),
    }
}

#[test]
fn whatever_happens_the_result_is_that_of_a_run_that_never_died() {
    let only = std::env::var("PURLIN_SIM_PIPELINE").ok();
    let wanted = PIPELINES.iter().filter(|(name, _)| only.as_ref().is_none_or(|o| o == name));
    let plans: Vec<SimPlan> = wanted.map(SimPlan::new).collect();
    let (mut deaths, mut died) = (0, 0);
    for seed in seeds() {
        match live(seed, Bug::None, &plans) {
            End::Same(n) => {
                deaths += n;
                died += usize::from(n > 0);
            }
            End::Different(how) => panic!("PURLIN_SIM_SEED={seed}: {how}"),
        }
    }
    let many = seeds().count();
    assert!(many < 100 || died > many / 2, "only {died} of {many} worlds saw a death, {deaths} in all");
}

#[test]
fn the_simulator_finds_planted_bugs() {
    let plans: Vec<SimPlan> = PIPELINES.iter().take(2).map(SimPlan::new).collect();
    assert!((0..200).all(|seed| matches!(live(seed, Bug::None, &plans), End::Same(_))));
    for bug in [Bug::CommitTwice, Bug::ForgetIds, Bug::ShowAtOnce, Bug::AcknowledgeEarly] {
        let found = (0..200).any(|seed| matches!(live(seed, bug, &plans), End::Different(_)));
        assert!(found, "{bug:?} was not found in 200 worlds");
    }
}
