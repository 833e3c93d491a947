//! The jobs of a transport: in which order messages get their turn, and how a small one preempts a large one.
//!
//! Jobs stand in a list by the time their message became active. The current job hands out its entries; for every
//! `delivery_slot_cost` of them it owes one slot to others. When it owes enough, the job that has waited longest for its size
//! is put in front of it, with a loan and a discount so that it need not wait for all of its slots. A job whose destinations
//! are all full is a blocker: it is passed over until one of them has room.

use super::slab::{Key, Links, List, NONE};
use super::{EntryKey, Group, MessageKey, Scheduler, TransportKey};
use crate::JobRecipient;
use mail::Time;

/// The jobs of one transport that have entries waiting.
pub(super) struct Queue {
    list: List<Job>,
    /// Where the search for an entry begins. NONE: nothing can be selected until something changes.
    current: Key,
    pub(super) blocker_tag: u32,
    /// The last answer of `candidate`, for which current job, and at which second.
    candidate: Key,
    candidate_for: Key,
    candidate_at: i64,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue {
            list: List::new(|job| &mut job.links),
            current: NONE,
            blocker_tag: 1,
            candidate: NONE,
            candidate_for: NONE,
            candidate_at: 0,
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.current != NONE
    }

    /// Forgets who was a blocker, and begins from the front.
    pub(super) fn restart(&mut self) {
        // Tags are odd, so that the 0 of "not a blocker" is never one.
        self.blocker_tag = self.blocker_tag.wrapping_add(2);
        self.current = self.list.head;
        self.candidate_for = NONE;
    }
}

/// What one message has for one transport.
pub(super) struct Job {
    message: MessageKey,
    since: Time,
    /// Place in the transport's list, if `is_listed`.
    links: Links,
    is_listed: bool,
    /// Destinations with entries waiting.
    peers: List<Peer>,
    /// Entries ever made, and those handed out.
    made: i64,
    selected: i64,
    /// Recipients of the message that have no entry yet: they may become as many.
    unread: i64,
    /// Entries that live, waiting or under way.
    alive: u32,
    blocker_tag: u32,
    /// The job that this one preempts, and how many preempt this one.
    parent: Key,
    children: Vec<Key>,
    level: u32,
    slots_used: i64,
    slots_available: i64,
}

/// A job's entries for one destination. Lives while some wait.
pub(super) struct Peer {
    job: Key,
    destination: Key,
    links: Links,
    waiting: List<Entry>,
}

/// One delivery: of one message to recipients at one destination.
pub(super) struct Entry {
    pub(super) message: MessageKey,
    pub(super) job: Key,
    pub(super) destination: Key,
    pub(super) recipients: Vec<JobRecipient>,
    peer: Key,
    peer_links: Links,
    pub(super) destination_links: Links,
}

impl Job {
    fn waits(&self) -> bool {
        self.selected < self.made
    }

    fn most_entries(&self) -> i64 {
        self.made + self.unread
    }
}

impl Scheduler {
    /// The message's job, on the list, and no longer a blocker: it is about to get entries.
    pub(super) fn obtain_job(
        &mut self,
        transport: TransportKey,
        message: MessageKey,
        unread: usize,
        since: Time,
    ) -> Key {
        let key = *self.job_of.entry((transport, message)).or_insert_with(|| {
            self.jobs.insert(Job {
                message,
                since,
                links: Links::default(),
                is_listed: false,
                peers: List::new(|peer| &mut peer.links),
                made: 0,
                selected: 0,
                unread: 0,
                alive: 0,
                blocker_tag: 0,
                parent: NONE,
                children: Vec::new(),
                level: 0,
                slots_used: 0,
                slots_available: 0,
            })
        });
        self.jobs[key].unread = unread as i64;
        if !self.jobs[key].is_listed {
            self.list_job(key, transport);
        }
        let queue = &mut self.transports[transport].queue;
        queue.candidate_for = NONE;
        if self.jobs[key].blocker_tag == queue.blocker_tag {
            self.jobs[key].blocker_tag = 0;
            queue.current = queue.list.head;
        }
        key
    }

