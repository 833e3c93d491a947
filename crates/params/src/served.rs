//! `master_service_disable`: services of master.cf that are not served.

use crate::list::Pattern;
use crate::registry::p;
use crate::{Service, View};

impl View {
    /// The lines of master.cf that are served, in order.
    pub fn served(&self) -> Vec<&Service> {
        let disabled = self.get(p::master_service_disable, &mut Vec::new());
        let is_disabled = |service: &Service| {
            let (name, kind) = (service.name_space(), service.kind.to_string());
            let matches = |pattern: &Pattern| match pattern {
                // Postfix once wrote a dot between name and type.
                Pattern::Name(word) if word.contains(['/', '.']) => {
                    word.eq_ignore_ascii_case(&name) || word.eq_ignore_ascii_case(&dotted(&name))
                }
                Pattern::Name(word) => word.eq_ignore_ascii_case(&kind),
                _ => false,
            };
            disabled.items.iter().find(|item| matches(&item.pattern)).is_some_and(|item| item.matches)
        };
        self.config().master.services.iter().filter(|service| !is_disabled(service)).collect()
    }
}

/// `smtp.inet` for `smtp/inet`.
fn dotted(name_space: &str) -> String {
    match name_space.rsplit_once('/') {
        Some((name, kind)) => format!("{name}.{kind}"),
        None => name_space.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Config, HostFacts, MainCf, MasterCf, View};

    #[test]
    fn disabled_services() {
        let master = "smtp inet n - n - - smtpd\n587 inet n - n - - smtpd\nsmtp unix - - n - - smtp\n";
        for (list, expect) in [
            ("", &["smtp/inet", "587/inet", "smtp/unix"][..]),
            ("inet", &["smtp/unix"]),
            ("INET", &["smtp/unix"]),
            ("!smtp/inet, inet", &["smtp/inet", "smtp/unix"]),
            ("inet, !smtp/inet", &["smtp/unix"]),
            ("smtp/inet", &["587/inet", "smtp/unix"]),
            ("smtp.inet unix", &["587/inet"]),
            ("fifo", &["smtp/inet", "587/inet", "smtp/unix"]),
        ] {
            let (main, _) = MainCf::parse("main.cf", format!("master_service_disable = {list}\n").as_bytes());
            let master = MasterCf::parse("master.cf", master.as_bytes());
            let view = View::new(Config { main, master, host: HostFacts::default() });
            let served: Vec<String> = view.served().iter().map(|service| service.name_space()).collect();
            assert_eq!(served, expect, "{list}");
        }
    }
}
