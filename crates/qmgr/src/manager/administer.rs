//! What commands ask: flush, hold, release, requeue, expire, delete, reload, shutdown.

use super::handle::{Command, Counts};
use super::{Event, Manager};
use crate::Setup;
use mail::{Fate, QueueId};
use spool::{Admin, Listed};
use std::sync::Arc;

impl Manager {
    pub(super) fn take_command(&mut self, command: Command) {
        match command {
            Command::Flush => self.flush(),
            Command::FlushMessages(ids) => ids.into_iter().for_each(|id| self.backlog.flush_message(id)),
            Command::FlushSite(domain) => self.flush_site(domain),
            Command::Administer { id, action, reply } => {
                let durable = self.context.spool.administer(id, action);
                self.administer(id, action);
                // Whoever asked may have gone.
                let _ = reply.send(durable);
            }
            Command::Reload(setup) => self.reload(setup),
            Command::ActiveIds(reply) => drop(reply.send(self.active_of.keys().copied().collect())),
            Command::Counts(reply) => drop(reply.send(self.counts())),
            Command::Shutdown(reply) => self.stopping.push(reply),
        }
    }

    fn flush(&mut self) {
        self.scheduler.revive_all();
        self.backlog.flush();
    }

    /// Which messages wait for a domain is read where blocking is allowed.
    fn flush_site(&self, domain: String) {
        let (spool, events) = (self.context.spool.clone(), self.events.clone());
        tokio::task::spawn_blocking(move || {
            let waits = |listed: &Listed| waits_for(listed, domain.as_bytes());
            let ids = spool.list().flatten().filter(waits).map(|listed| listed.summary.id).collect();
            // The manager is gone only when the whole server is.
            let _ = events.send(Event::Command(Command::FlushMessages(ids)));
        });
    }

    /// The spool has been told; here it is decided what that means for a message that waits, is read, or is active.
    fn administer(&mut self, id: QueueId, action: Admin) {
        // It is returned at its next attempt, which is not hastened.
        if action == Admin::Expire {
            return;
        }
        if let Some(asked) = self.loading.get_mut(&id) {
            *asked = Some(action);
        } else if let Some(&key) = self.active_of.get(&id) {
            self.doom(key, action);
        } else {
            self.move_waiting(id, action);
        }
    }

    fn move_waiting(&mut self, id: QueueId, action: Admin) {
        let is_there = self.backlog.contains(id) || self.context.spool.summary(id).is_some();
        match action {
            Admin::Delete => drop(self.backlog.remove(id)),
            _ if !is_there => {}
            Admin::Hold => self.backlog.hold(id),
            Admin::Requeue => self.backlog.add_incoming(id),
            // As if it had been deferred: the next queue run takes it.
            Admin::Release if self.backlog.is_held(id) => {
                let now = self.context.clock.now();
                self.backlog.defer(id, now, now);
            }
            Admin::Release | Admin::Expire => {}
        }
    }

    /// What waits of the message is taken back; what is under way goes on, and then it is done with.
    fn doom(&mut self, key: u32, action: Admin) {
        let active = &mut self.active[key];
        let is_held = active.doom == Some(Admin::Hold);
        active.doom = match (active.doom, action) {
            (Some(Admin::Delete), _) => Some(Admin::Delete),
            (doom, Admin::Release) if !is_held => doom,
            (_, Admin::Release) => Some(Admin::Requeue),
            (_, action) => Some(action),
        };
        if active.doom.is_none() {
            return;
        }
        active.skip_unread();
        let taken = self.scheduler.withdraw(key).len();
        self.release_recipients(key, taken);
    }

    fn reload(&mut self, setup: Arc<Setup>) {
        let settings = &setup.settings;
        self.scheduler.set_times(settings.minimal_backoff_time, settings.transport_retry_time);
        self.backlog.set_queue_run_delay(settings.queue_run_delay);
        self.setup = setup;
        self.take_transports();
        // Postfix's qmgr begins anew: what was dead may have been mended by the reload.
        self.scheduler.revive_all();
    }

    fn counts(&self) -> Counts {
        Counts {
            active: self.active.len(),
            waiting: self.backlog.waiting() + self.loading.len(),
            held: self.backlog.held(),
            deliveries: self.deliveries.len(),
        }
    }
}

fn waits_for(listed: &Listed, domain: &[u8]) -> bool {
    let is_pending = |r: usize| listed.outcomes[r].as_ref().is_none_or(|o| o.fate == Fate::Deferred);
    listed.envelope.recipients.iter().enumerate().any(|(r, recipient)| {
        recipient.address.domain().is_some_and(|d| d.eq_ignore_ascii_case(domain)) && is_pending(r)
    })
}
