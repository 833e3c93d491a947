//! Reports against those of Postfix 3.7.11 (`golden/`, as delivered, without what cleanup and local added).

use super::*;
use mail::{DsnStatus, Encoding, Envelope, Fate, QueueId, Recipient};
use spool::Content;

pub(crate) fn notices() -> Notices {
    Notices {
        myhostname: "mail.example.com".into(),
        mail_name: "Postfix".into(),
        double_bounce_sender: "double-bounce".into(),
        notify_classes: NotifyClasses { bounce: true, double_bounce: true, delay: true },
        bounce_notice_recipient: "postmaster".into(),
        double_bounce_notice_recipient: "postmaster".into(),
        delay_notice_recipient: "postmaster".into(),
        bounce_size_limit: 5000,
        smtputf8_enable: true,
        enable_threaded_bounces: true,
        disable_verp_bounces: false,
        is_header_from_obsolete: false,
        delay_warning_time: Duration::from_secs(4),
        maximal_queue_lifetime: Duration::from_secs(14),
        templates: Arc::new(Templates::built_in()),
        parameter: Arc::new(|name| (name == "myhostname").then(|| "mail.example.com".into())),
        zone_at: |_| (0, "UTC".into()),
    }
}

const LONG: &str =
    "550 5.1.1 no such user here with a rather long text that must be folded somewhere I believe";

/// A message as it was in the queue.
struct Original {
    id: &'static str,
    arrival: i64,
    sender: &'static str,
    subject: &'static str,
    body: String,
    /// `Message-Id:` if the client had one.
    message_id: Option<&'static str>,
}

impl Original {
    fn stored(&self, recipients: &[&str]) -> Stored {
        let date = Time::from_secs(self.arrival).rfc5322(0, "UTC");
        let id = self.id;
        let stamp = match self.arrival {
            1_795_569_096 => "20261125011136",
            _ => "20261125011659",
        };
        let ids = self.message_id.map_or(format!("<{stamp}.{id}@mail.example.com>"), str::to_owned);
        let content = format!(
            "Received: by mail.example.com (Postfix, from userid 0)\n\tid {id}; {date}\nFrom: alice@example.com\n\
             To: bad@remote.example\nSubject: {}\nMessage-Id: {ids}\nDate: {date}\n\n{}",
            self.subject, self.body
        );
        let envelope = Envelope {
            sender: self.sender.into(),
            recipients: recipients
                .iter()
                .map(|r| Recipient { address: (*r).into(), ..Recipient::default() })
                .collect(),
            arrival: Time::from_secs(self.arrival),
            ..Envelope::default()
        };
        let id = QueueId::parse(id.as_bytes()).expect("an id");
        Stored::new(id, envelope, Content::new(content.replace('\n', "\r\n"), ""))
    }
}

fn original(id: &'static str, arrival: i64, sender: &'static str, subject: &'static str) -> Original {
    Original { id, arrival, sender, subject, body: "Hello.\n".into(), message_id: None }
}

fn outcome(recipient: u32, status: DsnStatus, reason: &str) -> Outcome {
    let fate = match status.class() {
        2 => Fate::Sent,
        4 => Fate::Deferred,
        _ => Fate::Bounced,
    };
    let reason = reason.into();
    Outcome { recipient, fate, status, reason, remote_mta: None, diagnostic: None, at: Time::default() }
}

fn local(recipient: u32, address: &str, status: DsnStatus, reason: &str) -> Entry {
    Entry::new(address.into(), outcome(recipient, status, reason), "local", Success::Delivered)
}

fn remote(recipient: u32, address: &str, status: DsnStatus, reply: &str) -> Entry {
    let reason = match status.class() {
        2 => reply.to_owned(),
        _ => format!("host 192.0.2.10[192.0.2.10] said: {reply} (in reply to RCPT TO command)"),
    };
    let outcome = Outcome {
        remote_mta: Some("192.0.2.10".into()),
        diagnostic: Some(format!("smtp; {reply}")),
        ..outcome(recipient, status, &reason)
    };
    Entry::new(address.into(), outcome, "192.0.2.10[192.0.2.10]:25", Success::Relayed)
}

