//! Dovecot's authentication protocol, version 1.1, as a client speaks it (<https://doc.dovecot.org/developer_manual/design/auth_protocol/>):
//! lines of fields with tabs between them. No socket; `intake` has that.

use super::SecurityOptions;
use crate::secret::Secret;
use crate::text::printable;

/// What a server says of itself when a connection begins, gathered line by line.
#[derive(Debug, Default)]
pub struct Greeting {
    has_version: bool,
    has_mechanism: bool,
    mechanisms: Vec<Offer>,
}

/// A mechanism that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    /// `plaintext`, `anonymous`, `active`, `dictionary`, `mutual-auth`, `forward-secrecy`.
    pub properties: Vec<String>,
}

/// How a greeting goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Greeted {
    More,
    Done(Vec<Offer>),
    /// What is wrong, for the log.
    Failed(String),
}

/// What a client says first. `pid` tells it from other clients.
pub fn hello(pid: u32) -> String {
    format!("VERSION\t1\t1\nCPID\t{pid}\n")
}

impl Greeting {
    /// Takes a line without its end.
    pub fn line(&mut self, line: &str) -> Greeted {
        let mut fields = line.split('\t');
        match fields.next().unwrap_or_default() {
            "VERSION" => {
                let version = fields.next().unwrap_or_default();
                if version != "1" {
                    return Greeted::Failed(format!("SASL: Server VERSION mismatch: {version}"));
                }
                self.has_version = true;
            }
            "MECH" => {
                self.has_mechanism = true;
                let name = fields.next().unwrap_or_default().to_owned();
                let properties: Vec<String> = fields.map(str::to_ascii_lowercase).collect();
                if !name.is_empty() && !properties.iter().any(|property| property == "private") {
                    self.mechanisms.push(Offer { name, properties });
                }
            }
            // Sockets for other purposes say no MECH before it.
            "SPID" if !self.has_mechanism => {
                let text = "SASL: Connected to wrong auth socket (auth-master instead of auth-client)";
                return Greeted::Failed(text.into());
            }
            "DONE" if self.has_version => return Greeted::Done(std::mem::take(&mut self.mechanisms)),
            _ => {}
        }
        Greeted::More
    }
}

impl Offer {
    /// Whether the mechanism is all that the options ask for.
    pub fn suits(&self, options: &SecurityOptions) -> bool {
        let has = |property: &str| self.properties.iter().any(|have| have == property);
        !(options.noplaintext && has("plaintext")
            || options.noactive && has("active")
            || options.nodictionary && has("dictionary")
            || options.noanonymous && has("anonymous")
            || options.forward_secrecy && !has("forward-secrecy")
            || options.mutual_auth && !has("mutual-auth"))
    }
}

/// Who logs in, and how.
#[derive(Debug)]
pub struct Request<'a> {
    pub id: u32,
    pub mechanism: &'a str,
    /// `smtpd_sasl_service`.
    pub service: &'a str,
    pub server_address: &'a str,
    pub client_address: &'a str,
    pub is_tls: bool,
    /// In base64.
    pub initial_response: Option<&'a Secret>,
}

impl Request<'_> {
    pub fn line(&self) -> Vec<u8> {
        let Request { id, mechanism, service, server_address, client_address, .. } = self;
        let mut line = format!(
            "AUTH\t{id}\t{mechanism}\tservice={service}\tnologin\tlip={server_address}\trip={client_address}"
        )
        .into_bytes();
        if self.is_tls {
            line.extend_from_slice(b"\tsecured");
        }
        if let Some(response) = self.initial_response {
            line.extend_from_slice(b"\tresp=");
            line.extend_from_slice(response.expose());
        }
        line.push(b'\n');
        line
    }
}

/// The client's answer to a challenge.
pub fn continuation(id: u32, response: &Secret) -> Vec<u8> {
    [format!("CONT\t{id}\t").as_bytes(), response.expose(), b"\n"].concat()
}

/// What a server says to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is this user.
    Ok { user: String },
    /// A challenge in base64.
    Continue(String),
    /// The reason, if there is one, and the name that was given.
    Fail { reason: String, user: Option<String> },
    /// The server breaks the rules; what is wrong, for the log.
    Broken(String),
}

