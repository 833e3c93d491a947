//! What the host looks like: its name, its addresses, the files that stand for a value.

use params::{HostFacts, Interface, View};
use std::net::{IpAddr, ToSocketAddrs};

/// What can be found out without a configuration.
pub fn host_facts(program: &str, directory: &str) -> HostFacts {
    HostFacts {
        hostname: nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        interfaces: interfaces(),
        process_name: program.to_owned(),
        process_id: std::process::id(),
        config_directory: directory.to_owned(),
        ..HostFacts::default()
    }
}

/// Looks up what the configuration names: hosts in `inet_interfaces`, the file in `myorigin`.
pub fn complete(view: View) -> View {
    let mut config = view.config().clone();
    for name in view.host_names() {
        let found = (name.as_str(), 0u16).to_socket_addrs().map(|all| all.map(|a| a.ip()).collect());
        config.host.addresses.insert(name, found.unwrap_or_default());
    }
    let origin = view.expand("$myorigin").unwrap_or_default();
    if origin.starts_with('/') {
        let line = std::fs::read_to_string(&origin).map_err(|error| reason(&error));
        let first = line.map(|text| text.lines().next().unwrap_or_default().to_owned());
        config.host.first_lines.insert(origin, first);
    }
    View::new(config)
}

/// An error as C's strerror() has it, which is how Postfix's messages end.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}

fn interfaces() -> Vec<Interface> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let up = all.filter(|i| i.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP));
    up.filter_map(|i| {
        let address = ip_address(&i.address?)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = i.netmask.as_ref().and_then(ip_address).map_or(whole, ones);
        Some(Interface { address, prefix })
    })
    .collect()
}

fn ip_address(storage: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

fn ones(mask: IpAddr) -> u8 {
    let count = match mask {
        IpAddr::V4(v4) => v4.to_bits().leading_ones(),
        IpAddr::V6(v6) => v6.to_bits().leading_ones(),
    };
    count as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host() {
        let facts = host_facts("test", "/x");
        assert!(facts.interfaces.iter().any(|i| i.address.is_loopback()), "{facts:?}");
        assert_eq!((facts.process_name.as_str(), facts.config_directory.as_str()), ("test", "/x"));
    }
}
