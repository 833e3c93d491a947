//! The words of mail: addresses, replies, status codes, envelopes, queue ids, headers, encodings.
//!
//! Pure: no files, sockets, clock or runtime. Every other room imports this one and it imports none.
//! Mail is bytes; nothing here assumes UTF-8.

pub mod address;
pub mod dns;
pub mod dsn;
pub mod envelope;
pub mod header;
pub mod hostname;
pub mod keys;
pub mod mime;
pub mod outcome;
pub mod queue_id;
pub mod reply;
pub mod time;
pub mod xtext;

pub use address::Address;
pub use dsn::DsnStatus;
pub use envelope::{Client, Encoding, Envelope, Notify, Origin, Recipient, Ret, SMTPUTF8_HEADER};
pub use outcome::{Fate, Outcome};
pub use queue_id::QueueId;
pub use reply::Reply;
pub use time::Time;
