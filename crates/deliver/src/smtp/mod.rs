//! smtp(8) and lmtp(8): mail for other systems.
//!
//! [`delivery`] finds the servers of a job's destination and goes from one to the next until every recipient has met its fate;
//! [`session`] makes a connection ready for mail: greeting, TLS, login; [`connections`] keeps it for the next message.

mod connections;
mod dane;
mod delivery;
mod login;
mod recipients;
mod session;
mod settings;
mod tls;
mod tls_policy;
mod tls_report;
mod wire;

pub use dane::Dane;
pub use login::{FailedLogins, FailedMemory, Logins, SaslOptions};
pub use settings::{Caching, EhloKeywords, Settings};
pub use tls::{Defaults, Level, Tls};
pub use tls_policy::Sites;
pub use tls_report::Reporting;
pub use wire::Timeouts;

use connections::Connections;
use delivery::Delivery;
use net::dial::Dialer;
use net::mx::Locator;
use qmgr::{Agent, Job, Verdict};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// What outlives reloads.
#[derive(Default)]
pub struct Memory {
    pub failed_logins: Arc<FailedLogins>,
    pub tlsrpt: Arc<crate::tlsrpt::Tlsrpt>,
}

/// Delivers by SMTP or LMTP, with the parameters of one line of master.cf.
pub struct SmtpAgent {
    settings: Settings,
    locator: Locator,
    dialer: Dialer,
    connections: Arc<Connections>,
    /// Closes idle connections when their time is over.
    expiry: AbortHandle,
}

impl SmtpAgent {
    /// To be called on a runtime: a task of it closes idle connections, for as long as the agent lives.
    pub fn new(settings: Settings, locator: Locator, dialer: Dialer) -> SmtpAgent {
        let connections = Arc::new(Connections::new(settings.caching.limits));
        let kept = connections.clone();
        let expiry = tokio::spawn(async move { kept.expire().await }).abort_handle();
        SmtpAgent { settings, locator, dialer, connections, expiry }
    }
}

impl Drop for SmtpAgent {
    fn drop(&mut self) {
        self.expiry.abort();
    }
}

impl Agent for SmtpAgent {
    fn deliver(self: Arc<Self>, job: Job) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        Box::pin(async move { Delivery::new(&self, &job).run().await })
    }
}
