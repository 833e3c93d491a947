//! What the parent takes from the configuration: directories, users, the sockets to keep, the files that may be opened.

use super::rights::Rights;
use nix::unistd::{Gid, Group, Uid, User, geteuid};
use params::{Diagnostic, Service, ServiceKind, View, p};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The parent's part of the configuration.
pub(crate) struct Settings {
    pub queue_directory: PathBuf,
    pub data_directory: PathBuf,
    pub mail_version: String,
    /// `mail_owner`; None: this process is not root, and everything runs as its user.
    pub owner: Option<Owner>,
    /// The addresses of each inet service: `name/type` of master.cf and where it listens.
    pub inet: Vec<(String, BTreeSet<SocketAddr>)>,
    pub rights: Rights,
    maillog_file: String,
    maillog_file_prefixes: Vec<String>,
}

/// The user that the worker runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub uid: Uid,
    pub gid: Gid,
    /// `setgid_group`.
    pub setgid: Gid,
}

impl Settings {
    /// Reads them. Whatever is wrong is in `mistakes`; if one is fatal the settings are of no use.
    pub(crate) fn read(view: &View, mistakes: &mut Vec<Diagnostic>) -> Settings {
        let owner = if geteuid().is_root() { read_owner(view, mistakes) } else { None };
        Settings {
            queue_directory: view.get(p::queue_directory, mistakes).into(),
            data_directory: view.get(p::data_directory, mistakes).into(),
            mail_version: view.get(p::mail_version, mistakes),
            owner,
            inet: read_inet(view, mistakes),
            rights: Rights::read(view),
            maillog_file: view.get(p::maillog_file, mistakes),
            maillog_file_prefixes: view.get(p::maillog_file_prefixes, mistakes),
        }
    }

    /// `maillog_file`, opened for the worker, which may not open it itself.
    pub(crate) fn open_log(&self) -> Result<OwnedFd, String> {
        logger::open_maillog_file(&self.maillog_file, &self.maillog_file_prefixes).map(OwnedFd::from)
    }
}

fn read_owner(view: &View, mistakes: &mut Vec<Diagnostic>) -> Option<Owner> {
    let name = view.get(p::mail_owner, mistakes);
    let group = view.get(p::setgid_group, mistakes);
    let user = User::from_name(&name).ok().flatten();
    let setgid = Group::from_name(&group).ok().flatten();
    let (Some(user), Some(setgid)) = (&user, &setgid) else {
        let (parameter, value) =
            if user.is_none() { ("mail_owner", &name) } else { ("setgid_group", &group) };
        let what = if user.is_none() { "user" } else { "group" };
        let unknown = format!(
            "file {}/main.cf: parameter {parameter}: unknown {what} name value: {value}",
            config_directory(view)
        );
        mistakes
            .push(Diagnostic::fatal(unknown).mend(format!("create the {what}, or name one that there is")));
        return None;
    };
    if user.uid.is_root() {
        let why = format!(
            "file {}/main.cf: parameter mail_owner: user {name} has privileged user ID: 0",
            config_directory(view)
        );
        mistakes.push(Diagnostic::fatal(why).mend("name a user that nothing else runs as"));
    }
    Some(Owner { uid: user.uid, gid: user.gid, setgid: setgid.gid })
}

fn config_directory(view: &View) -> &str {
    &view.config().host.config_directory
}

fn read_inet(view: &View, mistakes: &mut Vec<Diagnostic>) -> Vec<(String, BTreeSet<SocketAddr>)> {
    let services = view.served().into_iter().filter(|s| s.kind == ServiceKind::Inet);
    let mut inet = Vec::new();
    for service in services {
        match addresses(view, service) {
            Ok(addresses) => inet.push((service.name_space(), addresses)),
            Err(why) => mistakes.push(Diagnostic::fatal(why).at(params::Place {
                file: view.config().master.path.clone(),
                line: service.line,
                span: 0..service.name().len(),
            })),
        }
    }
    inet
}

/// Where an inet service listens: `25`, `smtp`, `host:port`, `[::1]:port`; without a host on all of `inet_interfaces`.
fn addresses(view: &View, service: &Service) -> Result<BTreeSet<SocketAddr>, String> {
    let view = view.for_service(service);
    let (host, port) = split_endpoint(service.name());
    let known = view.get(p::known_tcp_ports, &mut Vec::new());
    let services = net::Services::system().with_known_tcp_ports(net::parse_known_tcp_ports(&known));
    let number = services.port(port);
    let number = number.ok_or_else(|| format!("unknown service: {port}/tcp"))?;
    let protocols = view.protocols()?;
    let interfaces = view.get(p::inet_interfaces, &mut Vec::new());
    let is_all = interfaces.len() == 1 && interfaces[0] == "all";
    let addresses: Vec<std::net::IpAddr> = match host {
        Some(host) => resolve(host).into_iter().filter(|a| protocols.has(*a)).collect(),
        None if is_all => {
            let any: [std::net::IpAddr; 2] =
                [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
            any.into_iter().filter(|a| protocols.has(*a)).collect()
        }
        None => view.own_interfaces()?.into_iter().map(|i| i.address).collect(),
    };
    match addresses.is_empty() {
        true => Err(format!("{}: host not found", service.name())),
        false => Ok(addresses.into_iter().map(|a| SocketAddr::new(a, number)).collect()),
    }
}

fn split_endpoint(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once(':') {
        Some((host, port)) => {
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            ((!host.is_empty()).then_some(host), port)
        }
        None => (None, name),
    }
}

fn resolve(host: &str) -> Vec<std::net::IpAddr> {
    use std::net::ToSocketAddrs;
    let found = (host, 0u16).to_socket_addrs();
    found.map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (name, expect) in [
            ("smtp", (None, "smtp")),
            ("127.0.0.1:10025", (Some("127.0.0.1"), "10025")),
            ("[::1]:submission", (Some("::1"), "submission")),
            (":25", (None, "25")),
        ] {
            assert_eq!(split_endpoint(name), expect);
        }
    }
}
