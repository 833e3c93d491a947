//! An SMTP reply as a server gives it (RFC 5321 4.2).

use crate::DsnStatus;
use std::fmt;

/// A reply code, an enhanced status code unless the reply is of a kind that has none, and text of one or more lines.
///
/// ```
/// use mail::{DsnStatus, Reply};
/// let reply = Reply::new(250, DsnStatus::new(2, 1, 0), "Ok");
/// assert_eq!(reply.to_wire(), "250 2.1.0 Ok\r\n");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    pub status: Option<DsnStatus>,
    /// Lines are parted by `\n`; what came from tables or peers has its control characters made `?` before.
    pub text: String,
}

impl Reply {
    pub fn new(code: u16, status: DsnStatus, text: impl Into<String>) -> Reply {
        Reply { code, status: Some(status), text: text.into() }
    }

    /// A reply without an enhanced status code: greetings, EHLO, 354.
    pub fn plain(code: u16, text: impl Into<String>) -> Reply {
        Reply { code, status: None, text: text.into() }
    }

    pub fn is_success(&self) -> bool {
        self.code < 400
    }

    /// 4xx: the client is to try again later.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// As sent: every line with the code and the status, CRLF at their ends.
    pub fn to_wire(&self) -> String {
        let mut wire = String::with_capacity(self.text.len() + 16);
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            wire.push_str(&format!("{}{separator}", self.code));
            if let Some(status) = self.status {
                wire.push_str(&format!("{status} "));
            }
            wire.push_str(line.trim_end_matches('\r'));
            wire.push_str("\r\n");
        }
        wire
    }
}

/// As logged: on one line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(status) = self.status {
            write!(f, "{status} ")?;
        }
        f.write_str(&self.text.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines() {
        let reply = Reply::new(550, DsnStatus::new(5, 7, 1), "no\nway");
        assert_eq!(reply.to_wire(), "550-5.7.1 no\r\n550 5.7.1 way\r\n");
        assert_eq!(reply.to_string(), "550 5.7.1 no way");
    }
}
