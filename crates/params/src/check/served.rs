//! Services of master.cf that nothing here stands in for.

use crate::diagnostic::{Diagnostic, Place};
use crate::view::View;
use crate::{ServiceKind, master_cf};

/// Programs of services that nothing here stands in for.
const NOT_SERVED: [&str; 2] = ["spawn", "postscreen"];

/// A warning for each service that is not there yet.
pub(super) fn not_served(view: &View) -> Vec<Diagnostic> {
    let master = &view.config().master;
    let mut said = Vec::new();
    for service in &master.services {
        let (name, program) = (service.name_space(), service.program());
        let is_inet = service.kind == ServiceKind::Inet;
        let missing = match program {
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
    }
}
