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

/// A table with these rows.
struct Holder {
    spec: String,
    /// How many pairs it lists; None: it cannot.
    listed: Option<usize>,
    is_pattern: bool,
}

impl Holder {
    fn of_keys(spec: String, listed: Option<usize>) -> Holder {
        Holder { spec, listed, is_pattern: false }
    }

    /// Patterns fold no letters outside ASCII.
    fn holds(&self, key: &str) -> bool {
        !self.is_pattern || key.is_ascii()
    }
}

fn holders(place: &Place) -> Vec<Holder> {
    let inline = "inline:{joe@example.com=alice, {joe = bob, carol}, {\"a b\"@example.com = spaces}, \
                  MiXed@Example.Com=folded, jos\u{e9}@example.com=accent .example.com=dot, @example.com=everybody, \
                  {x=a value   on two lines}}";
    let mut holders = vec![
        Holder::of_keys(inline.to_owned(), Some(8)),
        Holder::of_keys(format!("sqlite:{}", sqlite(place)), None),
    ];
    for kind in ["hash", "btree", "lmdb"] {
        holders.push(Holder::of_keys(place.build(kind, kind, TEXT), Some(8)));
    }
    holders.push(Holder::of_keys(place.build("cdb", "cdb", TEXT), None));
    let text = format!("texthash:{}", place.write("text", TEXT));
    holders.push(Holder::of_keys(format!("proxy:{text}"), Some(8)));
    holders.push(Holder::of_keys(format!("unionmap:{{{text}}}"), None));
    holders.push(Holder::of_keys(format!("pipemap:{{{text}, regexp:{{{{/(.*)/ $1}}}}}}"), None));
    holders.push(Holder::of_keys(text, Some(8)));
    for kind in ["regexp", "pcre"] {
        let spec = format!("{kind}:{}", place.write(kind, patterns()));
        holders.push(Holder { spec, listed: None, is_pattern: true });
    }
    holders
}

/// The rows as rules.
fn patterns() -> String {
    let found = ROWS.iter().filter(|(_, value)| *value != "-");
    found.map(|(key, value)| format!("/^{}$/ {value}\n", key.replace('.', "\\."))).collect()
}

/// The rows in an SQLite database; the path of the table's file.
fn sqlite(place: &Place) -> String {
    let path = place.path("rows.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE rows (key TEXT PRIMARY KEY, value TEXT)").unwrap();
    for (key, value) in ROWS.iter().filter(|(key, value)| *value != "-" && *key == key.to_lowercase()) {
        database.execute("INSERT INTO rows VALUES (?, ?)", (key, value)).unwrap();
    }
    database.execute("INSERT INTO rows VALUES ('jos\u{e9}@example.com', 'accent')", ()).unwrap();
    let query = "SELECT value FROM rows WHERE key = '%s'";
    place.write("sqlite", format!("dbpath = {}\nquery = {query}\n", path.display()))
}

