//! What `postqueue -j` prints: an object a line.

use super::printable;
use spool::showq::{Entry, Waiting};
use std::io::{self, Write};

pub(super) fn print(
    entries: impl Iterator<Item = io::Result<Entry>>,
    smtputf8_enable: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    for entry in entries {
        let entry = entry?;
        let text = |raw: &[u8]| quoted(raw, smtputf8_enable);
        let recipients: Vec<String> = entry.recipients.iter().map(|r| recipient(r, text)).collect();
        writeln!(
            out,
            "{{\"queue_name\": \"{}\", \"queue_id\": \"{}\", \"arrival_time\": {}, \"message_size\": {}, \
             \"forced_expire\": {}, \"sender\": \"{}\", \"recipients\": [{}]}}",
            entry.queue.name(),
            entry.id,
            entry.arrival,
            entry.size,
            entry.forced_expire,
            text(&entry.sender),
            recipients.join(", ")
        )?;
    }
    Ok(())
}

fn recipient(recipient: &Waiting, text: impl Fn(&[u8]) -> String) -> String {
    let address = text(&recipient.address);
    if recipient.reason.is_empty() {
        return format!("{{\"address\": \"{address}\"}}");
    }
    format!("{{\"address\": \"{address}\", \"delay_reason\": \"{}\"}}", text(&recipient.reason))
}

/// Text between the quotes of a JSON string. Of what has to be escaped there, only these are printable.
fn quoted(raw: &[u8], utf8: bool) -> String {
    let text = printable(raw, utf8);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postqueue::tests::{entries, recorded};

    fn printed(entries: Vec<Entry>) -> String {
        let mut out = Vec::new();
        print(entries.into_iter().map(Ok), true, &mut out).expect("memory takes all");
        String::from_utf8(out).expect("printable")
    }

    /// As captured from Debian's Postfix 3.7.11.
    #[test]
    fn as_recorded_of_postfix() {
        assert_eq!(printed(recorded()), include_str!("recorded.json"));
    }

    #[test]
    fn whatever_it_is_it_is_json() {
        let odd = entries(&[b"\"a\\b\"", b"\n\x7f\xff", "\u{e9}\u{85}".as_bytes(), b""]);
        let value: serde_json::Value = serde_json::from_str(&printed(odd)).expect("JSON");
        let reasons: Vec<_> =
            (0..4).map(|n| value["recipients"][n]["delay_reason"].as_str().unwrap_or("none")).collect();
        assert_eq!(reasons, ["\"a\\b\"", "???", "\u{e9}?", "none"]);
        assert_eq!(quoted("\u{e9}".as_bytes(), false), "??");
    }
}
