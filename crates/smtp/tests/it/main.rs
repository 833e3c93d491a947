//! The room from outside, against what Postfix said: recorded dialogues.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking; clippy's own exception stops at helpers")]

mod both;
mod client;
mod conversation;
mod dialogue;
mod driver;
mod peer;
mod server;
mod session;
