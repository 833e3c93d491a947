//! local(8): mail for this machine's users, its aliases, and what their files say.
//!
//! The worker decides where mail goes; whatever takes an owner's rights is done by a delivery process ([`crate::process`]).

mod course;
mod expand;
mod leaves;
mod lists;
mod loops;
mod resubmit;
mod settings;
#[cfg(test)]
mod tests;

pub use course::Account;
pub use resubmit::{Forward, ForwardError, Forwarded};
pub use settings::{Settings, Tables};

use crate::process::client::Processes;
use crate::transports::Transports;
use expand::Expansion;
use logger::Logger;
pub(crate) use loops::DeliveredTo;
use mail::Time;
use qmgr::{Agent, Job, Verdict};
use route::Router;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What local delivery works with.
pub struct LocalAgent {
    pub settings: Settings,
    pub tables: Tables,
    /// Rewrites and routes the addresses that aliases and files name.
    pub router: Router,
    pub processes: Arc<Processes>,
    pub forward: Arc<dyn Forward>,
    /// What `mailbox_transport` and its kin name.
    pub transports: Arc<Transports>,
    /// Asks the password file. `Err`: it cannot be asked now.
    pub find_account: fn(&str) -> Result<Option<Account>, String>,
    /// The service's.
    pub log: Logger,
    pub now: fn() -> Time,
}

impl Agent for LocalAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move {
            let delivered_to = match DeliveredTo::of_job(&job).await {
                Ok(delivered_to) => Arc::new(delivered_to),
                Err(e) => {
                    self.log.warning(format_args!("{}: cannot read message: {e}", job.message.id));
                    // The queue manager defers what is left open.
                    return Verdict::Alive;
                }
            };
            for recipient in &job.recipients {
                Expansion::new(&self, &job, recipient, delivered_to.clone()).run().await;
            }
            Verdict::Alive
        })
    }
}

/// The password file's entry of a user.
pub fn find_account(name: &str) -> Result<Option<Account>, String> {
    match nix::unistd::User::from_name(name) {
        Err(e) => Err(e.desc().to_owned()),
        Ok(user) => Ok(user.map(account)),
    }
}

pub(crate) fn account(user: nix::unistd::User) -> Account {
    Account {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir.display().to_string(),
        shell: user.shell.display().to_string(),
        name: user.name,
    }
}
