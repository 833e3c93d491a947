//! transport(5): what decides about transport and nexthop in the end.

use crate::{Router, Routes};
use mail::Address;
use mail::keys::Search;
use tables::{Maps, TryLater};

/// `transport:nexthop`, as parameters and tables give it. Either part may be empty: it is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination<'a> {
    pub(crate) transport: &'a str,
    pub(crate) nexthop: &'a str,
}

impl<'a> Destination<'a> {
    pub(crate) fn parse(text: &'a str) -> Destination<'a> {
        let (transport, nexthop) = text.split_once(':').unwrap_or((text, ""));
        Destination { transport, nexthop }
    }
}

impl Router {
    /// Lets `transport_maps` have its say.
    pub(crate) async fn apply_transport_maps(
        &self,
        routes: &Routes,
        recipient: &Address,
        domain: &str,
        transport: &mut String,
        nexthop: &mut String,
    ) -> Result<(), TryLater> {
        let Some(entry) = self.find_transport(&routes.transport_maps, recipient).await? else {
            return Ok(());
        };
        let entry = String::from_utf8_lossy(&entry);
        let found = Destination::parse(&entry);
        if !found.transport.is_empty() {
            *transport = found.transport.to_string();
        }
        if !found.nexthop.is_empty() {
            *nexthop = found.nexthop.to_string();
        } else if matches!(found.transport, "error" | "retry") {
            *nexthop = "Address is undeliverable".to_string();
        } else if !found.transport.is_empty() {
            // A transport alone takes mail to the recipient's domain, whatever relayhost says.
            *nexthop = domain.to_string();
        }
        Ok(())
    }

    /// The address, its domain and parents, then `*`.
    async fn find_transport(&self, maps: &Maps, recipient: &Address) -> tables::Found {
        if maps.is_empty() {
            return Ok(None);
        }
        let search = Search::transport(self.settings.transport_parents);
        match self.find_address(maps, recipient, search).await? {
            Some(hit) => Ok(Some(hit.value)),
            None => maps.get(b"*", true).await.inspect_err(|why| self.warn_of_failure(why)),
        }
    }
}
