//! The queue manager: when a message is tried, and what is said when it fails.

pub mod agent;
mod backlog;
mod from_params;
pub mod inject;
pub mod manager;
pub mod notice;
pub mod resolve;
pub mod scheduler;
pub mod settings;
pub mod verify;

pub use agent::{
    Agent, Expanded, Job, JobRecipient, Member, Purpose, Report, Reporter, Reports, Reuse, Success, Verdict,
};
pub use inject::{Inject, InjectError, Notice};
pub use manager::{Counts, Handle, Manager};
pub use notice::{Notices, NotifyClasses};
pub use resolve::{Resolve, Route, Unroutable};
pub use settings::{Clock, Context, Probed, Settings, Setup, SystemClock, Transport};
