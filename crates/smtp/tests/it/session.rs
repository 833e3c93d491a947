//! The server session: what no recording shows.

use mail::{DsnStatus, Reply};
use smtp::framing::ForbidBareNewline;
use smtp::server::{BodyFault, Config, Event, Peer, Session};
use std::time::Duration;

fn session(config: Config, peer: Peer) -> Session {
    let mut session = Session::new(config.into(), peer, false);
    assert_eq!(session.poll_event(&mut &b""[..]), Event::Connect);
    session.accept();
    session
}

/// Takes input, agrees to everything, and says what happened.
fn feed(session: &mut Session, mut input: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let event = session.poll_event(&mut input);
        let name = match &event {
            Event::Body(piece) => format!("Body {}", piece.len()),
            Event::Pause(time) => format!("Pause {time:?}"),
            Event::Input => return seen,
            event => format!("{event:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        seen.push(name);
        match event {
            Event::Close => return seen,
            Event::BodyEnd => session.queued("4Xyz"),
            Event::Body(_) | Event::Pause(_) | Event::Notice(_) | Event::Reset | Event::BodyFailed(_) => {}
            _ => session.accept(),
        }
    }
}

fn said(session: &mut Session) -> String {
    std::iter::from_fn(|| session.poll_output()).map(|reply| reply.to_wire()).collect()
}

#[test]
fn who_errs_waits() {
    let config = Config { smtpd_error_sleep_time: Duration::from_secs(5), ..Config::default() };
    let mut session = session(config, Peer::default());
    let events = feed(&mut session, b"FOO\r\n".repeat(10).as_slice());
    assert!(events.iter().all(|event| event == "Unknown"), "{events:?}");
    assert_eq!(feed(&mut session, b"NOOP\r\n"), ["Pause 5s"]);
    assert_eq!(feed(&mut session, b"FOO\r\n"), ["Unknown", "Pause 5s"]);
}

#[test]
fn memory_is_bounded_by_limits() {
    let mut session = session(Config { message_size_limit: 1000, ..Config::default() }, Peer::default());
    let endless = vec![b'x'; 1 << 20];
    for _ in 0..4 {
        assert!(feed(&mut session, &endless).is_empty());
    }
    assert_eq!(feed(&mut session, b"\n"), ["Notice", "Unknown"]);
    assert!(session.command().len() <= Config::default().line_length_limit);
    feed(&mut session, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    assert_eq!(feed(&mut session, &endless), ["Notice"]);
    for _ in 0..4 {
        assert!(feed(&mut session, &endless).is_empty());
    }
    assert_eq!(feed(&mut session, b"\r\n.\r\n"), ["BodyFailed"]);
    assert!(said(&mut session).ends_with("552 5.3.4 Error: message file too big\r\n"));
}

#[test]
fn bare_newlines_are_noted() {
    let peer = Peer { smtpd_forbid_bare_newline: ForbidBareNewline::Note, ..Peer::default() };
    let mut session = session(Config::default(), peer);
    feed(&mut session, b"MAIL FROM:<a@b>\r\n");
    feed(&mut session, b"RCPT TO:<c@d>\r\n");
    feed(&mut session, b"DATA\r\n");
    assert!(!session.statistics().to_string().contains("notes="));
    assert_eq!(feed(&mut session, b"a\n.\n\r\n.\r\n"), ["Body 1", "Body 2", "Body 2", "BodyEnd"]);
    assert_eq!(session.statistics().to_string(), "mail=1 rcpt=1 data=1 commands=3 notes=bare_lf");
}

#[test]
fn a_failure_of_ours_ends_the_session() {
    let mut session = session(Config::default(), Peer::default());
    feed(&mut session, b"MAIL FROM:<a@b>\r\n");
    said(&mut session);
    session.handle_failure(Reply::new(421, DsnStatus::new(4, 3, 0), "localhost Server local data error"));
    assert_eq!(feed(&mut session, b"NOOP\r\n"), ["Reset", "Close"]);
    assert_eq!(said(&mut session), "421 4.3.0 localhost Server local data error\r\n");
    assert_eq!(session.ending(), None);
}

#[test]
fn a_refused_message_can_be_sent_again() {
    let peer = Peer { smtpd_forbid_bare_newline: ForbidBareNewline::Reject, ..Peer::default() };
    let mut session = session(Config::default(), peer);
    let envelope = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";
    feed(&mut session, envelope);
    let mut input: &[u8] = b"a\n.\r\n\r\n.\r\n";
    let events: Vec<_> = std::iter::from_fn(|| match session.poll_event(&mut input) {
        Event::Input => None,
        Event::BodyFailed(fault) => Some(Some(fault)),
        _ => Some(None),
    })
    .flatten()
    .collect();
    assert_eq!(events, [BodyFault::BareNewline]);
    assert_eq!(feed(&mut session, envelope), ["Mail", "Rcpt", "Data"]);
    assert_eq!(feed(&mut session, b"a\r\n.\r\n"), ["Body 3", "BodyEnd"]);
    assert!(said(&mut session).ends_with("250 2.0.0 Ok: queued as 4Xyz\r\n"));
}

#[test]
fn what_the_driver_refuses_at_data_and_at_the_end() {
    let mut session = session(Config::default(), Peer::default());
    feed(&mut session, b"EHLO x\r\n");
    feed(&mut session, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    said(&mut session);
    let no = Reply::new(451, DsnStatus::new(4, 7, 1), "no");
    for (input, replies) in [
        (&b"DATA\r\n"[..], "451 4.7.1 no\r\n"),
        (b"BDAT 3\r\nabc", "451 4.7.1 no\r\n"),
        (b"BDAT 3 LAST\r\nabc", "551 5.0.0 Discarded 3 bytes after earlier error\r\n"),
    ] {
        let mut rest = input;
        while let Event::Data = session.poll_event(&mut rest) {
            session.reply(no.clone());
        }
        assert_eq!(said(&mut session), replies);
    }
    feed(&mut session, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
    said(&mut session);
    let mut rest: &[u8] = b".\r\nNOOP\r\n";
    while session.poll_event(&mut rest) == Event::BodyEnd {
        session.reply(no.clone());
    }
    assert_eq!(said(&mut session), "451 4.7.1 no\r\n250 2.0.0 Ok\r\n");
}
