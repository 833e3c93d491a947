//! From content to the queue: cleanup before, the spool behind. Shared by smtpd, pickup and what the mail system writes itself.

use crate::cleanup::{self, Cleanup, Finished, Incoming, Note, Trouble};
use logger::Logger;
use mail::{DsnStatus, Envelope, QueueId, Reply, Ret};
use maillog::MessageId;
use spool::{Draft, Spool, SpoolError};
use std::sync::Arc;

/// What every message needs on its way in.
#[derive(Clone)]
pub struct Context {
    pub cleanup: cleanup::Context,
    pub spool: Arc<dyn Spool>,
    /// `postfix/cleanup`.
    pub log: Logger,
}

/// Why a message is not in the queue.
#[derive(Debug)]
pub enum NotQueued {
    /// The message's own fault, or a table's.
    Trouble(Trouble),
    Spool(SpoolError),
}

impl NotQueued {
    /// What an SMTP client is told.
    pub fn reply(&self) -> Reply {
        match self {
            NotQueued::Trouble(trouble) => trouble.reply(),
            NotQueued::Spool(SpoolError::NoSpace) => {
                Reply::new(452, DsnStatus::new(4, 3, 1), "Insufficient system storage")
            }
            NotQueued::Spool(_) => Reply::new(451, DsnStatus::new(4, 3, 0), "Error: queue file write error"),
        }
    }

    /// Whether the same message may be taken later.
    pub fn is_temporary(&self) -> bool {
        match self {
            NotQueued::Trouble(trouble) => trouble.is_temporary(),
            NotQueued::Spool(_) => true,
        }
    }
}

impl std::fmt::Display for NotQueued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotQueued::Trouble(trouble) => f.write_str(trouble.bounce().1),
            NotQueued::Spool(error) => write!(f, "{error}"),
        }
    }
}

/// A message on its way into the queue. Dropped before its end, it leaves nothing.
pub struct Entry {
    cleanup: Cleanup,
    draft: Draft,
    spool: Arc<dyn Spool>,
    log: Logger,
    failed: Option<SpoolError>,
    /// [`cleanup::Options::bounces`].
    bounces: bool,
}

impl Entry {
    /// Begins: the draft has the queue id that `incoming` bears.
    pub async fn begin(context: &Context, draft: Draft, incoming: Incoming) -> Entry {
        debug_assert_eq!(draft.id(), incoming.id);
        let bounces = incoming.options.bounces;
        let cleanup = Cleanup::begin(context.cleanup.clone(), incoming).await;
        let (spool, log) = (context.spool.clone(), context.log.clone());
        Entry { cleanup, draft, spool, log, failed: None, bounces }
    }

    pub fn id(&self) -> QueueId {
        self.draft.id()
    }

    /// Takes a piece of content, in any split. What goes wrong is told at the end: a client has to send all of it anyway.
    pub async fn write(&mut self, piece: &[u8]) {
        let output = self.cleanup.write(piece).await;
        if self.failed.is_none() {
            let written = self.draft.write(&output.made).and_then(|()| self.draft.write(output.passed));
            self.failed = written.err();
        }
        let notes = self.cleanup.take_notes();
        self.note(&notes);
    }

    /// Ends the message. When this is `Ok` it is on stable storage.
    pub async fn finish(mut self) -> Result<QueueId, NotQueued> {
        let id = self.draft.id();
        let Finished { made, mut envelope, trouble, notes, discard, hold, .. } = self.cleanup.finish().await;
        note(&self.log, id, &notes);
        if discard {
            return Ok(id);
        }
        if hold {
            self.draft.hold();
        }
        match trouble {
            Some(trouble) if self.bounces && !trouble.is_temporary() => {
                return_to_sender(&mut envelope, &trouble)
            }
            Some(trouble) => return Err(NotQueued::Trouble(trouble)),
            None => {}
        }
        if let Some(error) = self.failed {
            return Err(NotQueued::Spool(error));
        }
        self.draft.write(&made).map_err(NotQueued::Spool)?;
        commit(&*self.spool, self.draft, envelope).await?;
        Ok(id)
    }

    fn note(&self, notes: &[Note]) {
        note(&self.log, self.id(), notes);
    }
}

/// Has the error transport return the message: there is no client that could be told.
fn return_to_sender(envelope: &mut Envelope, trouble: &Trouble) {
    let (status, text) = trouble.bounce();
    envelope.content_filter = Some(format!("error:{status} {text}"));
    if trouble.returns_headers_only() {
        envelope.ret = Some(Ret::Headers);
    }
}

async fn commit(spool: &dyn Spool, draft: Draft, envelope: Envelope) -> Result<(), NotQueued> {
    spool.commit(draft, envelope).await.map_err(NotQueued::Spool)
}

fn note(log: &Logger, id: QueueId, notes: &[Note]) {
    for note in notes {
        match note {
            Note::MessageId { resent, value } => log.event(&MessageId { id, resent: *resent, value }),
            Note::Info(text) => log.info(format_args!("{id}: {text}")),
            Note::Warning(text) => log.warning(format_args!("{id}: {text}")),
            Note::Misconfigured(text) => log.warning(format_args!("{text}")),
        }
    }
}