    /// Puts a job into the list behind those that are older, which is nearly always the end.
    fn list_job(&mut self, key: Key, transport: TransportKey) {
        let queue = &mut self.transports[transport].queue;
        let since = self.jobs[key].since;
        let (mut next, mut prev) = (NONE, queue.list.tail());
        let mut is_before_current = queue.current == NONE;
        // Jobs that preempt stand in front of their parents: the order by time is that of the others.
        while prev != NONE && (self.jobs[prev].parent != NONE || self.jobs[prev].since > since) {
            is_before_current |= queue.current == prev;
            next = prev;
            prev = self.jobs[prev].links.prev;
        }
        queue.list.insert_before(&mut self.jobs, key, next);
        self.jobs[key].is_listed = true;
        if is_before_current {
            queue.current = key;
        }
    }

    /// Puts recipients into entries, filling the last one that waits for the same destination first.
    pub(super) fn assign(&mut self, job: Key, destination: Key, group: Group) {
        let transport = self.destinations[destination].transport;
        let limit = match (group.is_single, self.transports[transport].limits.destination_recipient_limit) {
            (true, _) => 1,
            (false, 0) => usize::MAX,
            (false, limit) => limit,
        };
        let mut recipients = group.recipients;
        let peer = self.obtain_peer(job, destination);
        let last = self.peers[peer].waiting.tail();
        if last != NONE {
            let room = limit.saturating_sub(self.entries[last].recipients.len()).min(recipients.len());
            self.entries[last].recipients.extend(recipients.drain(..room));
        }
        while recipients.len() > limit {
            let rest = recipients.split_off(limit);
            self.add_entry(peer, std::mem::replace(&mut recipients, rest));
        }
        if !recipients.is_empty() {
            self.add_entry(peer, recipients);
        }
        self.drop_empty_peer(peer);
    }

    fn obtain_peer(&mut self, job: Key, destination: Key) -> Key {
        *self.peer_of.entry((job, destination)).or_insert_with(|| {
            let waiting = List::new(|entry: &mut Entry| &mut entry.peer_links);
            let key = self.peers.insert(Peer { job, destination, links: Links::default(), waiting });
            self.jobs[job].peers.push_back(&mut self.peers, key);
            key
        })
    }

    fn add_entry(&mut self, peer: Key, recipients: Vec<JobRecipient>) {
        let Peer { job, destination, .. } = self.peers[peer];
        let key = self.entries.insert(Entry {
            message: self.jobs[job].message,
            job,
            destination,
            recipients,
            peer,
            peer_links: Links::default(),
            destination_links: Links::default(),
        });
        self.peers[peer].waiting.push_back(&mut self.entries, key);
        self.destinations[destination].waiting.push_back(&mut self.entries, key);
        self.jobs[job].made += 1;
        self.jobs[job].alive += 1;
    }

    fn drop_empty_peer(&mut self, key: Key) {
        if self.peers[key].waiting.is_empty() {
            let Peer { job, destination, .. } = self.peers[key];
            self.jobs[job].peers.remove(&mut self.peers, key);
            self.peers.remove(key);
            self.peer_of.remove(&(job, destination));
        }
    }

    /// Picks an entry and takes it off the waiting lists; the delivery counts for its destination from now on.
    pub(super) fn select(&mut self, transport: TransportKey, now: Time) -> Option<EntryKey> {
        let mut job = self.transports[transport].queue.current;
        if self.transports[transport].limits.delivery_slot_cost >= 2 {
            job = self.preempt(job, transport, now);
        }
        while job != NONE {
            let next = self.jobs[job].links.next;
            if self.jobs[job].blocker_tag != self.transports[transport].queue.blocker_tag {
                if let Some(entry) = self.select_from(job, transport) {
                    return Some(entry);
                }
                self.mark_blocker(job, transport);
            }
            job = next;
        }
        self.transports[transport].queue.current = NONE;
        None
    }

