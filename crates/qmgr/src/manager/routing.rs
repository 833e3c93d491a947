//! From recipients to groups: asks the resolver, applies what overrides it, sorts, drops duplicates.

use super::active::Trace;
use crate::scheduler::{Group, Limits};
use crate::{JobRecipient, Route, Setup, Unroutable};
use mail::{Address, DsnStatus};
use spool::Stored;
use std::collections::HashSet;
use std::sync::Arc;

/// A recipient and where it goes.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) index: u32,
    pub(super) to: Result<Route, Unroutable>,
}

/// Routes some of a message's recipients. With a REDIRECT action the first stands for all, so fewer may come back.
pub(super) async fn route(
    setup: Arc<Setup>,
    stored: Arc<Stored>,
    trace: Trace,
    mut indexes: Vec<u32>,
) -> Vec<Routed> {
    let envelope = &stored.envelope;
    let redirect = extra(&stored, "redirect_to").map(|to| Address::new(to.clone()));
    if redirect.is_some() {
        // Postfix: the first by domain and address, golden: in-checks
        let address = |index: &u32| &envelope.recipients[*index as usize].address;
        indexes.sort_by_key(|index| (address(index).domain().map(<[u8]>::to_vec), address(index).folded()));
    }
    let mut routed = Vec::with_capacity(indexes.len());
    for index in indexes {
        let address = &envelope.recipients[index as usize].address;
        let to = match (&redirect, &envelope.content_filter) {
            (Some(to), _) => setup.resolve.resolve(&envelope.sender, to).await,
            (None, Some(filter)) if !trace.is_probe() => Ok(filter_route(filter, address, &setup)),
            _ if trace == Trace::ServerProbe => setup.resolve.resolve_probe(&envelope.sender, address).await,
            _ => setup.resolve.resolve(&envelope.sender, address).await,
        };
        routed.push(Routed { index, to });
        if redirect.is_some() {
            break;
        }
    }
    routed
}

/// An attribute of the envelope by its Postfix name.
pub(super) fn extra<'a>(stored: &'a Stored, name: &str) -> Option<&'a bytes::Bytes> {
    stored.envelope.extra.iter().find(|(n, _)| n == name).map(|(_, value)| value)
}

/// `transport:nexthop`; without a nexthop that of `default_filter_nexthop`, else the recipient's domain, else this host.
fn filter_route(filter: &str, recipient: &Address, setup: &Setup) -> Route {
    let (transport, nexthop) = filter.split_once(':').unwrap_or((filter, ""));
    let domain = recipient.domain().map(String::from_utf8_lossy).filter(|domain| !domain.is_empty());
    let nexthop = match (nexthop, setup.settings.default_filter_nexthop.as_str(), domain) {
        ("", "", Some(domain)) => domain.into_owned(),
        ("", "", None) => setup.settings.myhostname.clone(),
        ("", default, _) => default.to_owned(),
        (nexthop, _, _) => nexthop.to_owned(),
    };
    Route { transport: transport.to_owned(), nexthop, recipient: recipient.clone(), is_local: false }
}

/// What is known of a recipient before its transport is asked.
pub(super) fn shortcut(
    routed: &Result<Route, Unroutable>,
    is_flushed: bool,
    setup: &Setup,
) -> Option<(DsnStatus, &'static str)> {
    let verdict = |class, subject, detail, reason| Some((DsnStatus::new(class, subject, detail), reason));
    let route = match routed {
        Ok(route) => route,
        Err(Unroutable::TryLater) => return verdict(4, 3, 0, "address resolver failure"),
        Err(Unroutable::BadSyntax) => return verdict(5, 1, 3, "bad address syntax"),
    };
    let settings = &setup.settings;
    if route.recipient.is_null() {
        return verdict(5, 1, 3, "null recipient address");
    }
    let is_double_bounce =
        route.recipient.local().eq_ignore_ascii_case(settings.double_bounce_sender.as_bytes());
    if route.is_local && is_double_bounce {
        return verdict(2, 0, 0, "undeliverable postmaster notification discarded");
    }
    if !is_flushed && settings.defer_transports.contains(&route.transport) {
        return verdict(4, 3, 2, "deferred transport");
    }
    None
}

/// A recipient on its way into a group.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) index: u32,
    pub(super) transport: String,
    /// See [`Group::destination`].
    pub(super) destination: String,
    pub(super) nexthop: String,
    pub(super) address: Address,
}

impl Placed {
    pub(super) fn new(
        index: u32,
        route: Route,
        limits: Option<&Limits>,
        recipient_delimiter: &str,
    ) -> Placed {
        let Route { transport, nexthop, recipient, .. } = route;
        let takes_one = limits.is_some_and(|limits| limits.destination_recipient_limit == 1);
        // error and retry have texts as nexthops, and no mailboxes.
        let destination = if takes_one && transport != "error" && transport != "retry" {
            let local = String::from_utf8_lossy(without_extension(recipient.local(), recipient_delimiter));
            format!("{local}@{nexthop}").to_lowercase()
        } else {
            nexthop.to_lowercase()
        };
        Placed { index, transport, destination, nexthop, address: recipient }
    }
}

/// The local part up to the first of the delimiters, unless it begins with it. Postfix spares the special names too, which
/// no mailbox is limited by.
fn without_extension<'a>(local: &'a [u8], recipient_delimiter: &str) -> &'a [u8] {
    match local.iter().position(|b| recipient_delimiter.as_bytes().contains(b)) {
        Some(at) if at > 0 => &local[..at],
        _ => local,
    }
}

/// One message's recipients for one destination of one transport.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) transport: String,
    pub(super) group: Group,
}

