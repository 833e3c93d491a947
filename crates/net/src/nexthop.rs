//! What transports are given as a destination, read: `example.com`, `[mx.example.com]:587`, `unix:/run/lmtp`.

use crate::Services;
use mail::hostname;
use std::borrow::Cow;
use std::fmt;

/// A destination of the `smtp` or `lmtp` transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A socket's path, relative to the queue directory unless absolute: `unix:path` of lmtp.
    Unix(String),
    /// Hosts or domains to try in turn. Not empty.
    Inet(Vec<Nexthop>),
}

/// Which of the two a transport speaks: they differ in how destinations are read and looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Lmtp,
}

/// One host or domain with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nexthop {
    /// As configured, with brackets and port: what tables such as `smtp_sasl_password_maps` are searched with.
    pub text: String,
    /// Without them; an address without `IPv6:`.
    pub host: String,
    pub port: u16,
    /// It was in brackets: no MX lookup.
    pub is_bracketed: bool,
}

/// A destination that makes no sense; prints Postfix's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NexthopError {
    Syntax { flaw: &'static str, text: String },
    BadPort { port: String, text: String },
    UnknownService { service: String },
}

impl Destination {
    /// `default_service` is the port or service for those who name none: `smtp_tcp_port`, `lmtp_tcp_port`.
    pub fn parse(
        text: &str,
        protocol: Protocol,
        default_service: &str,
        services: &Services,
    ) -> Result<Destination, NexthopError> {
        let mut text = text;
        if protocol == Protocol::Lmtp {
            if let Some(path) = text.strip_prefix("unix:") {
                return Ok(Destination::Unix(path.to_string()));
            }
            text = text.strip_prefix("inet:").unwrap_or(text);
        }
        let nexthops = Nexthop::parse_list(text, default_service, services)?;
        if nexthops.is_empty() {
            return Err(NexthopError::Syntax { flaw: "null destination", text: text.to_string() });
        }
        Ok(Destination::Inet(nexthops))
    }
}

impl Nexthop {
    /// Several, parted by blanks or commas: `relayhost` and `smtp_fallback_relay` may have more than one.
    pub fn parse_list(
        text: &str,
        default_service: &str,
        services: &Services,
    ) -> Result<Vec<Nexthop>, NexthopError> {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let parts = text.split(is_separator).filter(|part| !part.is_empty());
        parts.map(|part| Nexthop::parse(part, default_service, services)).collect()
    }

    pub fn parse(text: &str, default_service: &str, services: &Services) -> Result<Nexthop, NexthopError> {
        let syntax = |flaw| NexthopError::Syntax { flaw, text: text.to_string() };
        let (host, service) = split(text).map_err(syntax)?;
        if !is_host(host) {
            return Err(syntax("valid hostname or network address required"));
        }
        if service.starts_with(|c: char| c.is_ascii_digit()) && !service.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax("garbage after numerical service"));
        }
        let service = if service.is_empty() { default_service } else { service };
        let port = services.port(service).ok_or_else(|| {
            if service.bytes().all(|b| b.is_ascii_digit()) {
                NexthopError::BadPort { port: service.to_string(), text: text.to_string() }
            } else {
                NexthopError::UnknownService { service: service.to_string() }
            }
        })?;
        Ok(Nexthop {
            text: text.to_string(),
            host: host.to_string(),
            port,
            is_bracketed: text.starts_with('['),
        })
    }

    /// The host as the DNS knows it (RFC 5891).
    pub fn ascii_host(&self) -> Cow<'_, str> {
        to_ascii(&self.host)
    }
}

/// `[host]:service`, `[host]:`, `[host]`, `host:service`, `host:` or `host`; the service may be empty.
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    let Some(inner) = text.strip_prefix('[') else {
        let (host, service) = text.rsplit_once(':').unwrap_or((text, ""));
        return if host.is_empty() { Err("missing host information") } else { Ok((host, service)) };
    };
    let (host, rest) = inner.split_once(']').ok_or("missing \"]\"")?;
    let service = match rest.strip_prefix(':') {
        Some(service) => service,
        None if rest.is_empty() => "",
        None => return Err("garbage after \"]\""),
    };
    // RFC 5321 4.1.3
    match host.split_at_checked("IPv6:".len()) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            if hostname::is_ipv6(address.as_bytes()) {
                Ok((address, service))
            } else {
                Err("malformed IPv6 address")
            }
        }
        _ => Ok((host, service)),
    }
}

fn is_host(host: &str) -> bool {
    hostname::is_address(host.as_bytes()) || hostname::is_hostname(to_ascii(host).as_bytes())
}

fn to_ascii(host: &str) -> Cow<'_, str> {
    if host.is_ascii() {
        return Cow::Borrowed(host);
    }
    idna::domain_to_ascii(host).map_or(Cow::Borrowed(host), Cow::Owned)
}

impl std::error::Error for NexthopError {}

