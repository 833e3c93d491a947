//! One connection to an LDAP server (RFC 4511): bind, StartTLS, search.

use super::ber::{self, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, boolean, element, octets};
use super::code::{self, Code};
use super::filter;
use super::url::{Scheme, Scope, Url};
use crate::client::Stream;
use crate::servers::NOTHING;
use crate::servers::tls::{Tls, TlsError};
use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Octets of one message, and of all messages that answer one search.
const MESSAGE_LIMIT: usize = 16 << 20;
const ANSWER_LIMIT: usize = 64 << 20;
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// An open connection.
pub(super) struct Client {
    stream: BufReader<Pin<Box<dyn Stream>>>,
    scheme: Scheme,
    is_encrypted: bool,
    last_id: i32,
    limit: Duration,
}

/// Why something did not work: the code, and what errno says in Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) errno: &'static str,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure { code, errno: if code == code::SERVER_DOWN { DISCONNECTED } else { NOTHING } }
    }
}

pub(super) const DISCONNECTED: &str = "Transport endpoint is not connected";
pub(super) const MISSING: &str = "No such file or directory";

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) base: Vec<u8>,
    pub(super) scope: Scope,
    pub(super) filter: Vec<u8>,
    /// Empty: all.
    pub(super) attributes: Vec<String>,
    pub(super) dereference: i32,
    pub(super) size_limit: i32,
    pub(super) seconds: i32,
}

/// An entry that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) attributes: Vec<(String, Vec<Bytes>)>,
}

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) entries: Vec<Entry>,
    /// URLs of where there is more; each list is one place.
    pub(super) references: Vec<Vec<String>>,
    /// URLs of where all of it is.
    pub(super) referral: Vec<String>,
}

/// The result that ends an operation.
struct Outcome {
    code: i32,
    referral: Vec<String>,
}

