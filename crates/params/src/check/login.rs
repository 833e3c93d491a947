//! Logins, ours at other servers and clients' at ours: parameters of which one means nothing without another.

use super::text;
use crate::diagnostic::Diagnostic;
use crate::view::View;
use crate::word::plain_words;

/// What Postfix's smtp(8) stops at when there is mail.
pub(super) fn warnings(view: &View) -> Vec<Diagnostic> {
    let is_missing =
        is_yes(view, "smtp_sasl_auth_enable") && text(view, "smtp_sasl_password_maps").is_empty();
    let said = is_missing.then(|| {
        Diagnostic::warning(
            "specify a password table via the `smtp_sasl_password_maps' configuration parameter",
        )
        .at(view.place("smtp_sasl_auth_enable"))
        .effect("smtp(8) stops, and mail to other servers is put off")
        .mend("smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd")
    });
    said.into_iter().collect()
}

/// What Postfix takes in silence.
pub(super) fn advice(view: &View) -> Vec<Diagnostic> {
    [maps_without_login, plaintext_without_tls].iter().filter_map(|check| check(view)).collect()
}

fn maps_without_login(view: &View) -> Option<Diagnostic> {
    let has_maps =
        view.is_set("smtp_sasl_password_maps") && !text(view, "smtp_sasl_password_maps").is_empty();
    (has_maps && !is_yes(view, "smtp_sasl_auth_enable")).then(|| {
        Diagnostic::advice("smtp_sasl_password_maps: nothing reads it, since smtp_sasl_auth_enable is no")
            .at(view.place("smtp_sasl_password_maps"))
            .effect("mail goes to the relayhost without a login")
            .mend("smtp_sasl_auth_enable = yes")
    })
}

/// Servers that offer plain text logins only are the usual ones, and the default refuses these without TLS, and with it.
fn plaintext_without_tls(view: &View) -> Option<Diagnostic> {
    let refuses = |name: &str| {
        let value = text(view, name);
        plain_words(&value).any(|word| word.eq_ignore_ascii_case("noplaintext"))
    };
    let has_tls = is_yes(view, "smtp_use_tls")
        || is_yes(view, "smtp_enforce_tls")
        || !matches!(text(view, "smtp_tls_security_level").as_str(), "" | "none");
    let name = if has_tls { "smtp_sasl_tls_security_options" } else { "smtp_sasl_security_options" };
    (is_yes(view, "smtp_sasl_auth_enable") && refuses(name)).then(|| {
        let mend = match has_tls {
            true => format!("{name} = noanonymous"),
            false => {
                "smtp_tls_security_level = may, and smtp_sasl_tls_security_options = noanonymous".to_owned()
            }
        };
        Diagnostic::advice(format!("{name}: noplaintext, and most servers offer PLAIN and LOGIN only"))
            .at(view.place(name).or_else(|| view.place("smtp_sasl_auth_enable")))
            .effect("mail is put off: SASL authentication failed; no mechanism available")
            .mend(mend)
    })
}

fn is_yes(view: &View, name: &str) -> bool {
    text(view, name).eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn parts_that_belong_together() {
        let on = "smtp_sasl_auth_enable = yes\n";
        let maps = "smtp_sasl_password_maps = hash:/x\n";
        let options = "smtp_sasl_security_options = noanonymous\n";
        let tls = "smtp_tls_security_level = may\n";
        for (main, expect) in [
            (String::new(), ""),
            (format!("{on}{options}"), "specify a password table"),
            (maps.to_owned(), "smtp_sasl_password_maps: nothing reads it"),
            (format!("{on}{maps}"), "smtp_sasl_security_options: noplaintext"),
            (format!("{on}{maps}{options}"), ""),
            (format!("{on}{maps}{tls}{options}"), ""),
            (format!("{on}{maps}{tls}"), "smtp_sasl_tls_security_options: noplaintext"),
        ] {
            let view = view(&main, "");
            let said: Vec<Diagnostic> = warnings(&view).into_iter().chain(advice(&view)).collect();
            assert_eq!(said.is_empty(), expect.is_empty(), "{main} {said:?}");
            assert!(
                said.iter().all(|d| d.message.starts_with(expect) && !d.mend.is_empty()),
                "{main} {said:?}"
            );
        }
    }
}
