//! What mailq(1) prints.

use super::printable;
use crate::clock;
use spool::showq::{Entry, Queue};
use std::io::{self, Write};

/// How wide the columns are.
struct Columns {
    head: &'static str,
    id: usize,
    size: usize,
    /// Characters of the date: its year does not fit in.
    date: usize,
}

const SHORT: Columns = Columns {
    head: "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------",
    id: 11,
    size: 7,
    date: 20,
};

/// `enable_long_queue_ids`
const LONG: Columns = Columns {
    head: "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------",
    id: 17,
    size: 8,
    date: 19,
};

/// Where a reason ends.
const REASON_COLUMN: usize = 76;

/// Prints entries as they come, then their number.
pub(super) fn print(
    entries: impl Iterator<Item = io::Result<Entry>>,
    enable_long_queue_ids: bool,
    smtputf8_enable: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let columns = if enable_long_queue_ids { LONG } else { SHORT };
    let (mut count, mut size) = (0u64, 0u64);
    for entry in entries {
        let entry = entry?;
        let before = if count == 0 { columns.head } else { "" };
        writeln!(out, "{before}")?;
        columns.print(&entry, smtputf8_enable, out)?;
        count += 1;
        size = size.saturating_add(entry.size);
    }
    if count == 0 {
        return writeln!(out, "Mail queue is empty");
    }
    let plural = if count == 1 { "" } else { "s" };
    writeln!(out, "\n-- {} Kbytes in {count} Request{plural}.", size / 1024)
}

impl Columns {
    fn print(&self, entry: &Entry, utf8: bool, out: &mut impl Write) -> io::Result<()> {
        let mark = match entry.queue {
            Queue::Active => "*",
            Queue::Hold => "!",
            _ => "",
        };
        let id = format!("{}{mark}{}", entry.id, if entry.forced_expire { "#" } else { "" });
        let date = clock::date(entry.arrival);
        writeln!(
            out,
            "{id:id_width$} {:size_width$} {:date_width$.date_width$} {}",
            entry.size,
            date,
            printable(&entry.sender, utf8),
            id_width = self.id,
            size_width = self.size,
            date_width = self.date,
        )?;
        let indent = self.id + self.size + self.date + 3;
        let mut said: &[u8] = b"";
        for recipient in &entry.recipients {
            // A reason stands once before the recipients that share it.
            if recipient.reason != said {
                said = &recipient.reason;
                let reason =
                    if said.is_empty() { "reason unavailable".into() } else { printable(said, utf8) };
                let padding = REASON_COLUMN.saturating_sub(reason.len());
                writeln!(out, "{:padding$}({reason})", "")?;
            }
            writeln!(out, "{:indent$}{}", "", printable(&recipient.address, utf8))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postqueue::tests::{entries, recorded};

    fn printed(entries: Vec<Entry>, long: bool) -> String {
        let mut out = Vec::new();
        print(entries.into_iter().map(Ok), long, true, &mut out).expect("memory takes all");
        // Dates depend on the zone.
        let date = clock::date(1_795_572_725);
        String::from_utf8(out).expect("printable").replace(&date[..20], "Wed Nov 25 02:12:05 ")
    }

    /// As captured from Debian's Postfix 3.7.11.
    #[test]
    fn as_recorded_of_postfix() {
        assert_eq!(printed(recorded(), false), include_str!("recorded.txt"));
    }

    #[test]
    fn long_ids() {
        let text = printed(entries(&[b"", b"x", b"x", b""]), true);
        let expect = "\
----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
2FF9FB5*               250 Wed Nov 25 02:12:05 MAILER-DAEMON
                                               r0@x
                                                                           (x)
                                               r1@x
                                               r2@x
                                                          (reason unavailable)
                                               r3@x

-- 0 Kbytes in 1 Request.
";
        assert_eq!(text, expect);
    }

    #[test]
    fn nothing() {
        assert_eq!(printed(Vec::new(), false), "Mail queue is empty\n");
    }
}
