//! Where a recipient goes, as the queue manager asks for it. `route` answers.

use mail::Address;
use std::future::Future;
use std::pin::Pin;

/// Finds the transport, the nexthop and the address for one recipient (trivial-rewrite's resolve request).
pub trait Resolve: Send + Sync {
    /// `sender` matters for `sender_dependent_relayhost_maps` and its like.
    fn resolve<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
    ) -> Pin<Box<dyn Future<Output = Result<Route, Unroutable>> + Send + 'a>>;

    /// The same for a probe of address verification (`address_verify_transport_maps` and its like).
    fn resolve_probe<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
    ) -> Pin<Box<dyn Future<Output = Result<Route, Unroutable>> + Send + 'a>> {
        self.resolve(sender, recipient)
    }
}

/// Where one recipient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name of a line of master.cf.
    pub transport: String,
    /// As the transport takes it. Where a relayhost or transport table has none: the recipient's domain.
    pub nexthop: String,
    /// The address to deliver to.
    pub recipient: Address,
    /// It is in the local address class (`mydestination`, own interfaces).
    pub is_local: bool,
}

/// Why a recipient has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// A table could not be asked: the mail is deferred.
    TryLater,
    /// It is no address: the mail is returned.
    BadSyntax,
}
