//! `postsuper -r`: a message of the queue becomes a letter again, so that it goes through cleanup once more.

use super::{LineFeeds, Maildrop, Requeued, Submission};
use crate::Stored;
use bytes::Bytes;
use mail::{Fate, Outcome, SMTPUTF8_HEADER};
use std::io::{self, Write};

/// Attributes that cleanup finds anew, or that say where a message was to go and shall count no more.
const DROPPED: [&str; 3] = ["redirect_to", "sender_fullname", SMTPUTF8_HEADER];

impl Maildrop {
    /// Puts a message back as a letter, under its queue id, with the recipients who still wait. When this returns it is on
    /// stable storage, and the caller takes it out of the queue: a crash in between delivers it twice, not never. False:
    /// nobody waits for it.
    pub fn put_back(&self, stored: &Stored) -> io::Result<bool> {
        let submission = submission(stored);
        if submission.recipients.is_empty() {
            return Ok(false);
        }
        let mut letter = self.begin(&submission, stored.envelope.arrival)?;
        let mut lines = LineFeeds::default();
        let (mut content, mut out) = (stored.content.reader(), Vec::new());
        while let Some(chunk) = content.next_chunk()? {
            out.clear();
            lines.convert(&chunk, &mut out);
            letter.write_all(&out)?;
        }
        letter.write_all(lines.finish())?;
        letter.commit_as(stored.id, stored.envelope.arrival)?;
        Ok(true)
    }
}

fn submission(stored: &Stored) -> Submission {
    let envelope = &stored.envelope;
    let waiting =
        envelope.recipients.iter().zip(&stored.outcomes).filter(|(_, outcome)| waits(outcome.as_ref()));
    let (recipients, reasons) =
        waiting.map(|(recipient, outcome)| (recipient.clone(), reason(outcome))).unzip();
    let extra =
        |name: &str| envelope.extra.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let mut kept: Vec<_> =
        envelope.extra.iter().filter(|(name, _)| !DROPPED.contains(&name.as_str())).cloned().collect();
    if !envelope.rewrite_local {
        kept.push(("rewrite_context".to_owned(), Bytes::from_static(b"remote")));
    }
    Submission {
        sender: Some(envelope.sender.clone()),
        recipients,
        full_name: extra("sender_fullname"),
        encoding: envelope.encoding,
        ret: envelope.ret,
        envid: envelope.envid.clone(),
        extra: kept,
        requeued: Some(Requeued { client: envelope.client.clone(), size: envelope.size, reasons }),
    }
}

fn waits(outcome: Option<&Outcome>) -> bool {
    outcome.is_none_or(|outcome| outcome.fate == Fate::Deferred)
}

fn reason(outcome: &Option<Outcome>) -> Bytes {
    outcome.as_ref().map(|outcome| Bytes::from(outcome.reason.clone())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;
    use crate::Content;
    use mail::{Client, DsnStatus, Envelope, QueueId, Recipient, Time};

    fn outcome(recipient: u32, fate: Fate) -> Option<Outcome> {
        let status = DsnStatus::new(4, 0, 0);
        let at = Time::from_secs(0);
        Some(Outcome {
            recipient,
            fate,
            status,
            reason: "busy".into(),
            remote_mta: None,
            diagnostic: None,
            at,
        })
    }

    fn stored(fates: &[Option<Fate>]) -> Stored {
        let recipient =
            |n: usize| Recipient { address: format!("r{n}@x").as_str().into(), ..Recipient::default() };
        let envelope = Envelope {
            sender: "s@x".into(),
            recipients: (0..fates.len()).map(recipient).collect(),
            arrival: Time::from_secs(1_700_000_000),
            client: Client { name: "c".into(), ..Client::default() },
            size: 77,
            extra: [("sender_fullname", "A B"), ("redirect_to", "z@z"), ("verp_delims", "+=")]
                .map(|(name, value)| (name.to_owned(), value.into()))
                .to_vec(),
            ..Envelope::default()
        };
        let id = QueueId::parse(b"ABC123").expect("an id");
        let outcomes = fates.iter().enumerate().map(|(n, f)| f.and_then(|f| outcome(n as u32, f))).collect();
        let content = Content::new("Subject: x\r\n", "\r\na\r\r\nb\r\n");
        let mut stored = Stored::new(id, envelope, content);
        stored.outcomes = outcomes;
        stored
    }

    #[test]
    fn a_message_becomes_a_letter() {
        let folder = tempfile::tempdir().expect("a folder");
        let maildrop = Maildrop::new(folder.path());
        let stored = stored(&[Some(Fate::Sent), Some(Fate::Deferred), None]);
        assert!(maildrop.put_back(&stored).expect("written"));
        let mut picked = maildrop.open(stored.id, Limits::default()).expect("it is there");
        assert_eq!(picked.arrival, stored.envelope.arrival);
        let submission = picked.reader.submission();
        let names: Vec<_> = submission.recipients.iter().map(|r| r.address.to_string()).collect();
        assert_eq!(names, ["r1@x", "r2@x"]);
        let extra = [("verp_delims", "+="), ("rewrite_context", "remote")];
        assert_eq!(submission.extra, extra.map(|(name, value)| (name.to_owned(), value.into())));
        assert_eq!(submission.full_name.as_deref(), Some(&b"A B"[..]));
        let requeued = submission.requeued.as_ref().expect("it was in the queue");
        assert_eq!((requeued.client.name.as_str(), requeued.size), ("c", 77));
        assert_eq!(requeued.reasons, ["busy", ""]);
        assert_eq!(picked.reader.next_piece().expect("whole"), Some(&b"Subject: x\n\na\r\nb\n"[..]));
    }

    #[test]
    fn a_message_that_nobody_waits_for_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let maildrop = Maildrop::new(folder.path());
        assert!(!maildrop.put_back(&stored(&[Some(Fate::Sent)])).expect("nothing to do"));
        assert_eq!(maildrop.names().expect("readable"), []);
    }
}
