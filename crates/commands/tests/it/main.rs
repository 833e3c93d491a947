//! The commands as their users run them.
#![allow(clippy::unwrap_used, reason = "the helpers are tests too")]

mod postmap;
mod queue;
mod scripts;
mod site;
mod submission;
