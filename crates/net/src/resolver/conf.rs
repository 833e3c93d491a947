//! `/etc/resolv.conf` (resolv.conf(5)), as the C library reads it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

/// More name servers are ignored (MAXNS).
const NAMESERVER_LIMIT: usize = 3;
/// More search domains are ignored; the C library has no limit since 2.26, we keep one.
const SEARCH_LIMIT: usize = 32;
const PORT: u16 = 53;

/// How the system says names are to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// At least one, at most three.
    pub servers: Vec<SocketAddr>,
    /// Domains that [`Search`](super::Search) tries behind a name.
    pub search: Vec<String>,
    /// A name with at least so many dots is tried as it is first. 0 to 15.
    pub ndots: usize,
    /// Time for one server in the first round. 1 to 30 s.
    pub timeout: Duration,
    /// Rounds over all servers. 1 to 5.
    pub attempts: u32,
    /// Begin with another server each time.
    pub rotate: bool,
    /// The servers' AD bit may be trusted.
    pub trust_ad: bool,
    /// Always ask over TCP.
    pub use_vc: bool,
}

impl Default for ResolvConf {
    fn default() -> ResolvConf {
        ResolvConf {
            servers: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))],
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            rotate: false,
            trust_ad: false,
            use_vc: false,
        }
    }
}

impl ResolvConf {
    /// Never fails: what makes no sense is passed over, as the C library does.
    pub fn parse(text: &str) -> ResolvConf {
        let mut conf = ResolvConf::default();
        let mut servers = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(parse_server)),
                Some("domain") => conf.search = words.take(1).map(str::to_string).collect(),
                Some("search") => conf.search = words.take(SEARCH_LIMIT).map(str::to_string).collect(),
                Some("options") => words.for_each(|option| conf.set_option(option)),
                _ => {}
            }
        }
        servers.truncate(NAMESERVER_LIMIT);
        if !servers.is_empty() {
            conf.servers = servers;
        }
        conf.search.iter_mut().for_each(|domain| {
            if domain.len() > 1 {
                domain.truncate(domain.trim_end_matches('.').len());
            }
        });
        conf
    }

    fn set_option(&mut self, option: &str) {
        let (name, value) = option.split_once(':').unwrap_or((option, ""));
        let number = || value.parse::<u64>().ok();
        match (name, number()) {
            ("ndots", Some(n)) => self.ndots = n.min(15) as usize,
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30)),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, 5) as u32,
            ("rotate", _) => self.rotate = true,
            ("trust-ad", _) => self.trust_ad = true,
            ("use-vc", _) => self.use_vc = true,
            _ => {}
        }
    }
}

/// An address, for link-local ones with `%interface` behind it; or `[address]:port`, as OpenBSD has it.
fn parse_server(word: &str) -> Option<SocketAddr> {
    if let Some((address, port)) = word.strip_prefix('[').and_then(|word| word.split_once("]:")) {
        return Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?));
    }
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, PORT));
    }
    let (address, scope) = word.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    let scope = scope.parse().ok().or_else(|| nix::net::if_::if_nametoindex(scope).ok())?;
    Some(SocketAddr::V6(SocketAddrV6::new(address, PORT, 0, scope)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let default = ResolvConf::default;
        let server = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (text, expect) in [
            ("", default()),
            ("nameserver\nnameserver localhost\n# nameserver 192.0.2.1\n", default()),
            (
                "nameserver 192.0.2.53\nnameserver\t2001:db8::53 x\nsearch a.example b.example.\noptions ndots:2 rotate\n",
                ResolvConf {
                    servers: vec![server("192.0.2.53:53"), server("[2001:db8::53]:53")],
                    search: vec!["a.example".into(), "b.example".into()],
                    ndots: 2,
                    rotate: true,
                    ..default()
                },
            ),
            (
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n",
                ResolvConf {
                    servers: vec![server("192.0.2.1:53"), server("192.0.2.2:53"), server("192.0.2.3:53")],
                    ..default()
                },
            ),
            (
                "options timeout:2 attempts:1 trust-ad edns0\noptions use-vc timeout:x\n",
                ResolvConf {
                    timeout: Duration::from_secs(2),
                    attempts: 1,
                    trust_ad: true,
                    use_vc: true,
                    ..default()
                },
            ),
            (
                "options timeout:0 attempts:99 ndots:99\n",
                ResolvConf { timeout: Duration::from_secs(1), attempts: 5, ndots: 15, ..default() },
            ),
            // the last of domain and search counts
            ("search a b\ndomain c\n", ResolvConf { search: vec!["c".into()], ..default() }),
            ("domain c\nsearch .\n", ResolvConf { search: vec![".".into()], ..default() }),
            (
                "nameserver [192.0.2.1]:5353\n",
                ResolvConf { servers: vec![server("192.0.2.1:5353")], ..default() },
            ),
            ("nameserver fe80::1%7\n", ResolvConf { servers: vec![server("[fe80::1%7]:53")], ..default() }),
        ] {
            assert_eq!(ResolvConf::parse(text), expect, "{text:?}");
        }
    }
}
