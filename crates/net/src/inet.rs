//! Address families as main.cf names them.

use std::net::IpAddr;

/// `inet_protocols`: the families that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InetProtocols {
    pub ipv4: bool,
    pub ipv6: bool,
}

impl InetProtocols {
    pub const ALL: InetProtocols = InetProtocols { ipv4: true, ipv6: true };

    pub fn allows(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.ipv4 } else { self.ipv6 }
    }
}
