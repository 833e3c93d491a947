//! Connections that are kept for the next message, under two names: the destination that a job asked for, and the server that
//! they lead to.

use super::wire::Line;
use net::idle::{IdleCache, IdleLimits, Reusable};
use smtp::client::Client;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// A connection that is ready for MAIL.
pub(super) type Kept = Reusable<Client<Line>>;

/// What tells connections apart. Only the same is the same: whoever may use one may have made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// For whom it was made, where that matters: logins and TLS depend on the destination, and on the sender
    /// (`smtp_sender_dependent_authentication`).
    pub(super) owner: Option<Owner>,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Inet(SocketAddr),
    Unix(String),
}

/// A destination as it is written, and if it matters the sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    pub(super) destination: String,
    pub(super) sender: Option<mail::Address>,
}

pub(super) struct Connections {
    idle: IdleCache<Endpoint, Client<Line>>,
    /// Which server a destination's mail went to last.
    last: Mutex<HashMap<Owner, Endpoint>>,
    limit: usize,
}

impl Connections {
    pub(super) fn new(limits: IdleLimits) -> Connections {
        Connections { idle: IdleCache::new(limits), last: Mutex::default(), limit: limits.connections }
    }

    /// A connection to the server that a destination's mail went to last.
    pub(super) fn take_for(&self, owner: &Owner) -> Option<(Endpoint, Kept)> {
        let endpoint = self.last().get(owner).cloned()?;
        let taken = self.take(&endpoint);
        if taken.is_none() {
            self.last().remove(owner);
        }
        Some((endpoint, taken?))
    }

    pub(super) fn take(&self, endpoint: &Endpoint) -> Option<Kept> {
        let mut kept = self.idle.take(endpoint)?;
        // Without a quiet line it is of no use; others of the same server are no better.
        kept.connection.wire().stream.is_quiet().then_some(kept)
    }

    /// Keeps a connection; gives back one that is worn out.
    pub(super) fn put(&self, owner: Option<Owner>, endpoint: Endpoint, kept: Kept) -> Option<Client<Line>> {
        if let Err(worn) = self.idle.put(endpoint.clone(), kept) {
            return Some(worn);
        }
        if let Some(owner) = owner {
            let mut last = self.last();
            if last.len() >= self.limit {
                last.clear();
            }
            last.insert(owner, endpoint);
        }
        None
    }

    pub(super) async fn expire(&self) {
        self.idle.expire().await;
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<Owner, Endpoint>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
