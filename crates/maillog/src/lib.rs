//! Every line of the mail log as a typed event.
//!
//! The text is an interface: fail2ban, pflogsumm, logwatch and many scripts read it. Each event prints Postfix's exact
//! words; `logger` adds time, host, service and process number. Where lines go is not known here.

mod cleanup;
mod delay;
mod delivery;
mod master;
mod printable;
mod qmgr;
mod smtpd;

pub use cleanup::MessageId;
pub use delay::Delay;
pub use delivery::{Delays, Delivery};
pub use master::{DaemonStarted, Reloaded, Terminating};
pub use printable::{printable, printable_str};
pub use qmgr::{Active, Expired, Notification, NotificationKind, PickedUp, Removed};
pub use smtpd::{ClientLine, Connect, Disconnect, LostConnection};

use std::fmt;

/// How grave a line is. What is not `Info` begins with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
    Fatal,
    Panic,
}

impl Level {
    /// The word at the front of the payload.
    pub const fn prefix(self) -> &'static str {
        match self {
            Level::Info => "",
            Level::Warning => "warning: ",
            Level::Error => "error: ",
            Level::Fatal => "fatal: ",
            Level::Panic => "panic: ",
        }
    }

    /// The severity of RFC 5424 6.2.1 that Postfix gives such a line.
    pub const fn syslog_severity(self) -> u8 {
        match self {
            Level::Info => 6,
            Level::Warning => 4,
            Level::Error => 3,
            Level::Fatal | Level::Panic => 2,
        }
    }
}

/// A line's payload.
pub trait Event: fmt::Display {
    fn level(&self) -> Level {
        Level::Info
    }
}

/// A client or server as logs name it: `name[address]`.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub name: &'a str,
    pub address: &'a str,
}

impl fmt::Display for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name, self.address)
    }
}
