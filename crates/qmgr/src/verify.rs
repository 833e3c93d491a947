//! Address verification's memory: what probes found, and when it is time for another one (verify(8)).
//!
//! A pure structure with the clock passed in. Who asks, who sends the probes and where the memory is kept is the caller's
//! affair. An entry is written as verify(8) writes it: `status:probed:updated:text`.

use mail::{Fate, Time};
use std::collections::HashMap;
use std::time::Duration;

/// A probe that was not answered after so long is lost. Postfix's, without a parameter.
const PROBE_TIME_LIMIT: i64 = 1000;

/// What is known of addresses.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: HashMap<Vec<u8>, Entry>,
    is_changed: bool,
}

/// How long results hold. Fields bear their parameters' names without `address_verify_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    pub positive_expire_time: Duration,
    pub positive_refresh_time: Duration,
    pub negative_expire_time: Duration,
    pub negative_refresh_time: Duration,
    /// Without it nothing is noted of an address until a probe of it has ended, and what has expired is removed at once.
    pub negative_cache: bool,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Deliverable,
    Deferred,
    Undeliverable,
    /// Nothing yet: the probe is under way.
    Pending,
}

/// What is said of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    pub text: String,
    /// A probe is to be sent.
    pub needs_probe: bool,
}

/// Times are in seconds since 1970; 0 is never.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    status: Status,
    probed: i64,
    updated: i64,
    text: String,
}

impl Cache {
    /// Says what is known of an address, and notes the probe if there is to be one.
    pub fn query(&mut self, address: &[u8], lifetimes: &Lifetimes, now: Time) -> Answer {
        let (key, now) = (key(address), now.secs());
        let known = self.entries.get(&key).filter(|entry| !entry.is_over(lifetimes, now));
        let entry = known.cloned().unwrap_or_else(Entry::pending);
        if entry.status == Status::Pending && entry.probed == 0 && !lifetimes.negative_cache {
            self.is_changed |= self.entries.remove(&key).is_some();
        }
        let needs_probe = now - entry.probed > PROBE_TIME_LIMIT && entry.is_stale(lifetimes, now);
        if needs_probe && (entry.updated != 0 || lifetimes.negative_cache) {
            self.entries.insert(key, Entry { probed: now, ..entry.clone() });
            self.is_changed = true;
        }
        Answer { status: entry.status, text: entry.text, needs_probe }
    }

    /// Takes a probe's result. A failure does not put a success out of place before that has expired.
    pub fn update(&mut self, address: &[u8], fate: Fate, text: &str, now: Time) {
        let (key, status) = (key(address), Status::from(fate));
        let is_known_good = self.entries.get(&key).is_some_and(|entry| entry.status == Status::Deliverable);
        if status == Status::Deliverable || !is_known_good {
            let text = text.replace(char::is_control, "?");
            self.entries.insert(key, Entry { status, probed: 0, updated: now.secs(), text });
            self.is_changed = true;
        }
    }

    /// Forgets what has expired (`address_verify_cache_cleanup_interval`).
    pub fn clean_up(&mut self, lifetimes: &Lifetimes, now: Time) {
        let before = self.entries.len();
        self.entries.retain(|_, entry| !entry.is_over(lifetimes, now.secs()));
        self.is_changed |= self.entries.len() < before;
    }

    /// Takes an entry of an earlier run. False: it is none.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> bool {
        let entry = Entry::parse(value);
        let is_good = entry.is_some();
        self.entries.extend(entry.map(|entry| (key.to_vec(), entry)));
        is_good
    }

    /// All entries if anything has changed since they were asked for last.
    pub fn changed(&mut self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        std::mem::take(&mut self.is_changed).then(|| {
            self.entries.iter().map(|(key, entry)| (key.clone(), entry.to_string().into_bytes())).collect()
        })
    }
}

/// Postfix: no colons, which part keys from what follows in some tables.
fn key(address: &[u8]) -> Vec<u8> {
    address.iter().map(|b| if *b == b':' { b'_' } else { *b }).collect()
}

