//! What postdrop tells whoever runs it: lines. The first names the letter, the last says what became of it.

use mail::QueueId;
use std::fmt;

/// Octets of all receipts for a letter, at most.
pub const RECEIPT_LIMIT: u64 = 4096;

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It will be in the maildrop under this name.
    Begun(QueueId),
    /// It is in the maildrop, on stable storage, under this name.
    Queued(QueueId),
    /// It is not; the text says why.
    Refused(String),
}

impl Receipt {
    /// Reads a line. None if it makes no sense: then nothing was queued, as far as one knows.
    pub fn parse(line: &str) -> Option<Receipt> {
        match line.strip_suffix('\n')?.split_once(' ')? {
            ("begun", id) => QueueId::parse(id.as_bytes()).map(Receipt::Begun),
            ("queued", id) => QueueId::parse(id.as_bytes()).map(Receipt::Queued),
            ("refused", why) => Some(Receipt::Refused(why.to_owned())),
            _ => None,
        }
    }
}

/// A line with its end.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receipt::Begun(id) => writeln!(f, "begun {id}"),
            Receipt::Queued(id) => writeln!(f, "queued {id}"),
            Receipt::Refused(why) => writeln!(f, "refused {}", why.replace(char::is_control, "?")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_come_back() {
        let id = QueueId::parse(b"6E1CACE").expect("an id");
        let refused = Receipt::Refused("message file too big".into());
        for receipt in [Receipt::Begun(id), Receipt::Queued(id), refused] {
            assert_eq!(Receipt::parse(&receipt.to_string()), Some(receipt));
        }
        assert_eq!(Receipt::Refused("a\nb".into()).to_string(), "refused a?b\n");
        for line in ["", "queued 6E1CACE", "queued ../x\n", "queued\n", "lost x\n"] {
            assert_eq!(Receipt::parse(line), None, "{line:?}");
        }
    }
}
