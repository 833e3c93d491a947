//! The listening sockets. The parent keeps them, so that a reload or a worker's crash refuses nobody.

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

/// Connections that wait to be accepted, at most; the kernel's `somaxconn` bounds it further.
const BACKLOG: i32 = 1024;

/// Sockets by service (`name/type` of master.cf) and address.
#[derive(Default)]
pub(crate) struct Listeners {
    sockets: BTreeMap<(String, SocketAddr), Socket>,
}

impl Listeners {
    /// The sockets of these services: those that were there are taken over, new ones are bound. On an error the old set is as
    /// it was. The text is master(8)'s.
    pub(crate) fn prepare(&self, services: &[(String, BTreeSet<SocketAddr>)]) -> Result<Listeners, String> {
        let mut next = Listeners::default();
        for (service, addresses) in services {
            for &address in addresses {
                let key = (service.clone(), address);
                let kept = self.sockets.get(&key).and_then(|socket| socket.try_clone().ok());
                // An address may have moved to another service.
                let moved = || self.sockets.iter().find(|((_, a), _)| *a == address);
                let socket = match kept.or_else(|| moved().and_then(|(_, socket)| socket.try_clone().ok())) {
                    Some(socket) => socket,
                    None => bind(address).map_err(|e| bind_error(address, &e))?,
                };
                next.sockets.insert(key, socket);
            }
        }
        Ok(next)
    }

    /// All of them, for the worker.
    pub(crate) fn borrowed(&self) -> Vec<(String, BorrowedFd<'_>)> {
        self.sockets.iter().map(|((service, _), socket)| (service.clone(), socket.as_fd())).collect()
    }
}

fn bind(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_error(address: SocketAddr, error: &std::io::Error) -> String {
    let why =
        error.raw_os_error().map_or_else(|| error.to_string(), |n| Errno::from_raw(n).desc().to_owned());
    format!("bind {} port {}: {why}", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(service: &str, addresses: &[SocketAddr]) -> Vec<(String, BTreeSet<SocketAddr>)> {
        vec![(service.to_owned(), addresses.iter().copied().collect())]
    }

    fn address_of(listeners: &Listeners) -> SocketAddr {
        let socket = listeners.sockets.values().next().expect("a socket");
        socket.local_addr().expect("bound").as_socket().expect("an IP address")
    }

    #[test]
    fn sockets_outlive_a_reload() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let first = Listeners::default().prepare(&wanted("smtp/inet", &[any])).expect("bound");
        let bound = address_of(&first);
        let waiting = std::net::TcpStream::connect(bound).expect("listening");
        let second = first.prepare(&wanted("smtp/inet", &[any])).expect("kept");
        drop(first);
        assert_eq!(address_of(&second), bound);
        drop(waiting);
        std::net::TcpStream::connect(bound).expect("still listening");
    }

    #[test]
    fn an_address_in_use_is_told_in_masters_words() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = taken.local_addr().expect("bound");
        let why = Listeners::default().prepare(&wanted("smtp/inet", &[address])).err().expect("in use");
        assert_eq!(why, format!("bind 127.0.0.1 port {}: Address already in use", address.port()));
    }
}
