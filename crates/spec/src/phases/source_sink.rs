//! `source` becomes the first member, on purpose without input; `sink` the last.

use super::tree::{Transform, Wiring, walk};

pub(crate) fn apply(root: &mut Transform) {
    walk(root, &mut |t| {
        let Some(group) = t.group_mut() else { return };
        if let Some(mut source) = group.source.take() {
            if matches!(source.input, Wiring::Absent) {
                source.input = Wiring::Empty;
            }
            group.members.insert(0, *source);
        }
        if let Some(sink) = group.sink.take() {
            group.members.push(*sink);
        }
    });
}
