//! DANE (RFC 6698, RFC 7671) as OpenSSL checks it: the `openssl` crate has none of its functions.
#![allow(unsafe_code)]

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl_sys as ffi;
use std::ffi::{c_char, c_int, c_ulong};
use std::ptr;

/// `openssl/x509_vfy.h` and `openssl/ssl.h`: RFC 7671 5.1, the name does not count for usage 3.
const DANE_FLAG_NO_DANE_EE_NAMECHECKS: c_ulong = 1;

unsafe extern "C" {
    fn SSL_CTX_dane_enable(ctx: *mut ffi::SSL_CTX) -> c_int;
    fn SSL_CTX_dane_mtype_set(
        ctx: *mut ffi::SSL_CTX,
        digest: *const ffi::EVP_MD,
        matching: u8,
        order: u8,
    ) -> c_int;
    fn SSL_dane_enable(ssl: *mut ffi::SSL, base_domain: *const c_char) -> c_int;
    fn SSL_dane_set_flags(ssl: *mut ffi::SSL, flags: c_ulong) -> c_ulong;
    fn SSL_dane_tlsa_add(
        ssl: *mut ffi::SSL,
        usage: u8,
        selector: u8,
        matching: u8,
        data: *const u8,
        length: usize,
    ) -> c_int;
    fn SSL_get0_dane_authority(
        ssl: *mut ffi::SSL,
        certificate: *mut *mut ffi::X509,
        key: *mut *mut ffi::EVP_PKEY,
    ) -> c_int;
    fn SSL_get0_dane_tlsa(
        ssl: *mut ffi::SSL,
        usage: *mut u8,
        selector: *mut u8,
        matching: *mut u8,
        data: *mut *const u8,
        length: *mut usize,
    ) -> c_int;
}

/// The record that a peer was known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Of the certificate that it is about; 0 is the peer's own.
    pub depth: u32,
    /// A key stands in the record, and signed the certificate at that depth.
    pub is_key: bool,
    pub usage: u8,
    pub selector: u8,
    pub matching: u8,
    pub data: Vec<u8>,
}

/// Lets connections of a context use DANE.
pub fn enable_in_context(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    // SAFETY: the context is live.
    let done = unsafe { SSL_CTX_dane_enable(context.as_ptr()) };
    if done > 0 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The digest that a matching type stands for; None switches it off. Of several records of one kind that with the
/// highest `order` counts (RFC 7671 9).
pub fn set_digest(
    context: &mut SslContextBuilder,
    matching: u8,
    digest: Option<MessageDigest>,
    order: u8,
) -> Result<(), ErrorStack> {
    let digest = digest.map_or(ptr::null(), |digest| digest.as_ptr());
    // SAFETY: the context is live; digests are OpenSSL's own and live for ever.
    let done = unsafe { SSL_CTX_dane_mtype_set(context.as_ptr(), digest, matching, order) };
    if done > 0 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The connection is to be judged by records. Names that the certificate must bear are to be set after this: it takes those
/// away that were set before. They do not count for records about the peer's own certificate.
pub fn enable(ssl: &mut SslRef) -> Result<(), ErrorStack> {
    // SAFETY: the SSL object is live; a null domain is allowed and sets no name.
    let done = unsafe { SSL_dane_enable(ssl.as_ptr(), ptr::null()) };
    if done <= 0 {
        return Err(ErrorStack::get());
    }
    // SAFETY: as above.
    unsafe { SSL_dane_set_flags(ssl.as_ptr(), DANE_FLAG_NO_DANE_EE_NAMECHECKS) };
    Ok(())
}

/// Adds a record. False: OpenSSL cannot use it.
pub fn add_record(
    ssl: &mut SslRef,
    usage: u8,
    selector: u8,
    matching: u8,
    data: &[u8],
) -> Result<bool, ErrorStack> {
    // SAFETY: the SSL object is live; pointer and length describe one slice, which is copied.
    let done =
        unsafe { SSL_dane_tlsa_add(ssl.as_ptr(), usage, selector, matching, data.as_ptr(), data.len()) };
    // what is wrong with an unusable record is of no interest, and must not be found by others later
    let errors = ErrorStack::get();
    if done < 0 { Err(errors) } else { Ok(done > 0) }
}

/// The record that the peer was known by, after the handshake.
pub fn matched(ssl: &SslRef) -> Option<Match> {
    let mut key = ptr::null_mut();
    // SAFETY: the SSL object is live; a null pointer for the certificate is allowed, the key's is written, and borrowed from it.
    let depth = unsafe { SSL_get0_dane_authority(ssl.as_ptr(), ptr::null_mut(), &mut key) };
    let depth = u32::try_from(depth).ok()?;
    let (mut usage, mut selector, mut matching) = (0, 0, 0);
    let (mut data, mut length) = (ptr::null(), 0);
    // SAFETY: the SSL object is live; all five are written if the result is not negative, and the data is borrowed from it and
    // copied at once.
    let data = unsafe {
        let depth = SSL_get0_dane_tlsa(
            ssl.as_ptr(),
            &mut usage,
            &mut selector,
            &mut matching,
            &mut data,
            &mut length,
        );
        if depth < 0 || data.is_null() {
            return None;
        }
        std::slice::from_raw_parts(data, length).to_vec()
    };
    Some(Match { depth, is_key: !key.is_null(), usage, selector, matching, data })
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::ssl::{Ssl, SslContext, SslMethod};

    #[test]
    fn records_are_taken_if_their_digest_is_on() {
        let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
        enable_in_context(&mut context).unwrap();
        set_digest(&mut context, 1, Some(MessageDigest::sha256()), 2).unwrap();
        set_digest(&mut context, 2, None, 0).unwrap();
        let mut ssl = Ssl::new(&context.build()).unwrap();
        enable(&mut ssl).unwrap();
        for (usage, selector, matching, length, expect) in
            [(3, 1, 1, 32, true), (3, 1, 1, 31, false), (3, 1, 2, 64, false), (4, 1, 1, 32, false)]
        {
            let added = add_record(&mut ssl, usage, selector, matching, &vec![7; length]);
            assert_eq!(added.ok(), Some(expect), "{usage} {selector} {matching} {length}");
        }
        // there was no handshake yet
        assert_eq!(matched(&ssl), None);
    }
}
