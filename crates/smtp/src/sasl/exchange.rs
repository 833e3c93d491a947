//! One login attempt: what the client says to what the server says.

use super::Mechanism;
use super::scram::Scram;
use crate::secret::Secret;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use zeroize::Zeroizing;

/// What a client has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: Secret,
    },
    /// OAuth 2 (RFC 7628).
    Token {
        user: String,
        token: Secret,
    },
    /// The client certificate of the TLS session (RFC 4422 appendix A).
    Certificate {
        /// Who to act as; empty: whom the certificate names.
        authorization: String,
    },
}

/// What some mechanisms say about the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    pub host: String,
    pub port: u16,
}

/// Why a login cannot go on, in the words of the Cyrus library, which the log has always had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslError {
    /// The server says something that the mechanism does not know.
    Protocol,
    /// The server could not prove that it knows the password.
    Server,
    /// Cryptography failed, or the mechanism does not suit the credentials.
    Generic,
}

impl SaslError {
    pub fn text(self) -> &'static str {
        match self {
            SaslError::Protocol => "bad protocol / cancel",
            SaslError::Server => "server failed mutual authentication step",
            SaslError::Generic => "generic failure",
        }
    }
}

impl std::fmt::Display for SaslError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for SaslError {}

impl From<openssl::error::ErrorStack> for SaslError {
    fn from(_: openssl::error::ErrorStack) -> SaslError {
        SaslError::Generic
    }
}

/// A login attempt. Begin with [`initial_response`](Exchange::initial_response), then answer every challenge.
///
/// ```
/// use smtp::sasl::{Credentials, Exchange, Mechanism, Peer};
/// let credentials = Credentials::Password { user: "alice".into(), password: "secret".into() };
/// let exchange = Exchange::new(Mechanism::Plain, credentials, Peer::default(), "").unwrap();
/// assert_eq!(exchange.initial_response().unwrap().expose(), b"\0alice\0secret");
/// ```
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    /// Everything is said at once; a challenge can only be about what is wrong, and gets this answer.
    Once {
        response: Secret,
        to_error: &'static [u8],
    },
    LoginUser {
        user: Secret,
        password: Secret,
    },
    LoginPassword {
        password: Secret,
    },
    CramMd5 {
        user: String,
        password: Secret,
    },
    Scram(Box<Scram>),
    /// Nothing more to say.
    Over,
}

impl Exchange {
    /// `nonce` is for the mechanisms that need one: printable ASCII without commas, never used before.
    pub fn new(
        mechanism: Mechanism,
        credentials: Credentials,
        peer: Peer,
        nonce: &str,
    ) -> Result<Exchange, SaslError> {
        Exchange::with_authorization(mechanism, credentials, peer, nonce, false)
    }

    /// As [`new`](Exchange::new). `sends_authzid`: the user name is also sent as the one to act as
    /// (`send_cyrus_sasl_authzid`).
    pub fn with_authorization(
        mechanism: Mechanism,
        credentials: Credentials,
        peer: Peer,
        nonce: &str,
        sends_authzid: bool,
    ) -> Result<Exchange, SaslError> {
        let state = match (mechanism, credentials) {
            (Mechanism::Plain, Credentials::Password { user, password }) => {
                let authzid = if sends_authzid { user.as_bytes() } else { b"" };
                once(&[authzid, b"\0", user.as_bytes(), b"\0", password.expose()], b"")
            }
            (Mechanism::Login, Credentials::Password { user, password }) => {
                State::LoginUser { user: user.as_str().into(), password }
            }
            (Mechanism::CramMd5, Credentials::Password { user, password }) => {
                State::CramMd5 { user, password }
            }
            (Mechanism::XOauth2, Credentials::Token { user, token }) => {
                once(&[b"user=", user.as_bytes(), b"\x01auth=Bearer ", token.expose(), b"\x01\x01"], b"")
            }
            (Mechanism::OauthBearer, Credentials::Token { user, token }) => {
                let place = format!(",\x01host={}\x01port={}\x01auth=Bearer ", peer.host, peer.port);
                let user = escaped_name(&user);
                // RFC 7628 3.2.3: the answer to an error is a lone ^A
                once(&[b"n,a=", user.as_bytes(), place.as_bytes(), token.expose(), b"\x01\x01"], b"\x01")
            }
            (Mechanism::External, Credentials::Certificate { authorization }) => {
                once(&[authorization.as_bytes()], b"")
            }
            (mechanism, Credentials::Password { user, password }) => {
                let hash = mechanism.scram_hash().ok_or(SaslError::Generic)?;
                let authzid = sends_authzid.then_some(user.as_str());
                State::Scram(Box::new(Scram::new(hash, &user, authzid, password, nonce)))
            }
            _ => return Err(SaslError::Generic),
        };
        Ok(Exchange(state))
    }

    /// CRAM-MD5 has no way to send such a user name.
    pub(crate) fn has_blank_user(&self) -> bool {
        matches!(&self.0, State::CramMd5 { user, .. } if user.trim().is_empty())
    }

