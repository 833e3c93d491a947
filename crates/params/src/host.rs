//! What the host adds to a configuration: its name, its addresses, what files named in it say. The caller finds it out.

use crate::network::Network;
use std::collections::HashMap;
use std::net::IpAddr;

/// What was found out about the host and the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// As gethostname() gives it.
    pub hostname: String,
    /// All addresses of interfaces that are up, in the system's order.
    pub interfaces: Vec<Interface>,
    /// Addresses of host names that `inet_interfaces` and `proxy_interfaces` have in them; see `View::host_names`.
    pub addresses: HashMap<String, Vec<IpAddr>>,
    /// First lines of files that take the place of a value (`myorigin = /etc/mailname`), or why they could not be read.
    pub first_lines: HashMap<String, Result<String, String>>,
    pub process_name: String,
    pub process_id: u32,
    pub config_directory: String,
}

/// An address of this host and the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    pub address: IpAddr,
    pub prefix: u8,
}

/// `inet_protocols`, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl Protocols {
    /// The error is Postfix's text.
    pub fn parse(text: &str) -> Result<Protocols, String> {
        let mut protocols = Protocols { ipv4: false, ipv6: false };
        for word in crate::word::plain_words(text) {
            match word {
                "all" => protocols = Protocols { ipv4: true, ipv6: true },
                "ipv4" => protocols.ipv4 = true,
                "ipv6" => protocols.ipv6 = true,
                _ => return Err(format!("unknown inet_protocols value \"{word}\" in \"{text}\"")),
            }
        }
        Ok(protocols)
    }

    pub fn has(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}

/// The addresses at which `inet_interfaces` has mail received. The error is Postfix's text.
pub fn own_interfaces(
    facts: &HostFacts,
    inet_interfaces: &str,
    protocols: Protocols,
) -> Result<Vec<Interface>, String> {
    let (v4, v6): (Vec<_>, Vec<_>) = facts.interfaces.iter().copied().partition(|i| i.address.is_ipv4());
    let local: Vec<Interface> = v4.into_iter().chain(v6).filter(|i| protocols.has(i.address)).collect();
    if !(protocols.ipv4 || protocols.ipv6) {
        return Ok(Vec::new());
    }
    if local.is_empty() {
        return Err("could not find any active network interfaces".to_string());
    }
    match inet_interfaces {
        "all" => Ok(local),
        "loopback-only" => Ok(local.into_iter().filter(|i| i.address.is_loopback()).collect()),
        list => {
            let addresses = host_addresses(facts, "inet_interfaces", list, protocols)?;
            addresses.into_iter().map(|a| interface_of(&local, a)).collect()
        }
    }
}

fn interface_of(local: &[Interface], address: IpAddr) -> Result<Interface, String> {
    let missing = || format!("parameter inet_interfaces: no local interface found for {address}");
    local.iter().find(|i| i.address == address).copied().ok_or_else(missing)
}

/// The addresses that a list of hosts and addresses stands for, each once, in their order.
pub fn host_addresses(
    facts: &HostFacts,
    parameter: &str,
    list: &str,
    protocols: Protocols,
) -> Result<Vec<IpAddr>, String> {
    let mut addresses = Vec::new();
    for host in crate::word::plain_words(list) {
        let found = match literal(host) {
            Some(address) => vec![address],
            None => facts.addresses.get(host).cloned().unwrap_or_default(),
        };
        let usable: Vec<IpAddr> = found.into_iter().filter(|a| protocols.has(*a)).collect();
        if usable.is_empty() {
            return Err(format!("config variable {parameter}: host not found: {host}"));
        }
        addresses.extend(usable);
    }
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
}

/// The address that `1.2.3.4`, `[1.2.3.4]`, `::1` or `[::1]` is.
pub fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// The networks that `mynetworks_style` makes of our addresses, as mynetworks has them. The error is Postfix's text.
pub fn own_networks(interfaces: &[Interface], style: &str) -> Result<String, String> {
    let styles: Vec<&str> = crate::word::plain_words(style).collect();
    if let Some(word) = styles.iter().find(|s| !matches!(**s, "host" | "subnet" | "class")) {
        return Err(format!("unknown mynetworks mask style value \"{word}\" in \"{style}\""));
    }
    let [style] = styles[..] else {
        return Err(format!("bad mynetworks_style value: {style}; specify exactly one value"));
    };
    let mut networks: Vec<String> = Vec::new();
    for interface in interfaces {
        let prefix = prefix_of(interface, style);
        let network = Network::around(interface.address, prefix).to_string();
        if !networks.contains(&network) {
            networks.push(network);
        }
    }
    Ok(networks.join(" "))
}

fn prefix_of(interface: &Interface, style: &str) -> u8 {
    match (style, interface.address) {
        ("host", IpAddr::V4(_)) => 32,
        ("host", IpAddr::V6(_)) => 128,
        ("class", IpAddr::V4(v4)) => match v4.octets()[0] {
            0..=127 => 8,
            128..=191 => 16,
            192..=223 => 24,
            _ => 4,
        },
        _ => interface.prefix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> HostFacts {
        let interface = |a: &str, prefix| Interface { address: a.parse().unwrap(), prefix };
        HostFacts {
            interfaces: vec![
                interface("127.0.0.1", 8),
                interface("::1", 128),
                interface("192.0.2.7", 24),
                interface("2001:db8::7", 64),
                interface("192.0.2.8", 24),
            ],
            addresses: [("mail".to_string(), vec!["192.0.2.7".parse().unwrap()])].into(),
            ..HostFacts::default()
        }
    }

    const BOTH: Protocols = Protocols { ipv4: true, ipv6: true };

    #[test]
    fn networks() {
        for (interfaces, protocols, style, expect) in [
            ("all", "all", "subnet", "127.0.0.0/8 192.0.2.0/24 [::1]/128 [2001:db8::]/64"),
            ("all", "ipv4", "host", "127.0.0.1/32 192.0.2.7/32 192.0.2.8/32"),
            ("all", "all", "class", "127.0.0.0/8 192.0.2.0/24 [::1]/128 [2001:db8::]/64"),
            ("loopback-only", "all", "host", "127.0.0.1/32 [::1]/128"),
            ("mail, [::1] 192.0.2.7", "all", "subnet", "192.0.2.0/24 [::1]/128"),
            ("[::1] mail", "all", "host", "192.0.2.7/32 [::1]/128"),
        ] {
            let own = own_interfaces(&facts(), interfaces, Protocols::parse(protocols).unwrap()).unwrap();
            assert_eq!(own_networks(&own, style), Ok(expect.to_string()), "{interfaces} {protocols} {style}");
        }
    }

    #[test]
    fn mistakes() {
        for (interfaces, expect) in [
            ("all # text", "config variable inet_interfaces: host not found: all"),
            ("192.0.2.9", "parameter inet_interfaces: no local interface found for 192.0.2.9"),
        ] {
            assert_eq!(own_interfaces(&facts(), interfaces, BOTH), Err(expect.to_string()));
        }
        let none = own_interfaces(&HostFacts::default(), "all", BOTH);
        assert_eq!(none, Err("could not find any active network interfaces".to_string()));
        assert_eq!(
            own_networks(&[], "x y"),
            Err("unknown mynetworks mask style value \"x\" in \"x y\"".into())
        );
        assert_eq!(
            own_networks(&[], "host class"),
            Err("bad mynetworks_style value: host class; specify exactly one value".into())
        );
        assert_eq!(Protocols::parse("ipv5"), Err("unknown inet_protocols value \"ipv5\" in \"ipv5\"".into()));
    }
}
