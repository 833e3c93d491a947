//! The client's side of SMTP and LMTP: what is said to a server to hand it messages.
//!
//! Here we drive: the methods of [`Client`] are `async` over a [`Wire`]. Which server, TLS, passwords and what becomes
//! of recipients are the caller's.

mod commands;
mod failure;
mod features;
mod hello;
mod login;
mod notice;
mod reply;
mod stage;
mod transaction;

pub use commands::{ClientAttributes, Message, Rcpt, original_recipient};
pub use failure::{Failure, Lost, Scope};
pub use features::{Features, XforwardFeatures};
pub use login::Login;
pub use notice::ClientNotice;
pub use reply::{CannotTell, Oddity, ReplyFilter, ReplyReader, ServerReply, Unreadable};
pub use stage::Stage;
pub use transaction::{Content, Report, Unsendable, VerifyTarget};

use crate::keywords::Keywords;
use bytes::BytesMut;
use std::future::Future;
use std::sync::Arc;

/// A connection to a server, with the time limit of each [`Stage`].
pub trait Wire: Send {
    /// Takes octets to be sent; they may wait for the next `flush`.
    fn send(&mut self, octets: &[u8], stage: Stage) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Sends what waits.
    fn flush(&mut self, stage: Stage) -> impl Future<Output = Result<(), Lost>> + Send;

    /// Waits for a while, before the final dot (`smtp_pix_workaround_delay_time`).
    fn pause(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits for octets and appends them to `input`, at least one.
    fn receive(
        &mut self,
        input: &mut BytesMut,
        stage: Stage,
    ) -> impl Future<Output = Result<(), Lost>> + Send;
}

/// Parameters of a service, by their names in main.cf; for lmtp, those that begin with `lmtp_`. `Default` has Postfix
/// 3.7's defaults, but for the names.
#[derive(Clone, Debug)]
pub struct Settings {
    pub myhostname: String,
    pub smtp_helo_name: String,
    /// Octets of a line of a reply.
    pub line_length_limit: usize,
    /// Octets of a line of content; 0 is no limit.
    pub smtp_line_length_limit: usize,
    pub smtp_always_send_ehlo: bool,
    pub smtp_never_send_ehlo: bool,
    pub smtp_skip_5xx_greeting: bool,
    pub smtp_skip_quit_response: bool,
    pub smtp_quote_rfc821_envelope: bool,
    pub smtp_send_xforward_command: bool,
    pub smtp_send_dummy_mail_auth: bool,
    pub smtp_sasl_auth_soft_bounce: bool,
    pub send_cyrus_sasl_authzid: bool,
    pub smtp_reply_filter: Option<ReplyFilter>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            myhostname: "localhost".into(),
            smtp_helo_name: "localhost".into(),
            line_length_limit: 2048,
            smtp_line_length_limit: 998,
            smtp_always_send_ehlo: true,
            smtp_never_send_ehlo: false,
            smtp_skip_5xx_greeting: true,
            smtp_skip_quit_response: true,
            smtp_quote_rfc821_envelope: true,
            smtp_send_xforward_command: false,
            smtp_send_dummy_mail_auth: false,
            smtp_sasl_auth_soft_bounce: true,
            send_cyrus_sasl_authzid: false,
            smtp_reply_filter: None,
        }
    }
}

/// The server at the other end, as it is named.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// `mx.example.com`, or the address if it has no name; of a UNIX-domain socket, our own host name.
    pub host: String,
    /// `192.0.2.1`, or a path.
    pub address: String,
    /// `mx.example.com[192.0.2.1]`.
    pub name_and_address: String,
    /// `mx.example.com[192.0.2.1]:25`.
    pub relay: String,
    pub port: u16,
    /// `smtp_discard_ehlo_keywords`, or what `smtp_discard_ehlo_keyword_address_maps` has for the address.
    pub smtp_discard_ehlo_keywords: Keywords,
    /// What is done about a greeting of stars.
    pub smtp_pix_workarounds: PixWorkarounds,
    /// Whether a server that bears our name is ourselves: it was found through MX records.
    pub loop_detection: Option<LoopDetection>,
}

