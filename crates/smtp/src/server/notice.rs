//! What a session has for the log.

use super::Verb;
use crate::text::{escaped, printable};
use mail::{Address, Reply};
use std::fmt;

/// Something for the log. The text is made by [`Notice::line`], which knows who the client is.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Commands came before they were due.
    ImproperPipelining {
        after: &'static str,
        input: Vec<u8>,
    },
    /// Not SMTP at all: HTTP, a message header.
    NonSmtpCommand {
        command: Vec<u8>,
    },
    /// A line beyond the limit was cut.
    LongRequest {
        limit: usize,
        request: Vec<u8>,
    },
    /// `smtpd_command_filter` at work.
    ReplacedCommand {
        command: Vec<u8>,
        by: Vec<u8>,
    },
    /// An address that cannot be understood.
    IllegalAddress {
        verb: Verb,
        address: Vec<u8>,
    },
    MalformedBdat {
        command: Vec<u8>,
    },
    NullBdat,
    /// A chunk that does not fit into `message_size_limit`.
    ChunkTooBig,
    /// Content over `message_size_limit`.
    MessageTooBig,
    /// `smtpd_discard_ehlo_keywords` at work.
    DiscardedKeywords(String),
    UnknownNotify {
        value: String,
        list: String,
    },
    /// The client gave up an AUTH exchange.
    AuthAborted {
        mechanism: String,
    },
    /// The client was refused for a bare newline, with `smtpd_forbid_bare_newline = reject`.
    BareNewlineRefused {
        stage: &'static str,
    },
    /// SIZE= was over `message_size_limit`.
    SizeRefused {
        reply: Reply,
        sender: Address,
    },
}

/// Octets of a client's words that the log gets.
const SHOWN: usize = 100;

impl Notice {
    pub fn is_warning(&self) -> bool {
        !matches!(
            self,
            Notice::ImproperPipelining { .. }
                | Notice::ReplacedCommand { .. }
                | Notice::DiscardedKeywords(_)
                | Notice::BareNewlineRefused { .. }
                | Notice::SizeRefused { .. }
        )
    }

    /// The log line, without `warning: `.
    pub fn line<'a>(&'a self, who: Who<'a>) -> impl fmt::Display + 'a {
        NoticeLine { notice: self, who }
    }
}

/// Whom a log line is about.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// `name[address]`.
    pub client: &'a str,
    /// The transaction's queue id, or `NOQUEUE`.
    pub queue_id: &'a str,
    /// What follows the text of a reject: ` from=<…> proto=ESMTP helo=<…>`.
    pub context: &'a str,
}

struct NoticeLine<'a> {
    notice: &'a Notice,
    who: Who<'a>,
}

impl fmt::Display for NoticeLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Who { client, queue_id, context } = self.who;
        match self.notice {
            Notice::ImproperPipelining { after, input } => {
                write!(f, "improper command pipelining after {after} from {client}: {}", escaped(input))
            }
            Notice::NonSmtpCommand { command } => {
                let command = escaped(command);
                write!(f, "non-SMTP command from {client}: {}", &command[..command.len().min(SHOWN)])
            }
            Notice::LongRequest { limit, request } => {
                write!(f, "{client}: request longer than {limit}: {}...", printable(request))
            }
            Notice::ReplacedCommand { command, by } => {
                let (command, by) = (printable(command), printable(by));
                write!(f, "{client}: replacing command \"{command}\" with \"{by}\"")
            }
            Notice::IllegalAddress { verb, address } => {
                write!(
                    f,
                    "Illegal address syntax from {client} in {} command: {}",
                    verb.name(),
                    printable(address)
                )
            }
            Notice::MalformedBdat { command } => {
                write!(f, "{queue_id}: malformed BDAT command syntax from {client}: {}", printable(command))
            }
            Notice::NullBdat => write!(f, "{queue_id}: null BDAT request from {client}"),
            Notice::ChunkTooBig => {
                write!(f, "{queue_id}: BDAT request from {client} exceeds message size limit")
            }
            Notice::MessageTooBig => write!(f, "{queue_id}: queue file size limit exceeded"),
            Notice::DiscardedKeywords(names) => write!(f, "discarding EHLO keywords: {names}"),
            Notice::UnknownNotify { value, list } => {
                write!(f, "unknown DSN NOTIFY command value \"{value}\" in \"{list}\"")
            }
            Notice::AuthAborted { mechanism } => {
                write!(f, "{client}: SASL {mechanism} authentication aborted")
            }
            Notice::BareNewlineRefused { stage } => {
                write!(f, "{queue_id}: reject: {stage} from {client}: bare <LF> received;{context}")
            }
            Notice::SizeRefused { reply, .. } => {
                write!(f, "{queue_id}: reject: MAIL from {client}: {reply};{context}")
            }
        }
    }
}

/// The first octets of what a client said, as much as the log gets.
pub(super) fn shown(input: &[u8]) -> Vec<u8> {
    input[..input.len().min(SHOWN)].to_vec()
}
