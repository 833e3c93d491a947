//! Domains: each belongs to one class of mydestination, virtual_alias_domains, virtual_mailbox_domains and relay_domains.

use super::text;
use crate::diagnostic::Diagnostic;
use crate::list::{MatchList, Pattern};
use crate::view::View;

/// The classes, those first that win. Postfix: mydestination and relay_domains may overlap.
const CLASSES: [&str; 3] = ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains"];

/// A domain that is named in two classes. Postfix says so when mail for it comes.
pub(super) fn advice(view: &View) -> Vec<Diagnostic> {
    let classes: Vec<(&str, Vec<String>)> = CLASSES.iter().map(|name| (*name, domains(view, name))).collect();
    let mut said = Vec::new();
    for (index, (winner, first)) in classes.iter().enumerate() {
        for (loser, second) in &classes[index + 1..] {
            let both = first.iter().filter(|domain| second.contains(domain));
            said.extend(both.map(|domain| in_both(view, domain, winner, loser)));
        }
    }
    said
}

/// The names that a list has. What tables have is not known here.
fn domains(view: &View, parameter: &str) -> Vec<String> {
    let list = MatchList::parse(&text(view, parameter)).unwrap_or_default();
    let names = list.items.into_iter().filter(|item| item.matches).filter_map(|item| match item.pattern {
        Pattern::Name(name) => Some(name),
        _ => None,
    });
    names.collect()
}

fn in_both(view: &View, domain: &str, winner: &str, loser: &str) -> Diagnostic {
    Diagnostic::advice(format!("do not list domain {domain} in BOTH {winner} and {loser}"))
        .at(view.place(loser).or_else(|| view.place(winner)))
        .effect(format!("{winner} wins: users of {domain} are looked up there, and nowhere else"))
        .mend(format!("take {domain} out of {winner}"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::view;
    use super::*;

    #[test]
    fn domains_in_two_classes() {
        for (main, expect) in [
            ("", None),
            ("virtual_alias_domains = b.example", None),
            ("mydestination = $myhostname, b.example\nrelay_domains = b.example", None),
            (
                "mydestination = $myhostname, B.example\nvirtual_alias_domains = a.b.example b.example",
                Some("do not list domain b.example in BOTH mydestination and virtual_alias_domains"),
            ),
            (
                "virtual_mailbox_domains = $mydomain, $myhostname",
                Some("do not list domain a.example in BOTH mydestination and virtual_mailbox_domains"),
            ),
        ] {
            let said: Vec<String> = advice(&view(main, "")).into_iter().map(|d| d.message).collect();
            assert_eq!(said, Vec::from_iter(expect), "{main}");
        }
    }
}
