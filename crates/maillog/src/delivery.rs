//! The line that says what became of a recipient.

use crate::{Delay, Event, printable_str};
use mail::{Address, DsnStatus, QueueId};
use std::fmt;
use std::time::Duration;

/// `QID: to=<…>, relay=…, delay=…, delays=…, dsn=…, status=sent (…)`, logged by the delivery agent.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    pub id: QueueId,
    pub to: &'a Address,
    /// Printed unless it is the same as `to`.
    pub original: Option<&'a Address>,
    pub relay: &'a str,
    /// How many messages the connection has carried; printed when above 1.
    pub connection_use: u32,
    pub delays: Delays,
    pub dsn: DsnStatus,
    /// `sent`, `deferred`, `bounced`, `expired`, `deliverable`, `undeliverable`, `SOFTBOUNCE`.
    pub status: &'a str,
    pub text: &'a str,
}

/// The stages of `delays=a/b/c/d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// From arrival until the message was active.
    pub before_queue: Duration,
    /// Waiting in the queue manager.
    pub in_queue: Duration,
    /// Setting up the connection.
    pub setup: Duration,
    pub transfer: Duration,
}

impl Event for Delivery<'_> {}

impl fmt::Display for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: to=<{}>, ", self.id, self.to)?;
        if let Some(original) = self.original.filter(|o| !o.is_null() && *o != self.to) {
            write!(f, "orig_to=<{original}>, ")?;
        }
        write!(f, "relay={}, ", self.relay)?;
        if self.connection_use > 1 {
            write!(f, "conn_use={}, ", self.connection_use)?;
        }
        let d = &self.delays;
        let total = d.before_queue + d.in_queue + d.setup + d.transfer;
        write!(
            f,
            "delay={}, delays={}/{}/{}/{}, dsn={}, status={} ({})",
            Delay(total),
            Delay(d.before_queue),
            Delay(d.in_queue),
            Delay(d.setup),
            Delay(d.transfer),
            self.dsn,
            self.status,
            printable_str(self.text)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Time;

    #[test]
    fn lines() {
        let (to, root) = (Address::from("u@other.org"), Address::from("root@example.com"));
        let line = Delivery {
            id: QueueId::short(Time::from_micros(0), 0xABC),
            to: &to,
            original: None,
            relay: "127.0.0.1[127.0.0.1]:2600",
            connection_use: 1,
            delays: Delays {
                before_queue: Duration::from_millis(12),
                in_queue: Duration::from_millis(9),
                setup: Duration::from_millis(52),
                transfer: Duration::from_millis(37),
            },
            dsn: DsnStatus::new(2, 0, 0),
            status: "sent",
            text: "250 2.0.0 Ok: queued as ABC",
        };
        assert_eq!(
            line.to_string(),
            "00000ABC: to=<u@other.org>, relay=127.0.0.1[127.0.0.1]:2600, delay=0.11, \
             delays=0.01/0.01/0.05/0.04, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as ABC)"
        );
        let aliased = Delivery { original: Some(&root), connection_use: 3, ..line };
        assert!(aliased.to_string().starts_with(
            "00000ABC: to=<u@other.org>, orig_to=<root@example.com>, relay=127.0.0.1[127.0.0.1]:2600, conn_use=3, delay="
        ));
    }
}
