//! HTTP over TLS, as little of it as mail needs: one request to a connection, the answer read whole. For MTA-STS policies
//! (RFC 8461 3.3) and OAuth 2 tokens. Redirects are not followed.

use crate::dial::error_text;
use crate::{InetProtocols, Resolver};
use openssl::ssl::{SslConnector, SslMethod, SslVersion};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// Octets of an answer's head; the body's limit is the request's.
const HEAD_LIMIT: usize = 32 << 10;
const HTTPS_PORT: u16 = 443;

/// Asks web servers whose certificates are in order.
#[derive(Clone)]
pub struct HttpsClient {
    pub resolver: Resolver,
    pub inet_protocols: InetProtocols,
    /// A file with the authorities to trust; None: those that the system trusts.
    pub ca_file: Option<PathBuf>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub url: &'a str,
    /// What is posted, with its type; None is a GET.
    pub body: Option<(&'a str, &'a [u8])>,
    /// For all of it together.
    pub timeout: Duration,
    /// Octets of the answer's body.
    pub size_limit: usize,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// In lower case, without parameters; empty if there is none.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpsError {
    /// The address is none of ours: the URL.
    Url(String),
    /// There is no such host, or it cannot be reached.
    Connect(String),
    /// The server's certificate is not in order, or there is no handshake at all.
    Tls(String),
    /// What came is no answer.
    Protocol(&'static str),
    TooLarge,
    TimedOut,
}

/// A place in the web.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl HttpsClient {
    pub async fn send(&self, request: &Request<'_>) -> Result<Response, HttpsError> {
        let url = Url::parse(request.url).ok_or_else(|| HttpsError::Url(request.url.to_owned()))?;
        let asking = async {
            let mut stream = self.shake_hands(&url).await?;
            ask(&mut stream, &url, request).await
        };
        timeout(request.timeout, asking).await.unwrap_or(Err(HttpsError::TimedOut))
    }

    async fn shake_hands(&self, url: &Url<'_>) -> Result<SslStream<TcpStream>, HttpsError> {
        let failed = |error: openssl::error::ErrorStack| HttpsError::Tls(error.to_string());
        let mut connector = SslConnector::builder(SslMethod::tls_client()).map_err(failed)?;
        connector.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(failed)?;
        if let Some(file) = &self.ca_file {
            connector.set_ca_file(file).map_err(failed)?;
        }
        let configured = connector.build().configure().map_err(failed)?;
        let ssl = configured.into_ssl(url.host).map_err(failed)?;
        let mut stream = SslStream::new(ssl, self.connect(url).await?).map_err(failed)?;
        let shaken = Pin::new(&mut stream).connect().await;
        shaken.map_err(|error| {
            let verified = stream.ssl().verify_result();
            HttpsError::Tls(match verified == openssl::x509::X509VerifyResult::OK {
                true => error.to_string(),
                false => verified.error_string().to_owned(),
            })
        })?;
        Ok(stream)
    }

    /// The first address that answers.
    async fn connect(&self, url: &Url<'_>) -> Result<TcpStream, HttpsError> {
        let Url { host, port, .. } = *url;
        let addresses: Vec<IpAddr> = self
            .resolver
            .native_addresses(host, self.inet_protocols)
            .await
            .map_err(|error| HttpsError::Connect(format!("{host}: {error}")))?;
        let mut failure = HttpsError::Connect(format!("{host}: no address"));
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let text = format!("connect to {host}[{address}]:{port}: {}", error_text(&error));
                    failure = HttpsError::Connect(text);
                }
            }
        }
        Err(failure)
    }
}

async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    url: &Url<'_>,
    request: &Request<'_>,
) -> Result<Response, HttpsError> {
    let lost = |_| HttpsError::Protocol("connection lost");
    stream.write_all(&encode(url, request)).await.map_err(lost)?;
    stream.flush().await.map_err(lost)?;
    let limit = HEAD_LIMIT + request.size_limit;
    let mut answer = Vec::new();
    loop {
        // servers may cut the connection without a word once all is said
        let read = stream.read_buf(&mut answer).await.unwrap_or(0);
        if read == 0 || is_whole(&answer) {
            break;
        }
        if answer.len() > limit {
            return Err(HttpsError::TooLarge);
        }
    }
    let response = parse_response(&answer)?;
    if response.body.len() > request.size_limit { Err(HttpsError::TooLarge) } else { Ok(response) }
}

