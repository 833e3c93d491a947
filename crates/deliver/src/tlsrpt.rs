//! What TLSRPT reports are made of (RFC 8460): how TLS with the servers of domains went, counted by day and policy, as a report
//! a domain and day in a folder. Nobody sends them; other programs may.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// How long counts may be in memory only.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Domains of one day; others are not counted.
const DOMAIN_LIMIT: usize = 10_000;
/// Different failures of one domain and day; others are counted in the sum only.
const DETAIL_LIMIT: usize = 1000;

/// Counts of the day.
#[derive(Default)]
pub struct Tlsrpt(Mutex<State>);

#[derive(Default)]
struct State {
    /// Days since 1970.
    day: u64,
    domains: BTreeMap<String, Domain>,
    written: Option<Instant>,
    /// Where they go, and from whom they are: of the transport that counted last.
    sender: Option<Sender>,
}

/// Who reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// In `data_directory`.
    pub folder: PathBuf,
    /// `mydomain`.
    pub organization: String,
    /// `postmaster@mydomain`.
    pub contact: String,
}

/// One attempt to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub domain: String,
    pub policy: PolicySource,
    pub host: String,
    pub address: String,
    /// None is success.
    pub failure: Option<FailureKind>,
}

/// The policy that was in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicySource {
    Tlsa(Vec<String>),
    Sts { lines: Vec<String>, mx: Vec<String> },
    NotFound,
}

/// RFC 8460 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
}

#[derive(Default)]
struct Domain {
    policies: BTreeMap<PolicySource, Counts>,
    is_changed: bool,
}

#[derive(Default)]
struct Counts {
    successes: u64,
    failures: u64,
    details: BTreeMap<(FailureKind, String, String), u64>,
}

