//! Recipients as people write them: on the command line, and with `-t` in the header.

use mail::Address;
use mail::header::{AddressList, Event, Field, Scanner};

/// The addresses in a word of the command line, read as an address header would be. Postfix: a word without any is the
/// null address.
pub(super) fn of_argument(word: &[u8]) -> Vec<Address> {
    let mut addresses = of_list(word);
    if addresses.is_empty() {
        addresses.push(Address::null());
    }
    addresses
}

/// The addresses in a list, in internal form.
pub(super) fn of_list(text: &[u8]) -> Vec<Address> {
    // Its length limits the number of tokens: of one header, or of an argument.
    AddressList::parse(text, usize::MAX).internal().map(Address::new).collect()
}

/// Reads the front of a message for `-t`, until it knows the recipients.
pub(super) struct HeaderRecipients {
    scanner: Scanner,
    header_size_limit: usize,
    /// From To, Cc and Bcc.
    plain: Vec<Address>,
    /// From Resent-To, Resent-Cc and Resent-Bcc: if there is one of these, the others do not count.
    resent: Vec<Address>,
    is_resent: bool,
    is_done: bool,
}

/// A header is longer than `header_size_limit`: its recipients would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeaderTooLong;

impl HeaderRecipients {
    pub(super) fn new(header_size_limit: usize) -> HeaderRecipients {
        HeaderRecipients {
            scanner: Scanner::new(header_size_limit),
            header_size_limit,
            plain: Vec::new(),
            resent: Vec::new(),
            is_resent: false,
            is_done: false,
        }
    }

    /// Reads on. True once the header is over.
    pub(super) fn read(&mut self, mut piece: &[u8]) -> Result<bool, HeaderTooLong> {
        while let Some(event) = self.scanner.next(&mut piece) {
            self.take(event)?;
        }
        Ok(self.is_done)
    }

    /// The recipients, now that the message is over.
    pub(super) fn finish(mut self) -> Result<Vec<Address>, HeaderTooLong> {
        while let Some(event) = self.scanner.finish() {
            self.take(event)?;
        }
        Ok(if self.is_resent { self.resent } else { self.plain })
    }

    fn take(&mut self, event: Event) -> Result<(), HeaderTooLong> {
        match event {
            Event::Field(field) if field.text().len() >= self.header_size_limit => return Err(HeaderTooLong),
            Event::Field(field) => self.take_field(&field),
            Event::End(_) => self.is_done = true,
        }
        Ok(())
    }

    fn take_field(&mut self, field: &Field) {
        let Some(name) = field.known().filter(|name| name.names_recipients()) else { return };
        let list = if name.is_resent() {
            self.is_resent = true;
            &mut self.resent
        } else {
            &mut self.plain
        };
        list.extend(of_list(field.value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(addresses: &[Address]) -> String {
        addresses
            .iter()
            .map(|a| String::from_utf8_lossy(a.as_bytes()).into_owned())
            .collect::<Vec<_>>()
            .join("|")
    }

    fn of_message(message: &[u8], size: usize, limit: usize) -> Result<String, HeaderTooLong> {
        let mut header = HeaderRecipients::new(limit);
        for piece in message.chunks(size) {
            if header.read(piece)? {
                break;
            }
        }
        header.finish().map(|addresses| shown(&addresses))
    }

    #[test]
    fn arguments() {
        for (word, expect) in [
            ("a, b", "a|b"),
            ("Bob <bob@x>", "bob@x"),
            ("", ""),
            ("(c)", ""),
            ("\"q r\"@x", "q r@x"),
            ("a b", "a|b"),
            ("a\nb", "a|b"),
            ("caf\u{e9}@x", "caf\u{e9}@x"),
        ] {
            assert_eq!(shown(&of_argument(word.as_bytes())), expect, "{word}");
        }
        assert_eq!(of_argument(b""), [Address::null()]);
        assert_eq!(of_argument(b"caf\xe9@x")[0].as_bytes(), b"caf\xe9@x");
    }

    #[test]
    fn headers() {
        for (message, expect) in [
            ("To: a@b, c@d (x)\nCc: e\nBcc: f\n g, h\nSubject: y\n\nhi\n", "a@b|c@d|e|f|g|h"),
            ("To: a@b\nResent-To: c@d\nCc: x\nResent-Bcc: z\n\nhi\n", "c@d|z"),
            ("To: a@b\nResent-To:\n\nhi\n", ""),
            ("To: a@b\nApparently-To: q\n\nhi\n", "a@b"),
            ("To: grp: a, b;, c <d@e>\nX: y\nCc: z\nnot a header\n\nTo: q\n", "a|b|d@e|z"),
            ("To: undisclosed-recipients:;\n\nhi\n", ""),
            ("Subject: x\n\nTo: a\n", ""),
            ("To:a@b\nhi\n", "a@b"),
            ("To: a@b\0c\nhi\n", "a@b"),
            ("To : a@b\n\nx", "a@b"),
            ("To: a@b", "a@b"),
            ("", ""),
            ("\nTo: a@b", ""),
        ] {
            for size in [1, 2, 7, 1000] {
                let found = of_message(message.as_bytes(), size, 1000);
                assert_eq!(found, Ok(expect.to_owned()), "{message:?} by {size}");
            }
        }
    }

    #[test]
    fn header_size_limit() {
        let message = format!("To: a@b{}\n\n", ",\n c@d".repeat(100));
        assert_eq!(of_message(message.as_bytes(), 7, 200), Err(HeaderTooLong));
        assert!(of_message(message.as_bytes(), 7, 2000).is_ok());
    }
}
