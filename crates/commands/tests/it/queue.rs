//! postqueue, postsuper and postcat on a small spool, with and without a server.

use crate::site::{Site, said};
use mail::QueueId;
use spool::control::{Answer, Order};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

const DOWN: &str = "mail system is down (Connect to the Oxipost showq service: Connection refused)";

/// A server that takes `times` connections with `serve`.
fn server<R: Send + 'static>(
    site: &Site,
    socket: &str,
    serve: impl FnOnce(UnixListener) -> R + Send + 'static,
) -> JoinHandle<R> {
    let listener = site.listen(socket);
    std::thread::spawn(move || serve(listener))
}

/// Answers orders as long as somebody asks, and gives them back.
fn answer(listener: UnixListener, answer: Answer) -> Vec<Order> {
    let mut stream = BufReader::new(listener.accept().unwrap().0);
    let mut orders = Vec::new();
    let mut line = String::new();
    while stream.read_line(&mut line).unwrap() > 0 {
        orders.push(Order::parse(line.trim_end()).unwrap());
        writeln!(stream.get_mut(), "{answer}").unwrap();
        line.clear();
    }
    orders
}

#[test]
fn a_recorded_listing() {
    const STREAM: &[u8] = include_bytes!("../../src/postqueue/recorded.showq");
    let site = Site::new("");
    for (name, args, expect) in [
        ("postqueue", &["-p"][..], include_str!("../../src/postqueue/recorded.txt")),
        ("mailq", &[], include_str!("../../src/postqueue/recorded.txt")),
        ("sendmail", &["-bp"], include_str!("../../src/postqueue/recorded.txt")),
        ("postqueue", &["-j"], include_str!("../../src/postqueue/recorded.json")),
    ] {
        let showq = server(&site, "public/showq", |listener| {
            listener.accept().unwrap().0.write_all(STREAM).unwrap();
        });
        assert_eq!(site.run(name, args, b""), said(0, expect, ""), "{name} {args:?}");
        showq.join().unwrap();
    }
}

#[test]
fn a_broken_listing() {
    let site = Site::new("");
    let showq = server(&site, "public/showq", |listener| {
        listener.accept().unwrap().0.write_all(b"protocol\0other\0\0").unwrap();
    });
    let expect = "postqueue: fatal: malformed showq server response\n";
    assert_eq!(site.run("postqueue", &["-p"], b""), said(69, "", expect));
    showq.join().unwrap();
}

#[test]
fn flushes() {
    let site =
        Site::new("fast_flush_domains = example.com\nparent_domain_matches_subdomains = fast_flush_domains");
    let trigger = |socket| {
        server(&site, socket, |listener| {
            let mut text = String::new();
            listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
            text
        })
    };
    let (qmgr, pickup) = (trigger("public/qmgr"), trigger("public/pickup"));
    assert_eq!(site.run("postqueue", &["-f"], b""), said(0, "", ""));
    assert_eq!((qmgr.join().unwrap().as_str(), pickup.join().unwrap().as_str()), ("DF", "W"));

    for (args, order) in [
        (["-i", "ABC123"], "flush ABC123"),
        (["-s", "example.com"], "flush-site example.com"),
        (["-s", "a.example.com"], "flush-site a.example.com"),
    ] {
        // Postfix: an unknown message is no error.
        let flush = server(&site, "public/flush", |listener| answer(listener, Answer::Unknown));
        assert_eq!(site.run("postqueue", &args, b""), said(0, "", ""), "{args:?}");
        assert_eq!(flush.join().unwrap(), [Order::parse(order).unwrap()]);
    }
    for (args, why) in [
        (&["-s", "other.example"][..], "Flush service is not configured for destination \"other.example\""),
        (&["-s", "foo..bar"], "Cannot flush mail queue - invalid destination: \"foo..bar\""),
        (&["-i", "../x"], "Cannot flush queue ID - invalid name: \"../x\""),
    ] {
        assert_eq!(site.run("postqueue", args, b""), said(69, "", &format!("postqueue: fatal: {why}\n")));
    }
}

