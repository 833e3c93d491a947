//! What is in force between one reload and the next.

use super::build::Build;
use super::{clock, queue, routing, smtpd};
use deliver::process::client::Processes;
use intake::enqueue;
use intake::pickup::Pickup;
use intake::smtpd::Service;
use net::Resolver;
use params::{ServiceKind, p};
use spool::Spool;
use spool::maildrop::{Limits, Maildrop};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that sessions and pickup take their parameters from.
pub(super) struct Snapshot {
    pub(super) enqueue: enqueue::Context,
    pub(super) pickup: Arc<(Pickup, enqueue::Context)>,
    /// By `name/type` of master.cf.
    pub(super) smtpd: HashMap<String, Arc<Service>>,
    limits: HashMap<String, usize>,
}

/// What outlives reloads and is built upon.
pub(super) struct Parts {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) resolver: Resolver,
    /// Of the SMTP clients.
    pub(super) memory: Arc<deliver::smtp::Memory>,
    /// Delivery processes.
    pub(super) processes: Arc<Processes>,
    pub(super) queue_directory: PathBuf,
}

/// Sessions of a service without a limit of its own in master.cf, where it says 0: none.
const UNLIMITED: usize = 1 << 20;

impl Snapshot {
    /// Builds all of it; what is wrong is in the build's mistakes.
    pub(super) fn build(build: &mut Build, parts: &Parts) -> (Snapshot, qmgr::Setup) {
        let router = routing::router(build);
        let enqueue = smtpd::enqueue_context(build, &router, &parts.spool);
        let (mut services, mut limits) = (HashMap::new(), HashMap::new());
        let default_limit = build.view.get(p::default_process_limit, &mut build.mistakes);
        let lines: Vec<_> = build.view.served().into_iter().cloned().collect();
        for line in lines {
            if line.kind == ServiceKind::Inet && line.program() == "smtpd" {
                let service = smtpd::service(build, &line, &parts.resolver, &enqueue);
                let limit = line.process_limit.map_or(default_limit.max(1) as usize, |n| n as usize);
                limits.insert(line.name_space(), if limit == 0 { UNLIMITED } else { limit });
                services.insert(line.name_space(), service);
            }
        }
        let pickup = Arc::new((pickup(build, parts), enqueue.clone()));
        let setup = queue::setup(build, &router, &enqueue, parts);
        (Snapshot { enqueue, pickup, smtpd: services, limits }, setup)
    }

    /// How many sessions a service has at a time (`maxproc` of master.cf).
    pub(super) fn session_limit(&self, service: &str) -> usize {
        self.limits.get(service).copied().unwrap_or(1)
    }
}

fn pickup(build: &mut Build, parts: &Parts) -> Pickup {
    let message_size_limit = build.view.get(p::message_size_limit, &mut build.mistakes);
    Pickup {
        maildrop: Maildrop::new(parts.queue_directory.join("maildrop")),
        corrupt: parts.queue_directory.join("corrupt"),
        limits: Limits { content_size_max: message_size_limit.max(0) as u64, ..Limits::default() },
        log: build.service_log("pickup"),
        content_filter: build.view.get(p::content_filter, &mut build.mistakes),
        now: clock::now,
        date: clock::date,
        user_name: clock::user_name,
    }
}
