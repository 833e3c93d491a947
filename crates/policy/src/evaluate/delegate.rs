//! `check_policy_service`: a server outside decides.

use super::access::Hit;
use super::{After, Evaluation, Flow, Step, Target};
use crate::delegation::Request;
use crate::event::Warning;
use crate::facts::Facts;
use crate::service::PolicyService;
use crate::settings::DEFAULT_POLICY_ACTION;
use bytes::Bytes;

impl<'a, F: Facts> Evaluation<'a, F> {
    pub(super) async fn check_policy_service(
        &mut self,
        service: &PolicyService,
        target: &Target<'a>,
    ) -> Step<'a> {
        let request = Request { session: self.session, service };
        let action = self.facts.ask(service, &request).await.ok();
        match action.filter(|action| self.is_text(action, service)) {
            Some(action) => self.act(hit(service, action), target.clone()).await,
            None => self.default_action(service, target).await,
        }
    }

    fn is_text(&self, action: &[u8], service: &PolicyService) -> bool {
        let is_text = !self.settings().smtputf8_enable || std::str::from_utf8(action).is_ok();
        if !is_text {
            self.warn(Warning::MalformedUtf8 { server: &service.name, action: self.printable(action) });
        }
        is_text
    }

    /// `smtpd_policy_service_default_action`. If that asks a server that is not there either, it ends.
    async fn default_action(&mut self, service: &PolicyService, target: &Target<'a>) -> Step<'a> {
        let action = match self.default_actions {
            0 => &service.settings.default_action,
            _ => DEFAULT_POLICY_ACTION,
        };
        let action = Bytes::copy_from_slice(action.as_bytes());
        match self.act(hit(service, action), target.clone()).await? {
            flow @ Flow::Enter(_) => {
                self.default_actions += 1;
                Ok(flow.then(After::DefaultAction))
            }
            flow => Ok(flow),
        }
    }
}

fn hit(service: &PolicyService, value: Bytes) -> Hit<'_> {
    Hit { table: &service.name, value, datum: b"policy query".to_vec() }
}
