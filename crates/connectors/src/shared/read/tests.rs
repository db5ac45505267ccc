//! Readers in several lanes: however files are divided and whoever reads what, all is read once, under the
//! line it stands on; also when reading stops and goes on in other lanes.

use super::pieces::{Cut, divided};
use super::work::{Shared, Work};
use super::*;
use crate::shared::bind::outputs;
use crate::shared::scan::Framing;
use crate::shared::testing::{Folder, cx, now};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use proptest::prelude::*;
use purlin_api::json::row_to_json;
use purlin_api::{Budget, Resume, Source, SourceStatus};

fn node(folder: &Folder, on_bad: OnBad) -> ReadNode {
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]));
    let mut outputs = outputs(schema, None);
    if matches!(on_bad, OnBad::Output { .. }) {
        let shape = outputs[0].shape.with_schema(error_schema());
        let role = purlin_api::OutputRole::Error;
        outputs.push(Output { tag: "bad".to_owned(), shape, role });
    }
    ReadNode {
        format: Arc::new(crate::format::text::Text),
        files: Files::test(crate::shared::path::find(&format!("{}/*", folder.path())).unwrap()),
        outputs,
        needed: vec![true],
        on_bad,
        record_bytes_max: 12,
    }
}

/// What was read, in any order.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    rows: Vec<String>,
    errors: Vec<String>,
    failure: Option<String>,
}

impl Seen {
    fn sorted(mut self) -> Self {
        self.rows.sort();
        self.errors.sort();
        self
    }
}

/// The lanes of a reader.
struct Lanes {
    sources: Vec<FilesSource>,
    positions: Vec<Option<Bytes>>,
    open: Vec<usize>,
}

impl Lanes {
    fn start(node: &ReadNode, work: Work, lanes: usize) -> Self {
        let shared = Arc::new(Shared::new(work));
        let sources: Vec<_> =
            (0..lanes).map(|_| FilesSource::new(node.clone(), shared.clone()).unwrap()).collect();
        Lanes { sources, positions: vec![None; lanes], open: (0..lanes).collect() }
    }

    /// Lets a lane read one row, or to a place where it could go on from. False once all have ended.
    fn step(&mut self, turn: usize, seen: &mut Seen) -> bool {
        let Some(lane) = self.open.get(turn % self.open.len().max(1)).copied() else { return false };
        loop {
            let pull = match now(self.sources[lane].next(Budget { rows_max: 1, bytes_max: 1 << 20 })) {
                Ok(pull) => pull,
                Err(e) => {
                    seen.failure = Some(e.to_string());
                    self.open.clear();
                    return false;
                }
            };
            let main: usize = pull.batches.iter().filter(|(p, _)| *p == 0).map(|(_, b)| b.len()).sum();
            assert_eq!(pull.read, main as u64 + pull.dead + pull.skipped);
            for (port, b) in &pull.batches {
                let rows = (0..b.len()).map(|i| row_to_json(&b.rows, i).to_string());
                if *port == 0 { seen.rows.extend(rows) } else { seen.errors.extend(rows) }
            }
            if pull.status == SourceStatus::Done {
                self.open.retain(|l| *l != lane);
            }
            if let Resume::Seek(at) = pull.resume {
                self.positions[lane] = Some(at);
                return true;
            }
        }
    }

    fn finish(&mut self, turns: &[usize], seen: &mut Seen) {
        let mut turns = turns.iter().copied().cycle();
        while self.step(turns.next().unwrap_or(0), seen) {}
        if seen.failure.is_none() {
            let (done, total) = self.sources[0].progress().unwrap();
            assert_eq!(done, total, "progress ends at the end");
        }
    }
}

/// Lines of text with all that may stand at a border: empty ones, `\r\n`, some that are too long or no text.
fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = prop_oneof![
        Just(&b""[..]),
        Just(&b"a"[..]),
        Just(&b"bc\r"[..]),
        Just(&b"\xff"[..]),
        Just(&b"longer than twelve"[..]),
        Just(&b"twelve bytes"[..])
    ];
    let text = (any::<bool>(), prop::collection::vec(line, 0..12), any::<bool>());
    let text = text.prop_map(|(mark, lines, ended)| {
        let mut text = if mark { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        text.extend(lines.join(&b'\n'));
        if ended && !lines.is_empty() {
            text.push(b'\n');
        }
        text
    });
    prop::collection::vec(text, 1..4)
}

fn cut(node: &ReadNode, lanes: usize, piece_bytes: u64) -> Cut {
    let how = Division { lanes, piece_bytes: Some(piece_bytes) };
    divided(&node.files, Framing::Lines, how).map_or(Cut::Together, |(cut, _)| cut)
}

