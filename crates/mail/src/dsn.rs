//! Enhanced status codes (RFC 3463): `5.1.1`.

use std::fmt;

/// Class, subject and detail of an enhanced status code.
///
/// ```
/// use mail::DsnStatus;
/// assert_eq!(DsnStatus::split_from("5.1.1 no such user").0, Some(DsnStatus::new(5, 1, 1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DsnStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl DsnStatus {
    /// `class` is 2, 4 or 5; subject and detail are 0 to 999 (RFC 3463 2).
    pub const fn new(class: u8, subject: u16, detail: u16) -> DsnStatus {
        debug_assert!(matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000);
        DsnStatus { class, subject, detail }
    }

    pub const fn class(self) -> u8 {
        self.class
    }

    pub const fn subject(self) -> u16 {
        self.subject
    }

    pub const fn detail(self) -> u16 {
        self.detail
    }

    /// The same subject and detail in another class.
    pub const fn with_class(self, class: u8) -> DsnStatus {
        DsnStatus { class, ..self }
    }

    /// Takes a status code off the front of `text`, with the blanks behind it.
    pub fn split_from(text: &str) -> (Option<DsnStatus>, &str) {
        let code_len = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (code, rest) = text.split_at(code_len);
        if !rest.is_empty() && !rest.starts_with([' ', '\t', '\r', '\n']) {
            return (None, text);
        }
        match Self::parse(code) {
            Some(status) => (Some(status), rest.trim_start_matches([' ', '\t'])),
            None => (None, text),
        }
    }

    /// Exactly `D.D.D` with up to three digits in the second and third part.
    pub fn parse(text: &str) -> Option<DsnStatus> {
        let mut parts = text.split('.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let number = |p: &str| {
            ((1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
                .then(|| p.parse::<u16>().ok())
                .flatten()
        };
        if parts.next().is_some() || !matches!(class, "2" | "4" | "5") {
            return None;
        }
        Some(DsnStatus::new(class.as_bytes()[0] - b'0', number(subject)?, number(detail)?))
    }
}

impl fmt::Display for DsnStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let status = DsnStatus::new(5, 1, 10);
        assert_eq!((status.class(), status.subject(), status.detail()), (5, 1, 10));
        assert_eq!(status.with_class(4).to_string(), "4.1.10");
    }

    #[test]
    fn splits() {
        let s = |c, s, d| Some(DsnStatus::new(c, s, d));
        for (text, expect) in [
            ("5.7.1 go away", (s(5, 7, 1), "go away")),
            ("5.7.1", (s(5, 7, 1), "")),
            ("4.999.12\tx", (s(4, 999, 12), "x")),
            ("3.1.1 x", (None, "3.1.1 x")),
            ("5.7.1go", (None, "5.7.1go")),
            ("5.7 x", (None, "5.7 x")),
            ("5.7.1.2 x", (None, "5.7.1.2 x")),
            ("5.7.1000 x", (None, "5.7.1000 x")),
            ("", (None, "")),
        ] {
            assert_eq!(DsnStatus::split_from(text), expect, "{text}");
        }
    }
}
