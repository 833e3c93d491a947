//! The few functions of OpenSSL that the `openssl` crate lacks, or leaves unsafe where the check can be made here.
#![allow(unsafe_code)]

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKeyRef, Private};
use openssl::ssl::{SslContextBuilder, SslRef, SslSession, SslSessionRef};
use openssl::stack::StackRef;
use openssl::x509::verify::X509VerifyParamRef;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use openssl_sys as ffi;
use std::ffi::{CStr, c_char, c_int, c_long};
use std::ptr;

/// `openssl/ssl.h`: what `SSL_get_peer_signature_nid` and `SSL_get_signature_nid` expand to.
const SSL_CTRL_GET_PEER_SIGNATURE_NID: c_int = 108;
const SSL_CTRL_GET_SIGNATURE_NID: c_int = 132;
/// And `SSL_CTX_set_dh_auto`.
const SSL_CTRL_SET_DH_AUTO: c_int = 118;

/// OpenSSL's type, of which only addresses are known here.
#[repr(C)]
struct X509_PUBKEY {
    opaque: [u8; 0],
}

unsafe extern "C" {
    fn SSL_CTX_use_cert_and_key(
        ctx: *mut ffi::SSL_CTX,
        certificate: *mut ffi::X509,
        key: *mut ffi::EVP_PKEY,
        chain: *mut ffi::stack_st_X509,
        replace: c_int,
    ) -> c_int;
    fn X509_VERIFY_PARAM_add1_host(
        param: *mut ffi::X509_VERIFY_PARAM,
        name: *const c_char,
        length: usize,
    ) -> c_int;
    fn X509_get_X509_PUBKEY(certificate: *const ffi::X509) -> *mut X509_PUBKEY;
    fn i2d_X509_PUBKEY(key: *const X509_PUBKEY, out: *mut *mut u8) -> c_int;
    fn SSL_SESSION_dup(session: *const ffi::SSL_SESSION) -> *mut ffi::SSL_SESSION;
    fn SSL_get0_peername(ssl: *mut ffi::SSL) -> *const c_char;
}

