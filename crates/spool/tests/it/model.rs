//! What must be found after a crash: a model of the promises, fed by marks that stand between the disk's operations.

use mail::{Address, DsnStatus, Envelope, Fate, Outcome, QueueId, Recipient, Time};
use spool::disk::Disk;
use spool::{Health, Listed, Options, ReadonlySpool, SegmentSpool, Spool, SpoolError, Stored};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// What a test did, or was told.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// A commit was handed over.
    Commit {
        id: QueueId,
        recipients: u32,
        body: Vec<u8>,
        held: bool,
    },
    /// It resolved.
    Committed(QueueId),
    /// It failed.
    Refused(QueueId),
    /// An outcome was recorded; versions of one recipient grow.
    Record {
        id: QueueId,
        recipient: u32,
        version: u32,
        fate: Fate,
    },
    /// Recipients were added; the first has this index.
    Append {
        id: QueueId,
        first: u32,
        count: u32,
    },
    Hold {
        id: QueueId,
        held: bool,
    },
    Finish(QueueId),
    /// Everything before the mark is durable.
    Flushed,
}

/// What is known of each message.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) messages: BTreeMap<QueueId, Expected>,
    /// Ids that were ever given to a message.
    used: BTreeSet<QueueId>,
}

#[derive(Clone)]
pub(crate) struct Expected {
    body: Vec<u8>,
    /// What must be there at least: None as long as the message need not be.
    durable: Option<Version>,
    /// What may be there at most.
    latest: Version,
    may_be_gone: bool,
    must_be_gone: bool,
    is_refused: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Version {
    /// By recipient: the version of its outcome and whether that is final.
    outcomes: Vec<Option<(u32, Fate)>>,
    /// How many times hold was set or released.
    held: Vec<bool>,
}

impl Model {
    pub(crate) fn take(&mut self, mark: &Mark) {
        match mark {
            Mark::Commit { id, recipients, body, held } => {
                let latest = Version { outcomes: vec![None; *recipients as usize], held: vec![*held] };
                let expected = Expected {
                    body: body.clone(),
                    durable: None,
                    latest,
                    may_be_gone: true,
                    must_be_gone: false,
                    is_refused: false,
                };
                assert!(self.used.insert(*id), "{id} is used twice");
                self.messages.insert(*id, expected);
            }
            Mark::Committed(id) => {
                let message = self.message(*id);
                message.durable = Some(message.latest.clone());
                message.may_be_gone = false;
            }
            Mark::Refused(id) => self.message(*id).is_refused = true,
            Mark::Record { id, recipient, version, fate } => {
                self.message(*id).latest.outcomes[*recipient as usize] = Some((*version, *fate));
            }
            Mark::Append { id, first, count } => {
                let outcomes = &mut self.message(*id).latest.outcomes;
                assert_eq!(*first as usize, outcomes.len());
                outcomes.resize((first + count) as usize, None);
            }
            Mark::Hold { id, held } => self.message(*id).latest.held.push(*held),
            Mark::Finish(id) => self.message(*id).may_be_gone = true,
            Mark::Flushed => {
                for message in self.messages.values_mut() {
                    message.durable = message.durable.as_ref().map(|_| message.latest.clone());
                    let is_finished = message.durable.is_some() && message.may_be_gone;
                    message.must_be_gone |= is_finished || message.is_refused;
                }
            }
        }
    }

    fn message(&mut self, id: QueueId) -> &mut Expected {
        self.messages.get_mut(&id).unwrap()
    }

    /// Compares with what was found. The text tells what is wrong.
    pub(crate) fn check(&self, found: &Found) -> Result<(), String> {
        for (id, expected) in &self.messages {
            match found.0.get(id) {
                None if !expected.may_be_gone && !expected.must_be_gone => {
                    return Err(format!("{id} is lost"));
                }
                None => {}
                Some(_) if expected.must_be_gone => return Err(format!("{id} is back")),
                Some(message) => expected.check(message).map_err(|what| format!("{id}: {what}"))?,
            }
        }
        match found.0.keys().find(|id| !self.messages.contains_key(id)) {
            Some(id) => Err(format!("{id} came from nowhere")),
            None => Ok(()),
        }
    }

    /// Goes on from what was found after a crash: that is how it is now.
    pub(crate) fn settle(&mut self, found: &Found) {
        self.messages.retain(|id, _| found.0.contains_key(id));
        for (id, expected) in &mut self.messages {
            let message = &found.0[id];
            expected.latest =
                Version { outcomes: message.versions(), held: vec![message.listed.summary.held] };
            expected.durable = Some(expected.latest.clone());
            expected.may_be_gone = false;
            expected.is_refused = false;
        }
    }
}

impl Expected {
    fn check(&self, message: &FoundMessage) -> Result<(), String> {
        if message.content != content(&self.body) {
            return Err("its content is damaged".into());
        }
        let versions = message.versions();
        let least = self.durable.clone().unwrap_or(Version { outcomes: Vec::new(), held: Vec::new() });
        if versions.len() < least.outcomes.len() || versions.len() > self.latest.outcomes.len() {
            return Err(format!("it has {} recipients", versions.len()));
        }
        for (n, version) in versions.iter().enumerate() {
            let number = |version: Option<(u32, Fate)>| version.map_or(0, |(number, _)| number);
            let (min, max) =
                (number(least.outcomes.get(n).copied().flatten()), number(self.latest.outcomes[n]));
            if !(min..=max).contains(&number(*version)) {
                return Err(format!("recipient {n} has outcome {version:?}, not {min} to {max}"));
            }
        }
        let pending = versions.iter().filter(|v| v.is_none_or(|(_, fate)| fate == Fate::Deferred)).count();
        if message.listed.summary.pending as usize != pending {
            return Err(format!("{} pending, not {pending}", message.listed.summary.pending));
        }
        let possible = &self.latest.held[least.held.len().saturating_sub(1)..];
        if !possible.contains(&message.listed.summary.held) {
            return Err(format!("held is {}, not one of {possible:?}", message.listed.summary.held));
        }
        Ok(())
    }
}

/// What is in a spool.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) BTreeMap<QueueId, FoundMessage>);

#[derive(Debug)]
pub(crate) struct FoundMessage {
    listed: Listed,
    content: Vec<u8>,
}

impl FoundMessage {
    fn versions(&self) -> Vec<Option<(u32, Fate)>> {
        let version = |outcome: &Outcome| (outcome.reason.parse().unwrap(), outcome.fate);
        self.listed.outcomes.iter().map(|outcome| outcome.as_ref().map(version)).collect()
    }

