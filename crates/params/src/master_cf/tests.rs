use super::*;

fn parse(text: &str) -> Service {
    let master = MasterCf::parse("master.cf", text.as_bytes());
    assert_eq!(master.mistakes, [], "{text}");
    master.services.into_iter().next().expect("one service")
}

#[test]
fn fields() {
    let s = parse("qmgr unix n - y 300? 1 qmgr\n");
    assert_eq!((s.name(), s.kind, s.program()), ("qmgr", ServiceKind::Unix, "qmgr"));
    assert_eq!((s.private, s.unprivileged, s.chroot), (false, true, Some(true)));
    assert_eq!(s.wakeup, Wakeup { seconds: 300, if_used: true });
    assert_eq!(s.process_limit, Some(1));
    let s = parse("[::1]:25 inet n n - - - /usr/lib/postfix/sbin/smtpd -v -v");
    assert_eq!((s.private, s.unprivileged, s.chroot), (false, false, None));
    assert_eq!((s.wakeup, s.process_limit, s.program(), s.verbose), (Wakeup::default(), None, "smtpd", 2));
}

#[test]
fn options_and_arguments() {
    let pairs = |s: &Service| s.overrides.iter().map(|(n, v)| format!("{n}:{v}")).collect::<Vec<_>>();
    let s = parse(
        "submission inet n - n - - smtpd\n  -o a=b -oc=d\n# comment\n\t-vo { e = f, g }  -o{h=i j}\n -o k=l=m -vv",
    );
    assert_eq!(pairs(&s), ["a:b", "c:d", "e:f, g", "h:i j", "k:l=m"]);
    assert_eq!(s.verbose, 3);
    assert_eq!(
        &s.words[FIELDS..],
        ["-o", "a=b", "-o", "c=d", "-v", "-o", "e=f, g", "-o", "h=i j", "-o", "k=l=m", "-vv"]
    );
    assert_eq!(s.args, Vec::<String>::new());

    let s = parse("p unix - n n - - pipe\n  flags=R user=x argv=/bin/cmd { a b } -o {c} ${recipient}");
    assert_eq!(s.args, ["flags=R", "user=x", "argv=/bin/cmd", "a b", "-o", "c", "${recipient}"]);
    let s = parse("p unix - n n - - pipe -- -o x=y");
    assert_eq!((s.args.len(), s.overrides.len()), (3, 0));
    assert_eq!(parse("p unix - n n - - smtp -o").words[FIELDS..], ["-o"]);
}

#[test]
fn mistakes() {
    for (text, master, postconf) in [
        (
            "smtp inet n - n - -",
            "fatal: m: line 1: missing \"command\" field",
            "fatal: file m: line 1: bad field count",
        ),
        (
            "user=nobody argv=/usr/bin/python x",
            "fatal: m: line 1: missing \"unprivileged\" field",
            "fatal: file m: line 1: bad field count",
        ),
        (
            "smtp tcp n - n - - smtpd",
            "fatal: m: line 1: bad transport type: tcp",
            "fatal: invalid type field \"tcp\" in \"smtp tcp n - n - - smtpd\"",
        ),
        (
            "smtp unix no - n - - smtpd",
            "fatal: m: line 1: field \"private\": bad value: \"no\"",
            "fatal: invalid private field \"no\" in \"smtp unix no - n - - smtpd\"",
        ),
        (
            "smtp unix n - n ? x smtpd",
            "fatal: m: line 1: field \"max_proc\": bad value: \"x\"",
            "fatal: invalid process_limit field \"x\" in \"smtp unix n - n ? x smtpd\"",
        ),
        ("smtp inet - - n - - smtpd", "fatal: m: line 1: inet service cannot be private", ""),
        (
            "smtp unix n - n - - smtpd { a",
            "fatal: m: line 1: missing '}' in \"{ a\"",
            "warning: master.cf: missing '}' in \"{ a\"",
        ),
        (
            "smtp unix n - n - - smtpd -o { a }",
            "fatal: m: line 1: invalid \"-o a\" option value: missing '=' after attribute name",
            "warning: master.cf: missing '=' after attribute name: \"a\"",
        ),
    ] {
        let file = MasterCf::parse("m", text.as_bytes());
        let last = file.mistakes.last().expect("a mistake");
        assert_eq!(last.diagnostic("m").to_string(), master);
        let said = last.postconf_diagnostic("m").map(|d| d.to_string()).unwrap_or_default();
        assert_eq!(said, postconf);
    }
}

#[test]
fn unknown_program() {
    let master = MasterCf::parse("m", b"smtp inet n - n - - smtpb\nx unix - - n - - smtp");
    let said = master.unknown_programs("/usr/lib/postfix/sbin", &["smtpd", "smtp"]);
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].to_string(), "fatal: m: line 1: unknown program: /usr/lib/postfix/sbin/smtpb");
    assert_eq!(said[0].mend, "did you mean smtpd?");
}

proptest::proptest! {
    #[test]
    fn any_bytes(bytes: Vec<u8>) {
        let _ = MasterCf::parse("m", &bytes).diagnostics();
    }

    #[test]
    fn any_arguments(args in "([-ov{}=a ]{0,8}\n? ?){0,4}") {
        let (service, _) = Service::parse(&format!("s unix - - n - - smtp {args}"), 1);
        let service = service.expect("fields are good");
        proptest::prop_assert!(service.words.len() >= FIELDS);
    }
}
