//! pickup(8): takes local users' mail out of the maildrop.
//!
//! A letter is removed once its message is durable in the spool. What cannot be taken now stays; what can never be taken is
//! moved to `corrupt`, for a human to look at.

use crate::cleanup::{Incoming, Options, Received, Trouble};
use crate::enqueue::{Context, Entry, NotQueued};
use logger::Logger;
use mail::{Address, Client, Envelope, Origin, QueueId, Time};
use maillog::PickedUp;
use spool::maildrop::{Limits, Maildrop, MaildropError, Picked, Submission};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Octets of content that are passed on at once.
const PIECE_SIZE: usize = 64 << 10;

/// How old half a letter must be to be removed.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// What pickup works with.
pub struct Pickup {
    pub maildrop: Maildrop,
    /// Where letters go that nobody can read.
    pub corrupt: PathBuf,
    pub limits: Limits,
    /// `postfix/pickup`.
    pub log: Logger,
    /// `content_filter`, unless `receive_override_options` or this service's own setting says otherwise; empty: none.
    pub content_filter: String,
    /// [`Options::LOCAL`], but for what `receive_override_options` leaves out.
    pub options: Options,
    pub now: fn() -> Time,
    /// Postfix's Date: for a moment.
    pub date: fn(Time) -> String,
    /// The login name of a uid.
    pub user_name: fn(u32) -> Option<String>,
}

impl Pickup {
    /// Takes all letters that are there.
    pub async fn scan(&self, context: &Context) {
        let names = match self.maildrop.names() {
            Ok(names) => names,
            Err(e) => return self.log.warning(format_args!("maildrop: {e}")),
        };
        for name in names {
            self.take(context, name).await;
        }
    }

    /// Removes what is left of letters that were never completed.
    pub fn purge(&self) {
        if let Err(e) = self.maildrop.purge(LEFTOVER_AGE, SystemTime::now()) {
            self.log.warning(format_args!("maildrop: {e}"));
        }
    }

    async fn take(&self, context: &Context, name: QueueId) {
        match self.maildrop.open(name, self.limits) {
            Ok(picked) => self.queue(context, name, picked).await,
            // It was taken meanwhile.
            Err(MaildropError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(MaildropError::Io(e)) => self.log.warning(format_args!("maildrop/{name}: {e}")),
            Err(e) => self.set_aside(name, &e),
        }
    }

    async fn queue(&self, context: &Context, name: QueueId, picked: Picked) {
        match self.enter(context, name, picked).await {
            Ok(()) => {
                if let Err(e) = self.maildrop.remove(name) {
                    // It will be delivered again: better than not at all.
                    self.log.warning(format_args!("remove maildrop/{name}: {e}"));
                }
            }
            Err(NotTaken::Letter(MaildropError::Io(e))) => {
                self.log.warning(format_args!("maildrop/{name}: {e}"))
            }
            Err(NotTaken::Letter(e)) => self.set_aside(name, &e),
            // The log has said why.
            Err(NotTaken::Queue(NotQueued::Trouble(Trouble::Deferred(_)))) => {}
            Err(NotTaken::Queue(why)) if why.is_temporary() => {
                self.log.warning(format_args!("maildrop/{name}: {why}: will be tried again"));
            }
            Err(NotTaken::Queue(why)) => self.set_aside(name, &why),
        }
    }

    fn set_aside(&self, name: QueueId, why: &dyn std::fmt::Display) {
        self.log.warning(format_args!("maildrop/{name}: {why}: moved to corrupt"));
        if let Err(e) = self.maildrop.set_aside(name, &self.corrupt) {
            self.log.error(format_args!("move maildrop/{name}: {e}"));
        }
    }

    async fn enter(&self, context: &Context, name: QueueId, mut picked: Picked) -> Result<(), NotTaken> {
        let draft =
            context.spool.draft(picked.arrival, 0).map_err(|e| NotTaken::Queue(NotQueued::Spool(e)))?;
        let submission = picked.reader.submission().clone();
        let orig_id = submission.requeued.is_some().then_some(name);
        let incoming = self.incoming(draft.id(), picked.uid, picked.arrival, submission);
        let sender = &incoming.envelope.sender;
        self.log.event(&PickedUp { id: draft.id(), uid: picked.uid, sender, orig_id });
        let mut entry = Entry::begin(context, draft, incoming).await;
        let mut lines = LineEnds::default();
        let mut out = Vec::with_capacity(PIECE_SIZE);
        while let Some(piece) = picked.reader.next_piece().map_err(NotTaken::Letter)? {
            out.clear();
            lines.convert(piece, &mut out);
            entry.write(&out).await;
        }
        out.clear();
        lines.finish(&mut out);
        entry.write(&out).await;
        entry.finish().await.map(drop).map_err(NotTaken::Queue)
    }

    fn incoming(&self, id: QueueId, uid: u32, arrival: Time, submission: Submission) -> Incoming {
        let owner = || Address::from((self.user_name)(uid).unwrap_or_else(|| uid.to_string()).as_str());
        let is_remote =
            submission.extra.iter().any(|(name, value)| name == "rewrite_context" && value == "remote");
        let others = submission.extra.into_iter().filter(|(name, _)| name != "rewrite_context");
        // For postcat, which shows it.
        let full_name =
            submission.full_name.clone().map(|name| ("sender_fullname".to_owned(), name)).into_iter();
        let client = submission.requeued.map_or_else(Client::default, |requeued| requeued.client);
        let envelope = Envelope {
            sender: submission.sender.unwrap_or_else(owner),
            recipients: submission.recipients,
            arrival,
            origin: if client.name.is_empty() { Origin::Local { uid } } else { Origin::Smtp },
            client,
            encoding: submission.encoding,
            ret: submission.ret,
            envid: submission.envid,
            rewrite_local: !is_remote,
            content_filter: (!self.content_filter.is_empty()).then(|| self.content_filter.clone()),
            extra: full_name.chain(others).collect(),
            ..Envelope::default()
        };
        Incoming {
            id,
            now: (self.now)(),
            date: (self.date)(arrival),
            received: Received::Local { uid },
            prepend: Vec::new(),
            full_name: submission.full_name.map(|name| name.to_vec()),
            envelope,
            options: self.options,
        }
    }
}

/// Why a letter stays where it is, or is set aside.
enum NotTaken {
    Letter(MaildropError),
    Queue(NotQueued),
}

/// Lines as local programs end them (LF) become lines as the queue ends them (CRLF). A CR before the LF stays: sendmail(1) has
/// dealt with those that are part of line ends.
#[derive(Default)]
struct LineEnds {
    is_open: bool,
}

impl LineEnds {
    fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for line in piece.split_inclusive(|b| *b == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                    self.is_open = false;
                }
                None => {
                    out.extend_from_slice(line);
                    self.is_open = true;
                }
            }
        }
    }

    /// Ends a last line that has no end.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_open) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_at_every_split() {
        for (content, expect) in [
            (&b""[..], &b""[..]),
            (b"a\nb\n", b"a\r\nb\r\n"),
            (b"a\n\nunended", b"a\r\n\r\nunended\r\n"),
            (b"\n", b"\r\n"),
            (b"a\r\nb\r", b"a\r\r\nb\r\r\n"),
        ] {
            for at in 0..=content.len() {
                let (mut lines, mut out) = (LineEnds::default(), Vec::new());
                lines.convert(&content[..at], &mut out);
                lines.convert(&content[at..], &mut out);
                lines.finish(&mut out);
                assert_eq!(out, expect, "{content:?} at {at}");
            }
        }
    }
}
