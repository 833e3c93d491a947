//! pipe(8): what master.cf says of a command, and what becomes of its arguments.
//!
//! The worker reads it to know whether the service can work at all, a delivery process to run it.

mod agent;
mod arguments;
mod attributes;

pub use agent::{PipeAgent, Settings};
pub use attributes::fuzz_pipe_attributes;

pub(crate) use arguments::{expand, sender, unknown_name};
pub(crate) use attributes::{Attributes, MailSystem};
