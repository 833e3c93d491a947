//! What this room's tests share: a name server that can lie, and certificates.

mod dns;
mod identity;
pub(crate) use dns::NameServer;
pub(crate) use identity::{Identity, KeyKind};
