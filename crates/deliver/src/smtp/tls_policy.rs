//! What tables say about TLS with a destination: `smtp_tls_policy_maps`, and `smtp_tls_per_site` of old. Only what stands
//! there is read; what becomes of it is [`super::tls`]'s business.

use super::tls::Level;
use net::tls::{ClientLevel, parse_fingerprint};
use std::path::PathBuf;
use tables::{Maps, TryLater};

/// Where levels by destination stand.
#[derive(Default)]
pub enum Sites {
    #[default]
    Nowhere,
    /// `smtp_tls_policy_maps`.
    Policies(Maps),
    /// `smtp_tls_per_site`.
    PerSite(Maps),
}

/// One entry of `smtp_tls_policy_maps`: the level, and what stands in place of main.cf's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SitePolicy {
    pub(super) level: Level,
    pub(super) ciphers: Option<String>,
    pub(super) protocols: Option<String>,
    pub(super) servername: Option<String>,
    pub(super) exclude: Option<String>,
    /// Names, or fingerprints at the level Fingerprint.
    pub(super) matches: Option<Vec<String>>,
    pub(super) tafiles: Vec<PathBuf>,
    pub(super) connection_reuse: Option<bool>,
    /// `policy_type=sts` with `mx_host_pattern=`: the servers that the policy of the domain allows.
    pub(super) mx_host_patterns: Vec<String>,
    is_sts: bool,
}

/// The entry, or the lookup, is not in order: mail is put off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Configuration,
    Lookup,
}

/// The policy for a destination: as it is written, and if that is a domain's name its parents in turn.
pub(super) async fn find_policy(
    maps: &Maps,
    destination: &str,
    warn: &(impl Fn(String) + Sync),
) -> Result<Option<SitePolicy>, Invalid> {
    let mut site = destination;
    loop {
        let place = format!("{}, next-hop destination \"{site}\"", maps.parameter());
        match maps.get(site.as_bytes(), true).await {
            Ok(Some(value)) => {
                let text = String::from_utf8_lossy(&value);
                return SitePolicy::parse(&text, &|flaw| warn(format!("{place}: {flaw}"))).map(Some);
            }
            Ok(None) => {}
            Err(why) => {
                warn_of_lookup(&why, warn);
                warn(format!("{place}: policy table lookup error"));
                return Err(Invalid::Configuration);
            }
        }
        if !mail::hostname::is_utf8_hostname(destination.as_bytes(), true) {
            return Ok(None);
        }
        match site.get(1..).and_then(|rest| rest.find('.')) {
            Some(dot) => site = &site[dot + 1..],
            None => return Ok(None),
        }
    }
}

/// The level that `smtp_tls_per_site` has for a destination and its server; the stronger counts, but for NONE.
pub(super) async fn find_per_site(
    maps: &Maps,
    destination: &str,
    host: &str,
    warn: &(impl Fn(String) + Sync),
) -> Result<Option<Level>, Invalid> {
    let mut level = per_site_level(maps, None, destination, "next-hop destination", warn).await?;
    if !destination.eq_ignore_ascii_case(host) {
        level = per_site_level(maps, level, host, "server hostname", warn).await?;
    }
    Ok(level)
}

async fn per_site_level(
    maps: &Maps,
    so_far: Option<Level>,
    site: &str,
    class: &str,
    warn: &(impl Fn(String) + Sync),
) -> Result<Option<Level>, Invalid> {
    let (parameter, may, encrypt, verify) = (
        maps.parameter(),
        Level::Tls(ClientLevel::May),
        Level::Tls(ClientLevel::Encrypt),
        Level::Tls(ClientLevel::Verify),
    );
    let value = match maps.get(site.as_bytes(), true).await {
        Ok(Some(value)) => String::from_utf8_lossy(&value).into_owned(),
        Ok(None) => return Ok(so_far),
        Err(why) => {
            warn_of_lookup(&why, warn);
            warn(format!("{parameter}: {class} \"{site}\": per-site table lookup error"));
            return Err(Invalid::Lookup);
        }
    };
    Ok(match value.to_ascii_uppercase().as_str() {
        "NONE" if so_far.is_none_or(|known| known == may) => Some(Level::None),
        "MAY" => so_far.or(Some(may)),
        "MUST_NOPEERMATCH" if so_far.is_none_or(|known| known < encrypt) => Some(encrypt),
        "MUST" => Some(verify),
        "NONE" | "MUST_NOPEERMATCH" => so_far,
        _ => {
            warn(format!("{parameter}: unknown TLS policy '{value}' for {class} {site}"));
            return Err(Invalid::Configuration);
        }
    })
}

