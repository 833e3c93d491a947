//! The Received: header (RFC 5321 4.4): how the message came here.

use super::{Incoming, Settings};
use mail::Client;
use mail::header::quote;
use std::sync::Arc;

/// How a message came, as far as the envelope does not say.
#[derive(Clone, Debug)]
pub enum Received {
    /// By SMTP, from the envelope's client.
    Smtp(Option<Arc<TlsSession>>),
    /// Through `sendmail` and the maildrop, by this uid.
    Local { uid: u32 },
    /// Made by the mail system. Date: comes with it.
    Internal,
}

/// A TLS session as the header describes it (`smtpd_tls_received_header`).
#[derive(Clone, Debug, Default)]
pub struct TlsSession {
    /// `TLSv1.3`
    pub protocol: String,
    /// `TLS_AES_256_GCM_SHA384`
    pub cipher: String,
    pub used_bits: u32,
    pub algorithm_bits: u32,
    /// `X25519`, `ECDHE (P-256)`, `DHE (2048 bits)`; empty before TLS 1.3 where it is not known.
    pub key_exchange: String,
    pub server_signature: Option<Signature>,
    pub client_signature: Option<Signature>,
    pub client_certificate: ClientCertificate,
}

/// With what a peer has signed.
#[derive(Clone, Debug)]
pub struct Signature {
    /// `RSA-PSS (2048 bits)`, `ECDSA (prime256v1)`
    pub algorithm: String,
    /// `SHA256`; empty if there is none.
    pub digest: String,
}

/// What the client has shown of itself.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificate {
    #[default]
    NotRequested,
    NotPresented,
    Presented {
        common_name: String,
        issuer: String,
        verified: bool,
    },
}

/// Writes what goes before the content: prepended headers and Received:.
pub(super) fn write(settings: &Settings, message: &Incoming) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut line = |text: &[u8]| {
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    };
    message.prepend.iter().for_each(|prepended| line(prepended));
    let (id, date, name) = (message.id, &message.date, &settings.myhostname);
    let mail_name = &settings.mail_name;
    match &message.received {
        Received::Smtp(tls) => write_smtp(settings, message, tls.as_deref(), &mut line),
        Received::Local { uid } => {
            line(format!("Received: by {name} ({mail_name}, from userid {uid})").as_bytes());
            line(format!("\tid {id}; {date}").as_bytes());
        }
        Received::Internal => {
            line(format!("Received: by {name} ({mail_name})").as_bytes());
            line(format!("\tid {id}; {date}").as_bytes());
            line(format!("Date: {date}").as_bytes());
        }
    }
    out
}

fn write_smtp(
    settings: &Settings,
    message: &Incoming,
    tls: Option<&TlsSession>,
    line: &mut impl FnMut(&[u8]),
) {
    let client = &message.envelope.client;
    let helo = if client.helo.is_empty() { &client.name } else { &client.helo };
    let tag = if client.address.contains(':') { "IPv6:" } else { "" };
    line(format!("Received: from {helo} ({} [{tag}{}])", client.name, client.address).as_bytes());
    if let Some(tls) = tls.filter(|_| settings.smtpd_tls_received_header) {
        tls.lines().iter().for_each(|text| line(text.as_bytes()));
    }
    if settings.smtpd_sasl_authenticated_header && !client.sasl_username.is_empty() {
        line(format!("\t(Authenticated sender: {})", in_comment(&client.sasl_username)).as_bytes());
    }
    let protocol = protocol(client, message.envelope.smtputf8, tls.is_some());
    let (id, date) = (message.id, &message.date);
    let by = format!("\tby {} ({}) with {protocol} id {id}", settings.myhostname, settings.mail_name);
    if let [recipient] = &message.envelope.recipients[..] {
        line(by.as_bytes());
        let address = quote(recipient.address.as_bytes());
        line(&[b"\tfor <", &address[..], b">; ", date.as_bytes()].concat());
    } else {
        line(format!("{by};").as_bytes());
        line(format!("\t{date}").as_bytes());
    }
}

