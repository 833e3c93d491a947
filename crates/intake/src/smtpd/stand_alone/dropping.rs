//! A letter on its way through postdrop(1).

use super::{NoPostdrop, StandAlone};
use mail::QueueId;
use spool::maildrop::{LineFeeds, RECEIPT_LIMIT, Receipt, Submission, Writer};
use std::io::{self, BufRead, BufReader, Read, Take, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running postdrop. Dropped before the letter's end, it takes nothing.
pub(super) struct Dropping {
    child: Child,
    id: QueueId,
    receipts: BufReader<Take<ChildStdout>>,
    letter: Letter,
    lines: LineFeeds,
}

enum Letter {
    Blank(ChildStdin),
    Begun(Writer<ChildStdin>),
    /// It cannot be written; postdrop has said why.
    Failed,
}

impl Dropping {
    /// Starts postdrop, which names the letter at once.
    pub(super) fn start(service: &StandAlone) -> Result<Dropping, NoPostdrop> {
        let mut command = Command::new(&service.postdrop);
        command.arg("-r").envs(service.environment.iter().cloned());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|_| NoPostdrop)?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).ok_or(NoPostdrop)?;
        let mut receipts = BufReader::new(output.take(RECEIPT_LIMIT));
        match read_receipt(&mut receipts) {
            Some(Receipt::Begun(id)) => Ok(Dropping {
                child,
                id,
                receipts,
                letter: Letter::Blank(input),
                lines: LineFeeds::default(),
            }),
            _ => {
                drop(input);
                if let Some(code) = child.wait().ok().and_then(|status| status.code()) {
                    let path = service.postdrop.display();
                    service.log.warning(format_args!("command \"{path}\" exited with status {code}"));
                }
                Err(NoPostdrop)
            }
        }
    }

    pub(super) fn id(&self) -> QueueId {
        self.id
    }

    pub(super) fn begin(&mut self, submission: &Submission) {
        if let Letter::Blank(input) = std::mem::replace(&mut self.letter, Letter::Failed) {
            self.letter = Writer::new(input, submission).map_or(Letter::Failed, Letter::Begun);
        }
    }

    /// Takes content as it came, with CRLF at line ends.
    pub(super) fn write(&mut self, piece: &[u8]) {
        let mut out = Vec::with_capacity(piece.len());
        self.lines.convert(piece, &mut out);
        self.put(&out);
    }

    /// What became of the letter; None if postdrop does not say.
    pub(super) fn finish(mut self) -> Option<Receipt> {
        let rest = std::mem::take(&mut self.lines).finish();
        self.put(rest);
        if let Letter::Begun(writer) = std::mem::replace(&mut self.letter, Letter::Failed) {
            // Without its end postdrop takes nothing, and says so.
            drop(writer.finish());
        }
        read_receipt(&mut self.receipts)
    }

    fn put(&mut self, octets: &[u8]) {
        if let Letter::Begun(writer) = &mut self.letter
            && writer.write_all(octets).is_err()
        {
            self.letter = Letter::Failed;
        }
    }
}

impl Drop for Dropping {
    /// Its input ends, and so does postdrop.
    fn drop(&mut self) {
        self.letter = Letter::Failed;
        let _ = self.child.wait();
    }
}

fn read_receipt(receipts: &mut impl BufRead) -> Option<Receipt> {
    let mut line = String::new();
    let read: io::Result<usize> = receipts.read_line(&mut line);
    read.ok().and_then(|_| Receipt::parse(&line))
}
