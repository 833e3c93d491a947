//! Other certificates for other names (`tls_server_sni_maps`): a client says in its first message which server it wants
//! (RFC 6066 3).

use super::SetupError;
use super::certificates::identities_from_pem;
use mail::hostname;
use openssl::ex_data::Index;
use openssl::ssl::{NameType, SniError, Ssl, SslAlert, SslContext, SslContextBuilder, SslMethod, SslRef};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Keys and certificates for a name, as PEM; None if there are none. An error is a table that cannot be asked.
pub type ChainsByName = Arc<dyn Fn(&str) -> Result<Option<Vec<u8>>, String> + Send + Sync>;

/// Where a connection's [`Asked`] is kept for the callback. OpenSSL never takes a number back, hence one for all.
static ASKED: LazyLock<Result<Index<Ssl, Asked>, openssl::error::ErrorStack>> =
    LazyLock::new(Ssl::new_ex_index);

/// What one client asked for, and what came of it.
#[derive(Clone, Default)]
pub(super) struct Asked {
    client: String,
    outcome: Arc<Mutex<Outcome>>,
}

/// The name that certificates were found for, and lines for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) server_name: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// Has a context use the certificates of the name that a client asks for.
pub(super) fn attach(context: &mut SslContextBuilder, chains: ChainsByName) {
    context.set_servername_callback(move |ssl, alert| {
        let (Some(name), Some(asked)) = (ssl.servername(NameType::HOST_NAME).map(str::to_owned), asked(ssl))
        else {
            return Err(SniError::NOACK);
        };
        let mut outcome = asked.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.server_name.as_ref() == Some(&name) {
            // asked again after a retry of the first message
            return Ok(());
        }
        let Asked { client, .. } = &asked;
        if !hostname::is_hostname(name.as_bytes()) {
            outcome.warnings.push(format!("TLS SNI from {client} is invalid: {name}"));
            return Err(SniError::NOACK);
        }
        let failed = |outcome: &mut Outcome, warnings: Vec<String>, alert: &mut SslAlert| {
            outcome.warnings.extend(warnings);
            *alert = SslAlert::INTERNAL_ERROR;
            SniError::ALERT_FATAL
        };
        match find(&chains, &name) {
            Ok(Some(pem)) => {
                let used = use_chains(ssl, &pem, &name);
                used.map_err(|error| {
                    failed(&mut outcome, error.lines.into_iter().map(|(_, line)| line).collect(), alert)
                })?;
                outcome.server_name = Some(name);
                Ok(())
            }
            Ok(None) => {
                outcome.notes.push(format!("TLS SNI {name} from {client} not matched, using default chain"));
                Err(SniError::NOACK)
            }
            Err(warning) => Err(failed(&mut outcome, vec![warning], alert)),
        }
    });
}

/// Prepares a connection for the callback.
pub(super) fn watch(ssl: &mut SslRef, client: &str) -> Asked {
    let asked = Asked { client: client.to_owned(), ..Asked::default() };
    if let Ok(index) = &*ASKED {
        ssl.set_ex_data(*index, asked.clone());
    }
    asked
}

impl Asked {
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn asked(ssl: &SslRef) -> Option<Asked> {
    let index = ASKED.as_ref().ok()?;
    ssl.ex_data(*index).cloned()
}

/// The name's own, else those of a domain above it, with a dot in front.
fn find(chains: &ChainsByName, name: &str) -> Result<Option<Vec<u8>>, String> {
    let parents = name.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &name[at..]);
    for key in std::iter::once(name).chain(parents) {
        if let Some(pem) = chains(key).map_err(|why| format!("{why}: TLS SNI {name}"))? {
            return Ok(Some(pem));
        }
    }
    Ok(None)
}

fn use_chains(ssl: &mut SslRef, pem: &[u8], name: &str) -> Result<(), SetupError> {
    let mut context = SslContext::builder(SslMethod::tls_server())?;
    for identity in identities_from_pem(pem, name)? {
        identity.apply(&mut context)?;
    }
    Ok(ssl.set_ssl_context(&context.build())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Identity, KeyKind};
    use openssl::nid::Nid;
    use openssl::ssl::SslStream;
    use std::os::unix::net::UnixStream;
    use std::thread;

    fn pem(name: &str) -> Vec<u8> {
        let identity = Identity::self_signed(name, KeyKind::Ec);
        [identity.key_pem(), identity.certificate_pem()].concat()
    }

    fn server(chains: ChainsByName) -> SslContext {
        let mut context = SslContext::builder(SslMethod::tls_server()).unwrap();
        for identity in identities_from_pem(&pem("default"), "default").unwrap() {
            identity.apply(&mut context).unwrap();
        }
        attach(&mut context, chains);
        context.build()
    }

    /// The name in the certificate that a client gets who asks for a name, and what is noted of it.
    fn served(context: &SslContext, name: &str) -> (Option<String>, Outcome) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut ssl = Ssl::new(context).unwrap();
        let asked = watch(&mut ssl, "c[192.0.2.2]");
        let serving = thread::spawn(move || SslStream::new(ssl, far).unwrap().accept().is_ok());
        let client = SslContext::builder(SslMethod::tls_client()).unwrap().build();
        let mut ssl = Ssl::new(&client).unwrap();
        ssl.set_hostname(name).unwrap();
        let mut stream = SslStream::new(ssl, near).unwrap();
        let is_up = stream.connect().is_ok();
        let certificate = stream.ssl().peer_certificate().filter(|_| is_up);
        let subject = certificate.map(|certificate| {
            let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
            entry.unwrap().data().to_string().unwrap()
        });
        drop(stream);
        let _ = serving.join();
        (subject, asked.outcome())
    }

    #[test]
    fn certificates_by_name() {
        let (exact, parent) = (pem("exact"), pem("parent"));
        let context = server(Arc::new(move |key| match key {
            "a.example.com" => Ok(Some(exact.clone())),
            ".example.com" => Ok(Some(parent.clone())),
            "broken.example" => Ok(Some(b"nothing".to_vec())),
            "down.example" => Err("tls_server_sni_maps map lookup problem".into()),
            _ => Ok(None),
        }));
        let note = |name: &str| format!("TLS SNI {name} from c[192.0.2.2] not matched, using default chain");
        for (name, subject, server_name, notes, warnings) in [
            ("a.example.com", Some("exact"), Some("a.example.com"), vec![], 0),
            ("b.example.com", Some("parent"), Some("b.example.com"), vec![], 0),
            ("a.b.example.com", Some("parent"), Some("a.b.example.com"), vec![], 0),
            ("example.com", Some("default"), None, vec![note("example.com")], 0),
            ("-a.example.com", Some("default"), None, vec![], 1),
            ("broken.example", None, None, vec![], 2),
            ("down.example", None, None, vec![], 1),
        ] {
            let (got, outcome) = served(&context, name);
            assert_eq!(got.as_deref(), subject, "{name}");
            assert_eq!(outcome.server_name.as_deref(), server_name, "{name}");
            assert_eq!((outcome.notes, outcome.warnings.len()), (notes, warnings), "{name}");
        }
    }
}
