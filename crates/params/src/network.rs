//! Networks: addresses and address ranges (CIDR), as mynetworks and its relatives name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address range; a single address has the full prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    /// At most 32 or 128.
    prefix: u8,
}

impl Network {
    /// The range of `prefix` bits that `address` lies in.
    pub fn around(address: IpAddr, prefix: u8) -> Network {
        let prefix = prefix.min(width(address));
        Network { address: masked(address, prefix), prefix }
    }

    /// Reads `1.2.3.0/24`, `1.2.3.4`, `[::1]/128`, `[::1/128]`, `[::1]`, `::1`. The error is Postfix's text.
    pub fn parse(pattern: &str) -> Result<Network, String> {
        let (address, prefix) = split(pattern)?;
        let Some(prefix) = prefix else {
            let ip = address.parse().map_err(|_| format!("bad address pattern: \"{address}\""))?;
            return Ok(Network { address: ip, prefix: width(ip) });
        };
        let bad = |why: &str| format!("{why} in \"{address}/{prefix}\"");
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("bad mask value"));
        }
        let limit = if address.contains(':') { 128 } else { 32 };
        let bits = prefix.parse::<u8>().ok().filter(|b| *b <= limit).ok_or_else(|| bad("bad mask length"))?;
        let ip: IpAddr = address.parse().map_err(|_| bad("bad network value"))?;
        let network = Network::around(ip, bits);
        if network.address != ip {
            let better = network.address;
            return Err(format!(
                "non-null host address bits in \"{address}/{prefix}\", perhaps you should use \"{better}/{bits}\" instead"
            ));
        }
        Ok(network)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        width(address) == width(self.address) && masked(address, self.prefix) == self.address
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

/// The address part and the prefix part of a pattern, brackets taken off.
fn split(pattern: &str) -> Result<(&str, Option<&str>), String> {
    let Some(inside) = pattern.strip_prefix('[') else {
        return Ok(cut_prefix(pattern));
    };
    match inside.split_once(']') {
        None => Err(format!("missing ']' character after \"[{inside}\"")),
        Some((inside, "")) => Ok(cut_prefix(inside)),
        Some((inside, rest)) => match rest.strip_prefix('/') {
            Some(prefix) => Ok((inside, Some(prefix))),
            None => Err(format!("garbage after \"[{inside}]\"")),
        },
    }
}

fn cut_prefix(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

impl Network {
    /// The address, if it is no range.
    pub fn sole_address(&self) -> Option<IpAddr> {
        (self.prefix == width(self.address)).then_some(self.address)
    }
}

/// As in mynetworks: `127.0.0.0/8`, `[::1]/128`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            IpAddr::V4(v4) => write!(f, "{v4}/{}", self.prefix),
            IpAddr::V6(v6) => write!(f, "[{v6}]/{}", self.prefix),
        }
    }
}

/// For the fuzz target: what is read is printed as what is read the same.
pub fn fuzz_network(data: &[u8]) {
    if let Ok(network) = Network::parse(&String::from_utf8_lossy(data)) {
        assert_eq!(Network::parse(&network.to_string()), Ok(network));
        assert!(network.contains(network.address()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        for (pattern, address, expect) in [
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.0/8", "128.1.2.3", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.5", false),
            ("[::1]/128", "::1", true),
            ("[::1/128]", "::1", true),
            ("[fe80::]/10", "fe80::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("[1.2.3.0]/24", "1.2.3.9", true),
        ] {
            let network = Network::parse(pattern).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expect, "{pattern} {address}");
        }
    }

    #[test]
    fn mistakes() {
        for (pattern, expect) in [
            (
                "1.2.3.4/24",
                "non-null host address bits in \"1.2.3.4/24\", perhaps you should use \"1.2.3.0/24\" instead",
            ),
            ("1.2.3.0/33", "bad mask length in \"1.2.3.0/33\""),
            ("1.2.3.0/x", "bad mask value in \"1.2.3.0/x\""),
            ("1.2.3/24", "bad network value in \"1.2.3/24\""),
            ("1.2.3", "bad address pattern: \"1.2.3\""),
            ("[::1", "missing ']' character after \"[::1\""),
            ("[::1]x", "garbage after \"[::1]\""),
        ] {
            assert_eq!(Network::parse(pattern), Err(expect.to_string()), "{pattern}");
        }
    }

    proptest::proptest! {
        #[test]
        fn round_trip(bits: u128, prefix in 0u8..=128, v4: bool) {
            let address = if v4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() };
            let network = Network::around(address, prefix);
            proptest::prop_assert!(network.contains(address));
            fuzz_network(network.to_string().as_bytes());
        }

        #[test]
        fn any_text(text in "[0-9a-f:.\\[\\]/]{0,20}") {
            fuzz_network(text.as_bytes());
        }
    }
}