fn warn_of_lookup(why: &TryLater, warn: &impl Fn(String)) {
    why.to_string().lines().for_each(|line| warn(line.to_owned()));
}

/// The end of reading an entry; what is wrong has been said.
type Read<T> = Result<T, Invalid>;

impl SitePolicy {
    pub(super) fn new(level: Level) -> SitePolicy {
        SitePolicy {
            level,
            ciphers: None,
            protocols: None,
            servername: None,
            exclude: None,
            matches: None,
            tafiles: Vec::new(),
            connection_reuse: None,
            mx_host_patterns: Vec::new(),
            is_sts: false,
        }
    }

    /// Reads `secure match=example.com:.example.com ciphers=high`. `warn` gets what is wrong.
    fn parse(text: &str, warn: &impl Fn(String)) -> Read<SitePolicy> {
        let mut words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let Some(name) = words.next() else {
            warn("invalid empty policy".into());
            return Err(Invalid::Configuration);
        };
        let Some(level) = Level::parse(name) else {
            warn(format!("invalid security level \"{name}\""));
            return Err(Invalid::Configuration);
        };
        let mut policy = SitePolicy::new(level);
        for word in words {
            match level {
                Level::None => warn(format!("ignoring attribute \"{word}\" with TLS disabled")),
                Level::Tls(level) => policy.take(level, word, warn)?,
            }
        }
        if policy.is_sts && !policy.mx_host_patterns.is_empty() && policy.matches.is_some() {
            policy.matches = Some(vec!["hostname".into()]);
        } else {
            policy.mx_host_patterns.clear();
        }
        Ok(policy)
    }

    fn take(&mut self, level: ClientLevel, word: &str, warn: &impl Fn(String)) -> Read<()> {
        let flaw = |text: String| {
            warn(text);
            Err(Invalid::Configuration)
        };
        let malformed = |what: &str| flaw(format!("malformed attribute/value pair \"{word}\": {what}"));
        let Some((name, value)) = word.split_once('=') else {
            return malformed("missing '=' after attribute name");
        };
        if name.is_empty() {
            return malformed("missing attribute name");
        }
        let is_empty = || flaw(format!("attribute \"{name}\" has empty value"));
        let once = |place: &mut Option<String>| match place.replace(value.to_owned()) {
            Some(_) => flaw(format!("attribute \"{name}\" is specified multiple times")),
            None => Ok(()),
        };
        let misplaced =
            || flaw(format!("attribute \"{name}\" invalid at security level \"{}\"", level.name()));
        let is_pkix = matches!(level, ClientLevel::Verify | ClientLevel::Secure);
        match name.to_ascii_lowercase().as_str() {
            "ciphers" if value.is_empty() => is_empty(),
            "ciphers" => once(&mut self.ciphers),
            "protocols" => once(&mut self.protocols),
            "exclude" => once(&mut self.exclude),
            "servername" if self.servername.is_some() => once(&mut self.servername),
            "servername" if !is_hostname(value) => {
                flaw(format!("\"{name}={value}\" specifies an invalid hostname"))
            }
            "servername" => once(&mut self.servername),
            "match" | "tafile" if value.is_empty() && (name != "tafile" || is_pkix) => is_empty(),
            "match" if level == ClientLevel::Fingerprint => self.add_matches(value, '|'),
            "match" if is_pkix => self.add_matches(value, ':'),
            "match" => misplaced(),
            "tafile" if is_pkix => {
                self.tafiles.push(value.into());
                Ok(())
            }
            "tafile" => misplaced(),
            "connection_reuse" | "enable_rpk" => {
                let is_wanted = match value.to_ascii_lowercase().as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return flaw(format!("attribute \"{name}\" has bad value: \"{value}\"")),
                };
                // raw public keys are never asked for
                if name.eq_ignore_ascii_case("connection_reuse") {
                    self.connection_reuse = Some(is_wanted);
                }
                Ok(())
            }
            // what programs that look MTA-STS policies up add for Postfix 3.10 and on
            "policy_type" => {
                self.is_sts = value.eq_ignore_ascii_case("sts");
                Ok(())
            }
            "mx_host_pattern" => {
                self.mx_host_patterns.push(value.to_owned());
                Ok(())
            }
            "policy_ttl" | "policy_domain" | "policy_string" | "policy_failure" => Ok(()),
            _ => flaw(format!("invalid attribute name: \"{name}\"")),
        }
    }

    fn add_matches(&mut self, value: &str, separator: char) -> Read<()> {
        let words = value.split(separator).filter(|word| !word.is_empty()).map(str::to_owned);
        self.matches.get_or_insert_default().extend(words);
        Ok(())
    }
}

