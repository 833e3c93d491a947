//! Files that change, vanish, are damaged or being written while tables are open.

use super::{Place, check, remove};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tables::edit::{Editor, Mode};
use tables::{OpenContext, Owner, SourceFormat, Table};

/// Asks until the answer is right, for a second at most: what cannot be seen at once has to show soon.
fn await_answer(table: &dyn Table, key: &str, expect: &str) {
    let end = Instant::now() + Duration::from_secs(1);
    while super::show(super::get(table, key)) != expect && Instant::now() < end {
        std::thread::yield_now();
    }
    check(table, key, expect);
}

#[test]
fn a_rebuilt_file_is_noticed_at_once() {
    let place = Place::new();
    for kind in ["hash", "btree", "cdb", "lmdb"] {
        let table = place.open(&place.build(kind, "t", "a 0\n"));
        for n in 1..200 {
            place.build(kind, "t", &format!("a {n}\n"));
            check(table.as_ref(), "a", &n.to_string());
        }
    }
}

#[test]
fn a_text_that_is_rewritten_in_its_place() {
    let place = Place::new();
    let table = place.open(&format!("texthash:{}", place.write("t", "a 0\n")));
    for n in 1..10 {
        place.write("t", format!("a {n}\n"));
        await_answer(table.as_ref(), "a", &n.to_string());
    }
}

#[test]
fn a_missing_file_is_an_error_until_it_is_back() {
    let place = Place::new();
    let context = OpenContext { read_source_without_database: false, ..place.context.clone() };
    let spec = place.build("hash", "t", "a 1\n");
    let table = tables::open(&spec, &context).unwrap();
    check(table.as_ref(), "a", "1");
    remove(place.path("t.db"));
    check(table.as_ref(), "a", "!");
    check(table.as_ref(), "a", "!");
    let why = "open database t.db: No such file or directory";
    let unavailable = format!("warning: hash:t is unavailable. {why}");
    assert_eq!(place.take_log(), [format!("error: {why}"), unavailable.clone(), unavailable]);
    place.build("hash", "t", "a 2\n");
    check(table.as_ref(), "a", "2");
}

#[test]
fn the_source_stands_in_for_a_missing_database() {
    let place = Place::new();
    let source = place.write("t", "A one\na two\nb\n");
    let table = place.open(&format!("hash:{source}"));
    check(table.as_ref(), "a", "one");
    let warnings = [
        "warning: t, line 2: duplicate entry: \"a\"",
        "warning: t, line 3: expected format: key whitespace value",
    ];
    assert_eq!(place.take_log(), warnings);
    place.write("t", "a three\n");
    await_answer(table.as_ref(), "a", "three");
    // The database counts as soon as there is one.
    place.build("hash", "t", "a four\n");
    check(table.as_ref(), "a", "four");
    remove(place.path("t.db"));
    check(table.as_ref(), "a", "four");
    remove(place.path("t"));
    check(table.as_ref(), "a", "!");
}

#[test]
fn the_source_of_aliases() {
    let place = Place::new();
    let source = place.write("aliases", "Root: alice , \"bob b\"\nx\n");
    let context = OpenContext { source_format: SourceFormat::Aliases, ..place.context.clone() };
    let table = tables::open(&format!("hash:{source}"), &context).unwrap();
    check(table.as_ref(), "root", "alice, \"bob b\"");
    assert_eq!(place.take_log(), ["warning: aliases, line 2: need name:value pair"]);
}

#[test]
fn a_damaged_file_is_an_error_not_the_old_content() {
    let place = Place::new();
    let table = place.open(&place.build("hash", "t", "a 1\n"));
    check(table.as_ref(), "a", "1");
    let whole = std::fs::read(place.path("t.db")).unwrap();
    for damaged in [&b"garbage"[..], b"", &whole[..4096], &[0; 12288]] {
        place.write("t.db", damaged);
        check(table.as_ref(), "a", "!");
    }
    assert!(place.take_log()[0].starts_with("error: open database t.db: Invalid argument"));
    place.write("t.db", &whole);
    check(table.as_ref(), "a", "1");
}

#[test]
fn a_btree_is_no_hash() {
    let place = Place::new();
    place.build("btree", "t", "a 1\n");
    let error = tables::open(&format!("hash:{}", place.path("t").display()), &place.context).err().unwrap();
    assert!(error.to_string().ends_with("t.db: Invalid argument"));
}

#[test]
fn a_file_under_another_programs_lock() {
    let place = Place::new();
    let table = place.open(&place.build("hash", "t", "a 1\n"));
    check(table.as_ref(), "a", "1");
    let content = std::fs::read(place.path("t.db")).unwrap();
    let writer = File::options().read(true).write(true).open(place.path("t.db")).unwrap();
    writer.lock().unwrap();
    writer.set_len(0).unwrap();
    // Half way through: the old content is as good as any.
    check(table.as_ref(), "a", "1");
    place.build("hash", "other", "a 2\n");
    std::io::Write::write_all(&mut &writer, &std::fs::read(place.path("other.db")).unwrap()).unwrap();
    drop(writer);
    check(table.as_ref(), "a", "2");
    assert_eq!(content.len(), std::fs::read(place.path("t.db")).unwrap().len());
}