fn work(node: &ReadNode, cut: Cut) -> Work {
    Work::new(node.files.list.clone(), Framing::Lines, cut)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn lanes_read_what_one_reads(
        texts in texts(), lanes in 1usize..4, piece_bytes in 1u64..40, turns in prop::collection::vec(0usize..3, 1..9),
        stop_after in 0usize..20, lanes_then in 1usize..4,
    ) {
        let folder = Folder::new(&[]);
        for (i, text) in texts.iter().enumerate() {
            folder.put(&format!("{i}.txt"), text);
        }
        let node = node(&folder, OnBad::Output { threshold: None });
        let mut whole = Seen::default();
        Lanes::start(&node, work(&node, Cut::Together), 1).finish(&[0], &mut whole);
        let whole = whole.sorted();

        let pieces = cut(&node, lanes, piece_bytes);
        let mut seen = Seen::default();
        Lanes::start(&node, work(&node, pieces), lanes).finish(&turns, &mut seen);
        prop_assert_eq!(&seen.sorted(), &whole);

        // Stopped somewhere, and twice: what was finished before the first stop stays finished.
        let mut seen = Seen::default();
        let mut work = work(&node, pieces);
        for lanes in [lanes, lanes_then] {
            let mut running = Lanes::start(&node, work, lanes);
            // A lane has a position once it has begun.
            for turn in (0..lanes).chain(turns.iter().copied().cycle().take(stop_after)) {
                running.step(turn, &mut seen);
            }
            let positions: Vec<Bytes> = running.positions.iter().flatten().cloned().collect();
            work = Work::restore(&node.files, Framing::Lines, &positions).unwrap().unwrap();
        }
        Lanes::start(&node, work, lanes_then).finish(&turns, &mut seen);
        prop_assert_eq!(&seen.sorted(), &whole);
    }

    #[test]
    fn a_failure_names_a_bad_line(
        texts in texts(), piece_bytes in 1u64..40, turns in prop::collection::vec(0usize..3, 1..9),
    ) {
        let folder = Folder::new(&[]);
        for (i, text) in texts.iter().enumerate() {
            folder.put(&format!("{i}.txt"), text);
        }
        let bad = texts.iter().enumerate().flat_map(|(i, text)| {
            let bad = |l: &[u8]| l.contains(&0xff) || l.starts_with(b"longer") || l.ends_with(b"longer than twelve");
            let lines: Vec<usize> =
                text.split(|b| *b == b'\n').enumerate().filter(|(_, l)| bad(l)).map(|(n, _)| n + 1).collect();
            lines.into_iter().map(move |n| format!("{i}.txt:{n}:"))
        });
        let bad: Vec<String> = bad.collect();
        let node = node(&folder, OnBad::Fail);
        let mut seen = Seen::default();
        Lanes::start(&node, work(&node, cut(&node, 3, piece_bytes)), 3).finish(&turns, &mut seen);
        match seen.failure {
            None => prop_assert_eq!(bad, Vec::<String>::new()),
            Some(e) => prop_assert!(bad.iter().any(|b| e.contains(b)), "{} not in {:?}", e, bad),
        }
    }
}

#[test]
fn a_threshold_counts_over_all_lanes() {
    let folder = Folder::new(&[("a.txt", b"\xff\ngood\ngood\n\xff\n")]);
    for (threshold, fails) in [(0.5, false), (0.4, true)] {
        let node = node(&folder, OnBad::Output { threshold: Some(threshold) });
        let work = work(&node, cut(&node, 3, 2));
        let mut seen = Seen::default();
        Lanes::start(&node, work, 3).finish(&[0, 1, 2], &mut seen);
        assert_eq!(seen.failure.is_some(), fails, "{:?}", seen.failure);
        assert!(seen.failure.is_none_or(|e| e.contains("2 of 4 records could not be read")));
    }
}

