//! What can go wrong with a spool, and whose fault it is.

use mail::QueueId;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why the spool could not do it.
#[derive(Clone, Debug)]
pub enum SpoolError {
    /// Environment: no room, no inode, over quota. Now; try later: 452 4.3.1.
    NoSpace,
    /// There is no such message, or no longer.
    Unknown(QueueId),
    /// Environment: the message's record is damaged. It was set aside.
    Damaged(QueueId),
    /// Environment: the device failed. The state of what was being written is unknown, so it counts as not written: 451 4.3.0.
    Device(Arc<io::Error>),
    /// Another process has the spool.
    Locked,
    /// The folder holds a spool that this version cannot read; the text says which.
    Format(String),
    /// The spool was closed before it was done.
    Closed,
}

impl SpoolError {
    /// An error of the device, or the lack of room for what it is.
    pub fn from_io(error: io::Error) -> SpoolError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::NoSpace,
            _ => SpoolError::Device(Arc::new(error)),
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpoolError::NoSpace => f.write_str("insufficient space in the spool"),
            SpoolError::Unknown(id) => write!(f, "{id}: no such message"),
            SpoolError::Damaged(id) => write!(f, "{id}: damaged message set aside"),
            SpoolError::Device(error) => write!(f, "spool device: {error}"),
            SpoolError::Locked => f.write_str("the spool is in use by another process"),
            SpoolError::Format(what) => write!(f, "not a spool of this version: {what}"),
            SpoolError::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SpoolError::Device(error) => Some(&**error),
            _ => None,
        }
    }
}

/// How a spool is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Good,
    /// No new messages can be taken; what is queued can be delivered.
    Full,
    /// Nothing can be made durable; the text is the device's error. The spool keeps trying, and what was recorded meanwhile
    /// becomes durable when it succeeds.
    Failing(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disks_and_quotas_are_no_space() {
        for (errno, full) in [(28, true), (122, true), (5, false), (30, false)] {
            let error = SpoolError::from_io(io::Error::from_raw_os_error(errno));
            assert_eq!(matches!(error, SpoolError::NoSpace), full, "{errno}");
        }
    }
}
