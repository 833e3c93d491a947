//! The time of day, as mail and logs write it.

use mail::Time;
use mail::time::MONTHS;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_micros(since.map_or(0, |d| d.as_micros() as i64))
}

/// Postfix's Date:, in local time: `Wed, 25 Nov 2026 01:20:15 +0000 (UTC)`.
pub(crate) fn date(at: Time) -> String {
    let (offset, zone) = sys::local_time::zone_at(at.secs());
    at.rfc5322(offset, &zone)
}

/// `Nov 25 01:02:03`, in local time.
pub(crate) fn stamp(at: Time) -> String {
    let (offset, _) = sys::local_time::zone_at(at.secs());
    let c = at.civil(offset);
    format!("{} {:2} {:02}:{:02}:{:02}", MONTHS[usize::from(c.month - 1)], c.day, c.hour, c.minute, c.second)
}

/// The login name of a uid.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name)
}