#[test]
fn every_table_that_holds_pairs() {
    let place = Place::new();
    for holder in holders(&place) {
        let spec = &holder.spec;
        let table = place.open(spec);
        assert_eq!(table.name(), *spec);
        assert_eq!(table.is_pattern(), holder.is_pattern, "{spec}");
        for (key, expect) in ROWS.iter().filter(|(key, _)| holder.holds(key)) {
            check(table.as_ref(), key, expect);
        }
        let mut count = 0;
        let listed = table.visit(&mut |key, value| {
            count += 1;
            assert!(!key.is_empty() && !value.is_empty());
        });
        assert_eq!(listed.map(|_| count), holder.listed, "{spec}");
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

#[test]
fn tables_of_tables() {
    let place = Place::new();
    for (spec, key, expect) in [
        ("unionmap:{static:a, static:b}", "x", "a,b"),
        ("unionmap:{inline:{k=1} inline:{j=2}}", "j", "2"),
        ("unionmap:{inline:{k=1} inline:{j=2}}", "x", "-"),
        ("unionmap:{static:a fail:b}", "x", "!"),
        ("pipemap:{inline:{a=b}, inline:{b=c}}", "a", "c"),
        ("pipemap:{inline:{a=b}, inline:{b=c}}", "b", "-"),
        ("pipemap:{inline:{A=B}, inline:{b=c}}", "A", "c"),
        ("pipemap:{static:a, fail:x}", "b", "!"),
        ("pipemap:{unionmap:{static:a static:b} inline:{{a,b=c}}}", "x", "c"),
        ("randmap:{one}", "x", "one"),
        ("proxy:inline:{a=b}", "a", "b"),
    ] {
        check(place.open(spec).as_ref(), key, expect);
    }
    let random = place.open("randmap:{a b c}");
    let seen: std::collections::BTreeSet<String> =
        (0..200).map(|_| show(get(random.as_ref(), "x"))).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(place.open("unionmap:{regexp:{{/x/ y}} static:a}").is_pattern());
    assert!(!place.open("unionmap:{static:a regexp:{{/x/ y}}}").is_pattern());
}

#[test]
fn this_host() {
    let place = Place::new();
    let users = place.open("unix:passwd.byname");
    let line = std::fs::read_to_string("/etc/passwd").unwrap().lines().next().unwrap().to_owned();
    check(users.as_ref(), line.split(':').next().unwrap(), &line);
    check(users.as_ref(), "no such user", "-");
    check(place.open("unix:group.byname").as_ref(), "root", "root:x:0:");
    check(place.open("internal:x").as_ref(), "a", "-");
    check(place.open("nis:mail.aliases").as_ref(), "a", "-");
    // The name of a variable is folded as any key.
    check(place.open("environ:x").as_ref(), "PATH", "-");
    let context = OpenContext { fold_keys: false, ..place.context.clone() };
    let path = std::env::var("PATH").unwrap();
    check(tables::open("environ:x", &context).unwrap().as_ref(), "PATH", &path);
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
        ("cdb:/nowhere/x", "open database /nowhere/x.cdb: No such file or directory"),
        ("lmdb:/nowhere/x", "open database /nowhere/x.lmdb: No such file or directory"),
        ("unix:x", "unknown table: unix:x"),
        ("unionmap:{}", "bad syntax: \"unionmap:{}\"; need \"unionmap:{type:name...}\""),
        ("unionmap:{static:a b}", "bad syntax: \"unionmap:{static:a b}\"; need \"unionmap:{type:name...}\""),
        ("pipemap:x", "bad syntax: \"pipemap:x\"; need \"pipemap:{type:name...}\""),
        ("randmap:{}", "bad syntax: \"randmap:{}\"; need \"randmap:{value...}\""),
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
        let context = OpenContext { servers: tables::servers::ALL, ..place.context.clone() };
        let error = tables::open(&format!("{kind}:/nowhere"), &context).err();
        assert!(!matches!(error, Some(OpenError::UnsupportedType(_))), "{kind}");
    }
}

/// What cannot be opened of the tables that ask servers, in Postfix 3.7's words.
#[test]
fn servers_that_are_not_opened() {
    let place = Place::new();
    let context = OpenContext { servers: tables::servers::ALL, ..place.context.clone() };
    for kind in ["ldap", "memcache", "mysql", "pgsql"] {
        for (text, expect) in [
            ("garbage\n", "PATH, line 1: missing '=' after attribute name: \"garbage\""),
            (
                "expansion_limit = x\ndbname = d\nquery = x\n",
                "PATH: bad numerical configuration: expansion_limit = x",
            ),
            ("domain = /nowhere\ndbname = d\nquery = x\n", "open file /nowhere: No such file or directory"),
        ] {
            let path = place.write("t.cf", text);
            let error = tables::open(&format!("{kind}:{path}"), &context).err();
            assert_eq!(error.map(|error| error.to_string()), Some(expect.replace("PATH", &path)), "{kind}");
            place.take_log();
        }
        let error = tables::open(&format!("{kind}:/nowhere"), &context).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("open /nowhere: No such file or directory"));
        // Programs that do not name them have none.
        let error = tables::open(&format!("{kind}:/nowhere"), &place.context).err();
        assert!(matches!(error, Some(OpenError::UnsupportedType(_))), "{kind}");
    }
    let careful = OpenContext { allow_unauthenticated: false, ..context };
    let path = place.write("t.cf", "\n");
    let error = tables::open(&format!("memcache:{path}"), &careful).err().map(|error| error.to_string());
    assert_eq!(error, Some(format!("memcache:{path} map is not allowed for security-sensitive data")));
}

#[test]
fn tables_that_are_not_allowed() {
    let place = Place::new();
    let context = OpenContext { allow_proxy: false, ..place.context.clone() };
    let error = tables::open("proxy:static:x", &context).err().unwrap().to_string();
    assert_eq!(error, "proxy:static:x map is not allowed for security sensitive data");
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
    let line = "warning: text, line 1: non-UTF-8 input \"a ?\" -- ignoring this line";
    assert_eq!(place.take_log(), [line]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(table.get(b"\xff")), Ok(None));
    let name = format!("texthash:{path}").replace(place.folder.path().to_str().unwrap(), "");
    let line = format!("warning: {name}: non-UTF-8 key \"?\": malformed UTF-8 or invalid codepoint");
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
    assert_eq!(place.take_log(), ["warning: table hash:h.db: key a: malformed BASE64 value: b~"]);
}

proptest::proptest! {
    /// Whatever is written in a name is opened or refused. (No `*` and no `\1`: some patterns of those take the C
    /// library forever.)
    #[test]
    fn any_name(
        kind in proptest::sample::select(&["inline:{", "cidr:{{", "regexp:{{", "pcre:{{", "unionmap:{inline:{", "randmap:{"][..]),
        text in proptest::collection::vec(proptest::sample::select(&b"ab1./:![]{}$ ,=()?|"[..]), 0..30),
    ) {
        tables::fuzz_open(&[kind.as_bytes(), &text].concat());
        tables::fuzz_open(&[kind.as_bytes(), &text, b"}}"].concat());
    }
}

/// Small beginnings for the fuzz targets.
#[test]
fn fuzz_targets() {
    for data in [&b""[..], b"a b\n c\n", b"root: a, \"b c\"\n", b"inline:{a=b}", b"\0\0\0\0\x61\x15\x06\0"] {
        tables::fuzz_open(data);
        tables::fuzz_database(data);
        tables::fuzz_lmdb(data);
        tables::fuzz_cdb(data);
        tables::fuzz_servers(data);
        tables::source::fuzz(data);
    }
}
