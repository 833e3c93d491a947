//! Warnings of a destination that fills the active queue (`qmgr_clog_warn_time`, `helpful_warnings`), with what may help.

use super::Manager;
use crate::scheduler::{Crowd, TransportKey};
use mail::Time;

impl Manager {
    /// Warns if more than a fifth of `qmgr_message_active_limit` goes to one destination.
    pub(super) fn warn_of_clog(&mut self, transport: TransportKey, destination: &str, now: Time) {
        let settings = &self.setup.settings;
        if !settings.helpful_warnings || settings.qmgr_clog_warn_time.is_zero() {
            return;
        }
        let (limit, interval) = (settings.qmgr_message_active_limit, settings.qmgr_clog_warn_time);
        if let Some(crowd) = self.scheduler.crowd(transport, destination, limit / 5, now, interval) {
            for line in self.advice(transport, &crowd) {
                self.context.qmgr_log.warning(format_args!("{line}"));
            }
        }
    }

    fn advice(&self, transport: TransportKey, crowd: &Crowd) -> Vec<String> {
        let Crowd { nexthop, entries, busy, window, is_alone } = crowd;
        let name = self.scheduler.name(transport);
        let active = self.active.len();
        let share = *entries as f64 / active.max(1) as f64;
        let limit = self.scheduler.limits(transport).window.destination_concurrency_limit;
        let active_limit = self.setup.settings.qmgr_message_active_limit;
        let mut lines =
            vec![format!("mail for {nexthop} is using up {entries} of {active} active queue entries")];
        if share < 0.9 {
            lines.push("this may slow down other mail deliveries".into());
        }
        let main_cf =
            |name: &str, from: usize| format!("you may need to increase the main.cf {name} from {from}");
        if limit > 0 && limit <= busy + 1 {
            lines.push(main_cf(&format!("{name}_destination_concurrency_limit"), limit as usize));
        } else if f64::from(*window) > active_limit as f64 * share {
            lines.push(main_cf("qmgr_message_active_limit", active_limit));
        } else if !is_alone {
            lines.push(format!("you may need a separate master.cf transport for {nexthop}"));
        } else {
            lines.extend([
                format!("you may need to reduce {name} connect and helo timeouts"),
                "so that Postfix quickly skips unavailable hosts".into(),
                "you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time".into(),
                "so that Postfix wastes less time on undeliverable mail".into(),
                format!("you may need to increase the master.cf {name} process limit"),
            ]);
        }
        lines.extend([
            "please avoid flushing the whole queue when you have".into(),
            "lots of deferred mail, that is bad for performance".into(),
            "to turn off these warnings specify: qmgr_clog_warn_time = 0".into(),
        ]);
        lines
    }
}
