//! What cleanup has to say about a message, for the log. Prints what comes behind `QUEUEID: `.

use std::fmt;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `message-id=<…>`, or `resent-message-id=<…>`.
    MessageId {
        resent: bool,
        value: Vec<u8>,
    },
    Info(String),
    /// Logged behind `warning: `.
    Warning(String),
    /// Logged behind `warning: `, without the queue id: it is not about this message.
    Misconfigured(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::MessageId { resent, value } => {
                let resent = if *resent { "resent-" } else { "" };
                write!(f, "{resent}message-id={}", String::from_utf8_lossy(value))
            }
            Note::Info(text) | Note::Warning(text) | Note::Misconfigured(text) => f.write_str(text),
        }
    }
}
