//! Certificates, keys and authorities: read from files, which the parent opens, and read again when they change.

use super::{SetupError, Tlsa};
use crate::dial::error_text;
use crate::watch::Stamp;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContextBuilder, SslFiletype};
use openssl::stack::Stack;
use openssl::x509::store::X509Lookup;
use openssl::x509::{X509, X509Ref};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Octets of a file of certificates; CA bundles have some 200 KB.
const FILE_LIMIT: u64 = 8 << 20;

/// Opens a file that may be readable for root only. The worker has no such right and asks the parent.
pub type OpenFile = Arc<dyn Fn(&Path) -> io::Result<File> + Send + Sync>;

/// Where certificates are.
#[derive(Clone)]
pub struct CertificateFiles {
    /// `smtpd_tls_chain_files`: keys, each followed by its certificate and chain. If set, the pairs do not count.
    pub chain_files: Vec<PathBuf>,
    /// `smtpd_tls_cert_file` and `smtpd_tls_key_file`, then those of DSA and ECDSA.
    pub pairs: Vec<CertificatePair>,
    /// `smtpd_tls_CAfile`.
    pub ca_file: Option<PathBuf>,
    /// `smtpd_tls_CApath`.
    pub ca_path: Option<PathBuf>,
    /// `tls_append_default_CA`: the system's authorities too, if there are others.
    pub append_default_ca: bool,
    pub open_file: OpenFile,
}

/// A certificate with its chain, and its key.
#[derive(Clone, Debug)]
pub struct CertificatePair {
    /// `RSA`, `DSA` or `ECDSA`: for texts; the files decide.
    pub kind: &'static str,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What was in the files.
pub(super) struct Certificates {
    identities: Vec<Identity>,
    authorities: Vec<X509>,
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

pub(super) struct Identity {
    certificate: X509,
    key: PKey<Private>,
    chain: Stack<X509>,
}

impl CertificateFiles {
    /// No files at all; those that are named later are opened directly.
    pub fn none() -> CertificateFiles {
        CertificateFiles {
            chain_files: Vec::new(),
            pairs: Vec::new(),
            ca_file: None,
            ca_path: None,
            append_default_ca: false,
            open_file: Arc::new(|path| File::open(path)),
        }
    }

    pub(super) fn load(&self) -> Result<Certificates, SetupError> {
        // stamps first: a file that changes meanwhile is read again
        let stamps = self.paths().map(|path| (path.clone(), self.stamp(path))).collect();
        let identities = if self.chain_files.is_empty() { self.load_pairs()? } else { self.load_chains()? };
        Ok(Certificates { identities, authorities: self.load_authorities()?, stamps })
    }

    pub(super) fn has_changed(&self, certificates: &Certificates) -> bool {
        certificates.stamps.iter().any(|(path, stamp)| self.stamp(path) != *stamp)
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let pairs = self.pairs.iter().flat_map(|pair| [&pair.certificate, &pair.key]);
        self.chain_files.iter().chain(pairs).chain(&self.ca_file)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let file = (self.open_file)(path).ok()?;
        file.metadata().ok().map(|metadata| Stamp::of(&metadata))
    }

    fn load_pairs(&self) -> Result<Vec<Identity>, SetupError> {
        self.pairs.iter().map(|pair| self.load_pair(pair)).collect()
    }

    fn load_pair(&self, pair: &CertificatePair) -> Result<Identity, SetupError> {
        let CertificatePair { kind, certificate, key } = pair;
        let cannot = |what: &str, path: &Path, error: SetupError| {
            let path = path.display();
            error.under(format!("cannot get {kind} {what} from file \"{path}\": disabling TLS support"))
        };
        let parsed = self.read(certificate).and_then(|pem| Ok(X509::stack_from_pem(&pem)?));
        let parsed = parsed.map_err(|error| cannot("certificate", certificate, error))?;
        let mut certificates = parsed.into_iter();
        let leaf = certificates.next();
        let leaf = leaf.ok_or_else(|| cannot("certificate", certificate, SetupError::default()))?;
        let parsed =
            self.read(key).and_then(|pem| Ok(PKey::private_key_from_pem_callback(&pem, no_password)?));
        let key = parsed.map_err(|error| cannot("private key", key, error))?;
        if !fits(&key, &leaf) {
            if leaf.public_key().is_ok_and(|public| public.id() == key.id()) {
                let reason = SetupError::new("the key does not fit the certificate".into());
                return Err(cannot("private key", &pair.key, reason));
            }
            let (key, certificate) = (pair.key.display(), pair.certificate.display());
            return Err(SetupError::new(format!(
                "{kind} private key in {key} does not match public key in {certificate}: disabling TLS support"
            )));
        }
        Ok(Identity { certificate: leaf, key, chain: stack(certificates)? })
    }

