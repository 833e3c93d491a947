//! Which mechanism: what the server offers, what the security options forbid, what the credentials are good for.

use super::Credentials;
use openssl::hash::MessageDigest;

/// A mechanism that we speak. The order is that of preference, as the Cyrus library prefers them; ours last of all is
/// EXTERNAL, for when nothing else will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    ScramSha512,
    ScramSha384,
    ScramSha256,
    ScramSha1,
    CramMd5,
    XOauth2,
    OauthBearer,
    Plain,
    Login,
    External,
}

use Mechanism::{
    CramMd5, External, Login, OauthBearer, Plain, ScramSha1, ScramSha256, ScramSha384, ScramSha512, XOauth2,
};

const MECHANISMS: [(Mechanism, &str); 10] = [
    (ScramSha512, "SCRAM-SHA-512"),
    (ScramSha384, "SCRAM-SHA-384"),
    (ScramSha256, "SCRAM-SHA-256"),
    (ScramSha1, "SCRAM-SHA-1"),
    (CramMd5, "CRAM-MD5"),
    (XOauth2, "XOAUTH2"),
    (OauthBearer, "OAUTHBEARER"),
    (Plain, "PLAIN"),
    (Login, "LOGIN"),
    (External, "EXTERNAL"),
];

impl Mechanism {
    pub fn parse(name: &str) -> Option<Mechanism> {
        MECHANISMS.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(mechanism, _)| *mechanism)
    }

    pub fn name(self) -> &'static str {
        MECHANISMS[self as usize].1
    }

    /// The hash of a SCRAM mechanism.
    pub(super) fn scram_hash(self) -> Option<MessageDigest> {
        match self {
            ScramSha512 => Some(MessageDigest::sha512()),
            ScramSha384 => Some(MessageDigest::sha384()),
            ScramSha256 => Some(MessageDigest::sha256()),
            ScramSha1 => Some(MessageDigest::sha1()),
            _ => None,
        }
    }

    fn is_scram(self) -> bool {
        self.scram_hash().is_some()
    }

    fn suits(self, credentials: &Credentials) -> bool {
        match credentials {
            Credentials::Password { .. } => !matches!(self, XOauth2 | OauthBearer | External),
            Credentials::Token { .. } => matches!(self, XOauth2 | OauthBearer),
            Credentials::Certificate { .. } => self == External,
        }
    }
}

/// `smtp_sasl_security_options`: what a mechanism must do or be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    pub noplaintext: bool,
    pub noactive: bool,
    pub nodictionary: bool,
    /// For our own logins without effect: we never log in as nobody.
    pub noanonymous: bool,
    pub forward_secrecy: bool,
    pub mutual_auth: bool,
}

impl SecurityOptions {
    /// Reads a list parted by blanks or commas; the error is a word that is no option.
    ///
    /// ```
    /// use smtp::sasl::SecurityOptions;
    /// assert!(SecurityOptions::parse("noplaintext, noanonymous").unwrap().noplaintext);
    /// assert_eq!(SecurityOptions::parse("noplain"), Err("noplain".to_owned()));
    /// ```
    pub fn parse(list: &str) -> Result<SecurityOptions, String> {
        let mut options = SecurityOptions::default();
        for word in list.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
            match word {
                "noplaintext" => options.noplaintext = true,
                "noactive" => options.noactive = true,
                "nodictionary" => options.nodictionary = true,
                "noanonymous" => options.noanonymous = true,
                "forward_secrecy" => options.forward_secrecy = true,
                "mutual_auth" => options.mutual_auth = true,
                _ => return Err(word.to_owned()),
            }
        }
        Ok(options)
    }

    /// Whether a name is that of EXTERNAL, and that may be used.
    pub(crate) fn allow_external(self, name: &str) -> bool {
        Mechanism::parse(name) == Some(External) && self.allow(External)
    }

    /// What the Cyrus plug-ins say of themselves.
    fn allow(self, mechanism: Mechanism) -> bool {
        let is_plaintext = matches!(mechanism, Plain | Login | XOauth2 | OauthBearer);
        !(self.noplaintext && is_plaintext)
            && (!self.noactive || mechanism.is_scram())
            && (!self.nodictionary || mechanism == External)
            && (!self.mutual_auth || mechanism.is_scram())
            && !self.forward_secrecy
    }
}

