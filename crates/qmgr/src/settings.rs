//! What the queue manager is told: parameters, transports, and what it works with.

use crate::notice::Notices;
use crate::scheduler::Limits;
use crate::{Agent, Inject, Resolve};
use logger::Logger;
use mail::{Address, Fate, Time};
use spool::Spool;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What stays the same while the queue manager runs.
#[derive(Clone)]
pub struct Context {
    pub spool: Arc<dyn Spool>,
    pub inject: Arc<dyn Inject>,
    pub clock: Arc<dyn Clock>,
    /// Hears what probes of address verification found; None where there is no such service.
    pub probed: Option<Arc<dyn Probed>>,
    /// `postfix/qmgr`.
    pub qmgr_log: Logger,
    /// `postfix/bounce`.
    pub bounce_log: Logger,
    /// `postfix/error`: for mail that is deferred or returned without an agent.
    pub error_log: Logger,
}

/// What a reload replaces, whole.
pub struct Setup {
    pub settings: Settings,
    pub notices: Notices,
    pub resolve: Arc<dyn Resolve>,
    /// By the service name in master.cf.
    pub transports: HashMap<String, Transport>,
}

/// A line of master.cf that delivers mail.
#[derive(Clone)]
pub struct Transport {
    pub agent: Arc<dyn Agent>,
    pub limits: Limits,
    /// `postfix/smtp`: the agent's program under its `syslog_name`.
    pub log: Logger,
    pub soft_bounce: bool,
}

/// The queue manager's parameters, under Postfix's names.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub minimal_backoff_time: Duration,
    pub maximal_backoff_time: Duration,
    pub queue_run_delay: Duration,
    /// Zero: one attempt.
    pub maximal_queue_lifetime: Duration,
    /// The same for the null sender; not above `maximal_queue_lifetime`.
    pub bounce_queue_lifetime: Duration,
    /// Zero: no warnings.
    pub delay_warning_time: Duration,
    pub confirm_delay_cleared: bool,
    pub transport_retry_time: Duration,
    /// How long a delivery may take. Agents have time limits of their own; this is for the day they do not work.
    pub daemon_timeout: Duration,
    /// Messages that are read and scheduled.
    pub qmgr_message_active_limit: usize,
    /// Recipients of those.
    pub qmgr_message_recipient_limit: usize,
    /// Recipients that every active message may have in any case.
    pub qmgr_message_recipient_minimum: usize,
    /// How often to warn of a destination that fills the active queue; zero: never.
    pub qmgr_clog_warn_time: Duration,
    pub helpful_warnings: bool,
    pub defer_transports: Vec<String>,
    /// Empty: the recipient's domain.
    pub default_filter_nexthop: String,
    /// Probes of address verification that may be active.
    pub address_verify_pending_request_limit: usize,
    pub recipient_delimiter: String,
    pub myhostname: String,
    /// Without the domain.
    pub double_bounce_sender: String,
}

/// Postfix's defaults.
impl Default for Settings {
    fn default() -> Settings {
        const MINUTE: Duration = Duration::from_secs(60);
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Settings {
            minimal_backoff_time: 5 * MINUTE,
            maximal_backoff_time: Duration::from_secs(4000),
            queue_run_delay: 5 * MINUTE,
            maximal_queue_lifetime: 5 * DAY,
            bounce_queue_lifetime: 5 * DAY,
            delay_warning_time: Duration::ZERO,
            confirm_delay_cleared: false,
            transport_retry_time: MINUTE,
            daemon_timeout: Duration::from_secs(18_000),
            qmgr_message_active_limit: 20_000,
            qmgr_message_recipient_limit: 20_000,
            qmgr_message_recipient_minimum: 10,
            qmgr_clog_warn_time: 5 * MINUTE,
            helpful_warnings: true,
            defer_transports: Vec::new(),
            default_filter_nexthop: String::new(),
            address_verify_pending_request_limit: 5000,
            recipient_delimiter: String::new(),
            myhostname: "localhost".into(),
            double_bounce_sender: "double-bounce".into(),
        }
    }
}

impl Settings {
    /// When a message that could not be delivered is tried again: after as long as it has been in the queue, within
    /// `minimal_backoff_time` and `maximal_backoff_time`.
    pub fn next_attempt(&self, arrival: Time, now: Time) -> Time {
        let age = now.since(arrival);
        now + age.min(self.maximal_backoff_time).max(self.minimal_backoff_time)
    }

    pub(crate) fn is_expired(&self, arrival: Time, is_bounce: bool, now: Time) -> bool {
        let lifetime = if is_bounce {
            self.bounce_queue_lifetime.min(self.maximal_queue_lifetime)
        } else {
            self.maximal_queue_lifetime
        };
        now.since(arrival) >= lifetime
    }

    /// Postfix: a second early will do.
    pub(crate) fn is_warning_due(&self, arrival: Time, now: Time) -> bool {
        self.delay_warning_time > Duration::ZERO
            && now.since(arrival) + Duration::from_secs(1) >= self.delay_warning_time
    }
}

/// Takes the results of probes: verify(8)'s cache.
pub trait Probed: Send + Sync {
    /// `fate` is what would become of mail to `address`; `reason` is the text of the log line.
    fn probed(&self, address: &Address, fate: Fate, reason: &str);
}

/// The time of day.
pub trait Clock: Send + Sync {
    fn now(&self) -> Time;
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Time::from_micros(since_1970.map_or(0, |d| d.as_micros() as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_attempt_comes_after_the_age_within_bounds() {
        let settings = Settings::default();
        let arrival = Time::from_secs(1000);
        for (age, delay) in [(0, 300), (299, 300), (600, 600), (4001, 4000), (400_000, 4000)] {
            let now = arrival + Duration::from_secs(age);
            assert_eq!(settings.next_attempt(arrival, now), now + Duration::from_secs(delay), "{age}");
        }
        assert_eq!(
            settings.next_attempt(arrival, Time::from_secs(0)),
            Time::from_secs(300),
            "clock went back"
        );
    }

    #[test]
    fn expiry_and_warning() {
        let settings = Settings {
            maximal_queue_lifetime: Duration::from_secs(100),
            bounce_queue_lifetime: Duration::from_secs(50),
            delay_warning_time: Duration::from_secs(30),
            ..Settings::default()
        };
        let arrival = Time::from_secs(1000);
        for (age, expired, bounce_expired, warn) in [
            (28, false, false, false),
            (29, false, false, true),
            (49, false, false, true),
            (50, false, true, true),
            (100, true, true, true),
        ] {
            let now = arrival + Duration::from_secs(age);
            assert_eq!(settings.is_expired(arrival, false, now), expired, "{age}");
            assert_eq!(settings.is_expired(arrival, true, now), bounce_expired, "{age}");
            assert_eq!(settings.is_warning_due(arrival, now), warn, "{age}");
        }
        assert!(!Settings::default().is_warning_due(arrival, arrival + Duration::from_secs(1 << 30)));
    }
}
