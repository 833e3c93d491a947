//! The network: names, connections, TLS. What is said over them is `smtp`'s business.
//!
//! Start at [`Resolver`] (the DNS), then [`mx`] (where mail for a domain goes), [`dial`] (getting there), [`Stream`] (what one
//! talks over), [`tls`], [`listen`] (the other end) and [`idle`] (connections kept for later). Nothing here logs; what is to be
//! logged comes back as values, in Postfix's words.

mod hosts;
mod inet;
pub mod resolver;
mod services;
#[cfg(test)]
mod testing;
mod watch;

pub use inet::InetProtocols;
pub use resolver::Resolver;
pub use services::Services;
