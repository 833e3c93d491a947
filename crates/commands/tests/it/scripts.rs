//! postlog, postkick and postlock, which scripts use.

use crate::site::{Site, said};
use std::io::Read;

#[test]
fn postlog() {
    let site = Site::new("");
    for (args, input, logged) in [
        (&["hello", "world"][..], "", &["postfix/postlog: hello world"][..]),
        (&["-p", "WARN", "-i", "hello"], "", &["postfix/postlog: warning: hello"]),
        (&["-p", "fatal", "hello"], "", &["postfix/postlog: fatal: hello"]),
        (&["-t", "foo/x\ty", "hello"], "", &["foo/x?y: hello"]),
        (&["-t", "foo"], "a\nb\x01\n\nc", &["foo: a", "foo: b?", "foo: ", "foo: c"]),
    ] {
        let before = site.log().len();
        assert_eq!(site.run("postlog", args, input.as_bytes()), said(0, "", ""), "{args:?}");
        assert_eq!(site.log()[before..], *logged, "{args:?}");
    }
    // Postfix: only a person at a terminal is told.
    assert_eq!(site.run("postlog", &["-p", "nope", "x"], b""), said(1, "", ""));
    assert_eq!(site.run("postlog", &["-Z"], b""), said(1, "", "postlog: invalid option -- 'Z'\n"));
}

#[test]
fn postkick() {
    let site = Site::new("");
    let listener = site.listen("public/qmgr");
    let service = std::thread::spawn(move || {
        let mut octets = [0; 8];
        let n = listener.accept().unwrap().0.read(&mut octets).unwrap();
        octets[..n].to_vec()
    });
    assert_eq!(site.run("postkick", &["public", "qmgr", "DF"], b""), said(0, "", ""));
    assert_eq!(service.join().unwrap(), b"DF");
    let cannot = "warning: Cannot contact class public service nope - perhaps the mail system is down\n";
    let missing = "postkick: warning: unable to look up public/nope: No such file or directory\n";
    let expect = format!("{missing}postkick: {cannot}");
    assert_eq!(site.run("postkick", &["public", "nope", "D"], b""), said(1, "", &expect));
    let usage = "postkick: fatal: usage: postkick [-c config_dir] [-v] class service request\n";
    assert_eq!(site.run("postkick", &["public"], b""), said(1, "", usage));
}

#[test]
fn postlock() {
    let site = Site::new("");
    let mailbox = site.path("mb").display().to_string();
    let run = |args: &[&str]| site.run("postlock", args, b"");
    assert_eq!(run(&[&mailbox, "echo", "hi"]), said(0, "hi\n", ""));
    assert_eq!(run(&[&mailbox, "sh", "-c", "exit 3"]), said(3, "", ""));
    assert_eq!(run(&[&mailbox, "sh", "-c", "kill -9 $$"]), said(1, "", ""));
    let look = format!("test -e {mailbox}.lock && echo $LANG");
    assert_eq!(run(&[&mailbox, "sh", "-c", &look]), said(0, "C\n", ""));
    assert_eq!(run(&["-l", "flock", &mailbox, "sh", "-c", &look]), said(1, "", ""));
    assert!(!site.path("mb.lock").exists());
    let lost = "postlock: fatal: execvp nonexistent: No such file or directory\n";
    assert_eq!(run(&[&mailbox, "nonexistent"]), said(1, "", lost));
    let style = "postlock: fatal: unknown mailbox_delivery_lock value \"foo\" in \"foo\"\n";
    assert_eq!(run(&["-l", "foo", &mailbox, "true"]), said(75, "", style));
    let usage = "postlock: fatal: usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...\n";
    assert_eq!(run(&[&mailbox]), said(75, "", usage));
    let missing = "postlock: fatal: open file /nonexistent/mb: unable to create lock file /nonexistent/mb.lock: \
                   No such file or directory\n";
    assert_eq!(run(&["/nonexistent/mb", "true"]), said(75, "", missing));
}
