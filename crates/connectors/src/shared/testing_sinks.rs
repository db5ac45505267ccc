//! What every writer of files must do with checkpoints and crashes, whatever its format.

use super::testing::{Folder, now, sink, sink_with_checkpoints};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use purlin_api::testing::{batch, shape_of};
use purlin_api::{
    Batch, Dict, Entry, EventTime, PlanNode, Promise, Shape, Sink, Window, WindowFn, Windowing,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What happens to a writer.
#[derive(Clone, Debug)]
enum Act {
    /// A row comes for each of these windows.
    Write(Vec<u8>),
    /// Time passes to the end of this window.
    Watermark(u8),
    /// An epoch ends.
    Epoch(Crash),
    /// The process is killed, or ends with an error.
    Crash { aborts: bool },
}

/// Where a process is killed at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    Not,
    BeforePrepare,
    /// Prepared, but the checkpoint was not saved.
    BeforeSave,
    /// Saved; rows of the next epoch came, then the job failed.
    BeforeCommit {
        aborts: bool,
    },
    AfterCommit,
    /// It is committed twice, and then goes on.
    CommitTwice,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let crash = prop_oneof![
        2 => Just(Crash::Not),
        1 => Just(Crash::BeforePrepare),
        1 => Just(Crash::BeforeSave),
        2 => any::<bool>().prop_map(|aborts| Crash::BeforeCommit { aborts }),
        1 => Just(Crash::AfterCommit),
        1 => Just(Crash::CommitTwice),
    ];
    let act = prop_oneof![
        6 => prop::collection::vec(0u8..4, 1..6).prop_map(Act::Write),
        2 => (0u8..5).prop_map(Act::Watermark),
        4 => crash.prop_map(Act::Epoch),
        1 => any::<bool>().prop_map(|aborts| Act::Crash { aborts }),
    ];
    prop::collection::vec(act, 1..24)
}

/// The rows that an act brings: numbers of their own.
fn rows(at: usize, windows: &[u8]) -> Batch {
    let json: Vec<String> = (0..windows.len()).map(|i| format!("{{\"n\": {}}}", at * 10 + i)).collect();
    let of = |w: &u8| Window::interval(i64::from(*w) * 60_000_000, i64::from(*w + 1) * 60_000_000);
    let windows = Dict::from_rows(windows.iter().map(of), Window::Global);
    Batch { windows, ..batch(&format!("[{}]", json.join(","))).unwrap() }
}

/// A run with checkpoints: what was saved last, and where in the acts.
struct Run<'a> {
    node: &'a dyn PlanNode,
    acts: &'a [Act],
    sink: Box<dyn Sink>,
    at: usize,
    epoch: u64,
    saved: Option<(u64, Bytes, usize)>,
    crashed: BTreeSet<usize>,
}

impl Run<'_> {
    /// All that comes, to the end.
    fn run(mut self) {
        while let Some(act) = self.acts.get(self.at) {
            let at = self.at;
            self.at += 1;
            match act {
                Act::Write(windows) => now(self.sink.write(rows(at, windows))).unwrap(),
                Act::Watermark(_) => self.tell_time(),
                Act::Epoch(crash) => {
                    let crash = if self.crashed.insert(at) { *crash } else { Crash::Not };
                    self.end_epoch(crash);
                }
                Act::Crash { aborts } if self.crashed.insert(at) => self.crash(*aborts),
                Act::Crash { .. } => {}
            }
        }
        now(self.sink.finish()).unwrap();
    }

    fn tell_time(&mut self) {
        let passed = self.acts.iter().take(self.at).filter_map(|a| match a {
            Act::Watermark(u8::MAX) => Some(EventTime::MAX),
            Act::Watermark(w) => Some(EventTime::from_seconds(i64::from(*w) * 60)),
            _ => None,
        });
        now(self.sink.on_watermark(passed.max().unwrap_or(EventTime::MIN))).unwrap();
    }

    fn end_epoch(&mut self, crash: Crash) {
        if crash == Crash::BeforePrepare {
            return self.crash(false);
        }
        self.epoch += 1;
        let prepared = now(self.sink.prepare(self.epoch)).unwrap();
        if crash == Crash::BeforeSave {
            return self.crash(false);
        }
        self.saved = Some((self.epoch, prepared.clone(), self.at));
        if let Crash::BeforeCommit { aborts } = crash {
            // Of windows that are complete, too.
            now(self.sink.write(rows(900, &[0, 1, 2, 3]))).unwrap();
            return self.crash(aborts);
        }
        now(self.sink.commit(self.epoch, prepared.clone())).unwrap();
        match crash {
            Crash::AfterCommit => self.crash(false),
            Crash::CommitTwice => now(self.sink.commit(self.epoch, prepared)).unwrap(),
            _ => {}
        }
    }

    /// Another process goes on from what was saved.
    fn crash(&mut self, aborts: bool) {
        if aborts {
            self.sink.abort();
        }
        self.sink = sink_with_checkpoints(self.node);
        let (epoch, prepared, at) = match &self.saved {
            Some((epoch, bytes, at)) => (*epoch, vec![bytes.clone()], *at),
            None => (0, Vec::new(), 0),
        };
        now(self.sink.restore(epoch, prepared)).unwrap();
        (self.epoch, self.at) = (epoch, at);
        self.tell_time();
    }
}

