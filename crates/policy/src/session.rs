//! What is known of the client and its message when restrictions are asked: facts, nothing decided.

use mail::{Address, Client, QueueId};
use std::fmt;
use std::net::IpAddr;

/// One moment of an SMTP session. What is borrowed belongs to the session's driver.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    pub command: Command,
    /// Name, address, HELO name (empty: none was given), protocol and login (empty: none).
    pub client: &'a Client,
    /// `name[address]`, with the port where `smtpd_client_port_logging` says so.
    pub namaddr: &'a str,
    pub name_status: NameStatus,
    /// The client's name as its address's PTR record has it, unverified; `unknown` if there is none.
    pub reverse_name: &'a str,
    pub reverse_name_status: NameStatus,
    /// The other end of the connection, which XCLIENT and the PROXY protocol's header do not change.
    pub peer: Option<IpAddr>,
    pub server_address: &'a str,
    pub server_port: u16,
    pub tls: Option<&'a Tls>,
    /// MAIL FROM, in internal form. None: outside a mail transaction.
    pub sender: Option<&'a Address>,
    /// The RCPT TO or VRFY that is asked about; at DATA and later the recipient of a message that has only one.
    pub recipient: Option<&'a Address>,
    /// Recipients accepted so far.
    pub recipient_count: u32,
    pub etrn_domain: Option<&'a str>,
    pub queue_id: Option<QueueId>,
    /// What names this message, the same for each of its recipients, in policy requests.
    pub instance: &'a str,
    /// Octets: what SIZE= announced, and at the end of the message what came.
    pub size: u64,
    /// The message asked for SMTPUTF8.
    pub smtputf8: bool,
    /// The client sent commands ahead where it must not (RFC 2920).
    pub improper_pipelining: bool,
}

/// What the client did last, as logs and policy requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Connect,
    Xclient,
    Helo,
    Ehlo,
    Mail,
    Rcpt,
    Vrfy,
    Data,
    Bdat,
    EndOfMessage,
    Etrn,
}

impl Command {
    pub const fn as_str(self) -> &'static str {
        match self {
            Command::Connect => "CONNECT",
            Command::Xclient => "XCLIENT",
            Command::Helo => "HELO",
            Command::Ehlo => "EHLO",
            Command::Mail => "MAIL",
            Command::Rcpt => "RCPT",
            Command::Vrfy => "VRFY",
            Command::Data => "DATA",
            Command::Bdat => "BDAT",
            Command::EndOfMessage => "END-OF-MESSAGE",
            Command::Etrn => "ETRN",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the client's address has a name, and the name that address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    Ok,
    /// The DNS gave no answer now.
    TryLater,
    NotFound,
    /// There is a name, but it has not this address.
    Forged,
}

/// The session's TLS, where there is any.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    pub protocol: String,
    pub cipher: String,
    /// Bits of the key in use.
    pub key_bits: u32,
    /// None: the client showed no certificate.
    pub certificate: Option<Certificate>,
}

/// A client certificate.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// A trusted authority issued it.
    pub is_trusted: bool,
    pub subject_common_name: String,
    pub issuer_common_name: String,
    /// `smtpd_tls_fingerprint_digest` of it, as `AA:BB:…`.
    pub fingerprint: String,
    pub public_key_fingerprint: String,
}

impl<'a> Session<'a> {
    /// None: the client said no HELO.
    pub(crate) fn helo(&self) -> Option<&'a str> {
        Some(self.client.helo.as_str()).filter(|helo| !helo.is_empty())
    }

    /// None: the client is not logged in.
    pub(crate) fn login(&self) -> Option<&'a str> {
        Some(self.client.sasl_username.as_str()).filter(|name| !name.is_empty())
    }
}
