//! What a subscription has acknowledged, kept for the next start.

use super::acked::AckSet;
use crate::store::StateMachine;

/// Unites the set with what follows.
const UNITE: u8 = 0;
/// Puts what follows in its place.
const REPLACE: u8 = 1;

/// The durable copy of an [`AckSet`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked(pub AckSet);

/// A change: more is acknowledged.
pub(crate) fn unite(delta: &AckSet) -> Vec<u8> {
    encode(UNITE, delta)
}

/// A change: exactly this is acknowledged.
pub(crate) fn replace(set: &AckSet) -> Vec<u8> {
    encode(REPLACE, set)
}

fn encode(kind: u8, set: &AckSet) -> Vec<u8> {
    let mut bytes = vec![kind];
    set.encode(&mut bytes);
    bytes
}

impl StateMachine for Acked {
    fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
        let (kind, rest) = delta.split_first().ok_or("an empty change of acknowledgements")?;
        let set = AckSet::decode(rest).ok_or("a change of acknowledgements that cannot be read")?;
        match *kind {
            UNITE => {
                self.0.insert_range(0, set.floor());
                for (start, end) in set.ranges() {
                    self.0.insert_range(start, end);
                }
            }
            REPLACE => self.0 = set,
            other => return Err(format!("a change of acknowledgements of unknown kind {other}")),
        }
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = AckSet::decode(snapshot).ok_or("a set of acknowledgements that cannot be read")?;
        Ok(())
    }
}
