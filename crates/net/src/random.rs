//! Numbers that nobody can guess.

use openssl::rand::rand_bytes;

/// 128 bits from the system's generator, in hexadecimal.
pub fn random_token() -> String {
    let mut bits = [0; 16];
    rand_bytes(&mut bits).expect("OpenSSL's generator was seeded by the system");
    bits.iter().map(|octet| format!("{octet:02x}")).collect()
}
