//! SASL mechanisms, the client's side of them, and the choice between them (RFC 4422).
//!
//! What goes over the wire in base64 is bare octets here. The server's side is done by whoever keeps the passwords.

mod choice;
pub mod dovecot;
mod exchange;
mod scram;

pub use choice::{Mechanism, SecurityOptions, choose};
pub use exchange::{Credentials, Exchange, Peer, SaslError};