#[test]
fn a_database_that_is_older_than_its_source() {
    let place = Place::new();
    let spec = place.build("hash", "t", "a 1\n");
    let set = |name: &str, ago: u64| {
        let time = SystemTime::now() - Duration::from_secs(ago);
        File::options().write(true).open(place.path(name)).unwrap().set_modified(time).unwrap();
    };
    for (database, source, is_told) in [(1000, 500, true), (1000, 50, false), (500, 1000, false)] {
        set("t.db", database);
        set("t", source);
        check(place.open(&spec).as_ref(), "a", "1");
        let told = ["warning: database t.db is older than source file t"];
        assert_eq!(place.take_log(), if is_told { &told[..] } else { &[] });
    }
}

#[test]
fn files_come_from_the_opener() {
    let place = Place::new();
    let source = place.write("secret", "a 1\n");
    let open_file: tables::OpenFile = Arc::new(move |path| {
        assert_eq!(path.to_str(), Some("/nobody/sees/this.db"));
        File::open(format!("{source}.db"))
    });
    place.build("hash", "secret", "a 1\n");
    let context = OpenContext { open_file, ..place.context.clone() };
    let table = tables::open("hash:/nobody/sees/this", &context).unwrap();
    check(table.as_ref(), "a", "1");
}

#[test]
fn owners() {
    let place = Place::new();
    let spec = place.build("hash", "t", "a 1\n");
    let uid = std::fs::metadata(place.path("t.db")).unwrap().uid();
    let expect = if uid == 0 { Owner::Trusted } else { Owner::User(uid) };
    assert_eq!(place.open(&spec).owner(), expect);
    assert_eq!(place.open("static:x").owner(), Owner::Trusted);
}

#[test]
fn editing() {
    let place = Place::new();
    for kind in ["hash", "btree", "lmdb"] {
        let spec = place.build(kind, "t", "a 1\nb 2\n");
        let path = place.path("t").to_str().unwrap().to_owned();
        let table = place.open(&spec);
        let mut editor = Editor::open(kind, &path, Mode::Update, &place.context).unwrap();
        editor.put(b"C", b"3").unwrap();
        assert!(editor.put(b"A", b"4").is_err());
        editor.replace_duplicates();
        editor.put(b"B", b"5").unwrap();
        editor.commit().unwrap();
        let mut editor = Editor::open(kind, &path, Mode::Delete, &place.context).unwrap();
        assert_eq!(editor.delete(b"A"), Ok(true));
        assert_eq!(editor.delete(b"x"), Ok(false));
        editor.commit().unwrap();
        for (key, expect) in [("a", "-"), ("b", "5"), ("c", "3")] {
            check(table.as_ref(), key, expect);
        }
    }
}

/// What cannot be edited, in Postfix 3.7's words.
#[test]
fn edit_errors() {
    let place = Place::new();
    let path = place.write("empty", "");
    place.write("empty.db", "");
    for (kind, path, mode, expect) in [
        ("foo", "x", Mode::Create, "unsupported dictionary type: foo. Is the postfix-foo package installed?"),
        ("foo", "x", Mode::Delete, "unsupported dictionary type: foo"),
        (
            "texthash",
            "x",
            Mode::Create,
            "unsupported dictionary type: texthash does not support bulk-mode creation.",
        ),
        (
            "texthash",
            "x",
            Mode::Update,
            "unsupported dictionary type: texthash does not support bulk-mode creation.",
        ),
        ("texthash", "x", Mode::Delete, "texthash:x map requires O_RDONLY access mode"),
        ("static", "x", Mode::Delete, "table static:x: delete operation is not supported"),
        ("fail", "x", Mode::Create, "table fail:x: write error: Application error"),
        ("proxy", "hash:x", Mode::Create, "can't create maps via the proxy service"),
        (
            "cdb",
            "x",
            Mode::Delete,
            "dict_cdb_open: inappropriate open flags for cdb database - specify O_RDONLY or O_WRONLY|O_CREAT|O_TRUNC",
        ),
        ("hash", "/nowhere/x", Mode::Delete, "open database /nowhere/x.db: No such file or directory"),
        ("hash", &path, Mode::Delete, "open database empty.db: Invalid argument"),
    ] {
        let error = Editor::open(kind, path, mode, &place.context).err().unwrap().to_string();
        let folder = format!("{}/", place.folder.path().display());
        assert_eq!(error.replace(&folder, ""), expect);
    }
    Editor::open("hash", &path, Mode::Create, &place.context).unwrap();
    assert_eq!(place.take_log(), ["warning: removing zero-length database file: empty.db"]);
}
