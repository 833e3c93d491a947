//! The network: names, connections, TLS. What is said over them is `smtp`'s business.
//!
//! Start at [`Resolver`] (the DNS), then [`mx`] (where mail for a domain goes), [`dial`] (getting there), [`Stream`] (what one
//! talks over), [`tls`], [`listen`] (the other end) and [`idle`] (connections kept for later). Nothing here logs; what is to be
//! logged comes back as values, in Postfix's words.

pub mod dial;
mod digest;
mod endpoint;
mod hosts;
pub mod https;
pub mod idle;
mod inet;
pub mod listen;
pub mod mx;
mod nexthop;
mod random;
pub mod resolver;
mod services;
mod stream;
#[cfg(test)]
mod testing;
pub mod tls;
mod watch;

pub use digest::digest;
pub use endpoint::Endpoint;
pub use inet::InetProtocols;
pub use nexthop::{Destination, Nexthop, NexthopError, Protocol, fuzz_nexthop};
pub use random::random_token;
pub use resolver::Resolver;
pub use services::{Services, parse_known_tcp_ports};
pub use stream::{Socket, Stream};