impl fmt::Display for NexthopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NexthopError::Syntax { flaw, text } => write!(f, "{flaw} in server description: {text}"),
            NexthopError::BadPort { port, text } => {
                write!(f, "bad network port: {port} for destination: {text}")
            }
            NexthopError::UnknownService { service } => write!(f, "unknown service: {service}/tcp"),
        }
    }
}

/// Reads any octets as a destination of both transports.
pub fn fuzz_nexthop(data: &[u8]) {
    let services = Services::from_file("/nonexistent");
    let text = String::from_utf8_lossy(data);
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        if let Ok(Destination::Inet(nexthops)) = Destination::parse(&text, protocol, "smtp", &services) {
            for nexthop in nexthops {
                assert_eq!(Nexthop::parse(&nexthop.text, "smtp", &services).as_ref(), Ok(&nexthop));
                nexthop.ascii_host();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_text_will_do(text in "(unix:|inet:|\\[|IPv6:|[a-z]+\\.|[0-9]+|:|\\]|, |\\PC){0,12}") {
            fuzz_nexthop(text.as_bytes());
        }
    }

    #[test]
    fn rows() {
        let services = Services::from_file("/nonexistent");
        let ok = |host: &str, port, is_bracketed| Ok((host.to_string(), port, is_bracketed));
        let flaw = |flaw: &str| Err(flaw.to_string());
        for (text, expect) in [
            ("example.com", ok("example.com", 25, false)),
            ("example.com:587", ok("example.com", 587, false)),
            ("example.com:submission", ok("example.com", 587, false)),
            ("example.com:", ok("example.com", 25, false)),
            ("[mx.example.com]", ok("mx.example.com", 25, true)),
            ("[mx.example.com]:", ok("mx.example.com", 25, true)),
            ("[mx.example.com]:smtps", ok("mx.example.com", 465, true)),
            ("[192.0.2.1]:2525", ok("192.0.2.1", 2525, true)),
            ("192.0.2.1", ok("192.0.2.1", 25, false)),
            ("[2001:db8::1]", ok("2001:db8::1", 25, true)),
            ("[ipv6:2001:db8::1]:26", ok("2001:db8::1", 26, true)),
            ("b\u{fc}cher.example", ok("b\u{fc}cher.example", 25, false)),
            ("[IPv6:x]", flaw("malformed IPv6 address in server description: [IPv6:x]")),
            ("[mx.example.com", flaw("missing \"]\" in server description: [mx.example.com")),
            ("[mx.example.com]25", flaw("garbage after \"]\" in server description: [mx.example.com]25")),
            (":25", flaw("missing host information in server description: :25")),
            (
                "2001:db8::1",
                flaw("valid hostname or network address required in server description: 2001:db8::1"),
            ),
            ("a..b", flaw("valid hostname or network address required in server description: a..b")),
            ("", flaw("missing host information in server description: ")),
            ("[]", flaw("valid hostname or network address required in server description: []")),
            // a mistake often made: this is transport_maps' form
            ("smtp:[host]", flaw("unknown service: [host]/tcp")),
            ("a.example:25x", flaw("garbage after numerical service in server description: a.example:25x")),
            ("a.example:0", flaw("bad network port: 0 for destination: a.example:0")),
            ("a.example:65536", flaw("bad network port: 65536 for destination: a.example:65536")),
            ("a.example:nosuch", flaw("unknown service: nosuch/tcp")),
        ] {
            let got = Nexthop::parse(text, "smtp", &services);
            assert_eq!(
                got.map(|n| (n.host, n.port, n.is_bracketed)).map_err(|e| e.to_string()),
                expect,
                "{text}"
            );
        }
    }

    #[test]
    fn destinations() {
        let services = Services::from_file("/nonexistent");
        let parse = |text, protocol, service| Destination::parse(text, protocol, service, &services);
        let Ok(Destination::Inet(two)) = parse("[a.example]:26, b.example", Protocol::Smtp, "smtp") else {
            panic!()
        };
        assert_eq!(
            two.iter().map(|n| (&n.text[..], n.port)).collect::<Vec<_>>(),
            [("[a.example]:26", 26), ("b.example", 25)]
        );
        assert_eq!(
            parse("unix:private/lmtp", Protocol::Lmtp, "24"),
            Ok(Destination::Unix("private/lmtp".into()))
        );
        let Ok(Destination::Inet(one)) = parse("inet:a.example", Protocol::Lmtp, "24") else { panic!() };
        assert_eq!((&one[0].text[..], one[0].port), ("a.example", 24));
        assert!(parse("unix:private/lmtp", Protocol::Smtp, "smtp").is_err());
        assert!(parse(" , ", Protocol::Smtp, "smtp").is_err());
        assert_eq!(
            Nexthop::parse("b\u{fc}cher.example", "25", &services).unwrap().ascii_host(),
            "xn--bcher-kva.example"
        );
    }
}
