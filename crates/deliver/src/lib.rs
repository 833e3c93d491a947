//! Delivery agents: SMTP and LMTP, local mailboxes, and the small ones.

pub mod local;
pub mod mailbox;
pub mod smtp;
pub mod verdicts;
