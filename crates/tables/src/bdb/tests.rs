//! Files of our own, files that Debian's postmap made, damaged files.

use super::*;
use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::path::Path;

fn open_bytes(bytes: &[u8], memory_limit_bytes: u64) -> Result<Database, DbError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Database::open(file, memory_limit_bytes)
}

fn build_hash(pairs: &[Pair]) -> Vec<u8> {
    let mut editor = HashEditor::new([7; 20]);
    for (key, value) in pairs {
        editor.insert(key, value).unwrap();
    }
    let mut out = Vec::new();
    editor.write(&mut out).unwrap();
    out
}

fn build_btree(pairs: &[Pair]) -> Vec<u8> {
    let mut editor = BtreeEditor::new([7; 20]);
    for (key, value) in pairs {
        editor.insert(key, value);
    }
    let mut out = Vec::new();
    editor.write(&mut out).unwrap();
    out
}

/// Pairs with a little of everything: empty values, items at every limit, items of several pages.
fn sample(count: usize) -> Vec<Pair> {
    let length = |n: usize| match n % 50 {
        7 => 1000 + n % 60,
        13 => 5000 + 97 * (n % 40),
        n => n % 23,
    };
    (0..count)
        .map(|n| {
            let mut key = format!("user{}@{}.example.com", n * 7919 % count, n % 17).into_bytes();
            if n % 97 == 5 {
                key.resize(1000 + n % 2000, b'k');
            }
            key.push(0);
            let mut value = vec![b'a' + (n % 26) as u8; length(n)];
            value.push(0);
            (key, value)
        })
        .collect()
}

fn check_content(database: &Database, pairs: &[Pair]) {
    let mut expect = BTreeMap::new();
    for (key, value) in pairs {
        expect.entry(key.clone()).or_insert_with(|| value.clone());
    }
    for (key, value) in &expect {
        assert_eq!(database.find(key).unwrap().as_ref(), Some(value), "{}", String::from_utf8_lossy(key));
        assert_eq!(database.find(&[key, &b"?"[..]].concat()).unwrap(), None);
    }
    assert_eq!(database.find(b"").unwrap(), None);
    let listed: BTreeMap<_, _> = database.pairs().map(Result::unwrap).collect();
    assert_eq!(listed, expect);
}

