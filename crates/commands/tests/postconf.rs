//! postconf beside what Debian's did with the same files and arguments.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const RECORDED: &str = include_str!("data/postconf.txt");

struct Case<'a> {
    title: &'a str,
    args: Vec<&'a str>,
    parts: BTreeMap<&'a str, String>,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    // What is cut at takes the line ends with it.
    let recorded = RECORDED.strip_suffix('\n').unwrap_or(RECORDED);
    recorded.split("\n=== ").skip(1).map(|block| {
        let mut pieces = block.split("\n--- ");
        let mut head = pieces.next().unwrap_or_default().lines();
        let title = head.next().unwrap_or_default();
        let args = head.filter_map(|l| l.strip_prefix("$ ")).collect();
        let part = |piece: &'static str| match piece.split_once('\n') {
            Some((name, text)) => (name, format!("{text}\n")),
            None => (piece, String::new()),
        };
        Case { title, args, parts: pieces.map(part).collect() }
    })
}

/// What the case leads to with ours, in the form in which it is recorded.
fn run(case: &Case<'_>) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("readable");
    for name in ["main.cf", "master.cf"] {
        std::fs::write(folder.path().join(name), &case.parts[name]).expect("writable");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxipost"));
    let output = command.args(["postconf", "-c", path]).args(&case.args).output().expect("runs");
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(path, "DIR");
    let mut result = BTreeMap::from([
        ("status".to_string(), format!("{}\n", output.status.code().unwrap_or(-1))),
        ("stdout".to_string(), show(&output.stdout)),
        ("stderr".to_string(), show(&output.stderr)),
    ]);
    for name in ["main.cf", "master.cf"] {
        if read(name) != case.parts[name] {
            result.insert(format!("{name} after"), read(name));
        }
    }
    assert!(!Path::new(&format!("{path}/main.cf.tmp")).exists(), "{}: a file is left behind", case.title);
    result.retain(|_, text| !text.is_empty());
    result
}

#[test]
fn as_debian_does() {
    let mut differing = Vec::new();
    for case in cases() {
        let recorded = case.parts.iter().filter(|(name, _)| !matches!(**name, "main.cf" | "master.cf"));
        let expect: BTreeMap<String, String> =
            recorded.map(|(name, text)| (name.to_string(), text.clone())).collect();
        let ours = run(&case);
        if ours != expect {
            differing.push(format!("{}\nours: {ours:#?}\nDebian's: {expect:#?}", case.title));
        }
    }
    assert!(differing.is_empty(), "{} differ\n{}", differing.len(), differing.join("\n"));
}
