//! Holds the parameters that are said to work against the code: each one's name must stand in what acts on it.

use params::registry::{self, Spec, transport};
use params::support::{self, Support};
use std::collections::HashSet;
use std::path::Path;

/// Files that name parameters without acting on them.
const DECLARATIONS: [&str; 5] = ["registry/", "support.rs", "compat.rs", "names.rs", "tests"];

/// No identifier can spell the first, and the second is shown and no more.
const BY_ANOTHER_NAME: [&str; 3] =
    ["2bounce_notice_recipient", "default_delivery_status_filter", "mail_release_date"];

/// Says how many parameters were looked for, or lists those that nothing reads.
pub(crate) fn check() -> Result<String, String> {
    let mut words = HashSet::new();
    collect(Path::new("crates"), &mut words).map_err(|e| format!("crates: {e}"))?;
    let works = |name: &str| matches!(support::of(name), Support::Full | Support::Partial(_));
    let mut names: Vec<&str> = registry::all().map(|spec| spec.name).filter(|name| works(name)).collect();
    let of_transports = transport::SPECS.iter().map(|spec: &&Spec| spec.name);
    names.extend(of_transports.filter(|name| works(&format!("_{name}"))));
    let unread: Vec<&str> = names.iter().copied().filter(|name| !is_read(name, &words)).collect();
    if unread.is_empty() {
        Ok(format!("support: {} parameters are read by the code", names.len()))
    } else {
        Err(format!("said to work, and nothing reads them: {}", unread.join(" ")))
    }
}

/// LMTP's parameters are read by the names of their SMTP twins, and those of one transport, or of all, by their suffix.
fn is_read(name: &str, words: &HashSet<String>) -> bool {
    let twin = name.replace("lmtp_", "smtp_");
    let names = [name, &twin, &twin.replace("lhlo", "ehlo"), &twin.replace("lhlo", "helo")];
    let suffix = ["default_", "local_"].iter().find_map(|start| name.strip_prefix(start));
    names.iter().any(|name| words.contains(*name))
        || suffix.is_some_and(|suffix| transport::SPECS.iter().any(|spec| spec.name == suffix))
        || BY_ANOTHER_NAME.contains(&name)
}

/// The words of all code below a folder, without comments and tests.
fn collect(folder: &Path, words: &mut HashSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let shown = format!("{}{}", path.display(), if path.is_dir() { "/" } else { "" });
        if DECLARATIONS.iter().any(|name| shown.contains(name)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, words)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            add_words(&std::fs::read_to_string(&path)?, words);
        }
    }
    Ok(())
}

fn add_words(text: &str, words: &mut HashSet<String>) {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let all = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.extend(all.map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_code() {
        let mut words = HashSet::new();
        add_words("let x = view.get(p::relay_host); // not my_host\n#[cfg(test)]\nno_test", &mut words);
        assert!(words.contains("relay_host") && !words.contains("my_host") && !words.contains("no_test"));
    }

    #[test]
    fn twins() {
        let words = HashSet::from(["smtp_helo_name".to_owned()]);
        assert!(is_read("lmtp_lhlo_name", &words) && is_read("smtp_helo_name", &words));
        assert!(!is_read("smtp_bind_address", &words));
    }
}
