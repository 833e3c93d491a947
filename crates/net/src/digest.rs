//! SHA-256, to tell things apart by a short name.

/// The digest of some octets.
pub fn digest(octets: &[u8]) -> [u8; 32] {
    openssl::sha::sha256(octets)
}
