//! What commands ask the running queue manager, and what it answers: a line each way, many on one connection.
//!
//! `postqueue` asks over `public/flush`, which everybody of `setgid_group` may reach; `postsuper` over `private/admin`, which
//! is root's and `mail_owner`'s. Which orders a socket takes is decided at the socket.

use crate::Admin;
use mail::QueueId;
use std::fmt;

/// The socket for [`Order::FlushMessage`] and [`Order::FlushSite`], below the queue directory.
pub const FLUSH_SOCKET: &str = "public/flush";
/// The socket for [`Order::Administer`].
pub const ADMIN_SOCKET: &str = "private/admin";
/// A trigger: each octet is a request, as Postfix's qmgr knows them.
pub const QMGR_SOCKET: &str = "public/qmgr";
/// A trigger: whatever comes, pickup looks into the maildrop.
pub const PICKUP_SOCKET: &str = "public/pickup";
/// Gives the stream of [`crate::showq`].
pub const SHOWQ_SOCKET: &str = "public/showq";
/// Takes log lines as datagrams, while `maillog_file` is set.
pub const POSTLOG_SOCKET: &str = "public/postlog";

/// What `postqueue -f` writes to [`QMGR_SOCKET`]: try what is deferred, forget that destinations were dead.
pub const FLUSH_TRIGGER: &[u8] = b"DF";

/// Octets of a line, at most.
pub const LINE_LIMIT: usize = 1024;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Administer(QueueId, Admin),
    FlushMessage(QueueId),
    FlushSite(String),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// There is no such message, or it is as the order wants it.
    Unknown,
    Failed(String),
}

const ACTIONS: [(&str, Admin); 5] = [
    ("hold", Admin::Hold),
    ("release", Admin::Release),
    ("requeue", Admin::Requeue),
    ("expire", Admin::Expire),
    ("delete", Admin::Delete),
];

impl Order {
    /// Reads a line without its end. None if it makes no sense.
    pub fn parse(line: &str) -> Option<Order> {
        let (word, argument) = line.split_once(' ')?;
        if word == "flush-site" {
            return (!argument.is_empty()).then(|| Order::FlushSite(argument.to_owned()));
        }
        let id = QueueId::parse(argument.as_bytes())?;
        if word == "flush" {
            return Some(Order::FlushMessage(id));
        }
        let action = ACTIONS.iter().find(|(name, _)| *name == word)?.1;
        Some(Order::Administer(id, action))
    }
}

/// A line, without its end.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::FlushMessage(id) => write!(f, "flush {id}"),
            Order::FlushSite(site) => write!(f, "flush-site {}", site.replace(char::is_control, "?")),
            Order::Administer(id, action) => {
                let known = ACTIONS.iter().find(|(_, known)| known == action);
                write!(f, "{} {id}", known.map_or("", |(name, _)| name))
            }
        }
    }
}

impl Answer {
    pub fn parse(line: &str) -> Option<Answer> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("done", "") => Some(Answer::Done),
            ("unknown", "") => Some(Answer::Unknown),
            ("failed", why) => Some(Answer::Failed(why.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("done"),
            Answer::Unknown => f.write_str("unknown"),
            Answer::Failed(why) => write!(f, "failed {}", why.replace(char::is_control, "?")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_come_back() {
        let id = QueueId::parse(b"ABC123").expect("an id");
        let mut orders: Vec<Order> =
            ACTIONS.iter().map(|(_, action)| Order::Administer(id, *action)).collect();
        orders.extend([Order::FlushMessage(id), Order::FlushSite("example.com".into())]);
        for order in orders {
            assert_eq!(Order::parse(&order.to_string()), Some(order));
        }
        for answer in [Answer::Done, Answer::Unknown, Answer::Failed("no such luck".into())] {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
        for line in ["", "delete", "delete ../x", "explode ABC", "flush-site ", "flush"] {
            assert_eq!(Order::parse(line), None, "{line}");
        }
    }
}
