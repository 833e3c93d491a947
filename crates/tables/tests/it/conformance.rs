//! One suite of rows over every type that can hold them, and rows for the types that cannot.

use super::{Place, check, get, show};
use tables::{OpenContext, OpenError, Terminators, known_types};

const TEXT: &str = "\
# comment
joe@example.com alice
joe             bob, carol
\"a b\"@example.com  spaces
MiXed@Example.Com  folded
jos\u{e9}@example.com  accent
.example.com    dot
@example.com    everybody
x               a value
   on two lines
";

/// Keys and what they give, whatever the table is.
const ROWS: [(&str, &str); 11] = [
    ("joe@example.com", "alice"),
    ("JOE@EXAMPLE.COM", "alice"),
    ("joe", "bob, carol"),
    ("\"a b\"@example.com", "spaces"),
    ("mixed@example.com", "folded"),
    ("JOS\u{c9}@example.com", "accent"),
    (".example.com", "dot"),
    ("@example.com", "everybody"),
    ("x", "a value   on two lines"),
    ("nobody", "-"),
    ("joe@example.co", "-"),
];

#[test]
fn every_table_that_holds_pairs() {
    let place = Place::new();
    let inline = "inline:{joe@example.com=alice, {joe = bob, carol}, {\"a b\"@example.com = spaces}, \
                  MiXed@Example.Com=folded, jos\u{e9}@example.com=accent .example.com=dot, @example.com=everybody, \
                  {x=a value   on two lines}}";
    let mut specs = vec![format!("texthash:{}", place.write("text", TEXT)), inline.to_owned()];
    for kind in ["hash", "btree"] {
        specs.push(place.build(kind, kind, TEXT));
    }
    for spec in specs {
        let table = place.open(&spec);
        assert_eq!(table.name(), spec);
        assert!(!table.is_pattern());
        for (key, expect) in ROWS {
            check(table.as_ref(), key, expect);
        }
        let mut count = 0;
        table.visit(&mut |key, value| {
            count += 1;
            assert!(!key.is_empty() && !value.is_empty());
        });
        assert_eq!(count, 8, "{spec}");
    }
    assert_eq!(place.take_log(), [] as [&str; 0]);
}

#[test]
fn constants() {
    let place = Place::new();
    for (spec, key, expect) in [
        ("static:yes", "anything", "yes"),
        ("static:{ a b }", "", "a b"),
        ("static:{}", "x", ""),
        ("fail:whatever", "x", "!"),
    ] {
        check(place.open(spec).as_ref(), key, expect);
    }
    assert!(place.open("fail:x").is_pattern());
    assert!(place.open("static:x").visit(&mut |_, _| {}).is_none());
}

/// What cannot be opened, in Postfix 3.7's words.
#[test]
fn open_errors() {
    let place = Place::new();
    for (spec, expect) in [
        ("nocolon", "open dictionary: expecting \"type:name\" form instead of \"nocolon\""),
        (":x", "open dictionary: expecting \"type:name\" form instead of \":x\""),
        ("hash:", "open dictionary: expecting \"type:name\" form instead of \"hash:\""),
        ("dbm:x", "unsupported dictionary type: dbm"),
        ("hash:/nowhere/x", "open database /nowhere/x.db: No such file or directory"),
        ("btree:/nowhere/x", "open database /nowhere/x.db: No such file or directory"),
        ("texthash:/nowhere/x", "open database /nowhere/x: No such file or directory"),
        ("static:{b", "bad static:name syntax: missing '}' in \"{b\""),
        ("inline:x", "bad syntax: \"inline:x\"; need \"inline:{name=value...}\""),
        ("inline:{}", "bad syntax: \"inline:{}\"; need \"inline:{name=value...}\""),
        ("inline:{a=b", "bad syntax: \"inline:{a=b\"; need \"inline:{name=value...}\""),
        ("inline:{, }", "empty table: \"inline:{, }\"; need \"inline:{name=value...}\""),
        ("inline:{a}", "missing '=' after attribute name: \"inline:{a}\"; need \"inline:{name=value...}\""),
    ] {
        let error = tables::open(spec, &place.context).err().map(|error: OpenError| error.to_string());
        assert_eq!(error.as_deref(), Some(expect), "{spec}");
        // For a server none of these is the end.
        let table = tables::open_or_defer(spec, &place.context);
        check(table.as_ref(), "x", "!");
        let log = [format!("error: {expect}"), format!("warning: {spec} is unavailable. {expect}")];
        assert_eq!(place.take_log(), log);
    }
}

