//! The policy delegation protocol (SMTPD_POLICY_README): the request as it goes over the wire, and the reader of its
//! answer. The connection itself is not here.

use crate::service::PolicyService;
use crate::session::{Command, Session};
use bytes::Bytes;
use mail::xtext;
use std::fmt;

/// What a policy server is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub session: Session<'a>,
    pub service: &'a PolicyService,
}

impl Request<'_> {
    /// Every attribute that Postfix 3.7 sends, in its order, and the empty line.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::with_capacity(1024);
        for (name, value) in self.attributes() {
            wire.extend_from_slice(name.as_bytes());
            wire.push(b'=');
            // a value that held a line end would be two attributes
            wire.extend(value.iter().map(|b| if matches!(b, b'\n' | 0) { b'?' } else { *b }));
            wire.push(b'\n');
        }
        wire.push(b'\n');
        wire
    }

    fn attributes(&self) -> [(&'static str, Bytes); 29] {
        let s = &self.session;
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let number = |n: u64| Bytes::from(n.to_string());
        let certificate = s.tls.and_then(|tls| tls.certificate.as_ref());
        let common_name = |name: &str| match certificate {
            Some(certificate) if certificate.is_trusted => Bytes::from(xtext::encode(name.as_bytes())),
            _ => Bytes::new(),
        };
        [
            ("request", text("smtpd_access_policy")),
            ("protocol_state", text(self.protocol_state())),
            ("protocol_name", text(&s.client.protocol)),
            ("client_address", text(&s.client.address)),
            ("client_name", text(&s.client.name)),
            ("client_port", text(&port(s.client.port))),
            ("reverse_client_name", text(s.reverse_name)),
            ("server_address", text(s.server_address)),
            ("server_port", text(&port(s.server_port))),
            ("helo_name", text(&s.client.helo)),
            ("sender", s.sender.map_or_else(Bytes::new, |a| Bytes::copy_from_slice(a.as_bytes()))),
            ("recipient", s.recipient.map_or_else(Bytes::new, |a| Bytes::copy_from_slice(a.as_bytes()))),
            ("recipient_count", number(self.recipient_count().into())),
            ("queue_id", s.queue_id.map_or_else(Bytes::new, |id| text(id.as_str()))),
            ("instance", text(s.instance)),
            ("size", number(s.size)),
            ("etrn_domain", text(s.etrn_domain.unwrap_or_default())),
            ("stress", text(&self.service.settings.stress)),
            ("sasl_method", text(&s.client.sasl_method)),
            ("sasl_username", text(&s.client.sasl_username)),
            ("sasl_sender", text(&s.client.sasl_sender)),
            ("ccert_subject", common_name(certificate.map_or("", |c| &c.subject_common_name))),
            ("ccert_issuer", common_name(certificate.map_or("", |c| &c.issuer_common_name))),
            ("ccert_fingerprint", text(certificate.map_or("", |c| &c.fingerprint))),
            ("ccert_pubkey_fingerprint", text(certificate.map_or("", |c| &c.public_key_fingerprint))),
            ("encryption_protocol", text(s.tls.map_or("", |tls| &tls.protocol))),
            ("encryption_cipher", text(s.tls.map_or("", |tls| &tls.cipher))),
            ("encryption_keysize", number(s.tls.map_or(0, |tls| tls.key_bits).into())),
            ("policy_context", text(&self.service.settings.policy_context)),
        ]
    }

    fn protocol_state(&self) -> &'static str {
        match self.session.command {
            Command::Bdat => Command::Data.as_str(),
            command => command.as_str(),
        }
    }

    /// Postfix: not counted before the last recipient is known.
    fn recipient_count(&self) -> u32 {
        match self.session.command {
            Command::Data | Command::Bdat | Command::EndOfMessage => self.session.recipient_count,
            _ => 0,
        }
    }
}

/// 0 stands for a port that a proxy did not tell.
fn port(port: u16) -> String {
    match port {
        0 => "unknown".to_owned(),
        port => port.to_string(),
    }
}

/// Reads the answer to one request, however it is cut up.
///
/// ```
/// let mut response = policy::Response::default();
/// assert_eq!(response.receive(b"action=DUN"), Ok(None));
/// assert_eq!(response.receive(b"NO\n\n"), Ok(Some("DUNNO".into())));
/// ```
#[derive(Debug, Default)]
pub struct Response {
    received: Vec<u8>,
}

