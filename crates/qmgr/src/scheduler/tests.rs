use super::*;
use mail::Address;
use proptest::prelude::*;
use std::collections::HashSet;

const T0: Time = Time::from_secs(1_000_000);

fn at(secs: u64) -> Time {
    T0 + Duration::from_secs(secs)
}

fn scheduler() -> Scheduler {
    Scheduler::new(Duration::from_secs(300), Duration::from_secs(60), 40_000)
}

fn group(destination: &str, indexes: std::ops::Range<u32>) -> Group {
    Group {
        destination: destination.into(),
        nexthop: destination.into(),
        recipients: indexes.map(|index| JobRecipient { index, address: Address::from("a@b") }).collect(),
        is_single: false,
    }
}

fn bad() -> Feeling {
    Feeling::Bad(Suspension { status: DsnStatus::new(4, 4, 1), reason: "connect: refused".into() })
}

fn window(initial: u32, limit: u32) -> WindowLimits {
    WindowLimits {
        initial_destination_concurrency: initial,
        destination_concurrency_limit: limit,
        ..Limits::default().window
    }
}

/// Everything that may start now.
fn drain(scheduler: &mut Scheduler, now: Time) -> Vec<Selected> {
    std::iter::from_fn(|| scheduler.next(now)).collect()
}

fn messages(selected: &[Selected]) -> Vec<MessageKey> {
    selected.iter().map(|s| s.message).collect()
}

#[test]
fn recipients_are_split_by_the_limit_and_sent_in_order() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { destination_recipient_limit: 3, ..Limits::default() });
    s.add(7, smtp, group("x", 0..7), 0, T0).expect("alive");
    let sizes: Vec<Vec<u32>> =
        drain(&mut s, T0).iter().map(|d| d.recipients.iter().map(|r| r.index).collect()).collect();
    assert_eq!(sizes, [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
}

#[test]
fn later_recipients_fill_the_waiting_entry() {
    let mut s = scheduler();
    let limits = Limits { destination_recipient_limit: 3, window: window(1, 1), ..Limits::default() };
    let smtp = s.transport("smtp", limits);
    s.add(1, smtp, group("x", 0..5), 2, T0).expect("alive");
    s.add(1, smtp, group("x", 5..7), 0, T0).expect("alive");
    let mut sizes = Vec::new();
    while let Some(d) = s.next(T0) {
        sizes.push(d.recipients.len());
        assert!(s.done(d.entry, Feeling::Good, T0).is_empty());
    }
    assert_eq!(sizes, [3, 3, 1]);
}

#[test]
fn a_verp_group_goes_one_by_one() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits::default());
    s.add(1, smtp, Group { is_single: true, ..group("x", 0..3) }, 0, T0).expect("alive");
    assert_eq!(drain(&mut s, T0).len(), 3);
}

#[test]
fn windows_grow_with_success() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(2, 4), ..Limits::default() });
    (0..50).for_each(|m| s.add(m, smtp, group("x", 0..1), 0, T0).expect("alive"));
    let mut running = drain(&mut s, T0);
    assert_eq!(running.len(), 2);
    let mut most = 0;
    while let Some(d) = running.pop() {
        s.done(d.entry, Feeling::Good, T0);
        running.extend(drain(&mut s, T0));
        most = most.max(running.len());
    }
    assert_eq!(most, 4);
}

#[test]
fn a_dead_destination_drops_what_waits_and_comes_back() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(1, 2), ..Limits::default() });
    (0..3).for_each(|m| s.add(m, smtp, group("x", 0..2), 0, T0).expect("alive"));
    let first = s.next(T0).expect("one");
    let dropped = s.done(first.entry, bad(), at(1));
    assert_eq!(dropped.iter().map(|d| (d.message, d.recipients.len())).collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    let refused = s.add(9, smtp, group("x", 0..1), 0, at(2)).expect_err("dead");
    assert_eq!(refused.why.reason, "connect: refused");
    s.add(9, smtp, group("y", 0..1), 0, at(2)).expect("another destination");
    assert_eq!(s.next_timer(), Some(at(301)));
    s.tick(at(300));
    assert!(s.add(9, smtp, group("x", 0..1), 0, at(300)).is_err());
    s.tick(at(301));
    s.add(9, smtp, group("x", 0..1), 0, at(301)).expect("alive again");
}

#[test]
fn a_flush_brings_the_dead_back_at_once() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(1, 2), ..Limits::default() });
    for one in [false, true] {
        s.add(0, smtp, group("x", 0..1), 0, T0).expect("alive");
        let d = s.next(T0).expect("one");
        s.done(d.entry, bad(), T0);
        assert!(s.add(1, smtp, group("x", 0..1), 0, T0).is_err());
        if one {
            s.revive_one(smtp, "x")
        } else {
            s.revive_all()
        }
        assert_eq!(s.next_timer(), None);
    }
    s.add(1, smtp, group("x", 0..1), 0, T0).expect("alive");
}

