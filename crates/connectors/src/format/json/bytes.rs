//! Looking at the bytes of a line, many at a time.
//!
//! The pieces are short: names, numbers, a few words of text. A call of `memcmp` or `memchr` costs more than
//! the work it does for them, so these are written to be inlined.

/// Bytes looked at together.
const BLOCK: usize = 16;

/// True if all bytes are printable ASCII, from space to delete: text that needs no further check, without
/// control characters, which no JSON text holds.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    // What is plain is below 0x60 after this; the greatest of each lane is kept, so that blocks cost three
    // vector instructions.
    let above_space = |b: u8| b.wrapping_sub(b' ');
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.iter().all(|b| above_space(*b) < 0x60);
    };
    let mut greatest = last.map(above_space);
    for block in bytes.as_chunks::<BLOCK>().0 {
        for (greatest, b) in greatest.iter_mut().zip(block) {
            *greatest = (*greatest).max(above_space(*b));
        }
    }
    greatest.into_iter().fold(0, u8::max) < 0x60
}

/// Bytes that lines are compared with, mostly by two words that overlap or meet.
#[derive(Debug)]
pub(super) struct Known {
    bytes: Vec<u8>,
    /// The first eight bytes and the last eight, if there are so many.
    ends: Option<[u64; 2]>,
}

impl Known {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Known { bytes: bytes.to_vec(), ends: ends(bytes) }
    }

    /// What follows these bytes in a line that begins with them.
    #[inline]
    pub(super) fn after<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (head, rest) = line.split_at_checked(self.bytes.len())?;
        let is_same = match (self.ends, ends(head)) {
            (Some([first, last]), Some([a, b])) => {
                (first ^ a) | (last ^ b) == 0 && (head.len() <= 16 || head == self.bytes)
            }
            _ => head.iter().zip(&self.bytes).all(|(a, b)| a == b),
        };
        is_same.then_some(rest)
    }
}

#[inline]
fn ends(bytes: &[u8]) -> Option<[u64; 2]> {
    let (first, last) = (bytes.first_chunk::<8>()?, bytes.last_chunk::<8>()?);
    Some([u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)])
}

/// Where the first quote or backslash stands.
#[inline]
pub(super) fn text_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(word) = bytes.get(from..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = stops(*word);
        if found != 0 {
            return Some(from + found.trailing_zeros() as usize / 8);
        }
        from += 8;
    }
    let rest = bytes.get(from..)?;
    rest.iter().position(|b| matches!(b, b'"' | b'\\')).map(|at| from + at)
}

/// The lowest bit that is set is in the byte of the first quote or backslash; 0 if there is none.
#[inline]
fn stops(word: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let word = u64::from_le_bytes(word);
    // A byte that is zero borrows from its high bit; above the first such byte this may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    (zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64))) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![60 => b'a'..=b'z', 1 => any::<u8>(), 1 => prop::sample::select(&b"\"\\\x1f\x7f\x80"[..])];
        prop::collection::vec(byte, 0..80)
    }

    proptest! {
        #[test]
        fn blocks_see_what_single_bytes_show(bytes in bytes()) {
            prop_assert_eq!(is_plain(&bytes), bytes.iter().all(|b| (0x20..0x80).contains(b)));
            prop_assert_eq!(text_end(&bytes), bytes.iter().position(|b| *b == b'"' || *b == b'\\'));
        }

        #[test]
        fn only_what_is_equal_comes_before(line in bytes(), cut in 0..80_usize, at in 0..80_usize, byte in any::<u8>()) {
            let cut = cut.min(line.len());
            prop_assert_eq!(Known::new(&line[..cut]).after(&line), Some(&line[cut..]));
            let mut other = line[..cut].to_vec();
            if let Some(b) = other.get_mut(at) {
                *b = byte;
            }
            prop_assert_eq!(Known::new(&other).after(&line), line.strip_prefix(other.as_slice()));
        }
    }
}