/// The mechanism to use, of those that are offered. None: there is none.
///
/// ```
/// use smtp::sasl::{Credentials, Mechanism, SecurityOptions, choose};
/// let credentials = Credentials::Password { user: "alice".into(), password: "secret".into() };
/// let offered = "PLAIN LOGIN CRAM-MD5".split(' ');
/// assert_eq!(choose(offered, SecurityOptions::default(), &credentials), Some(Mechanism::CramMd5));
/// ```
pub fn choose<'a>(
    offered: impl IntoIterator<Item = &'a str>,
    options: SecurityOptions,
    credentials: &Credentials,
) -> Option<Mechanism> {
    let known = offered.into_iter().filter_map(Mechanism::parse);
    known.filter(|mechanism| options.allow(*mechanism) && mechanism.suits(credentials)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for (at, (mechanism, name)) in MECHANISMS.iter().enumerate() {
            assert_eq!(*mechanism as usize, at);
            assert_eq!(Mechanism::parse(&name.to_lowercase()), Some(*mechanism));
        }
    }

    /// Observed with Debian's Postfix 3.7.11 and Cyrus SASL 2.1.28, except for what that does not know.
    #[test]
    fn choices() {
        let password = Credentials::Password { user: "u".into(), password: "p".into() };
        let token = Credentials::Token { user: "u".into(), token: "t".into() };
        let certificate = Credentials::Certificate { authorization: String::new() };
        for (offered, options, credentials, expect) in [
            ("PLAIN LOGIN", "noanonymous", &password, Some(Plain)),
            ("LOGIN PLAIN", "noanonymous", &password, Some(Plain)),
            ("login", "", &password, Some(Login)),
            ("PLAIN LOGIN CRAM-MD5", "noanonymous", &password, Some(CramMd5)),
            ("CRAM-MD5 SCRAM-SHA-1 PLAIN", "noanonymous", &password, Some(ScramSha1)),
            ("SCRAM-SHA-1 SCRAM-SHA-256 DIGEST-MD5", "noanonymous", &password, Some(ScramSha256)),
            ("SCRAM-SHA-512 SCRAM-SHA-384 SCRAM-SHA-256", "", &password, Some(ScramSha512)),
            ("XOAUTH2 PLAIN", "noanonymous", &password, Some(Plain)),
            ("XOAUTH2", "noanonymous", &password, None),
            ("ANONYMOUS", "noanonymous", &password, None),
            ("SCRAM-SHA-1-PLUS PLAIN", "noanonymous", &password, Some(Plain)),
            ("PLAIN LOGIN", "noplaintext, noanonymous", &password, None),
            ("PLAIN CRAM-MD5", "noplaintext, noanonymous", &password, Some(CramMd5)),
            ("PLAIN CRAM-MD5 SCRAM-SHA-1", "mutual_auth", &password, Some(ScramSha1)),
            ("PLAIN CRAM-MD5", "mutual_auth", &password, None),
            ("PLAIN CRAM-MD5 SCRAM-SHA-1", "forward_secrecy", &password, None),
            ("PLAIN SCRAM-SHA-1", "nodictionary", &password, None),
            ("PLAIN LOGIN XOAUTH2 OAUTHBEARER", "noanonymous", &token, Some(XOauth2)),
            ("PLAIN OAUTHBEARER", "noanonymous", &token, Some(OauthBearer)),
            ("PLAIN XOAUTH2", "noplaintext", &token, None),
            ("PLAIN EXTERNAL", "noplaintext", &certificate, Some(External)),
            ("PLAIN EXTERNAL", "", &password, Some(Plain)),
            ("", "", &password, None),
        ] {
            let options = SecurityOptions::parse(options).expect("options that exist");
            assert_eq!(choose(offered.split(' '), options, credentials), expect, "{offered}");
        }
    }
}
