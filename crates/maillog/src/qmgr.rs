//! Lines of qmgr, bounce and pickup.

use crate::Event;
use mail::{Address, QueueId};
use std::fmt;

/// `QID: uid=0 from=<root>`, logged by pickup.
#[derive(Clone, Copy, Debug)]
pub struct PickedUp<'a> {
    pub id: QueueId,
    pub uid: u32,
    pub sender: &'a Address,
    /// The queue id that a requeued message had before.
    pub orig_id: Option<QueueId>,
}

impl Event for PickedUp<'_> {}

impl fmt::Display for PickedUp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: uid={} from=<{}>", self.id, self.uid, self.sender)?;
        self.orig_id.map_or(Ok(()), |orig_id| write!(f, " orig_id={orig_id}"))
    }
}

/// `QID: from=<…>, size=N, nrcpt=N (queue active)`.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a> {
    pub id: QueueId,
    pub sender: &'a Address,
    pub size: u64,
    /// Recipients still to be delivered.
    pub recipients: usize,
}

impl Event for Active<'_> {}

impl fmt::Display for Active<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Active { id, sender, size, recipients } = self;
        write!(f, "{id}: from=<{sender}>, size={size}, nrcpt={recipients} (queue active)")
    }
}

/// `QID: removed`.
#[derive(Clone, Copy, Debug)]
pub struct Removed {
    pub id: QueueId,
}

impl Event for Removed {}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: removed", self.id)
    }
}

/// `QID: from=<…>, status=expired, returned to sender`.
#[derive(Clone, Copy, Debug)]
pub struct Expired<'a> {
    pub id: QueueId,
    pub sender: &'a Address,
    /// By `postsuper -e`, not by age.
    pub forced: bool,
}

impl Event for Expired<'_> {}

impl fmt::Display for Expired<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = if self.forced { "force-expired" } else { "expired" };
        write!(f, "{}: from=<{}>, status={status}, returned to sender", self.id, self.sender)
    }
}

/// `QID: sender non-delivery notification: QID2`, logged by bounce.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    pub id: QueueId,
    pub kind: NotificationKind,
    pub notice: QueueId,
}

/// What a notice is about, and who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    SenderNonDelivery,
    SenderDelay,
    SenderSuccess,
    PostmasterNonDelivery,
    PostmasterDelay,
}

impl NotificationKind {
    const fn words(self) -> &'static str {
        match self {
            NotificationKind::SenderNonDelivery => "sender non-delivery notification",
            NotificationKind::SenderDelay => "sender delay notification",
            NotificationKind::SenderSuccess => "sender delivery status notification",
            NotificationKind::PostmasterNonDelivery => "postmaster non-delivery notification",
            NotificationKind::PostmasterDelay => "postmaster delay notification",
        }
    }
}

impl Event for Notification {}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.id, self.kind.words(), self.notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let id = QueueId::parse(b"ABC123").expect("an id");
        let notice = QueueId::parse(b"DEF456").expect("an id");
        let sender = Address::from("a@example.org");
        for (line, expect) in [
            (
                PickedUp { id, uid: 0, sender: &sender, orig_id: None }.to_string(),
                "ABC123: uid=0 from=<a@example.org>",
            ),
            (
                PickedUp { id, uid: 102, sender: &sender, orig_id: Some(notice) }.to_string(),
                "ABC123: uid=102 from=<a@example.org> orig_id=DEF456",
            ),
            (
                Active { id, sender: &Address::null(), size: 315, recipients: 1 }.to_string(),
                "ABC123: from=<>, size=315, nrcpt=1 (queue active)",
            ),
            (Removed { id }.to_string(), "ABC123: removed"),
            (
                Expired { id, sender: &sender, forced: false }.to_string(),
                "ABC123: from=<a@example.org>, status=expired, returned to sender",
            ),
            (
                Notification { id, kind: NotificationKind::SenderNonDelivery, notice }.to_string(),
                "ABC123: sender non-delivery notification: DEF456",
            ),
        ] {
            assert_eq!(line, expect);
        }
    }
}
