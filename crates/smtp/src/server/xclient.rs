//! XCLIENT and XFORWARD: what a front end says about a client that it stands in for.

use super::commands::refuse;
use super::parameters::Refusal;
use super::token::Token;
use crate::text::{neutered, printable};
use mail::hostname::{is_hostname, literal_address};
use mail::xtext;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) const XCLIENT_KEYWORD: &str =
    "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT";
pub(super) const XFORWARD_KEYWORD: &str = "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT";

/// Attributes of XCLIENT; None where one was not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Xclient {
    pub name: Option<LookedUp>,
    pub reverse_name: Option<LookedUp>,
    /// Without brackets or `IPv6:`, in its usual form; so is `server_address`.
    pub address: Option<Attribute>,
    pub port: Option<Attribute>,
    pub helo: Option<Attribute>,
    pub protocol: Option<Protocol>,
    /// The login name; `[UNAVAILABLE]` is none.
    pub login: Option<String>,
    pub server_address: Option<Attribute>,
    pub server_port: Option<Attribute>,
}

/// Attributes of XFORWARD; None where one was not given. They hold for the next message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Xforward {
    pub name: Option<Attribute>,
    pub address: Option<Attribute>,
    pub port: Option<Attribute>,
    pub protocol: Option<Attribute>,
    pub helo: Option<Attribute>,
    pub ident: Option<Attribute>,
    /// SOURCE: whether addresses in headers are rewritten as local mail's are.
    pub is_local: Option<bool>,
}

/// A value, printable, or `[UNAVAILABLE]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Unavailable,
    Is(String),
}

impl Attribute {
    pub fn value(self) -> Option<String> {
        match self {
            Attribute::Unavailable => None,
            Attribute::Is(value) => Some(value),
        }
    }
}

/// A host name as the DNS gave it to the front end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookedUp {
    Found(String),
    /// `[UNAVAILABLE]`: there is none.
    NotFound,
    /// `[TEMPUNAVAIL]`.
    TryLater,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Esmtp,
}

/// Octets of a value as it was written.
const VALUE_LIMIT: usize = 255;
const PROTOCOL_LIMIT: usize = 64;

