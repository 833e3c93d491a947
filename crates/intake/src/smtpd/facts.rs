//! What restrictions ask, answered from this service's tables, lists, resolver and router.

use super::Service;
use super::networks::{Hosts, later};
use logger::Logger;
use mail::Address;
use mail::dns::Dns;
use mail::keys::{Key, Search};
use net::resolver::NativeError;
use policy::{
    Asked, Class, Event, Facts, Failed, Found, HostFailure, Is, Listed, ListedQuery, Map, MatchList,
    PolicyService, Request, Resolved, Subject, Table, Verified,
};
use route::Unresolved;
use std::net::IpAddr;
use std::time::Duration;

/// The world as one session's restrictions see it.
pub(super) struct World<'a> {
    pub(super) service: &'a Service,
    pub(super) log: &'a Logger,
}

impl Facts for World<'_> {
    async fn table(&self, table: &Table, key: &Key<'_>) -> Found {
        let open = &self.service.tables[table.index];
        if open.is_pattern() && !key.is_whole {
            return Ok(None);
        }
        open.get(&key.text).await.map_err(|_| Failed::TryLater)
    }

    async fn find(&self, map: Map, key: Asked<'_>) -> Found {
        let maps = match map {
            Map::SenderLogin => &self.service.smtpd_sender_login_maps,
            Map::RblReply => &self.service.rbl_reply_maps,
            Map::RelayClientcerts => &self.service.relay_clientcerts,
        };
        let found = match key {
            Asked::Key(key) => maps.get(key, true).await,
            Asked::Address(address) => {
                let router = &self.service.enqueue.cleanup.router;
                let hit = router.find_address(maps, address, Search::ADDRESS).await;
                return hit.map(|hit| hit.map(|hit| hit.value)).map_err(|_| Failed::TryLater);
            }
        };
        found.map_err(|later| {
            later.0.lines().for_each(|line| self.log.warning(format_args!("{line}")));
            Failed::TryLater
        })
    }

    async fn matches(&self, list: MatchList, subject: Subject<'_>) -> Is {
        let lists = &self.service.lists;
        let networks = match list {
            MatchList::Mynetworks => &lists.mynetworks,
            MatchList::MynetworksHost => &lists.mynetworks_host,
            MatchList::PermitMxBackupNetworks => &lists.permit_mx_backup_networks,
            MatchList::InetInterfaces => &lists.inet_interfaces,
            MatchList::OwnAddresses => &lists.own_addresses,
            MatchList::RelayDomains => {
                let has = lists.relay_domains.has(subject_name(&subject).as_bytes()).await;
                return has.map_err(|_| Failed::TryLater);
            }
            MatchList::Mydestination => {
                let router = &self.service.enqueue.cleanup.router;
                let is_local = router.is_local(subject_name(&subject).as_bytes()).await;
                return is_local.map_err(|_| Failed::TryLater);
            }
            MatchList::LogAccessPermitActions => {
                let name = subject_name(&subject);
                return Ok(lists.smtpd_log_access_permit_actions.iter().any(|action| action == name));
            }
        };
        let host = match subject {
            Subject::Host { name, address } => match address.parse() {
                Ok(address) => Hosts { name, address },
                Err(_) => return Ok(false),
            },
            Subject::Address(address) => Hosts { name: "", address },
            Subject::Name(_) => return Ok(false),
        };
        networks.has(host).await.map_err(|why| {
            self.log.warning(format_args!("{why}"));
            later(why)
        })
    }

    fn dns(&self) -> &dyn Dns {
        &self.service.resolver
    }

    async fn host_addresses(&self, host: &str) -> Result<Vec<IpAddr>, HostFailure> {
        let found = self.service.resolver.native_addresses(host, self.service.inet_protocols).await;
        found.map_err(|error| match error {
            NativeError::TryAgain => HostFailure::TryLater,
            NativeError::NoAddress => HostFailure::NoAddress,
            NativeError::Unknown => HostFailure::NotFound,
            _ => HostFailure::Failed,
        })
    }

    async fn resolve(&self, sender: Option<&Address>, address: &Address) -> Result<Resolved, Failed> {
        let route = match self.service.enqueue.cleanup.router.resolve_given(sender, address).await {
            Ok(route) => route,
            // Judged by its syntax before; here it is nobody's.
            Err(Unresolved::BadAddress { recipient }) => {
                return Ok(Resolved { recipient, class: Class::Default, is_routed: false });
            }
            Err(Unresolved::TryLater(_)) => return Err(Failed::TryLater),
        };
        Ok(Resolved { recipient: route.recipient, class: class(route.class), is_routed: route.is_routed })
    }

    async fn listed(&self, query: ListedQuery<'_>) -> Result<Listed, Failed> {
        let ListedQuery { address, other, is_sender } = query;
        let query = route::listed::Query { address, other, is_sender };
        match self.service.enqueue.cleanup.router.listed(query).await {
            Ok(route::listed::Listed::Yes) => Ok(Listed::Yes),
            Ok(route::listed::Listed::No(known)) => Ok(Listed::No(class(known))),
            Ok(route::listed::Listed::Error { text, class: known }) => {
                Ok(Listed::Error { text, class: class(known) })
            }
            Ok(route::listed::Listed::Retry { text }) => Ok(Listed::Retry { text }),
            Err(_) => Err(Failed::TryLater),
        }
    }

    async fn verify(&self, address: &Address) -> Result<Verified, Failed> {
        Ok(self.service.verify.verify(address))
    }

    async fn ask(&self, service: &PolicyService, request: &Request<'_>) -> Result<bytes::Bytes, Failed> {
        let answer = self.service.policy_servers.ask(service, &request.to_wire(), self.log).await;
        answer.ok_or(Failed::Misconfigured)
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn localtime(&self) -> String {
        (self.service.clock.stamp)((self.service.clock.now)())
    }

    fn log(&self, event: &Event<'_>) {
        match event {
            Event::Warning(warning) => self.log.warning(format_args!("{warning}")),
            event => self.log.info(format_args!("{event}")),
        }
    }
}

fn subject_name<'a>(subject: &Subject<'a>) -> &'a str {
    match subject {
        Subject::Name(name) | Subject::Host { name, .. } => name,
        Subject::Address(_) => "",
    }
}

fn class(known: route::Class) -> Class {
    match known {
        route::Class::Local => Class::Local,
        route::Class::VirtualAlias => Class::VirtualAlias,
        route::Class::VirtualMailbox => Class::VirtualMailbox,
        route::Class::Relay => Class::Relay,
        route::Class::Default => Class::Default,
    }
}