#[test]
fn without_a_server() {
    let site = Site::new("");
    let warning =
        format!("postqueue: warning: Mail system is down -- accessing queue directly {}\n", &DOWN[20..]);
    assert_eq!(site.run("mailq", &[], b""), said(0, "Mail queue is empty\n", &warning));
    let ids = site.queue(&[&[("b@x", "busy"), ("c@x", "busy")], &[("d@x", "")]]);
    let [first, second] = ids[..] else { panic!("two messages") };
    site.run("sendmail", &["-f", "me", "bob"], b"hi\n");
    let ended = site.run("postqueue", &["-p"], b"");
    assert_eq!((ended.status, &ended.stderr), (Some(0), &warning));
    let (letter, messages) = ended.stdout.split_once("\n\n").unwrap();
    assert!(letter.ends_with("  me\n                                         bob"), "{letter}");
    let head = |id: QueueId| format!("{:11}    1500 Wed Nov 25 02:12:05  a@example.com\n", id.as_str());
    let recipient = |address: &str| format!("{:41}{address}\n", "");
    let expect = [
        head(first),
        format!("{:72}(busy)\n", ""),
        recipient("b@x"),
        recipient("c@x"),
        "\n".into(),
        head(second),
        recipient("d@x"),
        "\n-- 2 Kbytes in 3 Requests.\n".into(),
    ];
    assert_eq!(messages, expect.concat());
    let down = "postqueue: fatal: Cannot flush mail queue - mail system is down\n";
    assert_eq!(site.run("postqueue", &["-f"], b""), said(69, "", down));
    let connect = "postqueue: warning: connect to public/flush: Connection refused\n";
    assert_eq!(site.run("postqueue", &["-i", "ABC"], b""), said(69, "", &format!("{connect}{down}")));
}

/// Runs postsuper; what it says is said and logged.
fn postsuper(site: &Site, args: &[&str], input: &str, expect: &[&str]) {
    let before = site.log().len();
    let ended = site.run("postsuper", args, input.as_bytes());
    let text: String = expect.iter().map(|line| format!("postsuper: {line}\n")).collect();
    assert_eq!(ended, said(0, "", &text), "{args:?}");
    let logged: Vec<String> = expect.iter().map(|line| format!("postfix/postsuper: {line}")).collect();
    assert_eq!(site.log()[before..], logged, "{args:?}");
}

/// As Debian's Postfix 3.7.11 answers.
#[test]
fn postsuper_on_the_spool() {
    let site = Site::new("");
    let mut ids = site.queue(&[&[("b@x", "busy")], &[("c@x", "busy")], &[("d@x", "")]]);
    ids.sort();
    let [a, b, c] = [ids[0].to_string(), ids[1].to_string(), ids[2].to_string()];
    let told = |id: &str, what: &str| format!("{id}: {what}");
    postsuper(&site, &["-h", &a], "", &[&told(&a, "placed on hold"), "Placed on hold: 1 message"]);
    postsuper(&site, &["-h", &a], "", &["Placed on hold: 0 messages"]);
    postsuper(&site, &["-e", &a], "", &[&told(&a, "expired"), "Force-expired: 1 message"]);
    postsuper(&site, &["-e", &a], "", &["Force-expired: 0 messages"]);
    assert_eq!(site.states(), [format!("{a}!#"), b.clone(), c.clone()]);
    postsuper(&site, &["-H", &a, "deferred"], "", &["Released from hold: 0 messages"]);
    let released = told(&a, "released from hold");
    postsuper(
        &site,
        &["-f", &a],
        "",
        &[&released, "Force-expired: 0 messages", "Released from hold: 1 message"],
    );
    let input = format!("{b}\nNOSUCH\n../x\n{a}\n");
    let held = [told(&b, "placed on hold"), told(&a, "placed on hold")];
    let invalid = "warning: invalid mail queue id: ../x";
    postsuper(&site, &["-h", "-"], &input, &[&held[0], invalid, &held[1], "Placed on hold: 2 messages"]);
    postsuper(&site, &["-d", "ALL", "hold"], "", &["Deleted: 2 messages"]);
    assert_eq!(site.states(), [c.as_str()]);
    let requeued = told(&c, "requeued");
    let report = [&requeued, "Requeued: 1 message", "Deleted: 0 messages", "Placed on hold: 1 message"];
    postsuper(&site, &["-h", "ALL", "-r", &c, "-d", "NOSUCH"], "", &report);
    // It is a letter now, for cleanup to take it anew.
    assert!(site.states().is_empty());
    assert_eq!(std::fs::read_dir(site.path("maildrop")).unwrap().count(), 1);
    postsuper(&site, &[], "", &[]);
    postsuper(&site, &["-s"], "", &[]);
    site.run("sendmail", &["-f", "me", "bob"], b"hi\n");
    postsuper(&site, &["-h", "ALL", "-d", "ALL"], "", &["Deleted: 2 messages", "Placed on hold: 0 messages"]);
    assert!(site.states().is_empty());
    assert_eq!(std::fs::read_dir(site.path("maildrop")).unwrap().count(), 0);
}