/// RFC 3848: ESMTP with `S` for TLS and `A` for a login; RFC 6531 4.3: UTF8SMTP.
fn protocol(client: &Client, smtputf8: bool, has_tls: bool) -> String {
    let protocol = if smtputf8 { "UTF8SMTP" } else { &client.protocol };
    let is_esmtp = client.protocol == "ESMTP";
    let tls = if has_tls && is_esmtp { "S" } else { "" };
    let login = if !client.sasl_username.is_empty() && is_esmtp { "A" } else { "" };
    format!("{protocol}{tls}{login}")
}

impl TlsSession {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "\t(using {} with cipher {} ({}/{} bits)",
            self.protocol, self.cipher, self.used_bits, self.algorithm_bits
        )];
        let mut session = String::new();
        if !self.key_exchange.is_empty() {
            session = format!("\t key-exchange {}", self.key_exchange);
        }
        if let Some(signature) = &self.server_signature {
            let start = if session.is_empty() { "\t" } else { "" };
            session.push_str(&format!("{start} {}", signature.text("server")));
        }
        lines.extend(Some(session).filter(|text| !text.is_empty()));
        lines.extend(
            self.client_signature.as_ref().map(|signature| format!("\t {}", signature.text("client"))),
        );
        if let Some(last) = lines.last_mut() {
            last.push(')');
        }
        lines.push(match &self.client_certificate {
            ClientCertificate::NotRequested => "\t(No client certificate requested)".to_string(),
            ClientCertificate::NotPresented => "\t(Client did not present a certificate)".to_string(),
            ClientCertificate::Presented { common_name, issuer, verified } => format!(
                "\t(Client CN \"{}\", Issuer \"{}\" ({}))",
                in_comment(common_name),
                in_comment(issuer),
                if *verified { "verified OK" } else { "not verified" }
            ),
        });
        lines
    }
}

impl Signature {
    fn text(&self, whose: &str) -> String {
        let digest =
            if self.digest.is_empty() { String::new() } else { format!(" {whose}-digest {}", self.digest) };
        format!("{whose}-signature {}{digest}", self.algorithm)
    }
}

/// Makes text fit to stand in a comment: printable ASCII, parentheses in pairs.
fn in_comment(text: &str) -> String {
    let mut open = 0;
    let mut clean = |byte: u8| match byte {
        b'(' => {
            open += 1;
            '('
        }
        b')' if open > 0 => {
            open -= 1;
            ')'
        }
        b')' | b'\\' => '?',
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    let mut out: String = text.bytes().map(&mut clean).collect();
    out.extend(std::iter::repeat_n(')', open));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        for (text, expect) in [
            ("alice", "alice"),
            ("a(b", "a(b)"),
            ("a)b", "a?b"),
            ("(a)(b", "(a)(b)"),
            ("a\\b\n", "a?b?"),
            ("\u{e9}", "??"),
        ] {
            assert_eq!(in_comment(text), expect);
        }
    }

    #[test]
    fn tls_lines() {
        let mut tls = TlsSession {
            protocol: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            used_bits: 256,
            algorithm_bits: 256,
            key_exchange: "X25519".into(),
            server_signature: Some(Signature {
                algorithm: "RSA-PSS (2048 bits)".into(),
                digest: "SHA256".into(),
            }),
            ..TlsSession::default()
        };
        assert_eq!(
            tls.lines(),
            [
                "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
                "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)",
                "\t(No client certificate requested)",
            ]
        );
        tls.key_exchange.clear();
        tls.server_signature = None;
        tls.client_certificate =
            ClientCertificate::Presented { common_name: "c)n".into(), issuer: "ca".into(), verified: true };
        assert_eq!(
            tls.lines(),
            [
                "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))",
                "\t(Client CN \"c?n\", Issuer \"ca\" (verified OK))",
            ]
        );
    }
}