fn encode(url: &Url<'_>, request: &Request<'_>) -> Vec<u8> {
    let Url { host, port, path } = url;
    let method = if request.body.is_some() { "POST" } else { "GET" };
    let port = if *port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}{port}\r\nConnection: close\r\nAccept: */*\r\n");
    if let Some((content_type, body)) = request.body {
        text += &format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    let mut octets = text.into_bytes();
    octets.extend_from_slice(request.body.map_or(b"", |(_, body)| body));
    octets
}

/// Whether nothing more is to come, as far as the answer says.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = split_head(answer) else { return false };
    match (header(head, "Content-Length").and_then(|length| length.parse::<usize>().ok()), is_chunked(head)) {
        (_, true) => dechunk(body).is_some(),
        (Some(length), false) => body.len() >= length,
        (None, false) => false,
    }
}

/// Reads an answer (RFC 9112).
fn parse_response(answer: &[u8]) -> Result<Response, HttpsError> {
    let (head, body) = split_head(answer).ok_or(HttpsError::Protocol("no answer"))?;
    let status_line = head.lines().next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok());
    let status = status.ok_or(HttpsError::Protocol("no status"))?;
    let content_type = header(head, "Content-Type").unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let length = header(head, "Content-Length").map(|length| length.parse::<usize>());
    let body = match length {
        _ if is_chunked(head) => dechunk(body).ok_or(HttpsError::Protocol("incomplete answer"))?,
        Some(Ok(length)) => body.get(..length).ok_or(HttpsError::Protocol("incomplete answer"))?.to_vec(),
        Some(Err(_)) => return Err(HttpsError::Protocol("bad length")),
        None => body.to_vec(),
    };
    Ok(Response { status, content_type, body })
}

fn split_head(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn is_chunked(head: &str) -> bool {
    header(head, "Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

/// RFC 9112 7.1. None: the last chunk is not there.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

impl<'a> Url<'a> {
    /// `https://host[:port]/path`. Nothing that would break a request's line or header.
    fn parse(url: &'a str) -> Option<Url<'a>> {
        let rest = url.strip_prefix("https://")?;
        if rest.bytes().any(|b| b <= b' ' || b >= 0x7f) {
            return None;
        }
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, HTTPS_PORT),
        };
        (!host.is_empty() && !host.contains('@')).then_some(Url { host, port, path })
    }
}

impl fmt::Display for HttpsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpsError::Url(url) => write!(f, "not an https address: {url}"),
            HttpsError::Connect(text) => f.write_str(text),
            HttpsError::Tls(text) => write!(f, "TLS: {text}"),
            HttpsError::Protocol(text) => f.write_str(text),
            HttpsError::TooLarge => f.write_str("answer too large"),
            HttpsError::TimedOut => f.write_str("timed out"),
        }
    }
}

impl std::error::Error for HttpsError {}

/// Reads any octets as an answer.
pub fn fuzz_https_response(data: &[u8]) {
    let _ = is_whole(data);
    if let Ok(response) = parse_response(data) {
        assert!(response.body.len() <= data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Identity, KeyKind};
    use tokio::net::TcpListener;

    #[test]
    fn urls() {
        let url = |host, port, path| Some(Url { host, port, path });
        for (text, expect) in [
            ("https://a.example/x?y", url("a.example", 443, "/x?y")),
            ("https://a.example:8443", url("a.example", 8443, "/")),
            ("http://a.example/", None),
            ("https:///x", None),
            ("https://user@a.example/", None),
            ("https://a.example:x/", None),
            ("https://a.example/a b", None),
            ("https://a.example/a\r\nX: y", None),
        ] {
            assert_eq!(Url::parse(text), expect, "{text}");
        }
    }

    #[test]
    fn answers() {
        let ok = |content_type: &str, body: &str| {
            Ok(Response { status: 200, content_type: content_type.into(), body: body.into() })
        };
        for (text, expect, is_whole_now) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=x\r\nContent-Length: 2\r\n\r\nhi!",
                ok("text/plain", "hi"),
                true,
            ),
            ("HTTP/1.0 200 OK\r\n\r\nall of it", ok("", "all of it"), false),
            (
                "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n yo\r\n0\r\n\r\n",
                ok("", "hi yo"),
                true,
            ),
            (
                "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
                Err(HttpsError::Protocol("incomplete answer")),
                false,
            ),
            (
                "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhi",
                Err(HttpsError::Protocol("incomplete answer")),
                false,
            ),
            ("HTTP/1.1 200\r\nContent-Length: x\r\n\r\nhi", Err(HttpsError::Protocol("bad length")), false),
            ("SSH-2.0\r\n\r\n", Err(HttpsError::Protocol("no status")), false),
            ("", Err(HttpsError::Protocol("no answer")), false),
        ] {
            assert_eq!(parse_response(text.as_bytes()), expect, "{text}");
            assert_eq!(is_whole(text.as_bytes()), is_whole_now, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(data: Vec<u8>) {
            fuzz_https_response(&data);
        }
    }

    /// A server that gives one answer, and what it was asked.
    async fn serve(identity: Identity, answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let mut context =
            openssl::ssl::SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        context.set_certificate(&identity.certificate).unwrap();
        context.set_private_key(&identity.key).unwrap();
        let context = context.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let ssl = openssl::ssl::Ssl::new(context.context()).unwrap();
            let mut stream = SslStream::new(ssl, listener.accept().await.unwrap().0).unwrap();
            if Pin::new(&mut stream).accept().await.is_err() {
                return String::new();
            }
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") && !asked.ends_with(b"a=b") {
                stream.read_buf(&mut asked).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            Pin::new(&mut stream).shutdown().await.ok();
            String::from_utf8(asked).unwrap()
        });
        (port, serving)
    }

    #[tokio::test]
    async fn only_servers_that_are_known_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hosts"), "127.0.0.1 web.example other.example\n").unwrap();
        let authority = Identity::self_signed("Test CA", KeyKind::Ec);
        authority.write(folder.path(), "ca");
        let client = |ca_file| HttpsClient {
            resolver: Resolver::new(crate::resolver::Sources {
                hosts: folder.path().join("hosts"),
                ..crate::resolver::Sources::default()
            }),
            inet_protocols: InetProtocols { ipv4: true, ipv6: false },
            ca_file,
        };
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let trusting = client(Some(folder.path().join("ca.pem")));
        for (client, host, body, size_limit, expect) in [
            (&trusting, "web.example", None, 10, Ok("hello")),
            (&trusting, "web.example", Some(("x/y", &b"a=b"[..])), 10, Ok("hello")),
            (&trusting, "web.example", None, 4, Err("answer too large")),
            (&trusting, "other.example", None, 10, Err("TLS: hostname mismatch")),
            (&client(None), "web.example", None, 10, Err("TLS: unable to get local issuer certificate")),
        ] {
            let (port, serving) = serve(authority.issue("web.example", KeyKind::Ec), answer).await;
            let url = format!("https://{host}:{port}/path");
            let request = Request { url: &url, body, timeout: Duration::from_secs(10), size_limit };
            let response = client.send(&request).await;
            let got = response.as_ref().map(|r| std::str::from_utf8(&r.body).unwrap());
            assert_eq!(got.map_err(ToString::to_string), expect.map_err(str::to_owned), "{url} {body:?}");
            let asked = serving.await.unwrap();
            let method = if body.is_some() { "POST" } else { "GET" };
            assert!(
                expect.is_err()
                    || asked.starts_with(&format!("{method} /path HTTP/1.1\r\nHost: {host}:{port}\r\n")),
                "{asked}"
            );
        }
    }
}
