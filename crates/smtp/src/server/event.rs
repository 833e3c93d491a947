//! What a session tells its driver, and asks it.

use super::{Notice, Xclient, Xforward};
use crate::secret::Secret;
use bytes::Bytes;
use mail::{Address, Encoding, Notify, Ret};
use std::time::Duration;

/// What happens next in a session. An event that *asks* must be answered before the next poll:
/// [`accept`](super::Session::accept) gives the usual reply, [`reply`](super::Session::reply) another one.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// The input is used up: write what [`poll_output`](super::Session::poll_output) has, then read more.
    Input,
    /// Wait before anything more is written: a client that errs is slowed down (`smtpd_error_sleep_time`).
    Pause(Duration),
    /// Something for the log.
    Notice(Notice),
    /// Asks: the client is there and is to be greeted. Also after XCLIENT.
    Connect,
    /// Asks: HELO or EHLO. The transaction, if there is one, ends with acceptance.
    Helo(Helo),
    /// Asks, where `smtpd_command_filter` is set: the command line is in [`command`](super::Session::command);
    /// [`replace_command`](super::Session::replace_command) changes it, `accept` leaves it.
    Filter,
    /// Asks: a command that does not exist. `accept` says so; [`break_rules`](super::Session::break_rules) ends the
    /// session (`smtpd_forbidden_commands`).
    Unknown { verb: Vec<u8> },
    /// Asks: whether TLS may start. A reply 4xx refuses.
    StartTls,
    /// Write the output, then shake hands over the bare connection: what came in behind STARTTLS is gone. Then call
    /// [`handle_tls`](super::Session::handle_tls), or [`handle_eof`](super::Session::handle_eof) if it failed.
    Handshake,
    /// Asks: AUTH. [`challenge`](super::Session::challenge) goes on with the exchange, a reply ends it; 2xx is success.
    Auth(Auth),
    /// Asks: the client's answer to a challenge, in base64 as it came. Answer as to `Auth`.
    AuthResponse(Secret),
    /// Asks: MAIL.
    Mail(Mail),
    /// Asks: RCPT.
    Rcpt(Rcpt),
    /// Asks: DATA, or the first BDAT of a transaction. With acceptance, content follows.
    Data,
    /// Content, never empty: CRLF at line ends, dots not stuffed. Pieces end anywhere.
    Body(&'a [u8]),
    /// Asks: the content is whole. [`queued`](super::Session::queued) gives the usual reply.
    BodyEnd,
    /// The content came to its end, but is not to be had; the client has been told.
    BodyFailed(BodyFault),
    /// Asks: VRFY.
    Vrfy(Vrfy),
    /// Asks: ETRN for this domain or address literal.
    Etrn(String),
    /// Asks: XCLIENT. Answer with [`become_client`](super::Session::become_client) or a reply.
    Xclient(Box<Xclient>),
    /// Asks: XFORWARD.
    Xforward(Box<Xforward>),
    /// The transaction that MAIL began is over without a message.
    Reset,
    /// Write the output and close. See [`ending`](super::Session::ending).
    Close,
}

/// HELO or EHLO.
#[derive(Debug, PartialEq)]
pub struct Helo {
    /// The argument as it was written.
    pub name: Vec<u8>,
    pub is_ehlo: bool,
}

/// AUTH.
#[derive(Debug, PartialEq)]
pub struct Auth {
    /// As it was written.
    pub mechanism: String,
    /// Base64 as it came; `=` is an empty one (RFC 4954 4).
    pub initial_response: Option<Secret>,
}

/// MAIL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mail {
    pub sender: Address,
    /// SIZE=; 0 if it was not said. Within `message_size_limit`.
    pub size: u64,
    pub encoding: Encoding,
    pub smtputf8: bool,
    pub ret: Option<Ret>,
    /// In xtext.
    pub envid: Option<Bytes>,
    /// AUTH= other than `<>`, printable.
    pub sasl_sender: Option<String>,
    /// XVERP, or XVERP= with two delimiters.
    pub verp_delimiters: Option<String>,
}

/// RCPT.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rcpt {
    pub recipient: Address,
    /// As it was written, without the brackets: the original recipient where `orcpt` has none (RFC 3461 5.2.1).
    pub written: Vec<u8>,
    pub notify: Notify,
    /// `type;xtext`.
    pub orcpt: Option<Bytes>,
}

/// VRFY.
#[derive(Clone, Debug, PartialEq)]
pub struct Vrfy {
    pub recipient: Address,
    pub smtputf8: bool,
}

/// Why content is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Over `message_size_limit`.
    TooBig,
    /// A bare newline, with `smtpd_forbid_bare_newline = reject`.
    BareNewline,
}
