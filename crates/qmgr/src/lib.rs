//! The queue manager: when a message is tried, and what is said when it fails.

pub mod agent;
pub mod scheduler;

pub use agent::{Agent, Job, JobRecipient, Report, Reporter, Reports, Reuse, Success, Verdict};