/// Ways to get through a Cisco PIX with its bugs (`smtp_pix_workarounds`, `smtp_pix_workaround_maps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PixWorkarounds {
    /// Say HELO.
    pub disable_esmtp: bool,
    /// Wait before the final dot.
    pub delay_dotcrlf: bool,
}

impl PixWorkarounds {
    /// Reads a list of words. Postfix: nobody is told of words that are none of these.
    pub fn parse(words: &str) -> PixWorkarounds {
        let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
        let has = |name: &str| words.split(is_separator).any(|word| word.eq_ignore_ascii_case(name));
        PixWorkarounds { disable_esmtp: has("disable_esmtp"), delay_dotcrlf: has("delay_dotcrlf") }
    }

    /// Their names, as the log has them.
    pub(crate) fn names(self) -> String {
        let names = [(self.disable_esmtp, "disable_esmtp"), (self.delay_dotcrlf, "delay_dotcrlf")];
        let names: Vec<_> = names.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| *name).collect();
        names.join(" ")
    }
}

/// What to say when mail came round.
#[derive(Clone, Debug)]
pub struct LoopDetection {
    pub nexthop: String,
    /// There is no better server: the mail cannot be delivered at all.
    pub is_best_mx: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Lmtp,
}

/// A conversation with a server.
///
/// The order: [`greet`](Client::greet), [`hello`](Client::hello), perhaps [`start_tls`](Client::start_tls),
/// [`upgrade`](Client::upgrade) and `hello` again, [`login`](Client::login), then [`deliver`](Client::deliver) as often
/// as [`is_reusable`](Client::is_reusable) says, with [`probe`](Client::probe) before each but the first, and
/// [`quit`](Client::quit).
///
/// A future that is dropped midway leaves the conversation in a state nobody knows: drop the client too.
#[derive(Debug)]
pub struct Client<W> {
    wire: W,
    input: BytesMut,
    reader: ReplyReader,
    protocol: Protocol,
    settings: Arc<Settings>,
    server: Server,
    features: Features,
    /// The server is behind a PIX: what is done about it.
    pix_workarounds: PixWorkarounds,
    /// EHLO is worth a try.
    is_esmtp: bool,
    is_reusable: bool,
    /// Commands and replies are out of step, or the connection is gone: nothing more may be said.
    is_broken: bool,
    notices: Vec<ClientNotice>,
}

/// Notices that are kept until they are taken.
const NOTICES_LIMIT: usize = 100;

impl<W: Wire> Client<W> {
    pub fn new(wire: W, protocol: Protocol, server: Server, settings: Arc<Settings>) -> Client<W> {
        Client {
            wire,
            input: BytesMut::new(),
            reader: reader(&settings),
            protocol,
            settings,
            server,
            features: Features::default(),
            pix_workarounds: PixWorkarounds::default(),
            is_esmtp: true,
            is_reusable: true,
            is_broken: false,
            notices: Vec::new(),
        }
    }

    /// Finds out whether an idle connection is still good, with RSET.
    pub async fn probe(&mut self) -> bool {
        match self.command("RSET", Stage::RsetProbe).await {
            Ok(reply) if reply.is_success() => true,
            _ => {
                self.is_reusable = false;
                false
            }
        }
    }

    /// Says QUIT, if anything can be said, and gives the connection back.
    pub async fn quit(mut self) -> W {
        if self.is_broken || self.send("QUIT", Stage::Quit).await.is_err() {
            return self.wire;
        }
        let farewell = match self.settings.smtp_skip_quit_response {
            true => self.wire.flush(Stage::Quit).await,
            false => self.receive(Stage::Quit).await.map(drop),
        };
        // all that matters was said before: a failure here changes nothing
        farewell.unwrap_or_default();
        self.wire
    }

    /// Says STARTTLS. With a reply 2xx the handshake is to follow: [`upgrade`](Client::upgrade).
    pub async fn start_tls(&mut self) -> Result<ServerReply, Failure> {
        self.command("STARTTLS", Stage::Starttls).await.map_err(|lost| self.lost(lost, Stage::Starttls))
    }

