//! Appending a message to a mailbox or a file: Maildir or mbox.
//!
//! The writing happens in a process that has the owner's rights and no others ([`crate::process`]). Nothing is reported
//! delivered before the file, and the folder that names it, are on stable storage.

mod maildir;
mod mbox;

use crate::copy::Prelude;
use crate::failure::{Failure, MAILBOX};
use mail::DsnStatus;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub owner: Owner,
    pub style: Style,
    /// The mbox file, or the Maildir folder.
    pub path: PathBuf,
    /// This host's name, for the names of Maildir files.
    pub host: String,
    /// `mailbox_size_limit` or `virtual_mailbox_limit`, in octets; 0: none.
    pub size_limit: u64,
    pub locking: Locking,
    /// `strict_mailbox_ownership`.
    pub is_ownership_strict: bool,
    /// `prepend_delivered_header` has `file`.
    pub has_delivered_to: bool,
}

/// Whose mailbox it is: what is said of failures, and which of them are temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A user of this machine.
    User(String),
    /// A virtual mailbox of this address. Where it lies is the administrator's affair, so nearly everything may be mended.
    Virtual(String),
    /// None: a file that an alias or a `.forward` names, of any kind that can be written to.
    File,
}

/// The two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Mbox,
    Maildir,
}

impl Style {
    /// A name that ends in `/` is a Maildir's.
    pub fn of(path: &str) -> Style {
        if path.ends_with('/') { Style::Maildir } else { Style::Mbox }
    }
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

impl Mailbox {
    /// Writes one message. What was delivered is said in the log's words; what else is to be logged is added to `warnings`.
    pub(crate) fn deliver(
        &self,
        prelude: &Prelude,
        content: &mut dyn io::Read,
        warnings: &mut Vec<String>,
    ) -> Result<String, Failure> {
        match (self.style, &self.owner) {
            (Style::Maildir, _) => {
                maildir::deliver(self, prelude, content, warnings)?;
                Ok("delivered to maildir".into())
            }
            (Style::Mbox, Owner::File) => {
                mbox::deliver(self, prelude, content, warnings)?;
                Ok(format!("delivered to file: {}", self.path.display()))
            }
            (Style::Mbox, _) => {
                mbox::deliver(self, prelude, content, warnings)?;
                Ok("delivered to mailbox".into())
            }
        }
    }

    /// The status of what is wrong with the mailbox itself.
    fn own_status(&self) -> DsnStatus {
        match self.owner {
            Owner::Virtual(_) => DsnStatus::new(4, 2, 0),
            Owner::User(_) | Owner::File => MAILBOX,
        }
    }
}

#[cfg(test)]
pub(crate) fn test_mailbox(style: Style, path: PathBuf) -> Mailbox {
    Mailbox {
        owner: Owner::User("alice".into()),
        style,
        path,
        host: "mail.example.com".into(),
        size_limit: 0,
        locking: Locking { attempts: 2, delay: Duration::from_millis(1), ..Locking::default() },
        is_ownership_strict: true,
        has_delivered_to: true,
    }
}
