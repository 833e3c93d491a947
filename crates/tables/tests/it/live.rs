//! Side by side with Debian's postmap, where that is installed: it reads our files and we read its.

use super::{Place, check};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

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

const KINDS: [(&str, &str); 3] = [("hash", ""), ("cdb", "postfix-cdb"), ("lmdb", "postfix-lmdb")];

#[test]
fn it_reads_ours_and_we_read_its() {
    let place = Place::new();
    let text: String = (0..500).map(|n| format!("key{n} value {n}\n")).collect();
    for (kind, package) in KINDS {
        let ours = place.build(kind, "ours", &text);
        for key in ["key0", "key250", "KEY499"] {
            let Some(answer) = postmap(&place, &["-q", key, &ours]) else { return };
            if answer.contains("unsupported dictionary type") {
                eprintln!("left out: {package} is not installed");
                break;
            }
            assert_eq!(answer, format!("value {}\n", &key[3..]), "{kind}");
        }
        let path = place.write("theirs", &text);
        let theirs = format!("{kind}:{path}");
        if postmap(&place, &[&theirs]).is_some_and(|answer| answer.is_empty()) {
            let table = place.open(&theirs);
            for key in ["key0", "key250", "KEY499"] {
                check(table.as_ref(), key, &format!("value {}", &key[3..]));
            }
        }
    }
}