#[test]
fn bad_lines_wait_for_their_numbers_until_the_lanes_before_have_told_them() {
    let folder = Folder::new(&[("a.txt", b"1\n2\n3\n\xff\n5\n6\n")]);
    let node = node(&folder, OnBad::Output { threshold: None });
    let shared = Arc::new(Shared::new(work(&node, cut(&node, 2, 6))));
    let work = shared.work();
    let mut first = FilesSource::new(node.clone(), shared.clone()).unwrap();
    let mut second = FilesSource::new(node, shared).unwrap();
    let one = Budget { rows_max: 1, bytes_max: 1 << 20 };
    assert_eq!(now(first.next(one)).unwrap().read, 1);
    // The bad line comes before this row, but what stands before it nobody has counted.
    let pull = now(second.next(one)).unwrap();
    assert_eq!((pull.read, pull.dead, pull.resume), (1, 0, Resume::Barrier));
    // As if the other lane had counted lines that the file does not have.
    work.tell_line_ends(0, 100);
    let mut errors = Vec::new();
    loop {
        let pull = now(second.next(Budget { rows_max: 9, ..one })).unwrap();
        for (_, b) in pull.batches.iter().filter(|(port, _)| *port == 1) {
            errors.extend((0..b.len()).map(|i| row_to_json(&b.rows, i).to_string()));
        }
        if pull.status == SourceStatus::Done {
            break;
        }
    }
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains(r#""line":101,"#), "{errors:?}");
}

#[test]
fn many_bad_lines_do_not_wait() {
    let mut waiting = super::waiting::Waiting::default();
    let pushed =
        (0..).take_while(|line| waiting.push("a", *line, &[b'x'; 1000], RowError::new("bad"))).count();
    assert!((500..1000).contains(&pushed), "{pushed}");
    assert!(waiting.next().is_none());
    waiting.release(7);
    let (path, bad) = waiting.next().unwrap();
    assert_eq!((path, bad.line, bad.text.len()), ("a", 7, 1000));
}

#[test]
fn a_divided_node_tells_its_pieces_and_its_lanes_share_them() {
    let folder = Folder::new(&[("a.txt", b"1\n2\n3\n4\n")]);
    let whole = node(&folder, OnBad::Fail);
    assert!(whole.divide(Division { lanes: 8, piece_bytes: None }).is_none(), "too small");
    let divided = whole.divide(Division { lanes: 8, piece_bytes: Some(2) }).unwrap();
    assert_eq!((whole.lanes_max(), divided.lanes_max()), (1, 4));
    assert!(divided.explain().ends_with("a.txt; in 4 pieces"), "{}", divided.explain());
    let mut cx = cx();
    cx.lanes = 2;
    let mut rows = Vec::new();
    for lane in 0..2 {
        let Running::Source(mut source) = divided.build(&BuildCx { lane, ..cx.clone() }).unwrap() else {
            panic!("not a source")
        };
        rows.extend(crate::shared::testing::drain(source.as_mut(), 10).unwrap().rows);
    }
    assert_eq!(rows.len(), 4);
}

#[test]
fn positions_of_other_files_are_refused() {
    let folder = Folder::new(&[("a.txt", b"1\n2\n3\n"), ("b.txt", b"4\n")]);
    let node = node(&folder, OnBad::Fail);
    let mut lanes = Lanes::start(&node, work(&node, cut(&node, 1, 2)), 1);
    lanes.step(0, &mut Seen::default());
    let position = lanes.positions[0].clone().unwrap();
    let restore = |files: &[FileInfo]| {
        Work::restore(&Arc::from(files), Framing::Lines, std::slice::from_ref(&position))
    };
    assert!(restore(&node.files).unwrap().is_some());
    let none = FileInfo { path: "none.txt".to_owned(), bytes: 6 };
    let e = restore(std::slice::from_ref(&none)).unwrap_err();
    assert!(e.message().contains("a.txt`, which was being read, is no longer there"), "{e}");
    let more = [node.files.to_vec(), vec![none]].concat();
    let e = restore(&more).unwrap_err();
    assert!(e.message().contains("(2 with 8 bytes then, 3 with 14 bytes now, first `"), "{e}");
    assert!(Work::restore(&node.files, Framing::Lines, &[Bytes::from_static(b"{}")]).is_err());
}

#[test]
fn a_threshold_counts_over_restarts() {
    let folder = Folder::new(&[("a.txt", b"\xff\n\xff\ngood\ngood\n")]);
    for (threshold, fails) in [(0.5, false), (0.4, true)] {
        let node = node(&folder, OnBad::Output { threshold: Some(threshold) });
        let mut seen = Seen::default();
        let mut first = Lanes::start(&node, work(&node, cut(&node, 2, 4)), 2);
        (0..3).for_each(|_| assert!(first.step(0, &mut seen)));
        let positions: Vec<Bytes> = first.positions.iter().flatten().cloned().collect();
        let work = Work::restore(&node.files, Framing::Lines, &positions).unwrap().unwrap();
        Lanes::start(&node, work, 3).finish(&[2, 1, 0], &mut seen);
        assert_eq!(seen.failure.is_some(), fails, "{:?}", seen.failure);
        assert!(seen.failure.is_none_or(|e| e.contains("2 of 4 records could not be read")));
    }
}

#[test]
fn what_was_read_of_a_pipe_is_gone() {
    let files = Files { stream: true, ..Files::test(Vec::new()) };
    assert_eq!(files.guarantee().promise, Promise::AtMostOnce);
    let device = FileInfo { path: "/dev/null".to_owned(), bytes: 0 };
    let folder = Folder::new(&[("a.txt", b"1\n2\n")]);
    let node = node(&folder, OnBad::Fail);
    let mut lanes = Lanes::start(&node, work(&node, Cut::Together), 1);
    lanes.step(0, &mut Seen::default());
    let position = String::from_utf8(lanes.positions[0].clone().unwrap().to_vec()).unwrap();
    let position = Bytes::from(position.replace(&node.files[0].path, "/dev/null"));
    let e = Work::restore(&Arc::from([device]), Framing::Lines, &[position]).unwrap_err();
    assert!(e.message().contains("cannot go on reading `/dev/null`: it is a pipe or a device"), "{e}");
}
