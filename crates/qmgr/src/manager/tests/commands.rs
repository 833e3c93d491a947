//! postqueue, postsuper, reload.

use super::world::{Act, Plan, World};
use crate::{Counts, Settings};
use spool::{Admin, Spool, SpoolError};

/// A message that is deferred until second 5000.
async fn deferred() -> (World, mail::QueueId) {
    let w = Plan::new().start(|_, secs| if secs < 5000 { Act::Defer } else { Act::Send });
    let id = w.send("a@b", &["u@x"]);
    w.settle().await;
    (w, id)
}

#[tokio::test(start_paused = true)]
async fn flush_tries_everything_at_once() {
    let (w, _) = deferred().await;
    w.send("a@b", &["v@y"]);
    w.pass(20).await;
    w.handle.flush();
    w.settle().await;
    assert_eq!((w.tried_at("u@x"), w.tried_at("v@y")), (vec![0, 20], vec![0, 20]));
}

#[tokio::test(start_paused = true)]
async fn flush_of_one_message_or_site() {
    let (w, id) = deferred().await;
    w.send("a@b", &["v@y", "w@Z"]);
    w.pass(20).await;
    w.handle.flush_message(id);
    w.handle.flush_message(mail::QueueId::parse(b"NOSUCH").expect("an id"));
    w.settle().await;
    assert_eq!((w.tried_at("u@x").len(), w.tried_at("v@y").len()), (2, 1));
    w.handle.flush_site("z");
    w.settle().await;
    assert_eq!((w.tried_at("u@x").len(), w.tried_at("v@y").len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn flush_revives_dead_destinations() {
    let mut plan = Plan::new();
    plan.limits.window.initial_destination_concurrency = 1;
    let w = plan.start(|_, secs| if secs < 10 { Act::Dead } else { Act::Send });
    let (a, b) = (w.send("a@b", &["u@x"]), w.send("a@b", &["u@y"]));
    w.pass(20).await;
    w.handle.flush_message(a);
    w.settle().await;
    assert!(!w.is_queued(a) && w.is_queued(b));
    w.handle.flush();
    w.settle().await;
    assert!(!w.is_queued(b));
}

#[tokio::test(start_paused = true)]
async fn defer_transports_waits_for_a_flush() {
    let mut plan = Plan::new();
    plan.settings = Settings { defer_transports: vec!["smtp".into()], ..plan.settings };
    let w = plan.start(|_, _| Act::Send);
    let id = w.send("a@b", &["u@x"]);
    w.pass(700).await;
    assert!(w.is_queued(id) && w.attempts().is_empty());
    assert!(w.logged("dsn=4.3.2, status=deferred (deferred transport)") >= 2);
    w.handle.flush();
    w.settle().await;
    assert!(!w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn hold_and_release_of_a_waiting_message() {
    let (w, id) = deferred().await;
    w.handle.administer(id, Admin::Hold).await.expect("known");
    w.handle.flush();
    w.pass(10_000).await;
    assert_eq!(
        (w.tried_at("u@x"), w.handle.counts().await),
        (vec![0], Counts { held: 1, ..Counts::default() })
    );
    w.handle.administer(id, Admin::Release).await.expect("known");
    w.settle().await;
    assert!(w.is_queued(id), "the next queue run takes it");
    w.pass(300).await;
    assert!(!w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn hold_during_a_delivery_waits_for_it() {
    let w = Plan::new().start(|r, _| if r == "slow@x" { Act::Slow(100) } else { Act::Send });
    let mut recipients: Vec<String> = (0..200).map(|n| format!("{n}@busy")).collect();
    recipients.push("slow@x".into());
    let id = w.send("a@b", &recipients.iter().map(String::as_str).collect::<Vec<_>>());
    w.settle().await;
    w.handle.administer(id, Admin::Hold).await.expect("known");
    assert_eq!(w.handle.active_ids().await, [id]);
    w.pass(200).await;
    assert_eq!(w.handle.counts().await, Counts { held: 1, ..Counts::default() });
    assert_eq!(w.spool.summary(id).expect("queued").pending, 0, "all were delivered meanwhile");
    w.handle.administer(id, Admin::Release).await.expect("known");
    w.pass(400).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.tried_at("slow@x"), [0]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_taken_back_by_a_hold() {
    let mut plan = Plan::new();
    plan.limits.process_limit = 1;
    plan.limits.destination_recipient_limit = 1;
    let w = plan.start(|_, _| Act::Slow(10));
    let id = w.send("a@b", &["a@x", "b@x", "c@x"]);
    w.settle().await;
    w.handle.administer(id, Admin::Hold).await.expect("known");
    w.pass(1000).await;
    assert_eq!(w.attempts().len(), 1);
    assert_eq!(w.spool.summary(id).expect("queued").pending, 2);
    w.handle.administer(id, Admin::Requeue).await.expect("known");
    w.pass(100).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.attempts().len(), 3, "none twice");
}

#[tokio::test(start_paused = true)]
async fn delete_waits_for_nothing() {
    let w = Plan::new().start(|r, _| if r == "slow@x" { Act::Slow(100) } else { Act::Bounce });
    let (slow, late) = (w.send("a@b", &["slow@x"]), w.send("a@b", &["v@later.example"]));
    w.settle().await;
    for id in [slow, late] {
        w.handle.administer(id, Admin::Delete).await.expect("known");
        assert!(!w.is_queued(id));
        assert!(matches!(w.handle.administer(id, Admin::Delete).await, Err(SpoolError::Unknown(_))));
    }
    w.pass(1000).await;
    assert_eq!((w.handle.counts().await, w.logged("removed"), w.notices().len()), (Counts::default(), 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_held_message_arrives_held() {
    let w = Plan::new().start(|_, _| Act::Send);
    let mut draft = w.spool.draft(mail::Time::default(), 0).expect("room");
    draft.hold();
    let id = draft.id();
    w.spool.commit(draft, mail::Envelope::default()).await.expect("memory works");
    w.pass(1000).await;
    assert!(w.is_queued(id));
    assert_eq!(w.handle.counts().await, Counts { held: 1, ..Counts::default() });
    let w = w.restart().await;
    w.pass(1000).await;
    assert_eq!(w.handle.counts().await, Counts { held: 1, ..Counts::default() });
}

#[tokio::test(start_paused = true)]
async fn expire_returns_with_the_last_reason() {
    let (w, id) = deferred().await;
    w.handle.administer(id, Admin::Expire).await.expect("known");
    w.handle.flush();
    w.settle().await;
    assert!(!w.is_queued(id));
    assert_eq!(w.tried_at("u@x"), [0]);
    assert_eq!(w.logged("from=<a@b>, status=force-expired, returned to sender"), 1);
    assert!(w.notice_text(0).contains("<u@x>: try later"));
    // Never tried: there is no reason yet.
    let mut draft = w.spool.draft(mail::Time::default(), 0).expect("room");
    draft.hold();
    let id = draft.id();
    let recipients = vec![mail::Recipient { address: "v@y".into(), ..mail::Recipient::default() }];
    let envelope = mail::Envelope { sender: "a@b".into(), recipients, ..mail::Envelope::default() };
    w.spool.commit(draft, envelope).await.expect("memory works");
    w.settle().await;
    w.handle.administer(id, Admin::Expire).await.expect("known");
    w.handle.administer(id, Admin::Release).await.expect("known");
    w.pass(400).await;
    assert!(!w.is_queued(id));
    assert_eq!(w.logged("dsn=4.7.0, status=deferred (message is administratively expired)"), 1);
    assert!(w.notice_text(1).contains("<v@y>: message is administratively expired"));
}

#[tokio::test(start_paused = true)]
async fn reload_takes_new_parameters_and_transports() {
    let (mut w, id) = deferred().await;
    w.reload_without("smtp");
    w.settle().await;
    let other = w.send("a@b", &["v@y"]);
    w.settle().await;
    assert!(w.is_queued(other));
    assert_eq!(w.logged("status=deferred (mail transport unavailable)"), 1);
    w.settings.minimal_backoff_time = std::time::Duration::from_secs(10);
    w.settings.queue_run_delay = std::time::Duration::from_secs(10);
    w.reload();
    w.handle.flush();
    w.pass(45).await;
    // Deferred before the reload, flushed, and then by the new times.
    assert_eq!(w.tried_at("u@x"), [0, 0, 10, 20, 40]);
    assert!(w.is_queued(id));
}

#[tokio::test(start_paused = true)]
async fn requests_to_a_manager_that_has_ended_do_nothing() {
    let (w, id) = deferred().await;
    w.handle.shutdown().await;
    w.handle.flush();
    assert!(matches!(w.handle.administer(id, Admin::Hold).await, Err(SpoolError::Closed)));
    assert_eq!((w.handle.counts().await, w.handle.active_ids().await), (Counts::default(), vec![]));
}
