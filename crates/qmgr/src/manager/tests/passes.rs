//! Deliveries, retries, limits, and what goes wrong.

use super::world::{Act, Plan};
use crate::Settings;
use crate::scheduler::{Limits, WindowLimits};
use spool::{Health, Spool};
use std::collections::HashSet;

fn window(initial: u32, limit: u32) -> WindowLimits {
    WindowLimits {
        initial_destination_concurrency: initial,
        destination_concurrency_limit: limit,
        ..Limits::default().window
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_logged_and_removed() {
    let w = Plan::new().start(|_, _| Act::Send);
    let id = w.send("a@remote.example", &["b@x.example"]);
    w.settle().await;
    assert!(!w.is_queued(id));
    let log = w.log();
    assert_eq!(log[0], format!("qmgr: {id}: from=<a@remote.example>, size=22, nrcpt=1 (queue active)"));
    assert!(
        log[1].starts_with(&format!("smtp: {id}: to=<b@x.example>, relay=mx[192.0.2.9]:25, delay=0"))
            && log[1].ends_with("/0, dsn=2.0.0, status=sent (250 2.0.0 Ok)"),
        "{}",
        log[1]
    );
    assert_eq!(log[2..], [format!("qmgr: {id}: removed")]);
    assert_eq!(w.handle.counts().await, crate::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn recipients_are_grouped_sorted_and_sent_once() {
    let w = Plan::new().start(|_, _| Act::Send);
    w.send("a@b", &["z@x", "b@x", "B@X", "c@y", "u@example.com", "a@x", "b@x"]);
    w.settle().await;
    let mut jobs: Vec<(String, Vec<String>)> =
        w.attempts().into_iter().map(|a| (a.nexthop.to_lowercase(), a.recipients)).collect();
    jobs.sort();
    assert_eq!(jobs.len(), 3);
    assert_eq!(jobs[0], ("example.com".into(), vec!["u@example.com".into()]));
    assert_eq!(jobs[1].1.iter().map(|r| r.to_lowercase()).collect::<Vec<_>>(), ["a@x", "b@x", "z@x"]);
    assert_eq!(w.logged("removed"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_recipient_limit_splits() {
    let limits = Limits { destination_recipient_limit: 2, ..Limits::default() };
    let w = Plan { limits, ..Plan::new() }.start(|_, _| Act::Send);
    w.send("a@b", &["1@x", "2@x", "3@x", "4@x", "5@x"]);
    w.settle().await;
    let mut sizes: Vec<usize> = w.attempts().iter().map(|a| a.recipients.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn deferred_recipients_are_tried_at_growing_intervals() {
    let w = Plan::new().start(|r, secs| if r == "slow@x" && secs < 3000 { Act::Defer } else { Act::Send });
    let id = w.send("a@b", &["slow@x", "quick@x"]);
    w.pass(20_000).await;
    // After 300 s, then as long as it is old, at the next queue run.
    assert_eq!(w.tried_at("slow@x"), [0, 300, 600, 1200, 2400, 4800]);
    assert_eq!(w.tried_at("quick@x"), [0]);
    assert!(!w.is_queued(id));
    assert_eq!(w.logged(&format!("{id}: removed")), 1);
    assert_eq!(w.logged("nrcpt=2 (queue active)"), 6);
    assert_eq!(w.notices(), []);
}

#[tokio::test(start_paused = true)]
async fn a_new_message_goes_at_once_while_others_wait() {
    let w = Plan::new().start(|r, _| if r.starts_with("slow") { Act::Defer } else { Act::Send });
    for n in 0..200 {
        w.send("a@b", &[&format!("slow{n}@x{n}")]);
    }
    w.pass(10).await;
    w.send("a@b", &["quick@x"]);
    w.settle().await;
    assert_eq!(w.tried_at("quick@x"), [10]);
    assert_eq!(w.handle.counts().await.waiting, 200);
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_is_left_alone_and_comes_back() {
    let limits = Limits { window: window(1, 1), ..Limits::default() };
    let w = Plan { limits, ..Plan::new() }.start(|r, secs| match r.ends_with("@dead") && secs < 400 {
        true => Act::Dead,
        false => Act::Send,
    });
    for n in 0..5 {
        w.send("a@b", &[&format!("{n}@dead")]);
    }
    w.settle().await;
    assert_eq!(w.attempts().len(), 1, "one is enough to know");
    assert_eq!(w.logged("status=deferred (connect to mx: Connection refused)"), 1);
    let text =
        "dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to mx: Connection refused)";
    assert_eq!(w.logged(text), 4);
    assert!(w.log().iter().any(|l| l.starts_with("error: ") && l.contains("relay=none")));
    w.send("a@b", &["new@dead", "1@alive"]);
    w.settle().await;
    assert_eq!((w.attempts().len(), w.logged(text)), (2, 5));
    w.pass(2000).await;
    assert_eq!(w.handle.counts().await, crate::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_slow_destination_does_not_hold_up_others() {
    let w = Plan::new().start(|r, _| if r.ends_with("@slow") { Act::Slow(1000) } else { Act::Send });
    for n in 0..100 {
        w.send("a@b", &[&format!("{n}@slow")]);
    }
    for n in 0..100 {
        w.send("a@b", &[&format!("{n}@fast")]);
    }
    w.pass(1).await;
    let fast = w.attempts().iter().filter(|a| a.nexthop == "fast").count();
    let slow = w.attempts().iter().filter(|a| a.nexthop == "slow").count();
    assert_eq!((fast, slow), (100, 5), "the slow one has its initial window");
    w.pass(100_000).await;
    assert_eq!(w.handle.counts().await, crate::Counts::default());
}

#[tokio::test(start_paused = true)]
async fn a_panicking_agent_defers_its_recipients_only() {
    let w = Plan::new().start(|r, secs| match r {
        "poison@x" if secs < 1000 => Act::Panic,
        _ => Act::Send,
    });
    let id = w.send("a@b", &["a@x", "poison@x", "z@x"]);
    let other = w.send("a@b", &["b@y"]);
    w.settle().await;
    assert!(w.is_queued(id) && !w.is_queued(other));
    assert_eq!(w.logged("to=<a@x>") + w.logged("status=sent"), 1 + 2);
    for r in ["poison@x", "z@x"] {
        let line = w.log().into_iter().find(|l| l.contains(&format!("to=<{r}>"))).expect("logged");
        assert!(line.ends_with("dsn=4.3.0, status=deferred (unknown mail transport error)"), "{line}");
    }
    w.pass(5000).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.tried_at("a@x"), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_recipient_is_deferred() {
    let w = Plan::new().start(|r, secs| if r == "b@x" && secs == 0 { Act::Forget } else { Act::Send });
    let id = w.send("a@b", &["a@x", "b@x", "c@x"]);
    w.pass(1000).await;
    assert!(!w.is_queued(id));
    assert_eq!(
        (w.tried_at("a@x"), w.tried_at("b@x"), w.tried_at("c@x")),
        (vec![0], vec![0, 300], vec![0, 300])
    );
}

#[tokio::test(start_paused = true)]
async fn recipients_without_a_route() {
    let w = Plan::new().start(|_, _| Act::Send);
    let id = w.send(
        "a@b",
        &["a@later.example", "b@syntax.example", "c@panic.example", "d@slow.example", "e@nosuch.t", "f@x"],
    );
    w.pass(2).await;
    for (recipient, service, end) in [
        ("a@later.example", "error", "dsn=4.3.0, status=deferred (address resolver failure)"),
        ("c@panic.example", "error", "dsn=4.3.0, status=deferred (address resolver failure)"),
    ] {
        let line = w.log().into_iter().find(|l| l.contains(&format!("to=<{recipient}>"))).expect("logged");
        assert!(line.starts_with(service) && line.ends_with(end), "{line}");
    }
    assert!(w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn routes_that_take_a_while_or_do_not_exist() {
    let w = Plan::new().start(|_, _| Act::Send);
    w.send("a@b", &["d@slow.example", "f@x"]);
    w.send("a@b", &["b@syntax.example"]);
    w.pass(2).await;
    assert_eq!((w.tried_at("d@slow.example"), w.tried_at("f@x")), (vec![1], vec![1]));
    assert_eq!(w.logged("dsn=5.1.3, status=bounced (bad address syntax)"), 1);
    assert_eq!(w.notices(), [("a@b".into(), "Undelivered Mail Returned to Sender".into())]);
    let id = w.send("a@b", &["e@nosuch.t", "g@nosuch.t"]);
    w.settle().await;
    assert_eq!(w.logged("warning: connect to transport private/nosuch: No such file or directory"), 1);
    assert_eq!(
        w.logged(
            "relay=none, delay=0, delays=0/0/0/0, dsn=4.3.0, status=deferred (mail transport unavailable)"
        ),
        2
    );
    assert!(w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn the_active_limit_holds_and_all_get_through() {
    let mut plan = Plan::new();
    plan.settings = Settings { qmgr_message_active_limit: 10, ..plan.settings };
    plan.limits.process_limit = 0;
    let w = plan.start(|_, _| Act::Slow(1));
    for n in 0..100 {
        w.send("a@b", &[&format!("u@x{n}")]);
    }
    w.settle().await;
    assert_eq!(w.handle.counts().await.active, 10);
    assert!(w.handle.incoming() >= 80);
    w.pass(20).await;
    assert_eq!(w.attempts().len(), 100);
    assert_eq!((w.handle.counts().await, w.handle.incoming()), (crate::Counts::default(), 0));
}

#[tokio::test(start_paused = true)]
async fn many_recipients_are_taken_in_slices() {
    let mut plan = Plan::new();
    plan.settings = Settings { qmgr_message_recipient_limit: 100, ..plan.settings };
    let w = plan.start(|r, _| if r.starts_with("99") { Act::Bounce } else { Act::Send });
    let all: Vec<String> = (0..3000).map(|n| format!("{n}@d{}", n % 7)).collect();
    let id = w.send("a@b", &all.iter().map(String::as_str).collect::<Vec<_>>());
    w.pass(10).await;
    assert!(!w.is_queued(id));
    let tried: HashSet<String> = w.attempts().into_iter().flat_map(|a| a.recipients).collect();
    assert_eq!(tried.len(), 3001, "and the sender's notice");
    assert_eq!(w.notices().len(), 1);
    assert_eq!(w.notice_text(0).matches("Final-Recipient").count(), 11);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_while_outcomes_cannot_be_recorded() {
    let w = Plan::new().start(|_, _| Act::Send);
    let id = w.send("a@b", &["a@x"]);
    w.spool.set_health(Health::Failing("Input/output error".into()));
    w.pass(10).await;
    assert_eq!(w.attempts(), []);
    assert_eq!(w.logged("warning: deliveries pause while the spool is failing: Input/output error"), 1);
    w.spool.set_health(Health::Good);
    w.settle().await;
    assert!(!w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_deliveries_and_starts_none() {
    let limits = Limits { window: window(1, 1), ..Limits::default() };
    let w = Plan { limits, ..Plan::new() }.start(|_, secs| if secs < 60 { Act::Slow(50) } else { Act::Send });
    let ids: Vec<_> = (0..3).map(|n| w.send("a@b", &[&format!("{n}@x")])).collect();
    w.settle().await;
    let before = w.clock.secs();
    let handle = w.handle.clone();
    let spool = w.spool.clone();
    handle.shutdown().await;
    assert!(w.clock.secs() >= before + 49, "waited");
    assert_eq!(w.attempts().len(), 1);
    assert_eq!(ids.iter().filter(|id| spool.summary(**id).is_some()).count(), 2);
    drop(spool);
    handle.shutdown().await;
    w.pass(60).await;
    let w = w.restart().await;
    w.pass(1).await;
    assert_eq!(w.attempts().len(), 2, "the rest, at once");
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_what_was_deferred() {
    let w = Plan::new().start(|_, secs| if secs < 500 { Act::Defer } else { Act::Send });
    let id = w.send("a@b", &["a@x"]);
    w.pass(100).await;
    let w = w.restart().await;
    w.pass(150).await;
    assert_eq!(w.attempts(), [], "not due yet");
    w.pass(2000).await;
    assert!(!w.is_queued(id));
    // Queue runs count from the start at 100.
    assert_eq!(w.tried_at("a@x"), [400, 1000]);
}

#[tokio::test(start_paused = true)]
async fn a_content_filter_and_a_redirect_override_routes() {
    let w = Plan::new().start(|_, _| Act::Send);
    w.send_with("a@b", &["u@example.com"], |e| e.content_filter = Some("smtp:[127.0.0.1]:10024".into()));
    w.send_with("a@b", &["u@x"], |e| e.content_filter = Some("smtp:".into()));
    let id = w.send_with("a@b", &["u@x", "v@y", "w@z"], |e| {
        e.extra.push(("redirect_to".into(), "other@q".into()));
    });
    w.settle().await;
    let jobs: Vec<(String, Vec<String>)> =
        w.attempts().into_iter().map(|a| (a.nexthop, a.recipients)).collect();
    assert_eq!(
        jobs,
        [
            ("[127.0.0.1]:10024".into(), vec!["u@example.com".into()]),
            ("x".into(), vec!["u@x".into()]),
            ("q".into(), vec!["other@q".into()])
        ]
    );
    assert!(!w.is_queued(id));
    assert!(w.log().iter().any(|l| l.contains("to=<other@q>, orig_to=<u@x>, ")));
}

#[tokio::test(start_paused = true)]
async fn verp_gives_each_recipient_its_sender() {
    let w = Plan::new().start(|r, _| if r == "b@x" { Act::Bounce } else { Act::Send });
    w.send_with("list@o", &["a@x", "b@x"], |e| e.extra.push(("verp_delims".into(), "+=".into())));
    w.settle().await;
    let mut senders: Vec<String> = w.attempts().into_iter().map(|a| a.sender).collect();
    senders.sort();
    assert_eq!(senders, ["", "list+a=x@o", "list+b=x@o"]);
    assert_eq!(w.notices(), [("list+b=x@o".into(), "Undelivered Mail Returned to Sender".into())]);
}

#[tokio::test(start_paused = true)]
async fn members_of_an_alias_are_logged_and_told_of() {
    let w = Plan::new().start(|r, _| if r == "list@example.com" { Act::Expand } else { Act::Send });
    let id = w.send("a@b", &["list@example.com"]);
    w.settle().await;
    assert!(!w.is_queued(id));
    assert_eq!(w.logged("to=<m1@example.com>, orig_to=<list@example.com>, "), 1);
    assert_eq!(w.logged(" to=<list@example.com>"), 0);
    let notices: Vec<String> = w.notices().into_iter().map(|(to, _)| to).collect();
    assert_eq!(notices, ["owner@example.com", "a@b"]);
    assert!(w.notice_text(0).contains("<m3@example.com>: no such member"));
    assert!(!w.notice_text(0).contains("Original-Recipient"));
    assert!(w.notice_text(1).contains("<m2@example.com> (expanded from <list@example.com>): no such member"));
    assert_eq!(w.logged("to=<m3@example.com>, relay="), 1);
}

#[tokio::test(start_paused = true)]
async fn of_an_alias_success_reports_tell_that_it_was_expanded() {
    let w = Plan::new().start(|r, _| if r == "list@example.com" { Act::Expand } else { Act::Send });
    w.send_with("a@b", &["list@example.com"], |e| {
        e.recipients[0].notify = mail::Notify::SUCCESS.with(mail::Notify::FAILURE);
    });
    w.settle().await;
    let report = w.notice_text(2);
    assert_eq!(w.notices()[2].1, "Successful Mail Delivery Report");
    assert!(report.contains("Final-Recipient: rfc822; list@example.com\r\n"), "{report}");
    assert!(report.contains("Action: expanded\r\n") && !report.contains("m1@example.com"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_fills_the_active_queue_is_warned_of() {
    let mut plan = Plan::new();
    plan.settings = Settings { qmgr_message_active_limit: 100, ..plan.settings };
    let w = plan.start(|_, _| Act::Slow(1000));
    for n in 0..60 {
        w.send("a@b", &[&format!("{n}@crowd")]);
        w.send("a@b", &[&format!("{n}@other{n}")]);
    }
    w.pass(400).await;
    for line in [
        "warning: mail for crowd is using up 21 of 100 active queue entries",
        "warning: this may slow down other mail deliveries",
        "warning: you may need a separate master.cf transport for crowd",
        "warning: to turn off these warnings specify: qmgr_clog_warn_time = 0",
    ] {
        assert_eq!(w.logged(line), 1, "{line}");
    }
    w.send("a@b", &["late@crowd"]);
    w.settle().await;
    assert_eq!(w.logged("you may need"), 1, "no room, nothing new");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_hangs_is_ended() {
    let w = Plan::new().start(|_, secs| if secs < 100 { Act::Slow(1 << 30) } else { Act::Send });
    let id = w.send("a@b", &["u@x"]);
    w.pass(18_001).await;
    assert_eq!(w.logged("delivery ended after daemon_timeout"), 1);
    assert_eq!(w.logged("dsn=4.3.0, status=deferred (unknown mail transport error)"), 1);
    w.pass(5000).await;
    assert!(!w.is_queued(id));
}
