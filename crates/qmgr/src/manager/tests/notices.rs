//! What is told to senders, and when.

use super::world::{Act, Plan};
use crate::Settings;
use mail::Notify;
use spool::Spool;
use std::sync::atomic::Ordering;
use std::time::Duration;

const RETURNED: &str = "Undelivered Mail Returned to Sender";
const DELAYED: &str = "Delayed Mail (still being retried)";
const DELIVERED: &str = "Successful Mail Delivery Report";

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn a_bounce_is_told_once_though_others_are_deferred() {
    let w = Plan::new().start(|r, secs| match r {
        "bad@x" => Act::Bounce,
        "late@x" if secs < 1000 => Act::Defer,
        _ => Act::Send,
    });
    let id = w.send("a@remote.example", &["bad@x", "good@x", "late@x"]);
    w.settle().await;
    assert_eq!(w.notices(), [("a@remote.example".into(), RETURNED.into())]);
    assert!(w.is_queued(id));
    let log = w.log();
    let told =
        log.iter().position(|l| l.starts_with(&format!("bounce: {id}: sender non-delivery notification: ")));
    let bounced = log.iter().position(|l| l.contains("status=bounced (no such user)"));
    assert!(bounced < told, "{log:#?}");
    w.pass(5000).await;
    assert!(!w.is_queued(id));
    assert_eq!((w.notices().len(), w.tried_at("bad@x")), (1, vec![0]));
    let text = w.notice_text(0);
    assert!(text.contains("Final-Recipient: rfc822; bad@x") && !text.contains("late@x"));
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_goes_back() {
    let mut plan = Plan::new();
    plan.settings = Settings { maximal_queue_lifetime: secs(3600), ..plan.settings };
    let w = plan.start(|r, _| if r == "late@x" { Act::Defer } else { Act::Send });
    let id = w.send("a@remote.example", &["late@x", "good@x"]);
    w.pass(10_000).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.tried_at("late@x"), [0, 300, 600, 1200, 2400, 4800]);
    assert_eq!(w.notices(), [("a@remote.example".into(), RETURNED.into())]);
    assert_eq!(
        w.logged(&format!("qmgr: {id}: from=<a@remote.example>, status=expired, returned to sender")),
        1
    );
    let text = w.notice_text(0);
    assert!(text.contains("\r\nAction: failed\r\nStatus: 4.2.0\r\n"), "{text}");
    assert_eq!(w.logged(&format!("{id}: removed")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_is_one_attempt() {
    let mut plan = Plan::new();
    plan.settings = Settings { maximal_queue_lifetime: secs(0), ..plan.settings };
    let w = plan.start(|r, _| if r == "late@x" { Act::Defer } else { Act::Send });
    let id = w.send("a@remote.example", &["late@x"]);
    w.settle().await;
    assert!(!w.is_queued(id));
    assert_eq!(w.notices().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_null_sender_is_told_nothing_and_has_its_own_lifetime() {
    let mut plan = Plan::new();
    plan.settings = Settings { bounce_queue_lifetime: secs(400), ..plan.settings };
    let w = plan.start(|r, _| if r == "bad@x" { Act::Bounce } else { Act::Defer });
    let (bad, late) = (w.send("", &["bad@x"]), w.send("", &["late@x"]));
    w.pass(1000).await;
    assert!(!w.is_queued(bad) && !w.is_queued(late));
    assert_eq!(w.tried_at("late@x"), [0, 300, 600]);
    assert_eq!(w.notices(), []);
    assert_eq!(w.logged("from=<>, status=expired, returned to sender"), 1);
}

#[tokio::test(start_paused = true)]
async fn bounces_of_bounces_end() {
    let w = Plan::new().start(|_, _| Act::Bounce);
    let id = w.send("a@remote.example", &["bad@x"]);
    let double = w.send("double-bounce@mail.example.com", &["bad@x"]);
    w.pass(10).await;
    assert!(!w.is_queued(id) && !w.is_queued(double));
    assert_eq!(w.notices().len(), 1);
    assert_eq!(w.logged("undeliverable postmaster notification discarded"), 1);
    assert_eq!(w.handle.counts().await, crate::Counts::default());
    // Mail to the double bounce address itself is dropped.
    w.send("", &["double-bounce@mail.example.com"]);
    w.settle().await;
    assert_eq!(w.logged("status=sent (undeliverable postmaster notification discarded)"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_warned_of_once() {
    let mut plan = Plan::new();
    plan.settings = Settings { delay_warning_time: secs(1000), ..plan.settings };
    let w = plan.start(|_, secs| if secs < 20_000 { Act::Defer } else { Act::Send });
    let id = w.send("a@remote.example", &["late@x"]);
    w.pass(1100).await;
    assert_eq!(w.notices(), []);
    w.pass(200).await;
    assert_eq!(w.notices(), [("a@remote.example".into(), DELAYED.into())]);
    assert_eq!(w.logged(&format!("bounce: {id}: sender delay notification: ")), 1);
    assert!(w.spool.summary(id).expect("queued").warned);
    let w = w.restart().await;
    w.pass(40_000).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.notices(), []);
}

#[tokio::test(start_paused = true)]
async fn a_cleared_delay_is_confirmed_if_wanted() {
    for (confirm, expect) in [(false, 1), (true, 2)] {
        let mut plan = Plan::new();
        plan.settings =
            Settings { delay_warning_time: secs(250), confirm_delay_cleared: confirm, ..plan.settings };
        let w = plan.start(|_, secs| if secs < 500 { Act::Defer } else { Act::Delegate });
        w.send("a@remote.example", &["late@x"]);
        w.pass(2000).await;
        assert_eq!(w.notices().len(), expect, "{:?}", w.notices());
        if confirm {
            assert_eq!(w.notices()[1].1, DELIVERED);
            assert!(w.notice_text(1).contains("Action: relayed"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn success_is_told_where_it_was_asked_for() {
    let w = Plan::new().start(|r, _| match r {
        "passed@x" => Act::Delegate,
        "bad@x" => Act::Bounce,
        _ => Act::Send,
    });
    let both = Notify::SUCCESS.with(Notify::FAILURE);
    let id = w.send_notify(&[
        ("yes@x", both),
        ("passed@x", both),
        ("quiet@x", Notify::default()),
        ("bad@x", Notify::NEVER),
    ]);
    w.settle().await;
    assert!(!w.is_queued(id));
    assert_eq!(w.notices(), [("a@remote.example".into(), DELIVERED.into())]);
    let text = w.notice_text(0);
    assert!(text.contains("<yes@x>: delivery via mx[192.0.2.9]:25: 250 2.0.0 Ok"), "{text}");
    assert_eq!(text.matches("Final-Recipient").count(), 1);
    assert_eq!(w.logged(&format!("bounce: {id}: sender delivery status notification: ")), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_that_cannot_be_queued_is_tried_again_and_nothing_is_lost() {
    let w = Plan::new().start(|r, _| if r == "bad@x" { Act::Bounce } else { Act::Send });
    w.inject.is_broken.store(true, Ordering::SeqCst);
    let id = w.send("a@remote.example", &["bad@x", "good@x"]);
    w.pass(10).await;
    assert!(w.is_queued(id));
    assert_eq!(w.logged("notification failed to a@remote.example: queue file write error"), 1);
    w.inject.is_broken.store(false, Ordering::SeqCst);
    w.pass(1000).await;
    assert!(!w.is_queued(id));
    assert_eq!((w.notices().len(), w.tried_at("bad@x"), w.tried_at("good@x")), (1, vec![0], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_bounce_that_a_restart_interrupted_is_told_after_it() {
    let w = Plan::new().start(|r, _| if r == "bad@x" { Act::Bounce } else { Act::Send });
    w.inject.is_broken.store(true, Ordering::SeqCst);
    let id = w.send("a@remote.example", &["bad@x"]);
    w.settle().await;
    let w = w.restart().await;
    w.pass(1000).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.notices(), [("a@remote.example".into(), RETURNED.into())]);
    assert!(w.notice_text(0).contains("<bad@x>: no such user"));
    assert_eq!(w.tried_at("bad@x"), [], "it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn soft_bounces_stay() {
    let w = Plan::new().start(|r, _| if r == "bad@soft.t" { Act::Bounce } else { Act::Send });
    let id = w.send("a@remote.example", &["bad@soft.t"]);
    w.settle().await;
    assert!(w.is_queued(id));
    assert_eq!(w.logged("dsn=4.1.1, status=SOFTBOUNCE (no such user)"), 1);
    assert_eq!(w.notices(), []);
}

/// `sendmail -bv`: said of each, delivered to none, tried once.
#[tokio::test(start_paused = true)]
async fn a_users_probe_is_answered_by_a_report() {
    let w = Plan::new().start(|r, _| match r {
        "bad@x" => Act::Bounce,
        "late@x" => Act::Defer,
        _ => Act::Send,
    });
    let id = w.send_with("a@remote.example", &["bad@x", "good@x", "late@x", "f@syntax.example"], |e| {
        e.extra.push(("trace_flags".into(), "512".into()));
        e.content_filter = Some("smtp:filter".into());
    });
    w.settle().await;
    assert!(!w.is_queued(id));
    assert_eq!(w.logged("status=undeliverable (no such user)"), 1);
    assert_eq!(w.logged("status=deliverable (250 2.0.0 Ok)"), 1);
    assert_eq!(w.logged("dsn=5.1.3, status=undeliverable (bad address syntax)"), 1);
    assert_eq!(w.notices(), [("a@remote.example".into(), "Mail Delivery Status Report".into())]);
    let text = w.notice_text(0);
    assert_eq!(text.matches("\r\nAction: undeliverable\r\n").count(), 3);
    assert_eq!(text.matches("\r\nAction: deliverable\r\n").count(), 1);
    assert!(
        w.attempts().iter().all(|a| a.nexthop != "filter" && (a.is_probe || a.nexthop == "remote.example"))
    );
}

/// `sendmail -v`: a report of the first attempt at each, beside what is told anyway.
#[tokio::test(start_paused = true)]
async fn a_verbose_message_is_delivered_and_reported() {
    let w = Plan::new().start(|r, secs| match r {
        "bad@x" => Act::Bounce,
        "late@x" if secs < 100 => Act::Defer,
        _ => Act::Send,
    });
    let id = w.send_with("a@remote.example", &["bad@x", "good@x", "late@x"], |e| {
        e.extra.push(("trace_flags".into(), "1024".into()));
    });
    w.pass(1000).await;
    assert!(!w.is_queued(id));
    let subjects: Vec<String> = w.notices().into_iter().map(|(_, subject)| subject).collect();
    assert_eq!(subjects, [RETURNED, "Mail Delivery Status Report"]);
    let text = w.notice_text(1);
    for action in ["failed", "relayed", "delayed"] {
        assert_eq!(text.matches(&format!("\r\nAction: {action}\r\n")).count(), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_probe_is_told_to_the_server() {
    let mut plan = Plan::new();
    plan.settings = Settings { address_verify_pending_request_limit: 3, ..plan.settings };
    let w = plan.start(|r, _| if r == "bad@x" { Act::Bounce } else { Act::Slow(5) });
    for recipient in ["bad@x", "1@x", "2@x", "3@x", "4@x"] {
        w.send_with("double-bounce@example.com", &[recipient], |e| {
            e.recipients[0].original = Some(format!("orig-{recipient}").as_str().into());
            e.extra.push(("trace_flags".into(), "256".into()));
        });
        w.settle().await;
    }
    w.pass(10).await;
    assert_eq!(w.handle.counts().await, crate::Counts::default());
    assert_eq!(w.notices(), []);
    let probed = w.probed.0.lock().unwrap().clone();
    let found = |address: &str| probed.iter().find(|p| p.0 == address).map(|p| (p.1, p.2.as_str()));
    assert_eq!(found("bad@x"), Some((mail::Fate::Bounced, "no such user")));
    assert_eq!(found("orig-bad@x"), Some((mail::Fate::Bounced, "no such user")));
    assert_eq!(found("1@x"), Some((mail::Fate::Sent, "250 2.0.0 Ok")));
    assert_eq!(found("4@x"), Some((mail::Fate::Deferred, "Too many address verification requests")));
    assert_eq!(w.logged("status=deliverable"), 3);
}