impl Tlsrpt {
    /// Counts an attempt. What was counted is written now and then; the error is why it could not be.
    pub fn count(&self, session: Session, sender: &Sender, now: SystemTime) -> io::Result<()> {
        let day = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) / DAY;
        let mut state = self.state();
        let mut outcome = Ok(());
        if state.day != day {
            outcome = state.write();
            *state = State { day, ..State::default() };
        }
        state.sender = Some(sender.clone());
        if state.domains.len() < DOMAIN_LIMIT || state.domains.contains_key(&session.domain) {
            state.domains.entry(session.domain.clone()).or_default().count(session);
        }
        if state.written.is_none_or(|written| written.elapsed() >= WRITE_EVERY) {
            outcome = outcome.and(state.write());
        }
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left is written when the system stops.
impl Drop for Tlsrpt {
    fn drop(&mut self) {
        // there is nobody left to tell
        let _ = self.state().write();
    }
}

impl State {
    fn write(&mut self) -> io::Result<()> {
        let Some(sender) = self.sender.clone() else { return Ok(()) };
        self.written = Some(Instant::now());
        let date = date(self.day);
        let folder = sender.folder.join(&date);
        if self.domains.values().any(|domain| domain.is_changed) {
            fs::create_dir_all(&folder)?;
        }
        for (name, domain) in self.domains.iter_mut().filter(|(_, domain)| domain.is_changed) {
            let report = domain.report(name, &date, &sender);
            let path = free_path(&folder, name, &report)?;
            let temporary = folder.join(format!(".{name}.new"));
            fs::write(&temporary, serde_json::to_vec_pretty(&report)?)?;
            fs::rename(&temporary, path)?;
            domain.is_changed = false;
        }
        Ok(())
    }
}

/// Counts of one run of the system: a report of an earlier one, with another id, stays beside it.
fn free_path(folder: &Path, name: &str, report: &Value) -> io::Result<PathBuf> {
    const LIMIT: u32 = 10_000;
    for n in 1..LIMIT {
        let suffix = if n == 1 { String::new() } else { format!(".{n}") };
        let path = folder.join(format!("{name}{suffix}.json"));
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
            Ok(text) => {
                let there: Value = serde_json::from_slice(&text).unwrap_or_default();
                if there["report-id"] == report["report-id"] {
                    return Ok(path);
                }
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl Domain {
    fn count(&mut self, session: Session) {
        self.is_changed = true;
        let counts = self.policies.entry(session.policy).or_default();
        let Some(kind) = session.failure else {
            counts.successes += 1;
            return;
        };
        counts.failures += 1;
        let detail = (kind, session.host, session.address);
        if counts.details.len() < DETAIL_LIMIT || counts.details.contains_key(&detail) {
            *counts.details.entry(detail).or_default() += 1;
        }
    }

    fn report(&self, name: &str, date: &str, sender: &Sender) -> Value {
        let policies: Vec<Value> =
            self.policies.iter().map(|(source, counts)| policy(name, source, counts)).collect();
        json!({
            "organization-name": sender.organization,
            "date-range": {
                "start-datetime": format!("{date}T00:00:00Z"),
                "end-datetime": format!("{date}T23:59:59Z"),
            },
            "contact-info": sender.contact,
            "report-id": format!("{date}_{name}_{}", std::process::id()),
            "policies": policies,
        })
    }
}

fn policy(name: &str, source: &PolicySource, counts: &Counts) -> Value {
    let (kind, lines, mx) = match source {
        PolicySource::Tlsa(records) => ("tlsa", records.as_slice(), None),
        PolicySource::Sts { lines, mx } => ("sts", lines.as_slice(), Some(mx)),
        PolicySource::NotFound => ("no-policy-found", &[][..], None),
    };
    let mut policy = json!({ "policy-type": kind, "policy-string": lines, "policy-domain": name });
    if let Some(mx) = mx {
        policy["mx-host"] = json!(mx);
    }
    let detail = |((kind, host, address), count): (&(FailureKind, String, String), &u64)| {
        json!({
            "result-type": kind.name(),
            "receiving-mx-hostname": host,
            "receiving-ip": address,
            "failed-session-count": count,
        })
    };
    json!({
        "policy": policy,
        "summary": {
            "total-successful-session-count": counts.successes,
            "total-failure-session-count": counts.failures,
        },
        "failure-details": counts.details.iter().map(detail).collect::<Vec<_>>(),
    })
}

impl FailureKind {
    fn name(self) -> &'static str {
        match self {
            FailureKind::StarttlsNotSupported => "starttls-not-supported",
            FailureKind::CertificateHostMismatch => "certificate-host-mismatch",
            FailureKind::CertificateExpired => "certificate-expired",
            FailureKind::CertificateNotTrusted => "certificate-not-trusted",
            FailureKind::ValidationFailure => "validation-failure",
        }
    }
}

/// `2026-11-25`.
fn date(day: u64) -> String {
    let day = mail::Time::from_secs(day.saturating_mul(DAY).try_into().unwrap_or(i64::MAX)).civil(0);
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (day, expect) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (20_782, "2026-11-25"),
            (20_818, "2026-12-31"),
            (20_819, "2027-01-01"),
        ] {
            assert_eq!(date(day), expect, "{day}");
        }
    }

    #[test]
    fn a_day_of_reports() {
        let folder = tempfile::tempdir().unwrap();
        let sender = Sender {
            folder: folder.path().join("tlsrpt"),
            organization: "example.com".into(),
            contact: "postmaster@example.com".into(),
        };
        let session = |policy: &PolicySource, failure| Session {
            domain: "a.example".into(),
            policy: policy.clone(),
            host: "mx.a.example".into(),
            address: "192.0.2.1".into(),
            failure,
        };
        let sts = PolicySource::Sts { lines: vec!["version: STSv1".into()], mx: vec!["*.a.example".into()] };
        let now = UNIX_EPOCH + Duration::from_secs(20_782 * DAY + 5);
        let counts = Tlsrpt::default();
        for (policy, failure) in [
            (&sts, None),
            (&sts, None),
            (&sts, Some(FailureKind::CertificateExpired)),
            (&sts, Some(FailureKind::CertificateExpired)),
            (&PolicySource::NotFound, Some(FailureKind::StarttlsNotSupported)),
        ] {
            counts.count(session(policy, failure), &sender, now).unwrap();
        }
        // the next day has its own
        counts.count(session(&sts, None), &sender, now + Duration::from_secs(DAY)).unwrap();
        let path = sender.folder.join("2026-11-25/a.example.json");
        let report: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        assert_eq!(report["date-range"]["end-datetime"], "2026-11-25T23:59:59Z");
        assert_eq!(
            report["policies"][0],
            json!({
                "policy": {
                    "policy-type": "sts",
                    "policy-string": ["version: STSv1"],
                    "policy-domain": "a.example",
                    "mx-host": ["*.a.example"],
                },
                "summary": { "total-successful-session-count": 2, "total-failure-session-count": 2 },
                "failure-details": [{
                    "result-type": "certificate-expired",
                    "receiving-mx-hostname": "mx.a.example",
                    "receiving-ip": "192.0.2.1",
                    "failed-session-count": 2,
                }],
            })
        );
        assert_eq!(report["policies"][1]["policy"]["policy-type"], "no-policy-found");
        assert!(sender.folder.join("2026-11-26/a.example.json").exists());
        // another run of the system overwrites nothing
        let other = json!({ "report-id": "another" });
        let free = free_path(&sender.folder.join("2026-11-25"), "a.example", &other).unwrap();
        assert!(free.ends_with("a.example.2.json"));
    }
}
