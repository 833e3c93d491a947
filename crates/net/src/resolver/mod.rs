//! A stub resolver: asks the system's name servers, trusts or distrusts their AD bit as Postfix does, and keeps apart
//! "no such name", "no such record", "the server failed" and "no answer". It does not validate signatures itself.
//!
//! No call of the C library's resolver is made, as those block.

mod cache;
mod conf;
mod names;
mod transport;
mod wire;

pub use cache::CacheLimits;
pub use conf::ResolvConf;
pub(crate) use names::addresses;
pub use names::{ClientName, NameStatus, NativeError};
pub use wire::fuzz_dns_reply;
pub(crate) use wire::kind_name;

use crate::hosts::Hosts;
use crate::watch::Watched;
use cache::{Cache, Key};
use mail::dns::{Answer, Dns, Failure, Kind};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use wire::{Content, Flags, Question, Reply};

/// CNAMEs followed over several questions, as Postfix.
const ALIAS_LIMIT: usize = 10;
/// Questions under way at one time; each has a socket. Others wait.
const QUESTION_LIMIT: usize = 256;

/// A resolver; clones share its cache. Options are per clone.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    options: Options,
}

struct Shared {
    conf: Watched<ResolvConf>,
    hosts: Watched<Hosts>,
    cache: Cache,
    turn: AtomicUsize,
    sockets: Semaphore,
}

/// Where a resolver finds its settings.
#[derive(Clone, Debug)]
pub struct Sources {
    pub resolv_conf: PathBuf,
    pub hosts: PathBuf,
    pub cache: CacheLimits,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            cache: CacheLimits::default(),
        }
    }
}

/// How questions are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Ask for DNSSEC and trust the server's AD bit: `smtp_dns_support_level = dnssec`.
    pub dnssec: bool,
    /// `res_defnames` of `smtp_dns_resolver_options`: names without a dot get the first search domain.
    pub defnames: bool,
    /// `res_dnsrch` of `smtp_dns_resolver_options`: names get each of the search domains.
    pub dnsrch: bool,
}

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub outcome: Result<Answer, Failure>,
    /// The name that was asked for last: another one than the lookup's if that was an alias.
    pub name: String,
    /// What Postfix logs as warnings, about names in answers that are none.
    pub notes: Vec<String>,
}

impl Resolver {
    pub fn new(sources: Sources) -> Resolver {
        let shared = Shared {
            conf: Watched::new(sources.resolv_conf, ResolvConf::parse),
            hosts: Watched::new(sources.hosts, Hosts::parse),
            cache: Cache::new(sources.cache),
            turn: AtomicUsize::new(0),
            sockets: Semaphore::new(QUESTION_LIMIT),
        };
        Resolver { shared: Arc::new(shared), options: Options::default() }
    }

    /// The same resolver, asking otherwise.
    pub fn with(&self, options: Options) -> Resolver {
        Resolver { shared: self.shared.clone(), options }
    }

    /// Looks up the records of one kind, following aliases, and with [`Options`] under the search domains.
    pub async fn lookup(&self, name: &str, kind: Kind) -> Lookup {
        let plan = self.search_plan(name);
        let mut kept: Option<Lookup> = None;
        for candidate in &plan.candidates {
            let lookup = self.resolve(candidate, kind).await;
            match &lookup.outcome {
                Ok(_) => return lookup,
                Err(Failure::Timeout) if plan.candidates.len() > 1 && kept.is_some() => break,
                Err(failure) => {
                    if kept.as_ref().is_none_or(|kept| !plan.as_is_first && outranks(failure, kept)) {
                        kept = Some(lookup);
                    }
                }
            }
        }
        kept.unwrap_or_else(|| Lookup::failed(name, Failure::InvalidName))
    }

    /// The names to try, as res_search(3): as it is first if it has enough dots, and again last if not.
    fn search_plan(&self, name: &str) -> SearchPlan {
        let conf = self.shared.conf.get();
        let dots = name.bytes().filter(|b| *b == b'.').count();
        let as_is_first = dots >= conf.ndots || name.ends_with('.');
        let Options { defnames, dnsrch, .. } = self.options;
        let mut domains = Vec::new();
        if !name.ends_with('.') && if dots == 0 { defnames } else { dnsrch } {
            domains =
                if conf.search.is_empty() { own_domain().into_iter().collect() } else { conf.search.clone() };
            domains.truncate(if dnsrch { usize::MAX } else { 1 });
        }
        let mut candidates: Vec<String> = domains.iter().map(|domain| format!("{name}.{domain}")).collect();
        candidates.insert(if as_is_first { 0 } else { candidates.len() }, name.to_string());
        SearchPlan { candidates, as_is_first }
    }

