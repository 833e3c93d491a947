//! What follows `check_policy_service`: the server's address and settings of its own.

use crate::settings::PolicySettings;
use crate::text::{closing_brace, inside_braces, split_name_value, words};
use std::time::Duration;

/// A policy server.
///
/// ```
/// use policy::{PolicyService, PolicySettings};
/// let service = PolicyService::parse("{ inet:127.0.0.1:10023, timeout=10s }", &PolicySettings::default()).unwrap();
/// assert_eq!(service.endpoint, "inet:127.0.0.1:10023");
/// assert_eq!(service.settings.timeout.as_secs(), 10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyService {
    /// As it stands in the list, braces and all: what names the server in log lines.
    pub name: String,
    /// `inet:host:port` or `unix:path`.
    pub endpoint: String,
    pub settings: PolicySettings,
}

impl PolicyService {
    /// Reads `inet:host:port` or `{ inet:host:port, name = value … }`. The error has Postfix's words.
    pub fn parse(text: &str, defaults: &PolicySettings) -> Result<PolicyService, String> {
        let mut service =
            PolicyService { name: text.to_owned(), endpoint: text.to_owned(), settings: defaults.clone() };
        if text.starts_with('{') {
            let end = closing_brace(text);
            let inner = &text[1..end.unwrap_or(text.len())];
            if end.is_none_or(|end| end + 1 < text.len()) {
                return Err(format!("policy service syntax error: {inner}"));
            }
            let mut inner_words = words(inner).into_iter().map(|word| &inner[word]);
            let Some(endpoint) = inner_words.next() else {
                return Err(format!("empty policy service: \"{text}\""));
            };
            service.endpoint = endpoint.to_owned();
            inner_words.try_for_each(|word| service.settings.override_with(word))?;
        }
        check_endpoint(&service.endpoint)?;
        Ok(service)
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    match endpoint.split_once(':') {
        Some(("", _) | (_, "")) | None => {
            Err(format!("need service transport:endpoint instead of \"{endpoint}\""))
        }
        Some(("inet" | "unix" | "local", _)) => Ok(()),
        Some((transport, _)) => Err(format!("invalid transport name: {transport} in service: {endpoint}")),
    }
}

impl PolicySettings {
    /// Takes `name=value` or `{ name = value }`.
    fn override_with(&mut self, word: &str) -> Result<(), String> {
        let option = if word.starts_with('{') { inside_braces(word)? } else { word };
        let (name, value) =
            split_name_value(option).map_err(|why| format!("malformed option: {why}: \"...{option}...\""))?;
        match name {
            "default_action" => self.default_action = not_empty(name, value)?,
            "policy_context" => self.policy_context = not_empty(name, value)?,
            "request_limit" => self.request_limit = number(name, value, 0)?,
            "try_limit" => self.try_limit = number(name, value, 1)?,
            "timeout" => self.timeout = seconds(name, value)?,
            "max_idle" => self.max_idle = seconds(name, value)?,
            "max_ttl" => self.max_ttl = seconds(name, value)?,
            "retry_delay" => self.retry_delay = seconds(name, value)?,
            _ => return Err(format!("unknown option: \"{name} = {value}\"")),
        }
        Ok(())
    }
}

fn not_empty(name: &str, value: &str) -> Result<String, String> {
    match value {
        "" => Err(format!("bad string length 0 < 1: {name} = ")),
        _ => Ok(value.to_owned()),
    }
}

fn number(name: &str, value: &str, min: u32) -> Result<u32, String> {
    let bad = |_| format!("bad numerical configuration: {name} = {value}");
    let number = value.parse::<i32>().map_err(bad)?;
    let in_range = u32::try_from(number).ok().filter(|number| *number >= min);
    in_range.ok_or_else(|| format!("invalid {name} parameter value {number} < {min}"))
}

/// `10`, `10s`, `2m`, `1h`, `1d`, `1w`; at least a second.
fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = value.split_at(digits);
    let factor = match unit.bytes().next() {
        None | Some(b's') => Some(1),
        Some(b'm') => Some(60),
        Some(b'h') => Some(3600),
        Some(b'd') => Some(86_400),
        Some(b'w') => Some(604_800),
        Some(_) => None,
    };
    let total = count.parse::<u32>().ok().zip(factor).and_then(|(count, factor)| count.checked_mul(factor));
    match total {
        Some(0) => Err(format!("invalid {name}: 0 (min 1)")),
        Some(total) => Ok(Duration::from_secs(total.into())),
        None => Err(format!("{name}: bad time value or unit: {value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Result<(&str, u64, &str), &str>) {
        let got = PolicyService::parse(text, &PolicySettings::default());
        let got = got
            .as_ref()
            .map(|s| (s.endpoint.as_str(), s.settings.timeout.as_secs(), s.settings.default_action.as_str()));
        assert_eq!(got.map_err(String::as_str), expect, "{text}");
    }

    /// The errors are what Postfix's smtpd dies of.
    #[test]
    fn services() {
        let action = "451 4.3.5 Server configuration problem";
        check("unix:private/policy", Ok(("unix:private/policy", 100, action)));
        check("{ inet:[::1]:1 }", Ok(("inet:[::1]:1", 100, action)));
        check(
            "{inet:x:1 timeout=1m, { default_action = DEFER_IF_PERMIT a, b } }",
            Ok(("inet:x:1", 60, "DEFER_IF_PERMIT a, b")),
        );
        check("{ inet:x:1, default_action=DUNNO }", Ok(("inet:x:1", 100, "DUNNO")));
        check("127.0.0.1", Err("need service transport:endpoint instead of \"127.0.0.1\""));
        check("{ hash }", Err("need service transport:endpoint instead of \"hash\""));
        check("unix:", Err("need service transport:endpoint instead of \"unix:\""));
        check("tcp:x:1", Err("invalid transport name: tcp in service: tcp:x:1"));
        check("{inet:x:1}y", Err("policy service syntax error: inet:x:1"));
        check(
            "{ inet:x:1, { timeout }}",
            Err("malformed option: missing '=' after attribute name: \"... timeout ...\""),
        );
        check("{ }", Err("empty policy service: \"{ }\""));
        check("{ inet:x:1", Err("policy service syntax error:  inet:x:1"));
        check(
            "{ inet:x:1, timeout = 1 }",
            Err("malformed option: missing '=' after attribute name: \"...timeout...\""),
        );
        check("{ inet:x:1, timeout=0 }", Err("invalid timeout: 0 (min 1)"));
        check("{ inet:x:1, timeout=1y }", Err("timeout: bad time value or unit: 1y"));
        check("{ inet:x:1, try_limit=x }", Err("bad numerical configuration: try_limit = x"));
        check("{ inet:x:1, try_limit=-1 }", Err("invalid try_limit parameter value -1 < 1"));
        check("{ inet:x:1, nosuch=1 }", Err("unknown option: \"nosuch = 1\""));
        check("{ inet:x:1, policy_context= }", Err("bad string length 0 < 1: policy_context = "));
    }
}
