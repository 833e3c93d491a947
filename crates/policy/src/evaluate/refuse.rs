//! How a refusal, or a permit, becomes a reply and a line in the log.

use super::{Evaluation, Flow, POLICY, ReplyClass, Step, Target};
use crate::event::{Action, ActionLine, Event, Info, Warning};
use crate::facts::{Facts, Failed, MatchList, Subject};
use crate::settings::TempfailAction;
use crate::state::{Notice, Refusal};
use crate::text::printable;
use mail::{DsnStatus, Reply};

/// A reply is cut to so many octets (the default of `line_length_limit`). Postfix 3.7 means to cut at 510 but does not.
const REPLY_LIMIT: usize = 2048;

impl<'a, F: Facts> Evaluation<'a, F> {
    /// Refuses, or says so in the log and goes on where `warn_if_reject` is in force.
    pub(super) fn reject(&mut self, code: u16, status: DsnStatus, text: Vec<u8>) -> Step<'a> {
        self.reject_for(POLICY, code, status, text)
    }

    pub(super) fn reject_for(
        &mut self,
        notice: Notice,
        code: u16,
        status: DsnStatus,
        text: Vec<u8>,
    ) -> Step<'a> {
        let refusal = Refusal { notice, code, status, text };
        if self.warn_if_reject.is_none() || !notice.can_be_a_warning() {
            return Err(self.refuse(refusal));
        }
        let reply = self.reply(refusal);
        self.log_action(Action::RejectWarning, &reply.to_string());
        Ok(Flow::Dunno)
    }

    /// Refuses, whatever is in force. What is refused for good is put off if something that could have permitted it
    /// could not be told.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Reply {
        self.state.notices.insert(refusal.notice);
        let mut refusal = self.with_valid_code(refusal);
        if refusal.code >= 500
            && let Some(kept) = self.defer_if_reject.take()
        {
            refusal = kept;
        }
        let reply = self.reply(refusal);
        self.log_action(Action::Reject, &reply.to_string());
        reply
    }

    /// As it is sent.
    fn reply(&mut self, refusal: Refusal) -> Reply {
        self.state.notices.insert(refusal.notice);
        let Refusal { mut code, status, text, .. } = self.with_valid_code(refusal);
        let head_len = format!("{code} {status} ").len();
        let text =
            printable(&text[..text.len().min(REPLY_LIMIT - head_len)], b' ', self.settings().smtputf8_enable);
        if self.settings().soft_bounce && code >= 500 {
            code -= 100;
        }
        // Postfix: the class of the status code is the reply code's.
        Reply::new(code, status.with_class((code / 100) as u8), text)
    }

    fn with_valid_code(&self, refusal: Refusal) -> Refusal {
        if (400..600).contains(&refusal.code) {
            return refusal;
        }
        let line = [format!("{} {} ", refusal.code, refusal.status).as_bytes(), &refusal.text].concat();
        self.warn(Warning::ReplyCode(self.printable(&line)));
        let (code, status) = (450, DsnStatus::new(4, 7, 1));
        Refusal { code, status, text: b"Service unavailable".to_vec(), ..refusal }
    }

    /// A table or a service gives no answer now.
    pub(super) fn lookup_failure(&mut self, failed: Failed, name: &[u8]) -> Reply {
        match failed {
            Failed::TryLater => {
                let text = [b"<", name, b">: Temporary lookup failure"].concat();
                self.refuse(Refusal {
                    notice: Notice::Data,
                    code: 451,
                    status: DsnStatus::new(4, 3, 0),
                    text,
                })
            }
            Failed::Misconfigured => self.server_error(),
        }
    }

    pub(super) fn server_error(&mut self) -> Reply {
        self.refuse(Refusal {
            notice: Notice::Software,
            code: 451,
            status: DsnStatus::new(4, 3, 5),
            text: b"Server configuration error".to_vec(),
        })
    }

    /// Keeps a refusal for whoever would permit; says it at once under `warn_if_reject`. The first one counts.
    pub(super) fn defer_or_reject(&mut self, code: u16, status: DsnStatus, text: Vec<u8>) -> Step<'a> {
        if self.warn_if_reject.is_some() {
            return self.reject(code, status, text);
        }
        self.defer_if_permit.get_or_insert(Refusal { notice: POLICY, code, status, text });
        Ok(Flow::Dunno)
    }

    pub(super) fn tempfail(
        &mut self,
        action: TempfailAction,
        code: u16,
        status: DsnStatus,
        text: Vec<u8>,
    ) -> Step<'a> {
        match action {
            TempfailAction::DeferIfPermit => self.defer_or_reject(code, status, text),
            TempfailAction::Defer => self.reject(code, status, text),
        }
    }

    /// Keeps a refusal for whoever would refuse for good. The first one counts.
    pub(super) fn defer_if_reject(&mut self, code: u16, status: DsnStatus, text: Vec<u8>) {
        self.defer_if_reject.get_or_insert(Refusal { notice: POLICY, code, status, text });
    }

    /// Permits, and says so in the log where `smtpd_log_access_permit_actions` has the action. With the table that
    /// permits, if one does.
    pub(super) async fn permit(
        &mut self,
        action: &str,
        target: &Target<'_>,
        table: Option<&str>,
    ) -> Step<'a> {
        // what is put off in the end is not said to be permitted
        if !self.settings().smtpd_log_access_permit_actions || self.defer_if_permit.is_some() {
            return Ok(Flow::Permit);
        }
        let is_logged = self.facts.matches(MatchList::LogAccessPermitActions, Subject::Name(action)).await;
        if is_logged == Ok(true) {
            let name = self.printable(&target.name);
            // Postfix: where no table permits there is a blank all the same.
            let from = table.map_or(String::new(), |table| format!("from {table}"));
            self.log_action(Action::Permit, &format!("action={action} for {}={name} {from}", target.class));
        }
        Ok(Flow::Permit)
    }

    pub(super) async fn permit_client(&mut self, action: &str) -> Step<'a> {
        let target = Target::new(self.session.namaddr.as_bytes(), ReplyClass::Client, None);
        self.permit(action, &target, None).await
    }

    pub(super) fn forbid_permit(&mut self, restriction: &str, target: String) -> Step<'a> {
        if self.state.effects.discard {
            return Ok(Flow::Permit);
        }
        self.warn(Warning::ReturnsOk { restriction, target });
        self.warn(Warning::NotAllowedForSecurity);
        self.warn(Warning::UseDunno);
        Err(self.server_error())
    }

    pub(super) fn log_action(&self, action: Action, text: &str) {
        let settings = self.settings();
        self.facts.log(&Event::Action(ActionLine {
            internal: settings.info_log_address_internal,
            utf8: settings.smtputf8_enable,
            ..ActionLine::new(&self.session, action, text)
        }));
    }

    /// Makes a status code that speaks of an address speak of the address that is rejected; of none, if none is.
    pub(super) fn status_for(&self, status: DsnStatus, class: ReplyClass) -> DsnStatus {
        if status.subject() != 1 {
            return status;
        }
        let (subject, detail) = match (class, status.detail()) {
            (ReplyClass::Sender, 1 | 3 | 4 | 6 | 7) => (1, 7),
            (ReplyClass::Sender, 2 | 8) => (1, 8),
            (ReplyClass::Recipient, detail @ 1..=6) => (1, detail),
            (ReplyClass::Recipient, 7) => (1, 3),
            (ReplyClass::Recipient, 8) => (1, 2),
            (ReplyClass::Sender | ReplyClass::Recipient, _) => (1, 0),
            _ => (0, 0),
        };
        let mapped = DsnStatus::new(status.class(), subject, detail);
        if mapped != status {
            let (from, to) = (status.to_string(), mapped.to_string());
            self.say(Info::MappedStatus { from, class: class.as_str(), to });
        }
        mapped
    }
}
