//! What a handshake came to: the log's line, the comment in Received:, and what restrictions look at.

use super::ClientLevel;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKeyRef};
use openssl::ssl::{SslRef, SslVersion};
use openssl::x509::{X509NameRef, X509Ref, X509VerifyResult};
use std::fmt;

/// A connection's TLS. Displayed, it is the log's line for a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSummary {
    pub role: Role,
    /// `host[address]:port`, or a client's `name[address]`; in lower case.
    pub peer: String,
    /// The name that a client asked for and that we had a certificate for (`tls_server_sni_maps`).
    pub server_name: Option<String>,
    /// `TLSv1.3`.
    pub protocol: String,
    pub cipher: String,
    pub cipher_bits: u32,
    pub cipher_algorithm_bits: u32,
    /// These are of TLS 1.3; before that the cipher's name says it.
    pub key_exchange: Option<Algorithm>,
    pub server_signature: Option<Signature>,
    pub client_signature: Option<Signature>,
    /// Of the peer.
    pub certificate: Certificate,
    /// Common names of the peer's certificate and of its issuer; empty if there is none.
    pub peer_name: String,
    pub issuer_name: String,
    /// `AB:CD:…` of the certificate and of its public key; empty without a certificate, or if the digest is unknown.
    pub certificate_fingerprint: String,
    pub public_key_fingerprint: String,
    /// An earlier session was resumed.
    pub is_resumed: bool,
    /// As a client: the level that was in force in the end.
    pub level: Option<ClientLevel>,
    /// As a client: the certificate is the one that was wanted, if one was.
    pub is_matched: bool,
    /// As a client: how it was known, for detailed logs. Names that matched are in the certificate.
    pub match_text: Option<String>,
    /// Why the peer's certificate is not trusted, in words for the log.
    pub verify_failure: Option<String>,
}

/// Our end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

/// What the peer's certificate is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certificate {
    /// None was shown.
    Anonymous,
    Untrusted,
    /// An authority that we trust says so.
    Trusted,
    /// And it is the one that was wanted: at the levels that want one.
    Verified,
}

/// A key exchange: `X25519`, `ECDHE (prime256v1)`, `DHE (2048 bits)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    pub name: String,
    pub detail: Detail,
}

/// What follows an algorithm's name in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    None,
    Curve(String),
    Bits(u32),
}

/// A signature: `RSA-PSS (2048 bits)` with `SHA256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub algorithm: Algorithm,
    pub digest: Option<String>,
}

impl TlsSummary {
    /// Reads it off a finished handshake. `is_verified` says that a trusted certificate is also the wanted one.
    pub(super) fn of(ssl: &SslRef, peer: &str, fingerprint_digest: &str, is_verified: bool) -> TlsSummary {
        let role = if ssl.is_server() { Role::Server } else { Role::Client };
        let certificate = ssl.peer_certificate();
        let fingerprints = certificate.as_deref().and_then(|c| fingerprints(c, fingerprint_digest));
        let (certificate_fingerprint, public_key_fingerprint) = fingerprints.unwrap_or_default();
        let cipher = ssl.current_cipher();
        let mut summary = TlsSummary {
            role,
            peer: peer.to_ascii_lowercase(),
            server_name: None,
            protocol: ssl.version_str().to_string(),
            cipher: cipher.map_or_else(String::new, |cipher| cipher.name().to_string()),
            cipher_bits: cipher.map_or(0, |cipher| cipher.bits().secret.unsigned_abs()),
            cipher_algorithm_bits: cipher.map_or(0, |cipher| cipher.bits().algorithm.unsigned_abs()),
            key_exchange: None,
            server_signature: None,
            client_signature: None,
            certificate: match &certificate {
                None => Certificate::Anonymous,
                Some(_) if ssl.verify_result() != X509VerifyResult::OK => Certificate::Untrusted,
                Some(_) if is_verified => Certificate::Verified,
                Some(_) => Certificate::Trusted,
            },
            peer_name: certificate.as_deref().map_or_else(String::new, |c| peer_name(c, ssl)),
            issuer_name: certificate.as_deref().map_or_else(String::new, issuer_name),
            certificate_fingerprint,
            public_key_fingerprint,
            is_resumed: ssl.session_reused(),
            level: None,
            is_matched: false,
            match_text: None,
            verify_failure: None,
        };
        if ssl.version2() == Some(SslVersion::TLS1_3) {
            summary.add_algorithms(ssl, certificate.as_deref());
        }
        summary
    }