#[test]
fn what_is_written_is_read() {
    for count in [0, 1, 2, 50, 3000] {
        let pairs = sample(count);
        for bytes in [build_hash(&pairs), build_btree(&pairs)] {
            for memory_limit_bytes in [0, u64::MAX] {
                check_content(&open_bytes(&bytes, memory_limit_bytes).unwrap(), &pairs);
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    /// Any sequence of changes leaves what a map would hold, also after a stop in between.
    #[test]
    fn edits(steps in proptest::collection::vec((0u8..4, 0u16..300, 0usize..3000), 1..400)) {
        let mut hash = HashEditor::new([1; 20]);
        let mut btree = BtreeEditor::new([1; 20]);
        let mut expect = BTreeMap::new();
        for (n, (action, key, length)) in steps.iter().enumerate() {
            let mut key = key.to_be_bytes().to_vec();
            if key[1] % 32 == 0 {
                key.resize(1500, b'x');
            }
            let value = vec![n as u8; *length];
            match action {
                0 => {
                    let is_new = !expect.contains_key(&key);
                    proptest::prop_assert_eq!(hash.insert(&key, &value).unwrap(), is_new);
                    proptest::prop_assert_eq!(btree.insert(&key, &value), is_new);
                    expect.entry(key).or_insert(value);
                }
                1 => {
                    hash.replace(&key, &value).unwrap();
                    btree.replace(&key, &value);
                    expect.insert(key, value);
                }
                2 => {
                    let was_there = expect.remove(&key).is_some();
                    proptest::prop_assert_eq!(hash.delete(&key).unwrap(), was_there);
                    proptest::prop_assert_eq!(btree.delete(&key), was_there);
                }
                _ => {
                    let mut out = Vec::new();
                    hash.write(&mut out).unwrap();
                    hash = HashEditor::from_database(open_bytes(&out, u64::MAX).unwrap(), [2; 20]).unwrap();
                }
            }
        }
        let (mut of_hash, mut of_btree) = (Vec::new(), Vec::new());
        hash.write(&mut of_hash).unwrap();
        btree.write(&mut of_btree).unwrap();
        verify_with_the_library(&of_hash);
        verify_with_the_library(&of_btree);
        let pairs: Vec<Pair> = expect.into_iter().collect();
        check_content(&open_bytes(&of_hash, u64::MAX).unwrap(), &pairs);
        check_content(&open_bytes(&of_btree, u64::MAX).unwrap(), &pairs);
    }

    /// A damaged file is an error or a wrong answer, never a panic or a loop.
    #[test]
    fn damage(
        is_hash: bool, count in 1usize..400, flips in proptest::collection::vec((0usize..400_000, 0u8..=255), 0..12),
        head_flips in proptest::collection::vec((0usize..4200, 0u8..=255), 0..3), cut in 0usize..400_000,
    ) {
        let pairs = sample(count);
        let mut bytes = if is_hash { build_hash(&pairs) } else { build_btree(&pairs) };
        for (at, octet) in flips.into_iter().chain(head_flips) {
            let at = at % bytes.len();
            bytes[at] = octet;
        }
        if cut % 3 == 0 {
            bytes.truncate(cut % bytes.len());
        }
        fuzz(&bytes);
    }
}

/// Damage where it hurts most: every octet of the metadata page and of each page's header.
#[test]
fn damaged_headers() {
    for bytes in [build_hash(&sample(120)), build_btree(&sample(120))] {
        for page in (0..bytes.len() / 4096).step_by(3) {
            for at in 0..if page == 0 { 232 } else { 40 } {
                for octet in [0, 1, 3, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[page * 4096 + at] = octet;
                    fuzz(&bytes);
                }
            }
        }
    }
}

fn fuzz(bytes: &[u8]) {
    crate::fuzz_database(bytes);
}

/// db5.3_verify, where it is installed.
fn verify_with_the_library(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    std::fs::write(&path, bytes).unwrap();
    if let Ok(output) = std::process::Command::new("db5.3_verify").arg(&path).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_library_accepts_ours() {
    if !Path::new("/usr/bin/db5.3_verify").exists() {
        eprintln!("left out: db5.3_verify (package db5.3-util) is not installed");
        return;
    }
    for count in [0, 1, 2, 50, 3000, 20_000] {
        verify_with_the_library(&build_hash(&sample(count)));
        verify_with_the_library(&build_btree(&sample(count)));
    }
}

/// Debian's postmap, told apart from one of ours by the library it comes with.
fn reference_postmap() -> Option<&'static str> {
    let found =
        Path::new("/usr/lib/postfix/libpostfix-util.so").exists() && Path::new("/usr/sbin/postmap").exists();
    if !found {
        eprintln!("left out: Postfix's postmap is not installed");
    }
    found.then_some("/usr/sbin/postmap")
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    output.stdout
}

/// As `postmap -s` prints it.
fn listing(database: &Database) -> Vec<u8> {
    let line = |(key, value): Pair| [&key[..key.len() - 1], b"\t", &value[..value.len() - 1], b"\n"].concat();
    database.pairs().flat_map(|pair| line(pair.unwrap())).collect()
}

#[test]
fn both_ways_with_postfix() {
    let Some(postmap) = reference_postmap() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table");
    let main_cf = folder.path().join("main.cf");
    std::fs::write(&main_cf, "compatibility_level = 3.6\n").unwrap();
    // Postfix waits while its main.cf is very young.
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    File::options().write(true).open(main_cf).unwrap().set_modified(time).unwrap();
    let configuration = folder.path().to_str().unwrap();
    for count in [1, 50, 3000, 20_000] {
        let mut pairs = sample(count);
        pairs.retain(|(_, value)| value.len() > 1);
        let text: Vec<u8> = pairs
            .iter()
            .flat_map(|(key, value)| [&key[..key.len() - 1], b" ", &value[..value.len() - 1], b"\n"].concat())
            .collect();
        std::fs::write(&path, text).unwrap();
        for (kind, ours) in [("hash", build_hash(&pairs)), ("btree", build_btree(&pairs))] {
            let spec = format!("{kind}:{}", path.display());
            run(postmap, &["-c", configuration, "-w", &spec]);
            let theirs = std::fs::read(path.with_extension("db")).unwrap();
            let listed = run(postmap, &["-c", configuration, "-s", &spec]);
            check_content(&open_bytes(&theirs, u64::MAX).unwrap(), &pairs);
            assert!(listing(&open_bytes(&theirs, u64::MAX).unwrap()) == listed, "{kind} of theirs, {count}");
            assert!(listing(&open_bytes(&ours, u64::MAX).unwrap()) == listed, "{kind} of ours, {count}");
            std::fs::write(path.with_extension("db"), &ours).unwrap();
            assert!(
                run(postmap, &["-c", configuration, "-s", &spec]) == listed,
                "{kind} of ours as Postfix reads it, {count}"
            );
        }
    }
}

/// Files that Debian's postmap made of testdata/bdb/pairs: as ever, without NULs (-n), and (with db5.3_load) in the
/// other octet order.
#[test]
fn fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/bdb");
    let text = std::fs::read_to_string(folder.join("pairs")).unwrap();
    for (name, method, end) in [
        ("hash.db", Method::Hash, "\0"),
        ("btree.db", Method::Btree, "\0"),
        ("hash-n.db", Method::Hash, ""),
        ("btree-n.db", Method::Btree, ""),
        ("hash-swapped.db", Method::Hash, "\0"),
        ("btree-swapped.db", Method::Btree, "\0"),
        ("hash-512.db", Method::Hash, "\0"),
    ] {
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap();
            (format!("{key}{end}").into_bytes(), format!("{value}{end}").into_bytes())
        };
        let pairs: Vec<Pair> = text.lines().map(pair).collect();
        let database = Database::open(File::open(folder.join(name)).unwrap(), u64::MAX).unwrap();
        assert_eq!(database.method(), method);
        check_content(&database, &pairs);
        let mut rewritten = Vec::new();
        HashEditor::from_database(database, [3; 20]).unwrap().write(&mut rewritten).unwrap();
        verify_with_the_library(&rewritten);
        check_content(&open_bytes(&rewritten, u64::MAX).unwrap(), &pairs);
    }
}
