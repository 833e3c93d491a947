//! DNS block lists and welcome lists, and the replies they lead to.

use super::address::domain_of;
use super::dns::DnsError;
use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::dnsbl::{address_query, is_refusal};
use crate::event::Warning;
use crate::expand::{ExpandError, expand, session_value};
use crate::facts::{Asked, Facts, Map};
use crate::list::DnsListName;
use crate::names::{DnsList, Whose};
use crate::restrictions::SaidOnce;
use crate::session::Command;
use crate::state::{DnsListAnswer, NoAnswer};
use crate::text::{is_all_digits, split_status, words};
use mail::dns::{Failure, Kind, Record};
use mail::hostname::{is_hostname, to_ascii};
use mail::{DsnStatus, Reply};
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// What a list says.
enum Listing {
    No,
    /// Under this name.
    Yes(String),
    /// It gave no answer.
    Unknown,
}

/// Octets of a list's text that a reply may show, at most.
const TEXT_LIMIT: usize = 500;

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(super) async fn check_dns_list(&mut self, list: DnsList, zone: &DnsListName, name: &str) -> Step<'a> {
        match list {
            DnsList::RejectAddress => self.reject_rbl_client(zone).await,
            DnsList::PermitAddress => {
                let address = self.session.client.address.as_bytes();
                let query = self.client_query(zone);
                self.permit_listed(query, zone, address, name).await
            }
            DnsList::RejectDomain(whose) => self.reject_rhsbl(whose, zone).await,
            DnsList::PermitClientDomain => match self.whose(Whose::Client) {
                Some((client, _)) => self.permit_listed(domain_query(client, zone), zone, client, name).await,
                None => Ok(Flow::Dunno),
            },
        }
    }

    /// `reject_rbl_client` for each of `maps_rbl_domains`.
    pub(super) async fn reject_maps_rbl(&mut self) -> Step<'a> {
        let settings = self.settings();
        if SaidOnce::first(&self.rules.said_once.reject_maps_rbl) {
            self.warn(Warning::WillBeRemoved {
                restriction: "reject_maps_rbl",
                mail_name: &settings.mail_name,
                instead: "reject_rbl_client domain-name",
            });
        }
        for word in words(&settings.maps_rbl_domains) {
            if let Ok(zone) = DnsListName::parse(&settings.maps_rbl_domains[word]) {
                self.reject_rbl_client(&zone).await?;
            }
        }
        Ok(Flow::Dunno)
    }

    async fn reject_rbl_client(&mut self, zone: &DnsListName) -> Step<'a> {
        let address = self.session.client.address.as_bytes();
        match self.listing(self.client_query(zone), zone).await {
            Listing::Yes(query) => {
                self.reject_listed(zone, &query, &Target::new(address, ReplyClass::Client, None)).await
            }
            Listing::No | Listing::Unknown => Ok(Flow::Dunno),
        }
    }

    async fn reject_rhsbl(&mut self, whose: Whose, zone: &DnsListName) -> Step<'a> {
        let Some((what, target)) = self.whose(whose) else {
            return Ok(Flow::Dunno);
        };
        match self.listing(domain_query(what, zone), zone).await {
            Listing::Yes(query) => {
                self.reject_listed(zone, &query, &Target::new(what, target.class, None)).await
            }
            Listing::No | Listing::Unknown => Ok(Flow::Dunno),
        }
    }

    /// A welcome list never makes us relay.
    async fn permit_listed(
        &mut self,
        query: Option<String>,
        zone: &DnsListName,
        what: &[u8],
        name: &str,
    ) -> Step<'a> {
        if self.session.command == Command::Rcpt
            && let Some(recipient) = self.session.recipient
            && !self.is_auth_destination(recipient).await?
        {
            return Ok(Flow::Dunno);
        }
        match self.listing(query, zone).await {
            Listing::Yes(_) => self.permit_client(name).await,
            Listing::No => Ok(Flow::Dunno),
            Listing::Unknown => {
                let text = [b"<", what, b">: Client host rejected: Service unavailable"].concat();
                self.defer_if_reject(450, DsnStatus::new(4, 7, 1), text);
                Ok(Flow::Dunno)
            }
        }
    }

    fn client_query(&self, zone: &DnsListName) -> Option<String> {
        let address = self.session.client.address.parse().ok()?;
        Some(address_query(address, &zone.domain))
    }

    async fn listing(&mut self, query: Option<String>, zone: &DnsListName) -> Listing {
        let Some(query) = query else {
            return Listing::No;
        };
        match self.list_answer(&query).await {
            Ok(addresses) if self.is_listing(&addresses, zone, &query) => Listing::Yes(query),
            Ok(_) => Listing::No,
            Err(NoAnswer) => Listing::Unknown,
        }
    }

    /// Asks once a session.
    async fn list_answer(&mut self, query: &str) -> DnsListAnswer {
        if let Some(answer) = self.state.dns_lists.get(query) {
            return answer;
        }
        let address = |record| match record {
            Record::A(address) => Some(address),
            _ => None,
        };
        let answer = match self.query(query, Kind::A).await {
            Ok(answer) => Ok(answer.records.into_iter().filter_map(address).collect()),
            Err((DnsError::NotFound, _)) => Ok(Vec::new()),
            Err((error, failure)) => {
                let why = lookup_error(query, error, &failure);
                self.warn(Warning::RblLookup { query, why });
                Err(NoAnswer)
            }
        };
        self.state.dns_lists.insert(query, answer.clone());
        answer
    }

    /// Whether an answer is one that was asked for. Unlike Postfix: a list that answers "not you" lists nobody.
    fn is_listing(&self, addresses: &[Ipv4Addr], zone: &DnsListName, query: &str) -> bool {
        let is_meant = |address: &Ipv4Addr| match &zone.pattern {
            Some(pattern) => pattern.matches(*address),
            None if is_refusal(&zone.domain, *address) => {
                self.warn(Warning::RblRefused { query, answer: address.to_string() });
                false
            }
            None => true,
        };
        addresses.iter().any(is_meant)
    }

    /// The TXT records, joined.
    async fn list_text(&self, query: &str) -> Vec<u8> {
        let Ok(answer) = self.query(query, Kind::Txt).await else {
            return Vec::new();
        };
        let mut text = Vec::new();
        let mut records = answer.records.iter().peekable();
        while let Some(record) = records.next() {
            let room = TEXT_LIMIT - text.len();
            if let Record::Txt(octets) = record {
                text.extend_from_slice(&octets[..octets.len().min(room)]);
            }
            let room = TEXT_LIMIT - text.len();
            if records.peek().is_some() && room > 3 {
                text.extend_from_slice(b" / ");
            } else if room == 0 {
                break;
            }
        }
        text
    }

    /// Refuses in the words of `rbl_reply_maps` or `default_rbl_reply`.
    async fn reject_listed(&mut self, zone: &DnsListName, query: &str, target: &Target<'a>) -> Step<'a> {
        let text = self.list_text(query).await;
        let line = self.rbl_reply(zone, &text, target).await?;
        let code = match line.as_slice() {
            &[c @ (b'4' | b'5'), d, u, b' ', ..] if is_all_digits(&[d, u]) => {
                (u16::from(c - b'0') * 10 + u16::from(d - b'0')) * 10 + u16::from(u - b'0')
            }
            _ => {
                self.warn(Warning::RblReplyCode(self.printable(&line)));
                return self.reject(450, DsnStatus::new(4, 7, 1), b"Service unavailable".to_vec());
            }
        };
        let (status, text) = split_status(DsnStatus::new(4, 7, 1), &line[4..]);
        let status = self.status_for(status, target.class);
        let text = if text.is_empty() { b"Service unavailable" } else { text };
        self.reject(code, status, text.to_vec())
    }

    async fn rbl_reply(
        &mut self,
        zone: &DnsListName,
        text: &[u8],
        target: &Target<'a>,
    ) -> Result<Vec<u8>, Reply> {
        let settings = self.settings();
        if settings.rbl_reply_maps {
            match self.facts.find(Map::RblReply, Asked::Key(zone.written.as_bytes())).await {
                Ok(None) => {}
                Ok(Some(template)) => match self.expand_reply(&template, zone, text, target) {
                    Ok(line) => return Ok(line),
                    Err(_) => self.warn(Warning::RblTemplate {
                        domain: &zone.written,
                        template: &self.printable(&template),
                    }),
                },
                Err(_) => return Err(self.server_error()),
            }
        }
        // Postfix: smtpd dies of a bad default; it is a mistake of ours all the same
        let default = settings.default_rbl_reply.as_bytes();
        self.expand_reply(default, zone, text, target).map_err(|_| self.server_error())
    }

    fn expand_reply(
        &self,
        template: &[u8],
        zone: &DnsListName,
        text: &[u8],
        target: &Target<'a>,
    ) -> Result<Vec<u8>, ExpandError> {
        let settings = self.settings();
        let lookup = |name: &str| {
            let value: Cow<'_, [u8]> = match name {
                "rbl_code" => settings.maps_rbl_reject_code.to_string().into_bytes().into(),
                "rbl_domain" => zone.domain.as_bytes().into(),
                "rbl_reason" | "rbl_txt" => text.into(),
                "rbl_what" => (&*target.name).into(),
                "rbl_class" => target.class.as_str().as_bytes().into(),
                _ => {
                    let localtime = || self.facts.localtime();
                    match session_value(&self.session, &settings.myhostname, &localtime, name) {
                        Some(value) => value,
                        None => {
                            self.warn(Warning::MacroName(name));
                            return None;
                        }
                    }
                }
            };
            Some(value)
        };
        let line = expand(template, &settings.smtpd_expansion_filter, &lookup);
        if let Err(ExpandError::Syntax(why)) = &line {
            self.warn(Warning::MacroSyntax(why.clone()));
        }
        line
    }
}

/// The name under which a list has a domain. Address literals and names that end in digits are not asked for.
fn domain_query(what: &[u8], zone: &DnsListName) -> Option<String> {
    let domain = domain_of(what);
    let last = domain.rsplit(|b| *b == b'.').next().unwrap_or_default();
    if domain.starts_with(b"[") || is_all_digits(last) {
        return None;
    }
    let domain = to_ascii(domain);
    is_hostname(&domain).then(|| format!("{}.{}", String::from_utf8_lossy(&domain), zone.domain))
}

fn lookup_error(query: &str, error: DnsError, failure: &Failure) -> String {
    let service = format!("Name service error for name={query} type=A:");
    match error {
        DnsError::Malformed => format!("{service} Malformed or unexpected name server reply"),
        _ => format!("Host or domain name not found. {service} {}", error.text(Some(failure))),
    }
}
