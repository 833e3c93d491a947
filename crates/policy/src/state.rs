//! What restrictions leave behind between the commands of a session.

use bytes::Bytes;
use mail::DsnStatus;
use std::net::Ipv4Addr;

/// A session's memory of its restrictions. One value per connection.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What access tables and policy servers did to the message: taken when it is stored, and forgotten with it.
    pub effects: Effects,
    /// What happened that `notify_classes` may want a report of.
    pub notices: Notices,
    /// A `defer_if_permit` that was raised by then, for each stage that passes it on.
    pub(crate) after_client: Option<Refusal>,
    pub(crate) after_helo: Option<Refusal>,
    pub(crate) after_sender: Option<Refusal>,
    pub(crate) sender_is_checked: bool,
    pub(crate) recipient_is_checked: bool,
    /// What DNS lists answered: not to be asked, nor their silence logged, for each recipient again.
    pub(crate) dns_lists: DnsLists,
}

/// The answers of DNS lists in one session, by the name looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct DnsLists(Vec<(String, DnsListAnswer)>);

/// The addresses; none if there is no such name; an error if there was no answer.
pub(crate) type DnsListAnswer = Result<Vec<Ipv4Addr>, NoAnswer>;

/// A list that could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

impl DnsLists {
    /// More answers than this are not kept. Postfix keeps as many.
    const LIMIT: usize = 100;

    pub(crate) fn get(&self, query: &str) -> Option<DnsListAnswer> {
        self.0.iter().find(|(known, _)| known == query).map(|(_, answer)| answer.clone())
    }

    pub(crate) fn insert(&mut self, query: &str, answer: DnsListAnswer) {
        if self.0.len() < Self::LIMIT {
            self.0.push((query.to_owned(), answer));
        }
    }
}

impl State {
    /// Forgets the message, as RSET, a refused MAIL and the end of a message do. What was found out about the client
    /// stays.
    pub fn forget_message(&mut self) {
        self.effects = Effects::default();
        self.notices = Notices::default();
        self.after_sender = None;
    }
}

/// What is to happen to the message if it is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub hold: bool,
    /// Say that all is well and deliver nothing. Further restrictions are not asked.
    pub discard: bool,
    /// `transport:destination`; the last one counts.
    pub filter: Option<String>,
    /// The only recipient; the last one counts.
    pub redirect: Option<Bytes>,
    /// Further recipients, who get no reports.
    pub bcc: Vec<Bytes>,
    /// Headers to be put before all others, in this order.
    pub prepend: Vec<Bytes>,
}

/// A set of `notify_classes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notices(u8);

/// Whose fault it was: what `notify_classes` are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    Policy,
    Protocol,
    Bounce,
    Software,
    Resource,
    Data,
}

impl Notices {
    pub fn insert(&mut self, notice: Notice) {
        self.0 |= 1 << notice as u8;
    }

    pub fn contains(self, notice: Notice) -> bool {
        self.0 & 1 << notice as u8 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl Notice {
    /// Whether `warn_if_reject` turns such a refusal into a warning. Our own faults are never passed over.
    pub(crate) fn can_be_a_warning(self) -> bool {
        !matches!(self, Notice::Software | Notice::Resource | Notice::Data)
    }
}

/// A refusal that was not given yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) notice: Notice,
    pub(crate) code: u16,
    pub(crate) status: DsnStatus,
    pub(crate) text: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices() {
        let mut notices = Notices::default();
        assert!(notices.is_empty());
        notices.insert(Notice::Data);
        notices.insert(Notice::Policy);
        assert!(notices.contains(Notice::Data) && notices.contains(Notice::Policy));
        assert!(!notices.contains(Notice::Bounce) && !notices.is_empty());
    }

    #[test]
    fn a_message_is_forgotten_but_not_its_client() {
        let refusal =
            Refusal { notice: Notice::Policy, code: 450, status: DsnStatus::new(4, 7, 1), text: vec![] };
        let mut state = State {
            effects: Effects { hold: true, ..Effects::default() },
            after_client: Some(refusal.clone()),
            after_sender: Some(refusal),
            ..State::default()
        };
        state.forget_message();
        assert!(!state.effects.hold && state.after_client.is_some() && state.after_sender.is_none());
    }
}
