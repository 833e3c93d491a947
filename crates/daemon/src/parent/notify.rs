//! Telling a service manager that the system is up (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says READY to the socket that `NOTIFY_SOCKET` names, if there is one. A manager that cannot be told starts its own timeout.
pub(super) fn ready() {
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else { return };
    let text = format!("READY=1\nMAINPID={}\n", std::process::id());
    let _ = send(&name, text.as_bytes());
}

fn send(name: &str, text: &[u8]) -> std::io::Result<usize> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let abstract_name = format!("oxipost-test-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        for (server, name) in [
            (UnixDatagram::bind(&path).expect("bound"), path.display().to_string()),
            (UnixDatagram::bind_addr(&by_name).expect("bound"), format!("@{abstract_name}")),
        ] {
            send(&name, b"READY=1\n").expect("sent");
            let mut text = [0; 16];
            let n = server.recv(&mut text).expect("received");
            assert_eq!(&text[..n], b"READY=1\n");
        }
    }
}
