//! SCRAM (RFC 5802, RFC 7677) without channel binding.

use super::SaslError;
use super::exchange::{escaped_name, hmac};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs5::pbkdf2_hmac;
use zeroize::Zeroizing;

/// Rounds of hashing that a server may ask for. Some ask for 600,000; a hostile one would ask for more.
const ROUNDS_LIMIT: usize = 2_000_000;

#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    /// `n,,` or `n,a=…,`.
    header: String,
    first_bare: String,
    nonce: String,
    password: Secret,
    step: Step,
}

#[derive(Debug)]
enum Step {
    ServerFirst,
    /// What the server must show.
    ServerFinal {
        signature: Zeroizing<Vec<u8>>,
    },
    Over,
}

#[derive(Clone, Copy)]
struct Hash(MessageDigest);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({:?})", self.0.type_())
    }
}

impl Scram {
    pub(super) fn new(
        hash: MessageDigest,
        user: &str,
        authzid: Option<&str>,
        password: Secret,
        nonce: &str,
    ) -> Scram {
        Scram {
            hash: Hash(hash),
            header: authzid.map_or("n,,".to_owned(), |name| format!("n,a={},", escaped_name(name))),
            first_bare: format!("n={},r={nonce}", escaped_name(user)),
            nonce: nonce.to_owned(),
            password,
            step: Step::ServerFirst,
        }
    }

    pub(super) fn client_first(&self) -> Secret {
        Secret::new(format!("{}{}", self.header, self.first_bare).into_bytes())
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| SaslError::Protocol)?;
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::ServerFirst => self.client_final(challenge),
            Step::ServerFinal { signature } => verify(challenge, &signature),
            Step::Over => Err(SaslError::Protocol),
        }
    }

    /// `r=NONCE,s=SALT,i=ROUNDS`, answered with the proof that we know the password.
    fn client_final(&mut self, server_first: &str) -> Result<Secret, SaslError> {
        let server = ServerFirst::parse(server_first, &self.nonce).ok_or(SaslError::Protocol)?;
        let hash = self.hash.0;
        let mut salted = Zeroizing::new(vec![0; hash.size()]);
        pbkdf2_hmac(self.password.expose(), &server.salt, server.rounds, hash, &mut salted)?;

        let without_proof = format!("c={},r={}", BASE64.encode(&self.header), server.nonce);
        let message = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = hmac(hash, &salted, b"Client Key")?;
        let stored_key = self::hash(hash, &client_key)?;
        let client_signature = hmac(hash, &stored_key, message.as_bytes())?;
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.iter().zip(client_signature.iter()).map(|(a, b)| a ^ b).collect());

        let server_key = hmac(hash, &salted, b"Server Key")?;
        self.step = Step::ServerFinal { signature: hmac(hash, &server_key, message.as_bytes())? };
        Ok(Secret::new(format!("{without_proof},p={}", BASE64.encode(&*proof)).into_bytes()))
    }
}

/// `v=SIGNATURE`, answered with nothing.
fn verify(server_final: &str, expect: &[u8]) -> Result<Secret, SaslError> {
    let signature = server_final.split(',').next().and_then(|field| field.strip_prefix("v="));
    let signature = signature.and_then(|text| BASE64.decode(text).ok()).ok_or(SaslError::Protocol)?;
    if signature.len() != expect.len() || !openssl::memcmp::eq(&signature, expect) {
        return Err(SaslError::Server);
    }
    Ok(Secret::default())
}

struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    rounds: usize,
}

impl<'a> ServerFirst<'a> {
    fn parse(text: &'a str, client_nonce: &str) -> Option<ServerFirst<'a>> {
        let mut fields = text.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = BASE64.decode(fields.next()?.strip_prefix("s=")?).ok()?;
        let rounds = fields.next()?.strip_prefix("i=")?.parse().ok()?;
        let is_sound = nonce.len() > client_nonce.len()
            && nonce.starts_with(client_nonce)
            && (1..=ROUNDS_LIMIT).contains(&rounds);
        is_sound.then_some(ServerFirst { nonce, salt, rounds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5802 5, RFC 7677 3.
    #[test]
    fn examples_of_the_rfcs() {
        for (hash, nonce, server_first, client_final, server_final) in [
            (
                MessageDigest::sha1(),
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                MessageDigest::sha256(),
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ] {
            let mut scram = Scram::new(hash, "user", None, "pencil".into(), nonce);
            assert_eq!(scram.client_first().expose(), format!("n,,n=user,r={nonce}").as_bytes());
            assert_eq!(scram.respond(server_first.as_bytes()).unwrap().expose(), client_final.as_bytes());
            assert_eq!(scram.respond(server_final.as_bytes()).unwrap().expose(), b"");
            assert_eq!(scram.respond(b""), Err(SaslError::Protocol));
        }
    }

    #[test]
    fn what_a_server_must_not_say() {
        for (server_first, server_final, expect) in [
            ("r=abcd,s=QSXCR+Q6sek8bf92,i=1", "v=AAAA", SaslError::Server),
            ("r=abcd,s=QSXCR+Q6sek8bf92,i=1", "e=other-error", SaslError::Protocol),
            ("r=abcd,s=QSXCR+Q6sek8bf92,i=1", "", SaslError::Protocol),
            ("r=abc,s=QSXCR+Q6sek8bf92,i=1", "", SaslError::Protocol),
            ("r=xbcd,s=QSXCR+Q6sek8bf92,i=1", "", SaslError::Protocol),
            ("r=abcd,s=?,i=1", "", SaslError::Protocol),
            ("r=abcd,s=QSXCR+Q6sek8bf92,i=0", "", SaslError::Protocol),
            ("r=abcd,s=QSXCR+Q6sek8bf92,i=99999999999", "", SaslError::Protocol),
            ("m=x,r=abcd,s=QSXCR+Q6sek8bf92,i=1", "", SaslError::Protocol),
            ("", "", SaslError::Protocol),
        ] {
            let mut scram = Scram::new(MessageDigest::sha1(), "user", None, "pencil".into(), "abc");
            let end =
                scram.respond(server_first.as_bytes()).and_then(|_| scram.respond(server_final.as_bytes()));
            assert_eq!(end, Err(expect), "{server_first} {server_final}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let scram = Scram::new(MessageDigest::sha1(), "a=b,c", Some("d,"), "".into(), "n");
        assert_eq!(scram.client_first().expose(), b"n,a=d=2C,n=a=3Db=2Cc,r=n");
    }
}
