//! Many messages, agents that do anything, commands and restarts in between: every message ends, and every recipient was
//! delivered, or its failure was told.

use super::world::{Act, Plan, World};
use crate::Settings;
use mail::QueueId;
use proptest::prelude::*;
use spool::{Admin, Spool};
use std::collections::HashMap;
use std::time::Duration;

/// One number decides what happens to a recipient at a time.
fn fate(recipient: &str, secs: u64, seed: u64) -> Act {
    let mut hash = seed ^ secs.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for b in recipient.bytes() {
        hash = (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3);
    }
    // The world calms down, so that everything can end.
    let is_wild = secs < 20_000;
    match (hash >> 20) % 16 {
        0..=5 => Act::Send,
        6 => Act::Slow(hash >> 30 & 63),
        7 => Act::Bounce,
        8..=10 if is_wild => Act::Defer,
        11 if is_wild => Act::Forget,
        12 if is_wild => Act::Panic,
        13..=14 if is_wild => Act::Dead,
        _ => Act::Send,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send { recipients: Vec<(u8, u8)> },
    Pass(u16),
    Flush,
    Admin(u8, usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec((0u8..20, 0u8..6), 1..12).prop_map(|recipients| Step::Send { recipients }),
        4 => (0u16..900).prop_map(Step::Pass),
        1 => Just(Step::Flush),
        2 => (0u8..4, any::<usize>()).prop_map(|(action, which)| Step::Admin(action, which)),
        1 => Just(Step::Restart),
    ]
}

/// What was sent.
type Sent = HashMap<QueueId, Vec<String>>;

async fn take(w: World, step: Step, sent: &mut Sent, told: &mut Told) -> World {
    match step {
        Step::Send { recipients } => {
            let mut all: Vec<String> = recipients.iter().map(|(u, d)| format!("u{u}@d{d}")).collect();
            all.sort();
            all.dedup();
            let id = w.send("sender@remote.example", &all.iter().map(String::as_str).collect::<Vec<_>>());
            sent.insert(id, all);
        }
        Step::Pass(secs) => w.pass(secs.into()).await,
        Step::Flush => w.handle.flush(),
        Step::Admin(action, which) => {
            let mut ids: Vec<QueueId> = sent.keys().copied().collect();
            ids.sort();
            let actions = [Admin::Hold, Admin::Release, Admin::Requeue, Admin::Expire];
            if let Some(id) = ids.get(which % ids.len().max(1)) {
                let result = w.handle.administer(*id, actions[usize::from(action)]).await;
                assert_eq!(result.is_ok(), w.spool.summary(*id).is_some() || result.is_ok());
            }
        }
        Step::Restart => {
            w.handle.shutdown().await;
            told.read(&w);
            return w.restart().await;
        }
    }
    w
}

/// What came of it, over all restarts.
#[derive(Default)]
struct Told {
    sent: HashMap<(QueueId, String), usize>,
    bounced: HashMap<(QueueId, String), usize>,
    noticed: Vec<(String, String)>,
    log: Vec<String>,
}

impl Told {
    fn read(&mut self, w: &World) {
        self.log.extend(w.log());
        for line in w.log() {
            let Some((id, recipient)) = line.split_once(": ").and_then(|(_, rest)| {
                let (id, rest) = rest.split_once(": to=<")?;
                Some((QueueId::parse(id.as_bytes())?, rest.split_once('>')?.0.to_owned()))
            }) else {
                continue;
            };
            if line.contains("status=sent") {
                *self.sent.entry((id, recipient)).or_default() += 1;
            } else if line.contains("status=bounced") {
                *self.bounced.entry((id, recipient)).or_default() += 1;
            }
        }
        let notices = w.inject.notices.lock().unwrap();
        for notice in notices.iter() {
            let text = String::from_utf8_lossy(&notice.content);
            let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name).map(str::to_owned));
            let id = field("X-Postfix-Queue-ID: ").expect("a notice names the message");
            let recipients = text.lines().filter_map(|l| l.strip_prefix("Final-Recipient: rfc822; "));
            self.noticed.extend(recipients.map(|r| (id.clone(), r.to_owned())));
        }
    }

    fn check(&self, sent: &Sent) {
        for (id, recipients) in sent {
            for recipient in recipients {
                let key = (*id, recipient.clone());
                let delivered = self.sent.get(&key).copied().unwrap_or_default();
                let bounced = self.bounced.get(&key).copied().unwrap_or_default();
                let noticed =
                    self.noticed.iter().filter(|(i, r)| *i == id.to_string() && r == recipient).count();
                let is_right = delivered + noticed == 1 && bounced <= noticed;
                let log = || self.log.iter().filter(|l| l.contains(id.as_str())).collect::<Vec<_>>();
                assert!(is_right, "{recipient}: delivered {delivered}, told {noticed}: {:#?}", log());
            }
        }
    }
}

async fn run(steps: Vec<Step>, seed: u64) {
    let mut plan = Plan::new();
    plan.settings = Settings {
        qmgr_message_active_limit: 7,
        qmgr_message_recipient_limit: 15,
        qmgr_message_recipient_minimum: 3,
        maximal_queue_lifetime: Duration::from_secs(30_000),
        ..plan.settings
    };
    plan.limits.destination_recipient_limit = 3;
    plan.limits.process_limit = 5;
    let mut w = plan.start(move |recipient, secs| fate(recipient, secs, seed));
    let (mut sent, mut told) = (Sent::new(), Told::default());
    for step in steps {
        w = take(w, step, &mut sent, &mut told).await;
    }
    w.pass(1).await;
    for id in sent.keys() {
        // Those that have ended are unknown.
        let _ = w.handle.administer(*id, Admin::Release).await;
    }
    for _ in 0..10 {
        w.pass(10_000).await;
    }
    let left: Vec<QueueId> = sent.keys().copied().filter(|id| w.is_queued(*id)).collect();
    assert_eq!(left, [], "{:#?}", w.log());
    assert_eq!(w.handle.counts().await, crate::Counts::default());
    told.read(&w);
    told.check(&sent);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn everything_ends_and_nothing_is_lost(steps in prop::collection::vec(step(), 1..40), seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(steps, seed));
    }
}
