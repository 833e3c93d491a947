//! Unknown users: whether an address is in the tables of its class.

use super::{Evaluation, Flow, ReplyClass, Step, Target};
use crate::event::Info;
use crate::facts::{Class, Facts, Listed, ListedQuery};
use crate::state::Notice;
use crate::text::split_status;
use mail::{Address, DsnStatus, Reply};

impl<'a, F: Facts> Evaluation<'a, F> {
    /// `reject_unlisted_sender` and `reject_unlisted_recipient` as restrictions.
    pub(super) async fn reject_unlisted(&mut self, class: ReplyClass) -> Step<'a> {
        match self.address_of(class) {
            Some(address) => self.check_is_listed(address, class).await,
            None => Ok(Flow::Dunno),
        }
    }

    /// What `smtpd_reject_unlisted_sender` asks for at the end of the sender's restrictions.
    pub(crate) async fn check_sender_is_listed(&mut self, sender: &'a Address) -> Result<(), Reply> {
        self.warn_if_reject = None;
        self.check_at_the_end(sender, ReplyClass::Sender).await
    }

    /// What `smtpd_reject_unlisted_recipient` asks for at the end of the recipient's restrictions.
    pub(crate) async fn check_recipient_is_listed(&mut self, recipient: &'a Address) -> Result<(), Reply> {
        self.warn_if_reject = None;
        self.check_at_the_end(recipient, ReplyClass::Recipient).await
    }

    async fn check_at_the_end(&mut self, address: &'a Address, class: ReplyClass) -> Result<(), Reply> {
        match self.state.effects.discard {
            true => Ok(()),
            false => self.check_is_listed(address, class).await.map(drop),
        }
    }

    /// Refuses an address that is not listed; looks once a command, unless it is to warn only.
    async fn check_is_listed(&mut self, address: &'a Address, class: ReplyClass) -> Step<'a> {
        if self.settings().no_unknown_recipient_checks {
            return Ok(Flow::Dunno);
        }
        let is_sender = class == ReplyClass::Sender;
        let is_checked = match is_sender {
            true => &mut self.state.sender_is_checked,
            false => &mut self.state.recipient_is_checked,
        };
        if *is_checked {
            return Ok(Flow::Dunno);
        }
        *is_checked = self.warn_if_reject.is_none();
        let other = if is_sender { self.session.recipient } else { self.session.sender };
        match self.facts.listed(ListedQuery { address, other, is_sender }).await {
            Ok(listed) => self.judge(listed, &Target::new(address.as_bytes(), class, None)),
            Err(failed) => Err(self.lookup_failure(failed, address.as_bytes())),
        }
    }

    fn judge(&mut self, listed: Listed, target: &Target<'a>) -> Step<'a> {
        let settings = self.settings();
        let detail = if target.class == ReplyClass::Sender { 0 } else { 1 };
        match listed {
            Listed::Yes => {
                self.say_relay_domains(target);
                Ok(Flow::Dunno)
            }
            Listed::No(class) => {
                let (code, table) = match class {
                    Class::Local => (settings.unknown_local_recipient_reject_code, "local recipient"),
                    Class::VirtualMailbox => {
                        (settings.unknown_virtual_mailbox_reject_code, "virtual mailbox")
                    }
                    Class::VirtualAlias => (settings.unknown_virtual_alias_reject_code, "virtual alias"),
                    Class::Relay => (settings.unknown_relay_recipient_reject_code, "relay recipient"),
                    Class::Default => return Ok(Flow::Dunno),
                };
                let text = match settings.show_user_unknown_table_name {
                    true => format!("User unknown in {table} table"),
                    false => "User unknown".to_owned(),
                };
                self.reject_for(Notice::Bounce, code, DsnStatus::new(5, 1, detail), target.rejected(text))
            }
            Listed::Error { text, class } => {
                let code = match class {
                    Class::VirtualAlias => settings.unknown_virtual_alias_reject_code,
                    _ => 550,
                };
                self.reject_as_routed(code, DsnStatus::new(5, 1, detail), &text, target)
            }
            Listed::Retry { text } => self.reject_as_routed(450, DsnStatus::new(4, 1, detail), &text, target),
        }
    }

    /// With the words of transport_maps.
    fn reject_as_routed(
        &mut self,
        code: u16,
        default: DsnStatus,
        text: &str,
        target: &Target<'a>,
    ) -> Step<'a> {
        let (status, text) = split_status(default, text.as_bytes());
        let status = self.status_for(status, target.class);
        self.reject_for(Notice::Bounce, code, status, target.rejected(text))
    }

    fn say_relay_domains(&self, target: &Target<'_>) {
        let is_relay = self.recipient.as_ref().is_some_and(|resolved| resolved.class == Class::Relay);
        if is_relay && target.class == ReplyClass::Recipient && self.settings().compatibility.relay_domains {
            self.say(Info::CompatRelayDomainsForAddress { address: self.printable(&target.name) });
        }
    }
}
