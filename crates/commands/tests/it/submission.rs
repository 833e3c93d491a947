//! sendmail and postdrop: from a command line to a letter in the maildrop.

use crate::site::{Ended, Site, finish, said, start};
use mail::{Address, Encoding, Notify, Recipient, Ret};
use spool::maildrop::{Limits, Maildrop, Submission, Writer};
use std::io::{Read, Write};

/// The only letter, which is taken out.
fn take_letter(site: &Site) -> (Submission, String) {
    let maildrop = Maildrop::new(site.path("maildrop"));
    let names = maildrop.names().unwrap();
    let [name] = names[..] else { panic!("{} letters", names.len()) };
    let mut picked = maildrop.open(name, Limits::default()).unwrap();
    let mut content = Vec::new();
    while let Some(piece) = picked.reader.next_piece().unwrap() {
        content.extend_from_slice(piece);
    }
    maildrop.remove(name).unwrap();
    (picked.reader.submission().clone(), String::from_utf8(content).unwrap())
}

fn names_in(site: &Site, folder: &str) -> usize {
    std::fs::read_dir(site.path(folder)).unwrap().count()
}

/// Sends, and shows sender, recipients and content of the letter.
fn sent(site: &Site, args: &[&str], input: &str) -> String {
    let ended = site.run("sendmail", args, input.as_bytes());
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
    let (submission, content) = take_letter(site);
    let shown = |a: &Address| String::from_utf8_lossy(a.as_bytes()).into_owned();
    let recipients: Vec<String> = submission.recipients.iter().map(|r| shown(&r.address)).collect();
    let sender = submission.sender.as_ref().map_or("none".into(), shown);
    let extra: String =
        submission.extra.iter().map(|(n, v)| format!(" {n}={}", String::from_utf8_lossy(v))).collect();
    format!("{sender} > {}{extra}: {content}", recipients.join(" "))
}

/// As Debian's Postfix 3.7.11 puts it into its maildrop.
#[test]
fn what_is_submitted() {
    let site = Site::new("");
    for (args, input, expect) in [
        (&["-f", "me", "alice"][..], "Subject: x\n\nhi\n", "me > alice: Subject: x\n\nhi\n"),
        (&["-f", "me", "alice"], "hi", "me > alice: hi"),
        (&["-f", "me", "alice"], "", "me > alice: "),
        (&["-f", "me", "alice"], "hi\n.\nmore\n", "me > alice: hi\n"),
        (&["-f", "me", "-i", "alice"], "hi\n.\nmore\n", "me > alice: hi\n.\nmore\n"),
        (&["-f", "me", "alice"], "From me\nhi\r\n", "me > alice: hi\n"),
        (&["-f", "", "a, b", "Bob <bob@x>", "\"q r\"@x"], "x\n", " > a b bob@x q r@x: x\n"),
        (&["-f", "<>", "(c)"], "x\n", " > : x\n"),
        (&["-f", "Bob <bob@x.y>", "alice"], "x\n", "bob@x.y > alice: x\n"),
        (&["-r", "foo", "alice"], "x\n", "foo > alice: x\n"),
        (&["-f", "me", "-t"], "To: a@b, c\nBcc: d\n\nTo: e\n", "me > a@b c d: To: a@b, c\nBcc: d\n\nTo: e\n"),
        (&["-f", "me", "-t", "z"], "To: a@b\nCc: c", "me > z a@b c: To: a@b\nCc: c"),
        (&["-f", "me", "-G", "a"], "x\n", "me > a rewrite_context=remote: x\n"),
        (&["-f", "me", "-XV", "a"], "x\n", "me > a verp_delims=+=: x\n"),
    ] {
        assert_eq!(sent(&site, args, input), expect, "{args:?} {input:?}");
    }
}

#[test]
fn everything_but_the_text() {
    let site = Site::new("");
    let args =
        ["-f", "me", "-F", "Jo Doe", "-B8BITMIME", "-N", "success,delay", "-R", "hdrs", "-V", "id+x y", "a"];
    assert_eq!(site.run("sendmail", &args, b"x\n"), said(0, "", ""));
    let recipient =
        Recipient { address: Address::from("a"), notify: Notify::from_bits(10), ..Recipient::default() };
    let expect = Submission {
        sender: Some(Address::from("me")),
        recipients: vec![recipient],
        full_name: Some("Jo Doe".into()),
        encoding: Encoding::EightBitMime,
        ret: Some(Ret::Headers),
        envid: Some("id+2Bx+20y".into()),
        extra: Vec::new(),
        requeued: None,
    };
    assert_eq!(take_letter(&site).0, expect);
}

#[test]
fn who_sends() {
    let site = Site::new("");
    let mut command = site.command("sendmail", ["alice"]);
    command.env("NAME", "En V");
    assert_eq!(finish(start(command), b""), said(0, "", ""));
    let (submission, _) = take_letter(&site);
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap();
    assert_eq!(submission.sender, Some(Address::from(user.name.as_str())));
    assert_eq!(submission.full_name.as_deref(), Some(&b"En V"[..]));
}