    /// Keys first, each with its certificate behind it and the chain behind that; over all files.
    fn load_chains(&self) -> Result<Vec<Identity>, SetupError> {
        let names: Vec<String> = self.chain_files.iter().map(|path| path.display().to_string()).collect();
        let at_end = |error: SetupError| {
            let names = names.join(", ");
            error.then(format!(
                "error loading private keys and certificates from: {names}: disabling TLS support"
            ))
        };
        let mut chains = Chains::default();
        for (path, name) in self.chain_files.iter().zip(&names) {
            self.read(path).and_then(|pem| chains.add_file(&pem, name)).map_err(at_end)?;
        }
        chains.finish(&names.join(", ")).map_err(at_end)
    }

    fn load_authorities(&self) -> Result<Vec<X509>, SetupError> {
        let Some(path) = &self.ca_file else { return Ok(Vec::new()) };
        let cannot = |error: SetupError| {
            let path = path.display();
            error.under_note(format!(
                "cannot load Certification Authority data, CAfile=\"{path}\": disabling TLS support"
            ))
        };
        let parsed = self.read(path).and_then(|pem| Ok(X509::stack_from_pem(&pem)?));
        let authorities = parsed.map_err(cannot)?;
        if authorities.is_empty() { Err(cannot(SetupError::default())) } else { Ok(authorities) }
    }

    /// `smtp_tls_trust_anchor_file`: certificates and public keys that stand for the authorities that are trusted.
    pub fn load_trust_anchors(&self, path: &Path) -> Result<Vec<Tlsa>, SetupError> {
        let mut content = Vec::new();
        (self.open_file)(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut content)).map_err(
            |error| {
                let (path, error) = (path.display(), error_text(&error));
                SetupError::new(format!("error opening trust anchor file: {path}: {error}"))
            },
        )?;
        let malformed = |what: &str, error: openssl::error::ErrorStack| {
            let path = path.display();
            SetupError::from(error).then(format!("error reading: {path}: malformed trust-anchor {what}"))
        };
        let mut anchors = Vec::new();
        let mut is_empty = true;
        for (label, block) in pem_blocks(&content) {
            is_empty = false;
            match label {
                "CERTIFICATE" | "X509 CERTIFICATE" => {
                    let der = X509::from_pem(block).and_then(|certificate| certificate.to_der());
                    anchors.extend(Tlsa::of_certificate(der.map_err(|e| malformed("certificate", e))?));
                }
                "PUBLIC KEY" => {
                    let der = PKey::public_key_from_pem(block).and_then(|key| key.public_key_to_der());
                    anchors.extend(Tlsa::of_public_key(der.map_err(|e| malformed("public key", e))?));
                }
                _ => {}
            }
        }
        if is_empty { Err(SetupError::default()) } else { Ok(anchors) }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, SetupError> {
        let mut content = Vec::new();
        let opened = (self.open_file)(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut content));
        match opened {
            Ok(_) => Ok(content),
            Err(error) => {
                let (path, error) = (path.display(), error_text(&error));
                Err(SetupError::new(format!("open {path}: {error}")))
            }
        }
    }
}

impl Certificates {
    pub(super) fn apply(
        &self,
        files: &CertificateFiles,
        context: &mut SslContextBuilder,
    ) -> Result<(), SetupError> {
        for identity in &self.identities {
            identity.apply(context)?;
        }
        let store = context.cert_store_mut();
        for authority in &self.authorities {
            store.add_cert(authority.clone())?;
        }
        if let Some(path) = &files.ca_path {
            let folder = store.add_lookup(X509Lookup::hash_dir())?;
            folder.add_dir(&path.to_string_lossy(), SslFiletype::PEM)?;
        }
        if files.append_default_ca && (files.ca_file.is_some() || files.ca_path.is_some()) {
            store.set_default_paths()?;
        }
        Ok(())
    }

    pub(super) fn have_no_files(&self) -> bool {
        self.stamps.is_empty()
    }

    pub(super) fn authorities(&self) -> &[X509] {
        &self.authorities
    }
}

impl Identity {
    pub(super) fn apply(&self, context: &mut SslContextBuilder) -> Result<(), SetupError> {
        Ok(sys::tls::use_certificate(context, &self.certificate, &self.key, &self.chain)?)
    }
}

/// Keys and certificates from one text; `name` is for complaints.
pub(super) fn identities_from_pem(pem: &[u8], name: &str) -> Result<Vec<Identity>, SetupError> {
    let mut chains = Chains::default();
    let name = format!("SNI data for {name}");
    let read = chains.add_file(pem, &name).and_then(|()| chains.finish(&name));
    read.map_err(|error| {
        error
            .then(format!("error loading private keys and certificates from: {name}: aborting TLS handshake"))
    })
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles")
            .field("chain_files", &self.chain_files)
            .field("pairs", &self.pairs)
            .field("ca_file", &self.ca_file)
            .field("ca_path", &self.ca_path)
            .finish_non_exhaustive()
    }
}