fn shape(bounded: bool) -> Shape {
    let windowing = Arc::new(Windowing::of(WindowFn::Fixed { size: 60_000_000, offset: 0 }));
    Shape { windowing, bounded, ..shape_of(r#"[{"n": 1}]"#).unwrap() }
}

/// Whatever comes and wherever the writer is killed: in the end each row stands once in a file that can be read, no
/// other file was touched and no hidden one is left. In jobs that end the files are those of a run without checkpoints.
pub(crate) fn check_sink(write: &Entry, read: &Entry, configs: &[&str], same_bytes: bool) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(16) });
    let cases = (acts(), any::<bool>(), 1usize..4, 0..configs.len(), any::<bool>());
    let result = runner.run(&cases, |(mut acts, bounded, shards, config, last_epoch)| {
        // Time ends, and maybe with it an epoch.
        acts.push(Act::Watermark(u8::MAX));
        if last_epoch {
            acts.push(Act::Epoch(if shards == 2 { Crash::AfterCommit } else { Crash::Not }));
        }
        let shards = if configs[config].contains("one_shard") { 1 } else { shards };
        let config = configs[config].replace("one_shard", "");
        let shards = if shards == 1 { String::new() } else { format!(", num_shards: {shards}") };
        let config = format!("{{path: '{{}}/r'{config}{shards}}}");
        let others = [(".r.tmp-0123456789abcdef-0", &b"another's"[..]), ("other", b"x")];
        let folder = Folder::new(&others);
        let node = folder.bind(write, &config, Some(shape(bounded)), false).unwrap();
        assert_eq!(node.guarantee().unwrap().promise, Promise::ExactlyOnce);
        let means = node.state().unwrap().means;
        assert!(means.starts_with("path /") && means.contains("windows Fixed"), "{means}");
        let sink_now = sink_with_checkpoints(node.as_ref());
        let (saved, crashed) = (None, BTreeSet::new());
        Run { node: node.as_ref(), acts: &acts, sink: sink_now, at: 0, epoch: 0, saved, crashed }.run();

        let straight = Folder::new(&others);
        let node = straight.bind(write, &config, Some(shape(bounded)), false).unwrap();
        let mut whole = sink(node.as_ref());
        for (at, act) in acts.iter().enumerate() {
            if let Act::Write(windows) = act {
                now(whole.write(rows(at, windows))).unwrap();
            }
        }
        now(whole.finish()).unwrap();
        let all = |folder: &Folder| {
            let lines = if config.contains("lines: false") { ", lines: false" } else { "" };
            let mut rows = folder.read(read, &format!("{{path: '{{}}/r*'{lines}}}")).unwrap().rows;
            rows.sort();
            rows
        };
        let (files, want) = (folder.files(), straight.files());
        let hidden: Vec<_> = files.iter().filter(|f| f.0.starts_with('.')).collect();
        prop_assert_eq!(hidden.len(), 1, "{:?}", files);
        prop_assert!(files.iter().any(|f| f.0 == "other"));
        if want.len() > others.len() {
            prop_assert_eq!(all(&folder), all(&straight));
        }
        if bounded {
            let names = |files: &[(String, String)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
            prop_assert_eq!(names(&files), names(&want));
            if same_bytes && !config.contains("compression") {
                prop_assert_eq!(files, want);
            }
        }
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
}

/// A file in the way of a name is not written over, and what a checkpoint relies on must be there.
pub(crate) fn check_names(write: &Entry) {
    let folder = Folder::new(&[]);
    let node = folder.bind(write, "{path: '{}/r'}", Some(shape(false)), false).unwrap();
    let mut first = sink_with_checkpoints(node.as_ref());
    now(first.write(rows(0, &[0, 1]))).unwrap();
    now(first.on_watermark(EventTime::from_seconds(60))).unwrap();
    let prepared = now(first.prepare(1)).unwrap();
    let name = "r-1970-01-01T00:00:00-1970-01-01T00:01:00-00000-of-00001";
    folder.put(name, b"another's");
    let commit = |sink: &mut dyn Sink| now(sink.commit(1, prepared.clone())).map_err(|e| e.to_string());
    let e = commit(first.as_mut()).unwrap_err();
    assert!(e.contains("another program has made `") && e.contains(name), "{e}");
    first.abort();
    let at = |name: &str| format!("{}/{name}", folder.path());
    std::fs::rename(at(name), at("moved")).unwrap();
    let restore = || {
        let mut second = sink_with_checkpoints(node.as_ref());
        now(second.restore(1, vec![prepared.clone()])).map(|()| second).map_err(|e| e.to_string())
    };
    let mut second = restore().unwrap();
    assert_eq!((second.made().len(), folder.files().len()), (1, 3), "{:?}", folder.files());
    // It was taken away after it had appeared.
    std::fs::rename(at(name), at("taken")).unwrap();
    let e = restore().map(|_| ()).unwrap_err();
    assert!(e.contains("neither is there") && e.contains("make an empty file of that name"), "{e}");
    folder.put(name, b"");
    second.abort();
    assert!(restore().is_ok(), "what a checkpoint relies on outlives a failure");
    // What stays open is damaged.
    let open = folder.files().into_iter().find(|f| f.0.starts_with('.')).unwrap().0;
    folder.put(&open, b"");
    let e = restore().map(|_| ()).unwrap_err();
    assert!(e.contains("has 0 bytes, but a checkpoint relies on"), "{e}");
    let e =
        now(sink_with_checkpoints(node.as_ref()).restore(1, vec![Bytes::from_static(b"{}")])).unwrap_err();
    assert!(e.to_string().contains("unreadable"), "{e}");
}