#[test]
fn reports() {
    let site = Site::new("");
    let report = "Mail Delivery Status Report will be mailed to <me>.\n";
    assert_eq!(site.run("sendmail", &["-f", "me", "-v", "a"], b"x\n"), said(0, report, ""));
    let (submission, content) = take_letter(&site);
    assert_eq!(
        (&submission.extra[..], content.as_str()),
        (&[("trace_flags".into(), "1024".into())][..], "x\n")
    );
    assert_eq!(site.run("sendmail", &["-f", "me", "-bv", "a", "b"], b"x\n"), said(0, report, ""));
    let (submission, content) = take_letter(&site);
    assert_eq!(submission.extra, [("trace_flags".into(), "512".into())]);
    assert_eq!(content, "From: me\nSubject: probe\nTo:\ta,\n\tb\n");
}

/// Debian's Postfix 3.7.11: the exit status is 75, whatever the reason.
#[test]
fn refusals() {
    let site = Site::new("message_size_limit = 1000\nheader_size_limit = 200");
    let uid = nix::unistd::getuid();
    let long_header = format!("To: {}\n\n", "x".repeat(300));
    for (args, input, expect) in [
        (
            &["-f", "me"][..],
            "x\n",
            format!(
                "me({uid}): Recipient addresses must be specified on the command line or via the -t option"
            ),
        ),
        (&["-f", "me", "-t"], "x\n", format!("me({uid}): No recipient addresses found in message header")),
        (
            &["-f", "me", "-t"],
            &long_header,
            format!("me({uid}): unable to extract recipients: message header length exceeds safety limit"),
        ),
        (&["-XV", "-f", "", "a"], "x\n", format!("({uid}): -V option requires non-null sender address")),
        (&["-t", "-bv"], "", "-t option cannot be used with -bv".into()),
        (&["-qRx", "y"], "", "flush site requires no recipient".into()),
        (&["-bp", "y"], "", "display queue mode requires no recipient".into()),
        (&["-C", "/nonexistent/main.cf"], "", "open /nonexistent/main.cf: No such file or directory".into()),
    ] {
        // Without root, -C takes only folders that the default main.cf names.
        if args[0] == "-C" && !uid.is_root() {
            continue;
        }
        let ended = site.run("sendmail", args, input.as_bytes());
        assert_eq!(ended, said(75, "", &format!("sendmail: fatal: {expect}\n")), "{args:?}");
    }
    let usage = "invalid option -- 'Z'\nmailq: invalid option -- 'Z'\nmailq: fatal: usage: mailq [options]\n";
    assert_eq!(site.run("mailq", &["-Z"], b""), said(75, "", &format!("mailq: {usage}")));
    assert_eq!(names_in(&site, "maildrop"), 0);
    assert_eq!(site.log().last().unwrap(), "postfix/sendmail: fatal: usage: mailq [options]");
}

#[test]
fn too_large() {
    let site = Site::new("message_size_limit = 1000");
    let uid = nix::unistd::getuid();
    let expect = format!(
        "postdrop: warning: uid={uid}: File too large\nsendmail: warning: mail_stream_cleanup: close error\n\
         sendmail: fatal: me({uid}): message file too big\n"
    );
    let content = vec![b'x'; 3_000_000];
    assert_eq!(site.run("sendmail", &["-f", "me", "a"], &content), said(75, "", &expect));
    assert_eq!(names_in(&site, "maildrop"), 0);
}

#[test]
fn no_maildrop() {
    let site = Site::new("");
    std::fs::remove_dir(site.path("maildrop")).unwrap();
    let uid = nix::unistd::getuid();
    let expect = format!(
        "postdrop: warning: mail_queue_enter: create file maildrop: No such file or directory\n\
         postdrop: warning: uid={uid}: No such file or directory\n\
         sendmail: warning: mail_stream_cleanup: close error\nsendmail: fatal: me({uid}): queue file write error\n"
    );
    assert_eq!(site.run("sendmail", &["-f", "me", "a"], b"x\n"), said(75, "", &expect));
}

#[test]
fn no_postdrop() {
    let site = Site::new("command_directory = /nonexistent");
    let uid = nix::unistd::getuid();
    let why = "unable to execute /nonexistent/postdrop -r: No such file or directory";
    let expect = format!("sendmail: fatal: me({uid}): {why}\n");
    assert_eq!(site.run("sendmail", &["-f", "me", "a"], b"x\n"), said(75, "", &expect));
    let expect = "mailq: fatal: execv /nonexistent/postqueue: No such file or directory\n";
    assert_eq!(site.run("mailq", &[], b""), said(75, "", expect));
}

#[test]
fn authorized_submit_users() {
    let site = Site::new("authorized_submit_users = !static:all");
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid).unwrap().unwrap().name;
    let why = format!("fatal: User {name}({uid}) is not allowed to submit mail\n");
    assert_eq!(site.run("sendmail", &["a"], b"x\n"), said(75, "", &format!("sendmail: {why}")));
    assert_eq!(site.run("sendmail", &["-bs"], b""), said(75, "", &format!("sendmail: {why}")));
    assert_eq!(site.run("postdrop", &["-r"], b""), said(1, "", &format!("postdrop: {why}")));
}