    /// The failure that a refused STARTTLS is where TLS is required.
    pub fn tls_refused(&self, reply: &ServerReply) -> Failure {
        let host = &self.server.name_and_address;
        Failure::refused(
            &self.server,
            reply,
            &format!("TLS is required, but host {host} refused to start TLS"),
        )
    }

    /// Puts TLS over the connection. What the server said in the clear is forgotten, also what it said too early
    /// (RFC 3207 4.2).
    pub async fn upgrade<V, E>(
        self,
        shake_hands: impl AsyncFnOnce(W) -> Result<V, E>,
    ) -> Result<Client<V>, E> {
        Ok(Client {
            wire: shake_hands(self.wire).await?,
            input: BytesMut::new(),
            reader: reader(&self.settings),
            protocol: self.protocol,
            settings: self.settings,
            server: self.server,
            features: Features::default(),
            pix_workarounds: self.pix_workarounds,
            is_esmtp: true,
            is_reusable: self.is_reusable,
            is_broken: false,
            notices: self.notices,
        })
    }

    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Whether another message may be sent over this connection.
    pub fn is_reusable(&self) -> bool {
        self.is_reusable && !self.is_broken
    }

    /// What there is for the log since the last call.
    pub fn take_notices(&mut self) -> Vec<ClientNotice> {
        std::mem::take(&mut self.notices)
    }
}

fn reader(settings: &Settings) -> ReplyReader {
    ReplyReader::new(settings.line_length_limit).with_filter(settings.smtp_reply_filter.clone())
}

/// Sending and receiving.
impl<W: Wire> Client<W> {
    async fn command(&mut self, line: &str, stage: Stage) -> Result<ServerReply, Lost> {
        self.send(line, stage).await?;
        self.receive(stage).await
    }

    async fn send(&mut self, line: &str, stage: Stage) -> Result<(), Lost> {
        debug_assert!(!line.contains(['\r', '\n', '\0']), "one line is one command");
        let sent = self.wire.send(format!("{line}\r\n").as_bytes(), stage).await;
        self.is_broken |= sent.is_err();
        sent
    }

    /// Sends what waits, and waits for a reply.
    async fn receive(&mut self, stage: Stage) -> Result<ServerReply, Lost> {
        let flushed = self.wire.flush(stage).await;
        self.is_broken |= flushed.is_err();
        flushed?;
        self.receive_without_flush(stage).await
    }

    async fn receive_without_flush(&mut self, stage: Stage) -> Result<ServerReply, Lost> {
        let reply = self.receive_reply(stage).await;
        for oddity in self.reader.take_oddities() {
            self.note_oddity(oddity);
        }
        self.is_broken |= reply.is_err();
        reply
    }

    async fn receive_reply(&mut self, stage: Stage) -> Result<ServerReply, Lost> {
        loop {
            let mut rest = &self.input[..];
            let reply = self.reader.read(&mut rest).map_err(|why| match why {
                Unreadable::Endless => Lost::Closed,
                Unreadable::Unfiltered => Lost::LocalData,
            })?;
            let taken = self.input.len() - rest.len();
            bytes::Buf::advance(&mut self.input, taken);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            self.wire.receive(&mut self.input, stage).await?;
        }
    }

    fn note_oddity(&mut self, oddity: Oddity) {
        let is_garbage = matches!(oddity, Oddity::Garbage(_));
        self.is_reusable &= !is_garbage;
        if !is_garbage || self.features.pipelining {
            let is_lmtp = self.protocol == Protocol::Lmtp;
            self.note(ClientNotice::Odd { oddity, is_lmtp, limit: self.settings.line_length_limit });
        }
    }

    fn note(&mut self, notice: ClientNotice) {
        if self.notices.len() < NOTICES_LIMIT {
            self.notices.push(notice);
        }
    }

    fn lost(&self, lost: Lost, stage: Stage) -> Failure {
        Failure::lost(&self.server, lost, stage)
    }

    /// A reply that refuses something. After a protocol error the connection is not used again.
    fn said(&mut self, scope: Scope, reply: &ServerReply, stage: Stage) -> Failure {
        let is_ours =
            !(400..600).contains(&reply.code) || reply.code == 555 || (500..510).contains(&reply.code);
        self.is_reusable &= !is_ours;
        Failure::said(scope, &self.server, reply, stage)
    }
}
