//! Which offsets of a log a subscription has acknowledged.

use std::collections::BTreeMap;

/// Everything below a floor, and ranges above it.
///
/// Its size follows the number of gaps, which is at most the number of messages that were delivered and are not
/// acknowledged: that number has a bound, so this has one too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckSet {
    floor: u64,
    /// Start to end (exclusive); disjoint, not adjacent, all above the floor.
    ranges: BTreeMap<u64, u64>,
}

impl AckSet {
    /// Everything below `floor`, nothing else.
    pub(crate) fn below(floor: u64) -> Self {
        AckSet { floor, ranges: BTreeMap::new() }
    }

    /// The first offset that is not acknowledged.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The ranges above the floor, `start..end`.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(s, e)| (*s, *e))
    }

    /// Whether an offset is acknowledged.
    pub(crate) fn contains(&self, offset: u64) -> bool {
        offset < self.floor || self.ranges.range(..=offset).next_back().is_some_and(|(_, end)| offset < *end)
    }

    /// The first offset at or after `from` that is not acknowledged.
    pub(crate) fn next_gap(&self, from: u64) -> u64 {
        let from = from.max(self.floor);
        match self.ranges.range(..=from).next_back() {
            Some((_, end)) => from.max(*end),
            None => from,
        }
    }

    /// How many offsets of `from..to` are not acknowledged.
    pub(crate) fn missing(&self, from: u64, to: u64) -> u64 {
        let from = from.max(self.floor);
        let inside = |(start, end): (u64, u64)| end.min(to).saturating_sub(start.max(from));
        to.saturating_sub(from).saturating_sub(self.ranges().map(inside).sum())
    }

    /// Acknowledges one offset.
    pub(crate) fn insert(&mut self, offset: u64) {
        if offset == self.floor && self.ranges.is_empty() {
            self.floor = offset + 1;
        } else {
            self.insert_range(offset, offset.saturating_add(1));
        }
    }

    /// Acknowledges `start..end`.
    pub(crate) fn insert_range(&mut self, start: u64, end: u64) {
        if start >= end || end <= self.floor {
            return;
        }
        if start <= self.floor {
            self.floor = end;
            self.sink_into_floor();
            return;
        }
        let (mut start, mut end) = (start, end);
        if let Some((s, e)) = self.ranges.range(..=start).next_back()
            && *e >= start
        {
            start = *s;
            end = end.max(*e);
        }
        while let Some((s, e)) = self.ranges.range(start..=end).next().map(|(s, e)| (*s, *e)) {
            self.ranges.remove(&s);
            end = end.max(e);
        }
        self.ranges.insert(start, end);
    }

    /// What this set would be if only offsets below `limit` had been acknowledged.
    pub(crate) fn cut(&mut self, limit: u64) {
        self.floor = self.floor.min(limit);
        self.ranges.split_off(&limit);
        if let Some(mut last) = self.ranges.last_entry() {
            let end = (*last.get()).min(limit);
            last.insert(end);
        }
    }

    fn sink_into_floor(&mut self) {
        while let Some(first) = self.ranges.first_entry() {
            if *first.key() > self.floor {
                break;
            }
            self.floor = self.floor.max(*first.get());
            first.remove();
        }
    }

    /// The set as bytes: the floor, then for each range its distance and its length, as varints.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        prost::encoding::encode_varint(self.floor, into);
        let mut at = self.floor;
        for (start, end) in &self.ranges {
            prost::encoding::encode_varint(start - at, into);
            prost::encoding::encode_varint(end - start, into);
            at = *end;
        }
    }

    /// Reads what [`encode`](Self::encode) wrote, to the end of the bytes; `None` if that is not what they hold.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut next = || prost::encoding::decode_varint(&mut bytes).ok();
        let mut set = AckSet::below(next()?);
        let mut at = set.floor;
        while let Some(skip) = next() {
            let start = at.checked_add(skip)?;
            let end = start.checked_add(next()?)?;
            set.insert_range(start, end);
            at = end;
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_join_and_sink_into_the_floor() {
        let mut set = AckSet::below(10);
        set.insert(12);
        set.insert(14);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(12, 13), (14, 15)]);
        set.insert(13);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(12, 15)]);
        set.insert_range(10, 12);
        assert_eq!((set.floor(), set.ranges().count()), (15, 0));
        assert_eq!(set.next_gap(3), 15);
    }

    #[test]
    fn what_is_missing_is_counted() {
        let mut set = AckSet::below(10);
        set.insert_range(12, 15);
        assert_eq!((set.missing(0, 20), set.missing(13, 20), set.missing(0, 14)), (7, 5, 2));
        assert_eq!((set.missing(0, 10), set.missing(0, 5), set.missing(30, 20)), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(
            ops in proptest::collection::vec((0u64..60, 0u64..8, any::<bool>()), 0..60),
        ) {
            let mut set = AckSet::default();
            let mut model: BTreeSet<u64> = BTreeSet::new();
            for (at, length, cut) in ops {
                if cut && length == 0 {
                    set.cut(at);
                    model.retain(|o| *o < at);
                } else {
                    set.insert_range(at, at + length);
                    model.extend(at..at + length);
                }
                for o in 0..70 {
                    prop_assert_eq!(set.contains(o), model.contains(&o), "{}", o);
                }
                prop_assert_eq!(set.floor(), (0..).find(|o| !model.contains(o)).unwrap());
                let gap = (at..).find(|o| !model.contains(o)).unwrap();
                prop_assert_eq!(set.next_gap(at), gap);
                let mut bytes = Vec::new();
                set.encode(&mut bytes);
                prop_assert_eq!(AckSet::decode(&bytes), Some(set.clone()));
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _set = AckSet::decode(&bytes);
        }
    }
}
