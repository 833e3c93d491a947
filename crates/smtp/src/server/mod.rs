//! The server's side of SMTP: a machine that is fed octets and answers, and gives events and replies.
//!
//! Syntax, the order of commands, counters, limits and the texts of replies are the session's. Whether a client, a sender
//! or a recipient is welcome, logins, TLS, and where the content goes are its driver's.

mod body;
mod commands;
mod config;
mod content;
mod event;
mod line;
mod notice;
mod parameters;
mod session;
mod token;
mod verb;
mod xclient;

pub use crate::keywords::Keywords;
pub use config::{Config, Peer, Sasl, TlsLevel};
pub use event::{Auth, BodyFault, Event, Helo, Mail, Rcpt, Vrfy};
pub use notice::{Notice, Who};
pub use session::{Ending, Session};
pub use verb::{Statistics, Verb};
pub use xclient::{Attribute, LookedUp, Protocol, Xclient, Xforward};