const REFUSED: DsnStatus = DsnStatus::new(5, 1, 1);
const LATER: DsnStatus = DsnStatus::new(4, 2, 0);
const FINE: DsnStatus = DsnStatus::new(2, 0, 0);

fn prepared(plan: io::Result<Plan>) -> Vec<Prepared> {
    match plan.expect("content is in memory") {
        Plan::Send(prepared) => prepared,
        Plan::Discard => panic!("discarded"),
    }
}

fn check(prepared: &Prepared, golden: &str) {
    let content = std::str::from_utf8(&prepared.notice.content).expect("text");
    assert!(!content.replace("\r\n", "").contains(['\r', '\n']), "bare CR or LF");
    pretty_eq(&content.replace("\r\n", "\n"), golden);
}

/// The first line that differs says more than two pages.
fn pretty_eq(got: &str, expect: &str) {
    for (n, (got, expect)) in got.lines().zip(expect.lines()).enumerate() {
        assert_eq!(got, expect, "line {}", n + 1);
    }
    assert_eq!(got, expect);
}

#[test]
fn a_failure_of_two_recipients() {
    let stored = original("746CBB4", 1_795_569_096, "alice@example.com", "one").stored(&[
        "bad@remote.example",
        "good@remote.example",
        "nosuchuser@example.com",
    ]);
    let entries = [
        local(2, "nosuchuser@example.com", REFUSED, "unknown user: \"nosuchuser\""),
        remote(0, "bad@remote.example", REFUSED, "550 5.1.1 no such user here"),
    ];
    let quiet =
        Notices { notify_classes: NotifyClasses::default(), enable_threaded_bounces: false, ..notices() };
    let sender = &stored.envelope.sender;
    let prepared = prepared(quiet.failure(&stored, sender, &entries, Time::from_secs(1_795_569_096)));
    assert_eq!(prepared.len(), 1);
    assert!(prepared[0].is_critical && prepared[0].notice.sender.is_null());
    assert_eq!(prepared[0].notice.recipient, "alice@example.com".into());
    check(&prepared[0], include_str!("golden/failure.eml"));
}

#[test]
fn a_failure_with_headers_only() {
    let mut stored = Original {
        message_id: Some("<x@y>"),
        ..original("7586CB6", 1_795_569_096, "alice@example.com", "hdrs")
    }
    .stored(&["bad@remote.example"]);
    stored.envelope.envid = Some("env+2Bid".into());
    stored.envelope.ret = Some(Ret::Headers);
    let entries = [remote(0, "bad@remote.example", REFUSED, "550 5.1.1 no such user here")];
    let quiet = Notices { enable_threaded_bounces: false, ..notices() };
    let sender = &stored.envelope.sender;
    let prepared = prepared(quiet.failure(&stored, sender, &entries, Time::from_secs(1_795_569_096)));
    check(&prepared[0], include_str!("golden/failure-headers.eml"));
}

#[test]
fn a_success() {
    let mut stored = Original {
        message_id: Some("<x@y>"),
        ..original("1A43DB7", 1_795_569_419, "alice@example.com", "hdrs")
    }
    .stored(&["bob@example.com", "good@remote.example"]);
    stored.envelope.envid = Some("env+2Bid".into());
    let entries = [
        local(0, "bob@example.com", FINE, "delivered to maildir"),
        remote(1, "good@remote.example", FINE, "250 2.0.0 taken as 2.1"),
    ];
    let prepared = prepared(notices().success(&stored, &entries, Time::from_secs(1_795_569_419)));
    assert!(!prepared[0].is_critical);
    check(&prepared[0], include_str!("golden/success.eml"));
}