#[test]
fn a_success_that_began_before_death_revives() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(2, 2), ..Limits::default() });
    (0..3).for_each(|m| s.add(m, smtp, group("x", 0..1), 0, T0).expect("alive"));
    let running = drain(&mut s, T0);
    s.done(running[0].entry, bad(), T0);
    s.done(running[1].entry, Feeling::Good, T0);
    s.add(5, smtp, group("x", 0..1), 0, T0).expect("alive");
}

#[test]
fn a_dead_transport_refuses_for_a_while() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits::default());
    let why = Suspension { status: DsnStatus::new(4, 3, 0), reason: "mail transport unavailable".into() };
    s.add(1, smtp, group("x", 0..1), 0, T0).expect("alive");
    assert_eq!(s.kill_transport(smtp, why, T0).len(), 1);
    assert!(s.add(2, smtp, group("y", 0..1), 0, at(59)).is_err());
    s.tick(at(60));
    s.add(2, smtp, group("y", 0..1), 0, at(60)).expect("alive");
}

#[test]
fn a_slow_destination_does_not_hold_up_others() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(2, 2), ..Limits::default() });
    (0..100).for_each(|m| s.add(m, smtp, group("slow", 0..1), 0, T0).expect("alive"));
    (100..110).for_each(|m| s.add(m, smtp, group("fast", 0..1), 0, at(1)).expect("alive"));
    let mut delivered = Vec::new();
    let mut running = drain(&mut s, at(1));
    assert_eq!(messages(&running), [0, 1, 100, 101]);
    running.drain(..2);
    while let Some(d) = running.pop() {
        delivered.push(d.message);
        s.done(d.entry, Feeling::Good, at(1));
        running.extend(drain(&mut s, at(1)));
    }
    delivered.sort_unstable();
    assert_eq!(delivered, (100..110).collect::<Vec<_>>());
}

#[test]
fn transports_take_turns() {
    let mut s = scheduler();
    let (smtp, local) = (s.transport("smtp", Limits::default()), s.transport("local", Limits::default()));
    for m in 0..3 {
        s.add(m, smtp, group("x", 0..1), 0, T0).expect("alive");
        s.add(m, local, group("y", 0..1), 0, T0).expect("alive");
    }
    let order: Vec<TransportKey> = drain(&mut s, T0).iter().map(|d| d.transport).collect();
    assert_eq!(order, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_message_goes_to_its_destinations_in_turn() {
    let mut s = scheduler();
    let limits = Limits { destination_recipient_limit: 1, ..Limits::default() };
    let smtp = s.transport("smtp", limits);
    s.add(1, smtp, group("x", 0..3), 0, T0).expect("alive");
    s.add(1, smtp, group("y", 3..6), 0, T0).expect("alive");
    let order: Vec<u32> = drain(&mut s, T0).iter().map(|d| d.recipients[0].index).collect();
    assert_eq!(order, [0, 3, 1, 4, 2, 5]);
}

#[test]
fn the_process_limit_holds() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { process_limit: 3, ..Limits::default() });
    (0..9).for_each(|m| s.add(m, smtp, group(&m.to_string(), 0..1), 0, T0).expect("alive"));
    let running = drain(&mut s, T0);
    assert_eq!(running.len(), 3);
    s.done(running[0].entry, Feeling::Neutral, T0);
    assert_eq!(drain(&mut s, T0).len(), 1);
}

#[test]
fn a_destination_rate_delay_leaves_a_pause() {
    let mut s = scheduler();
    let limits = Limits { destination_rate_delay: Duration::from_secs(5), ..Limits::default() };
    let smtp = s.transport("smtp", limits);
    (0..3).for_each(|m| s.add(m, smtp, group("x", 0..1), 0, T0).expect("alive"));
    s.add(3, smtp, group("y", 0..1), 0, T0).expect("alive");
    let running = drain(&mut s, T0);
    assert_eq!(messages(&running), [0, 3]);
    s.done(running[0].entry, Feeling::Good, at(1));
    assert!(s.next(at(1)).is_none());
    assert_eq!(s.next_timer(), Some(at(6)));
    s.tick(at(6));
    assert_eq!(messages(&drain(&mut s, at(6))), [1]);
}

#[test]
fn a_transport_rate_delay_serves_one_at_a_time() {
    let mut s = scheduler();
    let limits = Limits { transport_rate_delay: Duration::from_secs(2), ..Limits::default() };
    let smtp = s.transport("smtp", limits);
    (0..3).for_each(|m| s.add(m, smtp, group(&m.to_string(), 0..1), 0, T0).expect("alive"));
    let first = drain(&mut s, T0);
    assert_eq!(first.len(), 1);
    s.done(first[0].entry, Feeling::Good, at(10));
    assert!(s.next(at(11)).is_none());
    s.tick(at(12));
    assert_eq!(messages(&drain(&mut s, at(12))), [1]);
}

