//! Sets of EHLO keywords: which a server withholds (`smtpd_discard_ehlo_keywords`) and which a client overlooks
//! (`smtp_discard_ehlo_keywords`).

/// A set of EHLO keywords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keywords(u16);

impl Keywords {
    pub const EIGHTBITMIME: Keywords = Keywords(1);
    pub const AUTH: Keywords = Keywords(1 << 1);
    pub const ETRN: Keywords = Keywords(1 << 2);
    pub const PIPELINING: Keywords = Keywords(1 << 3);
    pub const SIZE: Keywords = Keywords(1 << 4);
    pub const VERP: Keywords = Keywords(1 << 5);
    pub const VRFY: Keywords = Keywords(1 << 6);
    pub const XCLIENT: Keywords = Keywords(1 << 7);
    pub const XFORWARD: Keywords = Keywords(1 << 8);
    pub const STARTTLS: Keywords = Keywords(1 << 9);
    pub const ENHANCEDSTATUSCODES: Keywords = Keywords(1 << 10);
    pub const DSN: Keywords = Keywords(1 << 11);
    pub const SMTPUTF8: Keywords = Keywords(1 << 12);
    pub const CHUNKING: Keywords = Keywords(1 << 13);
    /// No keyword: says that the log is not to mention what is withheld.
    pub const SILENT_DISCARD: Keywords = Keywords(1 << 14);

    /// Reads a list parted by blanks or commas. Words that are no keyword are given back for a warning.
    ///
    /// ```
    /// use smtp::Keywords;
    /// let (set, unknown) = Keywords::parse("dsn, Chunking foo");
    /// assert!(set.has(Keywords::DSN) && set.has(Keywords::CHUNKING) && !set.has(Keywords::SIZE));
    /// assert_eq!(unknown, ["foo"]);
    /// ```
    pub fn parse(list: &str) -> (Keywords, Vec<&str>) {
        let (mut set, mut unknown) = (Keywords::default(), Vec::new());
        for word in list.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
            match NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                Some((_, keyword)) => set.0 |= keyword.0,
                None => unknown.push(word),
            }
        }
        (set, unknown)
    }

    pub const fn has(self, keyword: Keywords) -> bool {
        self.0 & keyword.0 != 0
    }

    /// What the log says about them. None if it says nothing.
    ///
    /// Postfix: SMTPUTF8 has an odd name, golden: discard_keywords.smtp.
    pub(crate) fn to_log(self) -> Option<String> {
        if self.0 == 0 || self.has(Keywords::SILENT_DISCARD) {
            return None;
        }
        let names: Vec<_> = NAMES.iter().filter(|(_, k)| self.has(*k)).map(|(name, _)| *name).collect();
        Some(names.join(" ").replace("SMTPUTF8", "EHLO_MASK_SMTPUTF8"))
    }
}

const NAMES: [(&str, Keywords); 15] = [
    ("8BITMIME", Keywords::EIGHTBITMIME),
    ("AUTH", Keywords::AUTH),
    ("ETRN", Keywords::ETRN),
    ("PIPELINING", Keywords::PIPELINING),
    ("SIZE", Keywords::SIZE),
    ("VERP", Keywords::VERP),
    ("VRFY", Keywords::VRFY),
    ("XCLIENT", Keywords::XCLIENT),
    ("XFORWARD", Keywords::XFORWARD),
    ("STARTTLS", Keywords::STARTTLS),
    ("ENHANCEDSTATUSCODES", Keywords::ENHANCEDSTATUSCODES),
    ("DSN", Keywords::DSN),
    ("SMTPUTF8", Keywords::SMTPUTF8),
    ("CHUNKING", Keywords::CHUNKING),
    ("SILENT-DISCARD", Keywords::SILENT_DISCARD),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged() {
        for (list, expect) in [
            ("", None),
            ("silent-discard dsn", None),
            ("DSN etrn\tsmtputf8,,8bitmime", Some("8BITMIME ETRN DSN EHLO_MASK_SMTPUTF8")),
        ] {
            assert_eq!(Keywords::parse(list).0.to_log().as_deref(), expect, "{list}");
        }
    }
}
