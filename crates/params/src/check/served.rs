//! Services of master.cf that nothing here stands in for.

use crate::diagnostic::{Diagnostic, Place};
use crate::registry::p;
use crate::view::View;
use crate::{ServiceKind, master_cf};

/// Programs of services that nothing here stands in for.
const NOT_SERVED: [&str; 2] = ["spawn", "postscreen"];

/// Whether a service's clients must use TLS, which an smtpd cannot offer yet: it is better not served than served in clear text.
pub fn demands_tls(view: &View) -> bool {
    let mut mistakes = Vec::new();
    view.get(p::smtpd_tls_wrappermode, &mut mistakes)
        || match view.get(p::smtpd_tls_security_level, &mut mistakes).as_str() {
            "" => view.get(p::smtpd_enforce_tls, &mut mistakes),
            level => !matches!(level, "none" | "may"),
        }
}

/// A warning for each service that is not there yet.
pub(super) fn not_served(view: &View) -> Vec<Diagnostic> {
    let master = &view.config().master;
    let mut said = Vec::new();
    for service in &master.services {
        let (name, program) = (service.name_space(), service.program());
        let is_inet = service.kind == ServiceKind::Inet;
        let missing = match program {
            "smtpd" if is_inet && demands_tls(&view.for_service(service)) => {
                "TLS, which its clients must use,"
            }
            "smtpd" => continue,
            _ if !master_cf::PROGRAMS.contains(&program) => continue,
            _ if is_inet || NOT_SERVED.contains(&program) => program,
            _ => continue,
        };
        let effect = if is_inet { ": connections are closed at once" } else { "" };
        let place = Place { file: master.path.clone(), line: service.line, span: 0..service.name().len() };
        said.push(
            Diagnostic::warning(format!("service {name}: {missing} is not supported yet{effect}"))
                .at(place)
                .mend("take the service out of master.cf, or keep Postfix for it"),
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn services_that_nothing_stands_in_for() {
        let master = "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n10025 inet n - n - - smtpd\n\
                      policy unix - n n - 0 spawn user=nobody argv=/bin/true\n";
        let said: Vec<String> = not_served(&view("", master)).iter().map(|d| d.to_string()).collect();
        assert_eq!(
            said,
            [
                "warning: service smtp/inet: postscreen is not supported yet: connections are closed at once",
                "warning: service policy/unix: spawn is not supported yet"
            ]
        );
        for (main, option, is_served) in [
            ("", "", true),
            ("smtpd_tls_security_level = may", "", true),
            ("smtpd_tls_security_level = may\nsmtpd_enforce_tls = yes", "", true),
            ("smtpd_tls_security_level = encrypt", "", false),
            ("smtpd_enforce_tls = yes", "", false),
            ("", "-o smtpd_tls_security_level=encrypt", false),
            ("", "-o smtpd_tls_wrappermode=yes", false),
            ("smtpd_tls_security_level = encrypt", "-o smtpd_tls_security_level=may", true),
        ] {
            let said = not_served(&view(main, &format!("smtps inet n - n - - smtpd {option}\n")));
            assert_eq!(said.is_empty(), is_served, "{main} {option} {said:?}");
        }
    }
}
