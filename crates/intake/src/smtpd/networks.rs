//! Lists of hosts and networks: `mynetworks` and its kin.

use policy::Failed;
use std::net::IpAddr;
use std::sync::Arc;
use tables::Table;

/// Patterns in order; the first that matches decides.
#[derive(Clone, Default)]
pub struct NetworkList {
    items: Vec<(bool, Pattern)>,
}

/// A pattern of a list.
#[derive(Clone)]
pub enum Pattern {
    Network(params::Network),
    /// In lower case; a leading dot matches subdomains.
    Name(String),
    Table(Arc<dyn Table>),
    /// It makes no sense, or its file could not be read: whoever gets so far has to try later.
    Broken(String),
}

/// Whom to look for.
#[derive(Clone, Copy, Debug)]
pub struct Hosts<'a> {
    /// Empty: the address only.
    pub name: &'a str,
    pub address: IpAddr,
}

impl NetworkList {
    /// `true` for a pattern that is meant, `false` for one with a `!` before it.
    pub fn new(items: Vec<(bool, Pattern)>) -> NetworkList {
        NetworkList { items }
    }

    pub fn of_addresses(addresses: impl IntoIterator<Item = IpAddr>) -> NetworkList {
        let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let network = |address| Pattern::Network(params::Network::around(address, whole(address)));
        NetworkList { items: addresses.into_iter().map(|address| (true, network(address))).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the host is in the list. The error is a text for the log.
    pub async fn has(&self, host: Hosts<'_>) -> Result<bool, String> {
        for (is_meant, pattern) in &self.items {
            let matches = match pattern {
                Pattern::Network(network) => network.contains(host.address),
                Pattern::Name(name) => name_matches(name, host.name),
                Pattern::Table(table) => in_table(&**table, host).await?,
                Pattern::Broken(why) => return Err(why.clone()),
            };
            if matches {
                return Ok(*is_meant);
            }
        }
        Ok(false)
    }
}

fn name_matches(pattern: &str, name: &str) -> bool {
    pattern.eq_ignore_ascii_case(name)
        || pattern.starts_with('.')
            && name.len() > pattern.len()
            && name.is_char_boundary(name.len() - pattern.len())
            && name[name.len() - pattern.len()..].eq_ignore_ascii_case(pattern)
}

async fn in_table(table: &dyn Table, host: Hosts<'_>) -> Result<bool, String> {
    let by_name = !host.name.is_empty() && table.get(host.name.as_bytes()).await.map_err(|e| e.0)?.is_some();
    Ok(by_name || table.get(host.address.to_string().as_bytes()).await.map_err(|e| e.0)?.is_some())
}

/// What restrictions are told when a list cannot be asked.
pub(super) fn later(_: String) -> Failed {
    Failed::TryLater
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[(&str, bool)]) -> NetworkList {
        let pattern = |text: &str| match params::Network::parse(text) {
            Ok(network) => Pattern::Network(network),
            Err(_) => Pattern::Name(text.to_owned()),
        };
        NetworkList::new(items.iter().map(|(text, is_meant)| (*is_meant, pattern(text))).collect())
    }

    #[tokio::test]
    async fn first_match_decides() {
        let list =
            list(&[("10.0.0.9", false), ("10.0.0.0/8", true), ("[::1]/128", true), (".example.com", true)]);
        for (name, address, expect) in [
            ("unknown", "10.0.0.9", false),
            ("unknown", "10.1.2.3", true),
            ("unknown", "::1", true),
            ("mx.EXAMPLE.com", "192.0.2.1", true),
            ("example.com", "192.0.2.1", false),
            ("unknown", "192.0.2.1", false),
        ] {
            let host = Hosts { name, address: address.parse().expect("an address") };
            assert_eq!(list.has(host).await, Ok(expect), "{name} {address}");
        }
    }
}
