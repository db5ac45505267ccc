//! The suite that every transform with state passes: a run that is cut into pieces by restarts, between which only
//! the tables are kept, gives what a run in one piece gives.
//!
//! Lanes come and go: rows are routed to them as an exchange does it, and each restart has other lanes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by these

mod tests;

use arrow_array::UInt32Array;
use purlin_api::key::{self, KeyCodec};
use purlin_api::shape::physical;
use purlin_api::testing::{Driver, TableLogs, rows_of};
use purlin_api::{
    Batch, Distribution, EventTime, Extent, Fates, PlanNode, Port, Result, Shape, Times, json::row_to_json,
};
use serde_json::Value;

/// Numbers that only depend on the seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number less than `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    /// True `percent` times of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What an operator is called with.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Rows.
    Batch(Port, Batch),
    /// The watermark, in all lanes.
    Watermark(EventTime),
}

/// What rows a port gets.
pub(crate) struct Feed<'a> {
    /// The inputs, by port.
    pub(crate) inputs: &'a [Shape],
    /// A row of a port.
    pub(crate) row: &'a dyn Fn(Port, &mut Random) -> Value,
}

impl Feed<'_> {
    /// A script: batches whose rows are up to 25 s before and up to 20 s after a watermark that moves on.
    pub(crate) fn script(&self, random: &mut Random) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut watermark = 0;
        for _ in 0..random.below(50) {
            if random.chance(35) {
                watermark += random.below(12) as i64;
                calls.push(Call::Watermark(EventTime::from_seconds(watermark)));
                continue;
            }
            let port = random.below(self.inputs.len() as u64) as usize;
            let rows: Vec<Value> = (0..=random.below(7)).map(|_| (self.row)(port, random)).collect();
            let shape = &self.inputs[port];
            let times: Vec<i64> =
                rows.iter().map(|_| (watermark - 25 + random.below(46) as i64) * 1_000_000).collect();
            let rows = rows_of(&physical(&shape.schema), &Value::Array(rows).to_string()).unwrap();
            let batch = Batch::at(rows, Times::Each(times.into()));
            let (batch, _) = crate::windows::assign(batch, &shape.windowing.window_fn).unwrap();
            calls.push(Call::Batch(port, batch));
        }
        calls
    }
}

/// What came of a script: rows with all that is known of them, in some order, and the ledger; or why it failed.
type Outcome = std::result::Result<(Vec<String>, Fates), String>;

/// Some lanes of a transform, and what was saved of them.
struct Lanes<'a> {
    node: &'a dyn PlanNode,
    drivers: Vec<Driver>,
    logs: Vec<TableLogs>,
    watermark: EventTime,
    rows_max: usize,
    given: Vec<String>,
    fates: Fates,
}

impl<'a> Lanes<'a> {
    fn start(node: &'a dyn PlanNode, lanes: usize, rows_max: usize) -> Self {
        let mut all = Lanes {
            node,
            drivers: Vec::new(),
            logs: Vec::new(),
            watermark: EventTime::MIN,
            rows_max,
            given: Vec::new(),
            fates: Fates::default(),
        };
        all.restart(lanes).unwrap();
        all
    }

    fn call(&mut self, call: &Call) -> Result<()> {
        match call {
            Call::Watermark(to) => {
                self.watermark = *to;
                self.drivers.iter_mut().try_for_each(|d| d.watermark(*to))
            }
            Call::Batch(port, batch) => {
                for (lane, part) in spread(self.node.distribution(*port), batch, self.drivers.len()) {
                    self.drivers[lane].push(*port, part)?;
                }
                Ok(())
            }
        }
    }

    fn in_state(&self) -> u64 {
        self.drivers.iter().map(|d| d.cx.fates.in_state).sum()
    }

    fn keeps(&self) -> bool {
        self.drivers.iter().any(|d| !d.cx.kept.is_empty())
    }

    fn save(&mut self, extent: Extent) {
        for (driver, logs) in self.drivers.iter_mut().zip(&mut self.logs) {
            driver.save(extent, logs).unwrap();
        }
    }

    /// Takes what the lanes have given, and leaves them.
    fn leave(&mut self) {
        for driver in std::mem::take(&mut self.drivers) {
            driver.check_schemas(self.node).unwrap();
            for (port, batch) in &driver.emitted {
                for row in 0..batch.len() {
                    let (time, window, pane) =
                        (batch.times.get(row), batch.windows.get(row), batch.panes.get(row));
                    let text = row_to_json(&batch.rows, row);
                    self.given.push(format!("{port} {text} at {time} in {window:?} {pane:?}"));
                }
            }
            let fates = driver.cx.fates;
            self.fates.passed += fates.passed;
            self.fates.filtered += fates.filtered;
            self.fates.late += fates.late;
            self.fates.dead += fates.dead;
        }
    }

