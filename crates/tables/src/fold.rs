//! Keys in lower case, and in UTF-8: the one place where keys are folded before they are looked up.

use crate::source::show;
use crate::{Found, Lookup, OpenContext, Owner, Report, Severity, Table, TryLater, label};
use std::borrow::Cow;
use std::sync::Arc;

/// A table whose keys are folded, and whose keys and values must be UTF-8 if they are not ASCII.
struct Folded {
    inner: Arc<dyn Table>,
    fold: bool,
    utf8: bool,
    report: Report,
}

/// Wraps a table in what the context asks for; the table itself if that is nothing.
pub(crate) fn wrap(inner: Arc<dyn Table>, context: &OpenContext) -> Arc<dyn Table> {
    let fold = if inner.is_pattern() { context.fold_pattern_keys } else { context.fold_keys };
    let utf8 = context.smtputf8_enable;
    if !fold && !utf8 {
        return inner;
    }
    Arc::new(Folded { inner, fold, utf8, report: context.report.clone() })
}

/// The folded form of a key; None if it has to be UTF-8 and is not.
///
/// Postfix: letters outside ASCII are folded with ICU, and only where smtputf8_enable is on.
pub(crate) fn fold(key: &[u8], fold: bool, utf8: bool) -> Option<Cow<'_, [u8]>> {
    if !utf8 || key.is_ascii() {
        let is_folded = !fold || !key.iter().any(u8::is_ascii_uppercase);
        return Some(if is_folded { Cow::Borrowed(key) } else { Cow::Owned(key.to_ascii_lowercase()) });
    }
    let text = std::str::from_utf8(key).ok()?;
    Some(if fold { Cow::Owned(fold_text(text).into_bytes()) } else { Cow::Borrowed(key) })
}

fn fold_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Full case folding where lower case alone would keep two forms of one letter apart.
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

impl Table for Folded {
    fn get<'a>(&'a self, key: &'a [u8]) -> Lookup<'a> {
        let Some(folded) = fold(key, self.fold, self.utf8) else {
            return Lookup::ready(self.refuse_key(key));
        };
        if let Lookup::Ready(found) = self.inner.get(&folded) {
            return Lookup::Ready(found.map(|found| self.check(key, found)));
        }
        // Pending, so nothing was done yet: it is asked again by a future that owns the key.
        let folded = folded.into_owned();
        Lookup::Pending(Box::pin(async move {
            let found = self.inner.get(&folded).await;
            self.check(key, found)
        }))
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn is_pattern(&self) -> bool {
        self.inner.is_pattern()
    }

    fn visit(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Option<Result<(), TryLater>> {
        self.inner.visit(visit)
    }

    fn owner(&self) -> Owner {
        self.inner.owner()
    }
}

const MALFORMED: &str = "malformed UTF-8 or invalid codepoint";

impl Folded {
    fn refuse_key(&self, key: &[u8]) -> Found {
        let (label, key) = (label(self.name()), show(key));
        (self.report)(Severity::Warning, &format!("{label}: non-UTF-8 key \"{key}\": {MALFORMED}"));
        Ok(None)
    }

    fn check(&self, key: &[u8], found: Found) -> Found {
        match &found {
            Ok(Some(value)) if self.utf8 && !value.is_ascii() && std::str::from_utf8(value).is_err() => {
                let (key, value) = (show(key), show(value));
                let text =
                    format!("{}: key \"{key}\": non-UTF-8 value \"{value}\": {MALFORMED}", self.name());
                (self.report)(Severity::Warning, &text);
                Err(TryLater(text))
            }
            _ => found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding() {
        for (key, utf8, expect) in [
            ("Joe@Example.COM", true, Some("joe@example.com")),
            ("joe", true, Some("joe")),
            ("JOSÉ", true, Some("josé")),
            ("JOSÉ", false, Some("josÉ")),
            ("STRASSE", true, Some("strasse")),
            ("Straße", true, Some("strasse")),
        ] {
            let folded = fold(key.as_bytes(), true, utf8);
            assert_eq!(folded.as_deref(), expect.map(str::as_bytes), "{key}");
        }
        assert_eq!(fold(b"\xff", true, true), None);
        assert_eq!(fold(b"A\xff", true, false).as_deref(), Some(&b"a\xff"[..]));
        assert_eq!(fold(b"A", false, false).as_deref(), Some(&b"A"[..]));
    }
}
