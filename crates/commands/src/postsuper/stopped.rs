//! A mail system that does not run: its spool is taken, as a server would.

use super::{System, resting_queue};
use crate::program::{Fatal, Program, reason};
use crate::server::{MAILDROP, SPOOL};
use mail::QueueId;
use spool::maildrop::Maildrop;
use spool::showq::Queue;
use spool::{Admin, Event, Options, SegmentSpool, Spool, SpoolError};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Octets of a new segment: a few words on messages are all that goes in.
const SEGMENT_SIZE: u64 = 1 << 20;

pub(super) struct Stopped<'a> {
    program: &'a Program,
    /// None: there is no spool yet, and so no message.
    spool: Option<SegmentSpool>,
    /// What the spool has to say, from its threads.
    events: Arc<Mutex<Vec<Event>>>,
}

impl Stopped<'_> {
    pub(super) fn open(program: &Program) -> Result<Stopped<'_>, Fatal> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let on_event = move |event| sink.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let options =
            Options { segment_size: SEGMENT_SIZE, on_event: Arc::new(on_event), ..Options::default() };
        let spool = match Path::new(SPOOL).exists() {
            true => Some(SegmentSpool::open(SPOOL, options).map_err(|e| Fatal::new(e.to_string()))?),
            false => None,
        };
        if let Some(spool) = &spool {
            spool.wait_until_indexed();
        }
        let stopped = Stopped { program, spool, events };
        stopped.say_events();
        Ok(stopped)
    }

    fn say_events(&self) {
        for event in self.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.program.warning(&event.to_string());
        }
    }
}

impl System for Stopped<'_> {
    fn messages(&mut self) -> Result<Vec<(QueueId, Queue)>, Fatal> {
        let Some(spool) = &self.spool else { return Ok(Vec::new()) };
        Ok(spool.summaries().map(|summary| (summary.id, resting_queue(&summary))).collect())
    }

    fn administer(
        &mut self,
        ids: &[QueueId],
        action: Admin,
        tell: &mut dyn FnMut(QueueId, bool),
    ) -> Result<(), Fatal> {
        let Some(spool) = &self.spool else { return Ok(()) };
        if action == Admin::Requeue {
            return ids.iter().try_for_each(|id| requeue(spool, *id).map(|is_done| tell(*id, is_done)));
        }
        // All are written before the first is waited for: they share syncs.
        let applies = |id| spool.summary(id).is_some_and(|summary| action.applies_to(&summary));
        let done: Vec<_> = ids.iter().map(|id| applies(*id).then(|| spool.administer(*id, action))).collect();
        for (id, durable) in ids.iter().zip(done) {
            match durable.map(|durable| durable.wait()) {
                Some(Ok(())) => tell(*id, true),
                None | Some(Err(SpoolError::Unknown(_))) => tell(*id, false),
                Some(Err(e)) => {
                    self.say_events();
                    return Err(Fatal::new(format!("{id}: {e}")));
                }
            }
        }
        self.say_events();
        Ok(())
    }
}

/// False: there is no such message.
fn requeue(spool: &SegmentSpool, id: QueueId) -> Result<bool, Fatal> {
    let fatal = |e: &dyn std::fmt::Display| Fatal::new(format!("{id}: {e}"));
    let stored = match spool.load(id) {
        Ok(stored) => stored,
        Err(SpoolError::Unknown(_)) => return Ok(false),
        Err(e) => return Err(fatal(&e)),
    };
    if !Maildrop::new(MAILDROP).put_back(&stored).map_err(|e| fatal(&reason(&e)))? {
        return Ok(false);
    }
    spool.administer(id, Admin::Delete).wait().map_err(|e| fatal(&e))?;
    Ok(true)
}
