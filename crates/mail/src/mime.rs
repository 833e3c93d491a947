//! The structure of messages (RFC 2045, RFC 2046), as far as a mail system must know it.
//!
//! [`Reader`] takes a message apart as it comes: header fields of the message, of its parts and of messages within, and
//! lines of bodies. What is done to them is the user's business.

mod content;
mod conversion;
mod mistakes;
mod reader;

pub use content::{ContentType, Domain, Kind, Subtype, TransferEncoding};
pub use conversion::{Conversion, QuotedPrintable};
pub use mistakes::{Mistake, Strictness};
pub use reader::{Class, Entity, Event, Limits, Line, Reader, fuzz_mime_reader};