    /// Starts some lanes from what was saved.
    fn restart(&mut self, lanes: usize) -> Result<()> {
        self.leave();
        let logs: Vec<&TableLogs> = self.logs.iter().collect();
        for lane in 0..lanes {
            let mut driver = Driver::restored(self.node, (lane, lanes), &logs, self.watermark)?;
            driver.cx.rows_max = self.rows_max;
            self.drivers.push(driver);
        }
        // What each lane was given is what it goes on from.
        let mut own = vec![TableLogs::new(); lanes];
        for (lane, own) in own.iter_mut().enumerate() {
            for (name, rows) in self.logs.iter().flatten() {
                own.entry(name).or_default().extend(rows.iter().map(|r| r.of_lane(lane, lanes).unwrap()));
            }
        }
        self.logs = own;
        Ok(())
    }

    fn finish(mut self) -> Result<(Vec<String>, Fates)> {
        self.drivers.iter_mut().try_for_each(Driver::end)?;
        assert_eq!(self.in_state(), 0);
        self.leave();
        self.given.sort();
        Ok((self.given, self.fates))
    }
}

/// The parts of a batch by lane, as an exchange makes them.
fn spread(distribution: Distribution, batch: &Batch, lanes: usize) -> Vec<(usize, Batch)> {
    let Distribution::Keyed(columns) = distribution else { return vec![(0, batch.clone())] };
    let columns: Vec<_> = columns.iter().map(|c| batch.rows.column(*c).clone()).collect();
    let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
    let keys = KeyCodec::new(&types).unwrap().encode(&columns, batch.len()).unwrap();
    let lane = |row: usize| key::lane(key::slot(key::hash(keys.get(row))), lanes);
    let rows = |of: usize| (0..batch.len()).filter(|r| lane(*r) == of).map(|r| r as u32).collect::<Vec<_>>();
    let parts = (0..lanes).map(|of| (of, batch.take(&UInt32Array::from(rows(of))).unwrap()));
    parts.filter(|(_, part)| !part.is_empty()).collect()
}

fn straight(node: &dyn PlanNode, calls: &[Call]) -> Outcome {
    let mut lanes = Lanes::start(node, 1, 1024);
    calls.iter().try_for_each(|c| lanes.call(c)).map_err(|e| e.to_string())?;
    lanes.finish().map_err(|e| e.to_string())
}

fn restarted(node: &dyn PlanNode, calls: &[Call], lanes_max: u64, random: &mut Random) -> Outcome {
    // What gathers its rows runs in one lane.
    let single = node.distribution(0) == Distribution::Single;
    let lanes_max = if single { 1 } else { lanes_max };
    let some = |random: &mut Random| 1 + random.below(lanes_max) as usize;
    let rows_max = 1 + random.below(40) as usize;
    let mut lanes = Lanes::start(node, some(random), rows_max);
    for call in calls {
        lanes.call(call).map_err(|e| e.to_string())?;
        if random.chance(20) {
            lanes.save(if random.chance(25) { Extent::Whole } else { Extent::Changes });
        }
        if random.chance(25) {
            let (in_state, keeps) = (lanes.in_state(), lanes.keeps());
            lanes.save(if random.chance(25) { Extent::Whole } else { Extent::Changes });
            let now = if random.chance(50) { lanes.drivers.len() } else { some(random) };
            lanes.restart(now).unwrap();
            assert_eq!(
                (lanes.in_state(), lanes.keeps()),
                (in_state, keeps),
                "rows that wait, and their epochs"
            );
            for driver in lanes.drivers.iter().filter(|d| !d.cx.kept.is_empty()) {
                assert_eq!(driver.cx.kept.oldest(), Some(driver.cx.epoch), "all counts as of now");
            }
        }
    }
    let declared = lanes.logs.iter().any(|l| !l.is_empty());
    assert!(!declared || node.state().is_some(), "state that nobody says the meaning of");
    lanes.finish().map_err(|e| e.to_string())
}

/// Runs scripts straight and with restarts, in up to `lanes_max` lanes, and compares. Answers how many scripts failed
/// in both ways, and how many rows were given.
pub(crate) fn survives(node: &dyn PlanNode, feed: &Feed<'_>, lanes_max: u64, scripts: u64) -> (u64, usize) {
    let (mut failed, mut rows) = (0, 0);
    for seed in 0..scripts {
        let mut random = Random(seed);
        let calls = feed.script(&mut random);
        let wanted = straight(node, &calls);
        failed += u64::from(wanted.is_err());
        rows += wanted.as_ref().map_or(0, |(given, _)| given.len());
        for _ in 0..3 {
            let got = restarted(node, &calls, lanes_max, &mut random);
            assert_eq!(got, wanted, "seed {seed} of {}", node.explain());
        }
    }
    (failed, rows)
}