impl Client {
    /// `limit` holds for connecting and for each operation.
    pub(super) async fn open(url: &Url, tls: &Tls, limit: Duration) -> Result<Client, Failure> {
        let down = |errno| Failure { code: code::SERVER_DOWN, errno };
        let connected = timeout(limit, connect(url)).await.map_err(|_| down(DISCONNECTED))?;
        let stream = connected.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => down(MISSING),
            // The name has no address.
            _ if error.raw_os_error().is_none() => down(MISSING),
            _ => down(DISCONNECTED),
        })?;
        let client = Client {
            stream: BufReader::new(stream),
            scheme: url.scheme,
            is_encrypted: false,
            last_id: 0,
            limit,
        };
        if url.scheme != Scheme::Ldaps {
            return Ok(client);
        }
        client.encrypt(tls, &url.host).await.map_err(|_| down(DISCONNECTED))
    }

    pub(super) async fn start_tls(mut self, tls: &Tls, host: &str) -> Result<Client, Failure> {
        let request = element(0x77, &element(0x80, START_TLS));
        let outcome = self.call(&request, 0x78).await?;
        if outcome.code != 0 {
            return Err(Code(outcome.code).into());
        }
        let failed = Failure { code: code::CONNECT_ERROR, errno: "Resource temporarily unavailable" };
        self.encrypt(tls, host).await.map_err(|_| failed)
    }

    async fn encrypt(self, tls: &Tls, host: &str) -> Result<Client, TlsError> {
        let started = timeout(self.limit, tls.start(self.stream.into_inner(), host)).await;
        let stream = started.unwrap_or_else(|_| Err(TlsError::Handshake("timed out".to_owned())))?;
        Ok(Client { stream: BufReader::new(stream), is_encrypted: true, ..self })
    }

    /// Whether the server can know who we are without being told (SASL EXTERNAL).
    pub(super) fn is_known(&self) -> bool {
        self.is_encrypted || self.scheme == Scheme::Ldapi
    }

    pub(super) async fn bind(&mut self, version: i32, dn: &str, password: &str) -> Result<(), Failure> {
        self.bind_with(version, dn, &element(0x80, password.as_bytes())).await
    }

    pub(super) async fn bind_sasl(&mut self, mechanism: &str, credentials: &[u8]) -> Result<(), Failure> {
        let body = [octets(mechanism.as_bytes()), octets(credentials)].concat();
        self.bind_with(3, "", &element(0xa3, &body)).await
    }

    async fn bind_with(&mut self, version: i32, dn: &str, how: &[u8]) -> Result<(), Failure> {
        let body = [&ber::number(INTEGER, version)[..], &octets(dn.as_bytes()), how].concat();
        match self.call(&element(0x60, &body), 0x61).await?.code {
            0 => Ok(()),
            code => Err(Code(code).into()),
        }
    }

    /// A request that is answered by one message.
    async fn call(&mut self, request: &[u8], reply: u8) -> Result<Outcome, Failure> {
        let limit = self.limit;
        let exchange = async {
            let id = self.send(request).await?;
            loop {
                let message = self.receive().await?;
                let (seen, tag, body) = parse_message(&message).ok_or(code::DECODING_ERROR)?;
                if seen == id && tag == reply {
                    return parse_outcome(body).ok_or(code::DECODING_ERROR.into());
                }
                // The server says that it hangs up.
                if seen == 0 {
                    return Err(code::SERVER_DOWN.into());
                }
            }
        };
        timeout(limit, exchange).await.unwrap_or(Err(code::TIMEOUT.into()))
    }

    pub(super) async fn search(&mut self, search: &Search) -> Result<Answer, Failure> {
        let request = encode_search(search)?;
        let limit = self.limit;
        timeout(limit, self.collect(&request)).await.unwrap_or(Err(code::TIMEOUT.into()))
    }

    async fn collect(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        let id = self.send(request).await?;
        let mut answer = Answer::default();
        let mut room = ANSWER_LIMIT;
        loop {
            let message = self.receive().await?;
            room = room.checked_sub(message.len()).ok_or(code::DECODING_ERROR)?;
            let (seen, tag, body) = parse_message(&message).ok_or(code::DECODING_ERROR)?;
            if seen == 0 {
                return Err(code::SERVER_DOWN.into());
            }
            if seen != id {
                continue;
            }
            match tag {
                0x64 => answer.entries.push(parse_entry(body).ok_or(code::DECODING_ERROR)?),
                0x73 => answer.references.push(parse_texts(body, OCTETS)),
                0x65 => {
                    let outcome = parse_outcome(body).ok_or(code::DECODING_ERROR)?;
                    answer.referral = outcome.referral;
                    return match Code(outcome.code) {
                        Code(0) => Ok(answer),
                        code::REFERRAL if !answer.referral.is_empty() => Ok(answer),
                        code => Err(code.into()),
                    };
                }
                _ => return Err(code::DECODING_ERROR.into()),
            }
        }
    }

    async fn send(&mut self, request: &[u8]) -> Result<i32, Failure> {
        self.last_id = self.last_id.wrapping_add(1).max(1);
        let message = element(SEQUENCE, &[&ber::number(INTEGER, self.last_id)[..], request].concat());
        let mut write = async || {
            self.stream.write_all(&message).await?;
            self.stream.flush().await
        };
        write().await.map_err(|_: io::Error| code::SERVER_DOWN)?;
        Ok(self.last_id)
    }

    /// What is in the next message.
    async fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let message = self.read_message().await.map_err(|_: io::Error| code::SERVER_DOWN)?;
        Ok(message)
    }

    async fn read_message(&mut self) -> io::Result<Vec<u8>> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        if self.stream.read_u8().await? != SEQUENCE {
            return Err(invalid());
        }
        let length = match self.stream.read_u8().await? {
            short @ 0..0x80 => usize::from(short),
            long => {
                let mut octets = vec![0; usize::from(long & 0x7f).min(5)];
                self.stream.read_exact(&mut octets).await?;
                ber::length(&octets).filter(|length| *length <= MESSAGE_LIMIT).ok_or_else(invalid)?
            }
        };
        let mut message = Vec::new();
        let read = (&mut self.stream).take(length as u64).read_to_end(&mut message).await?;
        if read == length { Ok(message) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

async fn connect(url: &Url) -> io::Result<Pin<Box<dyn Stream>>> {
    if url.scheme == Scheme::Ldapi {
        return Ok(Box::pin(UnixStream::connect(&url.host).await?));
    }
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
    stream.set_nodelay(true)?;
    Ok(Box::pin(stream))
}

fn encode_search(search: &Search) -> Result<Vec<u8>, Failure> {
    // Postfix: libldap sends an empty filter, the server hangs up.
    if search.filter.trim_ascii().is_empty() {
        return Err(Failure { code: code::PROTOCOL_ERROR, errno: DISCONNECTED });
    }
    let filter = filter::encode(&search.filter).ok_or(code::FILTER_ERROR)?;
    let attributes: Vec<u8> = search.attributes.iter().flat_map(|name| octets(name.as_bytes())).collect();
    let body = [
        octets(&search.base),
        ber::number(ENUMERATED, search.scope as i32),
        ber::number(ENUMERATED, search.dereference),
        ber::number(INTEGER, search.size_limit),
        ber::number(INTEGER, search.seconds),
        boolean(false),
        filter,
        element(SEQUENCE, &attributes),
    ];
    Ok(element(0x63, &body.concat()))
}

/// The number, the kind and the content of a message.
fn parse_message(message: &[u8]) -> Option<(i32, u8, &[u8])> {
    let mut reader = Reader(message);
    let id = reader.number(INTEGER)?;
    let (tag, body) = reader.next()?;
    Some((id, tag, body))
}

fn parse_outcome(body: &[u8]) -> Option<Outcome> {
    let mut reader = Reader(body);
    let code = reader.number(ENUMERATED)?;
    reader.octets(OCTETS)?;
    reader.octets(OCTETS)?;
    let referral = reader.octets(0xa3).map(|urls| parse_texts(urls, OCTETS)).unwrap_or_default();
    Some(Outcome { code, referral })
}

fn parse_texts(body: &[u8], tag: u8) -> Vec<String> {
    let mut reader = Reader(body);
    let mut texts = Vec::new();
    while let Some(text) = reader.octets(tag) {
        texts.push(String::from_utf8_lossy(text).into_owned());
    }
    texts
}

fn parse_entry(body: &[u8]) -> Option<Entry> {
    let mut reader = Reader(body);
    reader.octets(OCTETS)?;
    let mut list = Reader(reader.octets(SEQUENCE)?);
    let mut entry = Entry::default();
    while let Some(attribute) = list.octets(SEQUENCE) {
        let mut attribute = Reader(attribute);
        let name = String::from_utf8_lossy(attribute.octets(OCTETS)?).into_owned();
        let mut set = Reader(attribute.octets(0x31)?);
        let mut values = Vec::new();
        while let Some(value) = set.octets(OCTETS) {
            values.push(Bytes::copy_from_slice(value));
        }
        entry.attributes.push((name, values));
    }
    Some(entry)
}

pub(super) fn fuzz(data: &[u8]) {
    filter::encode(data);
    if let Some((_, _, body)) = parse_message(data) {
        let _any = (parse_outcome(body), parse_entry(body), parse_texts(body, OCTETS));
    }
    let _any = (parse_outcome(data), parse_entry(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let outcome = [&b"\x0a\x01\x0a\x04\0\x04\0"[..], &element(0xa3, &octets(b"ldap://h"))].concat();
        let message = [ber::number(INTEGER, 7), element(0x65, &outcome)].concat();
        let (id, tag, body) = parse_message(&message).unwrap();
        let outcome = parse_outcome(body).unwrap();
        assert_eq!((id, tag, outcome.code, outcome.referral), (7, 0x65, 10, vec!["ldap://h".to_owned()]));
        let attribute = element(SEQUENCE, &[octets(b"mail"), element(0x31, &octets(b"x@y"))].concat());
        let entry = parse_entry(&[octets(b"cn=x"), element(SEQUENCE, &attribute)].concat()).unwrap();
        assert_eq!(entry.attributes, [("mail".to_owned(), vec![Bytes::from_static(b"x@y")])]);
        for data in [
            &b""[..],
            b"\x02\x01\x07",
            b"\x02\x01\x07\x65\x05\x0a\x01",
            b"\x02\x01\x07\x64\x84\xff\xff\xff\xff",
        ] {
            fuzz(data);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_octets_panic(data: Vec<u8>) {
            fuzz(&data);
        }
    }
}
