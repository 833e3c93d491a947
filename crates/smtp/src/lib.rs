//! The SMTP protocol: the server's session and the client's (SMTP and LMTP), content framing, SASL mechanisms.
//!
//! Pure: no sockets, clock or runtime. The server is a machine that a driver feeds ([`server::Session`]); the client is a
//! set of `async fn`s over a small trait ([`client`]).

pub mod address;
pub mod client;
pub mod framing;
#[doc(hidden)]
pub mod fuzz;
mod keywords;
pub mod sasl;
pub mod secret;
pub mod server;
pub mod text;

pub use keywords::Keywords;
pub use secret::Secret;
