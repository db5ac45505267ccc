//! Ack ids: what a client sends back to acknowledge a delivery.

use std::fmt;

/// A delivery of a message. As text: three numbers in base 36 with `-` between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AckId {
    /// Which subscription; one that is created anew under an old name has another number.
    pub(crate) incarnation: u64,
    /// Which message.
    pub(crate) offset: u64,
    /// Which delivery of it.
    pub(crate) lease: u64,
}

impl AckId {
    /// Reads an ack id; `None` if it is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let mut next = || parts.next().and_then(number);
        let id = AckId { incarnation: next()?, offset: next()?, lease: next()? };
        parts.next().is_none().then_some(id)
    }

    /// Writes the text.
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        for (i, n) in [self.incarnation, self.offset, self.lease].into_iter().enumerate() {
            if i > 0 {
                into.push(b'-');
            }
            digits(n, into);
        }
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(40);
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

fn number(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 13 {
        return None;
    }
    text.bytes().try_fold(0u64, |n, b| {
        let digit = match b {
            b'0'..=b'9' => b - b'0',
            b'a'..=b'z' => b - b'a' + 10,
            _ => return None,
        };
        n.checked_mul(36)?.checked_add(u64::from(digit))
    })
}

fn digits(mut n: u64, into: &mut Vec<u8>) {
    let mut buffer = [0u8; 13];
    let mut at = buffer.len();
    loop {
        at -= 1;
        let digit = (n % 36) as u8;
        buffer[at] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        n /= 36;
        if n == 0 {
            break;
        }
    }
    into.extend_from_slice(&buffer[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_come_back(incarnation: u64, offset: u64, lease: u64) {
            let id = AckId { incarnation, offset, lease };
            prop_assert_eq!(AckId::parse(&id.to_string()), Some(id));
        }

        #[test]
        fn any_text_is_read_without_harm(text in "[0-9a-zA-Z-]{0,50}") {
            let _id = AckId::parse(&text);
        }
    }

    #[test]
    fn other_text_is_no_id() {
        for wrong in ["", "a", "a-b", "a-b-c-d", "a--b", "A-b-c", "zzzzzzzzzzzzz-1-1", "1-2-", "ü-1-2"] {
            assert_eq!(AckId::parse(wrong), None, "{wrong}");
        }
    }
}
