//! What every store of checkpoints must do: one suite for all of them.

use super::CheckpointStore;
use bytes::Bytes;
use purlin_api::{Error, ErrorKind, Result};

/// Tries an empty store: all that [`CheckpointStore`] promises, but for crashes. It is empty again afterwards.
///
/// # Errors
/// The first promise that is not kept.
pub fn try_store(store: &dyn CheckpointStore) -> Result<()> {
    let whole = |name: &str, bytes: &'static [u8]| store.put(name, &[Bytes::from_static(bytes)]);
    is("an empty store", &objects(store)?, &vec![])?;
    store.put("b", &[Bytes::from_static(b"hello "), Bytes::from_static(b"world")])?;
    store.put("a", &[])?;
    let both = vec![("a".to_owned(), 0), ("b".to_owned(), 11)];
    is("what was put, by name", &objects(store)?, &both)?;
    for (range, text) in
        [(6..100, "world"), (0..5, "hello"), (0..11, "hello world"), (3..3, ""), (50..60, "")]
    {
        is(&format!("the bytes {range:?}"), &store.get("b", range)?, &Bytes::from(text))?;
    }
    is("the bytes of an object of none", &store.get("a", 0..10)?, &Bytes::new())?;
    is("reading what is not there", &store.get("c", 0..1).is_err(), &true)?;

    let taken = whole("b", b"other").map_err(|e| e.kind());
    is("putting in the place of another", &taken, &Err(ErrorKind::Conflict))?;
    is("what was there first", &store.get("b", 0..100)?, &Bytes::from_static(b"hello world"))?;

    store.delete("b")?;
    store.delete("b")?;
    is("what was not deleted", &objects(store)?, &vec![("a".to_owned(), 0)])?;
    whole("b", b"again")?;
    is("a name that was free again", &store.get("b", 0..100)?, &Bytes::from_static(b"again"))?;

    for i in 0..30 {
        whole(&format!("{i:03}"), b"x")?;
    }
    let names: Vec<String> = objects(store)?.into_iter().map(|(n, _)| n).collect();
    is("the number of objects", &names.len(), &32)?;
    is("their order", &names.is_sorted(), &true)?;
    for name in names {
        store.delete(&name)?;
    }
    is("a store that was cleared", &objects(store)?, &vec![])
}

/// What is kept, without what the store keeps for itself.
fn objects(store: &dyn CheckpointStore) -> Result<Vec<(String, u64)>> {
    Ok(store.list()?.into_iter().filter(|(n, _)| n != "lock").collect())
}

fn is<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::internal(format!("{what}: found {found:?}, expected {expected:?}")))
}

#[cfg(test)]
mod tests {
    use super::super::Memory;
    use super::*;
    use std::ops::Range;

    /// What a store may do wrong.
    #[derive(Clone, Copy, Debug)]
    enum Flaw {
        Replaces,
        ListsLess,
        CutsReads,
        KeepsDeleted,
    }

    #[derive(Debug)]
    struct Flawed(Memory, Flaw);

    impl CheckpointStore for Flawed {
        fn put(&self, name: &str, parts: &[Bytes]) -> Result<()> {
            if matches!(self.1, Flaw::Replaces) {
                self.0.delete(name)?;
            }
            self.0.put(name, parts)
        }
        fn list(&self) -> Result<Vec<(String, u64)>> {
            let mut all = self.0.list()?;
            if matches!(self.1, Flaw::ListsLess) {
                all.truncate(20);
            }
            Ok(all)
        }
        fn get(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
            let bytes = self.0.get(name, range)?;
            let cut = matches!(self.1, Flaw::CutsReads) && bytes.len() > 8;
            Ok(if cut { bytes.slice(..8) } else { bytes })
        }
        fn delete(&self, name: &str) -> Result<()> {
            if matches!(self.1, Flaw::KeepsDeleted) { Ok(()) } else { self.0.delete(name) }
        }
        fn place(&self) -> String {
            "flawed".to_owned()
        }
    }

    #[test]
    fn flaws_are_found() {
        for (flaw, found) in [
            (Flaw::Replaces, "putting in the place of another"),
            (Flaw::ListsLess, "the number of objects"),
            (Flaw::CutsReads, "the bytes 0..11"),
            (Flaw::KeepsDeleted, "what was not deleted"),
        ] {
            let e = try_store(&Flawed(Memory::default(), flaw)).unwrap_err();
            assert!(e.message().contains(found), "{flaw:?}: {e}");
        }
    }
}