    fn add_algorithms(&mut self, ssl: &SslRef, peer_certificate: Option<&X509Ref>) {
        self.key_exchange = ssl.peer_tmp_key().ok().map(|key| key_exchange(&key));
        let ours = ssl.certificate().filter(|_| self.role == Role::Server || sys::tls::has_signed(ssl));
        let ours = ours.and_then(|certificate| signature(certificate, sys::tls::signature_digest(ssl)));
        let theirs = peer_certificate.and_then(|c| signature(c, sys::tls::peer_signature_digest(ssl)));
        match self.role {
            Role::Client => (self.client_signature, self.server_signature) = (ours, theirs),
            Role::Server => (self.server_signature, self.client_signature) = (ours, theirs),
        }
    }

    /// The log's line for a message that goes over a connection kept from before.
    pub fn reused_line(&self) -> String {
        self.line("reused")
    }

    fn line(&self, how: &str) -> String {
        let kind = match self.certificate {
            Certificate::Anonymous => "Anonymous",
            Certificate::Untrusted => "Untrusted",
            Certificate::Trusted => "Trusted",
            Certificate::Verified => "Verified",
        };
        let direction = match self.role {
            Role::Client => "to",
            Role::Server => "from",
        };
        let mut line = format!("{kind} TLS connection {how} {direction} {}", self.peer);
        if let (Role::Server, Some(name)) = (self.role, &self.server_name) {
            line += &format!(" to {name}");
        }
        line += &format!(": {}", self.cipher_text());
        for (word, part) in self.algorithm_parts() {
            line += &format!(" {word} {part}");
        }
        line
    }

    fn cipher_text(&self) -> String {
        let TlsSummary { protocol, cipher, cipher_bits, cipher_algorithm_bits, .. } = self;
        format!("{protocol} with cipher {cipher} ({cipher_bits}/{cipher_algorithm_bits} bits)")
    }

    fn algorithm_parts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let key_exchange = self.key_exchange.iter().map(|part| ("key-exchange", part.to_string()));
        let signature = |signature: &Option<Signature>, names: [&'static str; 2]| {
            let algorithm = signature.iter().map(|s| (names[0], s.algorithm.to_string()));
            let digest = signature.iter().flat_map(|s| &s.digest).map(|digest| (names[1], digest.clone()));
            algorithm.chain(digest).collect::<Vec<_>>()
        };
        let server = signature(&self.server_signature, ["server-signature", "server-digest"]);
        let client = signature(&self.client_signature, ["client-signature", "client-digest"]);
        key_exchange.chain(server).chain(client)
    }

    /// The lines that `smtpd_tls_received_header` adds to Received:, each with its leading blanks and without its end.
    /// `asked` says whether a certificate was asked for.
    pub fn received_comment(&self, asked: bool) -> Vec<String> {
        let mut lines = vec![format!("\t(using {}", self.cipher_text())];
        let mut line = String::new();
        for (word, part) in self.algorithm_parts() {
            // Postfix: the key exchange and the server's signature share a line, the client's has its own
            if word == "client-signature" && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line += if line.is_empty() { "\t " } else { " " };
            line += &format!("{word} {part}");
        }
        if !line.is_empty() {
            lines.push(line);
        }
        if let Some(last) = lines.last_mut() {
            last.push(')');
        }
        lines.push(match self.certificate {
            Certificate::Anonymous if asked => "\t(Client did not present a certificate)".into(),
            Certificate::Anonymous => "\t(No client certificate requested)".into(),
            status => {
                let (peer, issuer) = (comment_text(&self.peer_name), comment_text(&self.issuer_name));
                let is_ok = if status == Certificate::Untrusted { "not verified" } else { "verified OK" };
                format!("\t(Client CN \"{peer}\", Issuer \"{issuer}\" ({is_ok}))")
            }
        });
        lines
    }

    pub fn is_trusted(&self) -> bool {
        self.certificate >= Certificate::Trusted
    }
}

impl fmt::Display for TlsSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line("established"))
    }
}

