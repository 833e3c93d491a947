//! Restrictions on the client and its HELO name that need no table.

use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::event::{Info, Warning};
use crate::facts::{Asked, Facts, Map, MatchList, Subject};
use crate::restrictions::SaidOnce;
use crate::session::{Command, NameStatus};
use crate::state::Notice;
use mail::DsnStatus;
use mail::hostname::{is_address, is_hostname, is_utf8_hostname, literal_address};

impl<'a, F: Facts> Evaluation<'a, F> {
    /// `reject_unknown_client_hostname`: there is no name, or it has another address.
    pub(super) fn reject_unknown_client_hostname(&mut self) -> Step<'a> {
        let what = "your hostname";
        match self.session.name_status {
            NameStatus::Ok => Ok(Flow::Dunno),
            // RFC 7372
            status => self.reject_unknown_client(status, what, DsnStatus::new(4, 7, 25)),
        }
    }

    /// `reject_unknown_reverse_client_hostname`: there is no name at all.
    pub(super) fn reject_unknown_reverse_client_hostname(&mut self) -> Step<'a> {
        let what = "your reverse hostname";
        match self.session.reverse_name_status {
            NameStatus::Ok => Ok(Flow::Dunno),
            status => self.reject_unknown_client(status, what, DsnStatus::new(4, 7, 1)),
        }
    }

    fn reject_unknown_client(&mut self, name: NameStatus, what: &str, status: DsnStatus) -> Step<'a> {
        let code = match name {
            NameStatus::TryLater => 450,
            _ => self.settings().unknown_client_reject_code,
        };
        let address = &self.session.client.address;
        let text = format!("Client host rejected: cannot find {what}, [{address}]");
        self.reject(code, status, text.into_bytes())
    }

    pub(super) fn reject_plaintext_session(&mut self) -> Step<'a> {
        if self.session.tls.is_some() {
            return Ok(Flow::Dunno);
        }
        let code = self.settings().plaintext_reject_code;
        self.reject(code, DsnStatus::new(4, 7, 1), b"Session encryption is required".to_vec())
    }

    pub(super) fn reject_unauth_pipelining(&mut self, target: &Target<'_>) -> Step<'a> {
        if !self.session.improper_pipelining {
            return Ok(Flow::Dunno);
        }
        let text = target.rejected("Improper use of SMTP command pipelining");
        self.reject_for(Notice::Protocol, 503, DsnStatus::new(5, 5, 0), text)
    }

    /// A bounce goes to one sender (RFC 5321 6.1).
    pub(super) fn reject_multi_recipient_bounce(&mut self, target: &Target<'_>) -> Step<'a> {
        let others_at_most = u32::from(self.session.command != Command::Rcpt);
        let is_bounce = self.session.sender.is_some_and(mail::Address::is_null);
        if !is_bounce || self.session.recipient_count <= others_at_most {
            return Ok(Flow::Dunno);
        }
        let code = self.settings().multi_recipient_bounce_reject_code;
        self.reject(code, DsnStatus::new(5, 5, 3), target.rejected("Multi-recipient bounce"))
    }

    pub(super) async fn permit_inet_interfaces(&mut self, name: &str) -> Step<'a> {
        match self.is_own_address().await {
            Ok(true) => self.permit_client(name).await,
            _ => Ok(Flow::Dunno),
        }
    }

    pub(super) async fn is_own_address(&self) -> crate::facts::Is {
        match self.session.peer {
            Some(peer) => self.facts.matches(MatchList::InetInterfaces, Subject::Address(peer)).await,
            None => Ok(false),
        }
    }

    pub(super) async fn permit_mynetworks(&mut self, name: &str, target: &Target<'_>) -> Step<'a> {
        match self.is_in_mynetworks().await {
            Ok(true) => self.permit_client(name).await,
            Ok(false) => Ok(Flow::Dunno),
            Err(failed) => Err(self.lookup_failure(failed, &target.name)),
        }
    }

    pub(super) async fn is_in_mynetworks(&self) -> crate::facts::Is {
        let client = self.session.client;
        let host = Subject::Host { name: &client.name, address: &client.address };
        let is_in = self.facts.matches(MatchList::Mynetworks, host).await?;
        if let (true, Some(style)) = (is_in, &self.settings().compatibility.mynetworks_style)
            && self.facts.matches(MatchList::MynetworksHost, host).await == Ok(false)
        {
            self.say(Info::CompatMynetworksStyle { style, namaddr: self.session.namaddr });
        }
        Ok(is_in)
    }

    pub(super) async fn permit_sasl_authenticated(&mut self, name: &str) -> Step<'a> {
        match self.is_logged_in() {
            true => self.permit_client(name).await,
            false => Ok(Flow::Dunno),
        }
    }

    pub(super) fn is_logged_in(&self) -> bool {
        let method = &self.session.client.sasl_method;
        self.settings().smtpd_sasl_auth_enable
            && !method.is_empty()
            && !method.eq_ignore_ascii_case("anonymous")
    }

    pub(super) async fn permit_tls_clientcerts(
        &mut self,
        name: &str,
        all: bool,
        target: &Target<'_>,
    ) -> Step<'a> {
        match self.has_permitted_certificate(all).await {
            Ok(true) => self.permit_client(name).await,
            Ok(false) => Ok(Flow::Dunno),
            Err(failed) => Err(self.lookup_failure(failed, &target.name)),
        }
    }

    /// `all`: whoever has a certificate of a trusted authority; else who is in `relay_clientcerts`.
    pub(super) async fn has_permitted_certificate(&self, all: bool) -> crate::facts::Is {
        let Some(tls) = self.session.tls else {
            return Ok(false);
        };
        let Some(certificate) = &tls.certificate else {
            if !self.settings().smtpd_tls_ask_ccert {
                let name = if all { "permit_tls_all_clientcerts" } else { "permit_tls_clientcerts" };
                self.warn(Warning::NoClientCertificate(name));
            }
            return Ok(false);
        };
        if all && certificate.is_trusted {
            return Ok(true);
        }
        self.say_fingerprint_digest();
        for print in [&certificate.fingerprint, &certificate.public_key_fingerprint] {
            match self.facts.find(Map::RelayClientcerts, Asked::Key(print.as_bytes())).await {
                Ok(Some(_)) => return Ok(true),
                Ok(None) => {}
                Err(failed) => {
                    self.warn(Warning::CertificateLookup {
                        fingerprint: &certificate.fingerprint,
                        public_key_fingerprint: &certificate.public_key_fingerprint,
                    });
                    return Err(failed);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn say_fingerprint_digest(&self) {
        let is_old = self.settings().compatibility.smtpd_tls_fingerprint_digest;
        if is_old && SaidOnce::first(&self.rules.said_once.fingerprint_digest) {
            self.say(Info::CompatFingerprintDigest);
        }
    }

    /// The HELO name, unless it is an address literal: a wrong one of these is refused here.
    pub(super) fn helo_name(&mut self) -> Result<Option<&'a [u8]>, mail::Reply> {
        match self.session.client.helo.as_bytes() {
            b"" => Ok(None),
            literal if literal.starts_with(b"[") => self.reject_invalid_address(literal).map(|_| None),
            helo => Ok(Some(helo)),
        }
    }

    pub(super) fn reject_invalid_helo_hostname(&mut self) -> Step<'a> {
        match self.helo_name()? {
            None => Ok(Flow::Dunno),
            Some(helo) if is_hostname(without_dot(helo)) || is_address(without_dot(helo)) => Ok(Flow::Dunno),
            Some(helo) => {
                let code = self.settings().invalid_hostname_reject_code;
                self.reject(code, DsnStatus::new(5, 5, 2), helo_target(helo).rejected("Invalid name"))
            }
        }
    }

    pub(super) fn reject_non_fqdn_helo_hostname(&mut self) -> Step<'a> {
        match self.helo_name()? {
            None => Ok(Flow::Dunno),
            Some(helo) if is_complete(helo, self.session.smtputf8) => Ok(Flow::Dunno),
            Some(helo) => {
                let text = helo_target(helo).rejected("need fully-qualified hostname");
                self.reject(self.settings().non_fqdn_reject_code, DsnStatus::new(5, 5, 2), text)
            }
        }
    }

    /// Addresses without brackets were once welcome.
    pub(super) async fn permit_naked_ip_address(&mut self, name: &str) -> Step<'a> {
        self.warn(Warning::NakedIpAddress);
        let helo = self.session.client.helo.as_bytes();
        let looks_like_one = helo.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':'));
        if helo.is_empty() || !looks_like_one {
            return Ok(Flow::Dunno);
        }
        self.reject_invalid_address(helo)?;
        self.permit(name, &helo_target(helo), None).await
    }

    /// An address, in brackets or without.
    fn reject_invalid_address(&mut self, helo: &'a [u8]) -> Result<(), mail::Reply> {
        let inside = helo.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        if literal_address(inside.filter(|inside| !inside.is_empty()).unwrap_or(helo)).is_some() {
            return Ok(());
        }
        let text = helo_target(helo).rejected("invalid ip address");
        let code = self.settings().invalid_hostname_reject_code;
        self.reject(code, DsnStatus::new(5, 5, 2), text).map(drop)
    }
}

fn helo_target(helo: &[u8]) -> Target<'_> {
    Target::new(helo, ReplyClass::Helo, None)
}

/// Without the dot that a complete name may end in.
pub(super) fn without_dot(name: &[u8]) -> &[u8] {
    match name.strip_suffix(b".") {
        Some(bare) if !bare.is_empty() && !bare.ends_with(b".") => bare,
        _ => name,
    }
}

/// Whether this is a host name with a dot in it.
pub(super) fn is_complete(name: &[u8], smtputf8: bool) -> bool {
    let name = without_dot(name);
    is_utf8_hostname(name, smtputf8) && name.contains(&b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_names() {
        for (name, expect) in [
            ("a.b", true),
            ("a.b.", true),
            ("a.", false),
            ("a", false),
            ("a.b..", false),
            ("", false),
            (".", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(is_complete(name.as_bytes(), false), expect, "{name}");
        }
    }
}
