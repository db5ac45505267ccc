//! `purlin checkpoints`.

use super::Exit;
use super::args::CheckpointsCommand;
use super::output::Output;
use crate::checkpoints::Place;
use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::checkpoint::try_store;
use serde_json::json;

pub(crate) fn checkpoints(command: &CheckpointsCommand, out: &mut Output) -> Exit {
    let CheckpointsCommand::Try { place } = command;
    if let Err(e) = try_place(place) {
        out.error(&e);
        return Exit::Failed;
    }
    if out.json {
        out.print_json(&json!({"place": place.to_string(), "status": "good"}));
    } else {
        out.print(&format!(
            "checkpoints can be kept in {place}: objects were written, read, listed and deleted, and none was replaced\n"
        ));
    }
    Exit::Success
}

/// Tries it in a place of its own below, which is empty afterwards.
fn try_place(place: &Place) -> Result<()> {
    let below = place.join(&format!("purlin-try-{}", crate::checkpoints::unlike_others()));
    let tried = below.open().and_then(|store| {
        let tried = try_store(store.as_ref());
        if tried.is_err() {
            // As far as it lets us; why it failed is told.
            let left = store.list().unwrap_or_default();
            let _gone = left.iter().try_for_each(|(name, _)| store.delete(name));
        }
        tried
    });
    if let Place::Folder(path) = &below {
        // With its lock; a folder that could not be made is not there.
        let _gone = std::fs::remove_dir_all(path);
    }
    tried.map_err(|e| match e.kind() {
        ErrorKind::Internal => Error::new(
            ErrorKind::Config,
            format!(
                "checkpoints would not be safe in `{place}`: {}; it must refuse to replace an object (for S3: \
                 `If-None-Match`), and list what is there now",
                e.message()
            ),
        ),
        _ => e,
    })
}
