//! What a client has for the log.

use super::{Oddity, Server};
use std::fmt;

/// Something for the log; [`line`](ClientNotice::line) makes the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientNotice {
    /// A reply is odd. Garbage is only mentioned with pipelining, where commands and replies may get out of step.
    Odd {
        oddity: Oddity,
        is_lmtp: bool,
        limit: usize,
    },
    /// `smtp_discard_ehlo_keywords` at work.
    DiscardedKeywords(String),
    BadSizeLimit(String),
    Utf8Without8bit,
    /// None of AUTH's mechanisms is in `smtp_sasl_mechanism_filter`, or there are none at all.
    NoMechanism {
        offered: String,
    },
    /// No mechanism suits the security options and the credentials.
    NoWorthyMechanism,
    /// The user name has nothing in it that CRAM-MD5 could send.
    BlankUser,
    /// A greeting of stars: a firewall that tampers with SMTP (`smtp_pix_workarounds`).
    PixWorkarounds(String),
    GreetedWithOwnName(String),
    AnsweredWithOwnName(String),
    /// XFORWARD was refused; the mail goes on.
    XforwardRefused {
        reply: String,
        command: &'static str,
    },
    /// A line was longer than `smtp_line_length_limit`.
    BrokenLine {
        limit: usize,
    },
}

impl ClientNotice {
    pub fn is_warning(&self) -> bool {
        !matches!(
            self,
            ClientNotice::Odd { oddity: Oddity::Replaced { .. }, .. }
                | ClientNotice::DiscardedKeywords(_)
                | ClientNotice::Utf8Without8bit
                | ClientNotice::PixWorkarounds(_)
                | ClientNotice::BrokenLine { .. }
        )
    }

    /// The log line, without `warning: `.
    pub fn line<'a>(&'a self, server: &'a Server, queue_id: &'a str) -> impl fmt::Display + 'a {
        NoticeLine { notice: self, server, queue_id }
    }

    /// What else the log says, as a warning.
    pub fn advice(&self, server: &Server) -> Option<String> {
        match self {
            ClientNotice::Odd { oddity: Oddity::Garbage(_), is_lmtp, .. } => Some(format!(
                "to prevent loss of mail, turn off command pipelining for {} with the \
                 {}_discard_{}hlo_keyword_address_maps parameter",
                server.address,
                if *is_lmtp { "lmtp" } else { "smtp" },
                if *is_lmtp { "l" } else { "e" },
            )),
            _ => None,
        }
    }
}

struct NoticeLine<'a> {
    notice: &'a ClientNotice,
    server: &'a Server,
    queue_id: &'a str,
}

impl fmt::Display for NoticeLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (relay, queue_id) = (&self.server.relay, self.queue_id);
        match self.notice {
            ClientNotice::Odd { oddity: Oddity::LongLine(text), limit, .. } => {
                write!(f, "{relay}: response longer than {limit}: {text}...")
            }
            ClientNotice::Odd { oddity: Oddity::LongReply(text), limit, .. } => {
                write!(f, "{relay}: multi-line response longer than {limit} {text}...")
            }
            ClientNotice::Odd { oddity: Oddity::Garbage(text), is_lmtp, .. } => {
                let protocol = if *is_lmtp { "LMTP" } else { "ESMTP" };
                write!(f, "{queue_id}: non-{protocol} response from {relay}: {text}")
            }
            ClientNotice::Odd { oddity: Oddity::Replaced { line, by }, .. } => {
                write!(f, "{relay}: replacing server reply \"{line}\" with \"{by}\"")
            }
            ClientNotice::Odd { oddity: Oddity::Unfiltered { line, table }, .. } => {
                write!(f, "{queue_id}: table {table} lookup error for {line}")
            }
            ClientNotice::DiscardedKeywords(names) => write!(f, "discarding EHLO keywords: {names}"),
            ClientNotice::BadSizeLimit(limit) => write!(f, "bad EHLO SIZE limit \"{limit}\" from {relay}"),
            ClientNotice::Utf8Without8bit => {
                write!(f, "host {} offers SMTPUTF8 support, but not 8BITMIME", self.server.name_and_address)
            }
            ClientNotice::NoMechanism { offered } if offered.is_empty() => {
                write!(f, "{relay} offered null AUTH mechanism list")
            }
            ClientNotice::NoMechanism { offered } => {
                write!(f, "{relay} offered no supported AUTH mechanisms: '{offered}'")
            }
            ClientNotice::NoWorthyMechanism => {
                f.write_str("SASL authentication failure: No worthy mechs found")
            }
            ClientNotice::BlankUser => f.write_str("SASL authentication failure: All-whitespace username."),
            ClientNotice::PixWorkarounds(names) => {
                write!(f, "{queue_id}: enabling PIX workarounds: {names} for {relay}")
            }
            ClientNotice::GreetedWithOwnName(name) => {
                write!(f, "host {relay} greeted me with my own hostname {name}")
            }
            ClientNotice::AnsweredWithOwnName(name) => {
                write!(f, "host {relay} replied to HELO/EHLO with my own hostname {name}")
            }
            ClientNotice::XforwardRefused { reply, command } => {
                write!(f, "host {relay} said: {reply} (in reply to {command})")
            }
            ClientNotice::BrokenLine { limit } => {
                write!(f, "{queue_id}: breaking line > {limit} bytes with <CR><LF>SPACE")
            }
        }
    }
}