/// Keys and certificates in the order in which they come.
#[derive(Default)]
struct Chains {
    done: Vec<Identity>,
    open: Option<OpenChain>,
}

struct OpenChain {
    key: PKey<Private>,
    key_at: Place,
    certificates: Vec<X509>,
}

/// For texts: which object of which file.
type Place = (usize, String);

/// Postfix has other words for the same flaw in the midst of the files and at their end.
enum Unfinished {
    NoCertificate(Place),
    Mismatch(Place),
    Other(SetupError),
}

impl Chains {
    fn add_file(&mut self, pem: &[u8], name: &str) -> Result<(), SetupError> {
        for (number, (label, block)) in pem_blocks(pem).enumerate() {
            let number = number + 1;
            match label {
                "CERTIFICATE" | "X509 CERTIFICATE" => self.add_certificate(block, number, name)?,
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "DSA PRIVATE KEY" => {
                    self.add_key(block, number, name)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_certificate(&mut self, block: &[u8], number: usize, name: &str) -> Result<(), SetupError> {
        let Some(open) = &mut self.open else {
            return Err(SetupError::new(format!("error loading chain from {name}: key not first")));
        };
        let certificate = X509::from_pem(block).map_err(|error| {
            SetupError::from(error)
                .under(format!("error loading certificate (PEM object number {number}) from {name}"))
        })?;
        open.certificates.push(certificate);
        Ok(())
    }

    fn add_key(&mut self, block: &[u8], number: usize, name: &str) -> Result<(), SetupError> {
        self.close().map_err(|unfinished| {
            let failed = "error loading certificate chain: key at index";
            match unfinished {
                Unfinished::NoCertificate((number, name)) => {
                    SetupError::new(format!("{failed} {number} in {name} not followed by a certificate"))
                }
                Unfinished::Mismatch((number, name)) => {
                    SetupError::new(format!("{failed} {number} in {name} does not match the certificate"))
                }
                Unfinished::Other(error) => error,
            }
        })?;
        let key = PKey::private_key_from_pem_callback(block, no_password).map_err(|error| {
            SetupError::from(error)
                .under(format!("error loading private key (PEM object number {number}) from {name}"))
        })?;
        self.open = Some(OpenChain { key, key_at: (number, name.to_string()), certificates: Vec::new() });
        Ok(())
    }

    /// The chain that was begun is whole when another key or the end comes.
    fn close(&mut self) -> Result<(), Unfinished> {
        let Some(OpenChain { key, key_at, certificates }) = self.open.take() else { return Ok(()) };
        let mut certificates = certificates.into_iter();
        let Some(certificate) = certificates.next() else { return Err(Unfinished::NoCertificate(key_at)) };
        if !fits(&key, &certificate) {
            return Err(Unfinished::Mismatch(key_at));
        }
        let chain = stack(certificates).map_err(Unfinished::Other)?;
        self.done.push(Identity { certificate, key, chain });
        Ok(())
    }

    fn finish(mut self, names: &str) -> Result<Vec<Identity>, SetupError> {
        if self.done.is_empty() && self.open.is_none() {
            return Err(SetupError::new(format!("No PEM data in {names}")));
        }
        self.close().map_err(|unfinished| match unfinished {
            Unfinished::NoCertificate((number, name)) => {
                SetupError::new(format!("No certs for key at index {number} in {name}"))
            }
            Unfinished::Mismatch((number, name)) => {
                SetupError::new(format!("key at index {number} in {name} does not match next certificate"))
            }
            Unfinished::Other(error) => error,
        })?;
        Ok(self.done)
    }
}

fn fits(key: &PKey<Private>, certificate: &X509Ref) -> bool {
    certificate.public_key().is_ok_and(|public| key.public_eq(&public))
}

fn stack(certificates: impl Iterator<Item = X509>) -> Result<Stack<X509>, SetupError> {
    let mut stack = Stack::new()?;
    for certificate in certificates {
        stack.push(certificate)?;
    }
    Ok(stack)
}

/// OpenSSL would ask at the terminal.
fn no_password(_: &mut [u8]) -> Result<usize, openssl::error::ErrorStack> {
    Ok(0)
}

/// The blocks of a PEM text (RFC 7468): label, and the block with its first and last line.
fn pem_blocks(pem: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let starts =
        pem.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN).map(|(at, _)| at);
    starts.filter_map(|at| {
        let label = pem[at + BEGIN.len()..].split(|b| *b == b'-').next()?;
        Some((std::str::from_utf8(label).ok()?, &pem[at..]))
    })
}

/// Reads any octets as a chain file.
pub fn fuzz_certificates(data: &[u8]) {
    let mut chains = Chains::default();
    if chains.add_file(data, "fuzz").is_ok() {
        let _ = chains.finish("fuzz");
    }
}

#[cfg(test)]
#[path = "certificates_tests.rs"]
mod tests;