    fn select_from(&mut self, job: Key, transport: TransportKey) -> Option<EntryKey> {
        let peer = self.open_peer(job)?;
        let entry = self.peers[peer].waiting.head;
        // Round robin between the job's destinations.
        self.jobs[job].peers.remove(&mut self.peers, peer);
        self.jobs[job].peers.push_back(&mut self.peers, peer);
        self.unlist_entry(entry);
        self.destinations[self.entries[entry].destination].busy += 1;
        self.jobs[job].slots_available += 1;
        self.jobs[job].slots_used += 1;
        let queue = &mut self.transports[transport].queue;
        if queue.candidate_for != job {
            queue.candidate_for = NONE;
        }
        queue.current = job;
        if !self.jobs[job].waits() {
            self.retire(job, transport);
        }
        Some(entry)
    }

    fn open_peer(&self, job: Key) -> Option<Key> {
        let mut at = self.jobs[job].peers.head;
        while at != NONE {
            if self.destinations[self.peers[at].destination].has_room() {
                return Some(at);
            }
            at = self.peers[at].links.next;
        }
        None
    }

    fn mark_blocker(&mut self, job: Key, transport: TransportKey) {
        let queue = &mut self.transports[transport].queue;
        if queue.candidate == job {
            queue.candidate_for = NONE;
        }
        let tag = queue.blocker_tag;
        self.jobs[job].blocker_tag = tag;
        let mut at = self.jobs[job].peers.head;
        while at != NONE {
            self.destinations[self.peers[at].destination].blocker_tag = tag;
            at = self.peers[at].links.next;
        }
    }

    /// Takes an entry off both lists it waits in.
    fn unlist_entry(&mut self, key: EntryKey) {
        let Entry { job, destination, peer, .. } = self.entries[key];
        self.peers[peer].waiting.remove(&mut self.entries, key);
        self.destinations[destination].waiting.remove(&mut self.entries, key);
        self.jobs[job].selected += 1;
        self.drop_empty_peer(peer);
    }

    /// Takes an entry that waits out of the scheduler.
    pub(super) fn take_waiting(&mut self, key: EntryKey) -> Entry {
        self.unlist_entry(key);
        let entry = self.entries.remove(key);
        let transport = self.destinations[entry.destination].transport;
        if !self.jobs[entry.job].waits() && self.jobs[entry.job].is_listed {
            self.retire(entry.job, transport);
        }
        self.release_job(entry.job, transport);
        entry
    }

    pub(super) fn withdraw_job(&mut self, job: Key, taken: &mut Vec<JobRecipient>) {
        // The job itself goes with its last entry.
        while let Some(peer) = self.jobs.get(job).map(|j| j.peers.head).filter(|peer| *peer != NONE) {
            let entry = self.take_waiting(self.peers[peer].waiting.head);
            taken.extend(entry.recipients);
            self.unblock(entry.destination);
            self.forget_if_idle(entry.destination);
        }
    }

    /// One of the job's entries is gone.
    pub(super) fn release_job(&mut self, key: Key, transport: TransportKey) {
        self.jobs[key].alive -= 1;
        if self.jobs[key].alive == 0 {
            let job = self.jobs.remove(key);
            self.job_of.remove(&(transport, job.message));
        }
    }

    /// Takes a job without waiting entries off the list.
    fn retire(&mut self, key: Key, transport: TransportKey) {
        self.pop(key, transport);
        let queue = &mut self.transports[transport].queue;
        if queue.current == key {
            queue.current = self.jobs[key].links.next;
        }
        if queue.candidate == key || queue.candidate_for == key {
            queue.candidate_for = NONE;
        }
        queue.list.remove(&mut self.jobs, key);
        self.jobs[key].is_listed = false;
    }