/// Sorts recipients by transport, destination, domain and address, and groups them. What routing made twice the same address
/// with the same original one is dropped and returned (cleanup has dropped what came twice).
pub(super) fn batches(mut placed: Vec<Placed>, stored: &Stored, is_single: bool) -> (Vec<Batch>, Vec<u32>) {
    let mut duplicates = Vec::new();
    if placed.len() > 1 {
        let mut seen = HashSet::with_capacity(placed.len());
        placed.retain(|p| {
            let recipient = &stored.envelope.recipients[p.index as usize];
            let original = recipient.original.as_ref().unwrap_or(&recipient.address);
            let is_new = seen.insert((p.transport.clone(), p.address.folded(), original.folded()));
            if !is_new {
                duplicates.push(p.index);
            }
            is_new
        });
        placed.sort_by_cached_key(sort_key);
    }
    let mut batches: Vec<Batch> = Vec::new();
    for Placed { index, transport, destination, nexthop, address } in placed {
        let recipient = JobRecipient { index, address };
        match batches.last_mut() {
            Some(last) if last.transport == transport && last.group.destination == destination => {
                last.group.recipients.push(recipient);
            }
            _ => {
                let group =
                    Group { destination, nexthop: nexthop.into(), recipients: vec![recipient], is_single };
                batches.push(Batch { transport, group });
            }
        }
    }
    (batches, duplicates)
}

/// Addresses without a domain come last.
fn sort_key(p: &Placed) -> (String, String, bool, Vec<u8>, Address) {
    let domain = p.address.domain();
    let folded = domain.unwrap_or_default().to_ascii_lowercase();
    (p.transport.clone(), p.destination.clone(), domain.is_none(), folded, p.address.clone())
}

/// The sender with the recipient in it (`prefix+user=domain@origin`): what a returned message says by its address alone.
pub(super) fn verp_sender(sender: &Address, delimiters: &[u8], recipient: &Address) -> Address {
    let (Some(first), Some(second)) = (delimiters.first(), delimiters.get(1)) else {
        return sender.clone();
    };
    let mut out = sender.local().to_vec();
    out.push(*first);
    out.extend_from_slice(recipient.local());
    if let Some(domain) = recipient.domain().filter(|domain| !domain.is_empty()) {
        out.push(*second);
        out.extend_from_slice(domain);
    }
    if let Some(domain) = sender.domain().filter(|domain| !domain.is_empty()) {
        out.push(b'@');
        out.extend_from_slice(domain);
    }
    Address::new(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::{Envelope, QueueId, Recipient};
    use spool::Content;

    fn stored(addresses: &[&str]) -> Stored {
        let recipients =
            addresses.iter().map(|a| Recipient { address: (*a).into(), ..Recipient::default() }).collect();
        let id = QueueId::parse(b"ABC").expect("an id");
        Stored::new(id, Envelope { recipients, ..Envelope::default() }, Content::default())
    }

    fn placed(index: u32, transport: &str, nexthop: &str, address: &str, limit: usize) -> Placed {
        let route = Route {
            transport: transport.into(),
            nexthop: nexthop.into(),
            recipient: address.into(),
            is_local: false,
        };
        let limits = Limits { destination_recipient_limit: limit, ..Limits::default() };
        Placed::new(index, route, Some(&limits), "+-")
    }

    #[test]
    fn recipients_are_sorted_and_grouped() {
        let addresses = ["z@b.example", "a@b.example", "B@A.example", "x@c.example", "root", "c@a.example"];
        let stored = stored(&addresses);
        let all = addresses.iter().enumerate().map(|(i, a)| match i {
            3 => placed(3, "relay", "c.example", a, 50),
            _ => placed(i as u32, "smtp", "[Relay]:25", a, 50),
        });
        let (batches, duplicates) = batches(all.collect(), &stored, false);
        let shown: Vec<(&str, &str, Vec<u32>)> = batches
            .iter()
            .map(|b| {
                let indexes = b.group.recipients.iter().map(|r| r.index).collect();
                (b.transport.as_str(), b.group.destination.as_str(), indexes)
            })
            .collect();
        assert_eq!(shown, [("relay", "c.example", vec![3]), ("smtp", "[relay]:25", vec![2, 5, 1, 0, 4])]);
        assert_eq!(&*batches[1].group.nexthop, "[Relay]:25");
        assert_eq!(duplicates, []);
    }

    #[test]
    fn duplicates_are_dropped_unless_they_came_as_another() {
        let mut stored = stored(&["a@x", "A@X", "a@x"]);
        stored.envelope.recipients[2].original = Some("alias@x".into());
        let all = (0..3).map(|i| placed(i, "smtp", "x", ["a@x", "A@X", "a@x"][i as usize], 50)).collect();
        let (batches, duplicates) = batches(all, &stored, false);
        assert_eq!((batches[0].group.recipients.len(), duplicates.len()), (2, 1));
    }

    #[test]
    fn one_recipient_at_a_time_has_its_own_destination() {
        for (transport, limit, address, expect) in [
            ("local", 1, "Bob+x@example.com", "bob@example.com"),
            ("local", 1, "+x@example.com", "+x@example.com"),
            ("local", 2, "Bob+x@example.com", "example.com"),
            ("error", 1, "bob@example.com", "example.com"),
        ] {
            assert_eq!(placed(0, transport, "Example.com", address, limit).destination, expect);
        }
    }

    #[test]
    fn verp() {
        for (sender, recipient, expect) in [
            ("list@origin", "user@domain", "list+user=domain@origin"),
            ("list@origin", "user", "list+user@origin"),
            ("list", "user@domain", "list+user=domain"),
        ] {
            assert_eq!(verp_sender(&sender.into(), b"+=", &recipient.into()), expect.into());
        }
        assert_eq!(verp_sender(&"list@o".into(), b"", &"u@d".into()), "list@o".into());
    }
}