#[test]
fn types_are_sorted() {
    assert!(known_types().is_sorted());
    for kind in known_types() {
        let place = Place::new();
        let error = tables::open(&format!("{kind}:/nowhere"), &place.context).err();
        assert!(!matches!(error, Some(OpenError::UnsupportedType(_))), "{kind}");
    }
}

#[test]
fn without_folding() {
    let place = Place::new();
    let context = OpenContext { fold_keys: false, smtputf8_enable: false, ..place.context.clone() };
    let table = tables::open("inline:{A=upper a=lower}", &context).unwrap();
    check(table.as_ref(), "A", "upper");
    check(table.as_ref(), "a", "lower");
}

#[test]
fn what_is_no_utf8() {
    let place = Place::new();
    let path = place.write("text", b"a \xff\nb c\n");
    let table = place.open(&format!("texthash:{path}"));
    let line = "warning: text, line 1: non-UTF-8 input \"a \u{fffd}\" -- ignoring this line";
    assert_eq!(place.take_log(), [line]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(table.get(b"\xff")), Ok(None));
    let name = format!("texthash:{path}").replace(place.folder.path().to_str().unwrap(), "");
    let line = format!("warning: {name}: non-UTF-8 key \"\u{fffd}\": malformed UTF-8 or invalid codepoint");
    assert_eq!(place.take_log(), [line.replace(":/", ":")]);
    let context = OpenContext { smtputf8_enable: false, ..place.context.clone() };
    let table = tables::open(&format!("texthash:{path}"), &context).unwrap();
    assert_eq!(runtime.block_on(table.get(b"a")), Ok(Some(b"\xff"[..].into())));
}

#[test]
fn with_and_without_nul() {
    let place = Place::new();
    let without = OpenContext { terminators: Terminators::Without, ..place.context.clone() };
    let with = OpenContext { terminators: Terminators::With, ..place.context.clone() };
    let path = place.write("t", "");
    for (writer, reader, expect) in [
        (&with, &place.context, "value"),
        (&without, &place.context, "value"),
        (&with, &without, "-"),
        (&without, &with, "-"),
    ] {
        let mut editor =
            tables::edit::Editor::open("hash", &path, tables::edit::Mode::Create, writer).unwrap();
        editor.put(b"key", b"value").unwrap();
        editor.commit().unwrap();
        let table = tables::open(&format!("hash:{path}"), reader).unwrap();
        check(table.as_ref(), "key", expect);
    }
}

#[test]
fn duplicates() {
    use tables::Duplicates::{Ignore, Refuse, Replace, Warn};
    let place = Place::new();
    let path = place.write("t", "A one\na two\n");
    for (duplicates, expect, log) in [
        (Warn, "one", &["warning: t, line 2: duplicate entry: \"a\""][..]),
        (Ignore, "one", &[]),
        (Replace, "two", &[]),
    ] {
        let context = OpenContext { duplicates, ..place.context.clone() };
        let table = tables::open(&format!("texthash:{path}"), &context).unwrap();
        assert_eq!(show(get(table.as_ref(), "a")), expect);
        assert_eq!(place.take_log(), log);
    }
    let context = OpenContext { duplicates: Refuse, ..place.context.clone() };
    let error = tables::open(&format!("texthash:{path}"), &context).err().unwrap();
    assert_eq!(error.to_string(), format!("{path}, line 2: duplicate entry: \"a\""));
}

#[test]
fn values_that_are_files() {
    let place = Place::new();
    let (one, two) = (place.write("one", "1\n"), place.write("two", "2\n"));
    let context = OpenContext { values_are_files: true, ..place.context.clone() };
    let source = place.write("t", format!("a {one}\nb {one}, {two}\nc {one}.no\n"));
    for spec in [format!("texthash:{source}"), format!("inline:{{a={one} {{b = {one} {two}}}}}")] {
        let table = tables::open(&spec, &context).unwrap();
        check(table.as_ref(), "a", "1\n");
        check(table.as_ref(), "b", "1\n\n2\n");
        check(table.as_ref(), "c", "-");
    }
    let line = "warning: t, line 3: open one.no: No such file or directory: skipping this entry";
    assert_eq!(place.take_log(), [line]);
    let table = tables::open("static:/nowhere", &context);
    assert_eq!(table.err().unwrap().to_string(), "open /nowhere: No such file or directory");
    // A database that was not built of files.
    let spec = place.build("hash", "h", "a b~\n");
    let table = tables::open(&spec, &context).unwrap();
    check(table.as_ref(), "a", "!");
    assert_eq!(place.take_log(), ["warning: table hash:h: key a: malformed BASE64 value: b~"]);
}
