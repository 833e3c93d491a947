//! The room from outside: recorded dialogues.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking; clippy's own exception stops at helpers")]

mod dialogue;
mod driver;
mod server;