    fn new(listed: Listed, stored: &Stored) -> FoundMessage {
        assert_eq!(listed.envelope, stored.envelope);
        assert_eq!(listed.outcomes, stored.outcomes);
        assert_eq!(listed.outcomes.len(), listed.summary.recipients as usize);
        FoundMessage { listed, content: stored.content.to_bytes(100 << 20).unwrap().to_vec() }
    }
}

impl Found {
    /// Reads everything in a spool, in every way in which it can be read.
    pub(crate) fn in_spool(spool: &SegmentSpool) -> Result<Found, SpoolError> {
        spool.wait_until_indexed();
        let mut found = BTreeMap::new();
        for listed in spool.list() {
            let listed = listed?;
            let stored = spool.load(listed.summary.id)?;
            assert_eq!(spool.summary(stored.id), Some(listed.summary));
            found.insert(stored.id, FoundMessage::new(listed, &stored));
        }
        Ok(Found(found))
    }

    pub(crate) fn on_disk(disk: Arc<dyn Disk>) -> Result<Found, SpoolError> {
        let spool = ReadonlySpool::open_on(disk)?;
        let mut found = BTreeMap::new();
        for listed in spool.list() {
            let listed = listed?;
            let stored = spool.load(listed.summary.id)?;
            found.insert(stored.id, FoundMessage::new(listed, &stored));
        }
        assert_eq!(spool.summaries().count(), found.len());
        Ok(Found(found))
    }
}

pub(crate) fn arrival() -> Time {
    Time::from_micros(1_700_000_000_123_456)
}

/// Small segments, so that everything happens soon.
pub(crate) fn options() -> Options {
    Options {
        segment_size: 64 << 10,
        inline_max: 8 << 10,
        collect_after: std::time::Duration::ZERO,
        ..Options::default()
    }
}

/// Options, and what the spool tells.
pub(crate) fn options_with_events(options: Options) -> (Options, Arc<Mutex<Vec<String>>>) {
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = events.clone();
    let on_event = Arc::new(move |event: spool::Event| told.lock().unwrap().push(event.to_string()));
    (Options { on_event, ..options }, events)
}

pub(crate) fn envelope(recipients: u32) -> Envelope {
    Envelope {
        sender: Address::from("sender@example.com"),
        recipients: (0..recipients).map(recipient).collect(),
        arrival: arrival(),
        size: 42,
        ..Envelope::default()
    }
}

pub(crate) fn recipient(n: u32) -> Recipient {
    Recipient { address: Address::from(&*format!("recipient{n}@example.com")), ..Recipient::default() }
}

pub(crate) fn outcome(recipient: u32, version: u32, fate: Fate) -> Outcome {
    let class = if fate == Fate::Deferred { 4 } else { 2 };
    Outcome {
        recipient,
        fate,
        status: DsnStatus::new(class, 0, 0),
        reason: version.to_string(),
        remote_mta: None,
        diagnostic: None,
        at: arrival(),
    }
}

pub(crate) fn content(body: &[u8]) -> Vec<u8> {
    [b"Subject: x\r\n\r\n", body].concat()
}

/// Drafts and hands over a message; the result is the future's.
pub(crate) fn commit(
    spool: &SegmentSpool,
    recipients: u32,
    body: &[u8],
    held: bool,
) -> Result<QueueId, SpoolError> {
    let (id, durable) = begin(spool, recipients, body, held, |_| {})?;
    durable.wait().map(|()| id)
}

/// As [`commit`], without waiting; `before` is called when the id is known and nothing was handed over.
pub(crate) fn begin(
    spool: &SegmentSpool,
    recipients: u32,
    body: &[u8],
    held: bool,
    before: impl FnOnce(QueueId),
) -> Result<(QueueId, spool::Durable), SpoolError> {
    let mut draft = spool.draft(arrival(), body.len() as u64)?;
    draft.head_mut().extend_from_slice(&content(b""));
    draft.write(body)?;
    if held {
        draft.hold();
    }
    let id = draft.id();
    before(id);
    Ok((id, spool.commit(draft, envelope(recipients))))
}

/// Waits, with a deadline, until the spool's health is as wanted.
pub(crate) fn wait_for_health(spool: &SegmentSpool, is_wanted: impl Fn(&Health) -> bool) {
    let start = std::time::Instant::now();
    let health = spool.health();
    while !is_wanted(&health.borrow()) {
        assert!(start.elapsed().as_secs() < 20, "health stays {:?}", *health.borrow());
        std::thread::yield_now();
    }
}