/// `sendmail -bv` and `-v`.
#[test]
fn traces() {
    let quiet = Notices { enable_threaded_bounces: false, ..notices() };
    let header = "Received: by mail.example.com (Postfix, from userid 0)\r\n\tid 7A2D5B4; Wed, 25 Nov 2026 01:53:58 +0000 (UTC)\r\n\
                  From: alice@example.com\r\nSubject: probe\r\nTo:\tgood@remote.example,\r\n\tbad@remote.example,\r\n\ttmp@remote.example,\r\n\
                  \tbob@example.com,\r\n\tnosuch@example.com\r\nMessage-Id: <20261125015358.7A2D5B4@mail.example.com>\r\n\
                  Date: Wed, 25 Nov 2026 01:53:58 +0000 (UTC)\r\n\r\n";
    let bad = "550 5.1.1 no such user";
    let later = DsnStatus::new(4, 1, 1);
    let recipients = [
        "bad@remote.example",
        "bob@example.com",
        "nosuch@example.com",
        "good@remote.example",
        "tmp@remote.example",
    ];
    let stored = traced("7A2D5B4", &recipients, header);
    let entries = [
        remote(0, recipients[0], REFUSED, bad),
        local(1, recipients[1], FINE, "delivers to maildir"),
        local(2, recipients[2], REFUSED, "unknown user: \"nosuch\""),
        remote(3, recipients[3], DsnStatus::new(2, 1, 5), "250 2.1.5 ok"),
        remote(4, recipients[4], later, "450 4.1.1 later"),
    ];
    let plan = quiet.trace(&stored, &entries, true, stored.envelope.arrival);
    check(&prepared(plan)[0], include_str!("golden/probe.eml"));

    let header = "Received: by mail.example.com (Postfix, from userid 0)\r\n\tid 7BDF7B6; Wed, 25 Nov 2026 01:53:58 +0000 (UTC)\r\n\
                  Subject: verbose\r\nMessage-Id: <20261125015358.7BDF7B6@mail.example.com>\r\n\
                  Date: Wed, 25 Nov 2026 01:53:58 +0000 (UTC)\r\nFrom: root <alice@example.com>\r\n\r\nHello.\r\n";
    let recipients = ["bob@example.com", "bad@remote.example", "tmp@remote.example", "good@remote.example"];
    let stored = traced("7BDF7B6", &recipients, header);
    let entries = [
        local(0, recipients[0], FINE, "delivered to maildir"),
        remote(1, recipients[1], REFUSED, bad),
        remote(2, recipients[2], later, "450 4.1.1 later"),
        remote(3, recipients[3], FINE, "250 2.0.0 taken as 2.1"),
    ];
    let plan = quiet.trace(&stored, &entries, false, stored.envelope.arrival);
    check(&prepared(plan)[0], include_str!("golden/verbose.eml"));
}

fn traced(id: &'static str, recipients: &[&str], content: &'static str) -> Stored {
    let mut stored = original(id, 1_795_571_638, "alice@example.com", "x").stored(recipients);
    stored.content = Content::new(content, "");
    stored
}

#[test]
fn a_delay_and_its_postmaster_copy() {
    let stored =
        original("17864B4", 1_795_569_419, "alice@example.com", "one").stored(&["tmp@remote.example"]);
    let entries = [remote(0, "tmp@remote.example", LATER, "450 4.2.0 try later")];
    let prepared = prepared(notices().delay(&stored, &entries, Time::from_secs(1_795_569_422)));
    assert_eq!(prepared.len(), 2);
    check(&prepared[0], include_str!("golden/delay.eml"));
    check(&prepared[1], include_str!("golden/postmaster-delay.eml"));
    assert_eq!(prepared[0].warnings.len(), 6);
    assert_eq!(prepared[1].notice.sender, "double-bounce@mail.example.com".into());
}

#[test]
fn an_expired_message() {
    let stored =
        original("17864B4", 1_795_569_419, "alice@example.com", "one").stored(&["tmp@remote.example"]);
    let entries = [remote(0, "tmp@remote.example", LATER, "450 4.2.0 try later")];
    let sender = &stored.envelope.sender;
    let prepared = prepared(notices().failure(&stored, sender, &entries, Time::from_secs(1_795_569_433)));
    check(&prepared[0], include_str!("golden/expired.eml"));
}