impl maillog::Event for TlsSummary {}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::None => f.write_str(&self.name),
            Detail::Curve(curve) => write!(f, "{} ({curve})", self.name),
            Detail::Bits(bits) => write!(f, "{} ({bits} bits)", self.name),
        }
    }
}

fn key_exchange<T: HasPublic>(key: &PKeyRef<T>) -> Algorithm {
    match key.id() {
        Id::DH => Algorithm { name: "DHE".into(), detail: Detail::Bits(key.bits()) },
        Id::EC => Algorithm { name: "ECDHE".into(), detail: curve(key) },
        other => Algorithm { name: short_name(Nid::from_raw(other.as_raw())), detail: Detail::None },
    }
}

fn signature(certificate: &X509Ref, digest: Option<Nid>) -> Option<Signature> {
    let key = certificate.public_key().ok()?;
    let algorithm = match key.id() {
        // TLS 1.3 has no other use of RSA
        Id::RSA => Algorithm { name: "RSA-PSS".into(), detail: Detail::Bits(key.bits()) },
        Id::EC => Algorithm { name: "ECDSA".into(), detail: curve(&key) },
        other => Algorithm { name: short_name(Nid::from_raw(other.as_raw())), detail: Detail::None },
    };
    Some(Signature { algorithm, digest: digest.map(short_name) })
}

fn curve<T: HasPublic>(key: &PKeyRef<T>) -> Detail {
    let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
    curve.map_or(Detail::None, |nid| Detail::Curve(short_name(nid)))
}

fn short_name(nid: Nid) -> String {
    nid.short_name().unwrap_or_default().to_string()
}

fn peer_name(certificate: &X509Ref, ssl: &SslRef) -> String {
    let common_name = text_of(certificate.subject_name(), Nid::COMMONNAME);
    common_name.or_else(|| sys::tls::peer_name(ssl)).unwrap_or_default()
}

/// Postfix: authorities without a common name are known by their organisation.
fn issuer_name(certificate: &X509Ref) -> String {
    let issuer = certificate.issuer_name();
    text_of(issuer, Nid::COMMONNAME).or_else(|| text_of(issuer, Nid::ORGANIZATIONNAME)).unwrap_or_default()
}

/// The first entry of a kind, if it is printable and not longer than Postfix takes.
fn text_of(name: &X509NameRef, nid: Nid) -> Option<String> {
    const LENGTH_LIMIT: usize = 255;
    let entry = name.entries_by_nid(nid).next()?;
    let text = entry.data().to_string().ok()?;
    let text = text.trim_end_matches('\0');
    let is_clean = text.len() <= LENGTH_LIMIT && !text.chars().any(|c| c.is_ascii_control());
    is_clean.then(|| text.to_string())
}

/// `smtpd_tls_fingerprint_digest` over the certificate, and over its public key (RFC 7469 2.4).
fn fingerprints(certificate: &X509Ref, digest: &str) -> Option<(String, String)> {
    let digest = MessageDigest::from_name(digest)?;
    let of_certificate = certificate.digest(digest).ok()?;
    let key = sys::tls::public_key_der(certificate)?;
    let of_key = openssl::hash::hash(digest, &key).ok()?;
    Some((colons(&of_certificate), colons(&of_key)))
}

fn colons(digest: &[u8]) -> String {
    digest.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
}