impl Response {
    /// An answer of more octets than this is none.
    pub const LIMIT: usize = 64 * 1024;

    /// Takes what came. The action, once the empty line is there. Attributes of other names are passed over, and so is
    /// a second action.
    pub fn receive(&mut self, octets: &[u8]) -> Result<Option<Bytes>, ResponseError> {
        let room = (Self::LIMIT + 1).saturating_sub(self.received.len());
        self.received.extend_from_slice(&octets[..octets.len().min(room)]);
        match self.lines_before_the_empty_one() {
            Some(lines) => action_in(lines).map(Some),
            None if self.received.len() > Self::LIMIT => Err(ResponseError::TooLong),
            None => Ok(None),
        }
    }

    /// The server said more than an answer: nobody can tell what the next thing it says belongs to.
    pub fn has_surplus(&self) -> bool {
        self.lines_before_the_empty_one().is_some_and(|lines| self.received.len() > lines.len() + 1)
    }

    fn lines_before_the_empty_one(&self) -> Option<&[u8]> {
        if self.received.starts_with(b"\n") {
            return Some(&[]);
        }
        let at = self.received.windows(2).position(|two| two == b"\n\n")?;
        Some(&self.received[..=at])
    }
}

fn action_in(lines: &[u8]) -> Result<Bytes, ResponseError> {
    let is_action = |line: &&[u8]| line.split(|b| *b == b'=').next() == Some(b"action");
    let line = lines.split(|b| *b == b'\n').find(is_action).ok_or(ResponseError::MissingAction)?;
    let value = line.strip_prefix(b"action=").ok_or(ResponseError::MissingValue)?;
    Ok(Bytes::copy_from_slice(value))
}

/// Why a server's answer is none. Prints what Postfix's warning says before ` from SERVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    TooLong,
    MissingAction,
    MissingValue,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResponseError::TooLong => "answer too long",
            ResponseError::MissingAction => "missing attribute action in input",
            ResponseError::MissingValue => "missing value for string attribute action",
        })
    }
}

impl std::error::Error for ResponseError {}

/// The body of the fuzz target `policy_response`: any octets at any split give the same answer.
pub fn fuzz_response(data: &[u8]) {
    let whole = Response::default().receive(data);
    let mut response = Response::default();
    let first = data.iter().map(|b| response.receive(&[*b])).find(|got| got != &Ok(None));
    assert_eq!(first.unwrap_or(Ok(None)), whole);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        for (wire, expect) in [
            ("action=DUNNO\n\n", Ok(Some("DUNNO"))),
            ("action=\n\n", Ok(Some(""))),
            ("x=y\naction=REJECT a=b\nz\n\n", Ok(Some("REJECT a=b"))),
            ("action=one\naction=two\n\n", Ok(Some("one"))),
            ("Action=one\n\n", Err(ResponseError::MissingAction)),
            ("\n", Err(ResponseError::MissingAction)),
            ("action\n\n", Err(ResponseError::MissingValue)),
            ("action=DUNNO\n", Ok(None)),
            ("", Ok(None)),
        ] {
            let got = Response::default().receive(wire.as_bytes());
            assert_eq!(got, expect.map(|action| action.map(Bytes::from_static_str)), "{wire:?}");
            fuzz_response(wire.as_bytes());
        }
    }

    trait FromStaticStr {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStaticStr for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }

    #[test]
    fn surplus() {
        let mut response = Response::default();
        assert_eq!(response.receive(b"action=OK\n\nx"), Ok(Some("OK".into())));
        assert!(response.has_surplus());
    }

    #[test]
    fn no_end() {
        let mut response = Response::default();
        assert_eq!(response.receive(&vec![b'a'; Response::LIMIT]), Ok(None));
        assert_eq!(response.receive(b"a"), Err(ResponseError::TooLong));
        assert_eq!(response.receive(&vec![b'a'; Response::LIMIT]), Err(ResponseError::TooLong));
        assert_eq!(response.received.len(), Response::LIMIT + 1);
    }

    proptest::proptest! {
        #[test]
        fn any_split(data: Vec<u8>) {
            fuzz_response(&data);
        }

        #[test]
        fn any_split_of_likely_text(data in "(action|x|=|a|\n){0,8}") {
            fuzz_response(data.as_bytes());
        }
    }
}
