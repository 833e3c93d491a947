//! The beginning of a conversation: greeting, EHLO, HELO, LHLO.

use super::{
    Client, ClientNotice, Failure, Features, PixWorkarounds, Protocol, Scope, ServerReply, Stage, Wire,
};
use mail::DsnStatus;

impl<W: Wire> Client<W> {
    /// Reads the greeting.
    pub async fn greet(&mut self) -> Result<(), Failure> {
        let reply = self.receive(Stage::Greeting).await.map_err(|lost| self.lost(lost, Stage::Greeting))?;
        if !reply.is_success() {
            let failure = self.refused_to_talk(&reply);
            let is_soft = reply.class() == 5 && self.settings.smtp_skip_5xx_greeting;
            return Err(if is_soft { failure.softened() } else { failure });
        }
        self.learn_from_greeting(&reply);
        Ok(())
    }

    /// Says hello, and learns what the server can do.
    pub async fn hello(&mut self) -> Result<(), Failure> {
        let reply = match self.protocol {
            Protocol::Lmtp => self.say_hello("LHLO", Stage::Lhlo).await?,
            Protocol::Smtp if self.is_esmtp => self.say_hello("EHLO", Stage::Ehlo).await?,
            Protocol::Smtp => None,
        };
        let Some(reply) = reply else {
            self.say_hello("HELO", Stage::Helo).await?;
            self.features = Features::default();
            return Ok(());
        };
        let discarded = self.server.smtp_discard_ehlo_keywords;
        if let Some(names) = discarded.to_log() {
            self.note(ClientNotice::DiscardedKeywords(names));
        }
        self.features = Features::parse(&reply, discarded, &mut self.notices);
        self.check_loop()
    }

    /// None if EHLO is not understood.
    async fn say_hello(&mut self, verb: &str, stage: Stage) -> Result<Option<ServerReply>, Failure> {
        let line = format!("{verb} {}", self.settings.smtp_helo_name);
        let reply = self.command(&line, stage).await.map_err(|lost| self.lost(lost, stage))?;
        match reply.code {
            200..300 => Ok(Some(reply)),
            421 => Err(self.refused_to_talk(&reply)),
            _ if stage == Stage::Ehlo => Ok(None),
            _ => Err(self.refused_to_talk(&reply)),
        }
    }

    fn refused_to_talk(&mut self, reply: &ServerReply) -> Failure {
        self.is_reusable = false;
        Failure::refused(
            &self.server,
            reply,
            &format!("host {} refused to talk to me", self.server.name_and_address),
        )
    }

    fn learn_from_greeting(&mut self, reply: &ServerReply) {
        let says_nothing = reply.text.bytes().all(|b| b"20 *\t".contains(&b));
        if says_nothing {
            self.pix_workarounds = self.server.smtp_pix_workarounds;
        }
        if self.pix_workarounds != PixWorkarounds::default() {
            self.note(ClientNotice::PixWorkarounds(self.pix_workarounds.names()));
        }
        let mut words = reply.text.split([' ', '\t', '-']).filter(|word| !word.is_empty()).skip(1);
        let name = words.next().unwrap_or_default();
        let is_own = name.eq_ignore_ascii_case(&self.settings.myhostname);
        if is_own && self.server.loop_detection.is_some() {
            self.note(ClientNotice::GreetedWithOwnName(self.settings.myhostname.clone()));
        }
        let says_esmtp = words.any(|word| word.eq_ignore_ascii_case("ESMTP"));
        let wants_esmtp =
            (says_esmtp || self.settings.smtp_always_send_ehlo) && !self.settings.smtp_never_send_ehlo;
        self.is_esmtp = wants_esmtp && !self.pix_workarounds.disable_esmtp;
    }

    fn check_loop(&mut self) -> Result<(), Failure> {
        let Some(detection) = &self.server.loop_detection else { return Ok(()) };
        if !self.features.name.eq_ignore_ascii_case(&self.settings.myhostname) {
            return Ok(());
        }
        let status = DsnStatus::new(if detection.is_best_mx { 5 } else { 4 }, 4, 6);
        let failure = Failure::ours(
            Scope::Site,
            status,
            format!("mail for {} loops back to myself", detection.nexthop),
        );
        self.note(ClientNotice::AnsweredWithOwnName(self.settings.myhostname.clone()));
        self.is_reusable = false;
        Err(failure)
    }
}