/// Text from outside inside a comment (RFC 5322 3.2.2): printable ASCII with balanced parentheses.
fn comment_text(text: &str) -> String {
    let mut open = 0;
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        out.push(match octet {
            b'\\' | 0..=31 | 127.. => '?',
            b')' if open == 0 => '?',
            _ => octet as char,
        });
        match octet {
            b'(' => open += 1,
            b')' if open > 0 => open -= 1,
            _ => {}
        }
    }
    out + &")".repeat(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> TlsSummary {
        TlsSummary {
            role: Role::Client,
            peer: "mx.example[192.0.2.1]:25".into(),
            server_name: None,
            protocol: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            cipher_bits: 256,
            cipher_algorithm_bits: 256,
            key_exchange: Some(Algorithm { name: "X25519".into(), detail: Detail::None }),
            server_signature: Some(Signature {
                algorithm: Algorithm { name: "ECDSA".into(), detail: Detail::Curve("prime256v1".into()) },
                digest: Some("SHA256".into()),
            }),
            client_signature: None,
            certificate: Certificate::Untrusted,
            peer_name: String::new(),
            issuer_name: String::new(),
            certificate_fingerprint: String::new(),
            public_key_fingerprint: String::new(),
            is_resumed: false,
            level: None,
            is_matched: false,
            match_text: None,
            verify_failure: None,
        }
    }

    fn rsa() -> Option<Signature> {
        let algorithm = Algorithm { name: "RSA-PSS".into(), detail: Detail::Bits(2048) };
        Some(Signature { algorithm, digest: Some("SHA256".into()) })
    }

    fn tls12(mut summary: TlsSummary) -> TlsSummary {
        summary.protocol = "TLSv1.2".into();
        summary.cipher = "ADH-AES256-GCM-SHA384".into();
        (summary.key_exchange, summary.server_signature) = (None, None);
        summary
    }

    #[test]
    fn log_lines() {
        let server = |name: &str| TlsSummary {
            role: Role::Server,
            peer: "client.example[192.0.2.2]".into(),
            server_name: (!name.is_empty()).then(|| name.to_string()),
            ..summary()
        };
        let long = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 \
                    server-signature ECDSA (prime256v1) server-digest SHA256";
        for (summary, expect) in [
            (summary(), format!("Untrusted TLS connection established to mx.example[192.0.2.1]:25: {long}")),
            (
                TlsSummary { certificate: Certificate::Verified, ..summary() },
                format!("Verified TLS connection established to mx.example[192.0.2.1]:25: {long}"),
            ),
            (
                TlsSummary { certificate: Certificate::Trusted, client_signature: rsa(), ..summary() },
                format!(
                    "Trusted TLS connection established to mx.example[192.0.2.1]:25: {long} client-signature \
                     RSA-PSS (2048 bits) client-digest SHA256"
                ),
            ),
            (
                tls12(TlsSummary { certificate: Certificate::Anonymous, ..summary() }),
                "Anonymous TLS connection established to mx.example[192.0.2.1]:25: TLSv1.2 with cipher \
                 ADH-AES256-GCM-SHA384 (256/256 bits)"
                    .into(),
            ),
            (
                server(""),
                format!("Untrusted TLS connection established from client.example[192.0.2.2]: {long}"),
            ),
            (
                server("mail.example"),
                format!(
                    "Untrusted TLS connection established from client.example[192.0.2.2] to mail.example: {long}"
                ),
            ),
        ] {
            assert_eq!(summary.to_string(), expect);
        }
        let line = format!("Untrusted TLS connection reused to mx.example[192.0.2.1]:25: {long}");
        assert_eq!(summary().reused_line(), line);
    }

    #[test]
    fn received_comments() {
        let anonymous = || TlsSummary { certificate: Certificate::Anonymous, ..summary() };
        let named = |certificate| TlsSummary {
            certificate,
            peer_name: "a\\b) \u{e9}".into(),
            issuer_name: "CA (test".into(),
            client_signature: rsa(),
            ..summary()
        };
        let head = "\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)";
        let exchange = "\t key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256";
        for (summary, asked, expect) in [
            (
                anonymous(),
                false,
                vec![head.to_string(), format!("{exchange})"), "\t(No client certificate requested)".into()],
            ),
            (
                anonymous(),
                true,
                vec![head.into(), format!("{exchange})"), "\t(Client did not present a certificate)".into()],
            ),
            (
                named(Certificate::Untrusted),
                true,
                vec![
                    head.into(),
                    exchange.into(),
                    "\t client-signature RSA-PSS (2048 bits) client-digest SHA256)".into(),
                    "\t(Client CN \"a?b? ??\", Issuer \"CA (test)\" (not verified))".into(),
                ],
            ),
            (
                tls12(anonymous()),
                false,
                vec![
                    "\t(using TLSv1.2 with cipher ADH-AES256-GCM-SHA384 (256/256 bits))".into(),
                    "\t(No client certificate requested)".into(),
                ],
            ),
        ] {
            assert_eq!(summary.received_comment(asked), expect);
        }
        let trusted = named(Certificate::Trusted).received_comment(true);
        assert!(trusted.last().unwrap().ends_with("(verified OK))"));
    }
}
