//! Messages as the spool shows them.

use crate::Content;
use mail::{Envelope, Outcome, QueueId, Time};
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A message that has just become durable.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub id: QueueId,
    /// The message itself, if the room for fresh messages allowed it. That room is bounded and given back when the last
    /// clone of the `Arc` is dropped, so don't keep one for a message that is not about to be delivered.
    pub fresh: Option<Arc<Stored>>,
}

/// What memory holds of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: QueueId,
    pub arrival: Time,
    /// None: at once, it was never tried or is to be routed anew.
    pub next_attempt: Option<Time>,
    /// Not to be delivered until released.
    pub held: bool,
    /// To be returned to the sender at the next attempt (`postsuper -e`).
    pub expired: bool,
    /// The sender was told of the delay.
    pub warned: bool,
    /// [`Envelope::size`], in octets.
    pub size: u64,
    pub recipients: u32,
    /// Recipients without a final fate. At 0 the message waits for its notices, or only to be finished.
    pub pending: u32,
}

/// A message as read from the spool.
pub struct Stored {
    pub id: QueueId,
    pub envelope: Envelope,
    /// One for each recipient, in the envelope's order: its last outcome.
    pub outcomes: Vec<Option<Outcome>>,
    pub content: Content,
    /// Gives the room for fresh messages back when dropped.
    room: Option<Box<dyn Any + Send + Sync>>,
}

impl Stored {
    /// A message with the envelope's recipients all pending.
    pub fn new(id: QueueId, envelope: Envelope, content: Content) -> Stored {
        let outcomes = vec![None; envelope.recipients.len()];
        Stored { id, envelope, outcomes, content, room: None }
    }

    /// For spools: a message that holds some of the room for fresh messages until it is dropped.
    pub fn with_room(self, room: Box<dyn Any + Send + Sync>) -> Stored {
        Stored { room: Some(room), ..self }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("id", &self.id)
            .field("envelope", &self.envelope)
            .field("outcomes", &self.outcomes)
            .field("content", &self.content)
            .field("fresh", &self.room.is_some())
            .finish()
    }
}

/// A message as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub summary: Summary,
    pub envelope: Envelope,
    /// One for each recipient: its last outcome.
    pub outcomes: Vec<Option<Outcome>>,
}

/// What `postsuper` may do to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    Hold,
    Release,
    /// Route anew, as if it had just come: due at once, no longer held. `postsuper -r` goes further: it has the message
    /// picked up again ([`Maildrop::put_back`](crate::maildrop::Maildrop::put_back)).
    Requeue,
    /// Return to the sender at the next attempt.
    Expire,
    Delete,
}

impl Admin {
    /// Whether it would change the message: what is held cannot be held again.
    pub const fn applies_to(self, summary: &Summary) -> bool {
        match self {
            Admin::Hold => !summary.held,
            Admin::Release => summary.held,
            Admin::Expire => !summary.expired,
            Admin::Requeue | Admin::Delete => true,
        }
    }
}

impl Summary {
    /// What an action other than [`Admin::Delete`] does to it.
    pub(crate) fn administer(&mut self, action: Admin) {
        match action {
            Admin::Hold => self.held = true,
            Admin::Release => self.held = false,
            Admin::Requeue => {
                self.held = false;
                self.next_attempt = None;
            }
            Admin::Expire => self.expired = true,
            Admin::Delete => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_actions_apply_to() {
        let summary = Summary {
            id: QueueId::parse(b"AB1234").expect("an id"),
            arrival: Time::from_secs(0),
            next_attempt: None,
            held: false,
            expired: false,
            warned: false,
            size: 1,
            recipients: 1,
            pending: 1,
        };
        for action in [Admin::Hold, Admin::Release, Admin::Expire] {
            let mut summary = summary;
            if action == Admin::Release {
                assert!(!action.applies_to(&summary));
                summary.administer(Admin::Hold);
            }
            assert!(action.applies_to(&summary), "{action:?}");
            summary.administer(action);
            assert!(!action.applies_to(&summary), "{action:?}");
        }
        assert!(Admin::Delete.applies_to(&summary) && Admin::Requeue.applies_to(&summary));
    }
}
