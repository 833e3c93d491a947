//! One suite for every spool: rows of the contract in `trait Spool`.

use mail::{Address, DsnStatus, Envelope, Fate, Outcome, QueueId, Recipient, Time};
use spool::{Admin, MemorySpool, Options, SegmentSpool, Spool, SpoolError};
use std::io::Read;

/// An implementation under test.
trait Candidate {
    type Spool: Spool;

    fn open(&mut self) -> Self::Spool;

    /// As after a stop and a start.
    fn reopen(&mut self, spool: Self::Spool) -> Self::Spool;
}

struct Memory;

impl Candidate for Memory {
    type Spool = MemorySpool;

    fn open(&mut self) -> MemorySpool {
        MemorySpool::new()
    }

    fn reopen(&mut self, spool: MemorySpool) -> MemorySpool {
        spool.reopen()
    }
}

struct Segments(tempfile::TempDir);

impl Segments {
    fn new() -> Segments {
        Segments(tempfile::tempdir().unwrap())
    }
}

impl Candidate for Segments {
    type Spool = SegmentSpool;

    fn open(&mut self) -> SegmentSpool {
        let options = Options { segment_size: 1 << 20, ..Options::default() };
        SegmentSpool::open(self.0.path(), options).unwrap()
    }

    fn reopen(&mut self, spool: SegmentSpool) -> SegmentSpool {
        drop(spool);
        self.open()
    }
}