impl Entry {
    fn pending() -> Entry {
        let text = "Address verification in progress".to_owned();
        Entry { status: Status::Pending, probed: 0, updated: 0, text }
    }

    /// It does not count any more.
    fn is_over(&self, lifetimes: &Lifetimes, now: i64) -> bool {
        let lifetime = match self.status {
            Status::Deliverable => lifetimes.positive_expire_time,
            _ => lifetimes.negative_expire_time,
        };
        now - self.probed > PROBE_TIME_LIMIT && self.is_older_than(lifetime, now)
    }

    /// It counts, but it is time to look again.
    fn is_stale(&self, lifetimes: &Lifetimes, now: i64) -> bool {
        self.is_older_than(
            match self.status {
                Status::Deliverable => lifetimes.positive_refresh_time,
                _ => lifetimes.negative_refresh_time,
            },
            now,
        )
    }

    fn is_older_than(&self, age: Duration, now: i64) -> bool {
        now.saturating_sub(self.updated) > i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
    }

    fn parse(value: &[u8]) -> Option<Entry> {
        let text = String::from_utf8_lossy(value);
        let mut fields = text.splitn(4, ':');
        let status = Status::from_number(fields.next()?)?;
        let mut time = || fields.next()?.parse::<u32>().ok().map(i64::from);
        let (probed, updated) = (time()?, time()?);
        let text = fields.next()?.to_owned();
        (probed != 0 || updated != 0).then_some(Entry { status, probed, updated, text })
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.status.number(), self.probed, self.updated, self.text)
    }
}

impl Status {
    fn number(self) -> u8 {
        match self {
            Status::Deliverable => 0,
            Status::Deferred => 1,
            Status::Undeliverable => 2,
            Status::Pending => 3,
        }
    }

    fn from_number(text: &str) -> Option<Status> {
        let all = [Status::Deliverable, Status::Deferred, Status::Undeliverable, Status::Pending];
        all.get(text.parse::<usize>().ok()?).copied()
    }
}

impl From<Fate> for Status {
    fn from(fate: Fate) -> Status {
        match fate {
            Fate::Sent => Status::Deliverable,
            Fate::Deferred => Status::Deferred,
            Fate::Bounced => Status::Undeliverable,
        }
    }
}

/// The sender of probes: `address_verify_sender`, which changes every `address_verify_sender_ttl` by what is put behind its
/// local part. Bare names are left bare.
pub fn probe_sender(address_verify_sender: &str, address_verify_sender_ttl: Duration, now: Time) -> String {
    if matches!(address_verify_sender, "" | "<>") {
        return String::new();
    }
    let Some(epoch) = (now.secs().max(0) as u64).checked_div(address_verify_sender_ttl.as_secs()) else {
        return address_verify_sender.to_owned();
    };
    let (local, domain) = match address_verify_sender.find('@') {
        Some(at) => address_verify_sender.split_at(at),
        None => (address_verify_sender, ""),
    };
    format!("{local}{}{domain}", without_vowels(epoch))
}

