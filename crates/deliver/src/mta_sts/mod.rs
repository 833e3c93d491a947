//! MTA-STS (RFC 8461): policies of domains about TLS with their servers, fetched from their web servers and kept as long as
//! they say. What a policy comes to for a connection is [`crate::smtp`]'s business.

mod policy;

pub use policy::{Mode, Policy, fuzz_mta_sts};

use mail::dns::{Kind, Record};
use net::Resolver;
use net::https::{HttpsClient, Request};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 8461 3.3: how long a fetch may take, and how much may come.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);
const SIZE_LIMIT: usize = 64 << 10;
/// After a fetch that failed, nobody asks again for so long (RFC 8461 3.3).
const PAUSE: Duration = Duration::from_secs(300);
/// Domains that are remembered; with more, all are forgotten, and read from their files again.
const DOMAIN_LIMIT: usize = 10_000;

/// Policies of all domains.
pub struct Policies {
    pub resolver: Resolver,
    pub https: HttpsClient,
    /// A file a domain, in `data_directory`.
    pub folder: PathBuf,
    /// 443, but for tests.
    pub port: u16,
    known: Mutex<HashMap<String, Known>>,
}

/// A policy as it was fetched; none, if there is none or it was not to be had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    /// The record's id when it was fetched.
    id: String,
    /// Seconds since 1970.
    fetched: u64,
    policy: Option<Policy>,
    /// When a fetch failed last.
    failed: Option<u64>,
}

impl Policies {
    pub fn new(resolver: Resolver, https: HttpsClient, folder: PathBuf) -> Policies {
        Policies { resolver, https, folder, port: 443, known: Mutex::default() }
    }

    /// A domain's policy, if it has one that holds now. `warn` gets why a published policy could not be had.
    pub async fn find(
        &self,
        domain: &str,
        now: SystemTime,
        warn: &(impl Fn(String) + Sync),
    ) -> Option<Policy> {
        let domain = domain.to_ascii_lowercase();
        if !mail::hostname::is_hostname(domain.as_bytes()) || mail::hostname::is_address(domain.as_bytes()) {
            return None;
        }
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let known = self.known(&domain);
        let current = known.holding(seconds);
        // RFC 8461 3.1: whatever happens to the record, a policy that holds goes on holding
        let Some(id) = self.record(&domain).await else { return current };
        let is_paused = known.failed.is_some_and(|failed| seconds < failed + PAUSE.as_secs());
        if (id == known.id && current.is_some()) || is_paused {
            return current;
        }
        match self.fetch(&domain).await {
            Ok(policy) => {
                let fetched = Known { id, fetched: seconds, policy: Some(policy.clone()), failed: None };
                if let Err(error) = fetched.write(&self.folder, &domain) {
                    warn(format!("MTA-STS policy of {domain} cannot be kept: {error}"));
                }
                self.remember(domain, fetched);
                Some(policy)
            }
            Err(why) => {
                warn(format!("MTA-STS policy of {domain} cannot be fetched: {why}"));
                self.remember(domain, Known { failed: Some(seconds), ..known });
                current
            }
        }
    }

    /// The id of the one record that there is to be.
    async fn record(&self, domain: &str) -> Option<String> {
        let answer = self.resolver.lookup(&format!("_mta-sts.{domain}"), Kind::Txt).await.outcome.ok()?;
        let texts = answer.records.iter().filter_map(|record| match record {
            Record::Txt(text) => std::str::from_utf8(text).ok(),
            _ => None,
        });
        let mut records = texts.filter(|text| text.starts_with("v=STSv1;"));
        let record = records.next()?;
        if records.next().is_some() {
            return None;
        }
        policy::record_id(record).map(str::to_owned)
    }

