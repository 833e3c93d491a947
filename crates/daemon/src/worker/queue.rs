//! The queue manager's world: where recipients go, how notices come in, which agents there are.

use super::build::Build;
use super::clock;
use super::local::{self, Shared};
use super::smtp;
use super::snapshot::Parts;
use bytes::Bytes;
use deliver::Transports;
use deliver::verdicts::{DiscardAgent, ErrorAgent};
use intake::cleanup::{Incoming, Options, Received};
use intake::enqueue::{self, Entry};
use mail::{Address, Encoding, Envelope, Origin, QueueId, Recipient};
use params::{ServiceKind, p};
use qmgr::scheduler::Limits;
use qmgr::{Agent, Inject, InjectError, Notice, Resolve, Route, Settings, Setup, Transport, Unroutable};
use route::{Class, Router, Unresolved};
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

/// What a reload replaces in the queue manager.
pub(super) fn setup(build: &mut Build, router: &Router, enqueue: &enqueue::Context, parts: &Parts) -> Setup {
    let passed_on = Arc::new(Transports::default());
    let shared = Shared { router, enqueue, transports: &passed_on, parts };
    let transports = transports(build, &shared);
    passed_on.set(transports.iter().map(|(name, t)| (name.clone(), t.agent.clone(), t.log.clone())));
    let template_file = build.view.get(p::bounce_template_file, &mut build.mistakes);
    let template = match template_file.is_empty() {
        true => None,
        false => match build.opener.read(Path::new(&template_file)) {
            Ok(text) => Some(text),
            Err(e) => {
                build.warn(format!("open bounce template file {template_file}: {e}"));
                None
            }
        },
    };
    let notices =
        qmgr::Notices::read(&build.view, template.as_deref().map(str::as_bytes), &mut build.mistakes);
    let settings = Settings::read(&build.view, &mut build.mistakes);
    Setup { settings, notices, resolve: Arc::new(Resolver(router.clone())), transports }
}

fn transports(build: &mut Build, shared: &Shared<'_>) -> HashMap<String, Transport> {
    let parts = shared.parts;
    let lines: Vec<_> = build.view.served().into_iter().cloned().collect();
    let mut transports = HashMap::new();
    for line in lines.iter().filter(|line| line.kind == ServiceKind::Unix) {
        let agent: Option<Arc<dyn Agent>> = match line.program() {
            "error" => Some(Arc::new(ErrorAgent { now: clock::now, defers: line.name() == "retry" })),
            "discard" => Some(Arc::new(DiscardAgent { now: clock::now })),
            "local" => Some(build.for_service(line, |build| local::local_agent(build, line, shared))),
            "virtual" => Some(build.for_service(line, |build| local::virtual_agent(build, line, parts))),
            "pipe" => Some(build.for_service(line, |build| local::pipe_agent(build, line, parts))),
            "smtp" | "lmtp" => {
                Some(Arc::new(build.for_service(line, |build| smtp::agent(build, line, parts))))
            }
            _ => None,
        };
        if let Some(agent) = agent {
            let transport = transport(build, line, agent);
            transports.insert(line.name().to_owned(), transport);
        }
    }
    transports
}

fn transport(build: &mut Build, line: &params::Service, agent: Arc<dyn Agent>) -> Transport {
    let default_limit = build.view.get(p::default_process_limit, &mut build.mistakes);
    let process_limit = line.process_limit.unwrap_or(default_limit.max(1) as u32);
    let limits = Limits::read(&build.view, line.name(), process_limit, &mut build.mistakes);
    build.for_service(line, |build| Transport {
        agent,
        limits,
        log: build.service_log(line.program()),
        soft_bounce: build.view.get(p::soft_bounce, &mut build.mistakes),
    })
}

/// Routes as trivial-rewrite does.
struct Resolver(Router);

impl Resolve for Resolver {
    fn resolve<'a>(
        &'a self,
        sender: &'a Address,
        recipient: &'a Address,
    ) -> Pin<Box<dyn Future<Output = Result<Route, Unroutable>> + Send + 'a>> {
        Box::pin(async move {
            match self.0.resolve(sender, recipient).await {
                Ok(route) => Ok(Route {
                    transport: route.transport,
                    nexthop: route.nexthop,
                    recipient: route.recipient,
                    is_local: route.class == Class::Local,
                }),
                Err(Unresolved::BadAddress { .. }) => Err(Unroutable::BadSyntax),
                Err(Unresolved::TryLater(_)) => Err(Unroutable::TryLater),
            }
        })
    }
}

/// Puts the mail system's own messages into the queue.
pub(super) struct Injector {
    context: RwLock<enqueue::Context>,
}

impl Injector {
    pub(super) fn new(context: enqueue::Context) -> Injector {
        Injector { context: RwLock::new(context) }
    }

    /// From a reload on.
    pub(super) fn replace(&self, context: enqueue::Context) {
        *self.context.write().unwrap_or_else(PoisonError::into_inner) = context;
    }

    fn context(&self) -> enqueue::Context {
        self.context.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inject for Injector {
    fn inject(&self, notice: Notice) -> Pin<Box<dyn Future<Output = Result<QueueId, InjectError>> + Send>> {
        let context = self.context();
        Box::pin(async move {
            let arrival = clock::now();
            let draft = context
                .spool
                .draft(arrival, notice.content.len() as u64)
                .map_err(|e| InjectError(e.to_string()))?;
            let incoming = incoming(draft.id(), arrival, &notice);
            let mut entry = Entry::begin(&context, draft, incoming).await;
            entry.write(&notice.content).await;
            entry.finish().await.map_err(|e| InjectError(e.to_string()))
        })
    }
}

fn incoming(id: QueueId, arrival: mail::Time, notice: &Notice) -> Incoming {
    let orcpt = [b"rfc822;", &*mail::xtext::encode(&notice.recipient.external())].concat();
    let envelope = Envelope {
        sender: notice.sender.clone(),
        recipients: vec![Recipient {
            address: notice.recipient.clone(),
            orcpt: Some(Bytes::from(orcpt)),
            ..Recipient::default()
        }],
        arrival,
        origin: Origin::Internal,
        encoding: if notice.is_8bit { Encoding::EightBitMime } else { Encoding::Unspecified },
        smtputf8: notice.smtputf8,
        rewrite_local: true,
        ..Envelope::default()
    };
    let date = clock::date(arrival);
    Incoming {
        id,
        now: arrival,
        prepend: Vec::new(),
        received: Received::Internal,
        date,
        full_name: None,
        envelope,
        options: Options::INTERNAL,
    }
}
