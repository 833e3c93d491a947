//! Mail that goes on as a new message: to addresses elsewhere, and to members of lists.

use bytes::Bytes;
use mail::{Address, Client, Encoding, QueueId, Recipient, Ret};
use spool::Content;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Puts forwarded mail into the queue. `daemon` fulfils it with intake's cleanup.
pub trait Forward: Send + Sync {
    /// Resolves when the message is on stable storage.
    ///
    /// Cleanup puts `Received: by myhostname (mail_name)` with the new queue id in front, then
    /// [`Forwarded::delivered_to`]; a message that it cannot accept goes back to its sender.
    fn forward(
        &self,
        message: Forwarded,
    ) -> Pin<Box<dyn Future<Output = Result<QueueId, ForwardError>> + Send>>;
}

/// A message on its way on.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The message's sender, or a list's owner.
    pub sender: Address,
    pub recipients: Vec<Recipient>,
    /// The value of a Delivered-To: header, unless `prepend_delivered_header` has no `forward`.
    pub delivered_to: Option<Vec<u8>>,
    pub content: Content,
    /// None for members of a list: what the sender wants to be told is not about them.
    pub ret: Option<Ret>,
    pub envid: Option<Bytes>,
    /// Who handed the message over in the first place.
    pub client: Client,
    pub encoding: Encoding,
    pub smtputf8: bool,
    pub rewrite_local: bool,
}

/// The message could not be queued; the text says why. The delivery is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardError(pub String);

impl fmt::Display for ForwardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ForwardError {}

/// New messages being gathered: one for each address that mail was delivered to on the way, and sender.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<Bundle>);

/// One new message.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) delivered: Address,
    pub(super) sender: Address,
    /// The sender is a list's owner.
    pub(super) is_of_list: bool,
    pub(super) recipients: Vec<Recipient>,
}

impl Gathered {
    pub(super) fn add(
        &mut self,
        delivered: &Address,
        sender: &Address,
        is_of_list: bool,
        recipient: Recipient,
    ) {
        let same = |bundle: &&mut Bundle| bundle.delivered == *delivered && bundle.sender == *sender;
        match self.0.iter_mut().find(same) {
            Some(bundle) => bundle.recipients.push(recipient),
            None => self.0.push(Bundle {
                delivered: delivered.clone(),
                sender: sender.clone(),
                is_of_list,
                recipients: vec![recipient],
            }),
        }
    }

    pub(super) fn take(&mut self) -> Vec<Bundle> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_for_each_way_and_sender() {
        let mut gathered = Gathered::default();
        let recipient = |address: &str| Recipient { address: address.into(), ..Recipient::default() };
        for (delivered, sender, to) in
            [("a", "s", "1"), ("b", "s", "2"), ("a", "owner-a", "3"), ("a", "s", "4")]
        {
            gathered.add(&delivered.into(), &sender.into(), sender == "owner-a", recipient(to));
        }
        let show = |b: &Bundle| {
            let to: Vec<String> = b.recipients.iter().map(|r| r.address.to_string()).collect();
            format!("{} {}: {}", b.delivered, b.sender, to.join(" "))
        };
        let bundles: Vec<String> = gathered.take().iter().map(show).collect();
        assert_eq!(bundles, ["a s: 1 4", "b s: 2", "a owner-a: 3"]);
        assert!(gathered.take().is_empty());
    }
}
