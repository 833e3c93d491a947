//! Named TCP ports: `/etc/services` (services(5)), and the mail ports for systems without that file.

use crate::watch::Watched;
use std::collections::HashMap;

/// What `known_tcp_ports` of Postfix 3.6 and later sets by default; IANA's assignments.
const KNOWN_TCP_PORTS: [(&str, u16); 5] =
    [("lmtp", 24), ("smtp", 25), ("smtps", 465), ("submissions", 465), ("submission", 587)];

/// Reads `known_tcp_ports`: `smtps=submissions=465, …`. What is no port is left out.
pub fn parse_known_tcp_ports(text: &str) -> Vec<(String, u16)> {
    let mut ports = Vec::new();
    for entry in text.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty()) {
        let mut parts = entry.rsplit('=');
        let Some(port) = parts.next().and_then(|number| number.parse().ok()) else { continue };
        ports.extend(parts.map(|name| (name.to_string(), port)));
    }
    ports
}

/// The ports of TCP services by name.
pub struct Services {
    known_tcp_ports: HashMap<String, u16>,
    file: Watched<HashMap<String, u16>>,
}

impl Services {
    /// Of the system: `/etc/services`.
    pub fn system() -> Services {
        Services::from_file("/etc/services")
    }

    pub fn from_file(path: &str) -> Services {
        let known = KNOWN_TCP_PORTS.iter().map(|(name, port)| (name.to_string(), *port));
        Services { known_tcp_ports: known.collect(), file: Watched::new(path, parse) }
    }

    /// Replaces the built-in names: `known_tcp_ports`, as (name, port).
    pub fn with_known_tcp_ports(mut self, ports: impl IntoIterator<Item = (String, u16)>) -> Services {
        self.known_tcp_ports = ports.into_iter().collect();
        self
    }

    /// The port of a name or a number. None: no such service, or a number that is no port (0 is none).
    pub fn port(&self, service: &str) -> Option<u16> {
        if !service.is_empty() && service.bytes().all(|b| b.is_ascii_digit()) {
            return service.parse().ok().filter(|port| *port != 0);
        }
        let known = self.known_tcp_ports.get(service).copied();
        known.or_else(|| self.file.get().get(service).copied())
    }
}

fn parse(text: &str) -> HashMap<String, u16> {
    let mut ports = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let (Some(name), Some(port)) = (words.next(), words.next()) else { continue };
        let Some(port) = port.strip_suffix("/tcp").and_then(|number| number.parse().ok()) else { continue };
        for name in std::iter::once(name).chain(words) {
            ports.entry(name.to_string()).or_insert(port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ports() {
        let ports = parse_known_tcp_ports("lmtp=24, smtps=submissions=465 x=y");
        let expect = [("lmtp", 24), ("submissions", 465), ("smtps", 465)];
        assert_eq!(ports, expect.map(|(name, port)| (name.to_string(), port)));
    }

    #[test]
    fn rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("services");
        std::fs::write(
            &path,
            "smtp 2525/tcp\nmx\t77/tcp mail # x\nmx 78/udp\n# q 1/tcp\nbad x/tcp\nmx 79/tcp\n",
        )
        .unwrap();
        let services = Services::from_file(path.to_str().unwrap());
        for (service, expect) in [
            ("smtp", Some(25)),
            ("submission", Some(587)),
            ("smtps", Some(465)),
            ("lmtp", Some(24)),
            ("mx", Some(77)),
            ("mail", Some(77)),
            ("q", None),
            ("bad", None),
            ("", None),
            ("10025", Some(10025)),
            ("0", None),
            ("65536", None),
            ("25x", None),
        ] {
            assert_eq!(services.port(service), expect, "{service}");
        }
        let own = services.with_known_tcp_ports([("smtp".to_string(), 26)]);
        assert_eq!((own.port("smtp"), own.port("submission")), (Some(26), None));
    }
}