/// Fingerprints as records; `warn` gets those that are none.
pub(super) fn fingerprints(list: &[String], warn: &impl Fn(String)) -> Vec<net::tls::Tlsa> {
    let parsed = list.iter().filter_map(|text| parse_fingerprint(text).map_err(warn).ok());
    parsed.flat_map(|digest| net::tls::Tlsa::of_fingerprint(&digest)).collect()
}

pub(super) fn is_hostname(name: &str) -> bool {
    mail::hostname::is_utf8_hostname(name.as_bytes(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn parse(text: &str) -> (Read<SitePolicy>, Vec<String>) {
        let warnings = RefCell::new(Vec::new());
        let policy = SitePolicy::parse(text, &|warning| warnings.borrow_mut().push(warning));
        (policy, warnings.into_inner())
    }

    /// Observed with Debian's Postfix 3.7.11: case tls-policy-grid.
    #[test]
    fn what_is_wrong() {
        for (text, flaw) in [
            (",", "invalid empty policy"),
            ("bogus", "invalid security level \"bogus\""),
            ("secure match=", "attribute \"match\" has empty value"),
            ("secure match", "malformed attribute/value pair \"match\": missing '=' after attribute name"),
            ("secure =x", "malformed attribute/value pair \"=x\": missing attribute name"),
            ("secure foo=bar", "invalid attribute name: \"foo\""),
            ("may match=x", "attribute \"match\" invalid at security level \"may\""),
            ("dane match=x", "attribute \"match\" invalid at security level \"dane\""),
            ("secure ciphers=", "attribute \"ciphers\" has empty value"),
            ("secure ciphers=a ciphers=b", "attribute \"ciphers\" is specified multiple times"),
            ("secure servername=a_b..c", "\"servername=a_b..c\" specifies an invalid hostname"),
            ("may tafile=/x", "attribute \"tafile\" invalid at security level \"may\""),
            ("secure tafile=", "attribute \"tafile\" has empty value"),
            ("secure connection_reuse=maybe", "attribute \"connection_reuse\" has bad value: \"maybe\""),
            ("half-dane", "invalid security level \"half-dane\""),
        ] {
            assert_eq!(parse(text), (Err(Invalid::Configuration), vec![flaw.to_owned()]), "{text}");
        }
    }

    #[test]
    fn what_is_right() {
        let words = |list: &[&str]| Some(list.iter().map(|word| (*word).to_owned()).collect());
        let of = |level| SitePolicy::new(Level::Tls(level));
        use ClientLevel::{Encrypt, Fingerprint, Secure};
        for (text, expect) in [
            ("none", SitePolicy::new(Level::None)),
            ("Encrypt", of(Encrypt)),
            (
                "secure, match=a:.b match=nexthop",
                SitePolicy { matches: words(&["a", ".b", "nexthop"]), ..of(Secure) },
            ),
            (
                "fingerprint match=00:11|22",
                SitePolicy { matches: words(&["00:11", "22"]), ..of(Fingerprint) },
            ),
            (
                "encrypt protocols=>=TLSv1.2 ciphers=high exclude=aNULL servername=hostname connection_reuse=yes",
                SitePolicy {
                    protocols: Some(">=TLSv1.2".into()),
                    ciphers: Some("high".into()),
                    exclude: Some("aNULL".into()),
                    servername: Some("hostname".into()),
                    connection_reuse: Some(true),
                    ..of(Encrypt)
                },
            ),
            (
                "secure match=mx.a servername=hostname policy_type=sts policy_ttl=9 mx_host_pattern=*.a",
                SitePolicy {
                    matches: words(&["hostname"]),
                    servername: Some("hostname".into()),
                    mx_host_patterns: vec!["*.a".into()],
                    is_sts: true,
                    ..of(Secure)
                },
            ),
        ] {
            assert_eq!(parse(text), (Ok(expect), vec![]), "{text}");
        }
        let ignored = |word| format!("ignoring attribute \"{word}\" with TLS disabled");
        assert_eq!(parse("none match=x y").1, [ignored("match=x"), ignored("y")]);
    }
}
