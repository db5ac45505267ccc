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

#[test]
fn a_bug_in_one_pipeline_leaves_the_others_alone() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("purlin-keeper-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let shared = Arc::new(Shared {
        data: folder.clone(),
        checkpoints: Place::in_data(&folder),
        pubsub: Pubsub::Embedded,
        address: None,
        project: None,
        applies: false,
        load: PipelineOptions {
            variables: Map::new(),
            beam_compat: false,
            lanes: 1,
            piece_bytes: None,
            rewrite: true,
        },
        commit_every: Live::default().epoch_every,
        signals: Arc::default(),
        run: breaks_down,
    });
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
