//! Delivery agents: SMTP and LMTP, local mailboxes, and the small ones.

mod command;
mod content;
mod copy;
mod destinations;
mod failure;
pub mod local;
pub mod mailbox;
pub mod mta_sts;
pub mod oauth2;
pub mod pipe;
pub mod process;
mod reports;
pub mod smtp;
#[cfg(test)]
mod testing;
pub mod tlsrpt;
mod transports;
pub mod verdicts;
pub mod virtual_mailboxes;

pub use command::Note;
pub use content::Chunks;
pub use copy::Prelude;
pub use destinations::fuzz_destinations;
pub use failure::Failure;
pub use transports::Transports;
