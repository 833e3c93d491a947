//! Messages that are not active: new ones that found no room, deferred ones until they are due, held ones.
//!
//! A pure structure with the clock passed in. A million deferred messages are the common case of trouble: it keeps an id and
//! four octets of each, and the rest is read from the spool when it is due. Deferred messages are taken at the times of
//! Postfix's queue scans, every `queue_run_delay`, so that they wait in one list per scan.

use mail::{QueueId, Time};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

pub(crate) struct Backlog {
    /// The time from which seconds and scans are counted.
    start: Time,
    queue_run_delay: Duration,
    /// Every message here, and where it is. The lists below may also name messages that have moved since.
    places: HashMap<QueueId, Place>,
    scans: BTreeMap<Second, Vec<QueueId>>,
    incoming: VecDeque<QueueId>,
    due: VecDeque<(QueueId, Flush)>,
    /// Whose turn it is.
    takes_due: bool,
    held: usize,
}

/// Seconds since `start`.
type Second = u32;

/// Where a message is: the second of the scan that takes it, or one of the values at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u32);

impl Place {
    const INCOMING: Place = Place(u32::MAX);
    const DUE: Place = Place(u32::MAX - 1);
    const HELD: Place = Place(u32::MAX - 2);
    const LAST_SECOND: u32 = u32::MAX - 3;
}

/// What somebody's impatience overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flush {
    #[default]
    No,
    /// `postqueue -f`: `defer_transports`. (Dead destinations were revived when it was asked for.)
    Queue,
    /// `postqueue -i`: `defer_transports`, and that a destination is dead.
    Message,
}

impl Backlog {
    pub(crate) fn new(start: Time, queue_run_delay: Duration) -> Backlog {
        Backlog {
            start,
            queue_run_delay,
            places: HashMap::new(),
            scans: BTreeMap::new(),
            incoming: VecDeque::new(),
            due: VecDeque::new(),
            takes_due: false,
            held: 0,
        }
    }

    /// For messages that are deferred from now on.
    pub(crate) fn set_queue_run_delay(&mut self, queue_run_delay: Duration) {
        self.queue_run_delay = queue_run_delay;
    }

    pub(crate) fn add_incoming(&mut self, id: QueueId) {
        self.put(id, Place::INCOMING);
        self.incoming.push_back(id);
    }

    pub(crate) fn hold(&mut self, id: QueueId) {
        self.put(id, Place::HELD);
    }

    /// The message waits for the first scan at which `due` has come; Postfix's scans take what is due within a second.
    pub(crate) fn defer(&mut self, id: QueueId, due: Time, now: Time) {
        let step = self.queue_run_delay.as_secs().max(1);
        let wanted = due.since(self.start).as_secs().saturating_sub(1);
        let next_scan = now.since(self.start).as_secs() / step + 1;
        let scan = wanted.div_ceil(step).max(next_scan);
        let second = scan.saturating_mul(step).min(Place::LAST_SECOND.into()) as Second;
        self.put(id, Place(second));
        self.scans.entry(second).or_default().push(id);
    }

    /// Takes a message out, wherever it is. False: it is not here.
    pub(crate) fn remove(&mut self, id: QueueId) -> bool {
        let place = self.places.remove(&id);
        self.held -= usize::from(place == Some(Place::HELD));
        place.is_some()
    }

    pub(crate) fn contains(&self, id: QueueId) -> bool {
        self.places.contains_key(&id)
    }

    pub(crate) fn is_held(&self, id: QueueId) -> bool {
        self.places.get(&id) == Some(&Place::HELD)
    }

    /// Makes one message due if it is deferred.
    pub(crate) fn flush_message(&mut self, id: QueueId) {
        let is_deferred = self.places.get(&id).is_some_and(|p| p.0 <= Place::LAST_SECOND || *p == Place::DUE);
        if is_deferred {
            self.put(id, Place::DUE);
            self.due.push_front((id, Flush::Message));
        }
    }

    /// Makes every deferred message due.
    pub(crate) fn flush(&mut self) {
        self.due.iter_mut().for_each(|(_, flush)| *flush = Flush::Queue);
        for (second, ids) in std::mem::take(&mut self.scans) {
            self.make_due(second, ids, Flush::Queue);
        }
    }

    /// When [`Backlog::run_scans`] has something to do.
    pub(crate) fn next_scan(&self) -> Option<Time> {
        self.scans.keys().next().map(|second| self.start + Duration::from_secs((*second).into()))
    }

    /// Makes due what the scans up to now take.
    pub(crate) fn run_scans(&mut self, now: Time) {
        while let Some(entry) = self.scans.first_entry() {
            if self.start + Duration::from_secs((*entry.key()).into()) > now {
                return;
            }
            let (second, ids) = entry.remove_entry();
            self.make_due(second, ids, Flush::No);
        }
    }

    /// The next message to read: new and due ones in turn; after `was_full` a new one, so that old mail does not crowd out
    /// fresh mail.
    pub(crate) fn take(&mut self, was_full: bool) -> Option<(QueueId, Flush)> {
        self.takes_due = !self.takes_due && !was_full;
        for _ in 0..2 {
            let taken = if self.takes_due { self.take_due() } else { self.take_incoming() };
            if taken.is_some() {
                return taken;
            }
            self.takes_due = !self.takes_due;
        }
        None
    }

