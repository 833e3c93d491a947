//! `permit_mx_backup`: mail for domains that name this machine as a backup mail server.

use super::address::is_literal;
use super::dns::{DnsError, dns_domain};
use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::event::Warning;
use crate::facts::{Facts, Failed, MatchList, Subject};
use mail::DsnStatus;
use mail::Reply;
use mail::dns::{Kind, Record};

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(super) async fn permit_mx_backup(&mut self, name: &str) -> Step<'a> {
        let Some(recipient) = self.session.recipient else {
            return Ok(Flow::Dunno);
        };
        let resolved = self.resolve_recipient(recipient).await?;
        if self.is_authorized(&resolved) {
            return self.permit(name, &self.recipient_target(), None).await;
        }
        let domain = resolved.recipient.domain().unwrap_or_default();
        if (resolved.is_routed && !self.settings().allow_untrusted_routing) || is_literal(domain) {
            return Ok(Flow::Dunno);
        }
        match dns_domain(domain) {
            Some(domain) if self.is_backup_for(&domain).await? => {
                self.permit(name, &self.recipient_target(), None).await
            }
            _ => Ok(Flow::Dunno),
        }
    }

    /// We are one of the domain's mail servers, but none of the best.
    async fn is_backup_for(&mut self, domain: &str) -> Result<bool, Reply> {
        let answer = match self.query(domain, Kind::Mx).await {
            Ok(answer) => answer,
            Err((error, failure)) => {
                if error == DnsError::TryLater {
                    let why = error.text(Some(&failure));
                    self.cannot_tell(&format!("Unable to look up mail exchanger information: {why}"));
                }
                return Ok(false);
            }
        };
        let mut servers: Vec<(u16, String)> = answer.records.into_iter().filter_map(mail_server).collect();
        servers.sort_by_key(|(preference, _)| *preference);
        let best = servers.first().map(|(preference, _)| *preference);
        let others = servers.iter().position(|(preference, _)| Some(*preference) != best);
        let (primary, backup) = servers.split_at(others.unwrap_or(servers.len()));
        if self.are_we_among(primary).await? || !self.are_we_among(backup).await? {
            return Ok(false);
        }
        match self.settings().permit_mx_backup_networks {
            true => self.are_in_backup_networks(primary).await,
            false => Ok(true),
        }
    }

    /// By name first; only if that fails by address.
    async fn are_we_among(&mut self, servers: &[(u16, String)]) -> Result<bool, Reply> {
        for (_, host) in servers {
            if self.facts.matches(MatchList::Mydestination, Subject::Name(host)).await == Ok(true) {
                return Ok(true);
            }
        }
        for (_, host) in servers {
            match self.facts.host_addresses(host).await {
                Ok(addresses) => {
                    for address in addresses {
                        let own =
                            self.facts.matches(MatchList::OwnAddresses, Subject::Address(address)).await;
                        if own == Ok(true) {
                            return Ok(true);
                        }
                    }
                }
                Err(why) => self.cannot_tell(&format!("Unable to look up mail exchanger host {host}: {why}")),
            }
        }
        Ok(false)
    }

    async fn are_in_backup_networks(&mut self, servers: &[(u16, String)]) -> Result<bool, Reply> {
        for (_, host) in servers {
            let addresses = match self.facts.host_addresses(host).await {
                Ok(addresses) => addresses,
                Err(_) => {
                    let why = "Host not found";
                    self.cannot_tell(&format!("Unable to look up host {host} as mail exchanger: {why}"));
                    return Ok(false);
                }
            };
            for address in addresses {
                let address = address.to_string();
                let subject = Subject::Host { name: host, address: &address };
                let is_in = self.facts.matches(MatchList::PermitMxBackupNetworks, subject).await;
                if is_in != Ok(true) {
                    self.note_failed_list(is_in, host, address);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn note_failed_list(&mut self, is_in: Result<bool, Failed>, host: &str, address: String) {
        if is_in.is_err() {
            self.warn(Warning::MxBackupNetworks { address, host });
            self.cannot_tell(&format!("Unable to verify host {host} as mail exchanger"));
        }
    }

    /// What would be rejected is put off.
    fn cannot_tell(&mut self, why: &str) {
        let recipient = self.session.recipient.map_or(&b""[..], mail::Address::as_bytes);
        let text = Target::new(recipient, ReplyClass::Recipient, None).rejected(why);
        self.defer_if_reject(450, DsnStatus::new(4, 4, 4), text);
    }
}

fn mail_server(record: Record) -> Option<(u16, String)> {
    match record {
        Record::Mx { preference, host } => Some((preference, host)),
        _ => None,
    }
}
