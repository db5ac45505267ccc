//! What every reader of files must do with checkpoints, whatever its format.

use super::testing::{Folder, cx, now};
use bytes::Bytes;
use purlin_api::json::row_to_json;
use purlin_api::{Budget, BuildCx, Division, PlanNode, Resume, Running, Source, SourceStatus};
use std::sync::Arc;

/// The lanes of a reader in one run.
pub(crate) struct Lanes {
    sources: Vec<Box<dyn Source>>,
    /// The last position of each, and how much it had given by then.
    positions: Vec<Option<(Bytes, usize)>>,
    /// What each has given.
    given: Vec<Vec<String>>,
    open: Vec<usize>,
}

impl Lanes {
    /// New lanes, which go on from positions.
    pub(crate) fn start(node: &dyn PlanNode, lanes: usize, positions: &[Bytes]) -> Result<Self, String> {
        let shared = BuildCx { lanes, ..cx() };
        let mut sources = Vec::new();
        for lane in 0..lanes {
            let Running::Source(mut source) = node.build(&BuildCx { lane, ..shared.clone() }).unwrap() else {
                panic!("not a source")
            };
            // As when lanes come up one after the other; the last is built before the one before it is restored.
            if lane + 1 < lanes {
                source.restore(positions).map_err(|e| e.to_string())?;
            }
            sources.push(source);
        }
        sources.last_mut().unwrap().restore(positions).map_err(|e| e.to_string())?;
        Ok(Lanes {
            sources,
            positions: vec![None; lanes],
            given: vec![Vec::new(); lanes],
            open: (0..lanes).collect(),
        })
    }

    /// Lets a lane pull once. False once all have ended.
    pub(crate) fn step(&mut self, turn: usize, rows_max: usize) -> Result<bool, String> {
        let Some(lane) = self.open.get(turn % self.open.len().max(1)).copied() else { return Ok(false) };
        let pull = now(self.sources[lane].next(Budget { rows_max, bytes_max: 1 << 20 }));
        let pull = pull.map_err(|e| e.to_string())?;
        for (port, b) in &pull.batches {
            self.given[lane].extend((0..b.len()).map(|i| format!("{port}:{}", row_to_json(&b.rows, i))));
        }
        if let Resume::Seek(at) = &pull.resume {
            self.positions[lane] = Some((at.clone(), self.given[lane].len()));
        }
        if pull.status == SourceStatus::Done {
            assert!(matches!(pull.resume, Resume::Seek(_)), "at its end a lane says that it is done");
            self.open.retain(|l| *l != lane);
        }
        Ok(true)
    }

    fn steps(&mut self, turns: impl Iterator<Item = usize>, rows_max: usize) {
        for turn in turns {
            self.step(turn, rows_max).unwrap();
        }
    }

    /// The last positions, and what was given up to them.
    pub(crate) fn checkpoint(&self) -> (Vec<Bytes>, Vec<String>) {
        let known =
            || self.positions.iter().zip(&self.given).filter_map(|(p, given)| Some((p.as_ref()?, given)));
        let positions = known().map(|((at, _), _)| at.clone()).collect();
        (positions, known().flat_map(|((_, n), given)| given.iter().take(*n).cloned()).collect())
    }

    /// All that comes to the end.
    pub(crate) fn rest(mut self, turn: usize) -> Result<Vec<String>, String> {
        let mut turn = turn;
        while self.step(turn, 3)? {
            turn = turn.wrapping_mul(31).wrapping_add(7);
        }
        let (done, total) = self.sources[0].progress().unwrap();
        assert_eq!(done, total, "progress ends at the end");
        Ok(self.given.into_iter().flatten().collect())
    }
}

/// Whatever lanes read, wherever they are stopped and whichever lanes go on: in the end all was given once.
pub(crate) fn check_source(node: &dyn PlanNode) {
    assert_eq!(node.guarantee().unwrap().promise, purlin_api::Promise::ExactlyOnce);
    assert!(node.state().unwrap().means.starts_with("reads /"), "{:?}", node.state());
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let whole = sorted(Lanes::start(node, 1, &[]).unwrap().rest(0).unwrap());
    let divided = |lanes| node.divide(Division { lanes, piece_bytes: Some(7) });
    for (lanes, then) in [(1, 1), (2, 1), (1, 3), (3, 2)] {
        let (first, second) = (divided(lanes), divided(then));
        let pick = |d: &Option<Arc<dyn PlanNode>>, n: usize| d.clone().filter(|_| n != 1);
        let (first, second) = (pick(&first, lanes), pick(&second, then));
        let (first, second) = (first.as_deref().unwrap_or(node), second.as_deref().unwrap_or(node));
        for pulls in 0..whole.len() + 3 {
            let mut running = Lanes::start(first, lanes, &[]).unwrap();
            running.steps((0..pulls).map(|turn| turn * turn + 1), 1);
            let (positions, mut rows) = running.checkpoint();
            // What comes after the checkpoint is lost in the crash. Then a second one, which tells of both.
            running.steps(0..2, 2);
            let mut running = Lanes::start(second, then, &positions).unwrap();
            running.steps(1..3, 1);
            let (again, more) = running.checkpoint();
            rows.extend(more);
            rows.extend(Lanes::start(first, lanes, &again).unwrap().rest(pulls).unwrap());
            assert_eq!(sorted(rows), whole, "{lanes} lanes stopped after {pulls} pulls, then {then}");
        }
    }
}

/// A file of which a part was read must be as it was; what was read to the end may change.
pub(crate) fn check_changed_files(folder: &Folder, node: &dyn PlanNode, name: &str) {
    let path = format!("{}/{name}", folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let mut running = Lanes::start(node, 1, &[]).unwrap();
    running.step(0, 1).unwrap();
    let (positions, _) = running.checkpoint();
    let refused = |want: &str| {
        let e = Lanes::start(node, 1, &positions).map(|_| ()).unwrap_err();
        assert!(e.contains(want), "{e}");
    };
    assert!(Lanes::start(node, 1, &positions).is_ok());
    folder.put(name, &[&bytes[..], b"more"].concat());
    refused(&format!("it had {} bytes and has {} now", bytes.len(), bytes.len() + 4));
    std::fs::remove_file(&path).unwrap();
    refused("go on reading");
    folder.put(name, &bytes);
    while running.step(0, 1000).unwrap() {}
    folder.put(name, b"other");
    let (positions, _) = running.checkpoint();
    assert_eq!(Lanes::start(node, 1, &positions).unwrap().rest(0), Ok(Vec::new()));
}