#[test]
fn connections_are_reused_when_deliveries_follow_each_other() {
    let mut s = scheduler();
    let smtp = s.transport("smtp", Limits { window: window(1, 1), ..Limits::default() });
    (0..5).for_each(|m| s.add(m, smtp, group("x", 0..1), 0, T0).expect("alive"));
    let mut seen = Vec::new();
    for (start, end) in [(0, 1), (1, 2), (2, 3), (9, 10)] {
        let d = s.next(at(start)).expect("one");
        seen.push((d.reuse.load, d.reuse.store));
        s.done(d.entry, Feeling::Good, at(end));
    }
    assert_eq!(seen, [(false, false), (true, true), (true, true), (true, false)]);
}

#[test]
fn withdrawn_recipients_come_back_and_the_rest_goes_on() {
    let mut s = scheduler();
    let (smtp, local) = (
        s.transport("smtp", Limits { window: window(1, 1), ..Limits::default() }),
        s.transport("local", Limits { process_limit: 1, ..Limits::default() }),
    );
    s.add(0, smtp, group("x", 0..1), 0, T0).expect("alive");
    s.add(1, smtp, group("x", 0..2), 0, T0).expect("alive");
    s.add(1, smtp, group("y", 2..3), 0, T0).expect("alive");
    s.add(1, local, group("z", 3..4), 0, T0).expect("alive");
    s.add(2, smtp, group("x", 0..1), 0, T0).expect("alive");
    let running = drain(&mut s, T0);
    assert_eq!(messages(&running), [0, 1, 1]);
    let taken: Vec<u32> = s.withdraw(1).iter().map(|r| r.index).collect();
    assert_eq!(taken, [0, 1]);
    for d in running {
        s.done(d.entry, Feeling::Good, T0);
    }
    assert_eq!(messages(&drain(&mut s, T0)), [2]);
}

/// A large mailing is under way when small messages come: they must not wait for its end.
#[test]
fn a_large_mailing_is_preempted_by_small_ones() {
    let mut s = scheduler();
    let limits = Limits {
        process_limit: 10,
        destination_recipient_limit: 1,
        window: window(5, 0),
        ..Limits::default()
    };
    let smtp = s.transport("smtp", limits);
    for d in 0..100 {
        s.add(0, smtp, group(&format!("d{d}"), d * 10..d * 10 + 10), 0, T0).expect("alive");
    }
    let mut running = drain(&mut s, T0);
    (1..=20).for_each(|m| s.add(m, smtp, group(&format!("small{m}"), 0..1), 0, at(1)).expect("alive"));
    let mut order = Vec::new();
    while !running.is_empty() {
        let d = running.remove(0);
        order.push(d.message);
        s.done(d.entry, Feeling::Good, at(2));
        running.extend(drain(&mut s, at(2)));
    }
    assert_eq!(order.len(), 1020);
    let last_small = order.iter().rposition(|m| *m > 0).expect("they were delivered");
    assert!(last_small < 150, "the last of 20 small ones came as number {last_small}");
    let first_100_small = order[..110].iter().filter(|m| **m > 0).count();
    assert!(first_100_small <= 30, "the mailing goes on meanwhile: {first_100_small}");
}

#[test]
fn without_slot_cost_nothing_preempts() {
    let mut s = scheduler();
    let limits = Limits { process_limit: 1, delivery_slot_cost: 0, ..Limits::default() };
    let smtp = s.transport("smtp", limits);
    (0..50).for_each(|d| s.add(0, smtp, group(&format!("d{d}"), d..d + 1), 0, T0).expect("alive"));
    s.add(1, smtp, group("small", 0..1), 0, at(1)).expect("alive");
    let mut order = Vec::new();
    while let Some(d) = s.next(at(2)) {
        order.push(d.message);
        s.done(d.entry, Feeling::Good, at(2));
    }
    assert_eq!(order.last(), Some(&1));
}

#[test]
fn dead_destinations_are_forgotten_beyond_the_limit() {
    let mut s = Scheduler::new(Duration::from_secs(300), Duration::from_secs(60), 10);
    let smtp = s.transport("smtp", Limits { window: window(1, 1), ..Limits::default() });
    for m in 0..100 {
        s.add(m, smtp, group(&m.to_string(), 0..1), 0, T0).expect("alive");
        let d = s.next(T0).expect("one");
        s.done(d.entry, bad(), T0);
    }
    assert!(s.destinations.len() <= 11, "{}", s.destinations.len());
}

