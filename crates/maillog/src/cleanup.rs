//! Lines of cleanup.

use crate::{Event, printable};
use mail::QueueId;
use std::fmt;

/// `QID: message-id=<…>`; `resent-message-id=` for a resent message.
#[derive(Clone, Copy, Debug)]
pub struct MessageId<'a> {
    pub id: QueueId,
    pub resent: bool,
    /// The header's value as it stands, with its brackets.
    pub value: &'a [u8],
}

impl Event for MessageId<'_> {}

impl fmt::Display for MessageId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resent = if self.resent { "resent-" } else { "" };
        write!(f, "{}: {resent}message-id={}", self.id, printable(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let id = QueueId::parse(b"ABC123").expect("an id");
        let line = MessageId { id, resent: false, value: b"<1@x\x07>" };
        assert_eq!(line.to_string(), "ABC123: message-id=<1@x?>");
        assert_eq!(MessageId { resent: true, ..line }.to_string(), "ABC123: resent-message-id=<1@x?>");
    }
}
