//! `cidr:` tables: networks, in their order.

use crate::file_values::value_or_file;
use crate::rules::{ReadRules, Replacement, Rules, lines, strip_negation, strip_word};
use crate::source::{is_space, show, trim, trim_start};
use crate::watched::{Content, FindError};
use crate::{OpenContext, OpenError, Table, rules};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) fn open(name: &str, context: &OpenContext) -> Result<Arc<dyn Table>, OpenError> {
    rules::open::<Cidr>(name, context)
}

struct Cidr(Rules<Condition>);

/// Whether an address is in a network, or is not.
struct Condition {
    network: Network,
    is_positive: bool,
}

impl Condition {
    /// A pattern says nothing about addresses of the other family.
    fn applies(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.address.is_ipv4()
            && self.network.contains(address) == self.is_positive
    }
}

impl ReadRules for Cidr {
    const KIND: &'static str = "cidr";

    fn read(name: &str, text: &[u8], context: &OpenContext) -> Box<dyn Content> {
        let mut rules = Rules::new();
        for (line, text) in lines(name, text, context) {
            if let Err(why) = read_rule(line, &text, &mut rules, context) {
                context.warn(&format!("cidr map {name}, line {line}: {why}: skipping this rule"));
            }
        }
        for line in rules.open_ifs() {
            context.warn(&format!("cidr map {name}, line {line}: IF has no matching ENDIF"));
        }
        Box::new(Cidr(rules))
    }
}

fn read_rule(
    line: usize,
    text: &[u8],
    rules: &mut Rules<Condition>,
    context: &OpenContext,
) -> Result<(), String> {
    if let Some(rest) = strip_word(text, "if") {
        let (is_positive, pattern) = strip_negation(rest);
        let network = parse_pattern(trim(pattern))?;
        rules.push_if(line, Condition { network, is_positive });
        return Ok(());
    }
    if let Some(rest) = strip_word(text, "endif") {
        if !trim(rest).is_empty() {
            return Err("garbage after ENDIF".to_owned());
        }
        return if rules.push_end_if() { Ok(()) } else { Err("ENDIF without IF".to_owned()) };
    }
    let (is_positive, text) = strip_negation(text);
    let end = text.iter().position(|&octet| is_space(octet)).unwrap_or(text.len());
    let network = parse_pattern(&text[..end])?;
    let value = trim(trim_start(&text[end..]));
    if value.is_empty() {
        return Err("no lookup result".to_owned());
    }
    let result = Replacement::literal(&value_or_file(value, context)?);
    rules.push_match(line, Condition { network, is_positive }, result);
    Ok(())
}

fn parse_pattern(pattern: &[u8]) -> Result<Network, String> {
    if pattern.is_empty() {
        return Err("no address pattern".to_owned());
    }
    Network::parse(&show(pattern))
}

impl Content for Cidr {
    fn find(&self, key: &[u8]) -> Result<Option<Bytes>, FindError> {
        let Some(address) = std::str::from_utf8(key).ok().and_then(|text| text.parse().ok()) else {
            return Ok(None);
        };
        let result = self.0.find(|_, condition| condition.applies(address));
        Ok(result.map(|result| result.expand(key, &[])))
    }
}

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// `192.0.2.0/24`, `2001:db8::/32`, `[2001:db8::]/32`, `[::1]`, `192.0.2.1`.
    fn parse(pattern: &str) -> Result<Network, String> {
        let (address, mask) = match pattern.strip_prefix('[') {
            Some(rest) => split_brackets(rest)?,
            None => split_mask(pattern),
        };
        let Some(mask) = mask else {
            let parsed = address.parse().map_err(|_| format!("bad address pattern: \"{address}\""))?;
            return Ok(Network { address: parsed, prefix: bits(parsed) });
        };
        let bad = |what: &str| format!("{what} in \"{address}/{mask}\"");
        if mask.is_empty() || !mask.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err(bad("bad mask value"));
        }
        let limit = if address.contains(':') { 128 } else { 32 };
        let prefix =
            mask.parse().ok().filter(|prefix| *prefix <= limit).ok_or_else(|| bad("bad mask length"))?;
        let parsed: IpAddr = address.parse().map_err(|_| bad("bad network value"))?;
        let network = Network { address: masked(parsed, prefix), prefix };
        if network.address != parsed {
            return Err(format!(
                "non-null host address bits in \"{address}/{mask}\", perhaps you should use \"{}/{prefix}\" instead",
                network.address
            ));
        }
        Ok(network)
    }

    fn contains(&self, address: IpAddr) -> bool {
        masked(address, self.prefix) == self.address
    }
}

/// `address/mask`.
fn split_mask(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((address, mask)) => (address, Some(mask)),
        None => (text, None),
    }
}

/// `address]`, `address]/mask`, `address/mask]`.
fn split_brackets(rest: &str) -> Result<(&str, Option<&str>), String> {
    let Some((inside, behind)) = rest.split_once(']') else {
        return Err(format!("missing ']' character after \"[{rest}\""));
    };
    if let Some(mask) = behind.strip_prefix('/') {
        return Ok((inside, Some(mask)));
    }
    if !behind.is_empty() {
        return Err(format!("garbage after \"[{inside}]\""));
    }
    Ok(split_mask(inside))
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (pattern, expect) in [
            ("192.0.2.0/24", Ok("192.0.2.0/24")),
            ("192.0.2.1", Ok("192.0.2.1/32")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("2001:db8::/32", Ok("2001:db8::/32")),
            ("[2001:db8::]/32", Ok("2001:db8::/32")),
            ("[2001:db8::/32]", Ok("2001:db8::/32")),
            ("::/0", Ok("::/0")),
            ("192.0.2.1/", Err("bad mask value in \"192.0.2.1/\"")),
            ("192.0.2.0/x", Err("bad mask value in \"192.0.2.0/x\"")),
            ("192.0.2.0/33", Err("bad mask length in \"192.0.2.0/33\"")),
            ("192.0.2/24", Err("bad network value in \"192.0.2/24\"")),
            ("192.0.2", Err("bad address pattern: \"192.0.2\"")),
            ("host", Err("bad address pattern: \"host\"")),
            ("[::1", Err("missing ']' character after \"[::1\"")),
            ("[::1]x", Err("garbage after \"[::1]\"")),
            (
                "192.0.2.1/24",
                Err(
                    "non-null host address bits in \"192.0.2.1/24\", perhaps you should use \"192.0.2.0/24\" instead",
                ),
            ),
        ] {
            let shown = Network::parse(pattern).map(|n| format!("{}/{}", n.address, n.prefix));
            assert_eq!(shown, expect.map(str::to_owned).map_err(str::to_owned), "{pattern}");
        }
    }

    #[test]
    fn membership() {
        for (pattern, address, expect) in [
            ("192.0.2.128/25", "192.0.2.200", true),
            ("192.0.2.128/25", "192.0.2.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("::/0", "::1", true),
        ] {
            let network = Network::parse(pattern).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expect, "{pattern} {address}");
        }
    }
}