    /// One name, with its aliases, from the cache or by asking.
    async fn resolve(&self, name: &str, kind: Kind) -> Lookup {
        let key = Key::new(name, kind, self.options.dnssec);
        if let Some(lookup) = self.shared.cache.get(&key, Instant::now()) {
            return lookup;
        }
        let (lookup, ttl) = self.follow(name, kind).await;
        self.shared.cache.put(key, &lookup, ttl, Instant::now());
        lookup
    }

    /// Asks, and asks for what aliases point to. With the time for which the outcome holds.
    async fn follow(&self, name: &str, kind: Kind) -> (Lookup, Duration) {
        let mut asked = name.trim_end_matches('.').to_string();
        let mut authentic = true;
        let mut ttl = u32::MAX;
        for _ in 0..ALIAS_LIMIT {
            let reply = match self.ask(&asked, kind).await {
                Ok(reply) => reply,
                Err(failure) => return (Lookup::failed(&asked, failure), Duration::ZERO),
            };
            // an alias in an unsigned zone makes all behind it unsigned
            authentic &= reply.authentic && self.options.dnssec;
            match conclude(reply, authentic, ttl) {
                Step::Alias { name, ttl: alias_ttl } => {
                    asked = name;
                    ttl = ttl.min(alias_ttl);
                }
                Step::End { outcome, notes, ttl } => {
                    return (Lookup { outcome, name: asked, notes }, Duration::from_secs(ttl.into()));
                }
            }
        }
        (Lookup::failed(name, Failure::AliasLoop), Duration::ZERO)
    }

    async fn ask(&self, name: &str, kind: Kind) -> Result<Reply, Failure> {
        let question = Question::new(name, kind).ok_or(Failure::InvalidName)?;
        let conf = self.shared.conf.get();
        let first = if conf.rotate { self.shared.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let flags = Flags { edns: true, dnssec: self.options.dnssec };
        let _socket = self.shared.sockets.acquire().await.expect("the semaphore is never closed");
        transport::exchange(&conf, first, &question, flags).await
    }
}

impl Dns for Resolver {
    fn query<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>> {
        Box::pin(async move { self.lookup(name, kind).await.outcome })
    }
}

impl Lookup {
    fn failed(name: &str, failure: Failure) -> Lookup {
        Lookup { outcome: Err(failure), name: name.to_string(), notes: Vec::new() }
    }
}

struct SearchPlan {
    candidates: Vec<String>,
    as_is_first: bool,
}

/// Whether to report this failure rather than the one kept. A name that exists says more than one that does not.
fn outranks(failure: &Failure, kept: &Lookup) -> bool {
    let rank = |failure: &Failure| match failure {
        Failure::NoData => 2,
        failure if failure.is_temporary() => 1,
        _ => 0,
    };
    kept.outcome.as_ref().err().is_some_and(|kept| rank(failure) > rank(kept))
}

/// What a reply leads to.
enum Step {
    Alias { name: String, ttl: u32 },
    End { outcome: Result<Answer, Failure>, notes: Vec<String>, ttl: u32 },
}

fn conclude(reply: Reply, authentic: bool, ttl_so_far: u32) -> Step {
    let fail = |failure, ttl| Step::End { outcome: Err(failure), notes: Vec::new(), ttl };
    match reply.content {
        Content::Malformed => fail(Failure::Malformed, 0),
        Content::Nothing { ttl } if reply.rcode == 0 => {
            fail(Failure::NoData, ttl.unwrap_or(0).min(ttl_so_far))
        }
        Content::Nothing { ttl } => fail(Failure::NoSuchDomain, ttl.unwrap_or(0).min(ttl_so_far)),
        // NXDOMAIN is about the end of the chain
        Content::Alias { .. } if reply.rcode != 0 => fail(Failure::NoSuchDomain, 0),
        Content::Alias { name, ttl } => Step::Alias { name, ttl },
        Content::InvalidData { notes } => Step::End { outcome: Err(Failure::InvalidData), notes, ttl: 0 },
        Content::Records { records, name, ttl, notes } => {
            let ttl = ttl.min(ttl_so_far);
            Step::End { outcome: Ok(Answer { records, name, authentic, ttl }), notes, ttl }
        }
    }
}

/// What the C library searches if resolv.conf names no domain: the one of the machine's own name.
fn own_domain() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let (_, domain) = name.split_once('.')?;
    (!domain.is_empty()).then(|| domain.to_string())
}

#[cfg(test)]
mod tests;
