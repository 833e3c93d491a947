//! `/etc/hosts` (hosts(5)): names of addresses and addresses of names, without the DNS.

use std::collections::HashMap;
use std::net::IpAddr;

/// The file, by address and by name. Names are compared without case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    names: HashMap<IpAddr, String>,
    addresses: HashMap<String, Vec<IpAddr>>,
}

impl Hosts {
    pub(crate) fn parse(text: &str) -> Hosts {
        let mut hosts = Hosts::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
            for (position, name) in words.enumerate() {
                if position == 0 {
                    hosts.names.entry(address).or_insert_with(|| name.to_string());
                }
                let addresses = hosts.addresses.entry(name.to_ascii_lowercase()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        hosts
    }

    /// The first name on the first line of the address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// All addresses of the name, in the file's order.
    pub(crate) fn addresses_of(&self, name: &str) -> &[IpAddr] {
        self.addresses.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let hosts = Hosts::parse(
            "127.0.0.1\tlocalhost # me\n::1 localhost ip6-localhost\n#192.0.2.9 gone\nnonsense here\n192.0.2.7\n\
             192.0.2.1 Mail.Example.Com mail\n192.0.2.2 mail.example.com\n192.0.2.1 other\n",
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (name, expect) in [
            ("localhost", &["127.0.0.1", "::1"][..]),
            ("MAIL.example.com", &["192.0.2.1", "192.0.2.2"]),
            ("mail", &["192.0.2.1"]),
            ("other", &["192.0.2.1"]),
            ("gone", &[]),
            ("here", &[]),
        ] {
            assert_eq!(hosts.addresses_of(name), expect.iter().map(|a| ip(a)).collect::<Vec<_>>(), "{name}");
        }
        for (address, expect) in [
            ("192.0.2.1", Some("Mail.Example.Com")),
            ("::1", Some("localhost")),
            ("192.0.2.7", None),
            ("192.0.2.9", None),
        ] {
            assert_eq!(hosts.name_of(ip(address)), expect, "{address}");
        }
    }
}
