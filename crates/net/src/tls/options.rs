//! What is set alike for clients and servers: OpenSSL's workarounds and options, curves, and our own modes.

use super::{Protocols, SetupError};
use openssl::ssl::{SslContextBuilder, SslMode, SslOptions};

/// `tls_disable_workarounds`: workarounds that can be left off.
const WORKAROUNDS: [(&str, u64); 9] = [
    ("LEGACY_SERVER_CONNECT", 1 << 2),
    ("TLSEXT_PADDING", 1 << 4),
    ("SAFARI_ECDHE_ECDSA_BUG", 1 << 6),
    ("DONT_INSERT_EMPTY_FRAGMENTS", 1 << 11),
    ("CRYPTOPRO_TLSEXT_BUG", 1 << 31),
    // names that OpenSSL keeps without meaning
    ("MICROSOFT_SESS_ID_BUG", 0),
    ("NETSCAPE_CHALLENGE_BUG", 0),
    ("NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0),
    ("TLS_D5_BUG", 0),
];

/// `tls_ssl_options`: options that can be switched on.
const OPTIONS: [(&str, u64); 7] = [
    ("LEGACY_SERVER_CONNECT", 1 << 2),
    ("NO_TICKET", 1 << 14),
    ("NO_SESSION_RESUMPTION_ON_RENEGOTIATION", 1 << 16),
    ("NO_COMPRESSION", 1 << 17),
    ("ENABLE_MIDDLEBOX_COMPAT", 1 << 20),
    ("PRIORITIZE_CHACHA", 1 << 21),
    ("NO_RENEGOTIATION", 1 << 30),
];

/// Settings of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonOptions {
    /// `tls_disable_workarounds`.
    pub disable_workarounds: String,
    /// `tls_ssl_options`.
    pub ssl_options: String,
    /// `tls_eecdh_auto_curves`.
    pub eecdh_auto_curves: String,
}

/// Postfix's defaults.
impl Default for CommonOptions {
    fn default() -> CommonOptions {
        CommonOptions {
            disable_workarounds: String::new(),
            ssl_options: String::new(),
            eecdh_auto_curves: "X25519 X448 prime256v1 secp521r1 secp384r1".into(),
        }
    }
}

impl CommonOptions {
    pub(super) fn apply(
        &self,
        context: &mut SslContextBuilder,
        protocols: Protocols,
    ) -> Result<(), SetupError> {
        // whom to talk to is decided by protocols and cipher lists, not by the system's level
        context.set_security_level(0);
        let disabled = bits(&self.disable_workarounds, &WORKAROUNDS);
        let enabled = bits(&self.ssl_options, &OPTIONS) & !SslOptions::ALL.bits();
        let options = SslOptions::from_bits_retain(SslOptions::ALL.bits() & !disabled | enabled);
        // SMTP has its own ends of messages, so that a cut connection passes for nothing
        context.set_options(options | SslOptions::IGNORE_UNEXPECTED_EOF | SslOptions::NO_COMPRESSION);
        context.set_mode(SslMode::RELEASE_BUFFERS);
        context.set_read_ahead(true);
        protocols.apply(context)?;
        self.apply_curves(context)
    }

    /// Postfix: curves that OpenSSL does not know are passed over.
    fn apply_curves(&self, context: &mut SslContextBuilder) -> Result<(), SetupError> {
        let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
        let names = self.eecdh_auto_curves.split(is_separator).filter(|name| !name.is_empty());
        let known: Vec<&str> = names.filter(|name| context.set_groups_list(name).is_ok()).collect();
        if !known.is_empty() {
            context.set_groups_list(&known.join(":"))?;
        }
        Ok(())
    }
}

/// Names, or a number in hex. Postfix: others are passed over with a warning, which `params` gives.
fn bits(list: &str, table: &[(&str, u64)]) -> u64 {
    let is_separator = |c: char| c == ',' || c == ':' || c.is_ascii_whitespace();
    let value = |word: &str| {
        if let Some(hex) = word.strip_prefix("0x") {
            return u64::from_str_radix(hex, 16).unwrap_or(0);
        }
        table.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map_or(0, |(_, bits)| *bits)
    };
    list.split(is_separator).map(value).fold(0, |all, bits| all | bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{SslContext, SslMethod};

    fn applied(options: CommonOptions) -> SslOptions {
        let mut context = SslContext::builder(SslMethod::tls()).unwrap();
        options.apply(&mut context, Protocols::default()).unwrap();
        context.options()
    }

    #[test]
    fn options_are_those_of_openssl() {
        assert!(applied(CommonOptions::default()).contains(SslOptions::ALL));
        for (name, option) in [
            ("NO_TICKET", SslOptions::NO_TICKET),
            ("no_renegotiation", SslOptions::NO_RENEGOTIATION),
            ("PRIORITIZE_CHACHA", SslOptions::PRIORITIZE_CHACHA),
            ("NO_COMPRESSION", SslOptions::NO_COMPRESSION),
            ("0x4000", SslOptions::NO_TICKET),
        ] {
            let set = CommonOptions { ssl_options: format!("x, {name}"), ..CommonOptions::default() };
            assert!(applied(set).contains(option), "{name}");
        }
        let disabled = CommonOptions {
            disable_workarounds: "dont_insert_empty_fragments".into(),
            ..CommonOptions::default()
        };
        assert!(!applied(disabled).contains(SslOptions::DONT_INSERT_EMPTY_FRAGMENTS));
    }

    #[test]
    fn unknown_curves_are_passed_over() {
        let mut context = SslContext::builder(SslMethod::tls()).unwrap();
        let curves =
            |names: &str| CommonOptions { eecdh_auto_curves: names.into(), ..CommonOptions::default() };
        for names in ["X25519 nosuch P-256", "nosuch", ""] {
            assert!(curves(names).apply(&mut context, Protocols::default()).is_ok(), "{names}");
        }
    }
}
