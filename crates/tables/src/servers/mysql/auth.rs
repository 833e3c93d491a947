//! How a client proves to a MySQL server that it knows a password.

use openssl::hash::{MessageDigest, hash};
use openssl::rsa::{Padding, Rsa};

/// Ways of proving that are known here, by their plugins' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    NativePassword,
    CachingSha2,
    /// The password itself; only where nobody listens.
    ClearPassword,
    /// The server looks at the socket's other end, whatever is said.
    Socket,
}

impl Plugin {
    pub(super) fn parse(name: &str) -> Option<Plugin> {
        match name {
            "mysql_native_password" | "" => Some(Plugin::NativePassword),
            "caching_sha2_password" => Some(Plugin::CachingSha2),
            "mysql_clear_password" => Some(Plugin::ClearPassword),
            "auth_socket" | "unix_socket" => Some(Plugin::Socket),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Plugin::NativePassword => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::ClearPassword => "mysql_clear_password",
            Plugin::Socket => "unix_socket",
        }
    }

    /// What is said first; None: OpenSSL would not. `is_private`: nobody else can read it.
    pub(super) fn proof(self, password: &str, nonce: &[u8], is_private: bool) -> Option<Vec<u8>> {
        if password.is_empty() {
            return Some(Vec::new());
        }
        let password = password.as_bytes();
        match self {
            Plugin::NativePassword => {
                let once = digest(MessageDigest::sha1(), &[password])?;
                let twice = digest(MessageDigest::sha1(), &[&once])?;
                Some(xor(&once, &digest(MessageDigest::sha1(), &[nonce, &twice])?))
            }
            Plugin::CachingSha2 => {
                let once = digest(MessageDigest::sha256(), &[password])?;
                let twice = digest(MessageDigest::sha256(), &[&once])?;
                Some(xor(&once, &digest(MessageDigest::sha256(), &[&twice, nonce])?))
            }
            Plugin::ClearPassword if is_private => Some([password, b"\0"].concat()),
            Plugin::ClearPassword => None,
            Plugin::Socket => Some(Vec::new()),
        }
    }
}

/// The password for a server that shows its public key.
pub(super) fn encrypt(password: &str, nonce: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let key = Rsa::public_key_from_pem(key).ok()?;
    let mixed = xor(&[password.as_bytes(), b"\0"].concat(), nonce);
    let mut out = vec![0; key.size() as usize];
    let length = key.public_encrypt(&mixed, &mut out, Padding::PKCS1_OAEP).ok()?;
    out.truncate(length);
    Some(out)
}

fn digest(kind: MessageDigest, parts: &[&[u8]]) -> Option<Vec<u8>> {
    hash(kind, &parts.concat()).ok().map(|digest| digest.to_vec())
}

/// The second is repeated as needed.
fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other.iter().cycle()).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        octets.iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn proofs() {
        let nonce = b"abcdefghijklmnopqrst";
        for (plugin, password, is_private, expect) in [
            (Plugin::NativePassword, "", false, Some(String::new())),
            (Plugin::ClearPassword, "p", true, Some("7000".to_owned())),
            (Plugin::ClearPassword, "p", false, None),
            (Plugin::Socket, "p", false, Some(String::new())),
        ] {
            let proof = plugin.proof(password, nonce, is_private);
            assert_eq!(proof.as_deref().map(hex), expect, "{plugin:?}");
        }
        // The server knows the second digest: from it and the proof the first one comes out.
        for (plugin, kind) in
            [(Plugin::NativePassword, MessageDigest::sha1()), (Plugin::CachingSha2, MessageDigest::sha256())]
        {
            let proof = plugin.proof("secret", nonce, false).unwrap();
            let once = digest(kind, &[b"secret"]).unwrap();
            let twice = digest(kind, &[&once]).unwrap();
            let mixed = match plugin {
                Plugin::NativePassword => digest(kind, &[nonce, &twice]),
                _ => digest(kind, &[&twice, nonce]),
            };
            assert_eq!(xor(&proof, &mixed.unwrap()), once);
            assert_eq!(Plugin::parse(plugin.name()), Some(plugin));
        }
    }

    #[test]
    fn encrypted_passwords() {
        let key = Rsa::generate(2048).unwrap();
        let sent = encrypt("secret", b"nonce", &key.public_key_to_pem().unwrap()).unwrap();
        let mut mixed = vec![0; 256];
        let length = key.private_decrypt(&sent, &mut mixed, Padding::PKCS1_OAEP).unwrap();
        assert_eq!(xor(&mixed[..length], b"nonce"), b"secret\0");
        assert_eq!(encrypt("secret", b"nonce", b"no key"), None);
    }
}
