//! Delivery to a command: what it runs in, how it is fed, what its end means.
//!
//! A command runs with the rights of the process that starts it ([`crate::process`]), in a session of its own, with three
//! descriptors: the message as its input, and one pipe for both its outputs.

mod end;
mod environment;
mod run;

pub(crate) use environment::{Exported, censored};
pub use run::Note;
pub(crate) use run::{Command, Program};

#[cfg(test)]
pub(crate) use environment::tests::exported;
