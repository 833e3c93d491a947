//! Appending a message to a user's mailbox: Maildir or mbox.
//!
//! The writing happens in a process that has the user's rights and no others ([`serve`]); the worker talks to it through
//! [`client`]. Nothing is reported delivered before the file, and the folder that names it, are on stable storage. Who
//! starts such processes, and for whom: docs/privileges.md.

pub mod client;
mod convert;
mod frame;

mod maildir;
mod mbox;
pub mod serve;

use mail::{Address, DsnStatus, Time};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A user's mailbox, as the parent derives it from the configuration and the password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub style: Style,
    /// The mbox file, or the Maildir folder.
    pub path: PathBuf,
    /// The user, for texts.
    pub user: String,
    /// This host's name, for the names of Maildir files.
    pub host: String,
    /// `mailbox_size_limit`, in octets; 0: none.
    pub size_limit: u64,
    pub locking: Locking,
}

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Mbox,
    Maildir,
}

/// How an mbox file is locked (`mailbox_delivery_lock`), and with how much patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locking {
    pub dotlock: bool,
    pub fcntl: bool,
    pub flock: bool,
    /// `deliver_lock_attempts`.
    pub attempts: u32,
    /// `deliver_lock_delay`.
    pub delay: Duration,
    /// `stale_lock_time`.
    pub stale: Duration,
}

impl Default for Locking {
    fn default() -> Locking {
        Locking {
            dotlock: true,
            fcntl: true,
            flock: false,
            attempts: 20,
            delay: Duration::from_secs(1),
            stale: Duration::from_secs(500),
        }
    }
}

/// What is written before the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prelude {
    pub sender: Address,
    /// X-Original-To:, unless empty (`enable_original_recipient`).
    pub original_to: Option<Address>,
    /// Delivered-To:, unless `prepend_delivered_header` says otherwise.
    pub delivered_to: Option<Address>,
    pub now: Time,
}

impl Prelude {
    /// The header lines, ended by LF.
    fn header(&self) -> Vec<u8> {
        let mut out = [b"Return-Path: <", &*self.sender_external(), b">\n"].concat();
        for (name, address) in
            [("X-Original-To: ", &self.original_to), ("Delivered-To: ", &self.delivered_to)]
        {
            if let Some(address) = address.as_ref().filter(|a| !a.is_null()) {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(&address.external());
                out.push(b'\n');
            }
        }
        out
    }

    fn sender_external(&self) -> Vec<u8> {
        if self.sender.is_null() { Vec::new() } else { self.sender.external() }
    }
}

/// Why a message is not in the mailbox. Class 4: it may be, later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: DsnStatus,
    pub reason: String,
}

impl Failure {
    fn new(error: &io::Error, otherwise: DsnStatus, what: &str) -> Failure {
        Failure { status: status_of(error, otherwise), reason: format!("{what}: {}", strerror(error)) }
    }

    fn with_reason(self, reason: impl FnOnce(&str) -> String) -> Failure {
        Failure { status: self.status, reason: reason(&self.reason) }
    }
}

/// The status of a failed system call. What the administrator or time can mend is temporary; Postfix gives up on
/// more of them, and its senders hear of full descriptor tables and broken disks.
fn status_of(error: &io::Error, otherwise: DsnStatus) -> DsnStatus {
    use nix::errno::Errno;
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
fn strerror(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

/// 5.2.0: the mailbox itself.
const MAILBOX: DsnStatus = DsnStatus::new(5, 2, 0);
/// 5.3.0: the system.
const SYSTEM: DsnStatus = DsnStatus::new(5, 3, 0);

/// Writes one message. `content` is as in the queue (CRLF). What was delivered is said in the log's words.
pub fn deliver(
    mailbox: &Mailbox,
    prelude: &Prelude,
    content: &mut dyn io::Read,
) -> Result<&'static str, Failure> {
    match mailbox.style {
        Style::Maildir => maildir::deliver(mailbox, prelude, content).map(|()| "delivered to maildir"),
        Style::Mbox => mbox::deliver(mailbox, prelude, content).map(|()| "delivered to mailbox"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines() {
        let prelude = Prelude {
            sender: "john doe@example.com".into(),
            original_to: Some("alice".into()),
            delivered_to: Some("alice@example.com".into()),
            now: Time::default(),
        };
        assert_eq!(
            String::from_utf8_lossy(&prelude.header()),
            "Return-Path: <\"john doe\"@example.com>\nX-Original-To: alice\nDelivered-To: alice@example.com\n"
        );
        assert_eq!(Prelude::default().header(), b"Return-Path: <>\n");
    }

    #[test]
    fn which_errors_are_temporary() {
        for (errno, expect) in [
            (nix::errno::Errno::ENOSPC, "4.3.0"),
            (nix::errno::Errno::EIO, "4.3.0"),
            (nix::errno::Errno::EDQUOT, "5.2.2"),
            (nix::errno::Errno::EACCES, "5.2.0"),
            (nix::errno::Errno::EAGAIN, "4.2.0"),
        ] {
            let error = io::Error::from_raw_os_error(errno as i32);
            assert_eq!(status_of(&error, MAILBOX).to_string(), expect);
        }
    }
}