    /// Puts the most deserving job in front of the current one, if that one owes enough.
    fn preempt(&mut self, current: Key, transport: TransportKey, now: Time) -> Key {
        let limits = &self.transports[transport].limits;
        let cost = i64::from(limits.delivery_slot_cost);
        let (loan, factor) = (limits.delivery_slot_loan, 100 - limits.delivery_slot_discount.min(100));
        let minimum = i64::from(limits.minimum_delivery_slots) * cost;
        if self.jobs[current].slots_available <= 0 || self.jobs[current].most_entries() < minimum {
            return current;
        }
        let job = self.candidate(current, transport, now);
        if job == NONE {
            return current;
        }
        let needed = self.jobs[job].most_entries() - self.jobs[job].selected;
        let has = self.jobs[current].slots_available / cost + i64::from(loan);
        if has * 100 < needed * i64::from(factor) {
            return current;
        }
        self.pop(job, transport);
        self.push(job, current, transport);
        self.jobs[current].slots_available -= needed * cost;
        // Counts from here what it uses beyond what it was taken to need.
        self.jobs[job].slots_used = -needed;
        job
    }

    /// The job behind `current` that has waited longest for its size, among those that `current` can ever pay for.
    fn candidate(&mut self, current: Key, transport: TransportKey, now: Time) -> Key {
        let queue = &self.transports[transport].queue;
        if queue.candidate_for == current && (queue.candidate_at == now.secs() || queue.candidate == NONE) {
            return queue.candidate;
        }
        let cost = i64::from(self.transports[transport].limits.delivery_slot_cost);
        let owner = &self.jobs[current];
        let most_slots = (owner.made - owner.selected + owner.slots_available) / cost;
        let (mut best, mut best_score) = (NONE, 0.0);
        let mut at = if most_slots > 0 { owner.links.next } else { NONE };
        while at != NONE {
            let job = &self.jobs[at];
            if job.children.is_empty() && job.blocker_tag != queue.blocker_tag {
                let waited = now.since(job.since).as_secs() as f64 + 1.0;
                let needed = job.most_entries() - job.selected;
                let score = waited / job.most_entries() as f64;
                if needed > 0 && needed <= most_slots && score > best_score {
                    (best, best_score) = (at, score);
                }
                // Those behind have waited less, and none is smaller than one entry.
                if waited <= best_score && job.level == 0 {
                    break;
                }
            }
            at = job.links.next;
        }
        let queue = &mut self.transports[transport].queue;
        (queue.candidate, queue.candidate_for, queue.candidate_at) = (best, current, now.secs());
        best
    }

    fn push(&mut self, job: Key, parent: Key, transport: TransportKey) {
        let queue = &mut self.transports[transport].queue;
        queue.list.remove(&mut self.jobs, job);
        queue.list.insert_before(&mut self.jobs, job, parent);
        queue.current = job;
        queue.candidate_for = NONE;
        self.jobs[parent].children.push(job);
        self.jobs[job].parent = parent;
        self.jobs[job].level = self.jobs[parent].level + 1;
    }

    /// Ends a job's preemption. The parent gets back the slots that were not used, unless it inherited the job.
    fn pop(&mut self, key: Key, transport: TransportKey) {
        let parent = std::mem::replace(&mut self.jobs[key].parent, NONE);
        if parent != NONE {
            if self.jobs[key].level == self.jobs[parent].level + 1 {
                let cost = i64::from(self.transports[transport].limits.delivery_slot_cost);
                self.jobs[parent].slots_available -= self.jobs[key].slots_used * cost;
            }
            self.jobs[parent].children.retain(|child| *child != key);
        }
        self.orphan(key, parent);
        self.jobs[key].level = 0;
        self.transports[transport].queue.candidate_for = NONE;
    }

    fn orphan(&mut self, key: Key, new_parent: Key) {
        let children = std::mem::take(&mut self.jobs[key].children);
        for child in &children {
            self.jobs[*child].parent = new_parent;
        }
        if new_parent != NONE {
            self.jobs[new_parent].children.extend(children);
        }
    }
}
