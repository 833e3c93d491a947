//! Whether an address is known: what `reject_unlisted_recipient` and `reject_unlisted_sender` ask.

use crate::Router;
use crate::resolve::{Class, Unresolved};
use mail::Address;
use mail::keys::Search;
use tables::Maps;

/// What the tables of its class say of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// It is there, or its class has no table.
    Yes,
    /// Not in the table of this class, which is Local, VirtualMailbox or Relay.
    No(Class),
    /// It resolves to the error transport: an unknown address of a virtual alias domain, a relocated user, or an entry
    /// of transport_maps. The text is the nexthop as it stands there, status code and all.
    Error { text: String, class: Class },
    /// It resolves to the retry transport.
    Retry { text: String },
}

/// An address to look for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// As the client gave it.
    pub address: &'a Address,
    /// The other address of the envelope, whose routing may depend on it.
    pub other: Option<&'a Address>,
    /// The address is a sender: `sender_canonical_maps` count too.
    pub is_sender: bool,
}

impl Router {
    /// Looks for an address in the canonical and virtual alias maps, then in the tables of its class
    /// (`local_recipient_maps`, `virtual_mailbox_maps`, `relay_recipient_maps`).
    pub async fn listed(&self, query: Query<'_>) -> Result<Listed, Unresolved> {
        let settings = &*self.settings;
        let route = match self.resolve_given(query.other, query.address).await {
            Ok(route) => route,
            // Postfix: what can be no address counts as listed; other checks refuse it.
            Err(Unresolved::BadAddress { .. }) => return Ok(Listed::Yes),
            Err(try_later) => return Err(try_later),
        };
        if self.is_rewritten(&route.recipient, query.is_sender).await? {
            return Ok(Listed::Yes);
        }
        let (transport, text) = (route.transport.as_str(), route.nexthop);
        match transport {
            "error" => return Ok(Listed::Error { text, class: route.class }),
            "retry" => return Ok(Listed::Retry { text }),
            _ => {}
        }
        let maps = match route.class {
            Class::Local if self.is_always_known(&route.recipient) => return Ok(Listed::Yes),
            Class::Local => &settings.local_recipient_maps,
            Class::VirtualMailbox => &settings.virtual_mailbox_maps,
            Class::Relay => &settings.relay_recipient_maps,
            Class::VirtualAlias | Class::Default => return Ok(Listed::Yes),
        };
        let is_listed = maps.is_empty() || self.has(maps, &route.recipient).await?;
        Ok(if is_listed { Listed::Yes } else { Listed::No(route.class) })
    }

    /// Whether cleanup will make another address of it.
    async fn is_rewritten(&self, address: &Address, is_sender: bool) -> Result<bool, Unresolved> {
        let settings = &*self.settings;
        Ok(self.has(&settings.recipient_canonical_maps, address).await?
            || (is_sender && self.has(&settings.sender_canonical_maps, address).await?)
            || self.has(&settings.canonical_maps, address).await?
            || self.has(&settings.virtual_alias_maps, address).await?)
    }

    async fn has(&self, maps: &Maps, address: &Address) -> Result<bool, Unresolved> {
        Ok(self.find_address(maps, address, Search::ADDRESS).await?.is_some())
    }

    /// RFC 5321 4.5.1: postmaster is always there. So are the senders of our own notices and probes.
    fn is_always_known(&self, recipient: &Address) -> bool {
        let names =
            [&b"postmaster"[..], b"mailer-daemon", &self.settings.recipient_delimiter.double_bounce_sender];
        names.iter().any(|name| recipient.local().eq_ignore_ascii_case(name))
    }
}