/// A number in Postfix's base 31: digits, then consonants, so that it spells nothing.
fn without_vowels(mut number: u64) -> String {
    const DIGITS: &[u8; 31] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[(number % 31) as usize] as char);
        number /= 31;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIMES: Lifetimes = Lifetimes {
        positive_expire_time: Duration::from_secs(31 * 86_400),
        positive_refresh_time: Duration::from_secs(7 * 86_400),
        negative_expire_time: Duration::from_secs(3 * 86_400),
        negative_refresh_time: Duration::from_secs(3 * 3600),
        negative_cache: true,
    };
    const NO_NEGATIVE: Lifetimes = Lifetimes { negative_cache: false, ..LIFETIMES };
    const ADDRESS: &[u8] = b"bob@example.com";

    fn at(secs: i64) -> Time {
        Time::from_secs(1_000_000_000 + secs)
    }

    fn ask(cache: &mut Cache, lifetimes: &Lifetimes, secs: i64) -> (Status, bool) {
        let answer = cache.query(ADDRESS, lifetimes, at(secs));
        (answer.status, answer.needs_probe)
    }

    #[test]
    fn one_probe_at_a_time() {
        let mut cache = Cache::default();
        for (secs, needs_probe) in [(0, true), (1, false), (1000, false), (1001, true), (1002, false)] {
            assert_eq!(ask(&mut cache, &LIFETIMES, secs), (Status::Pending, needs_probe), "{secs}");
        }
    }

    #[test]
    fn results_hold_are_refreshed_and_expire() {
        const DAY: i64 = 86_400;
        for (fate, secs, expect) in [
            (Fate::Sent, 7 * DAY, (Status::Deliverable, false)),
            (Fate::Sent, 7 * DAY + 1, (Status::Deliverable, true)),
            (Fate::Sent, 31 * DAY + 1, (Status::Pending, true)),
            (Fate::Bounced, 3 * 3600, (Status::Undeliverable, false)),
            (Fate::Bounced, 3 * 3600 + 1, (Status::Undeliverable, true)),
            (Fate::Deferred, 3 * 3600 + 1, (Status::Deferred, true)),
            (Fate::Deferred, 3 * DAY + 1, (Status::Pending, true)),
        ] {
            let mut cache = Cache::default();
            cache.update(ADDRESS, fate, "text", at(0));
            assert_eq!(ask(&mut cache, &LIFETIMES, secs), expect, "{fate:?} {secs}");
            let mut cleaned = Cache::default();
            cleaned.update(ADDRESS, fate, "text", at(0));
            cleaned.clean_up(&LIFETIMES, at(secs));
            assert_eq!(cleaned.entries.is_empty(), expect.0 == Status::Pending, "{fate:?} {secs}");
        }
    }

    #[test]
    fn a_failure_does_not_put_a_success_out_of_place() {
        let mut cache = Cache::default();
        cache.update(ADDRESS, Fate::Sent, "ok", at(0));
        cache.update(ADDRESS, Fate::Bounced, "no", at(1));
        assert_eq!(ask(&mut cache, &LIFETIMES, 2), (Status::Deliverable, false));
    }

    #[test]
    fn without_a_negative_cache_probes_are_not_noted() {
        let mut cache = Cache::default();
        assert_eq!(ask(&mut cache, &NO_NEGATIVE, 1), (Status::Pending, true));
        assert_eq!(ask(&mut cache, &NO_NEGATIVE, 2), (Status::Pending, true));
        cache.update(ADDRESS, Fate::Bounced, "no", at(3));
        assert_eq!(ask(&mut cache, &NO_NEGATIVE, 4), (Status::Undeliverable, false));
        assert_eq!(ask(&mut cache, &NO_NEGATIVE, 4 * 86_400), (Status::Pending, true));
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn entries_are_kept_as_they_were() {
        let mut cache = Cache::default();
        cache.update(b"a@[IPv6:::1]", Fate::Bounced, "host x: said: no", at(5));
        let saved = cache.changed().expect("a change");
        assert_eq!(saved, [(b"a@[IPv6___1]".to_vec(), b"2:0:1000000005:host x: said: no".to_vec())]);
        assert_eq!(cache.changed(), None);
        let mut restored = Cache::default();
        assert!(saved.iter().all(|(key, value)| restored.restore(key, value)));
        assert_eq!(restored.entries, cache.entries);
        for bad in ["", "0", "9:1:1:x", "0:0:0:x", "0:x:1:y", "0:1:1"] {
            assert!(!Cache::default().restore(b"k", bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn senders() {
        const TTL: Duration = Duration::from_secs(86_400);
        for (sender, ttl, expect) in [
            ("<>", TTL, ""),
            ("", Duration::ZERO, ""),
            ("double-bounce", Duration::ZERO, "double-bounce"),
            ("double-bounce", TTL, "double-bounceD1C"),
            ("probe@example.com", TTL, "probeD1C@example.com"),
        ] {
            assert_eq!(probe_sender(sender, ttl, at(0)), expect, "{sender}");
        }
        assert_eq!(without_vowels(0), "0");
    }
}
