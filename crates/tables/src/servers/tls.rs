//! TLS of tables that ask servers, over the system's OpenSSL.

use crate::client::Stream;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use std::path::Path;
use std::pin::Pin;
use tokio_openssl::SslStream;

/// `tls_…` of one table. Files are read when a connection is made, as in Postfix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) ca_file: Option<String>,
    pub(super) ca_directory: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    /// In OpenSSL's language.
    pub(super) ciphers: Option<String>,
    pub(super) verify: Verify,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verify {
    #[default]
    Nothing,
    /// The certificate is of a known authority.
    Authority,
    /// That, and it is this server's.
    Name,
}

/// Why there is no TLS.
#[derive(Debug)]
pub(super) enum TlsError {
    /// A file or a list of ciphers cannot be used.
    Settings(String),
    /// The server's certificate is not trusted.
    Untrusted(String),
    Handshake(String),
}

impl Tls {
    /// Talks TLS from here on. `name` is the server's, as the configuration names it.
    pub(super) async fn start(
        &self,
        stream: Pin<Box<dyn Stream>>,
        name: &str,
    ) -> Result<Pin<Box<dyn Stream>>, TlsError> {
        let connector = self.connector().map_err(|error| TlsError::Settings(error.to_string()))?;
        let configured = connector.configure().map(|one| {
            let is_address = name.parse::<std::net::IpAddr>().is_ok();
            one.verify_hostname(self.verify == Verify::Name).use_server_name_indication(!is_address)
        });
        let ssl = configured.and_then(|one| one.into_ssl(name));
        let stream = ssl.and_then(|ssl| SslStream::new(ssl, stream));
        let mut stream = Box::pin(stream.map_err(|error| TlsError::Settings(error.to_string()))?);
        match stream.as_mut().connect().await {
            Ok(()) => Ok(stream),
            Err(error) => {
                let result = stream.ssl().verify_result();
                if result == X509VerifyResult::OK {
                    Err(TlsError::Handshake(error.to_string()))
                } else {
                    Err(TlsError::Untrusted(result.error_string().to_owned()))
                }
            }
        }
    }

    /// Whether the files and ciphers are such.
    pub(super) fn is_usable(&self) -> bool {
        self.connector().is_ok()
    }

    fn connector(&self) -> Result<SslConnector, openssl::error::ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        let is_verified = self.verify != Verify::Nothing;
        builder.set_verify(if is_verified { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
        if self.ca_file.is_some() || self.ca_directory.is_some() {
            let (file, directory) =
                (self.ca_file.as_ref().map(Path::new), self.ca_directory.as_ref().map(Path::new));
            builder.load_verify_locations(file, directory)?;
        }
        if let Some(certificate) = &self.certificate {
            builder.set_certificate_chain_file(certificate)?;
        }
        if let Some(key) = self.key.as_ref().or(self.certificate.as_ref()) {
            builder.set_private_key_file(key, SslFiletype::PEM)?;
        }
        if let Some(ciphers) = &self.ciphers {
            builder.set_cipher_list(ciphers)?;
        }
        Ok(builder.build())
    }
}
