//! What an administrator should know of the spool. Whoever opens it decides where that is logged.

use std::fmt;

/// Something that happened to the spool. Its text fits behind `warning: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write or sync failed. New mail is refused and deliveries should wait until [`Event::DeviceRecovered`].
    DeviceFailed(String),
    DeviceRecovered,
    /// There is no room for new messages. What is queued can be delivered.
    Full,
    /// Something in the spool is damaged; `saved` is where it was set aside, below the spool's folder.
    Damaged {
        what: String,
        saved: Option<String>,
    },
    /// The device could not read all of a segment. It is left alone; messages in it may be missing from the queue.
    Unreadable {
        segment: u32,
        error: String,
    },
    /// Housekeeping failed; nothing is lost by that, and it is tried again.
    ChoreFailed {
        chore: &'static str,
        error: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::DeviceFailed(error) => write!(f, "spool: {error}: new mail is refused, deliveries wait"),
            Event::DeviceRecovered => f.write_str("spool: the device works again"),
            Event::Full => f.write_str("spool: insufficient space: new mail is refused"),
            Event::Damaged { what, saved: Some(saved) } => {
                write!(f, "spool: damaged: {what}: set aside as {saved}")
            }
            Event::Damaged { what, saved: None } => write!(f, "spool: damaged: {what}"),
            Event::Unreadable { segment, error } => {
                write!(f, "spool: segment {segment} cannot be read: {error}: some messages may be missing")
            }
            Event::ChoreFailed { chore, error } => write!(f, "spool: cannot {chore}: {error}"),
        }
    }
}