#[derive(Clone, Debug)]
enum Step {
    Add { transport: usize, destination: u8, count: u8 },
    Done { which: usize, feeling: u8 },
    Wait(u16),
    Withdraw(usize),
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..3, 0u8..5, 1u8..12).prop_map(|(transport, destination, count)| Step::Add { transport, destination, count }),
        6 => (any::<usize>(), 0u8..6).prop_map(|(which, feeling)| Step::Done { which, feeling }),
        1 => (0u16..400).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Withdraw),
        1 => Just(Step::Flush),
    ]
}

/// The scheduler beside a plain account of what it was given.
struct World {
    s: Scheduler,
    now: Time,
    running: Vec<Selected>,
    /// Recipients (message, index) that are neither out nor under way.
    waiting: HashSet<(MessageKey, u32)>,
    next_message: MessageKey,
}

impl World {
    fn new() -> World {
        let mut s = Scheduler::new(Duration::from_secs(300), Duration::from_secs(60), 100);
        s.transport(
            "a",
            Limits {
                process_limit: 4,
                destination_recipient_limit: 3,
                window: window(2, 3),
                ..Limits::default()
            },
        );
        s.transport("b", Limits { destination_rate_delay: Duration::from_secs(3), ..Limits::default() });
        s.transport(
            "c",
            Limits {
                transport_rate_delay: Duration::from_secs(2),
                delivery_slot_cost: 2,
                destination_recipient_limit: 1,
                ..Limits::default()
            },
        );
        World { s, now: T0, running: Vec::new(), waiting: HashSet::new(), next_message: 0 }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Add { transport, destination, count } => {
                let message = self.next_message / 3;
                let base = self.next_message % 3 * 100;
                self.next_message += 1;
                let indexes = base..base + u32::from(count);
                self.waiting.extend(indexes.clone().map(|i| (message, i)));
                if let Err(d) =
                    self.s.add(message, transport, group(&format!("d{destination}"), indexes), 0, self.now)
                {
                    self.lose(vec![d]);
                }
            }
            Step::Done { which, feeling } if !self.running.is_empty() => {
                let d = self.running.swap_remove(which % self.running.len());
                let feeling = match feeling {
                    0 => bad(),
                    1 => Feeling::Neutral,
                    _ => Feeling::Good,
                };
                let dropped = self.s.done(d.entry, feeling, self.now);
                self.lose(dropped);
            }
            Step::Done { .. } => {}
            Step::Wait(secs) => self.now = self.now + Duration::from_secs(secs.into()),
            Step::Withdraw(which) => {
                let message = which as u32 % (self.next_message + 1);
                for r in self.s.withdraw(message) {
                    assert!(self.waiting.remove(&(message, r.index)));
                }
            }
            Step::Flush => self.s.revive_all(),
        }
        self.s.tick(self.now);
        while let Some(d) = self.s.next(self.now) {
            for r in &d.recipients {
                assert!(self.waiting.remove(&(d.message, r.index)), "came twice, or was never given");
            }
            self.running.push(d);
        }
        self.check();
    }

    fn lose(&mut self, dropped: Vec<Dropped>) {
        for d in dropped {
            for r in d.recipients {
                assert!(self.waiting.remove(&(d.message, r.index)));
            }
        }
    }

    fn check(&self) {
        for (key, t) in self.s.transports.iter().enumerate() {
            let running: Vec<&Selected> = self.running.iter().filter(|d| d.transport == key).collect();
            assert_eq!(t.running as usize, running.len());
            assert!(t.limits.process_limit == 0 || t.running <= t.limits.process_limit);
            assert!(t.limits.transport_rate_delay == Duration::ZERO || t.running <= 1);
            for d in &running {
                assert!(d.recipients.len() <= t.limits.destination_recipient_limit);
                let same = running.iter().filter(|e| e.nexthop == d.nexthop).count();
                let limit = t.limits.window.destination_concurrency_limit as usize;
                assert!(limit == 0 || same <= limit);
            }
            // Nobody waits who could go.
            let may_run =
                !t.is_rate_locked && (t.limits.process_limit == 0 || t.running < t.limits.process_limit);
            for &d in t.destinations.values() {
                let d = &self.s.destinations[d];
                assert!(!may_run || d.waiting.is_empty() || !d.has_room(), "starved");
            }
        }
    }
}

proptest! {
    #[test]
    fn limits_hold_nobody_starves_and_all_come_out(steps in prop::collection::vec(step(), 1..200)) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        for _ in 0..20_000 {
            if world.running.is_empty() && world.waiting.is_empty() {
                break;
            }
            world.take(Step::Done { which: 0, feeling: 2 });
            world.take(Step::Wait(4));
        }
        prop_assert!(world.waiting.is_empty() && world.running.is_empty());
        prop_assert_eq!((world.s.jobs.len(), world.s.peers.len(), world.s.entries.len()), (0, 0, 0));
        prop_assert!(world.s.job_of.is_empty() && world.s.peer_of.is_empty());
    }
}
