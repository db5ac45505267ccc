//! Looking at the bytes of a line, many at a time.
//!
//! The pieces are short: names, numbers, a few words of text. A call of `memcmp` or `memchr` costs more than
//! the work it does for them, so these are written to be inlined.

/// Bytes that lines are compared with, mostly by words that overlap or meet.
#[derive(Debug)]
pub(super) struct Known {
    bytes: Vec<u8>,
    words: Words,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
enum Words {
    /// Of 8 to 16 bytes the first eight and the last eight.
    Short([u64; 2]),
    /// Of 17 to 32 bytes the first sixteen and the last sixteen.
    Long([u128; 2]),
    /// Each byte.
    None,
}

impl Known {
    pub(super) fn new(bytes: &[u8]) -> Self {
        let words = match bytes.len() {
            8..=16 => short(bytes).map(Words::Short),
            17..=32 => long(bytes).map(Words::Long),
            _ => None,
        };
        Known { bytes: bytes.to_vec(), words: words.unwrap_or(Words::None) }
    }

    /// What follows these bytes in a line that begins with them.
    #[inline]
    pub(super) fn after<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let (head, rest) = line.split_at_checked(self.bytes.len())?;
        let is_same = match self.words {
            Words::Short([first, last]) => short(head).is_some_and(|[a, b]| (first ^ a) | (last ^ b) == 0),
            Words::Long([first, last]) => long(head).is_some_and(|[a, b]| (first ^ a) | (last ^ b) == 0),
            Words::None if head.len() > 32 => head == self.bytes,
            Words::None => head.iter().zip(&self.bytes).all(|(a, b)| a == b),
        };
        is_same.then_some(rest)
    }
}

#[inline]
fn short(bytes: &[u8]) -> Option<[u64; 2]> {
    let (first, last) = (bytes.first_chunk::<8>()?, bytes.last_chunk::<8>()?);
    Some([u64::from_ne_bytes(*first), u64::from_ne_bytes(*last)])
}

#[inline]
fn long(bytes: &[u8]) -> Option<[u128; 2]> {
    let (first, last) = (bytes.first_chunk::<16>()?, bytes.last_chunk::<16>()?);
    Some([u128::from_ne_bytes(*first), u128::from_ne_bytes(*last)])
}

/// Where a text may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextEnd {
    /// Where the first quote, backslash or control character stands.
    pub(super) at: usize,
    /// False if a byte before that (or shortly behind it) is not ASCII.
    pub(super) is_ascii: bool,
}

/// The end of the text that begins here. Two words are looked at together: most texts end within them, so that their
/// length decides no branch.
#[inline]
pub(super) fn text_end(bytes: &[u8]) -> Option<TextEnd> {
    let (mut from, mut seen) = (0, 0);
    while let Some(block) = bytes.get(from..).and_then(|rest| rest.first_chunk::<16>()) {
        let (words, _) = block.as_chunks::<8>();
        let [a, b] = words else { break };
        let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
        seen |= a | b;
        let (in_a, in_b) = (stops(a), stops(b));
        if in_a | in_b != 0 {
            let bits = if in_a != 0 { in_a.trailing_zeros() } else { 64 + in_b.trailing_zeros() };
            return Some(TextEnd { at: from + bits as usize / 8, is_ascii: seen & HIGH == 0 });
        }
        from += 16;
    }
    let rest = bytes.get(from..)?;
    let at = rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..b' '))?;
    let is_ascii = seen & HIGH == 0 && rest.get(..at)?.is_ascii();
    Some(TextEnd { at: from + at, is_ascii })
}

/// A one in each byte.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
/// The high bit of each byte.
const HIGH: u64 = ONES << 7;

/// The lowest bit that is set is in the byte of the first quote, backslash or control character; 0 if there is none.
#[inline]
fn stops(word: u64) -> u64 {
    // A byte that is below `least` borrows from its high bit; above the first such byte this may be wrong.
    let below = |word: u64, least: u8| word.wrapping_sub(ONES * u64::from(least)) & !word;
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quote | backslash | below(word, b' ')) & HIGH
}

/// The number that a text begins with: up to eight digits, as a number, and how many they are.
#[inline]
pub(super) fn digits8(bytes: [u8; 8]) -> (u64, usize) {
    let digits = u64::from_le_bytes(bytes) ^ (ONES * u64::from(b'0'));
    // Bytes above nine reach their high bit; what they carry comes only to bytes behind the first of them.
    let other = (digits.wrapping_add(ONES * 0x76) | digits) & HIGH;
    let count = other.trailing_zeros() as usize / 8;
    // The digits move to the end, behind zeros; then neighbours are joined to numbers of two, four and eight digits.
    let digits = digits.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    ((fours * 10_000 + (fours >> 32)) & 0xffff_ffff, count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![60 => b'a'..=b'z', 1 => any::<u8>(), 1 => prop::sample::select(&b"\"\\\x1f\x7f\x80\n!#]"[..])];
        prop::collection::vec(byte, 0..80)
    }

    proptest! {
        #[test]
        fn blocks_see_what_single_bytes_show(bytes in bytes()) {
            let at = bytes.iter().position(|b| *b == b'"' || *b == b'\\' || *b < b' ');
            let end = text_end(&bytes);
            prop_assert_eq!(end.map(|e| e.at), at);
            if let Some(TextEnd { at, is_ascii: true }) = end {
                prop_assert!(bytes[..at].is_ascii());
            } else if let Some(end) = end {
                prop_assert!(!bytes.is_ascii(), "{:?}", end);
            }
        }

        #[test]
        fn eight_digits_are_read_like_one_by_one(text in "[0-9]{0,8}[./:;\u{0}\u{7f}\u{ff}a-z]{0,8}") {
            let mut bytes = [b' '; 8];
            bytes.iter_mut().zip(text.bytes()).for_each(|(to, b)| *to = b);
            let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
            let number = bytes[..count].iter().fold(0, |n, b| n * 10 + u64::from(b - b'0'));
            prop_assert_eq!(digits8(bytes), (number, count));
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
