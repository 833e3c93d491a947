//! What a domain publishes: the record that says that there is a policy, and the policy (RFC 8461 3.1, 3.2).

/// Seconds that a policy may hold: a year.
const MAX_AGE_LIMIT: u64 = 31_557_600;
/// Servers that a policy may name.
const MX_LIMIT: usize = 100;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub mode: Mode,
    /// Names, or `*.` and the names that are one label shorter. In lower case.
    pub mx: Vec<String>,
    /// Seconds.
    pub max_age: u64,
    /// As it came, line by line, for reports.
    pub lines: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    Testing,
    None,
}

/// The id in `v=STSv1; id=20160831085700Z;`. None: it is no such record.
pub(super) fn record_id(record: &str) -> Option<&str> {
    let mut fields = record.split(';').map(str::trim);
    if fields.next() != Some("v=STSv1") {
        return None;
    }
    let id = fields.find_map(|field| field.strip_prefix("id"))?.trim_start().strip_prefix('=')?.trim();
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
    is_id.then_some(id)
}

impl Policy {
    /// None: it is none.
    pub(super) fn parse(text: &str) -> Option<Policy> {
        let lines: Vec<String> =
            text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect();
        let values = |name: &'static str| {
            let fields = lines.iter().filter_map(|line| line.split_once(':'));
            fields.filter(move |(field, _)| field.trim() == name).map(|(_, value)| value.trim())
        };
        if values("version").next() != Some("STSv1") {
            return None;
        }
        let mode = match values("mode").next()? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            _ => return None,
        };
        let mx: Vec<String> = values("mx").take(MX_LIMIT).map(str::to_ascii_lowercase).collect();
        if mx.is_empty() && mode != Mode::None {
            return None;
        }
        let max_age = values("max_age").next()?.parse::<u64>().ok()?.min(MAX_AGE_LIMIT);
        Some(Policy { mode, mx, max_age, lines })
    }
}

/// Reads any octets as a record and as a policy.
pub fn fuzz_mta_sts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = record_id(&text);
    if let Some(policy) = Policy::parse(&text) {
        assert_eq!(Policy::parse(&policy.lines.join("\n")), Some(policy));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (text, expect) in [
            ("v=STSv1; id=20160831085700Z;", Some("20160831085700Z")),
            ("v=STSv1;id=a", Some("a")),
            ("v=STSv1; x=y; id = b ;", Some("b")),
            ("v=STSv1; id=;", None),
            ("v=STSv1; id=a-b;", None),
            ("v=STSv2; id=a;", None),
            ("id=a; v=STSv1", None),
            ("", None),
        ] {
            assert_eq!(record_id(text), expect, "{text}");
        }
    }

    #[test]
    fn policies() {
        let good = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx:*.example.net\r\nmax_age: 604800\r\n";
        let policy = Policy::parse(good).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        assert_eq!(policy.mx, ["mail.example.com", "*.example.net"]);
        for (text, is_one) in [
            ("version: STSv1\nmode: none\nmax_age: 9", true),
            ("version: STSv1\nmode: testing\nmx: a\nmax_age: 99999999999", true),
            ("version: STSv1\nmode: enforce\nmax_age: 9", false),
            ("version: STSv1\nmode: strict\nmx: a\nmax_age: 9", false),
            ("version: STSv1\nmode: enforce\nmx: a", false),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: -1", false),
            ("mode: enforce\nmx: a\nmax_age: 9", false),
            ("<html>", false),
        ] {
            assert_eq!(Policy::parse(text).is_some(), is_one, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets(data: Vec<u8>) {
            fuzz_mta_sts(&data);
        }
    }
}
