//! What a server can do, as its reply to EHLO or LHLO says (RFC 5321 4.1.1.1).

use super::{ClientNotice, ServerReply};
use crate::keywords::Keywords;

/// A server's extensions. Default: none, as after HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The name that the server gave itself.
    pub name: String,
    pub eightbitmime: bool,
    pub pipelining: bool,
    pub dsn: bool,
    pub smtputf8: bool,
    pub starttls: bool,
    /// SIZE was announced; the limit in octets if one was given and is not 0.
    pub size: bool,
    pub size_limit: Option<u64>,
    /// AUTH's mechanisms as they were listed, on one line or several; None without AUTH.
    pub auth: Option<Vec<String>>,
    pub xforward: XforwardFeatures,
}

/// The attributes that XFORWARD takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XforwardFeatures {
    pub name: bool,
    pub addr: bool,
    pub port: bool,
    pub proto: bool,
    pub helo: bool,
    pub ident: bool,
    pub source: bool,
}

/// Words of AUTH that are kept.
const MECHANISMS_LIMIT: usize = 100;

impl Features {
    /// Reads a reply to EHLO or LHLO. `discarded` are the keywords to overlook (`smtp_discard_ehlo_keywords`).
    pub fn parse(reply: &ServerReply, discarded: Keywords, notices: &mut Vec<ClientNotice>) -> Features {
        let mut features = Features::default();
        let lines = reply.lines.iter().filter_map(|line| words(line));
        for (at, (keyword, arguments)) in lines.enumerate() {
            if at == 0 {
                features.name = keyword.to_owned();
            } else {
                features.take(&keyword.to_ascii_uppercase(), arguments, discarded, notices);
            }
        }
        if features.smtputf8 && !features.eightbitmime {
            // Postfix: SMTPUTF8 makes no sense without it.
            notices.push(ClientNotice::Utf8Without8bit);
            features.eightbitmime = true;
        }
        features
    }

    fn take(&mut self, keyword: &str, arguments: &str, discarded: Keywords, notices: &mut Vec<ClientNotice>) {
        match keyword {
            "8BITMIME" => self.eightbitmime = !discarded.has(Keywords::EIGHTBITMIME),
            "PIPELINING" => self.pipelining = !discarded.has(Keywords::PIPELINING),
            "DSN" => self.dsn = !discarded.has(Keywords::DSN),
            "SMTPUTF8" => self.smtputf8 = !discarded.has(Keywords::SMTPUTF8),
            "STARTTLS" => self.starttls = !discarded.has(Keywords::STARTTLS),
            "SIZE" if !discarded.has(Keywords::SIZE) => self.take_size(arguments, notices),
            "AUTH" if !discarded.has(Keywords::AUTH) => {
                let mechanisms = self.auth.get_or_insert_default();
                let room = MECHANISMS_LIMIT.saturating_sub(mechanisms.len());
                mechanisms.extend(arguments.split_ascii_whitespace().take(room).map(str::to_owned));
            }
            "XFORWARD" if !discarded.has(Keywords::XFORWARD) => self.take_xforward(arguments),
            _ => {}
        }
    }

    fn take_size(&mut self, arguments: &str, notices: &mut Vec<ClientNotice>) {
        self.size = true;
        let Some(limit) = arguments.split_ascii_whitespace().next() else { return };
        if limit.bytes().all(|b| b.is_ascii_digit()) {
            self.size_limit = limit.parse().ok().filter(|limit| *limit > 0);
        } else {
            notices.push(ClientNotice::BadSizeLimit(limit.to_owned()));
        }
    }

    fn take_xforward(&mut self, arguments: &str) {
        for attribute in arguments.split_ascii_whitespace() {
            match attribute.to_ascii_uppercase().as_str() {
                "NAME" => self.xforward.name = true,
                "ADDR" => self.xforward.addr = true,
                "PORT" => self.xforward.port = true,
                "PROTO" => self.xforward.proto = true,
                "HELO" => self.xforward.helo = true,
                "IDENT" => self.xforward.ident = true,
                "SOURCE" => self.xforward.source = true,
                _ => {}
            }
        }
    }
}

/// The keyword of a line and what is behind it. Old servers write `AUTH=PLAIN`.
fn words(line: &str) -> Option<(&str, &str)> {
    let is_separator = |c: char| matches!(c, '-' | ' ');
    let text = line.trim_start_matches(is_separator);
    let (_, text) = text.split_once(is_separator)?;
    let text = text.trim_start_matches([' ', '\t', '=']);
    let end = text.find([' ', '\t', '=']).unwrap_or(text.len());
    let (keyword, arguments) = text.split_at(end);
    (!keyword.is_empty()).then_some((keyword, arguments.trim_start_matches([' ', '\t', '='])))
}

#[cfg(test)]
mod tests {
    use super::super::ReplyReader;
    use super::*;

    fn features(wire: &str, discarded: &str) -> (Features, Vec<ClientNotice>) {
        let reply = ReplyReader::new(2048).read(&mut wire.as_bytes()).unwrap().unwrap();
        let mut notices = Vec::new();
        let features = Features::parse(&reply, Keywords::parse(discarded).0, &mut notices);
        (features, notices)
    }

    #[test]
    fn all_of_them() {
        let wire = "250-MX.example greets you\r\n250-size 1000\r\n250-8bitmime\r\n250-PIPELINING\r\n250-DSN\r\n\
                    250-SMTPUTF8\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250-AUTH=PLAIN CRAM-MD5\r\n\
                    250-XFORWARD NAME addr SOURCE WHAT\r\n250-CHUNKING\r\n250 HELP\r\n";
        let auth = ["PLAIN", "LOGIN", "PLAIN", "CRAM-MD5"].map(str::to_owned).to_vec();
        let expect = Features {
            name: "MX.example".into(),
            eightbitmime: true,
            pipelining: true,
            dsn: true,
            smtputf8: true,
            starttls: true,
            size: true,
            size_limit: Some(1000),
            auth: Some(auth),
            xforward: XforwardFeatures {
                name: true,
                addr: true,
                source: true,
                ..XforwardFeatures::default()
            },
        };
        assert_eq!(features(wire, ""), (expect, Vec::new()));
        let all = "8bitmime pipelining dsn smtputf8 starttls size auth xforward";
        let none = Features { name: "MX.example".into(), ..Features::default() };
        assert_eq!(features(wire, all), (none, Vec::new()));
    }

    #[test]
    fn odd_ones() {
        let (found, notices) = features("250-mx\r\n250-SIZE 0\r\n250-\r\n250-=\r\n250 SMTPUTF8\r\n", "");
        assert_eq!((found.size, found.size_limit, found.eightbitmime), (true, None, true));
        assert_eq!(notices, [ClientNotice::Utf8Without8bit]);
        let (found, notices) = features("250-mx\r\n250-SIZE 1k\r\n250 AUTH\r\n", "");
        assert_eq!((found.size, found.size_limit, found.auth), (true, None, Some(Vec::new())));
        assert_eq!(notices, [ClientNotice::BadSizeLimit("1k".into())]);
        assert_eq!(features("250\r\n", "").0, Features::default());
    }
}
