//! One message: MAIL, RCPT, DATA, the content, and what becomes of each recipient.
//!
//! With PIPELINING (RFC 2920), commands up to DATA go out together as far as they fit into [`PIPELINE_LIMIT`] octets;
//! then all replies are awaited. QUIT never goes out with the final dot: a server that sends one reply too many could
//! otherwise have its farewell taken for the acceptance of the message.

use super::commands::{Planned, is_sendable};
use super::{Client, ClientNotice, Failure, Lost, Message, Protocol, Scope, ServerReply, Stage, Wire};
use crate::framing::Encoder;
use bytes::Bytes;
use mail::DsnStatus;
use std::collections::VecDeque;
use std::future::Future;
use std::io;

/// Octets of commands that are under way at once.
const PIPELINE_LIMIT: usize = 4096;
/// Octets of content that are encoded at once.
const CHUNK: usize = 64 << 10;

/// Where content comes from.
pub trait Content: Send {
    /// The next octets, as the queue keeps them; None at the end.
    fn next_chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, Unsendable>> + Send;
}

impl<I: Iterator<Item = io::Result<Bytes>> + Send> Content for I {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Unsendable> {
        Ok(self.next().transpose()?)
    }
}

/// Why content cannot be given.
#[derive(Debug)]
pub enum Unsendable {
    /// The queue cannot be read.
    Unreadable(io::Error),
    /// A table could not be asked what is to be done with it; the log says so.
    LocalData,
    /// It is not such that a server could get it.
    Malformed(DsnStatus, &'static str),
}

impl From<io::Error> for Unsendable {
    fn from(error: io::Error) -> Unsendable {
        Unsendable::Unreadable(error)
    }
}

/// `smtp_address_verify_target`: how far a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyTarget {
    Rcpt,
    Data,
}

/// Takes what becomes of a recipient: its index, and the reply that decided it.
pub type Report<'a> = dyn FnMut(usize, Result<ServerReply, Failure>) + Send + 'a;

/// A transaction under way. Recipients that were not reported share the failure that `deliver` returns.
struct Transaction<'a, 'r> {
    report: &'a mut Report<'r>,
    /// Recipients that were neither accepted nor reported.
    open: usize,
    accepted: Vec<(usize, ServerReply)>,
    mail_failure: Option<Failure>,
    data: Option<ServerReply>,
}

impl Transaction<'_, '_> {
    fn report(&mut self, recipient: usize, result: Result<ServerReply, Failure>) {
        (self.report)(recipient, result);
    }

    fn refuse(&mut self, recipient: usize, failure: Failure) {
        self.open -= 1;
        self.report(recipient, Err(failure));
    }

    /// Ends the transaction with a failure that all those share who are left.
    fn fail(&mut self, failure: Failure) -> Result<(), Failure> {
        // the first failure counts: it says why the rest went wrong
        let failure = self.mail_failure.take().unwrap_or(failure);
        if self.open + self.accepted.len() > 0 { Err(failure) } else { Ok(()) }
    }

    /// Whether there is no point in the command that comes next.
    fn is_hopeless(&self, next: Stage) -> bool {
        match next {
            Stage::Rcpt => self.mail_failure.is_some(),
            Stage::Data => self.accepted.is_empty(),
            _ => false,
        }
    }
}

impl<W: Wire> Client<W> {
    /// Sends a message. Each recipient whose fate is its own is reported, with its index and the reply that decided it,
    /// as soon as that is known; the failure, if one is returned, is that of all others.
    pub async fn deliver(
        &mut self,
        message: &Message<'_>,
        content: &mut impl Content,
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        self.check(message)?;
        let mut transaction = Transaction {
            report,
            open: message.recipients.len(),
            accepted: Vec::new(),
            mail_failure: None,
            data: None,
        };
        let recipients = sendable_recipients(message, &mut transaction);
        if recipients.is_empty() {
            return Ok(());
        }
        match self.send_envelope(self.plan(message, &recipients), &mut transaction).await {
            Ok(true) => {}
            Ok(false) => return self.abandon(transaction).await,
            Err(failure) => return transaction.fail(failure),
        }
        self.send_message(message, content, transaction).await
    }

    /// What is known before anything is said.
    fn check(&self, message: &Message<'_>) -> Result<(), Failure> {
        let name = &self.server.name_and_address;
        if let Some(limit) = self.features.size_limit.filter(|limit| *limit < message.size) {
            let text = format!("message size {} exceeds size limit {limit} of server {name}", message.size);
            return Err(Failure::ours(Scope::Message, DsnStatus::new(5, 3, 4), text));
        }
        if message.requires_smtputf8 && !self.features.smtputf8 {
            let text = format!("SMTPUTF8 is required, but was not offered by host {name}");
            return Err(Failure::ours(Scope::Message, DsnStatus::new(5, 6, 7), text));
        }
        if !is_sendable(message.sender) {
            return Err(unsendable(Scope::Message, DsnStatus::new(5, 1, 7)));
        }
        Ok(())
    }

