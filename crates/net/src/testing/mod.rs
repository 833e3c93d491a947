//! What this room's tests share: a name server that can lie, and certificates.

mod dns;
pub(crate) use dns::NameServer;
