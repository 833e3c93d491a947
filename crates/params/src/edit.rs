//! Edits of main.cf that leave comments, order and everything else as they are (`postconf -e`, `-#`, `-X`).

use crate::MainCf;
use crate::diagnostic::Diagnostic;
use crate::line::{is_comment_or_blank, is_space};
use crate::octets;
use std::collections::HashMap;

/// What to do with the names given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditMode {
    /// Give them a value (`-e`).
    Set,
    /// Put a `#` before each of their lines (`-#`).
    CommentOut,
    /// Take their lines out (`-X`).
    Remove,
}

/// Gives main.cf's new content. Every place where a name stands is edited; those to be set that stand nowhere
/// are added at the end, in the order of their names.
pub fn edit_main(
    path: &str,
    bytes: &[u8],
    mode: EditMode,
    requests: &[(String, String)],
) -> (Vec<u8>, Vec<Diagnostic>) {
    let mut found: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::with_capacity(bytes.len() + 80);
    let mut warnings = Vec::new();
    let mut editing = false;
    for raw in bytes.split_inclusive(|&b| b == b'\n') {
        let line = octets::to_text(raw);
        if is_comment_or_blank(&line) {
            out.extend_from_slice(raw);
            continue;
        }
        let starts = !line.starts_with(is_space);
        if starts {
            let name = line.split(|c| is_space(c) || c == '=').next().unwrap_or_default();
            let request = requests.iter().find(|(n, _)| n == name);
            editing = request.is_some();
            if let Some((name, value)) = request {
                let count = found.entry(name).or_default();
                *count += 1;
                if *count == 2 {
                    warnings.push(Diagnostic::warning(format!("{path}: multiple entries for \"{name}\"")));
                }
                if mode == EditMode::Set {
                    out.extend_from_slice(&setting(name, value));
                }
            }
        }
        match mode {
            _ if !editing => out.extend_from_slice(raw),
            EditMode::CommentOut => {
                out.push(b'#');
                out.extend_from_slice(raw);
            }
            EditMode::Set | EditMode::Remove => {}
        }
    }
    if mode == EditMode::Set {
        let mut new: Vec<_> =
            requests.iter().filter(|(name, _)| !found.contains_key(name.as_str())).collect();
        new.sort();
        append(&mut out, &new);
    }
    (out, warnings)
}

fn append(out: &mut Vec<u8>, requests: &[&(String, String)]) {
    for (name, value) in requests {
        // Postfix: a last line without its end would run into the new one; that helps nobody.
        if out.last().is_some_and(|&b| b != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(&setting(name, value));
    }
}

fn setting(name: &str, value: &str) -> Vec<u8> {
    octets::to_octets(&format!("{name} = {value}\n")).into_owned()
}

/// For the fuzz target: any file is read; what is set in it is read back, and nothing else is changed.
pub fn fuzz_main_cf(data: &[u8]) {
    let (before, mistakes) = MainCf::parse("main.cf", data);
    mistakes.iter().for_each(|m| assert!(m.place.is_some(), "{m}"));
    let request = [("relayhost".to_string(), "[a.example]:25".to_string())];
    let (bytes, _) = edit_main("main.cf", data, EditMode::Set, &request);
    let (after, _) = MainCf::parse("main.cf", &bytes);
    assert_eq!(after.get("relayhost"), Some("[a.example]:25"));
    for entry in before.entries().filter(|e| e.name != "relayhost") {
        assert_eq!(after.get(&entry.name), Some(entry.value.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# top\na = 1\n# in a\n  2\nb=3\n\na =\n 4\n#a = 5\n c = 6\n";

    fn check(mode: EditMode, requests: &[(&str, &str)]) -> (String, Vec<String>) {
        let requests: Vec<_> = requests.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let (bytes, warnings) = edit_main("m", FILE.as_bytes(), mode, &requests);
        (String::from_utf8(bytes).unwrap(), warnings.iter().map(|w| w.to_string()).collect())
    }

    #[test]
    fn sets() {
        let (text, warnings) = check(EditMode::Set, &[("e", "z"), ("a", "x"), ("d", "y")]);
        assert_eq!(text, "# top\na = x\n# in a\nb=3\n\na = x\n#a = 5\nd = y\ne = z\n");
        assert_eq!(warnings, ["warning: m: multiple entries for \"a\""]);
    }

    #[test]
    fn comments_out() {
        let (text, _) = check(EditMode::CommentOut, &[("b", "")]);
        assert_eq!(text, FILE.replace("b=3", "#b=3"));
        let (text, _) = check(EditMode::CommentOut, &[("a", "")]);
        assert_eq!(text, "# top\n#a = 1\n# in a\n#  2\nb=3\n\n#a =\n# 4\n#a = 5\n# c = 6\n");
    }

    #[test]
    fn removes() {
        assert_eq!(check(EditMode::Remove, &[("a", "")]).0, "# top\n# in a\nb=3\n\n#a = 5\n");
        assert_eq!(check(EditMode::Remove, &[("nothing", "")]).0, FILE);
    }

    proptest::proptest! {
        #[test]
        fn any_file(file in "([ab#]? ?=? ?[x ]{0,4}\n?|relayhost ?=?\n){0,8}", bytes: Vec<u8>) {
            fuzz_main_cf(file.as_bytes());
            fuzz_main_cf(&bytes);
        }
    }
}