#[test]
fn pickup_is_told() {
    let site = Site::new("");
    let pickup = site.listen("public/pickup");
    assert_eq!(site.run("sendmail", &["a"], b"x\n"), said(0, "", ""));
    let mut told = String::new();
    pickup.accept().unwrap().0.read_to_string(&mut told).unwrap();
    assert_eq!(told, "W");
    std::fs::remove_file(site.path("public/pickup")).unwrap();
    let warning = "postdrop: warning: unable to look up public/pickup: No such file or directory\n";
    assert_eq!(site.run("sendmail", &["a"], b"x\n"), said(0, "", warning));
}

/// A submission as sendmail writes it.
fn stream(submission: &Submission, content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), submission).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap()
}

fn submission() -> Submission {
    let recipients = vec![Recipient { address: Address::from("bob"), ..Recipient::default() }];
    Submission { sender: Some(Address::from("me")), recipients, ..Submission::default() }
}

/// Without the receipt for a letter that is begun, which every run begins with.
fn postdrop(site: &Site, input: &[u8]) -> Ended {
    let ended = site.run("postdrop", &["-r"], input);
    let (begun, rest) = ended.stdout.split_once('\n').expect("a receipt");
    assert!(begun.starts_with("begun "), "{begun}");
    Ended { stdout: rest.to_owned(), ..ended }
}

#[test]
fn what_postdrop_takes() {
    let site = Site::new("");
    let uid = nix::unistd::getuid();
    let ended = postdrop(&site, &stream(&submission(), b"hi\n"));
    assert!(
        ended.status == Some(0) && ended.stdout.starts_with("queued ") && ended.stderr.is_empty(),
        "{ended:?}"
    );
    assert_eq!(take_letter(&site), (submission(), "hi\n".to_owned()));

    let odd = Submission { extra: vec![("redirect_to".into(), "x\u{7}".into())], ..submission() };
    let ended = postdrop(&site, &stream(&odd, b""));
    let warning = format!("postdrop: warning: uid={uid}: ignoring attribute record: redirect_to=x?\n");
    assert_eq!((ended.status, ended.stderr), (Some(0), warning));
    assert_eq!(take_letter(&site).0, submission());

    let usage = "postdrop: invalid option -- 'Z'\npostdrop: fatal: usage: postdrop [-c config_dir] [-v]\n";
    assert_eq!(site.run("postdrop", &["-Z"], b""), said(1, "", usage));
    let nobody = Submission { recipients: Vec::new(), ..submission() };
    let broken = Submission { full_name: Some("x\nBcc: y".into()), ..submission() };
    for (input, why) in [
        (b"garbage that is long enough".to_vec(), "malformed input"),
        (stream(&nobody, b""), "no sender or no recipients"),
        (stream(&broken, b""), "null or line break in 'sender_fullname' record type: x?Bcc: y"),
    ] {
        let fatal = format!("postdrop: fatal: uid={uid}: {why}\n");
        assert_eq!(postdrop(&site, &input), said(1, "", &fatal));
    }
    assert_eq!(names_in(&site, "maildrop"), 0);
}

/// Whoever stops writing has given up, and says so himself.
#[test]
fn a_cut_submission_is_dropped_in_silence() {
    let site = Site::new("");
    let whole = stream(&submission(), &[b'x'; 200_000]);
    for length in [0, 5, 30, 100, 70_000, whole.len() - 1] {
        assert_eq!(postdrop(&site, &whole[..length]), said(0, "", ""), "{length}");
    }
    assert_eq!(names_in(&site, "maildrop"), 0);
}

#[test]
fn a_signal_removes_half_a_letter() {
    let site = Site::new("");
    let whole = stream(&submission(), &[b'x'; 200_000]);
    let mut child = start(site.command("postdrop", ["-r"]));
    child.stdin.as_mut().unwrap().write_all(&whole[..150_000]).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while names_in(&site, "maildrop") == 0 {
        assert!(std::time::Instant::now() < deadline, "no letter was begun");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    // To wait would close it, and then the submission was only cut.
    let _stdin = child.stdin.take();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), names_in(&site, "maildrop")), (Some(15), 0));
}

#[test]
fn other_programs_are_run() {
    let site = Site::new("");
    let down = Ended {
        status: Some(69),
        stdout: String::new(),
        stderr: "postqueue: fatal: Cannot flush mail queue - mail system is down\n".into(),
    };
    assert_eq!(site.run("sendmail", &["-q"], b""), down);
    let refused = "postqueue: fatal: Flush service is not configured for destination \"x.example\"\n";
    assert_eq!(site.run("sendmail", &["-qRx.example"], b""), said(69, "", refused));
    assert_eq!(site.run("sendmail", &["-q1h", "a"], b""), said(0, "", ""));
    assert_eq!(site.run("sendmail", &["-bh"], b""), said(0, "", ""));
    let smtpd = "sendmail: fatal: execv /nonexistent/smtpd: No such file or directory\n";
    let site = Site::new("daemon_directory = /nonexistent");
    assert_eq!(site.run("sendmail", &["-bs"], b""), said(75, "", smtpd));
}
