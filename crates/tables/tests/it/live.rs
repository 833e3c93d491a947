//! Side by side with Debian's postmap, where that is installed: it reads our files and we read its.

use super::{Place, check};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tables::edit::{Editor, Mode};

/// Postfix's own postmap, told apart from one of ours by the library it comes with.
fn postmap(place: &Place, arguments: &[&str]) -> Option<String> {
    if !Path::new("/usr/lib/postfix/libpostfix-util.so").exists() {
        eprintln!("left out: Postfix's postmap is not installed");
        return None;
    }
    place.write("dynamicmaps.cf", DYNAMIC_MAPS);
    let path = place.write("main.cf", "compatibility_level = 3.6\n");
    // Postfix waits while its main.cf is very young.
    let time = SystemTime::now() - Duration::from_secs(60);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    let output = Command::new("/usr/sbin/postmap")
        .args(["-c", place.folder.path().to_str().unwrap()])
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    Some(String::from_utf8(text).unwrap())
}

const DYNAMIC_MAPS: &str = "\
cdb\tpostfix-cdb.so\tdict_cdb_open\tmkmap_cdb_open
lmdb\tpostfix-lmdb.so\tdict_lmdb_open\tmkmap_lmdb_open
";

/// And the packages of those that are not built in.
const KINDS: [(&str, &str); 4] =
    [("hash", ""), ("btree", ""), ("cdb", "postfix-cdb"), ("lmdb", "postfix-lmdb")];

/// Enough for split pages and several levels, with values that do not fit a page, keys that are others' beginnings, and
/// doubles.
fn text() -> String {
    let mut text: String = (0..5000).map(|n| format!("key{n} value {n}\n")).collect();
    for length in [900, 1100, 3000, 5000, 70_000] {
        text.push_str(&format!("long{length} {}\n", "v".repeat(length)));
    }
    text
}

#[test]
fn it_reads_ours_and_we_read_its() {
    let place = Place::new();
    let text = text();
    let keys: Vec<String> = text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    for (kind, package) in KINDS {
        let ours = place.build(kind, "ours", &text);
        let Some(answer) = postmap(&place, &["-q", "KEY499", &ours]) else { return };
        if answer.contains("unsupported dictionary type") {
            eprintln!("left out: {package} is not installed");
            continue;
        }
        assert_eq!(answer, "value 499\n", "{kind}");
        assert_eq!(ask_all(&place, &keys, &ours), text, "{kind}");
        let theirs = format!("{kind}:{}", place.write("theirs", &text));
        assert_eq!(postmap(&place, &[&theirs]).as_deref(), Some(""), "{kind}");
        let table = place.open(&theirs);
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap();
            check(table.as_ref(), key, value);
        }
        if kind != "cdb" {
            change_the_others(&place, kind, &theirs);
        }
    }
}

/// What its postmap answers for all keys at once, as the lines of a source.
fn ask_all(place: &Place, keys: &[String], spec: &str) -> String {
    let path = place.write("keys", keys.join("\n"));
    let output = Command::new("/usr/sbin/postmap")
        .args(["-c", place.folder.path().to_str().unwrap(), "-q", "-", spec])
        .stdin(File::open(path).unwrap())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().replace('\t', " ")
}

/// We remove from its file and add to it, and it still reads it; then the other way round.
fn change_the_others(place: &Place, kind: &str, spec: &str) {
    let path = spec.split_once(':').unwrap().1;
    let mut editor = Editor::open(kind, path, Mode::Update, &place.context).unwrap();
    for key in (0..5000).step_by(2).map(|n| format!("key{n}")).chain(["long70000".to_owned()]) {
        assert_eq!(editor.delete(key.as_bytes()), Ok(true), "{kind} {key}");
    }
    editor.put(b"new", b"x".repeat(20_000).as_slice()).unwrap();
    editor.commit().unwrap();
    for (key, expect) in
        [("key2", ""), ("key3", "value 3\n"), ("long70000", ""), ("long1100", &*("v".repeat(1100) + "\n"))]
    {
        assert_eq!(postmap(place, &["-q", key, spec]).as_deref(), Some(expect), "{kind} {key}");
    }
    for key in ["key3", "new"] {
        assert_eq!(postmap(place, &["-d", key, spec]).as_deref(), Some(""), "{kind} {key}");
    }
    let table = place.open(spec);
    for (key, expect) in [("key3", "-"), ("new", "-"), ("key5", "value 5"), ("key4", "-")] {
        check(table.as_ref(), key, expect);
    }
}