    /// Whether [`Backlog::take`] may have one.
    pub(crate) fn has_ready(&self) -> bool {
        !self.incoming.is_empty() || !self.due.is_empty()
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn incoming(&self) -> usize {
        self.incoming.len()
    }

    /// All but the held ones.
    pub(crate) fn waiting(&self) -> usize {
        self.places.len() - self.held
    }

    fn put(&mut self, id: QueueId, place: Place) {
        let old = self.places.insert(id, place);
        self.held += usize::from(place == Place::HELD);
        self.held -= usize::from(old == Some(Place::HELD));
    }

    fn make_due(&mut self, second: Second, ids: Vec<QueueId>, flush: Flush) {
        for id in ids {
            if let Some(place) = self.places.get_mut(&id).filter(|place| place.0 == second) {
                *place = Place::DUE;
                self.due.push_back((id, flush));
            }
        }
    }

    fn take_incoming(&mut self) -> Option<(QueueId, Flush)> {
        while let Some(id) = self.incoming.pop_front() {
            if self.places.get(&id) == Some(&Place::INCOMING) {
                self.places.remove(&id);
                return Some((id, Flush::No));
            }
        }
        None
    }

    fn take_due(&mut self) -> Option<(QueueId, Flush)> {
        while let Some((id, flush)) = self.due.pop_front() {
            if self.places.get(&id) == Some(&Place::DUE) {
                self.places.remove(&id);
                return Some((id, flush));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Time = Time::from_secs(1_000_000);

    fn at(secs: u64) -> Time {
        T0 + Duration::from_secs(secs)
    }

    fn id(n: u64) -> QueueId {
        QueueId::short(T0, n)
    }

    fn backlog() -> Backlog {
        Backlog::new(T0, Duration::from_secs(300))
    }

    fn take_all(backlog: &mut Backlog) -> Vec<QueueId> {
        std::iter::from_fn(|| backlog.take(false)).map(|(id, _)| id).collect()
    }

    #[test]
    fn deferred_messages_wait_for_a_scan() {
        for (due, scan) in [(10, 300), (300, 300), (301, 300), (302, 600), (4000, 4200)] {
            let mut b = backlog();
            b.defer(id(1), at(due), at(5));
            assert_eq!(b.next_scan(), Some(at(scan)), "{due}");
            b.run_scans(at(scan - 1));
            assert_eq!(b.take(false), None);
            b.run_scans(at(scan));
            assert_eq!(b.take(false), Some((id(1), Flush::No)));
            assert_eq!(b.take(false), None);
            assert_eq!(b.waiting(), 0);
        }
    }

    #[test]
    fn a_message_whose_time_has_passed_waits_for_the_next_scan() {
        let mut b = backlog();
        b.defer(id(1), at(10), at(700));
        assert_eq!(b.next_scan(), Some(at(900)));
    }

    #[test]
    fn new_and_due_messages_take_turns_but_new_ones_come_first_after_a_jam() {
        let mut b = backlog();
        (0..3).for_each(|n| b.defer(id(n), at(1), at(0)));
        (10..13).for_each(|n| b.add_incoming(id(n)));
        b.run_scans(at(300));
        let order: Vec<bool> = (0..6).map(|_| b.take(false).expect("six").0 >= id(10)).collect();
        assert_eq!(order, [false, true, false, true, false, true]);
        b.add_incoming(id(20));
        b.add_incoming(id(21));
        b.defer(id(4), at(1), at(300));
        b.run_scans(at(600));
        assert_eq!(
            [b.take(true), b.take(true), b.take(true)].map(|t| t.map(|t| t.0)),
            [20, 21, 4].map(|n| Some(id(n)))
        );
    }

    #[test]
    fn moved_messages_are_not_taken_from_where_they_were() {
        let mut b = backlog();
        b.add_incoming(id(1));
        b.hold(id(1));
        b.defer(id(2), at(1), at(0));
        b.hold(id(2));
        b.add_incoming(id(3));
        assert!(b.remove(id(3)) && !b.remove(id(3)));
        b.run_scans(at(300));
        assert_eq!((take_all(&mut b), b.held(), b.waiting()), (vec![], 2, 0));
        b.defer(id(1), at(1), at(300));
        assert_eq!((b.held(), b.waiting()), (1, 1));
        // Deferred twice: taken once, at the later scan.
        b.defer(id(1), at(1000), at(300));
        b.run_scans(at(900));
        assert_eq!(take_all(&mut b), []);
        b.run_scans(at(1200));
        assert_eq!(take_all(&mut b), [id(1)]);
    }

    #[test]
    fn flushing() {
        let mut b = backlog();
        (0..3).for_each(|n| b.defer(id(n), at(1000), at(0)));
        b.hold(id(9));
        [1, 9, 7].into_iter().for_each(|n| b.flush_message(id(n)));
        assert_eq!(b.take(false), Some((id(1), Flush::Message)));
        b.flush();
        assert_eq!(b.take(false), Some((id(0), Flush::Queue)));
        assert_eq!(b.take(false), Some((id(2), Flush::Queue)));
        assert_eq!((b.take(false), b.held()), (None, 1));
    }

    #[test]
    fn a_message_costs_little() {
        assert!(size_of::<(QueueId, Place)>() <= 32);
    }
}