pub(super) fn parse_xclient(words: &[Token<'_>]) -> Result<Xclient, Refusal> {
    let mut client = Xclient::default();
    for word in &words[1..] {
        let (name, value) = attribute(word.text)?;
        match name.to_ascii_uppercase().as_str() {
            "NAME" => {
                let name = looked_up("NAME", value)?;
                if let LookedUp::Found(_) = name {
                    client.reverse_name = Some(name.clone());
                }
                client.name = Some(name);
            }
            "REVERSE_NAME" => client.reverse_name = Some(looked_up("REVERSE_NAME", value)?),
            "ADDR" => client.address = Some(address("ADDR", value)?),
            "PORT" => client.port = Some(port("PORT", value)?),
            "HELO" => client.helo = Some(free_text(value)),
            "PROTO" => client.protocol = Some(protocol(value)?),
            "LOGIN" => client.login = available(value).value().or(client.login),
            "DESTADDR" => client.server_address = Some(address("DESTADDR", value)?),
            "DESTPORT" => client.server_port = Some(port("DESTPORT", value)?),
            _ => return Err(unknown("XCLIENT", &name)),
        }
    }
    Ok(client)
}

pub(super) fn parse_xforward(words: &[Token<'_>]) -> Result<Xforward, Refusal> {
    let mut forwarded = Xforward::default();
    for word in &words[1..] {
        let (name, value) = attribute(word.text)?;
        match name.to_ascii_uppercase().as_str() {
            "NAME" => forwarded.name = Some(host_name(value)?),
            "ADDR" => forwarded.address = Some(address("ADDR", value)?),
            "PORT" => forwarded.port = Some(port("PORT", value)?),
            "PROTO" if value.len() > PROTOCOL_LIMIT => return Err(bad("PROTO", &value)),
            "PROTO" => forwarded.protocol = Some(free_text(value)),
            "HELO" => forwarded.helo = Some(free_text(value)),
            "IDENT" => forwarded.ident = Some(free_text(value)),
            "SOURCE" => forwarded.is_local = Some(source(&value)?),
            _ => return Err(unknown("XFORWARD", &name)),
        }
    }
    Ok(forwarded)
}

/// `name=value`, with the value decoded where it is xtext.
fn attribute(word: &[u8]) -> Result<(String, String), Refusal> {
    let at = memchr::memchr(b'=', word).filter(|at| at + 1 < word.len());
    let Some(at) = at else {
        return Err(refuse(501, (5, 5, 4), "Error: attribute=value expected"));
    };
    let value = &word[at + 1..];
    if value.len() > VALUE_LIMIT {
        return Err(refuse(501, (5, 5, 4), "Error: attribute value too long"));
    }
    let value = xtext::decode(value).map_or_else(|| printable(value), |decoded| printable(&decoded));
    Ok((printable(&word[..at]), value))
}

fn bad(name: &str, value: &str) -> Refusal {
    refuse(501, (5, 5, 4), format!("Bad {name} syntax: {value}"))
}

fn unknown(command: &str, name: &str) -> Refusal {
    refuse(501, (5, 5, 4), format!("Bad {command} attribute name: {name}"))
}

fn available(value: String) -> Attribute {
    if value.eq_ignore_ascii_case("[UNAVAILABLE]") { Attribute::Unavailable } else { Attribute::Is(value) }
}

fn free_text(value: String) -> Attribute {
    match available(value) {
        Attribute::Is(value) => Attribute::Is(neutered(value.as_bytes())),
        unavailable => unavailable,
    }
}

fn looked_up(name: &str, value: String) -> Result<LookedUp, Refusal> {
    match value.to_ascii_uppercase().as_str() {
        "[UNAVAILABLE]" => Ok(LookedUp::NotFound),
        "[TEMPUNAVAIL]" => Ok(LookedUp::TryLater),
        _ if is_hostname(value.as_bytes()) => Ok(LookedUp::Found(value)),
        _ => Err(bad(name, &value)),
    }
}

fn host_name(value: String) -> Result<Attribute, Refusal> {
    match free_text(value) {
        Attribute::Is(value) if !is_hostname(value.as_bytes()) => Err(bad("NAME", &value)),
        name => Ok(name),
    }
}

fn port(name: &str, value: String) -> Result<Attribute, Refusal> {
    match available(value) {
        // Postfix: five digits will do.
        Attribute::Is(value) if value.len() > 5 || !value.bytes().all(|b| b.is_ascii_digit()) => {
            Err(bad(name, &value))
        }
        port => Ok(port),
    }
}

fn protocol(value: String) -> Result<Protocol, Refusal> {
    match value.to_ascii_uppercase().as_str() {
        "SMTP" => Ok(Protocol::Smtp),
        "ESMTP" => Ok(Protocol::Esmtp),
        _ => Err(bad("PROTO", &value)),
    }
}

fn source(value: &str) -> Result<bool, Refusal> {
    match value.to_ascii_uppercase().as_str() {
        "LOCAL" | "[UNAVAILABLE]" => Ok(true),
        "REMOTE" => Ok(false),
        _ => Err(bad("SOURCE", value)),
    }
}

/// An IPv4 address, or an IPv6 one with `IPv6:` before it, in its usual form.
fn address(name: &str, value: String) -> Result<Attribute, Refusal> {
    let value = match available(value) {
        Attribute::Unavailable => return Ok(Attribute::Unavailable),
        Attribute::Is(value) => neutered(value.as_bytes()),
    };
    let literal = literal_address(value.as_bytes()).and_then(|text| std::str::from_utf8(text).ok());
    literal.and_then(usual_form).map(Attribute::Is).ok_or_else(|| bad(name, &value))
}

fn usual_form(address: &str) -> Option<String> {
    if let Ok(address) = address.parse::<Ipv6Addr>() {
        return Some(address.to_ipv4_mapped().map_or(address.to_string(), |mapped| mapped.to_string()));
    }
    let mut octets = [0; 4];
    for (octet, digits) in octets.iter_mut().zip(address.split('.')) {
        *octet = digits.parse().ok()?;
    }
    Some(Ipv4Addr::from(octets).to_string())
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    #[test]
    fn xclient() {
        let line = b"XCLIENT name=a.example ADDR=IPv6:2001:DB8:0::1 Port=25 HELO=h+2Bx PROTO=esmtp LOGIN=bob DESTPORT=[UNAVAILABLE]";
        let is = |value: &str| Some(Attribute::Is(value.into()));
        let expect = Xclient {
            name: Some(LookedUp::Found("a.example".into())),
            reverse_name: Some(LookedUp::Found("a.example".into())),
            address: is("2001:db8::1"),
            port: is("25"),
            helo: is("h+x"),
            protocol: Some(Protocol::Esmtp),
            login: Some("bob".into()),
            server_address: None,
            server_port: Some(Attribute::Unavailable),
        };
        assert_eq!(parse_xclient(&tokens(line)).ok(), Some(expect));
    }

    #[test]
    fn addresses() {
        for (value, expect) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.000.2.01", Some("192.0.2.1")),
            ("IPv6:::ffff:192.0.2.1", Some("192.0.2.1")),
            ("IPv6:::1", Some("::1")),
            ("::1", None),
            ("192.0.2", None),
        ] {
            let found = address("ADDR", value.into()).ok().and_then(Attribute::value);
            assert_eq!(found.as_deref(), expect, "{value}");
        }
    }
}
