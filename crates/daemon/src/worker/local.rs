//! From parameters to the agents that deliver through delivery processes: local, virtual, pipe.

use super::build::Build;
use super::clock;
use super::snapshot::Parts;
use crate::ipc::requests::{Asker, Request};
use deliver::local::{Forward, ForwardError, Forwarded, LocalAgent, Settings, Tables, find_account};
use deliver::pipe::{self, PipeAgent};
use deliver::process::Task;
use deliver::process::client::Starter;
use deliver::verdicts::BrokenAgent;
use deliver::virtual_mailboxes::{self, VirtualAgent};
use deliver::{Chunks, Failure, Transports};
use intake::cleanup::{Incoming, Options, Received};
use intake::enqueue::{self, Entry};
use mail::{Envelope, Origin, QueueId};
use params::service::Local;
use params::{Service, p};
use qmgr::Agent;
use route::Router;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use tables::{Maps, SourceFormat};

/// What all local services share.
pub(super) struct Shared<'a> {
    pub(super) router: &'a Router,
    pub(super) enqueue: &'a enqueue::Context,
    pub(super) transports: &'a Arc<Transports>,
    pub(super) parts: &'a Parts,
}

/// local(8); the build has the service's parameters.
pub(super) fn local_agent(build: &mut Build, line: &Service, shared: &Shared<'_>) -> Arc<dyn Agent> {
    let settings = Settings::read(&build.view, line, &mut build.mistakes);
    let message_size_limit = build.view.get(p::message_size_limit, &mut build.mistakes);
    if let Some(why) = settings.defect(message_size_limit) {
        return broken(build, line, why);
    }
    let classes = build.view.get(p::smtputf8_autodetect_classes, &mut build.mistakes);
    let forwarder = Forwarder {
        context: shared.enqueue.clone(),
        options: Options {
            autodetect_smtputf8: classes.iter().any(|class| class == "forward" || class == "all"),
            ..Options::FORWARDED
        },
    };
    Arc::new(LocalAgent {
        settings,
        tables: tables(build),
        router: shared.router.clone(),
        processes: shared.parts.processes.clone(),
        forward: Arc::new(forwarder),
        transports: shared.transports.clone(),
        find_account,
        log: build.service_log("local"),
        now: clock::now,
    })
}

fn tables(build: &mut Build) -> Tables {
    let local: Local = build.load();
    let mut open = |parameter: &'static str, specs: &[String], careful: bool| {
        let open = |spec: &String| build.plain_table(spec, SourceFormat::Table, careful);
        Maps::new(parameter, specs.iter().map(open).collect())
    };
    let mailbox_command_maps = open("mailbox_command_maps", &local.mailbox_command_maps, true);
    let mailbox_transport_maps = open("mailbox_transport_maps", &local.mailbox_transport_maps, false);
    let fallback_transport_maps = open("fallback_transport_maps", &local.fallback_transport_maps, false);
    let alias_map = |spec: &String| (spec.clone(), build.plain_table(spec, SourceFormat::Aliases, true));
    let alias_maps = local.alias_maps.iter().map(alias_map).collect();
    Tables { alias_maps, mailbox_command_maps, mailbox_transport_maps, fallback_transport_maps }
}

/// virtual(8); the build has the service's parameters.
pub(super) fn virtual_agent(build: &mut Build, line: &Service, parts: &Parts) -> Arc<dyn Agent> {
    let view = build.view.clone();
    let mut mistakes = Vec::new();
    let open = |spec: &String| build.plain_table(spec, SourceFormat::Table, true);
    let settings = virtual_mailboxes::Settings::read(&view, line, open, &mut mistakes);
    build.mistakes.append(&mut mistakes);
    if let Some(why) = settings.defect().map(str::to_owned) {
        return broken(build, line, why);
    }
    let processes = parts.processes.clone();
    Arc::new(VirtualAgent { settings, processes, log: build.service_log("virtual"), now: clock::now })
}

/// pipe(8); the build has the service's parameters.
pub(super) fn pipe_agent(build: &mut Build, line: &Service, parts: &Parts) -> Arc<dyn Agent> {
    match pipe::Settings::read(&build.view, line, &mut build.mistakes) {
        Ok(settings) => {
            let processes = parts.processes.clone();
            Arc::new(PipeAgent { settings, processes, log: build.service_log("pipe"), now: clock::now })
        }
        Err(why) => broken(build, line, why),
    }
}

fn broken(build: &mut Build, line: &Service, why: String) -> Arc<dyn Agent> {
    Arc::new(BrokenAgent { log: build.service_log(line.program()), why })
}

/// Asks the parent for delivery processes.
pub(super) struct ParentStarter(pub(super) Arc<Asker>);

impl Starter for ParentStarter {
    fn start(&self, task: &Task) -> Result<OwnedFd, Failure> {
        match self.0.ask(&Request::DeliveryProcess(task.clone())) {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(refusal)) => Err(Failure::of_system(refusal.why)),
            Err(e) => Err(Failure::of_system(e.to_string())),
        }
    }
}

/// Puts forwarded mail into the queue.
struct Forwarder {
    context: enqueue::Context,
    options: Options,
}

impl Forward for Forwarder {
    fn forward(
        &self,
        message: Forwarded,
    ) -> Pin<Box<dyn Future<Output = Result<QueueId, ForwardError>> + Send>> {
        let (context, options) = (self.context.clone(), self.options);
        Box::pin(async move {
            let failed = |e: &dyn std::fmt::Display| ForwardError(e.to_string());
            let arrival = clock::now();
            let draft = context.spool.draft(arrival, message.content.len()).map_err(|e| failed(&e))?;
            let mut chunks = Chunks::new(&message.content);
            let incoming = incoming(draft.id(), arrival, message, options);
            let mut entry = Entry::begin(&context, draft, incoming).await;
            while let Some(chunk) = chunks.next().await.map_err(|e| failed(&e))? {
                entry.write(&chunk).await;
            }
            entry.finish().await.map_err(|e| failed(&e))
        })
    }
}

fn incoming(id: QueueId, arrival: mail::Time, message: Forwarded, options: Options) -> Incoming {
    let envelope = Envelope {
        sender: message.sender,
        recipients: message.recipients,
        arrival,
        origin: Origin::Internal,
        client: message.client,
        ret: message.ret,
        envid: message.envid,
        encoding: message.encoding,
        smtputf8: message.smtputf8,
        rewrite_local: message.rewrite_local,
        ..Envelope::default()
    };
    Incoming {
        id,
        now: arrival,
        date: clock::date(arrival),
        received: Received::Forwarded { delivered_to: message.delivered_to },
        prepend: Vec::new(),
        full_name: None,
        envelope,
        options,
    }
}
