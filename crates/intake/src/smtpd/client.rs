//! Who the client is: its address, its name as far as the DNS vouches for it.

use super::Service;
use logger::Logger;
use net::resolver::{ClientName, NameStatus as Looked};
use policy::NameStatus;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A client as the session knows it.
pub(super) struct ClientFacts {
    pub(super) address: IpAddr,
    pub(super) client: mail::Client,
    /// `name[address]`, with the port where `smtpd_client_port_logging` says so.
    pub(super) namaddr: String,
    pub(super) name_status: NameStatus,
    pub(super) reverse_name: String,
    pub(super) reverse_name_status: NameStatus,
}

impl ClientFacts {
    /// Looks the client up. A connection without an address, over a UNIX socket, is the local host's.
    pub(super) async fn find(service: &Service, peer: Option<SocketAddr>, log: &Logger) -> ClientFacts {
        let peer = peer.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0));
        let found = match service.smtpd_peername_lookup {
            true => service.resolver.client_name(peer.ip()).await,
            false => ClientName::unknown(Looked::Permanent),
        };
        for warning in &found.warnings {
            log.warning(format_args!("{warning}"));
        }
        let address = peer.ip().to_string();
        let port =
            if service.smtpd_client_port_logging { format!(":{}", peer.port()) } else { String::new() };
        ClientFacts {
            address: peer.ip(),
            namaddr: format!("{}[{address}]{port}", found.name),
            name_status: status(found.name_status),
            reverse_name: found.reverse_name,
            reverse_name_status: status(found.reverse_name_status),
            client: mail::Client {
                name: found.name,
                address,
                port: peer.port(),
                // Until EHLO.
                protocol: "SMTP".into(),
                ..mail::Client::default()
            },
        }
    }
}

fn status(looked: Looked) -> NameStatus {
    match looked {
        Looked::Ok => NameStatus::Ok,
        Looked::Temporary => NameStatus::TryLater,
        Looked::Permanent => NameStatus::NotFound,
        Looked::Forged => NameStatus::Forged,
    }
}
