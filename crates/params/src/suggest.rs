//! "Did you mean …": the known name that is nearest to a misspelt one.

/// The nearest of `known`, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 4).clamp(1, 3);
    let near = known.filter(|k| k.len().abs_diff(name.len()) <= limit).map(|k| (distance(name, k), k));
    near.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, k)| k)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let known = ["smtp_sasl_security_options", "smtpd_banner", "relayhost", "mynetworks"];
        for (name, expect) in [
            ("smtp_sasl_security_option", Some("smtp_sasl_security_options")),
            ("smtdp_banner", Some("smtpd_banner")),
            ("relay_host", Some("relayhost")),
            ("mynetwork", Some("mynetworks")),
            ("something_else", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expect, "{name}");
        }
        assert_eq!(distance("", "abc"), 3);
    }
}
