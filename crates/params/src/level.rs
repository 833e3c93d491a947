//! Compatibility levels: `3`, `3.6`, `3.6.1`, compared part by part.

/// A compatibility level. Missing parts are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl Level {
    pub const fn new(major: u64, minor: u64) -> Level {
        Level { major, minor, patch: 0 }
    }

    /// The error is Postfix's text.
    pub fn parse(text: &str) -> Result<Level, String> {
        parse(text).ok_or_else(|| format!("malformed compatibility level syntax: \"{text}\""))
    }
}

fn parse(text: &str) -> Option<Level> {
    // Postfix: strtol(), so blanks and a sign may come first; minor and patch have ten bits, the major part the rest of 63.
    let part = |text: &str, max: u64| {
        let text = text.trim_start_matches(crate::line::is_space);
        let digits = text.strip_prefix('+').unwrap_or(text);
        digits
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()
            .filter(|n| *n <= max)
    };
    let mut parts = text.split('.');
    let major = part(parts.next()?, i64::MAX as u64 >> 20)?;
    let minor = parts.next().map_or(Some(0), |p| part(p, 1023))?;
    let patch = parts.next().map_or(Some(0), |p| part(p, 1023))?;
    parts.next().is_none().then_some(Level { major, minor, patch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_compares() {
        assert!(Level::parse("3.6").unwrap() < Level::parse("3.10").unwrap());
        assert!(Level::parse("2").unwrap() < Level::parse("3.6").unwrap());
        assert_eq!(Level::parse("3.6.1").unwrap(), Level { major: 3, minor: 6, patch: 1 });
        assert_eq!(Level::parse(" 3").unwrap(), Level::new(3, 0));
        for text in ["", "x", "3.", "3.6.1.2", "3.1024", "-1", "3 ", "9999999999999999999999"] {
            assert_eq!(
                Level::parse(text),
                Err(format!("malformed compatibility level syntax: \"{text}\"")),
                "{text:?}"
            );
        }
    }
}
