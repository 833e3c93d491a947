//! The head of a line: time, host, priority.

use maillog::Level;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// The two heads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `<22>Nov 22 02:11:51 `: what syslog(3) sends (RFC 3164 4.1). The facility's code, shifted.
    Syslog { facility: u8 },
    /// `Nov 22 02:11:51 host `: what syslog daemons and postlogd write.
    File,
}

/// Makes heads; a second's time stamp is made once.
#[derive(Default)]
pub(crate) struct Stamper {
    second: i64,
    stamp: String,
    host: String,
    head: String,
}

impl Stamper {
    pub(crate) fn head(&mut self, kind: Kind, level: Level, now: SystemTime) -> &str {
        let secs = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        if self.second != secs || self.stamp.is_empty() {
            self.second = secs;
            self.stamp = stamp(secs);
        }
        self.head.clear();
        // Writing to a String cannot fail.
        let _ = match kind {
            Kind::Syslog { facility } => {
                write!(self.head, "<{}>{} ", facility | level.syslog_severity(), self.stamp)
            }
            Kind::File => {
                if self.host.is_empty() {
                    self.host = short_host_name();
                }
                write!(self.head, "{} {} ", self.stamp, self.host)
            }
        };
        &self.head
    }
}

/// `Nov  2 02:11:51`, in local time.
fn stamp(secs: i64) -> String {
    let (offset, _) = sys::local_time::zone_at(secs);
    let c = mail::Time::from_secs(secs).civil(offset);
    let month = mail::time::MONTHS[usize::from(c.month - 1)];
    format!("{month} {:2} {:02}:{:02}:{:02}", c.day, c.hour, c.minute, c.second)
}

fn short_host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name = name.to_string_lossy();
    name.split('.').next().unwrap_or("localhost").to_owned()
}

/// Appends text to a line, cut at a limit, its control characters made `?`.
pub(crate) struct Payload<'a> {
    line: &'a mut Vec<u8>,
    room: usize,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(line: &'a mut Vec<u8>, room: usize) -> Payload<'a> {
        Payload { line, room }
    }
}

impl Write for Payload<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = &text[..text.floor_char_boundary(self.room)];
        self.room -= text.len();
        let is_clean = !text.bytes().any(|b| b < 32 || b == 127);
        if is_clean {
            self.line.extend_from_slice(text.as_bytes());
        } else {
            self.line.extend(text.bytes().map(|b| if b < 32 || b == 127 { b'?' } else { b }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_cut_and_cleaned() {
        let mut line = b"head ".to_vec();
        let mut payload = Payload::new(&mut line, 8);
        payload.write_str("a\r\nb").expect("memory");
        payload.write_str("\u{e9}\u{e9}\u{e9}").expect("memory");
        assert_eq!(line, "head a??b\u{e9}\u{e9}".as_bytes());
    }

    #[test]
    fn heads() {
        let mut stamper = Stamper::default();
        let head = stamper.head(Kind::Syslog { facility: 16 }, Level::Warning, UNIX_EPOCH).to_owned();
        assert!(head.starts_with("<20>") && head.contains(":00:00 "), "{head}");
        let host = short_host_name();
        assert!(stamper.head(Kind::File, Level::Info, UNIX_EPOCH).ends_with(&format!(" {host} ")));
    }
}