    /// What is said with AUTH itself, if the mechanism begins with the client.
    pub fn initial_response(&self) -> Option<Secret> {
        match &self.0 {
            State::Once { response, .. } => Some(response.clone()),
            State::Scram(scram) => Some(scram.client_first()),
            _ => None,
        }
    }

    /// The answer to a challenge. Not for the empty one that only asks for a deferred initial response.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Once { to_error, .. } => Ok(to_error.into()),
            State::LoginUser { user, password } => {
                self.0 = State::LoginPassword { password };
                Ok(user)
            }
            State::LoginPassword { password } => Ok(password),
            State::CramMd5 { user, password } => cram_md5(&user, &password, challenge),
            State::Scram(mut scram) => {
                let response = scram.respond(challenge)?;
                self.0 = State::Scram(scram);
                Ok(response)
            }
            State::Over => Err(SaslError::Protocol),
        }
    }
}

fn once(parts: &[&[u8]], to_error: &'static [u8]) -> State {
    State::Once { response: Secret::new(parts.concat()), to_error }
}

/// `,` and `=` as RFC 5801 4 wants them.
pub(super) fn escaped_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// RFC 2195: the user, and a keyed hash of the challenge.
fn cram_md5(user: &str, password: &Secret, challenge: &[u8]) -> Result<Secret, SaslError> {
    let mut response = format!("{user} ");
    for byte in hmac(MessageDigest::md5(), password.expose(), challenge)?.iter() {
        response.push_str(&format!("{byte:02x}"));
    }
    Ok(Secret::new(response.into_bytes()))
}

pub(super) fn hmac(hash: MessageDigest, key: &[u8], text: &[u8]) -> Result<Zeroizing<Vec<u8>>, SaslError> {
    // OpenSSL takes no empty key; a key is filled up with zeros anyway (RFC 2104 2)
    let key = PKey::hmac(if key.is_empty() { &[0] } else { key })?;
    let mut signer = Signer::new(hash, &key)?;
    signer.update(text)?;
    Ok(Zeroizing::new(signer.sign_to_vec()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password() -> Credentials {
        Credentials::Password { user: "tim".into(), password: "tanstaaftanstaaf".into() }
    }

    fn start(mechanism: Mechanism, credentials: Credentials) -> Exchange {
        let peer = Peer { host: "mx.example".into(), port: 587 };
        Exchange::new(mechanism, credentials, peer, "").expect("it suits")
    }

    /// RFC 2195 2.
    #[test]
    fn cram_md5_of_the_rfc() {
        let mut exchange = start(Mechanism::CramMd5, password());
        assert!(exchange.initial_response().is_none());
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = exchange.respond(challenge).unwrap();
        assert_eq!(response.expose(), b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(exchange.respond(challenge), Err(SaslError::Protocol));
    }

    #[test]
    fn login() {
        let mut exchange = start(Mechanism::Login, password());
        assert!(exchange.initial_response().is_none());
        assert_eq!(exchange.respond(b"Username:").unwrap().expose(), b"tim");
        assert_eq!(exchange.respond(b"whatever").unwrap().expose(), b"tanstaaftanstaaf");
        assert_eq!(exchange.respond(b""), Err(SaslError::Protocol));
    }

    #[test]
    fn what_is_said_at_once() {
        let token = || Credentials::Token { user: "a,b".into(), token: "xyz".into() };
        for (mechanism, credentials, expect, to_error) in [
            (Mechanism::Plain, password(), "\0tim\0tanstaaftanstaaf", ""),
            (Mechanism::XOauth2, token(), "user=a,b\x01auth=Bearer xyz\x01\x01", ""),
            (
                Mechanism::OauthBearer,
                token(),
                "n,a=a=2Cb,\x01host=mx.example\x01port=587\x01auth=Bearer xyz\x01\x01",
                "\x01",
            ),
            (Mechanism::External, Credentials::Certificate { authorization: String::new() }, "", ""),
        ] {
            let mut exchange = start(mechanism, credentials);
            assert_eq!(exchange.initial_response().unwrap().expose(), expect.as_bytes());
            assert_eq!(exchange.respond(b"{\"status\":\"401\"}").unwrap().expose(), to_error.as_bytes());
        }
    }

    #[test]
    fn authorization() {
        let exchange = Exchange::with_authorization(Mechanism::Plain, password(), Peer::default(), "", true);
        let response = exchange.unwrap().initial_response().unwrap();
        assert_eq!(response.expose(), b"tim\0tim\0tanstaaftanstaaf");
    }

    #[test]
    fn what_does_not_suit() {
        let token = Credentials::Token { user: "u".into(), token: "t".into() };
        assert!(Exchange::new(Mechanism::Plain, token, Peer::default(), "").is_err());
        assert!(Exchange::new(Mechanism::XOauth2, password(), Peer::default(), "").is_err());
    }
}
