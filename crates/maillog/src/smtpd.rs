//! Lines of smtpd about connections. Rejects print themselves in `policy`.

use crate::{Event, Peer, printable_str};
use mail::{Client, QueueId};
use std::fmt;

/// `connect from name[address]`.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a>(pub Peer<'a>);

impl Event for Connect<'_> {}

impl fmt::Display for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connect from {}", self.0)
    }
}

/// `QID: client=name[address]`, with the login if there was one.
#[derive(Clone, Copy, Debug)]
pub struct ClientLine<'a> {
    pub id: QueueId,
    pub client: &'a Client,
}

impl Event for ClientLine<'_> {}

impl fmt::Display for ClientLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.client;
        write!(f, "{}: client={}[{}]", self.id, c.name, c.address)?;
        for (name, value) in [
            ("sasl_method", &c.sasl_method),
            ("sasl_username", &c.sasl_username),
            ("sasl_sender", &c.sasl_sender),
        ] {
            if !value.is_empty() {
                write!(f, ", {name}={}", printable_str(value))?;
            }
        }
        Ok(())
    }
}

/// `lost connection after DATA from …`, `timeout after DATA from …`, `too many errors after RCPT from …`.
#[derive(Clone, Copy, Debug)]
pub struct LostConnection<'a> {
    /// `lost connection`, `timeout`, `too many errors`.
    pub what: &'a str,
    /// The command or stage: `CONNECT`, `DATA`, `END-OF-MESSAGE`.
    pub after: &'a str,
    pub peer: Peer<'a>,
}

impl Event for LostConnection<'_> {}

impl fmt::Display for LostConnection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} from {}", self.what, self.after, self.peer)
    }
}

/// `disconnect from name[address] ehlo=1 mail=1 rcpt=1/2 quit=1 commands=4/5`.
#[derive(Clone, Copy, Debug)]
pub struct Disconnect<'a> {
    pub peer: Peer<'a>,
    /// The counters as text: `ehlo=1 … commands=4/5`.
    pub commands: &'a str,
}

impl Event for Disconnect<'_> {}

impl fmt::Display for Disconnect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "disconnect from {} {}", self.peer, self.commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let peer = Peer { name: "unknown", address: "127.0.0.2" };
        let client = Client {
            name: "localhost".into(),
            address: "127.0.0.1".into(),
            sasl_method: "PLAIN".into(),
            sasl_username: "alice".into(),
            ..Client::default()
        };
        let id = QueueId::parse(b"ABC123").expect("an id");
        for (line, expect) in [
            (Connect(peer).to_string(), "connect from unknown[127.0.0.2]"),
            (
                ClientLine { id, client: &client }.to_string(),
                "ABC123: client=localhost[127.0.0.1], sasl_method=PLAIN, sasl_username=alice",
            ),
            (
                LostConnection { what: "lost connection", after: "DATA", peer }.to_string(),
                "lost connection after DATA from unknown[127.0.0.2]",
            ),
            (
                Disconnect { peer, commands: "ehlo=1 quit=1 commands=2" }.to_string(),
                "disconnect from unknown[127.0.0.2] ehlo=1 quit=1 commands=2",
            ),
        ] {
            assert_eq!(line, expect);
        }
    }
}
