//! Why a delivery on this machine did not succeed, in Postfix's words.

use mail::DsnStatus;
use nix::errno::Errno;
use std::io;

/// Why a message is not where it was to go. Class 4: it may be, later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: DsnStatus,
    pub reason: String,
    /// What a report's Diagnostic-Code says in place of the reason: `x-unix; …`.
    pub diagnostic: Option<String>,
}

/// 5.2.0: the mailbox itself.
pub(crate) const MAILBOX: DsnStatus = DsnStatus::new(5, 2, 0);
/// 5.3.0: the system.
pub(crate) const SYSTEM: DsnStatus = DsnStatus::new(5, 3, 0);

impl Failure {
    pub fn new(status: DsnStatus, reason: impl Into<String>) -> Failure {
        Failure { status, reason: reason.into(), diagnostic: None }
    }

    /// 4.3.0: a thing of this machine does not work now.
    pub fn of_system(reason: impl Into<String>) -> Failure {
        Failure::new(DsnStatus::new(4, 3, 0), reason)
    }

    /// What the administrator has to mend. `class` 4: mail waits for it.
    pub(crate) fn of_configuration(class: u8) -> Failure {
        Failure::new(DsnStatus::new(class, 3, 5), "mail system configuration error")
    }

    pub(crate) fn of_error(error: &io::Error, otherwise: DsnStatus, what: &str) -> Failure {
        Failure::new(status_of(error, otherwise), format!("{what}: {}", strerror(error)))
    }

    /// A failed `read` or `write` of the message.
    pub(crate) fn of_copying(error: &io::Error, what: &str) -> Failure {
        Failure {
            diagnostic: Some("x-unix; input/output error".into()),
            ..Failure::of_error(error, SYSTEM, what)
        }
    }

    pub(crate) fn with_reason(self, reason: impl FnOnce(&str) -> String) -> Failure {
        Failure { reason: reason(&self.reason), ..self }
    }

    pub(crate) fn is_temporary(&self) -> bool {
        self.status.class() == 4
    }
}

/// The status of a failed system call. What the administrator or time can mend is temporary; Postfix gives up on
/// more of them, and its senders hear of full descriptor tables and broken disks.
pub(crate) fn status_of(error: &io::Error, otherwise: DsnStatus) -> DsnStatus {
    match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
        Errno::EAGAIN | Errno::ESTALE => DsnStatus::new(4, 2, 0),
        Errno::ENOSPC | Errno::EIO | Errno::EROFS | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => {
            DsnStatus::new(4, 3, 0)
        }
        Errno::EDQUOT | Errno::EFBIG => DsnStatus::new(5, 2, 2),
        _ => otherwise,
    }
}

/// The system's words for an error, without Rust's addition.
pub(crate) fn strerror(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_errors_are_temporary() {
        for (errno, expect) in [
            (Errno::ENOSPC, "4.3.0"),
            (Errno::EIO, "4.3.0"),
            (Errno::EDQUOT, "5.2.2"),
            (Errno::EACCES, "5.2.0"),
            (Errno::EAGAIN, "4.2.0"),
        ] {
            let error = io::Error::from(errno);
            assert_eq!(status_of(&error, MAILBOX).to_string(), expect);
        }
    }

    #[test]
    fn texts() {
        let failure = Failure::of_copying(&Errno::EFBIG.into(), "error writing message");
        assert_eq!((failure.status.to_string().as_str(), failure.is_temporary()), ("5.2.2", false));
        assert_eq!(failure.reason, "error writing message: File too large");
        assert_eq!(failure.diagnostic.as_deref(), Some("x-unix; input/output error"));
    }
}
