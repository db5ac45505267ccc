//! How much a stream may have in its client's hands.

/// The limits of one stream and what it has out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    messages_max: u64,
    bytes_max: u64,
    messages: u64,
    bytes: u64,
}

impl Flow {
    /// Limits as `StreamingPullRequest` gives them: 0 and less is none.
    pub(crate) fn new(messages_max: i64, bytes_max: i64) -> Self {
        let limit = |n: i64| u64::try_from(n).ok().filter(|n| *n > 0).unwrap_or(u64::MAX);
        Flow { messages_max: limit(messages_max), bytes_max: limit(bytes_max), messages: 0, bytes: 0 }
    }

    /// How many more messages may be sent. Bytes may be passed by one message, as the API says: sending stops when
    /// the limit is reached.
    pub(crate) fn room(&self) -> u64 {
        if self.bytes >= self.bytes_max { 0 } else { self.messages_max.saturating_sub(self.messages) }
    }

    /// Nothing is out any more.
    pub(crate) fn clear(&mut self) {
        self.messages = 0;
        self.bytes = 0;
    }

    /// A message of this size was sent.
    pub(crate) fn sent(&mut self, bytes: u32) {
        self.messages += 1;
        self.bytes += u64::from(bytes);
    }

    /// A message of this size is in the client's hands no more.
    pub(crate) fn back(&mut self, bytes: u32) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_stops_at_either_limit() {
        let mut flow = Flow::new(3, 100);
        flow.sent(60);
        assert_eq!(flow.room(), 2);
        flow.sent(60);
        assert_eq!(flow.room(), 0);
        flow.back(60);
        assert_eq!(flow.room(), 2);
        assert_eq!(Flow::new(0, -1).room(), u64::MAX);
    }
}
