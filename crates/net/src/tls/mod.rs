//! TLS over OpenSSL, behind an interface of our own: contexts are built once and shared, handshakes have time limits,
//! and what came of them prints Postfix's words.
//!
//! Which level a destination has, and whether a failure may fall back to clear text, is decided by those who call.

mod certificates;
mod ciphers;
mod client;
mod dane;
mod handshake;
mod keeper;
mod names;
mod options;
mod protocols;
mod server;
mod sessions;
mod summary;
mod verify;

pub use certificates::{CertificateFiles, CertificatePair, OpenFile, fuzz_certificates};
pub use ciphers::{CipherLists, InvalidCiphers};
pub use client::{ClientLevel, ClientPolicy, ClientSettings, ClientTls, ServerIdentity};
pub use dane::{DANE_EE, DANE_TA, DaneDigests, FINGERPRINT, Tlsa, parse_fingerprint};
pub use handshake::Cause;
pub use names::ChainsByName;
pub use options::CommonOptions;
pub use protocols::{InvalidProtocols, Protocols};
pub use server::{ServerSettings, ServerTls};
pub use summary::{Algorithm, Certificate, Detail, Role, Signature, TlsSummary};
pub use tokio_openssl::SslStream;

use maillog::Level;
use openssl::error::{Error, ErrorStack};
use std::{fmt, io};

/// Our own side is not in order: files, parameters, the library. What is to be logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetupError {
    pub lines: Vec<(Level, String)>,
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsError {
    Setup(SetupError),
    Handshake {
        role: Role,
        /// `host[address]:port`, or a client's `name[address]`.
        peer: String,
        cause: Cause,
    },
}

impl TlsError {
    /// What is to be logged.
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        match self {
            TlsError::Setup(error) => error.lines.clone(),
            TlsError::Handshake { role, peer, cause } => {
                let what = match role {
                    Role::Client => "SSL_connect error to",
                    Role::Server => "SSL_accept error from",
                };
                let mut lines = vec![(Level::Info, format!("{what} {peer}: {cause}"))];
                if let Cause::Library(stack) = cause {
                    lines.extend(stack.iter().map(|line| (Level::Warning, line.clone())));
                }
                lines
            }
        }
    }
}

/// As a client reports it.
impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cannot start TLS: handshake failure")
    }
}

impl std::error::Error for TlsError {}

impl From<SetupError> for TlsError {
    fn from(error: SetupError) -> TlsError {
        TlsError::Setup(error)
    }
}

impl SetupError {
    fn new(warning: String) -> SetupError {
        SetupError { lines: vec![(Level::Warning, warning)] }
    }

    /// With a line in front that says what was wanted.
    fn under(mut self, warning: String) -> SetupError {
        self.lines.insert(0, (Level::Warning, warning));
        self
    }

    /// The same, where Postfix gives no warning but says so.
    fn under_note(mut self, note: String) -> SetupError {
        self.lines.insert(0, (Level::Info, note));
        self
    }

    /// With a line behind that says what comes of it.
    fn then(mut self, warning: String) -> SetupError {
        self.lines.push((Level::Warning, warning));
        self
    }
}

impl From<ErrorStack> for SetupError {
    fn from(stack: ErrorStack) -> SetupError {
        SetupError { lines: library_lines(&stack).into_iter().map(|line| (Level::Warning, line)).collect() }
    }
}

impl From<io::Error> for SetupError {
    fn from(error: io::Error) -> SetupError {
        SetupError::new(crate::dial::error_text(&error))
    }
}

/// OpenSSL's errors, a line each, as Postfix logs them.
fn library_lines(stack: &ErrorStack) -> Vec<String> {
    stack.errors().iter().map(|error| format!("TLS library problem: {}", library_line(error))).collect()
}

fn library_line(error: &Error) -> String {
    let code = error.code();
    let library = error.library().map_or_else(|| format!("lib({})", error.library_code()), str::to_string);
    let reason = error.reason().map_or_else(|| format!("reason({})", error.reason_code()), str::to_string);
    let place = format!("{}:{}", error.file(), error.line());
    let data = error.data().map_or_else(String::new, |data| format!("{data}:"));
    format!("error:{code:08X}:{library}::{reason}:{place}:{data}")
}

#[cfg(test)]
mod tests;