macro_rules! suite {
    ($($row:ident)*) => {
        mod memory {
            $(#[test] fn $row() { super::$row(super::Memory); })*
        }
        mod segments {
            $(#[test] fn $row() { super::$row(super::Segments::new()); })*
        }
    };
}

suite! {
    committed_is_announced_and_loads
    head_stands_before_body
    a_dropped_draft_is_forgotten
    ids_differ
    outcomes_replace_and_survive
    appended_recipients_survive
    finished_is_gone
    administered
    held_from_the_start
    unknown_messages
    listed
    large_bodies
    set_aside_is_gone
    announced_or_summarized_never_both
}

fn arrival() -> Time {
    Time::from_micros(1_700_000_000_123_456)
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        sender: Address::from("sender@example.com"),
        recipients: recipients
            .iter()
            .map(|r| Recipient { address: Address::from(*r), ..Recipient::default() })
            .collect(),
        arrival: arrival(),
        size: 42,
        extra: vec![("verp_delims".into(), "+=".into())],
        ..Envelope::default()
    }
}

fn outcome(recipient: u32, fate: Fate, reason: &str) -> Outcome {
    let class = match fate {
        Fate::Sent => 2,
        Fate::Deferred => 4,
        Fate::Bounced => 5,
    };
    Outcome {
        recipient,
        fate,
        status: DsnStatus::new(class, 0, 0),
        reason: reason.into(),
        remote_mta: Some("mx.example.com".into()),
        diagnostic: None,
        at: arrival(),
    }
}

fn commit(spool: &impl Spool, recipients: &[&str], body: &[u8]) -> QueueId {
    let mut draft = spool.draft(arrival(), body.len() as u64).unwrap();
    let id = draft.id();
    draft.head_mut().extend_from_slice(b"Subject: x\r\n\r\n");
    draft.write(body).unwrap();
    spool.commit(draft, envelope(recipients)).wait().unwrap();
    id
}

fn committed_is_announced_and_loads(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let mut arrivals = spool.arrivals();
    let id = commit(&spool, &["a@example.com"], b"hello\r\n");
    let arrival = arrivals.try_recv().unwrap();
    assert_eq!(arrival.id, id);
    let fresh = arrival.fresh.expect("there is room for one message");
    let loaded = spool.load(id).unwrap();
    for stored in [fresh, loaded] {
        assert_eq!(stored.id, id);
        assert_eq!(stored.envelope, envelope(&["a@example.com"]));
        assert_eq!(stored.outcomes, [None]);
        assert_eq!(stored.content.to_bytes(100).unwrap(), &b"Subject: x\r\n\r\nhello\r\n"[..]);
    }
    assert!(arrivals.try_recv().is_err());
}

fn head_stands_before_body(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let mut draft = spool.draft(arrival(), 0).unwrap();
    draft.write(b"old").unwrap();
    draft.clear_body();
    draft.write(b"bo").unwrap();
    draft.write(b"dy").unwrap();
    let mut body = Vec::new();
    draft.body().read_to_end(&mut body).unwrap();
    assert_eq!(body, b"body");
    draft.head_mut().extend_from_slice(b"head");
    assert_eq!((draft.len(), draft.body_len()), (8, 4));
    let id = draft.id();
    spool.commit(draft, envelope(&["a@b"])).wait().unwrap();
    assert_eq!(spool.load(id).unwrap().content.to_bytes(8).unwrap(), &b"headbody"[..]);
}

fn a_dropped_draft_is_forgotten(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let mut draft = spool.draft(arrival(), 1000).unwrap();
    draft.write(&[b'x'; 2_000_000]).unwrap();
    let id = draft.id();
    drop(draft);
    assert!(spool.summary(id).is_none());
    let spool = candidate.reopen(spool);
    assert!(spool.summary(id).is_none());
}

fn ids_differ(mut candidate: impl Candidate) {
    let mut seen = std::collections::HashSet::new();
    let mut spool = candidate.open();
    for _ in 0..3 {
        for _ in 0..100 {
            assert!(seen.insert(spool.draft(arrival(), 0).unwrap().id()));
        }
        assert!(seen.insert(commit(&spool, &["a@b"], b"")));
        spool = candidate.reopen(spool);
    }
}

fn outcomes_replace_and_survive(mut candidate: impl Candidate) {
    let mut spool = candidate.open();
    let id = commit(&spool, &["a@b", "c@d", "e@f"], b"");
    let due = Time::from_secs(1_700_000_300);
    spool.record(id, &[outcome(0, Fate::Deferred, "first"), outcome(2, Fate::Sent, "ok")], Some(due));
    spool.record(id, &[outcome(0, Fate::Deferred, "second")], None);
    spool.record(id, &[outcome(1, Fate::Bounced, "no")], None);
    let expect = [
        Some(outcome(0, Fate::Deferred, "second")),
        Some(outcome(1, Fate::Bounced, "no")),
        Some(outcome(2, Fate::Sent, "ok")),
    ];
    for _ in 0..2 {
        assert_eq!(spool.load(id).unwrap().outcomes, expect);
        let summary = spool.summary(id).unwrap();
        assert_eq!((summary.recipients, summary.pending, summary.next_attempt), (3, 1, Some(due)));
        spool.flush().wait().unwrap();
        assert_eq!(spool.load(id).unwrap().outcomes, expect);
        spool = candidate.reopen(spool);
    }
    spool.record(id, &[outcome(0, Fate::Sent, "ok")], None);
    assert_eq!(spool.summary(id).unwrap().pending, 0);
}

fn appended_recipients_survive(mut candidate: impl Candidate) {
    let mut spool = candidate.open();
    let id = commit(&spool, &["list@b"], b"");
    let members: Vec<Recipient> = envelope(&["x@b", "y@b"]).recipients;
    let added = spool.append_recipients(id, &members, &[outcome(0, Fate::Sent, "expanded")]).unwrap();
    assert_eq!(added, 1..3);
    spool.record(id, &[outcome(2, Fate::Deferred, "later")], None);
    for _ in 0..2 {
        let stored = spool.load(id).unwrap();
        assert_eq!(stored.envelope, envelope(&["list@b", "x@b", "y@b"]));
        assert_eq!(
            stored.outcomes,
            [Some(outcome(0, Fate::Sent, "expanded")), None, Some(outcome(2, Fate::Deferred, "later"))]
        );
        let summary = spool.summary(id).unwrap();
        assert_eq!((summary.recipients, summary.pending), (3, 2));
        spool = candidate.reopen(spool);
    }
}

fn finished_is_gone(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let (gone, kept) = (commit(&spool, &["a@b"], b"1"), commit(&spool, &["a@b"], b"2"));
    spool.record(gone, &[outcome(0, Fate::Sent, "ok")], None);
    spool.finish(gone);
    assert!(matches!(spool.load(gone), Err(SpoolError::Unknown(id)) if id == gone));
    spool.flush().wait().unwrap();
    let spool = candidate.reopen(spool);
    assert!(spool.summary(gone).is_none());
    assert!(spool.load(kept).is_ok());
}

fn administered(mut candidate: impl Candidate) {
    let mut spool = candidate.open();
    let id = commit(&spool, &["a@b"], b"");
    spool.record(id, &[outcome(0, Fate::Deferred, "later")], Some(arrival()));
    spool.mark_warned(id);
    for (action, held, expired, is_due) in [
        (Admin::Hold, true, false, false),
        (Admin::Expire, true, true, false),
        (Admin::Release, false, true, false),
        (Admin::Hold, true, true, false),
        (Admin::Requeue, false, true, true),
    ] {
        spool.administer(id, action).wait().unwrap();
        for _ in 0..2 {
            let s = spool.summary(id).unwrap();
            let is = (s.held, s.expired, s.next_attempt.is_none(), s.warned);
            assert_eq!(is, (held, expired, is_due, true), "{action:?}");
            spool = candidate.reopen(spool);
        }
    }
    spool.administer(id, Admin::Delete).wait().unwrap();
    assert!(spool.summary(id).is_none());
    assert!(candidate.reopen(spool).summary(id).is_none());
}

fn held_from_the_start(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let mut draft = spool.draft(arrival(), 0).unwrap();
    draft.hold();
    let id = draft.id();
    spool.commit(draft, envelope(&["a@b"])).wait().unwrap();
    assert!(spool.summary(id).unwrap().held);
    assert!(candidate.reopen(spool).summary(id).unwrap().held);
}

fn unknown_messages(mut candidate: impl Candidate) {
    let spool = candidate.open();
    for text in ["0", "4E5F03A1C2", "3Pt2mN2VXxznjll", "zzzzzzzzzzzzz"] {
        let id = QueueId::parse(text.as_bytes()).unwrap();
        assert!(spool.summary(id).is_none());
        assert!(matches!(spool.load(id), Err(SpoolError::Unknown(_))));
        spool.record(id, &[outcome(0, Fate::Sent, "")], None);
        spool.mark_warned(id);
        spool.finish(id);
        assert!(matches!(spool.append_recipients(id, &[], &[]), Err(SpoolError::Unknown(_))));
        for action in [Admin::Hold, Admin::Release, Admin::Requeue, Admin::Expire, Admin::Delete] {
            assert!(matches!(spool.administer(id, action).wait(), Err(SpoolError::Unknown(_))));
        }
    }
    spool.flush().wait().unwrap();
}

fn listed(mut candidate: impl Candidate) {
    let mut spool = candidate.open();
    let ids: Vec<QueueId> = (0..20).map(|_| commit(&spool, &["a@b", "c@d"], b"")).collect();
    spool.record(ids[3], &[outcome(1, Fate::Deferred, "why")], Some(arrival()));
    spool.finish(ids[5]);
    for _ in 0..2 {
        let mut listed: Vec<_> = spool.list().map(Result::unwrap).collect();
        listed.sort_by_key(|l| ids.iter().position(|id| *id == l.summary.id));
        assert_eq!(listed.len(), 19);
        assert_eq!(listed[3].outcomes, [None, Some(outcome(1, Fate::Deferred, "why"))]);
        assert_eq!(listed[3].envelope, envelope(&["a@b", "c@d"]));
        assert!(listed.iter().all(|l| spool.summary(l.summary.id) == Some(l.summary)));
        spool = candidate.reopen(spool);
    }
}

fn large_bodies(mut candidate: impl Candidate) {
    let mut spool = candidate.open();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut draft = spool.draft(arrival(), 0).unwrap();
    for piece in body.chunks(70_001) {
        draft.write(piece).unwrap();
    }
    let mut read = Vec::new();
    draft.body().read_to_end(&mut read).unwrap();
    assert!(read == body);
    draft.head_mut().extend_from_slice(b"head");
    let id = draft.id();
    spool.commit(draft, envelope(&["a@b"])).wait().unwrap();
    for _ in 0..2 {
        let content = spool.load(id).unwrap().content.clone();
        assert_eq!(content.len(), 3_000_004);
        let all = content.to_bytes(3_000_004).unwrap();
        assert!(all[..4] == *b"head" && all[4..] == body);
        spool = candidate.reopen(spool);
    }
    let content = spool.load(id).unwrap().content.clone();
    let mut reader = content.reader();
    reader.read_exact(&mut [0; 100]).unwrap();
    spool.administer(id, Admin::Delete).wait().unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 2_999_904);
}

fn set_aside_is_gone(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let id = commit(&spool, &["a@b"], &[1; 300_000]);
    spool.set_aside(id).unwrap();
    assert!(matches!(spool.set_aside(id), Err(SpoolError::Unknown(_))));
    assert!(candidate.reopen(spool).summary(id).is_none());
}

fn announced_or_summarized_never_both(mut candidate: impl Candidate) {
    let spool = candidate.open();
    let old = commit(&spool, &["a@b"], b"");
    assert_eq!(spool.summaries().count(), 0);
    let spool = candidate.reopen(spool);
    let new = commit(&spool, &["a@b"], b"");
    let summaries: Vec<QueueId> = spool.summaries().map(|s| s.id).collect();
    assert_eq!(summaries, [old]);
    let mut arrivals = spool.arrivals();
    assert_eq!(arrivals.try_recv().unwrap().id, new);
    assert!(arrivals.try_recv().is_err());
}
