//! `check_*_mx_access`, `check_*_ns_access`, `check_*_a_access`: access tables for the servers of a domain.

use super::access::Hit;
use super::address::domain_of;
use super::dns::{DnsError, dns_domain};
use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::event::Warning;
use crate::facts::{Facts, Table};
use crate::names::{ServerRecord, Whose};
use mail::dns::{Answer, Failure, Kind, Record};
use mail::hostname::{is_address, literal_address};
use std::net::IpAddr;

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(super) async fn check_server_access(
        &mut self,
        whose: Whose,
        record: ServerRecord,
        table: &Table,
        name: &str,
        target: &Target<'a>,
    ) -> Step<'a> {
        let Some((subject, mut inner)) = self.whose(whose) else {
            return Ok(Flow::Dunno);
        };
        inner.bare = target.bare;
        let hit = self.look_up_servers(record, table, subject, &inner).await;
        let flow = self.act_on(hit, inner).await?;
        self.forbidding_permit(flow, name, subject)
    }

    /// What is looked up, and what the reply names.
    pub(super) fn whose(&self, whose: Whose) -> Option<(&'a [u8], Target<'a>)> {
        let session = &self.session;
        let is_known = |name: &&str| !name.eq_ignore_ascii_case("unknown");
        match whose {
            Whose::Client => {
                let name = Some(session.client.name.as_str()).filter(is_known)?;
                Some((name.as_bytes(), Target::new(session.namaddr.as_bytes(), ReplyClass::Client, None)))
            }
            Whose::ReverseClient => {
                let name = Some(session.reverse_name).filter(is_known)?.as_bytes();
                Some((name, Target::new(name, ReplyClass::ReverseClient, None)))
            }
            Whose::Helo => {
                let helo = Some(session.client.helo.as_bytes()).filter(|helo| !helo.is_empty())?;
                Some((helo, Target::new(helo, ReplyClass::Helo, None)))
            }
            Whose::Sender => {
                let sender = self.address_of(ReplyClass::Sender)?.as_bytes();
                Some((sender, Target::new(sender, ReplyClass::Sender, None)))
            }
            Whose::Recipient => {
                let recipient = self.address_of(ReplyClass::Recipient)?.as_bytes();
                Some((recipient, Target::new(recipient, ReplyClass::Recipient, None)))
            }
        }
    }

    async fn look_up_servers<'t>(
        &self,
        record: ServerRecord,
        table: &'t Table,
        subject: &[u8],
        target: &Target<'_>,
    ) -> Option<Hit<'t>> {
        let domain = domain_of(subject);
        if domain.starts_with(b"[") {
            return self.look_up_literal(record, table, domain).await;
        }
        let domain = dns_domain(domain)?;
        let servers = match record {
            ServerRecord::A => vec![domain],
            _ => self.servers(record, domain, subject).await?,
        };
        let mut addresses_left = self.settings().dns_rr_list_limit;
        for server in &servers {
            match self.look_up_server(record, table, server, &mut addresses_left, target).await {
                Ok(None) => {}
                Ok(hit) => return hit,
                Err(TooMany) => {
                    let (limit, name) = (self.settings().dns_rr_list_limit, self.printable(&target.name));
                    let (record, class) = (record.as_str(), target.class.as_str());
                    self.warn(Warning::ServerAddressLimit { record, limit, class, name });
                    return None;
                }
            }
        }
        None
    }

    /// The name, unless only addresses are asked for, and then the addresses.
    async fn look_up_server<'t>(
        &self,
        record: ServerRecord,
        table: &'t Table,
        server: &str,
        addresses_left: &mut usize,
        target: &Target<'_>,
    ) -> Result<Option<Hit<'t>>, TooMany> {
        if is_address(server.as_bytes()) {
            return Ok(self.look_up_network(table, server.as_bytes()).await);
        }
        if record != ServerRecord::A
            && let Some(hit) = self.look_up_host(table, server.as_bytes()).await
        {
            return Ok(Some(hit));
        }
        for address in self.server_addresses(record, server, target).await {
            *addresses_left = addresses_left.checked_sub(1).ok_or(TooMany)?;
            if let Some(hit) = self.look_up_network(table, address.to_string().as_bytes()).await {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    async fn server_addresses(&self, record: ServerRecord, host: &str, target: &Target<'_>) -> Vec<IpAddr> {
        match self.facts.host_addresses(host).await {
            Ok(addresses) => addresses,
            Err(_) if record == ServerRecord::A => Vec::new(),
            Err(why) => {
                let (record, class) = (record.as_str(), target.class.as_str());
                let (name, why) = (self.printable(&target.name), why.to_string());
                self.warn(Warning::ServerAddress { record, host, class, name, why });
                Vec::new()
            }
        }
    }

    /// An address literal is its own mail server, and has no name servers.
    async fn look_up_literal<'t>(
        &self,
        record: ServerRecord,
        table: &'t Table,
        literal: &[u8],
    ) -> Option<Hit<'t>> {
        if record == ServerRecord::Ns {
            return None;
        }
        let inside = literal.strip_prefix(b"[")?.strip_suffix(b"]")?;
        self.look_up_network(table, literal_address(inside)?).await
    }

    /// The names of a domain's servers. Without an MX it is its own; without NS records its parent's are taken.
    async fn servers(&self, record: ServerRecord, domain: String, subject: &[u8]) -> Option<Vec<String>> {
        let kind = if record == ServerRecord::Mx { Kind::Mx } else { Kind::Ns };
        let mut domain = domain;
        loop {
            let (error, failure) = match self.query(&domain, kind).await {
                Ok(answer) => return Some(hosts(answer)),
                Err(failed) => failed,
            };
            if error == DnsError::NullMx {
                return None;
            }
            if error == DnsError::NotFound && record == ServerRecord::Mx {
                return Some(vec![domain]);
            }
            let parent = domain.split_once('.').map(|(_, parent)| parent.to_owned());
            match parent.filter(|parent| error == DnsError::NotFound && !parent.is_empty()) {
                Some(parent) => domain = parent,
                None => {
                    self.warn_of_failure(record, &domain, subject, error, &failure);
                    return None;
                }
            }
        }
    }

    fn warn_of_failure(
        &self,
        record: ServerRecord,
        domain: &str,
        subject: &[u8],
        error: DnsError,
        failure: &Failure,
    ) {
        // Postfix: once all parents were tried it names what it began with.
        let is_last = error == DnsError::NotFound;
        let domain = if is_last { self.printable(subject) } else { domain.to_owned() };
        let why = error.text(Some(failure));
        self.warn(Warning::ServerLookup { record: record.as_str(), domain, why });
    }
}

/// More addresses than `dns_rr_list_limit`.
struct TooMany;

fn hosts(answer: Answer) -> Vec<String> {
    let host = |record| match record {
        Record::Mx { host, .. } | Record::Ns(host) => Some(host),
        _ => None,
    };
    answer.records.into_iter().filter_map(host).collect()
}

impl ServerRecord {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            ServerRecord::Mx => "MX",
            ServerRecord::Ns => "NS",
            ServerRecord::A => "A",
        }
    }
}