#[test]
fn a_message_above_bounce_size_limit_is_returned_by_its_header() {
    let big = Original {
        body: "Hello hello hello hello hello hello hello\n".repeat(200),
        ..original("23A07C6", 1_795_569_419, "bob@example.com", "big")
    };
    let stored = big.stored(&["bad@remote.example"]);
    let entries = [remote(0, "bad@remote.example", REFUSED, LONG)];
    let sender = &stored.envelope.sender;
    let prepared = prepared(notices().failure(&stored, sender, &entries, Time::from_secs(1_795_569_419)));
    check(&prepared[0], include_str!("golden/too-large.eml"));
}

#[test]
fn quoted_addresses() {
    let stored = original("26393C8", 1_795_569_419, "bob@example.com", "quoted")
        .stored(&["bad space@remote.example", "bad x@remote.example"]);
    let entries = [
        remote(0, "bad space@remote.example", REFUSED, LONG),
        remote(1, "bad x@remote.example", REFUSED, LONG),
    ];
    let sender = &stored.envelope.sender;
    let prepared = prepared(notices().failure(&stored, sender, &entries, Time::from_secs(1_795_569_419)));
    check(&prepared[0], include_str!("golden/quoted.eml"));
}

#[test]
fn a_postmaster_copy() {
    let mut stored = Original {
        message_id: Some("<x@y>"),
        ..original("1A43DB7", 1_795_569_419, "alice@example.com", "hdrs")
    }
    .stored(&["bad@remote.example"]);
    stored.envelope.envid = Some("env+2Bid".into());
    let entries = [remote(0, "bad@remote.example", REFUSED, LONG)];
    let sender = &stored.envelope.sender;
    let prepared = prepared(notices().failure(&stored, sender, &entries, Time::from_secs(1_795_569_419)));
    assert_eq!(prepared.iter().map(|p| p.is_critical).collect::<Vec<_>>(), [true, false]);
    check(&prepared[1], include_str!("golden/postmaster-copy.eml"));
}

#[test]
fn a_failed_bounce_goes_to_the_postmaster() {
    let stored = original("2015EC4", 1_795_569_419, "", "null").stored(&["bad@remote.example"]);
    let entries = [remote(0, "bad@remote.example", REFUSED, LONG)];
    let prepared =
        prepared(notices().failure(&stored, &Address::null(), &entries, Time::from_secs(1_795_569_419)));
    assert_eq!(prepared.len(), 1);
    assert!(prepared[0].is_critical);
    check(&prepared[0], include_str!("golden/double-bounce.eml"));
    let quiet = Notices { notify_classes: NotifyClasses::default(), ..notices() };
    let plan = quiet.failure(&stored, &Address::null(), &entries, Time::default());
    assert!(matches!(plan, Ok(Plan::Send(none)) if none.is_empty()));
}

#[test]
fn a_failed_double_bounce_is_dropped() {
    let stored =
        original("2015EC4", 1_795_569_419, "Double-Bounce@mail.example.com", "x").stored(&["postmaster"]);
    let entries = [local(0, "postmaster", REFUSED, "unknown user")];
    let sender = &stored.envelope.sender;
    assert!(matches!(notices().failure(&stored, sender, &entries, Time::default()), Ok(Plan::Discard)));
    assert!(matches!(notices().delay(&stored, &entries, Time::default()), Ok(Plan::Discard)));
    assert!(prepared(notices().success(&stored, &entries, Time::default())).is_empty());
}