    async fn fetch(&self, domain: &str) -> Result<Policy, String> {
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let url = format!("https://mta-sts.{domain}{port}/.well-known/mta-sts.txt");
        let request = Request { url: &url, body: None, timeout: FETCH_TIMEOUT, size_limit: SIZE_LIMIT };
        let answer = self.https.send(&request).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        if answer.content_type != "text/plain" {
            return Err(format!("content type \"{}\"", answer.content_type));
        }
        let text = std::str::from_utf8(&answer.body).ok();
        text.and_then(Policy::parse).ok_or_else(|| "it is no policy".to_owned())
    }

    fn known(&self, domain: &str) -> Known {
        let in_memory = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(domain).cloned();
        in_memory.unwrap_or_else(|| Known::read(&self.folder, domain).unwrap_or_default())
    }

    fn remember(&self, domain: String, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= DOMAIN_LIMIT {
            all.clear();
        }
        all.insert(domain, known);
    }
}

impl Known {
    fn holding(&self, now: u64) -> Option<Policy> {
        let policy = self.policy.as_ref()?;
        (now < self.fetched.saturating_add(policy.max_age)).then(|| policy.clone())
    }

    /// Two lines of ours, then the policy as it came.
    fn write(&self, folder: &Path, domain: &str) -> io::Result<()> {
        if let Err(error) = fs::create_dir(folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let lines = self.policy.as_ref().map(|policy| policy.lines.join("\n")).unwrap_or_default();
        let temporary = folder.join(format!(".{domain}.new"));
        fs::write(&temporary, format!("{}\n{}\n{lines}\n", self.id, self.fetched))?;
        fs::rename(&temporary, folder.join(domain))
    }

    /// None: there is nothing, or nothing that makes sense.
    fn read(folder: &Path, domain: &str) -> Option<Known> {
        let text = fs::read_to_string(folder.join(domain)).ok()?;
        let (id, rest) = text.split_once('\n')?;
        let (fetched, policy) = rest.split_once('\n')?;
        let policy = Some(Policy::parse(policy)?);
        Some(Known { id: id.to_owned(), fetched: fetched.parse().ok()?, policy, failed: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example\nmax_age: 100";

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn known(fetched: u64) -> Known {
        Known { id: "a".into(), fetched, policy: Policy::parse(POLICY), failed: None }
    }

    #[test]
    fn policies_grow_old() {
        for (now, holds) in [(1000, true), (1099, true), (1100, false)] {
            assert_eq!(known(1000).holding(now).is_some(), holds, "{now}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("mta-sts");
        known(1000).write(&below, "a.example").unwrap();
        known(2000).write(&below, "a.example").unwrap();
        assert_eq!(Known::read(&below, "a.example"), Some(known(2000)));
        fs::write(below.join("b.example"), "a\nx\n").unwrap();
        assert_eq!((Known::read(&below, "b.example"), Known::read(&below, "c.example")), (None, None));
    }

    #[tokio::test]
    async fn without_a_record_what_is_kept_holds() {
        let folder = tempfile::tempdir().unwrap();
        known(1000).write(folder.path(), "kept.example").unwrap();
        // no name server answers there
        fs::write(
            folder.path().join("resolv.conf"),
            "nameserver 127.0.0.1:1\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        let resolver = Resolver::new(net::resolver::Sources {
            resolv_conf: folder.path().join("resolv.conf"),
            ..net::resolver::Sources::default()
        });
        let https = HttpsClient {
            resolver: resolver.clone(),
            inet_protocols: net::InetProtocols { ipv4: true, ipv6: false },
            ca_file: None,
        };
        let policies = Policies::new(resolver, https, folder.path().to_owned());
        let quiet = |warning: String| panic!("{warning}");
        for (domain, now, expect) in [
            ("KEPT.example", 1050, Some(Mode::Enforce)),
            ("kept.example", 1200, None),
            ("other.example", 1050, None),
            ("192.0.2.1", 1050, None),
            ("../../etc", 1050, None),
        ] {
            let found = policies.find(domain, at(now), &quiet).await;
            assert_eq!(found.map(|policy| policy.mode), expect, "{domain} {now}");
        }
    }
}
