//! How mail comes in: over SMTP and from the maildrop, through cleanup, into the spool.

pub mod cleanup;
pub mod enqueue;
pub mod pickup;
pub mod smtpd;