#[test]
fn postsuper_refuses() {
    let site = Site::new("");
    for (args, why) in [
        (&["-d", "x", "foo"][..], "invalid directory name: foo"),
        (&["-c", "x"], "-c requires absolute pathname"),
        (&["-c", "/nonexistent"], "open /nonexistent/main.cf: No such file or directory"),
    ] {
        // Without root another system is none of this user's.
        if args[0] == "-c" && !nix::unistd::getuid().is_root() {
            continue;
        }
        assert_eq!(site.run("postsuper", args, b""), said(1, "", &format!("postsuper: fatal: {why}\n")));
    }
}

#[test]
fn postsuper_asks_the_server() {
    let site = Site::new("");
    let _lock = spool::master_lock::MasterLock::take(&site.path("")).unwrap();
    let admin = server(&site, "private/admin", |listener| answer(listener, Answer::Done));
    postsuper(&site, &["-d", "ABC123"], "", &["ABC123: removed", "Deleted: 1 message"]);
    assert_eq!(admin.join().unwrap(), [Order::parse("delete ABC123").unwrap()]);
    std::fs::remove_file(site.path("private/admin")).unwrap();
    let refused = "postsuper: fatal: connect to private/admin: No such file or directory\n";
    assert_eq!(site.run("postsuper", &["-d", "ABC123"], b""), said(1, "", refused));
}

#[test]
fn postcat_shows_a_message() {
    let site = Site::new("");
    let id = site.queue(&[&[("b@x", "busy")]])[0];
    let first = &id.as_str()[..1];
    let path = format!("deferred/{first}/{id}");
    let expect = format!(
        "*** ENVELOPE RECORDS {path} ***\n\
         message_size:            1500             216               1               0            1500               0\n\
         message_arrival_time: Wed Nov 25 02:12:05 2026\n\
         create_time: Wed Nov 25 02:12:05 2026\n\
         named_attribute: rewrite_context=local\n\
         sender: a@example.com\n\
         named_attribute: dsn_orig_rcpt=rfc822;b@x\n\
         original_recipient: b@x\n\
         recipient: b@x\n\
         *** MESSAGE CONTENTS {path} ***\n\
         Subject: x\n\nhi\n\
         *** HEADER EXTRACTED {path} ***\n\
         *** MESSAGE FILE END {path} ***\n"
    );
    assert_eq!(site.run("postcat", &["-q", id.as_str()], b""), said(0, &expect, ""));
    assert_eq!(site.run("postcat", &["-hq", id.as_str()], b""), said(0, "Subject: x\n", ""));
    assert_eq!(site.run("postcat", &["-bq", id.as_str()], b""), said(0, "\nhi\n", ""));
    let missing = "postcat: fatal: open queue file NOSUCH: No such file or directory\n";
    let both = ["-bq", id.as_str(), "NOSUCH"];
    assert_eq!(site.run("postcat", &both, b""), said(1, "\nhi\n", missing));
    let invalid = "postcat: fatal: bad mail queue ID: ../x\n";
    assert_eq!(site.run("postcat", &["-q", "../x"], b""), said(1, "", invalid));
}

/// Postfix's own files, too.
#[test]
fn postcat_shows_a_file() {
    let site = Site::new("");
    let file = b"T\x111795573375 819805S\x03a@bR\x03c@dM\x00N\x0aSubject: xN\x00N\x02hiX\x00E\x00";
    let expect = |path: &str| {
        format!(
            "*** ENVELOPE RECORDS {path} ***\nmessage_arrival_time: Wed Nov 25 02:22:55 2026\nsender: a@b\n\
             recipient: c@d\n*** MESSAGE CONTENTS {path} ***\nSubject: x\n\nhi\n*** HEADER EXTRACTED {path} ***\n\
             *** MESSAGE FILE END {path} ***\n"
        )
    };
    assert_eq!(site.run("postcat", &[], file), said(0, &expect("stdin"), ""));
    let path = site.path("file").display().to_string();
    std::fs::write(&path, file).unwrap();
    assert_eq!(site.run("postcat", &[&path], b""), said(0, &expect(&path), ""));
    let warning = "postcat: warning: stdin: input is not a valid queue file\n";
    assert_eq!(site.run("postcat", &[], b"garbage\n"), said(0, "", warning));
    assert_eq!(site.run("postcat", &[], b""), said(0, "", ""));
}
