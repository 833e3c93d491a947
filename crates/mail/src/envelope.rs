//! What travels with a message's content: sender, recipients, and where it came from.

use crate::{Address, Time};
use bytes::Bytes;

/// Names an attribute in [`Envelope::extra`]: the header has octets above 127, so that the message can only go by SMTPUTF8.
pub const SMTPUTF8_HEADER: &str = "smtputf8_header";

/// The envelope of one message in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    pub sender: Address,
    pub recipients: Vec<Recipient>,
    /// When the first command or byte of it came.
    pub arrival: Time,
    pub origin: Origin,
    pub client: Client,
    /// BODY= of MAIL FROM, or what content analysis found.
    pub encoding: Encoding,
    /// SMTPUTF8 was asked for, or the content needs it (RFC 6531).
    pub smtputf8: bool,
    /// RET= of MAIL FROM (RFC 3461 4.3).
    pub ret: Option<Ret>,
    /// ENVID= of MAIL FROM, in xtext as received (RFC 3461 4.4).
    pub envid: Option<Bytes>,
    /// Whether headers were rewritten as local mail's are (`local_header_rewrite_clients`).
    pub rewrite_local: bool,
    /// The size that `size=`, SIZE= and mailq show, in octets.
    pub size: u64,
    /// A content_filter or FILTER action: `transport:nexthop`.
    pub content_filter: Option<String>,
    /// Attributes that only some rooms know, by their Postfix name (`redirect_to`, `verp_delims`): kept in order.
    pub extra: Vec<(String, Bytes)>,
}

/// One recipient of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    pub address: Address,
    /// The recipient as it came, before aliases and canonical maps (`orig_to=`, X-Original-To:).
    pub original: Option<Address>,
    /// ORCPT= of RCPT TO: `type;xtext`, as received.
    pub orcpt: Option<Bytes>,
    pub notify: Notify,
}

/// NOTIFY= of RCPT TO (RFC 3461 4.1). `Notify::default()`: nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Notify(u8);

impl Notify {
    pub const NEVER: Notify = Notify(1);
    pub const SUCCESS: Notify = Notify(2);
    pub const FAILURE: Notify = Notify(4);
    pub const DELAY: Notify = Notify(8);

    pub const fn bits(self) -> u8 {
        self.0
    }

    pub const fn from_bits(bits: u8) -> Notify {
        Notify(bits & 15)
    }

    pub const fn with(self, other: Notify) -> Notify {
        Notify(self.0 | other.0)
    }

    pub const fn is_unset(self) -> bool {
        self.0 == 0
    }

    pub const fn has(self, other: Notify) -> bool {
        self.0 & other.0 == other.0 && other.0 != 0
    }

    /// Whether a failure is to be reported: it is unless NOTIFY says otherwise.
    pub const fn wants_failure(self) -> bool {
        self.is_unset() || self.has(Notify::FAILURE)
    }

    /// Whether a delay may be reported.
    pub const fn wants_delay(self) -> bool {
        self.is_unset() || self.has(Notify::DELAY)
    }
}

/// RET= of MAIL FROM: how much of the message a report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ret {
    Full,
    Headers,
}

/// The content's declared encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Nothing was said of it.
    #[default]
    Unspecified,
    SevenBit,
    EightBitMime,
}

/// How a message entered the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Over SMTP.
    #[default]
    Smtp,
    /// Through sendmail and the maildrop, by this uid.
    Local { uid: u32 },
    /// Made by the mail system: bounces, notices, forwarded mail.
    Internal,
}

/// The client that handed a message over, as logged, forwarded by XFORWARD, and seen by filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// Verified host name, or `unknown`.
    pub name: String,
    /// Address without brackets or `IPv6:`.
    pub address: String,
    pub port: u16,
    /// HELO or EHLO argument.
    pub helo: String,
    /// `ESMTP`, `SMTP`, or empty for local mail.
    pub protocol: String,
    pub sasl_method: String,
    pub sasl_username: String,
    pub sasl_sender: String,
}