/// Reads a line. None: it is not about request `id`.
pub fn answer(line: &str, id: u32) -> Option<Answer> {
    let mut fields = line.split('\t');
    let command = fields.next().filter(|command| matches!(*command, "OK" | "CONT" | "FAIL"))?;
    let Some(about) = fields.next() else {
        return Some(Answer::Broken("SASL: Protocol error".into()));
    };
    if about.parse() != Ok(id) {
        return None;
    }
    if command == "CONT" {
        let challenge = fields.next().map(str::to_owned);
        return Some(challenge.map_or_else(|| missing(command, "reply"), Answer::Continue));
    }
    let (mut user, mut reason) = (None, String::new());
    for field in fields {
        match field.split_once('=') {
            Some(("user", name)) => user = Some(printable(name.as_bytes())),
            Some(("reason", text)) => reason = printable(text.as_bytes()),
            _ => {}
        }
    }
    Some(match (command, user) {
        ("OK", Some(user)) => Answer::Ok { user },
        ("OK", None) => missing(command, "username"),
        (_, user) => Answer::Fail { reason, user },
    })
}

fn missing(command: &str, field: &str) -> Answer {
    Answer::Broken(format!("missing Dovecot server {command} {field} field"))
}

/// Whether what a client sent can be base64: nothing else may get into the protocol's lines.
pub fn is_base64(text: &[u8]) -> bool {
    text.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeted(lines: &str) -> Greeted {
        let mut greeting = Greeting::default();
        lines
            .lines()
            .map(|line| greeting.line(line))
            .find(|end| *end != Greeted::More)
            .unwrap_or(Greeted::More)
    }

    #[test]
    fn greetings() {
        let usual = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSECRET\tprivate\nMECH\tCRAM-MD5\tdictionary\tactive\n\
                     SPID\t7\nCUID\t1\nCOOKIE\tx\nDONE\n";
        let Greeted::Done(offers) = greeted(usual) else { panic!("{:?}", greeted(usual)) };
        assert_eq!(offers.iter().map(|offer| offer.name.as_str()).collect::<Vec<_>>(), ["PLAIN", "CRAM-MD5"]);
        for (lines, expect) in [
            ("VERSION\t2\t0\n", "SASL: Server VERSION mismatch: 2"),
            (
                "VERSION\t1\t1\nSPID\t1\n",
                "SASL: Connected to wrong auth socket (auth-master instead of auth-client)",
            ),
        ] {
            assert_eq!(greeted(lines), Greeted::Failed(expect.into()), "{lines}");
        }
        assert_eq!(greeted("DONE\n"), Greeted::More);
    }

    #[test]
    fn options() {
        let offer = |properties: &[&str]| Offer {
            name: "X".into(),
            properties: properties.iter().map(|p| (*p).to_owned()).collect(),
        };
        for (options, properties, expect) in [
            ("noanonymous", &["plaintext"][..], true),
            ("noplaintext", &["plaintext"], false),
            ("noplaintext, noanonymous", &["dictionary", "active"], true),
            ("noanonymous", &["anonymous"], false),
            ("mutual_auth", &["dictionary"], false),
            ("mutual_auth", &["dictionary", "mutual-auth"], true),
        ] {
            let parsed = SecurityOptions::parse(options).unwrap();
            assert_eq!(offer(properties).suits(&parsed), expect, "{options} {properties:?}");
        }
    }

    #[test]
    fn requests() {
        let secret = Secret::from(&b"AGE="[..]);
        let request = Request {
            id: 3,
            mechanism: "PLAIN",
            service: "smtp",
            server_address: "192.0.2.1",
            client_address: "192.0.2.9",
            is_tls: true,
            initial_response: Some(&secret),
        };
        assert_eq!(
            request.line(),
            b"AUTH\t3\tPLAIN\tservice=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.9\tsecured\tresp=AGE=\n"
        );
        assert_eq!(continuation(3, &secret), b"CONT\t3\tAGE=\n");
    }

    #[test]
    fn answers() {
        let fail = |reason: &str, user: Option<&str>| Answer::Fail {
            reason: reason.into(),
            user: user.map(str::to_owned),
        };
        for (line, expect) in [
            ("OK\t3\tuser=alice\textra", Some(Answer::Ok { user: "alice".into() })),
            ("OK\t3\tuser=a\x01b", Some(Answer::Ok { user: "a?b".into() })),
            ("OK\t3", Some(Answer::Broken("missing Dovecot server OK username field".into()))),
            ("OK\t4\tuser=alice", None),
            ("OK", Some(Answer::Broken("SASL: Protocol error".into()))),
            ("CONT\t3\tVXNl", Some(Answer::Continue("VXNl".into()))),
            ("CONT\t3\t", Some(Answer::Continue(String::new()))),
            ("CONT\t3", Some(Answer::Broken("missing Dovecot server CONT reply field".into()))),
            ("FAIL\t3", Some(fail("", None))),
            ("FAIL\t3\tuser=bob\treason=no\r such\ttemp", Some(fail("no? such", Some("bob")))),
            ("HELLO\t3", None),
        ] {
            assert_eq!(answer(line, 3), expect, "{line}");
        }
        assert!(is_base64(b"aZ09+/==") && !is_base64(b"a\tb") && !is_base64(b"a\n"));
    }
}