/// NOTIFY= (RFC 3461 4.1): who is named in which notice.
#[test]
fn notify_is_obeyed() {
    let none = Notify::default();
    let mut stored = original("2015EC4", 1_795_569_419, "a@example.com", "x")
        .stored(&["r0@x", "r1@x", "r2@x", "r3@x", "r4@x"]);
    for (r, notify) in
        [none, Notify::NEVER, Notify::SUCCESS, Notify::FAILURE, Notify::DELAY].into_iter().enumerate()
    {
        stored.envelope.recipients[r].notify = notify;
    }
    let entries: Vec<Entry> = (0..5).map(|r| local(r, &format!("r{r}@x"), REFUSED, "no")).collect();
    let named = |prepared: &Prepared| -> Vec<u32> {
        let text = String::from_utf8_lossy(&prepared.notice.content).into_owned();
        (0..5).filter(|r| text.contains(&format!("Final-Recipient: rfc822; r{r}@x"))).collect()
    };
    let sender = &stored.envelope.sender;
    let failure = prepared(notices().failure(&stored, sender, &entries, Time::default()));
    assert_eq!(failure.iter().map(named).collect::<Vec<_>>(), [vec![0, 3], vec![0, 1, 2, 3, 4]]);
    let delay = prepared(notices().delay(&stored, &entries, Time::default()));
    assert_eq!(delay.iter().map(named).collect::<Vec<_>>(), [vec![0, 4], vec![0, 1, 2, 3, 4]]);
    let quiet = Notices { notify_classes: NotifyClasses::default(), ..notices() };
    assert!(prepared(quiet.failure(&stored, sender, &entries[1..3], Time::default())).is_empty());
}

#[test]
fn aliases_utf8_and_original_recipients() {
    let mut stored = original("2015EC4", 1_795_569_419, "j\u{f6}rg@example.com", "x").stored(&[
        "list@example.com",
        "b@x",
        "\u{fc}@x",
    ]);
    stored.envelope.smtputf8 = true;
    stored.envelope.encoding = Encoding::EightBitMime;
    stored.envelope.recipients[1].orcpt = Some("rfc822;Bob+2BX@x".into());
    stored.envelope.recipients[1].original = Some("bob@x".into());
    let entries = [
        local(0, "carol@example.com", REFUSED, "no\r\nway"),
        local(1, "b@x", REFUSED, "no"),
        local(2, "\u{fc}@x", REFUSED, "no"),
    ];
    let sender = &stored.envelope.sender;
    let prepared = prepared(notices().failure(&stored, sender, &entries, Time::default()));
    let text = String::from_utf8_lossy(&prepared[0].notice.content).into_owned();
    for line in [
        "<carol@example.com> (expanded from <list@example.com>): no??way",
        "<b@x> (expanded from <bob@x>): no",
        "<\u{fc}@x>: no",
        "Original-Recipient: rfc822;list@example.com",
        "Original-Recipient: rfc822;Bob+X@x",
        "Original-Recipient: utf-8;\u{fc}@x",
        "Final-Recipient: utf-8; \u{fc}@x",
        "Content-Type: message/global-delivery-status",
        "Content-Type: message/global",
        "X-Postfix-Sender: utf-8; j\u{f6}rg@example.com",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}\n{text}");
    }
    assert!(prepared[0].notice.smtputf8 && prepared[0].notice.is_8bit);
}

#[test]
fn seven_bit_without_smtputf8() {
    let stored = original("2015EC4", 1_795_569_419, "a@example.com", "x").stored(&["b@x"]);
    let plain = Notices {
        smtputf8_enable: false,
        mail_name: "My Mail".into(),
        is_header_from_obsolete: true,
        ..notices()
    };
    let sender = &stored.envelope.sender;
    let prepared =
        prepared(plain.failure(&stored, sender, &[local(0, "b@x", REFUSED, "no")], Time::default()));
    let text = String::from_utf8_lossy(&prepared[0].notice.content).into_owned();
    assert!(text.starts_with("From: MAILER-DAEMON (Mail Delivery System)\r\n"));
    assert!(text.contains("/mail.example.com\"\r\n\r\nThis is a MIME"), "no encoding is said: {text}");
    assert!(text.contains("Content-Type: text/plain; charset=us-ascii\r\n\r\n"));
    assert!(
        text.contains("\r\nDiagnostic-Code: X-My-Mail; no\r\n")
            && text.contains("\r\nX-My-Mail-Queue-ID: 2015EC4\r\n")
    );
}
