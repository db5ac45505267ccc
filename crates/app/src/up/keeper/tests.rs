//! A pipeline that breaks down beside one that does not.

use super::*;
use purlin_api::Result;
use serde_json::Map;
use std::fs;
use std::path::Path;

fn entry(folder: &Path, name: &str) -> Entry {
    let file = folder.join(format!("{name}.yaml")).display().to_string();
    Entry { name: name.to_owned(), file, variables: Map::new(), lanes: Some(1) }
}

fn pipeline(folder: &Path, name: &str, n: i64) {
    let text = format!(
        "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: [{{n: {n}}}]}}}}\n    \
         - {{type: WriteToJson, config: {{path: {}}}}}\n",
        folder.join(format!("{name}-{n}")).display()
    );
    fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
}

/// As a bug would.
fn breaks_down(job: Job, plan: &Plan, name: &str) -> Summary {
    assert!(name != "broken", "a planted bug");
    run::run(job, plan, name)
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let end = SystemClock.now().plus(60_000_000);
    while !holds() {
        assert!(SystemClock.now() < end, "{what}: it did not come");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn shared(folder: &Path, run: fn(Job, &Plan, &str) -> Summary) -> Arc<Shared> {
    fs::create_dir_all(folder).unwrap();
    Arc::new(Shared {
        data: folder.to_path_buf(),
        checkpoints: Place::in_data(folder),
        pubsub: Pubsub::Embedded,
        address: None,
        project: None,
        applies: false,
        load: PipelineOptions::default(),
        commit_every: Live::default().epoch_every,
        try_refused_every: Duration::from_millis(300),
        tallies: Tallies::default(),
        signals: Arc::default(),
        run,
    })
}

fn refused_folder() -> PathBuf {
    std::env::temp_dir().join(format!("purlin-keeper-refused-{}", std::process::id()))
}

/// Takes until there is a file.
fn is_held(job: Job, plan: &Plan, name: &str) -> Summary {
    until("the end of the hold", || refused_folder().join("go").exists());
    run::run(job, plan, name)
}

#[test]
fn a_version_refused_for_what_passes_is_taken_up_then() -> Result<()> {
    let folder = refused_folder();
    let shared = shared(&folder, is_held);
    pipeline(&folder, "p", 1);
    let kept = start(entry(&folder, "p"), shared).unwrap();
    until("a run", || kept.pipe.look().state == State::Running);

    let (csv, out) = (folder.join("in.csv"), folder.join("out"));
    let text = format!(
        "pipeline:\n  type: chain\n  transforms:\n    - {{type: ReadFromCsv, config: {{path: {}}}}}\n    \
         - {{type: WriteToJson, config: {{path: {}}}}}\n",
        csv.display(),
        out.display()
    );
    fs::write(folder.join("p.yaml"), text).unwrap();
    until("a refusal", || kept.pipe.look().refused.is_some());
    assert_eq!(kept.pipe.look().state, State::Running, "the version before it stays");
    // Its own file does not change any more.
    fs::write(csv, "a\n1\n").unwrap();
    until("a switch", || kept.pipe.look().state == State::Switching);
    assert!(kept.pipe.look().refused.is_none());
    fs::write(folder.join("go"), "").unwrap();
    until("what the new version writes", || folder.join("out-00000-of-00001").is_file());
    kept.stop();
    kept.join();
    fs::remove_dir_all(&folder).unwrap();
    Ok(())
}

#[test]
fn a_bug_in_one_pipeline_leaves_the_others_alone() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("purlin-keeper-{}", std::process::id()));
    let shared = shared(&folder, breaks_down);
    for name in ["broken", "well"] {
        pipeline(&folder, name, 1);
    }
    let broken = start(entry(&folder, "broken"), shared.clone()).unwrap();
    let well = start(entry(&folder, "well"), shared).unwrap();

    // It fails, is started again, and says why each time.
    until("a restart", || broken.pipe.look().restarts >= 2);
    let look = broken.pipe.look();
    let said = look.last_error.map(|f| f.text).unwrap_or_default();
    assert!(said.contains("it broke down: a planted bug"), "{said}");

    // The other one is still looked after: it follows its file.
    until("the other's end", || well.pipe.look().state == State::Finished);
    pipeline(&folder, "well", 2);
    until("its next version", || folder.join("well-2-00000-of-00001").is_file());
    until("the end of that", || well.pipe.look().state == State::Finished);
    assert_eq!((well.pipe.look().restarts, well.pipe.look().last_error.is_none()), (0, true));

    for kept in [broken, well] {
        kept.stop();
        kept.join();
    }
    fs::remove_dir_all(&folder).unwrap();
    Ok(())
}