/// Gives a context a certificate with its key and its own chain. One of each key type may be given (RSA, ECDSA …): a
/// second one of a type, or a key that does not fit, is an error.
pub fn use_certificate(
    context: &mut SslContextBuilder,
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
    chain: &StackRef<X509>,
) -> Result<(), ErrorStack> {
    const REPLACE: c_int = 0;
    // SAFETY: all four pointers come from references to live objects. OpenSSL takes its own reference of the
    // certificate, the key and each member of the chain, and copies the stack.
    let done = unsafe {
        SSL_CTX_use_cert_and_key(
            context.as_ptr(),
            certificate.as_ptr(),
            key.as_ptr(),
            chain.as_ptr(),
            REPLACE,
        )
    };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Lets a server choose Diffie-Hellman groups that match the strength of its certificate.
pub fn use_automatic_dh(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    // SAFETY: the context is live; this command reads its long argument only.
    let done = unsafe { ffi::SSL_CTX_ctrl(context.as_ptr(), SSL_CTRL_SET_DH_AUTO, 1, ptr::null_mut()) };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Adds a name that the peer's certificate may have; with several, one must match. A name with a dot in front matches
/// its subdomains.
pub fn add_host(param: &mut X509VerifyParamRef, name: &str) -> Result<(), ErrorStack> {
    // SAFETY: the parameter object is live, and name and length describe one allocation, which OpenSSL copies.
    let done = unsafe { X509_VERIFY_PARAM_add1_host(param.as_ptr(), name.as_ptr().cast(), name.len()) };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// A certificate's public key as it stands there (SubjectPublicKeyInfo, RFC 5280 4.1). OpenSSL 3 takes as long to encode
/// a key anew, which is all that the `openssl` crate offers, as for a handshake.
pub fn public_key_der(certificate: &X509Ref) -> Option<Vec<u8>> {
    // SAFETY: the certificate is live and owns the key that is returned. With a null pointer only the length is computed;
    // the second call writes just as many octets and moves the pointer, which is a copy.
    unsafe {
        let key = X509_get_X509_PUBKEY(certificate.as_ptr());
        if key.is_null() {
            return None;
        }
        let length = usize::try_from(i2d_X509_PUBKEY(key, ptr::null_mut())).ok()?;
        let mut der = vec![0; length];
        let mut out = der.as_mut_ptr();
        let written = i2d_X509_PUBKEY(key, &mut out);
        (usize::try_from(written) == Ok(length)).then_some(der)
    }
}

/// The name of the peer's certificate that matched one of those wanted.
pub fn peer_name(ssl: &SslRef) -> Option<String> {
    // SAFETY: the SSL object is live; the result is null or a string that it owns, which is copied at once.
    unsafe {
        let name = SSL_get0_peername(ssl.as_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// `X509_V_ERR_UNSPECIFIED`: for certificates that are refused without a look at them.
pub fn unspecified_failure() -> X509VerifyResult {
    const UNSPECIFIED: c_int = 1;
    // SAFETY: it is one of the codes of `openssl/x509_vfy.h`.
    unsafe { X509VerifyResult::from_raw(UNSPECIFIED) }
}

/// The digest under our own signature in this handshake; none for algorithms that hash by themselves (Ed25519), and
/// none if we did not sign.
pub fn signature_digest(ssl: &SslRef) -> Option<Nid> {
    nid_by_ctrl(ssl, SSL_CTRL_GET_SIGNATURE_NID).filter(|nid| *nid != Nid::UNDEF)
}

/// Whether we signed in this handshake.
pub fn has_signed(ssl: &SslRef) -> bool {
    nid_by_ctrl(ssl, SSL_CTRL_GET_SIGNATURE_NID).is_some()
}

/// The digest under the peer's signature in this handshake.
pub fn peer_signature_digest(ssl: &SslRef) -> Option<Nid> {
    nid_by_ctrl(ssl, SSL_CTRL_GET_PEER_SIGNATURE_NID).filter(|nid| *nid != Nid::UNDEF)
}

fn nid_by_ctrl(ssl: &SslRef, command: c_int) -> Option<Nid> {
    let mut nid: c_int = 0;
    // SAFETY: the SSL object is live; both commands write one int through the pointer, and only if they return 1.
    let done = unsafe { ffi::SSL_ctrl(ssl.as_ptr(), command, 0 as c_long, ptr::from_mut(&mut nid).cast()) };
    (done == 1).then(|| Nid::from_raw(nid))
}

/// A session to be resumed by later connections.
///
/// OpenSSL binds a session object to the context that it was used in first, and spoils it when a connection is cut. So
/// this one is never used itself: each connection gets a copy of its own.
pub struct Session(SslSession);

impl Session {
    /// Of a session that a connection just got.
    pub fn copy_of(session: &SslSessionRef) -> Option<Session> {
        // SAFETY: the session is live and is only read; the result is null or a new object with one reference, which is
        // ours.
        unsafe {
            let copy = SSL_SESSION_dup(session.as_ptr());
            (!copy.is_null()).then(|| Session(SslSession::from_ptr(copy)))
        }
    }

    /// Offers it in the coming handshake. False if OpenSSL will not have it.
    pub fn offer(&self, ssl: &mut SslRef) -> bool {
        let Some(copy) = Session::copy_of(&self.0) else { return false };
        // SAFETY: the copy was made just now and belongs to no context yet; the SSL object takes its own reference.
        unsafe { ssl.set_session(&copy.0) }.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::ssl::{
        Ssl, SslContext, SslMethod, SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
    };
    use openssl::stack::Stack;
    use openssl::x509::X509Name;
    use openssl::x509::extension::SubjectAlternativeName;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::{Arc, Mutex};

    fn identity(name: &str) -> (X509, PKey<Private>) {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
        let subject = subject.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(&subject).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        let names =
            SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        (builder.build(), key)
    }

    fn server(certificate: &X509, key: &PKey<Private>) -> SslContext {
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        use_certificate(&mut context, certificate, key, &Stack::new().unwrap()).unwrap();
        context.build()
    }

    fn handshake(client: Ssl, server: &SslContext) -> (SslStream<UnixStream>, SslStream<UnixStream>) {
        let (near, far) = UnixStream::pair().unwrap();
        let ssl = Ssl::new(server).unwrap();
        let accepting = std::thread::spawn(move || {
            let mut stream = ssl.accept(far).unwrap();
            stream.write_all(b"x").unwrap();
            stream
        });
        let mut stream = client.connect(near).unwrap();
        // reading once makes a TLS 1.3 client take its ticket
        stream.read_exact(&mut [0]).unwrap();
        (stream, accepting.join().unwrap())
    }

    #[test]
    fn a_handshake_tells_who_signed_with_what() {
        let (certificate, key) = identity("mx.example.com");
        let client = SslContext::builder(SslMethod::tls_client()).unwrap().build();
        let (near, far) = handshake(Ssl::new(&client).unwrap(), &server(&certificate, &key));
        assert_eq!(peer_signature_digest(near.ssl()), Some(Nid::SHA256));
        assert_eq!(signature_digest(far.ssl()), Some(Nid::SHA256));
        assert!(has_signed(far.ssl()) && !has_signed(near.ssl()));
        assert_eq!(signature_digest(near.ssl()), None);
    }

    #[test]
    fn one_of_several_names_must_match() {
        let (certificate, key) = identity("mx.example.com");
        let server = server(&certificate, &key);
        let mut client = SslContext::builder(SslMethod::tls_client()).unwrap();
        client.cert_store_mut().add_cert(certificate).unwrap();
        client.set_verify(SslVerifyMode::NONE);
        let client = client.build();
        for (names, expect) in [
            (&["example.org", "mx.example.com"][..], Some("mx.example.com")),
            (&[".example.com"], Some("mx.example.com")),
            (&["example.com"], None),
        ] {
            let mut ssl = Ssl::new(&client).unwrap();
            for name in names {
                add_host(ssl.param_mut(), name).unwrap();
            }
            let (near, _far) = handshake(ssl, &server);
            assert_eq!(peer_name(near.ssl()).as_deref(), expect, "{names:?}");
        }
    }

    #[test]
    fn a_public_key_is_the_same_as_when_encoded_anew() {
        let (certificate, key) = identity("mx.example.com");
        assert_eq!(public_key_der(&certificate), Some(key.public_key_to_der().unwrap()));
    }

    #[test]
    fn an_unspecified_failure_is_one() {
        assert_eq!(unspecified_failure().error_string(), "unspecified certificate verification error");
    }

    #[test]
    fn a_server_has_diffie_hellman_without_parameters() {
        let (certificate, key) = identity("mx.example.com");
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        use_certificate(&mut context, &certificate, &key, &Stack::new().unwrap()).unwrap();
        use_automatic_dh(&mut context).unwrap();
        let mut client = SslContext::builder(SslMethod::tls_client()).unwrap();
        client.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
        client.set_cipher_list("ADH:DHE@SECLEVEL=0").unwrap();
        context.set_cipher_list("ADH:DHE@SECLEVEL=0").unwrap();
        let (near, _far) = handshake(Ssl::new(&client.build()).unwrap(), &context.build());
        assert!(near.ssl().current_cipher().unwrap().name().starts_with("ADH"));
    }

    #[test]
    fn a_key_that_does_not_fit_is_refused() {
        let ((certificate, _), (_, other_key)) = (identity("a"), identity("b"));
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        assert!(use_certificate(&mut context, &certificate, &other_key, &Stack::new().unwrap()).is_err());
    }

    #[test]
    fn a_session_is_resumed_even_after_a_cut() {
        let (certificate, key) = identity("mx.example.com");
        let server = server(&certificate, &key);
        let kept: Arc<Mutex<Option<Session>>> = Arc::default();
        let keeping = kept.clone();
        let mut client = SslContext::builder(SslMethod::tls_client()).unwrap();
        client.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
        client.set_new_session_callback(move |_, session| {
            *keeping.lock().unwrap() = Session::copy_of(&session);
        });
        let client = client.build();
        drop(handshake(Ssl::new(&client).unwrap(), &server));
        let session = kept.lock().unwrap().take().expect("the server sends tickets");
        for _ in 0..2 {
            let mut ssl = Ssl::new(&client).unwrap();
            assert!(session.offer(&mut ssl));
            assert!(handshake(ssl, &server).0.ssl().session_reused());
        }
    }
}
