//! What is in force between one reload and the next.

use super::build::Build;
use super::verify::{self, Verifier};
use super::{clock, queue, routing, smtpd};
use deliver::process::client::Processes;
use intake::cleanup::Options;
use intake::enqueue;
use intake::pickup::Pickup;
use net::Resolver;
use params::{Service, ServiceKind, p};
use spool::Spool;
use spool::maildrop::{Limits, Maildrop};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// Everything that sessions and pickup take their parameters from.
pub(super) struct Snapshot {
    pub(super) enqueue: enqueue::Context,
    /// None: master.cf has no pickup, and letters stay where they are.
    pub(super) pickup: Option<Arc<PickupService>>,
    /// By `name/type` of master.cf.
    pub(super) smtpd: HashMap<String, Arc<intake::smtpd::Service>>,
    pub(super) verify: Arc<verify::Current>,
    limits: HashMap<String, usize>,
}

/// The pickup of master.cf.
pub(super) struct PickupService {
    pub(super) pickup: Pickup,
    pub(super) enqueue: enqueue::Context,
    /// How often it looks without being triggered (`wakeup` of master.cf); None: never.
    pub(super) wakeup: Option<Duration>,
}

/// What outlives reloads and is built upon.
pub(super) struct Parts {
    pub(super) spool: Arc<dyn Spool>,
    pub(super) resolver: Resolver,
    /// Of the SMTP clients.
    pub(super) memory: Arc<deliver::smtp::Memory>,
    /// Domains whose waiting mail is to be tried.
    pub(super) flush: UnboundedSender<String>,
    /// Delivery processes.
    pub(super) processes: Arc<Processes>,
    pub(super) verifier: Arc<Verifier>,
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
        for line in &lines {
            if line.kind == ServiceKind::Inet && line.program() == "smtpd" {
                let service = smtpd::service(build, line, parts, &enqueue);
                let limit = line.process_limit.map_or(default_limit.max(1) as usize, |n| n as usize);
                limits.insert(line.name_space(), if limit == 0 { UNLIMITED } else { limit });
                services.insert(line.name_space(), service);
            }
        }
        let pickup = pickup(build, &lines, parts, &enqueue);
        let verify = Arc::new(verify::Current::read(build, &enqueue));
        let setup = queue::setup(build, &router, &enqueue, parts);
        (Snapshot { enqueue, pickup, smtpd: services, verify, limits }, setup)
    }

    /// How many sessions a service has at a time (`maxproc` of master.cf).
    pub(super) fn session_limit(&self, service: &str) -> usize {
        self.limits.get(service).copied().unwrap_or(1)
    }
}

/// `receive_override_options` of pickup(8).
fn pickup_options(build: &mut Build) -> Options {
    let left_out = build.view.get(p::receive_override_options, &mut build.mistakes);
    let has = |word: &str| !left_out.iter().any(|option| option == word);
    let maps = has("no_address_mappings");
    let checks = has("no_header_body_checks");
    Options { map_addresses: maps, add_bcc: maps, checks, ..Options::LOCAL }
}

fn pickup(
    build: &mut Build,
    lines: &[Service],
    parts: &Parts,
    enqueue: &enqueue::Context,
) -> Option<Arc<PickupService>> {
    let is_pickup = |line: &&Service| line.kind != ServiceKind::Inet && line.program() == "pickup";
    let line = lines.iter().find(is_pickup)?;
    let seconds = line.wakeup.seconds;
    let wakeup = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    let pickup = build.for_service(line, |build| pickup_of(build, parts));
    Some(Arc::new(PickupService { pickup, enqueue: enqueue.clone(), wakeup }))
}

fn pickup_of(build: &mut Build, parts: &Parts) -> Pickup {
    let message_size_limit = build.view.get(p::message_size_limit, &mut build.mistakes);
    Pickup {
        maildrop: Maildrop::new(parts.queue_directory.join("maildrop")),
        corrupt: parts.queue_directory.join("corrupt"),
        limits: Limits { content_size_max: message_size_limit.max(0) as u64, ..Limits::default() },
        log: build.service_log("pickup"),
        content_filter: build.view.get(p::content_filter, &mut build.mistakes),
        options: pickup_options(build),
        now: clock::now,
        date: clock::date,
        user_name: clock::user_name,
    }
}
