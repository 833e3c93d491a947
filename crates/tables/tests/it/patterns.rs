//! Tables of patterns. The rows and the warnings are Postfix 3.7's for the same files.

use super::{Place, check};
use tables::OpenContext;

const PATTERNS: &str = r"# comment
/^a(b+)c$/	one $1 $$1 ${1}
/CASE/i	upper
/x/!/y/	x without y
!/./	empty
if /^i/
/^i1/ i1
if !/2/
/^i3/ i3 not 2
endif
/^i2/ i2
endif
/bad
/q/z flag
/(/ unclosed
/n/ $1
/o/ $0
/p/ $x
/m/ ${1
!/neg/ $1
/empty/
garbage
endif
  /lead/ x
if /zz/ trailing
/z(z)z/   result with  spaces   and $1
";

const ROWS: [(&str, &str); 14] = [
    ("abbbc", "one bbb $1 bbb"),
    ("ABC", "one B $1 B"),
    ("CASE", "upper"),
    ("case", "-"),
    ("xy", "-"),
    ("", "empty"),
    ("i1", "i1"),
    ("i3", "i3 not 2"),
    ("i23", "i2"),
    ("i2", "i2"),
    ("i22", "i2"),
    ("empty", ""),
    ("lead", "-"),
    ("zzz", "result with  spaces   and z"),
];

#[test]
fn regexp() {
    let place = Place::new();
    let table = place.open(&format!("regexp:{}", place.write("re", PATTERNS)));
    let log = [
        "regexp map re, line 13: no closing regexp delimiter \"/\": skipping this rule",
        "regexp map re, line 14: unknown regexp option \"z\": skipping this rule",
        "regexp map re, line 15: Unmatched ( or \\(",
        "regexp map re, line 16: out of range replacement index \"1\": skipping this rule",
        "regexp map re, line 17: out-of-range replacement index \"0\"",
        "regexp map re, line 17: bad replacement syntax: skipping this rule",
        "regexp map re, line 18: non-numeric replacement index \"x\"",
        "regexp map re, line 18: bad replacement syntax: skipping this rule",
        "truncated macro reference: \"${1\"",
        "regexp map re, line 19: bad replacement syntax: skipping this rule",
        "regexp map re, line 20: $number found in negative match replacement text: skipping this rule",
        "regexp map re, line 21: no replacement text: using empty string",
        "regexp map re, line 22: ignoring unrecognized request",
        "regexp map re, line 23: ignoring ENDIF without matching IF",
        "regexp map re, line 25: ignoring extra text after IF statement: \"trailing\"",
        "regexp map re, line 25: do not prepend whitespace to statements between IF and ENDIF",
        "regexp map re, line 25: IF has no matching ENDIF",
    ];
    assert_eq!(place.take_log(), log.map(|line| format!("warning: {line}")));
    assert!(table.is_pattern());
    for (key, expect) in ROWS {
        check(table.as_ref(), key, expect);
    }
    check(table.as_ref(), "xa", "x without y");
}

#[test]
fn pcre() {
    let place = Place::new();
    let table = place.open(&format!("pcre:{}", place.write("re", PATTERNS)));
    let log = [
        "pcre map re, line 4: unknown regexp option \"!\": skipping this rule",
        "pcre map re, line 13: no closing regexp delimiter \"/\": ignoring this rule",
        "pcre map re, line 14: unknown regexp option \"z\": skipping this rule",
        "pcre map re, line 15: error in regex at offset 1: missing closing parenthesis",
        "pcre map re, line 16: out of range replacement index \"1\": skipping this rule",
        "pcre map re, line 17: out of range replacement index \"0\"",
    ];
    assert_eq!(place.take_log()[..6], log.map(|line| format!("warning: {line}")));
    for (key, expect) in ROWS {
        check(table.as_ref(), key, expect);
    }
    check(table.as_ref(), "xa", "-");
}

#[test]
fn flags() {
    let place = Place::new();
    for (spec, key, expect) in [
        ("regexp:{{/a+/x yes}}", "a+", "yes"),
        ("regexp:{{/^b/m yes}}", "a\nb", "yes"),
        ("pcre:{{/^b/m yes}}", "a\nb", "yes"),
        ("pcre:{{/a.b/s yes}}", "a\nb", "-"),
        ("pcre:{{/a b/x yes}}", "ab", "yes"),
        ("pcre:{{/b/A yes}}", "ab", "-"),
        ("pcre:{{/a$/E yes}}", "a\n", "-"),
        ("pcre:{{/(a+)/U $1}}", "aa", "a"),
        ("pcre:{{/(a)|(b)/ <$1$2>}}", "b", "<b>"),
        ("pcre:{{/a/X yes}}", "a", "yes"),
    ] {
        check(place.open(spec).as_ref(), key, expect);
    }
    let obsolete = "warning: pcre map {{/a/X yes}}, line 1: ignoring obsolete regexp option \"X\"";
    assert_eq!(place.take_log(), [obsolete]);
}

/// Keys of pattern tables keep their case; only where it is asked for are they folded.
#[test]
fn case() {
    let place = Place::new();
    let spec = "regexp:{{/(.*)/ <$1>}}";
    check(place.open(spec).as_ref(), "ABC", "<ABC>");
    let context = OpenContext { fold_pattern_keys: true, ..place.context.clone() };
    check(tables::open(spec, &context).unwrap().as_ref(), "ABC", "<abc>");
}

#[test]
fn no_substitution_where_it_is_not_allowed() {
    let place = Place::new();
    let context = OpenContext { allow_substitution: false, ..place.context.clone() };
    for kind in ["regexp", "pcre"] {
        let spec = format!("{kind}:{{{{/(.*)@/ $1}} {{/x/ $$1}}}}");
        let table = tables::open(&spec, &context).unwrap();
        check(table.as_ref(), "a@b", "-");
        check(table.as_ref(), "x", "$1");
        let why = "regular expression substitution is not allowed: skipping this rule";
        let map = spec.strip_prefix(&format!("{kind}:")).unwrap();
        assert_eq!(place.take_log(), [format!("warning: {kind} map {map}, line 1: {why}")]);
    }
}

const NETWORKS: &str = "1.2.3.4/24 bad
1.2.3.0/24 net
if 10.0.0.0/8
10.1.0.0/16 ten1
! 10.2.0.0/16 not ten2
endif
if 10.0.0.0/8 x
endif x
endif
[::1] six
[2001:db8::]/32 doc
1.2.3.4
2.2.2.2/x y
if !2001:db8::/32
::/0 rest
";

#[test]
fn cidr() {
    let place = Place::new();
    let table = place.open(&format!("cidr:{}", place.write("ci", NETWORKS)));
    let log = [
        "line 1: non-null host address bits in \"1.2.3.4/24\", perhaps you should use \"1.2.3.0/24\" instead: \
         skipping this rule",
        "line 7: bad mask value in \"10.0.0.0/8 x\": skipping this rule",
        "line 8: garbage after ENDIF: skipping this rule",
        "line 9: ENDIF without IF: skipping this rule",
        "line 12: no lookup result: skipping this rule",
        "line 13: bad mask value in \"2.2.2.2/x\": skipping this rule",
        "line 14: IF has no matching ENDIF",
    ];
    assert_eq!(place.take_log(), log.map(|line| format!("warning: cidr map ci, {line}")));
    for (key, expect) in [
        ("1.2.3.4", "net"),
        ("10.1.2.3", "ten1"),
        ("10.2.2.2", "-"),
        ("10.3.3.3", "not ten2"),
        ("::1", "six"),
        ("2001:db8::5", "doc"),
        ("fe80::1", "rest"),
        ("x", "-"),
        ("", "-"),
    ] {
        check(table.as_ref(), key, expect);
    }
}

#[test]
fn inline() {
    let place = Place::new();
    for (spec, key, expect) in [
        ("cidr:{{1.2.3.0/24 x}, {!1.2.4.0/24 y} }", "1.2.4.4", "-"),
        ("cidr:{{1.2.3.0/24 x}, {!1.2.4.0/24 y} }", "9.9.9.9", "y"),
        ("regexp:{{/a(.)/ x$1}, {/b/ y}}", "ab", "xb"),
        ("pcre:{, }", "a", "-"),
    ] {
        check(place.open(spec).as_ref(), key, expect);
    }
    for (spec, expect) in [
        ("pcre:{{/a/ x}, {/b/ y}", "pcre map: missing '}' in \"{{/a/ x}, {/b/ y}\""),
        ("pcre:{ /a/ x }", "pcre map: no '{' at start of text in \"/a/\""),
        ("cidr:{{1.2.3.4 x}}y", "cidr map: syntax error after '}' in \"{{1.2.3.4 x}}y\""),
        ("regexp:/nowhere/x", "open /nowhere/x: No such file or directory"),
    ] {
        let error = tables::open(spec, &place.context).err().unwrap();
        assert_eq!(error.to_string(), expect);
    }
}

#[test]
fn a_changed_file_of_patterns() {
    let place = Place::new();
    let path = place.write("re", "/a/ 1\n");
    let table = place.open(&format!("pcre:{path}"));
    check(table.as_ref(), "a", "1");
    std::fs::rename(place.write("new", "/a/ 2\n"), &path).unwrap();
    check(table.as_ref(), "a", "2");
}
