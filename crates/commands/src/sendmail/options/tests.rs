//! Rows of command lines, as Postfix takes them.

use super::*;
use crate::program::Voice;

fn read_as(name: &str, args: &[&str]) -> Result<Options, String> {
    let args = args.iter().map(OsString::from).collect();
    let program = Program::new(name.into(), args, 75, Voice::Stderr);
    let settings = Settings { default_verp_delimiters: "+=".into(), verp_delimiter_filter: "-=+".into() };
    Options::read(&program, &settings).map_err(|fatal| fatal.message)
}

fn read(args: &[&str]) -> Result<Options, String> {
    read_as("sendmail", args)
}

fn recipients(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// `user` is the one recipient, and `change` is what the options make of it.
fn check(args: &[&str], change: impl FnOnce(&mut Options)) {
    let mut expect = Options { recipients: recipients(&["user"]), ..Options::called_as("sendmail") };
    change(&mut expect);
    assert_eq!(read(args), Ok(expect), "{args:?}");
}

#[test]
fn what_callers_use() {
    let cron = ["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "user"];
    check(&cron, |o| {
        o.dot_ends = false;
        o.full_name = Some(b"CronDaemon".to_vec());
        o.encoding = Encoding::EightBitMime;
    });
    let php = ["-t", "-i", "-f", "www@x"];
    check(&php, |o| {
        o.takes_header_recipients = true;
        o.dot_ends = false;
        o.sender = Some(b"www@x".to_vec());
        o.recipients.clear();
    });
    let mutt = ["-oem", "-oi", "-fme", "--", "-user"];
    check(&mutt, |o| {
        o.dot_ends = false;
        o.sender = Some(b"me".to_vec());
        o.recipients = recipients(&["-user"]);
    });
    let request_tracker = ["-oi", "-ODeliveryMode=b", "-OErrorMode=m", "-t", "-f", "<>"];
    check(&request_tracker, |o| {
        o.dot_ends = false;
        o.takes_header_recipients = true;
        o.sender = Some(b"<>".to_vec());
        o.recipients.clear();
    });
    let sympa = ["-f", "l@x", "-N", "success,delay,failure", "-V00000123", "--", "user"];
    check(&sympa, |o| {
        o.sender = Some(b"l@x".to_vec());
        o.notify = Notify::from_bits(14);
        o.envid = Some(b"00000123".to_vec());
    });
}

#[test]
fn single_options() {
    check(&["user"], |_| {});
    check(&["-bm", "user"], |_| {});
    check(&["user", "-i"], |o| o.recipients = recipients(&["user", "-i"]));
    check(&["-Am", "-U", "-m", "-L", "tag", "-h", "3", "-x", "-o7", "-o8", "user"], |_| {});
    check(&["-c", "-e", "m", "-p", "x", "-om", "-oQfoo", "user"], |_| {});
    check(&["-G", "user"], |o| o.is_from_gateway = true);
    check(&["-r", "me", "user"], |o| o.sender = Some(b"me".to_vec()));
    check(&["-R", "HDRS", "user"], |o| o.ret = Some(Ret::Headers));
    check(&["-N", "NEVER", "user"], |o| o.notify = Notify::NEVER);
    check(&["-R", "x", "-N", "x", "-N", "never,delay", "-V", "a\tb", "user"], |_| {});
    check(&["-V", &"x".repeat(101), "user"], |_| {});
    check(&["-bv", "user"], |o| o.trace = Some(Trace::Verify));
    check(&["-v", "user"], |o| {
        o.trace = Some(Trace::Record);
        o.verbosity = 1;
    });
    check(&["-vv", "user"], |o| o.verbosity = 2);
}

#[test]
fn verp() {
    check(&["-XV", "user"], |o| o.verp_delims = Some(b"+=".to_vec()));
    check(&["-XV-+", "user"], |o| o.verp_delims = Some(b"-+".to_vec()));
    check(&["-V-+", "user"], |o| o.verp_delims = Some(b"-+".to_vec()));
    check(&["-V-+x", "user"], |o| o.envid = Some(b"-+x".to_vec()));
    // Postfix: the delimiters are then a recipient.
    check(&["-V", "+=", "user"], |o| {
        o.verp_delims = Some(b"+=".to_vec());
        o.recipients = recipients(&["+=", "user"]);
    });
}

#[test]
fn modes() {
    for (name, args, mode) in [
        ("sendmail", &[][..], Mode::Enqueue),
        ("mailq", &[], Mode::Mailq),
        ("newaliases", &[], Mode::Newaliases),
        ("newaliases", &["-bp"], Mode::Mailq),
        ("sendmail", &["-bp"], Mode::Mailq),
        ("sendmail", &["-bi"], Mode::Newaliases),
        ("sendmail", &["-I"], Mode::Newaliases),
        ("sendmail", &["-bd", "-q30m"], Mode::Daemon),
        ("sendmail", &["-bl"], Mode::Daemon),
        ("sendmail", &["-bs"], Mode::StandAlone),
        ("sendmail", &["-bh"], Mode::Nothing),
        ("sendmail", &["-q"], Mode::Flush),
        ("sendmail", &["-bp", "-q"], Mode::Flush),
        ("sendmail", &["-bd", "-q"], Mode::Daemon),
        ("sendmail", &["-q", "-bd"], Mode::Daemon),
        ("sendmail", &["-q", "-bp"], Mode::Mailq),
    ] {
        assert_eq!(read_as(name, args).map(|o| o.mode), Ok(mode), "{name} {args:?}");
    }
    assert_eq!(read(&["-qRx.y"]).map(|o| o.flush_site), Ok(Some("x.y".into())));
    assert_eq!(read(&["-qIAB"]).map(|o| o.flush_id), Ok(Some("AB".into())));
    assert_eq!(read(&["-oA/x"]).map(|o| o.alias_database), Ok(Some("/x".into())));
    assert_eq!(read(&["-q1h"]).map(|o| o.has_interval), Ok(true));
}

#[test]
fn refusals() {
    for (args, expect) in [
        (&["-Z"][..], "usage: sendmail [options]"),
        (&["-f"], "usage: sendmail [options]"),
        (&["-s"], "usage: sendmail [options]"),
        (&["-V", "-+"], "usage: sendmail [options]"),
        (&["-n"], "-n option not supported"),
        (&["-bx"], "unsupported: -bx"),
        (&["-Xfoo"], "unsupported: -Xf"),
        (&["-qX"], "-qX is not implemented"),
        (&["-qR"], "specify: -qRsitename"),
        (&["-qI"], "specify: -qIqueueid"),
        (&["-oA"], "-oA requires pathname"),
        (&["-BFOO"], "-B option needs 8BITMIME or 7BIT"),
        (&["-XVab"], "-V requires two characters from -=+"),
        (&["-XV+"], "-V requires two characters from -=+"),
        (&["-Vab"], "-V requires two characters from -=+"),
        (&["-t", "-bp"], "-t can be used only in delivery mode"),
        (&["-qRx", "-bp"], "-qR can be used only in delivery mode"),
        (&["-qIx", "-bp"], "-qI can be used only in delivery mode"),
        (&["-t", "-bv"], "-t option cannot be used with -bv"),
        (&["-N", "never", "-bv"], "-N option cannot be used with -bv"),
        (&["-R", "full", "-bv"], "-R option cannot be used with -bv"),
        (&["-v", "-bv"], "-v option cannot be used with -bv"),
    ] {
        assert_eq!(read(args).map_err(|e| e.to_string()), Err(expect.to_owned()), "{args:?}");
    }
}

#[test]
fn folders() {
    for (path, expect) in [
        ("/etc/pf", "/etc/pf"),
        ("/etc/pf/main.cf", "/etc/pf"),
        ("main.cf", "."),
        ("/main.cf", "/"),
        ("/etc/xmain.cf", "/etc/xmain.cf"),
    ] {
        assert_eq!(directory_of(path), expect);
    }
    let args = ["-Z", "-q", "-C", "/etc/postfix", "x", "-C", "/y"].iter().map(OsString::from).collect();
    let program = Program::new("sendmail".into(), args, 75, Voice::Stderr);
    assert_eq!(config_directory(&program), Ok(Some("/etc/postfix".to_owned())));
}