    /// Sends the commands and takes the replies. Not true: there is no point in going on.
    async fn send_envelope(
        &mut self,
        plan: Vec<Planned>,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<bool, Failure> {
        let mut under_way: VecDeque<(Stage, usize)> = VecDeque::new();
        let mut size = 0;
        for Planned { stage, recipient, mut line } in plan {
            line.extend_from_slice(b"\r\n");
            if !under_way.is_empty() && (!self.features.pipelining || size + line.len() > PIPELINE_LIMIT) {
                self.take_replies(&mut under_way, transaction).await?;
                size = 0;
            }
            if under_way.is_empty() && transaction.is_hopeless(stage) {
                return Ok(false);
            }
            let sent = self.wire.send(&line, stage).await;
            self.is_broken |= sent.is_err();
            sent.map_err(|lost| self.lost(lost, stage))?;
            size += line.len();
            under_way.push_back((stage, recipient));
        }
        self.take_replies(&mut under_way, transaction).await?;
        Ok(true)
    }

    async fn take_replies(
        &mut self,
        under_way: &mut VecDeque<(Stage, usize)>,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<(), Failure> {
        while let Some((stage, recipient)) = under_way.pop_front() {
            let reply = self.receive(stage).await.map_err(|lost| self.lost(lost, stage))?;
            match stage {
                Stage::Mail if !reply.is_success() => {
                    transaction.mail_failure = Some(self.said(Scope::Message, &reply, stage));
                }
                // MAIL was refused: whatever is said of recipients means nothing
                Stage::Rcpt if transaction.mail_failure.is_some() => {}
                Stage::Rcpt if reply.is_success() => {
                    transaction.open -= 1;
                    transaction.accepted.push((recipient, reply));
                }
                Stage::Rcpt => {
                    let failure = self.said(Scope::Recipient, &reply, stage);
                    transaction.refuse(recipient, failure);
                }
                Stage::Data => transaction.data = Some(reply),
                Stage::XforwardNameAddress | Stage::XforwardProtocolHelo if !reply.is_success() => {
                    let reply = reply.text;
                    self.note(ClientNotice::XforwardRefused { reply, command: stage.command() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// After the envelope: the content, if it is wanted.
    async fn send_message(
        &mut self,
        message: &Message<'_>,
        content: &mut impl Content,
        mut transaction: Transaction<'_, '_>,
    ) -> Result<(), Failure> {
        let Some(data) = transaction.data.take() else {
            // a probe that ends with RCPT
            for (recipient, reply) in std::mem::take(&mut transaction.accepted) {
                transaction.report(recipient, Ok(reply));
            }
            return self.abandon(transaction).await;
        };
        if data.class() != 3 {
            let failure = self.said(Scope::Message, &data, Stage::Data);
            let failure = transaction.mail_failure.take().unwrap_or(failure);
            self.reset().await;
            return transaction.fail(failure);
        }
        if transaction.accepted.is_empty() {
            return self.send_lone_dot(transaction).await;
        }
        if message.verify == Some(VerifyTarget::Data) {
            // the server waits for content, and there is no way back
            self.is_broken = true;
            for (recipient, _) in std::mem::take(&mut transaction.accepted) {
                let data = ServerReply { status: DsnStatus::new(2, 0, 0), ..data.clone() };
                transaction.report(recipient, Ok(data));
            }
            return Ok(());
        }
        match self.send_content(content).await {
            Ok(()) => self.take_verdicts(transaction).await,
            Err(failure) => transaction.fail(failure),
        }
    }

    /// Nobody was accepted, but the server took DATA (RFC 2920 3.1).
    async fn send_lone_dot(&mut self, mut transaction: Transaction<'_, '_>) -> Result<(), Failure> {
        if self.protocol == Protocol::Lmtp {
            // RFC 2033 4.2: a reply for each that was accepted, so none is to be waited for.
            self.is_reusable = false;
            let sent = self.send(".", Stage::EndOfData).await;
            self.is_broken |= sent.is_err() || self.wire.flush(Stage::EndOfData).await.is_err();
        } else if self.command(".", Stage::EndOfData).await.is_err() {
            self.is_reusable = false;
        }
        match transaction.mail_failure.take() {
            Some(failure) => transaction.fail(failure),
            None => Ok(()),
        }
    }

    async fn abandon(&mut self, mut transaction: Transaction<'_, '_>) -> Result<(), Failure> {
        self.reset().await;
        match transaction.mail_failure.take() {
            Some(failure) => transaction.fail(failure),
            None => Ok(()),
        }
    }

    /// Ends a transaction that came to nothing. What the server thinks of it changes no recipient's fate.
    async fn reset(&mut self) {
        if !self.is_broken && self.command("RSET", Stage::FinalRset).await.is_err() {
            self.is_reusable = false;
        }
    }

    async fn send_content(&mut self, content: &mut impl Content) -> Result<(), Failure> {
        let mut encoder = Encoder::new(self.settings.smtp_line_length_limit);
        let mut wire = Vec::new();
        loop {
            let chunk = match content.next_chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(why) => return Err(self.unsendable(&why)),
            };
            for piece in chunk.chunks(CHUNK) {
                encoder.encode(piece, &mut wire);
                self.send_piece(&mut wire).await?;
            }
        }
        if encoder.has_folded() {
            self.note(ClientNotice::BrokenLine { limit: self.settings.smtp_line_length_limit });
        }
        if self.pix_workarounds.delay_dotcrlf {
            encoder.end_last_line(&mut wire);
            self.send_piece(&mut wire).await?;
            if let Err(lost) = self.wire.flush(Stage::Content).await {
                return Err(self.lost_in_content(lost).await);
            }
            self.wire.pause().await;
        }
        encoder.finish(&mut wire);
        self.send_piece(&mut wire).await
    }

    async fn send_piece(&mut self, wire: &mut Vec<u8>) -> Result<(), Failure> {
        let sent = self.wire.send(wire, Stage::Content).await;
        wire.clear();
        match sent {
            Ok(()) => Ok(()),
            Err(lost) => Err(self.lost_in_content(lost).await),
        }
    }

    /// A server that closes the connection in the midst of the content may have said why.
    async fn lost_in_content(&mut self, lost: Lost) -> Failure {
        self.is_broken = true;
        if lost == Lost::Closed
            && let Ok(reply) = self.receive_without_flush(Stage::EndOfData).await
            && matches!(reply.class(), 4 | 5)
        {
            return self.said(Scope::Message, &reply, Stage::EndOfData);
        }
        self.lost(lost, Stage::Content)
    }

    /// There is no more of the content: the connection is dropped, so that no part of a message passes for the whole.
    fn unsendable(&mut self, why: &Unsendable) -> Failure {
        self.is_broken = true;
        let name = &self.server.name_and_address;
        let (status, text) = match why {
            Unsendable::Unreadable(error) => {
                (DsnStatus::new(4, 3, 0), format!("local data error while talking to {name}: {error}"))
            }
            Unsendable::LocalData => {
                (DsnStatus::new(4, 3, 0), format!("local data error while talking to {name}"))
            }
            Unsendable::Malformed(status, text) => (*status, (*text).to_owned()),
        };
        Failure::ours(Scope::Message, status, text)
    }

    /// The replies to the content: one, or with LMTP one for each recipient that was accepted (RFC 2033 4.2).
    async fn take_verdicts(&mut self, mut transaction: Transaction<'_, '_>) -> Result<(), Failure> {
        let mut accepted = VecDeque::from(std::mem::take(&mut transaction.accepted));
        while !accepted.is_empty() {
            let reply = match self.receive(Stage::EndOfData).await {
                Ok(reply) => reply,
                Err(lost) => {
                    transaction.accepted = accepted.into();
                    let failure = self.lost(lost, Stage::EndOfData);
                    return transaction.fail(failure);
                }
            };
            let concerned = if self.protocol == Protocol::Lmtp { 1 } else { accepted.len() };
            if !reply.is_success() && self.protocol == Protocol::Smtp {
                return Err(self.said(Scope::Message, &reply, Stage::EndOfData));
            }
            for (recipient, _) in accepted.drain(..concerned) {
                let result = match reply.is_success() {
                    true => Ok(reply.clone()),
                    false => Err(self.said(Scope::Recipient, &reply, Stage::EndOfData)),
                };
                transaction.report(recipient, result);
            }
        }
        Ok(())
    }
}

/// The recipients that can be in a command; the others are refused.
fn sendable_recipients(message: &Message<'_>, transaction: &mut Transaction<'_, '_>) -> Vec<usize> {
    let (good, bad): (Vec<usize>, Vec<usize>) =
        (0..message.recipients.len()).partition(|at| is_sendable(&message.recipients[*at].address));
    for recipient in bad {
        transaction.refuse(recipient, unsendable(Scope::Recipient, DsnStatus::new(5, 1, 3)));
    }
    good
}

fn unsendable(scope: Scope, status: DsnStatus) -> Failure {
    Failure::ours(scope, status, "bad address syntax: it has a control character in it")
}
