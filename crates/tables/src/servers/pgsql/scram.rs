//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side, without channel binding.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// Turns of the digest a server may ask for.
const MAX_TURNS: usize = 1_000_000;

/// An exchange under way.
pub(super) struct Scram {
    nonce: String,
    /// What the server proves with, once it is known.
    server_proof: Option<Vec<u8>>,
}

impl Scram {
    /// `nonce`: printable, without a comma.
    pub(super) fn new(nonce: String) -> Scram {
        Scram { nonce, server_proof: None }
    }

    pub(super) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare()).into_bytes()
    }

    /// The name is empty: the server has it already.
    fn first_bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// The answer to the server's first message; None: that is none.
    pub(super) fn answer(&mut self, password: &str, message: &[u8]) -> Option<Vec<u8>> {
        let message = std::str::from_utf8(message).ok()?;
        let nonce = field(message, "r").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = STANDARD.decode(field(message, "s")?).ok()?;
        let turns = field(message, "i")?.parse().ok().filter(|turns| (1..=MAX_TURNS).contains(turns))?;
        let mut salted = [0; 32];
        pbkdf2_hmac(password.as_bytes(), &salt, turns, MessageDigest::sha256(), &mut salted).ok()?;
        let client_key = hmac(&salted, b"Client Key")?;
        let stored_key = openssl::sha::sha256(&client_key);
        let bare = format!("c=biws,r={nonce}");
        let all = format!("{},{message},{bare}", self.first_bare());
        let signature = hmac(&stored_key, all.as_bytes())?;
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_proof = Some(hmac(&hmac(&salted, b"Server Key")?, all.as_bytes())?);
        Some(format!("{bare},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Whether the server knows the password, too.
    pub(super) fn is_right(&self, message: &[u8]) -> bool {
        let proof = std::str::from_utf8(message).ok().and_then(|message| field(message, "v"));
        let proof = proof.and_then(|proof| STANDARD.decode(proof).ok());
        match (&self.server_proof, proof) {
            (Some(expect), Some(proof)) => expect.len() == proof.len() && openssl::memcmp::eq(expect, &proof),
            _ => false,
        }
    }
}

fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn hmac(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let key = PKey::hmac(key).ok()?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key).ok()?;
    signer.sign_oneshot_to_vec(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3, but for the name, which is part of what is signed.
    #[test]
    fn an_exchange() {
        let mut scram = Scram::new("rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(scram.first(), b"n,,n=,r=rOprNGfwEbeRWgbNEkqO");
        let first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = String::from_utf8(scram.answer("pencil", first).unwrap()).unwrap();
        assert!(answer.starts_with("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="));
        let right = format!("v={}", STANDARD.encode(scram.server_proof.as_ref().unwrap()));
        assert!(scram.is_right(right.as_bytes()));
        for wrong in ["v=AAAA", "e=no", ""] {
            assert!(!scram.is_right(wrong.as_bytes()), "{wrong}");
        }
        for broken in
            ["r=other,s=W22Z,i=1", "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0", "r=rOprNGfwEbeRWgbNEkqOx,i=1", ""]
        {
            assert_eq!(scram.answer("pencil", broken.as_bytes()), None, "{broken}");
        }
    }
}
